//! The known word that a person probably meant.

/// Letters of a word that a slip is looked for in: names are shorter, and each letter costs as many steps as a
/// candidate has letters.
const MAX_WORD: usize = 256;

/// The candidate nearest to `word`, when one is near enough to be worth offering. Case does not count.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let word = word.to_lowercase();
    let length = word.chars().count();
    // One slip per three letters: more would offer words that merely have the same length.
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= allowed)
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `no <noun> "word"; did you mean "x"?`, or what there is instead: at most five names.
pub fn no_such<'a>(noun: &str, word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let word = &word[..word.floor_char_boundary(MAX_WORD)];
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
    fn a_word_that_is_no_name_costs_no_time_and_is_not_said_again_in_full() {
        let names: Vec<String> = (0..100_000).map(|at| format!("name-{at}")).collect();
        let said = no_such("session", &"ä".repeat(1 << 20), names.iter().map(String::as_str));
        assert!(said.len() < 1000 && said.ends_with("and 99995 more"), "{}", said.len());
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
