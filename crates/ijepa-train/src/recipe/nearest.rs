//! The known name that a misspelt one was probably meant to be.

/// Letters of a word that are compared; no known name is longer.
const COMPARED: usize = 64;

/// Shortest word that counts as an abbreviation of a name that contains it.
const SHORTEST_PART: usize = 4;

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

/// The candidate most like `word`, if it is likely that it was meant: at most every third letter
/// differs.
pub fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let nearest = candidates
        .into_iter()
        .min_by_key(|candidate| unlikeness(word, candidate))?;
    let (letters, _) = unlikeness(word, nearest);
    (3 * letters <= word.len().max(nearest.len())).then_some(nearest)
}

/// The dotted key most like `section.key`: the key decides, a different section counts as one letter.
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

/// Letters to change, then the difference in length; a part of the candidate is one change away.
fn unlikeness(word: &str, candidate: &str) -> (usize, usize) {
    let compared: String = word.chars().take(COMPARED).collect();
    // Insertions, deletions, substitutions and swaps of neighbours, each letter edited once.
    let letters = match strsim::osa_distance(&compared, candidate) {
        distance if distance > 1 && word.len() >= SHORTEST_PART && candidate.contains(word) => 1,
        distance => distance,
    };
    (letters, word.len().abs_diff(candidate.len()))
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
    fn another_word_is_not_near() {
        let presets = ["stl10_vit_s8", "in1k_vitb16_ep600"];
        assert_eq!(near("nope", presets), None);
        assert_eq!(near("in1k_vitb_ep600", presets), Some("in1k_vitb16_ep600"));
        assert_eq!(near("stl10", presets), Some("stl10_vit_s8"));
        assert_eq!(near("any", []), None);
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
