//! An alert that nobody acknowledges in time goes one step up. Each step is kept with the alert, in the transaction that
//! puts its notices into the queues, so that a supervisor which is killed in between goes on where it was.

use serde_json::json;

use super::Work;
use crate::hub::escalation::step_key;
use hal_base::clock::Time;
use hal_protocol::alert::{Alert, AlertState};
use hal_protocol::notice::NoticeKind;
use hal_rules::escalation::{EscalationDue, next};
use hal_rules::notice::SentNotice;
use hal_rules::route::NoticeHold;
use hal_store::kept::TOLD;

impl Work {
    /// Takes the steps whose time has come.
    pub(super) fn escalate(&mut self, at: Time) {
        let steps = self.view.settings.clone();
        if steps.escalation.is_empty() {
            return;
        }
        let due: Vec<(Alert, EscalationDue)> = self
            .view
            .stored
            .alerts
            .values()
            .filter(|alert| alert.status == AlertState::Firing)
            .filter_map(|alert| {
                let due = next(&steps.escalation, alert, self.view.last_step(alert.id))?;
                (due.at <= at).then(|| (Alert::clone(alert), due))
            })
            .collect();
        for (alert, due) in due {
            self.step_up(&alert, &due, at);
        }
    }

    fn step_up(&mut self, alert: &Alert, due: &EscalationDue, at: Time) {
        let minutes = at.since(alert.started_at).as_secs_f64() / 60.0;
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
            self.queue_now(&way.name, &notice, NoticeHold::default(), at);
        }
    }
}
