//! The steps of an escalation, as they are kept: which were taken, and since when they count.

use super::Work;
use crate::hub::escalation::{COUNTED_SINCE, step_key};
use hal_base::clock::Time;
use hal_protocol::alert::Alert;
use hal_rules::escalation::MOST_STEPS;
use hal_rules::notice::SentNotice;
use hal_store::kept::TOLD;

impl Work {
    /// An alert fires again, or has grown worse: its steps begin with the first one.
    pub(super) fn begin_steps_anew(&mut self, alert: &Alert) {
        self.forget_steps(&self.view.subject_of_alert(alert.id));
        self.count_steps_since(alert.id, alert.changed_at);
    }

    /// Forgets the steps that were taken, and since when they are counted.
    pub(super) fn forget_steps(&mut self, subject: &str) {
        for step in COUNTED_SINCE..=MOST_STEPS {
            self.delete_kept(TOLD, &step_key(step, subject));
        }
    }

    /// From now on the steps of an alert count from then.
    pub(super) fn count_steps_since(&mut self, alert: u64, at: Time) {
        let key = step_key(COUNTED_SINCE, &self.view.subject_of_alert(alert));
        self.put_kept(TOLD, &key, &SentNotice { at, ..SentNotice::default() }, at);
    }
}
