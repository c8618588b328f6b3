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

/// `no <noun> "word"; did you mean "x"?`, or what there is instead: at most five names.
pub fn no_such<'a>(noun: &str, word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    if let Some(name) = nearest(word, known.iter().copied()) {
        return format!("no {noun} {word:?}; did you mean {name:?}?");
    }
    match known.len() {
        0 => format!("no {noun} {word:?}; there is none yet"),
        1..=5 => format!("no {noun} {word:?}; known: {}", known.join(", ")),
        more => format!("no {noun} {word:?}; known: {} and {} more", known[..5].join(", "), more - 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_lists_what_there_is() {
        assert_eq!(no_such("project", "wbe", ["web", "api"]), "no project \"wbe\"; did you mean \"web\"?");
        assert_eq!(no_such("project", "zzz", ["web", "api"]), "no project \"zzz\"; known: api, web");
        assert_eq!(no_such("node", "x", []), "no node \"x\"; there is none yet");
    }

    #[test]
    fn offers_what_was_meant_and_nothing_far_away() {
        let keys = ["auth_token", "port", "http_port", "bind"];
        assert_eq!(nearest("auth_tokn", keys), Some("auth_token"));
        assert_eq!(nearest("PORT", keys), Some("port"));
        assert_eq!(nearest("prot", keys), Some("port"));
        assert_eq!(nearest("colour", keys), None);
    }
}
