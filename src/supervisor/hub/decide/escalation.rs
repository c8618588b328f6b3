//! An alert that nobody acknowledges in time goes one step up. Each step is kept with the alert, in the transaction that
//! puts its notices into the queues, so that a supervisor which is killed in between goes on where it was.

use serde_json::json;

use super::Work;
use crate::hub::escalation::step_key;
use hal_base::clock::Time;
use hal_protocol::alert::{Alert, AlertState};
use hal_protocol::notice::{Notice, NoticeKind, NoticeState};
use hal_protocol::silence::Silence;
use hal_rules::escalation::{EscalationDue, MOST_STEPS, next};
use hal_rules::notice::SentNotice;
use hal_rules::route::{NoticeHold, silence};
use hal_store::kept::TOLD;

impl Work {
    /// Takes the steps whose time has come. Whoever is told nothing of an alert cannot acknowledge it: none is taken while a
    /// silence holds for it.
    pub(super) fn escalate(&mut self, at: Time) {
        let steps = self.view.settings.clone();
        if steps.escalation.is_empty() {
            return;
        }
        let silences: Vec<Silence> = self.silences().collect();
        let due: Vec<(Alert, EscalationDue)> = self
            .firing()
            .filter_map(|alert| {
                let (since, taken) = (self.view.counted_since(alert), self.view.last_step(alert.id));
                let due = next(&steps.escalation, alert, since, taken)?;
                let is_silent = || silences.iter().any(|one| self.is_held_by(one, alert, at));
                (due.at <= at && !is_silent()).then(|| (alert.clone(), due))
            })
            .collect();
        for (alert, due) in due {
            self.step_up(&alert, &due, at);
        }
    }

    fn firing(&self) -> impl Iterator<Item = &Alert> {
        let alerts = self.view.stored.alerts.values().map(|alert| &**alert);
        alerts.filter(|alert| alert.status == AlertState::Firing)
    }

    fn is_held_by(&self, one: &Silence, alert: &Alert, at: Time) -> bool {
        let notice = self.notice_of(alert, self.node_of_alert(alert), at);
        silence::holds(one, &self.view.facts_of(&notice, at), at)
    }

    fn step_up(&mut self, alert: &Alert, due: &EscalationDue, at: Time) {
        let minutes = at.since(self.view.counted_since(alert)).as_secs_f64() / 60.0;
        let node = self.node_of_alert(alert);
        let mut notice = self.notice_of(alert, node.clone(), at);
        notice.kind = NoticeKind::Raised;
        notice.title = format!(
            "{}: nobody has acknowledged it for {minutes:.1} minutes (step {})",
            notice.title, due.step
        );
        let key = step_key(due.step, &notice.subject);
        self.put_kept(TOLD, &key, &SentNotice { reference: due.channels.join(", "), at }, at);
        let data = json!({"id": alert.id, "name": alert.name, "about": alert.about, "severity": alert.severity.as_str(),
            "step": due.step, "channels": due.channels});
        self.note(&node, "alert.escalated", &data, at);
        let known = self.view.settings.routing.channels.clone();
        for way in known.into_iter().filter(|way| due.channels.contains(&way.name)) {
            let hold = self.hold_of_step(&way.name, &notice, at);
            self.queue_now(&way.name, &notice, hold, at);
        }
    }

    /// A channel whose quiet hours hold, or for which the alert itself still waits, is told no earlier by a step.
    fn hold_of_step(&self, channel: &str, notice: &Notice, at: Time) -> NoticeHold {
        let facts = self.view.facts_of(notice, at);
        let hold = self.view.settings.routing.step_hold(channel, notice.severity, &facts, at);
        let is_unsent = |row: &hal_protocol::notice::Queued| {
            row.state == NoticeState::Waiting && row.tries == 0 && row.is_about(&notice.subject)
        };
        match self.view.queue(channel).find(is_unsent) {
            Some(waits) => hold.or_until(waits.not_before, &waits.why),
            None => hold,
        }
    }

    /// Silences that have ended with this input: only now are people told of their alerts, and steps count from here.
    pub(super) fn count_after_silences(&mut self, at: Time) {
        for (silence, until) in std::mem::take(&mut self.unsilenced) {
            let held = self.firing().filter(|alert| self.is_held_by(&silence, alert, until));
            let held: Vec<u64> = held.map(|alert| alert.id).collect();
            for alert in held {
                self.count_steps_since(alert, at);
            }
        }
    }

    /// The clock was set: steps come as late as before.
    pub(super) fn move_steps(&mut self, moved: impl Fn(Time) -> Time, at: Time) {
        let firing: Vec<(u64, Time)> =
            self.firing().map(|alert| (alert.id, self.view.counted_since(alert))).collect();
        for (alert, since) in firing {
            self.count_steps_since(alert, moved(since));
            let subject = self.view.subject_of_alert(alert);
            for key in (1..=MOST_STEPS).map(|step| step_key(step, &subject)) {
                if let Some(taken) = self.view.kept(TOLD, &key) {
                    self.put_kept(TOLD, &key, &SentNotice { at: moved(taken.at), ..taken }, at);
                }
            }
        }
    }
}
