//! A session that gets nowhere: the same command fails, no file changes, and tokens are spent meanwhile.

use super::facts::{Doing, PolicyFacts};
use super::settings::Limits;
use super::{Judged, later, not};
use hal_base::clock::Time;
use hal_protocol::session::Session;

pub(super) fn judge(limits: &Limits, session: &Session, facts: &PolicyFacts, now: Time) -> Judged {
    if !matches!(facts.doing, Doing::Busy | Doing::Retrying) {
        return not("no turn runs");
    }
    let Some(worst) = facts.worst().filter(|worst| worst.times >= limits.failures) else {
        return not(format!("no command has failed {} times in a row", limits.failures));
    };
    let spent = facts.tokens_since_change(session);
    if spent < limits.tokens_since_change {
        return not(format!("only {spent} tokens were used since a file was changed"));
    }
    let unchanged = facts.changed.as_ref().map_or(facts.first, |(at, _)| *at).max(worst.since);
    let over = later(unchanged, limits.unchanged_seconds);
    if now < over {
        return Judged::Not(format!("it is stuck at {over} if nothing changes"), Some(over));
    }
    let useful = match &facts.useful {
        Some((at, what)) => format!("it last {what} at {at}"),
        None => "it has changed nothing yet".to_owned(),
    };
    let why = format!(
        "`{}` has failed {} times since {}, {spent} tokens were used meanwhile, and {useful}",
        worst.command, worst.times, worst.since
    );
    Judged::Is(format!("stuck@{}", worst.since.0), why)
}
