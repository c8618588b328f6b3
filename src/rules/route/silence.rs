//! Silences: alerts that nobody is told of for a while, though they are raised and shown as ever.

use super::facts::RouteFacts;
use super::matcher::{Matcher, Mistake, RouteScope};
use hal_base::clock::Time;
use hal_protocol::silence::Silence;

/// True when this silence holds for an alert.
pub fn holds(silence: &Silence, facts: &RouteFacts, at: Time) -> bool {
    silence.until > at
        && Matcher::parse(&silence.matches).is_ok_and(|matcher| matcher.is_so(facts).unwrap_or_default())
}

/// Refuses what is not about alerts.
pub fn check(matches: &str) -> Result<(), Mistake> {
    let matcher = Matcher::parse(matches)?;
    if matcher.scope() == RouteScope::Alert {
        return Ok(());
    }
    let sentence =
        "names no alert; a silence is for alerts, such as node.offline or alert.about == \"web-1\"";
    Err(Mistake { range: 0..matches.len(), sentence: sentence.to_owned(), meant: None })
}
