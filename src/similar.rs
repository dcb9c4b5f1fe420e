//! The known word that a typing error may have meant.

/// The word that is most like `word`, if one is: at most a third of its letters differ.
pub fn similar<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        // A third of the letters wrong is a slip; more is another word.
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let known = ["hosts", "backends", "pg1"];
        for (word, meant) in [
            ("host", Some("hosts")),
            ("bakcends", Some("backends")),
            ("pgg1", Some("pg1")),
            ("name", None),
        ] {
            assert_eq!(similar(word, known), meant, "{word}");
        }
    }
}
