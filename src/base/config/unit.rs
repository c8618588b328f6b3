//! Durations and sizes as people write them.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Days of a year.
const YEAR: i64 = 365;

/// Reads `48h`, `30m`, `7d`, `1y`, `1h 30m`, `500ms`. A day has 24 hours, a year 365 days. `None`: not a duration, or a
/// negative one.
pub fn duration(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    let days = i64::from(span.get_days()) + YEAR * i64::from(span.get_years());
    let span = span.try_years(0).and_then(|span| span.try_days(days)).ok()?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(exact).ok()
}

/// Writes a duration the way [`duration`] reads it, to the second.
pub fn write_duration(duration: Duration) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut left = duration.as_secs();
    let mut words = Vec::new();
    for (unit, seconds) in units {
        if left >= seconds {
            words.push(format!("{}{unit}", left / seconds));
            left %= seconds;
        }
    }
    if words.is_empty() { "0s".to_string() } else { words.join(" ") }
}

/// Reads `512MiB`, `1.5 GiB`, `200 MB`, `4096`. `None`: not a size.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let number: f64 = digits.parse().ok()?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "tib" | "t" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    let product = number * factor as f64;
    (product.is_finite() && product < u64::MAX as f64).then_some(product as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        let hours = |n: u64| Some(Duration::from_secs(n * 3600));
        assert_eq!(duration("48h"), hours(48));
        assert_eq!(duration("2d"), hours(48));
        assert_eq!((duration("1y"), duration("1y 2d"), duration("-1y")), (hours(8760), hours(8808), None));
        assert_eq!(duration("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!((duration("-1h"), duration("48"), duration("soon")), (None, None, None));
        assert_eq!(write_duration(Duration::from_secs(90_000)), "1d 1h");
        assert_eq!(write_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("512MiB"), Some(512 << 20));
        assert_eq!(bytes("1.5 GiB"), Some(3 << 29));
        assert_eq!(bytes("200MB"), Some(200_000_000));
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!((bytes("12 parsecs"), bytes(""), bytes("-5MB")), (None, None, None));
    }
}
