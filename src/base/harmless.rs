//! Foreign text made harmless: nothing in it moves a cursor, recolours a terminal, begins a line or turns words around.

use std::fmt::Write;
use std::io;

/// Control characters, those of the second set among them (U+009B alone begins a command of a terminal), and the marks
/// that reverse the direction of the text around them.
pub fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text without them. Line ends and tabs stay.
pub fn clean(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_harmful(*c)).collect()
}

/// JSON that means the same and is harmless on a terminal. They stand in its strings only, where each can be named.
pub fn json(text: String) -> String {
    if !text.contains(|c| c != '\n' && is_harmful(c)) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c != '\n' && is_harmful(c) {
            // A String takes everything.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// A writer of log lines: whatever is written at once is one line, whoever's words are in it.
#[derive(Debug)]
pub struct OneLine<W> {
    out: W,
    colour: bool,
}

impl<W> OneLine<W> {
    /// In front of another. `colour`: the escape character is ours.
    pub fn new(out: W, colour: bool) -> Self {
        Self { out, colour }
    }
}

impl<W: io::Write> io::Write for OneLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        let mut line = String::with_capacity(bytes.len());
        for (at, c) in text.char_indices() {
            match c {
                '\x1b' if self.colour && is_colour(&text[at + 1..]) => line.push(c),
                c if is_harmful(c) => line.extend(c.escape_default()),
                c => line.push(c),
            }
        }
        line.push_str(end);
        self.out.write_all(line.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// True when what follows an escape character changes a colour and nothing else.
fn is_colour(rest: &str) -> bool {
    let code =
        rest.strip_prefix('[').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
    code.is_some_and(|rest| rest.starts_with('m'))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn json_means_the_same_and_holds_nothing_that_a_terminal_obeys() {
        let text = "a\u{9b}31mb\u{7f}\u{202e}c\nd\x1b";
        let told = json(serde_json::to_string_pretty(&[text]).unwrap());
        assert!(!told.contains(|c| c != '\n' && is_harmful(c)), "{told:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&told).unwrap(), [text]);
    }

    #[test]
    fn a_log_line_is_one_line_whoever_speaks_in_it() {
        let mut paper = Vec::new();
        OneLine::new(&mut paper, false).write_all("a\nERROR b\r\u{9b}2J\x1b[2Jc\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(paper).unwrap(), "a\\nERROR b\\r\\u{9b}2J\\u{1b}[2Jc\n");
        let mut paper = Vec::new();
        OneLine::new(&mut paper, true).write_all(b"\x1b[2;31mred\x1b[2J\n").unwrap();
        assert_eq!(paper, b"\x1b[2;31mred\\u{1b}[2J\n");
    }
}
