//! The known word that a person probably meant.

/// The candidate nearest to `word`, when one is near enough to be worth offering. Case does not count.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    // One slip per three letters: more would offer words that merely have the same length.
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_what_was_meant_and_nothing_far_away() {
        let keys = ["auth_token", "port", "http_port", "bind"];
        assert_eq!(nearest("auth_tokn", keys), Some("auth_token"));
        assert_eq!(nearest("PORT", keys), Some("port"));
        assert_eq!(nearest("prot", keys), Some("port"));
        assert_eq!(nearest("colour", keys), None);
    }
}
