//! A session that the provider had enough of: it goes on when the provider takes requests again.

use super::facts::{Doing, PolicyFacts};
use super::settings::Limits;
use super::{Judged, later, not};
use hal_base::clock::Time;

/// A coding agent that tries again by itself has this long to do so, in seconds.
const GRACE: u64 = 60;

pub(super) fn judge(limits: &Limits, facts: &PolicyFacts, now: Time) -> Judged {
    let opens = match facts.doing {
        Doing::Retrying => later(facts.opens.unwrap_or(facts.since).max(facts.since), GRACE),
        Doing::Idle if facts.limited && !facts.stopped => match facts.opens {
            Some(opens) if opens > facts.since => opens,
            _ => later(facts.since, limits.window_seconds),
        },
        _ => return not("no provider limits it"),
    };
    if now < opens {
        return Judged::Not(format!("the provider takes requests again at {opens}"), Some(opens));
    }
    let why = format!("the provider limited its rate, and takes requests again since {opens}");
    Judged::Is(format!("limited@{}", facts.since.0), why)
}
