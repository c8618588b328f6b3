//! A session that stands still before its work is done. What was stopped from outside is not taken up again.

use super::facts::{Doing, PolicyFacts, is_done};
use super::settings::Limits;
use super::{Judged, later, not};
use hal_base::clock::Time;
use hal_protocol::session::Session;

pub(super) fn judge(limits: &Limits, session: &Session, facts: &PolicyFacts, now: Time) -> Judged {
    if facts.doing != Doing::Idle {
        return not("a turn runs");
    }
    if facts.turns == 0 {
        return not("it never had a prompt");
    }
    if facts.stopped {
        return not("its turn was stopped from outside");
    }
    if facts.limited {
        return not("the provider limited its rate: that is for rate_limited");
    }
    let open = session.todo.iter().filter(|one| !is_done(&one.status)).count();
    if limits.only_with_open_todo && open == 0 {
        return not("nothing is open on its todo list");
    }
    let due = later(facts.since, limits.idle_seconds);
    if now < due {
        return Judged::Not(format!("it is idle since {}, too long from {due} on", facts.since), Some(due));
    }
    let why = format!("it is idle since {}, with {open} open todos", facts.since);
    Judged::Is(format!("idle@{}", facts.since.0), why)
}
