//! The known name that a misspelt one was probably meant to be.

use ijepa_data::unlikeness;

/// What other programs call keys, and what they are called here.
const OTHER_NAMES: [(&str, &str); 4] = [
    ("learning_rate", "lr"),
    ("wd", "weight_decay"),
    ("momentum", "start"),
    ("momentum", "center_momentum"),
];

/// The candidate most like `word`; the first of equals.
///
/// # Panics
///
/// Panics if there is no candidate.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> &'a str {
    candidates
        .into_iter()
        .min_by_key(|candidate| unlikeness(word, candidate))
        .expect("the lists of known names are not empty")
}

/// The dotted key most like `section.key`: the key decides, a different section counts as one
/// letter.
pub(super) fn nearest_key<'a>(
    (section, key): (&str, &str),
    known: impl IntoIterator<Item = &'a str>,
) -> &'a str {
    let known: Vec<&str> = known.into_iter().collect();
    let same = OTHER_NAMES.iter().filter(|(other, _)| *other == key);
    let mut same = same.map(|(_, name)| format!("{section}.{name}"));
    if let Some(same) = same.find_map(|it| known.iter().find(|known| **known == it)) {
        return same;
    }
    known
        .into_iter()
        .min_by_key(|dotted| {
            let (known_section, known_key) = dotted.split_once('.').unwrap_or(("", dotted));
            let (letters, length) = unlikeness(key, known_key);
            (letters + usize::from(section != known_section), length)
        })
        .expect("the list of known keys is not empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_of_neighbours_is_one_change() {
        assert_eq!(nearest("esed", ["eps", "seed"]), "seed");
        assert_eq!(
            nearest("esed", ["used", "seed"]),
            "used",
            "the first of equals"
        );
    }

    #[test]
    fn an_abbreviation_is_near_the_name_that_contains_it() {
        assert_eq!(nearest("crop", ["loop", "crop_scale"]), "crop_scale");
        assert_eq!(nearest("lr", ["eps", "color_jitlr"]), "eps");
    }

    #[test]
    fn a_key_of_the_wrong_section_is_found_in_the_right_one() {
        let known = ["model.arch", "optimizer.lr"];
        assert_eq!(nearest_key(("model", "lr"), known), "optimizer.lr");
        assert_eq!(nearest_key(("", "arhc"), known), "model.arch");
        let as_near = ["optimizer.lr", "model.le"];
        assert_eq!(nearest_key(("model", "lr"), as_near), "optimizer.lr");
        assert_eq!(nearest_key(("model", "ls"), as_near), "model.le");
    }
}
