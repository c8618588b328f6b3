//! Escalation: an alert that nobody acknowledges goes one step up after another, each to more people, until somebody does.

use std::time::Duration;

use hal_base::clock::Time;
use hal_protocol::alert::{Alert, AlertState, Severity};

/// Steps in a configuration.
pub const MOST_STEPS: usize = 10;

/// One step of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationStep {
    /// For alerts that matter at least so much; others pass over it.
    pub severity: Severity,
    /// How long nobody has acknowledged the alert since it last began to fire, or since the step before.
    pub wait: Duration,
    /// Who is told then.
    pub channels: Vec<String>,
}

/// A step that is to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationDue {
    /// Which one, counted from 1.
    pub step: usize,
    /// When.
    pub at: Time,
    /// Who is told then.
    pub channels: Vec<String>,
}

/// The next step of an alert, when there is one. `since`: when people could first know of it as it is now. `taken`: the last
/// step that was taken since, and when.
pub fn next(
    steps: &[EscalationStep],
    alert: &Alert,
    since: Time,
    taken: Option<(usize, Time)>,
) -> Option<EscalationDue> {
    if alert.status != AlertState::Firing {
        return None;
    }
    let (last, since) = taken.map_or((0, since), |(last, at)| (last, at.max(since)));
    let rest = steps.iter().enumerate().skip(last);
    let (at, step) = rest.into_iter().find(|(_, step)| alert.severity >= step.severity)?;
    Some(EscalationDue { step: at + 1, at: since.plus(step.wait), channels: step.channels.clone() })
}

/// True when an alert begins to fire anew: it does so again after somebody knew of it, or it has grown worse.
pub fn begins_anew(before: &Alert, now: &Alert) -> bool {
    now.status == AlertState::Firing
        && (before.status != AlertState::Firing || now.severity > before.severity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(severity: Severity, minutes: u64, channel: &str) -> EscalationStep {
        EscalationStep {
            severity,
            wait: Duration::from_secs(minutes * 60),
            channels: vec![channel.to_owned()],
        }
    }

    #[test]
    fn steps_are_taken_one_after_the_other_until_somebody_knows() {
        let steps = [
            step(Severity::High, 30, "email"),
            step(Severity::Critical, 5, "pagerduty"),
            step(Severity::High, 60, "n8n"),
        ];
        let minutes = |count: i64| Time(count * 60_000);
        let mut alert = Alert { severity: Severity::High, ..Alert::default() };
        let of = |alert: &Alert, taken| next(&steps, alert, Time(0), taken).map(|due| (due.step, due.at));
        assert_eq!(of(&alert, None), Some((1, minutes(30))));
        assert_eq!(
            of(&alert, Some((1, minutes(31)))),
            Some((3, minutes(91))),
            "the second is for worse ones"
        );
        assert_eq!(of(&alert, Some((3, minutes(91)))), None, "there are no more");
        alert.severity = Severity::Critical;
        assert_eq!(of(&alert, Some((1, minutes(31)))), Some((2, minutes(36))));
        alert.severity = Severity::Medium;
        assert_eq!(of(&alert, None), None);
        alert = Alert { severity: Severity::Critical, status: AlertState::Acknowledged, ..alert };
        assert_eq!(of(&alert, None), None, "somebody knows");
    }

    #[test]
    fn steps_count_from_when_it_last_began_to_fire() {
        let steps = [step(Severity::High, 30, "email"), step(Severity::High, 30, "pagerduty")];
        let alert = Alert { severity: Severity::High, ..Alert::default() };
        let known = Alert { status: AlertState::Acknowledged, ..alert.clone() };
        let worse = Alert { severity: Severity::Critical, ..alert.clone() };
        assert!(begins_anew(&known, &worse) && begins_anew(&alert, &worse) && begins_anew(&known, &alert));
        assert!(!begins_anew(&alert, &alert) && !begins_anew(&worse, &alert) && !begins_anew(&worse, &known));
        let hour = Time(3_600_000);
        assert_eq!(next(&steps, &worse, hour, None).map(|due| due.at), Some(Time(5_400_000)));
        let taken = Some((1, Time(60_000)));
        assert_eq!(
            next(&steps, &worse, hour, taken).map(|due| (due.step, due.at)),
            Some((2, Time(5_400_000)))
        );
    }
}
