//! Rehearsals of a recovery: whether what was restored is what was there, and when the next one is due.

use std::time::Duration;

use hal_base::clock::Time;
use hal_protocol::alert::Severity;
use hal_protocol::backup::{Rehearsal, RehearsalCounts};

use crate::watch::WatchFinding;

/// One that is due and was not made is told of so much later: a machine may have been off, or busy.
const GRACE: Duration = Duration::from_secs(7 * 86_400);

/// After one that failed the next is made so much later.
pub const AGAIN: Duration = Duration::from_secs(86_400);

/// What is wrong with what was restored. `saved`: what the backup says that it holds. `running`: what the supervisor has of
/// the same days and no later.
pub fn judge(
    saved: &RehearsalCounts,
    restored: &RehearsalCounts,
    running: &RehearsalCounts,
) -> Option<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, expected: u64, found: u64| {
        if expected != found {
            wrong.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    compare("events", saved.events, restored.events);
    compare("sessions", saved.sessions, restored.sessions);
    compare("cost of the days before, in millionths of a dollar", running.cost_micros, restored.cost_micros);
    compare("tokens of the days before", running.tokens, restored.tokens);
    if restored.newest_event > running.newest_event {
        wrong.push(format!(
            "the backup holds event {}, and the supervisor none after {}: is it of this supervisor?",
            restored.newest_event, running.newest_event
        ));
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// True when another one is to be made. `every`: zero: none by itself. `since`: since when this supervisor has known of
/// rehearsals.
pub fn is_due(last: Option<&Rehearsal>, since: Time, every: Duration, now: Time) -> bool {
    let wait = match last {
        Some(last) if last.problem.is_some() => AGAIN.min(every),
        _ => every,
    };
    !every.is_zero() && now.since(last.map_or(since, |last| last.at)) >= wait
}

/// What is worth an alert: one that failed, or none for too long.
pub fn finding(last: Option<&Rehearsal>, since: Time, every: Duration, now: Time) -> WatchFinding {
    if let Some((last, why)) = last.and_then(|last| last.problem.as_ref().map(|why| (last, why))) {
        let text = format!(
            "a recovery was rehearsed at {} with {}, and failed: {why}; look at it with `halctl backup verify`, then \
             rehearse again: halctl backup rehearse",
            last.at,
            if last.backup.is_empty() { "no backup" } else { &last.backup }
        );
        return Some((Severity::High, text));
    }
    let before = last.map_or(since, |last| last.at);
    (!every.is_zero() && now.since(before) >= every + GRACE).then(|| {
        let days = now.since(before).as_secs() / 86_400;
        let text = format!(
            "no recovery was rehearsed for {days} days: nobody knows whether the backups can be restored, and how long that \
             takes; rehearse one: halctl backup rehearse"
        );
        (Severity::Medium, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: Duration = Duration::from_secs(30 * 86_400);

    fn days(days: i64) -> Time {
        Time(1_795_450_273_000 + days * 86_400_000)
    }

    fn counts(events: u64, newest_event: u64, cost_micros: u64) -> RehearsalCounts {
        RehearsalCounts { events, newest_event, sessions: 3, cost_micros, tokens: 7 }
    }

    #[test]
    fn what_is_restored_is_what_the_backup_holds_and_what_the_supervisor_has() {
        let saved = counts(100, 120, 0);
        assert_eq!(judge(&saved, &counts(100, 120, 500), &counts(110, 140, 500)), None);
        let less = judge(&saved, &counts(99, 120, 500), &counts(110, 140, 500)).unwrap();
        assert_eq!(less, "events: expected 100, found 99");
        let cheaper = judge(&saved, &counts(100, 120, 400), &counts(110, 140, 500)).unwrap();
        assert!(cheaper.contains("expected 500, found 400"), "{cheaper}");
        let other = judge(&saved, &counts(100, 120, 500), &counts(50, 60, 500)).unwrap();
        assert!(other.contains("is it of this supervisor?"), "{other}");
    }

    #[test]
    fn one_is_due_each_month_and_a_day_after_one_that_failed() {
        let good = Rehearsal { at: days(0), ..Rehearsal::default() };
        let bad = Rehearsal { problem: Some("why".into()), ..good.clone() };
        assert!(!is_due(None, days(0), MONTH, days(29)) && is_due(None, days(0), MONTH, days(30)));
        assert!(
            !is_due(Some(&good), days(-99), MONTH, days(29))
                && is_due(Some(&good), days(-99), MONTH, days(30))
        );
        assert!(
            !is_due(Some(&bad), days(-99), MONTH, days(0)) && is_due(Some(&bad), days(-99), MONTH, days(1))
        );
        assert!(!is_due(None, days(0), Duration::ZERO, days(999)), "nobody wants any");
        // A clock that was set back delays it, and no more.
        assert!(!is_due(Some(&good), days(0), MONTH, days(-5)));
    }

    #[test]
    fn one_that_failed_and_none_for_long_are_told() {
        let good = Rehearsal { at: days(0), ..Rehearsal::default() };
        assert_eq!(finding(Some(&good), days(0), MONTH, days(36)), None);
        let (severity, text) = finding(Some(&good), days(0), MONTH, days(37)).unwrap();
        assert!(severity == Severity::Medium && text.contains("for 37 days"), "{text}");
        let bad = Rehearsal { problem: Some("it is damaged".into()), ..good };
        let (severity, text) = finding(Some(&bad), days(0), Duration::ZERO, days(0)).unwrap();
        assert!(severity == Severity::High && text.contains("it is damaged"), "{text}");
    }
}
