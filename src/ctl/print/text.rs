//! Turning values into words a person reads: times, money, numbers, and foreign text made harmless.

use std::time::Duration;

use hal_base::clock::Time;
use hal_base::harmless::is_harmful;

pub use hal_base::harmless::clean;

/// What another machine's clock may be ahead of ours without being in the future.
const CLOCKS_APART: Duration = Duration::from_secs(10);

/// Characters of a name that are always shown, behind its kind (`ses_`).
const ID_SHOWN: usize = 8;

/// Characters of a name of the kind that begins with the time, which a person needs to find it again.
const UUID_SHOWN: usize = 13;

/// Text on one line: line ends become `\n`, tabs a space, runs of spaces one space.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => {}
            c if c.is_whitespace() => {
                if !line.ends_with(' ') {
                    line.push(' ');
                }
            }
            c if is_harmful(c) => {}
            c => line.push(c),
        }
    }
    line
}

/// At most `most` characters, with a sign where something was cut.
pub fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// How long ago, in one unit: `2 min ago`; or how far ahead: `in 2 min`.
pub fn ago(at: Time, now: Time) -> String {
    match at {
        Time(0) => "never".to_owned(),
        // Two clocks are never quite alike.
        at if at.since(now) > CLOCKS_APART => format!("in {}", span(at.since(now))),
        at => format!("{} ago", span(now.since(at))),
    }
}

/// A length of time in one unit, rounded down.
pub fn span(duration: Duration) -> String {
    match duration.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86_400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

/// An exact time; an unknown one is `never`.
pub fn exact(at: Time) -> String {
    if at == Time::default() { "never".to_owned() } else { at.to_string() }
}

/// The time of day in UTC.
pub fn clock(at: Time) -> String {
    at.to_string().get(11..19).unwrap_or("--:--:--").to_owned()
}

/// The day in UTC.
pub fn day(at: Time) -> String {
    at.to_string().get(..10).unwrap_or("----------").to_owned()
}

/// US dollars as people write them: cents, and of less than a dollar two digits more where they say something.
/// Unknown is not zero.
pub fn money(micros: Option<u64>) -> String {
    match micros {
        None => "unknown".to_owned(),
        Some(1..50) => "<$0.0001".to_owned(),
        Some(micros) if micros >= 1_000_000 => format!("${:.2}", micros as f64 / 1e6),
        Some(micros) => {
            let text = format!("${:.4}", micros as f64 / 1e6);
            text.strip_suffix("00").unwrap_or(&text).to_owned()
        }
    }
}

/// The beginning of a name, as lists on a terminal show it at least.
pub fn short_id(id: &str) -> &str {
    // Names that begin with a time differ behind it: all of one hour begin alike.
    let is_uuid = id.len() == 36 && id.bytes().filter(|byte| *byte == b'-').count() == 4;
    let kind = id.find('_').filter(|at| *at <= 4).map_or(0, |at| at + 1);
    let most = if is_uuid { UUID_SHOWN } else { kind + ID_SHOWN };
    &id[..id.floor_char_boundary(most.min(id.len()))]
}

/// A number with its thousands set apart.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest unit that leaves a number above one.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_harmless() {
        assert_eq!(clean("a\x1b[2Jb\nc\td\u{202e}"), "a[2Jb\nc\td");
        assert_eq!(one_line(" a\nb\r\n\tc   d\x07 "), "a\\nb\\n c d");
        assert_eq!(short("äöü", 2), "äö…");
    }

    #[test]
    fn names_are_shown_as_far_as_they_are_read() {
        assert_eq!(short_id("ses_7a1b2c3d4e5f6g7h8i9j0klmno"), "ses_7a1b2c3d");
        assert_eq!(short_id("019ac1d0-6b3e-7c3e-9c57-5a3e0d1f2b4c"), "019ac1d0-6b3e");
        assert_eq!((short_id("s1"), short_id("web-1.example.org")), ("s1", "web-1.ex"));
    }

    #[test]
    fn values_read_well() {
        let now = Time(10_000_000_000);
        assert_eq!(ago(now.minus(Duration::from_secs(125)), now), "2 min ago");
        assert_eq!(ago(now.plus(Duration::from_secs(5)), now), "0 s ago");
        assert_eq!(ago(Time(0), now), "never");
        assert_eq!(ago(now.plus(Duration::from_secs(3700)), now), "in 1 h");
        let amounts = [Some(7_260), Some(0), Some(500_000), Some(12), Some(1_237_891), Some(999_999), None];
        let written = ["$0.0073", "$0.00", "$0.50", "<$0.0001", "$1.24", "$1.00", "unknown"];
        assert_eq!(amounts.map(money), written);
        assert_eq!(
            (number(0), number(2396), number(1_234_567)),
            ("0".into(), "2,396".into(), "1,234,567".into())
        );
        assert_eq!((bytes(12), bytes(3 << 30)), ("12 B".into(), "3.0 GiB".into()));
        assert_eq!((clock(Time(1_000)), day(Time(1_000))), ("00:00:01".into(), "1970-01-01".into()));
    }
}
