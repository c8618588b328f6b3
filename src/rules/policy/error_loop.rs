//! A session whose turns fail one after another.

use super::facts::{Doing, PolicyFacts};
use super::settings::Limits;
use super::{Judged, not};
use hal_protocol::session::Session;

pub(super) fn judge(limits: &Limits, session: &Session, facts: &PolicyFacts) -> Judged {
    // A turn that still runs may yet overcome it.
    if facts.errors < limits.failures || facts.doing != Doing::Idle {
        return not(format!("{} of {} turns in a row have failed", facts.errors, limits.failures));
    }
    let last = session.error.as_deref().unwrap_or("no reason was given");
    let why = format!("{} turns in a row have failed, the last one with: {last}", facts.errors);
    // Only a turn that goes well makes the count begin again; more of the same are the same loop.
    Judged::Is(format!("errors@turn{}", facts.turns.saturating_sub(facts.errors)), why)
}
