//! Status of the mirror's thread: tells the store where it stands, and everybody else how it is.

use std::sync::PoisonError;
use std::time::Duration;

use super::{PATIENCE, Runner};
use crate::hub::Mark;
use crate::mirror::MirrorHealth;
use hal_base::clock::Stopwatch;

impl Runner {
    /// Tells the store where its mirror stands.
    pub(super) fn mark(&mut self) {
        self.whole = self.standing.epoch;
        self.store.leave_mark(Mark { epoch: self.standing.epoch, position: self.standing.change });
    }

    pub(super) fn report_status(&mut self, behind: bool) {
        match behind {
            true => drop(self.waiting.get_or_insert_with(Stopwatch::start)),
            false => self.waiting = None,
        }
        let lag = self.waiting.as_ref().map_or(Duration::ZERO, Stopwatch::elapsed);
        let no_leases = self.file.as_ref().and_then(|file| file.no_leases.as_ref());
        let trouble = match (no_leases, &self.held) {
            (Some(why), _) => Some(format!("no plain copies: this file system gives no leases ({why})")),
            (None, Some(held)) if held.elapsed() > PATIENCE.1 => {
                Some("somebody has supervisor.db open for long".to_owned())
            }
            _ => None,
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.file.as_ref().and_then(|file| file.live_bytes().ok()).unwrap_or(health.bytes);
        let (rows, comparisons) = (self.standing.rows(), self.scrub.rounds);
        *health = MirrorHealth { lag, rows, bytes, comparisons, trouble };
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).trouble = trouble;
    }
}
