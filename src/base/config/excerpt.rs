//! The source line that a finding is about. Nobody knows what stands in a broken file, so the line is cut into
//! words and texts, and only those known to be harmless are shown; all others become `...`.

use std::ops::Range;

/// Longer lines are cut to this many characters around the caret: a terminal's width, less the margin.
const WIDTH: usize = 100;

/// A line fit for showing, and where the caret goes beneath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The line, without anything that may be secret.
    pub text: String,
    /// How many characters stand before the caret.
    pub caret: usize,
    /// How many carets to draw; at least one.
    pub length: usize,
}

/// Cuts the line that holds the start of `range` out of `source`. `is_shown` decides about one word or quoted text,
/// given its bytes' range and what it says without quotes.
pub(super) fn excerpt(
    source: &str,
    range: Range<usize>,
    is_shown: impl Fn(&Range<usize>, &str) -> bool,
) -> Excerpt {
    let line = line_around(source, range.start);
    let mut shown: Vec<char> = Vec::new();
    let (mut caret, mut end) = (None, None);
    for token in tokens(source, line.clone()) {
        let from = shown.len();
        let text = &source[token.range.clone()];
        if token.is_open || is_shown(&token.range, text.trim_matches('"')) {
            shown.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        } else if text.starts_with('"') {
            shown.extend("\"...\"".chars());
        } else {
            shown.extend("...".chars());
        }
        if token.range.contains(&range.start) {
            let inside = source[token.range.start..range.start].chars().count();
            caret = Some((from + inside).min(shown.len().saturating_sub(1)).max(from));
        }
        if token.range.start < range.end {
            let is_whole = shown.len() - from == text.chars().count();
            end = Some(match is_whole && range.end < token.range.end {
                true => from + source[token.range.start..range.end].chars().count(),
                false => shown.len(),
            });
        }
    }
    let caret = caret.unwrap_or(shown.len());
    let length = end.unwrap_or(caret).saturating_sub(caret).max(1);
    narrow(shown, caret, length)
}

/// The bytes of the line that holds `at`, without its line end.
fn line_around(source: &str, at: usize) -> Range<usize> {
    let start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = source[at..].find('\n').map_or(source.len(), |newline| at + newline);
    let end = if source[start..end].ends_with('\r') && end > at { end - 1 } else { end };
    start..end
}

struct Token {
    range: Range<usize>,
    /// White space or punctuation of JSON: nothing to hide.
    is_open: bool,
}

fn tokens(source: &str, line: Range<usize>) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = line.start;
    while let Some(first) = source[at..line.end].chars().next() {
        let rest = &source[at..line.end];
        let is_open = is_punctuation(first);
        let length = match first {
            '"' => quoted_length(rest),
            _ if is_open => first.len_utf8(),
            _ => rest.find(|c| is_punctuation(c) || c == '"').unwrap_or(rest.len()),
        };
        tokens.push(Token { range: at..at + length, is_open });
        at += length;
    }
    tokens
}

fn is_punctuation(c: char) -> bool {
    c.is_whitespace() || "{}[]:,/".contains(c)
}

/// The length of a quoted text; one that is never closed goes to the end of the line.
fn quoted_length(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Cuts a long line around its caret.
fn narrow(shown: Vec<char>, caret: usize, length: usize) -> Excerpt {
    if shown.len() <= WIDTH {
        return Excerpt { text: shown.iter().collect(), caret, length };
    }
    let start = caret.saturating_sub(WIDTH / 2);
    let end = (start + WIDTH).min(shown.len());
    let (before, after) = (if start > 0 { "..." } else { "" }, if end < shown.len() { "..." } else { "" });
    let middle: String = shown[start..end].iter().collect();
    let caret = caret - start;
    Excerpt {
        text: format!("{before}{middle}{after}"),
        caret: caret + before.len(),
        length: length.min(WIDTH.saturating_sub(caret)).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(source: &str, word: &str, known: &[&str]) -> Excerpt {
        let start = source.find(word).unwrap();
        excerpt(source, start..start + word.len(), |_, text| known.contains(&text))
    }

    #[test]
    fn shows_known_words_and_hides_all_others() {
        let source = "{\r\n\t\"auth_token\": \"hunter2 \\\" x\", \"port\": \"80a\" // was tiger\r\n}";
        let shown = show(source, "\"80a\"", &["auth_token", "port", "80a"]);
        assert_eq!(shown.text, " \"auth_token\": \"...\", \"port\": \"80a\" // ... ...");
        assert_eq!(&shown.text[shown.caret..shown.caret + shown.length], "\"80a\"");
    }

    #[test]
    fn the_caret_stays_inside_a_hidden_word() {
        let shown = show("\"secret-without-end", "end", &[]);
        assert_eq!((shown.text.as_str(), shown.caret, shown.length), ("\"...\"", 4, 1));
    }

    #[test]
    fn the_end_of_the_file_has_a_caret_too() {
        let shown = excerpt("{ \"port\": 1", 11..11, |_, _| true);
        assert_eq!((shown.caret, shown.length), (11, 1));
        assert_eq!(excerpt("", 0..0, |_, _| true).length, 1);
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let source = format!("{}\"port\": 99999{}", "1,".repeat(300), ",1".repeat(300));
        let start = source.find("99999").unwrap();
        let shown = excerpt(&source, start..start + 5, |_, _| true);
        assert!(shown.text.len() <= WIDTH + 6, "{}", shown.text);
        assert_eq!(&shown.text[shown.caret..shown.caret + shown.length], "99999");
    }
}
