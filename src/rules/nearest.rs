//! The nearest known name to a mistyped one, for sentences that help.

/// How unlike two names may be and still be worth suggesting (1 = the same).
const ALIKE: f64 = 0.6;

/// The known name most like `word`, when one is like it at all.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(word, name), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
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
}
