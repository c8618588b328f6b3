//! A session that nobody has used for long, or that is too old altogether.

use super::facts::{Doing, PolicyFacts};
use super::settings::Limits;
use super::{Judged, later, not};
use hal_base::clock::Time;

pub(super) fn judge(limits: &Limits, facts: &PolicyFacts, now: Time) -> Judged {
    let total = (limits.total_seconds > 0).then(|| later(facts.first, limits.total_seconds));
    if total.is_some_and(|total| now >= total) {
        let why = format!("it is older than {} s", limits.total_seconds);
        return Judged::Is(format!("total@{}", facts.first.0), why);
    }
    let is_idle = facts.doing == Doing::Idle && limits.idle_seconds > 0;
    let idle = is_idle.then(|| later(facts.since, limits.idle_seconds));
    if idle.is_some_and(|idle| now >= idle) {
        let why = format!("no turn has run for {} s", limits.idle_seconds);
        return Judged::Is(format!("idle@{}", facts.since.0), why);
    }
    match total.into_iter().chain(idle).min() {
        None => not("a turn runs, and no total time is set"),
        Some(next) => Judged::Not(format!("it times out at {next} at the earliest"), Some(next)),
    }
}
