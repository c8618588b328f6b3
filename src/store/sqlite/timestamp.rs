//! Timestamps as SQLite's own functions write them: `YYYY-MM-DD HH:MM:SS.SSS` in UTC, comparable as text.

use hal_base::clock::Time;

/// Before the number of milliseconds of a time that no calendar holds.
const RAW: &str = "ms:";

/// As text.
pub fn text(at: Time) -> String {
    let shown = at.to_string();
    match shown.split_once('T') {
        Some((day, rest)) => format!("{day} {}", rest.trim_end_matches('Z')),
        None => format!("{RAW}{}", at.0),
    }
}

/// Reads what [`text`] writes, what SQLite's `datetime` and `date` write, and RFC 3339.
pub fn parse(text: &str) -> Option<Time> {
    if let Some(raw) = text.strip_prefix(RAW) {
        return raw.parse().ok().map(Time);
    }
    let text = text.trim().replacen(' ', "T", 1);
    Time::parse(&text).or_else(|| Time::parse(&format!("{text}Z"))).or_else(|| {
        let is_day = text.len() == "YYYY-MM-DD".len();
        is_day.then(|| Time::parse(&format!("{text}T00:00:00Z"))).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_comes_back_and_operators_times_are_read() {
        for at in [0, 1, -1, 1_795_450_273_123, 253_402_300_800_000, i64::MAX, i64::MIN] {
            assert_eq!(parse(&text(Time(at))), Some(Time(at)), "{}", text(Time(at)));
        }
        assert_eq!(text(Time(1_795_450_273_120)), "2026-11-23 16:11:13.120");
        let second = Some(Time(1_795_450_273_000));
        assert_eq!(parse("2026-11-23 16:11:13"), second);
        assert_eq!(parse("2026-11-23T17:11:13+01:00"), second);
        assert_eq!(parse("2026-11-23"), Some(Time(1_795_392_000_000)));
        assert_eq!(parse("yesterday"), None);
    }
}
