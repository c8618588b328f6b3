//! An incident that people work on is an alert until they close it, said again while nothing is said of it.

use serde_json::json;

use super::Work;
use crate::hub::effect::Effect;
use crate::hub::input::{NotAccepted, OfIncident};
use hal_base::clock::Time;
use hal_protocol::alert::{Alert, AlertRequest, INCIDENT_OPEN};
use hal_protocol::who::Who;
use hal_rules::alert::{self, AlertRaised};
use hal_rules::command::Refused;

impl Work {
    /// Somebody reports how an incident stands. The same again is fine.
    pub(super) fn incident(&mut self, reported: OfIncident, at: Time) {
        let OfIncident { request, who, reply } = reported;
        let open = self.view.stored.open_alert(INCIDENT_OPEN, &request.about).map(|open| Alert::clone(open));
        let answer = match (open, request.resolved) {
            (None, true) => {
                let sentence = format!("no open alert {INCIDENT_OPEN} of {}", request.about);
                Err(NotAccepted::Refused(Refused::NoSuch(sentence)))
            }
            (Some(open), true) => {
                let reported = Some(who.clone());
                let over = Alert { text: request.text.clone(), reported, ..alert::resolve(&open, at) };
                self.tell_alert("alert.resolved", &over, at);
                self.put_alert(over.clone());
                self.note_report("close incident", &over, &who, at);
                Ok(over)
            }
            (Some(open), false) => match alert::report(&open, request.severity, &request.text, at) {
                None => Ok(open),
                Some(changed) => {
                    let changed = Alert { reported: Some(who.clone()), ..changed };
                    self.say_alert(changed.clone(), at);
                    self.note_report("update incident", &changed, &who, at);
                    Ok(changed)
                }
            },
            (None, false) => self.open_incident(&request, &who, at),
        };
        self.effects.push(Effect::reply(reply, answer));
    }

    fn open_incident(&mut self, request: &AlertRequest, who: &Who, at: Time) -> Result<Alert, NotAccepted> {
        let AlertRequest { about, severity, text, .. } = request;
        self.raise(&AlertRaised { name: INCIDENT_OPEN, about, severity: *severity, text, lasting: true }, at);
        let opened = self.view.stored.open_alert(INCIDENT_OPEN, about).map(|alert| Alert::clone(alert));
        let opened = opened.ok_or_else(|| {
            NotAccepted::Refused(Refused::NoSuch(
                "the numbers of this supervisor's alerts are used up".to_owned(),
            ))
        })?;
        let opened = Alert { reported: Some(who.clone()), ..opened };
        self.put_alert(opened.clone());
        self.note_report("open incident", &opened, who, at);
        Ok(opened)
    }

    /// Nothing was said of it for a while.
    pub(super) fn remind(&mut self, id: u64, at: Time) {
        // It may be over since it was looked at.
        let open = self.view.stored.alerts.get(&id).filter(|alert| alert.is_open());
        if let Some(again) = open.map(|open| alert::remind(open, at)) {
            self.say_alert(again, at);
        }
    }

    fn note_report(&mut self, action: &str, alert: &Alert, who: &Who, at: Time) {
        let args = json!({"alert": alert.id, "severity": alert.severity, "text": alert.text});
        self.write_down(who, action, &*alert.about, &args, at);
    }
}
