//! What the view knows of who was told of an alert, and who is next.

use super::view::View;
use hal_base::clock::Time;
use hal_protocol::alert::{Alert, AlertNext, AlertTold, AlertView};
use hal_protocol::notice::NoticeState;
use hal_rules::escalation::{MOST_STEPS, next};
use hal_store::kept::TOLD;

/// The name under which a step is kept: beside what channels were told, under a name that no channel has.
pub fn step_key(step: usize, subject: &str) -> String {
    format!("#{step}/{subject}")
}

/// In the place of a step: since when the steps of an alert are counted, where that is not when it was first raised.
pub const COUNTED_SINCE: usize = 0;

impl View {
    /// The subject of an alert's notices.
    pub fn subject_of_alert(&self, id: u64) -> String {
        self.subject_of("alert", &id.to_string())
    }

    /// What belongs together at a far side that many supervisors may tell things.
    pub fn subject_of(&self, kind: &str, id: &str) -> String {
        format!("{}-{kind}-{id}", self.stored.store_id)
    }

    /// Since when the steps of an alert are counted.
    pub fn counted_since(&self, alert: &Alert) -> Time {
        let key = step_key(COUNTED_SINCE, &self.subject_of_alert(alert.id));
        self.kept(TOLD, &key).map_or(alert.started_at, |row| row.at)
    }

    /// The last step that was taken for an alert, and when.
    pub fn last_step(&self, id: u64) -> Option<(usize, Time)> {
        let subject = self.subject_of_alert(id);
        let taken = |step: usize| Some((step, self.kept(TOLD, &step_key(step, &subject))?.at));
        (1..=MOST_STEPS).rev().find_map(taken)
    }

    /// An alert with who was told of it, for whom it waits, and who is next.
    pub fn alert_view(&self, alert: &Alert) -> AlertView {
        let subject = self.subject_of_alert(alert.id);
        let mut told = Vec::new();
        for way in &self.settings.routing.channels {
            if let Some(sent) = self.told(&way.name, &subject) {
                told.push(AlertTold {
                    channel: way.name.clone(),
                    at: sent.at,
                    step: None,
                    why: String::new(),
                });
            }
            for row in self.queue(&way.name).filter(|row| row.is_about(&subject)) {
                let word = if row.state == NoticeState::Undelivered { "given up" } else { "waiting" };
                let why = if row.why.is_empty() { word.to_owned() } else { format!("{word}: {}", row.why) };
                told.push(AlertTold { channel: way.name.clone(), at: Time::default(), step: None, why });
            }
        }
        for step in 1..=MOST_STEPS {
            if let Some(taken) = self.kept(TOLD, &step_key(step, &subject)) {
                let (channel, at, why) = (taken.reference, taken.at, "nobody had acknowledged it".to_owned());
                told.push(AlertTold { channel, at, step: Some(step), why });
            }
        }
        let (since, taken) = (self.counted_since(alert), self.last_step(alert.id));
        let due = next(&self.settings.escalation, alert, since, taken);
        let next = due.map(|due| AlertNext { step: due.step, at: due.at, channels: due.channels });
        AlertView { alert: alert.clone(), told, next }
    }
}
