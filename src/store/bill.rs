//! Under which names the supervisor keeps what providers bill: see [`super::state`].

/// Days of bills that are kept for each provider: a year and the month before, to compare with.
pub const KEPT_DAYS: usize = 400;

/// The key of a day's bill, such as `anthropic/2026-11-26`.
pub fn key(provider: &str, date: &str) -> String {
    format!("{provider}/{date}")
}
