//! The life of an alert: raised once however often it is seen, acknowledged by a person, resolved by itself.

use std::time::Duration;

use hal_base::clock::Time;
use hal_protocol::alert::{Alert, AlertState, INCIDENT_OPEN, Severity};
use hal_protocol::who::Who;

/// Characters of a text that are kept: it may hold what a program has said.
const MAX_TEXT: usize = 2_000;

/// Something that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRaised<'a> {
    /// The alert's name, such as `node.offline`.
    pub name: &'a str,
    /// What it is about.
    pub about: &'a str,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence for people: what is wrong, and what to do.
    pub text: &'a str,
    /// True when it ends by itself.
    pub lasting: bool,
}

/// What becomes of an alert when it is seen. A state that goes on is one alert and says nothing new; something that
/// happens again is counted.
pub fn raise(open: Option<&Alert>, id: u64, seen: &AlertRaised<'_>, at: Time) -> Option<Alert> {
    let text = cut(seen.text);
    match open {
        Some(open) if seen.lasting && open.severity >= seen.severity => None,
        // What grows worse is said again, to whoever has seen the milder one, too.
        Some(open) if seen.lasting => Some(Alert {
            severity: seen.severity,
            status: AlertState::Firing,
            acknowledged_by: String::new(),
            acknowledged: None,
            text,
            changed_at: at,
            ..open.clone()
        }),
        Some(open) => Some(Alert {
            severity: open.severity.max(seen.severity),
            text,
            count: open.count.saturating_add(1),
            changed_at: at,
            ..open.clone()
        }),
        None => Some(Alert {
            id,
            name: seen.name.to_owned(),
            about: seen.about.to_owned(),
            severity: seen.severity,
            status: AlertState::Firing,
            text,
            lasting: seen.lasting,
            count: 1,
            started_at: at,
            changed_at: at,
            acknowledged_by: String::new(),
            acknowledged: None,
            reported: None,
        }),
    }
}

/// What people say of something that goes on: how it stands now. `None`: nothing new. What grows worse is for everybody
/// again, as in [`raise`].
pub fn report(open: &Alert, severity: Severity, text: &str, at: Time) -> Option<Alert> {
    let text = cut(text);
    let is_worse = severity > open.severity;
    (severity != open.severity || text != open.text).then(|| Alert {
        severity,
        status: if is_worse { AlertState::Firing } else { open.status },
        acknowledged_by: if is_worse { String::new() } else { open.acknowledged_by.clone() },
        acknowledged: open.acknowledged.clone().filter(|_| !is_worse),
        text,
        changed_at: at,
        ..open.clone()
    })
}

/// True when people are to hear of it again: nothing was said of it for so long.
pub fn is_due(alert: &Alert, every: Duration, now: Time) -> bool {
    alert.name == INCIDENT_OPEN && alert.is_open() && now.since(alert.changed_at) >= every
}

/// Said again, since it goes on.
pub fn remind(alert: &Alert, at: Time) -> Alert {
    Alert { count: alert.count.saturating_add(1), changed_at: at, ..alert.clone() }
}

/// A person says that they know. What happened once is over with that; what lasts goes on. The first one counts.
pub fn acknowledge(alert: &Alert, who: &Who, at: Time) -> Option<Alert> {
    let status = if alert.lasting { AlertState::Acknowledged } else { AlertState::Resolved };
    (alert.status == AlertState::Firing).then(|| Alert {
        status,
        acknowledged_by: who.name.clone(),
        acknowledged: Some(who.clone()),
        changed_at: at,
        ..alert.clone()
    })
}

/// It is so no more.
pub fn resolve(alert: &Alert, at: Time) -> Alert {
    Alert { status: AlertState::Resolved, changed_at: at, ..alert.clone() }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Who {
        Who::on_this_machine(name, "uid 1000", "halctl")
    }

    fn seen(severity: Severity, lasting: bool) -> AlertRaised<'static> {
        AlertRaised { name: "disk.low", about: "", severity, text: "5 % are free", lasting }
    }

    #[test]
    fn what_lasts_is_raised_once_and_again_only_when_it_grows_worse() {
        let first = raise(None, 7, &seen(Severity::Medium, true), Time(1)).unwrap();
        assert_eq!((first.id, first.status, first.count), (7, AlertState::Firing, 1));
        assert_eq!(raise(Some(&first), 8, &seen(Severity::Medium, true), Time(2)), None);
        let known = acknowledge(&first, &who("ada"), Time(3)).unwrap();
        assert_eq!(known.status, AlertState::Acknowledged);
        assert_eq!(acknowledge(&known, &who("bob"), Time(4)), None, "the first one counts");
        assert_eq!(raise(Some(&known), 8, &seen(Severity::Low, true), Time(5)), None);
        let worse = raise(Some(&known), 8, &seen(Severity::Critical, true), Time(6)).unwrap();
        assert_eq!((worse.id, worse.status), (7, AlertState::Firing));
        assert_eq!(resolve(&worse, Time(7)).status, AlertState::Resolved);
    }

    #[test]
    fn what_happens_again_is_counted_and_is_over_when_somebody_knows() {
        let first = raise(None, 1, &seen(Severity::High, false), Time(1)).unwrap();
        let again = raise(Some(&first), 2, &seen(Severity::Medium, false), Time(2)).unwrap();
        assert_eq!((again.id, again.count, again.severity), (1, 2, Severity::High));
        assert_eq!(acknowledge(&again, &who("ada"), Time(3)).unwrap().status, AlertState::Resolved);
    }

    #[test]
    fn an_incident_is_said_again_until_it_is_over() {
        let opened = AlertRaised { name: INCIDENT_OPEN, text: "web-1 is gone", ..seen(Severity::High, true) };
        let open = raise(None, 1, &opened, Time(0)).unwrap();
        let every = Duration::from_secs(900);
        assert!(!is_due(&open, every, Time(899_999)) && is_due(&open, every, Time(900_000)));
        let again = remind(&acknowledge(&open, &who("ada"), Time(5)).unwrap(), Time(900_000));
        assert_eq!((again.count, again.status), (2, AlertState::Acknowledged));
        assert!(!is_due(&again, every, Time(900_001)), "and then from the last time on");
        assert_eq!(report(&again, Severity::High, "web-1 is gone", Time(901_000)), None);
        let told = report(&again, Severity::Medium, "half is back", Time(901_000)).unwrap();
        assert_eq!((told.status, told.changed_at), (AlertState::Acknowledged, Time(901_000)));
        let worse = report(&told, Severity::Critical, "all are gone", Time(902_000)).unwrap();
        assert_eq!((worse.status, worse.acknowledged_by.as_str()), (AlertState::Firing, ""));
        assert!(!is_due(&resolve(&worse, Time(903_000)), every, Time(9_000_000)));
        assert!(!is_due(
            &raise(None, 2, &seen(Severity::High, true), Time(0)).unwrap(),
            every,
            Time(9_000_000)
        ));
    }

    #[test]
    fn a_text_is_bounded() {
        let long = "ä".repeat(MAX_TEXT + 5);
        let alert =
            raise(None, 1, &AlertRaised { text: &long, ..seen(Severity::Low, false) }, Time(1)).unwrap();
        assert_eq!(alert.text.chars().count(), MAX_TEXT + 1);
    }
}
