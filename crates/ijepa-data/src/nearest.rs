//! The known name that a misspelt one was probably meant to be.

/// Letters of a word that are compared; no known name is longer.
const COMPARED: usize = 64;

/// Shortest word that counts as an abbreviation of a name that contains it.
const SHORTEST_PART: usize = 4;

/// The candidate most like `word`, if it is likely that it was meant: at most every third letter
/// differs.
pub fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let nearest = candidates
        .into_iter()
        .min_by_key(|candidate| unlikeness(word, candidate))?;
    let (letters, _) = unlikeness(word, nearest);
    (3 * letters <= word.len().max(nearest.len())).then_some(nearest)
}

/// Letters to change, then the difference in length; a part of the candidate is one change away.
pub fn unlikeness(word: &str, candidate: &str) -> (usize, usize) {
    let compared: String = word.chars().take(COMPARED).collect();
    // Insertions, deletions, substitutions and swaps of neighbours, each letter edited once.
    let letters = match strsim::osa_distance(&compared, candidate) {
        distance if distance > 1 && word.len() >= SHORTEST_PART && candidate.contains(word) => 1,
        distance => distance,
    };
    (letters, word.len().abs_diff(candidate.len()))
}

/// What an unknown name was probably meant to be, as the end of a sentence.
pub fn suggestion(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!(", the nearest is `{near}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_word_is_not_near() {
        let presets = ["stl10_vit_s8", "in1k_vitb16_ep600"];
        assert_eq!(near("nope", presets), None);
        assert_eq!(near("in1k_vitb_ep600", presets), Some("in1k_vitb16_ep600"));
        assert_eq!(near("stl10", presets), Some("stl10_vit_s8"));
        assert_eq!(near("any", []), None);
    }
}
