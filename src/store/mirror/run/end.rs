//! The end of the mirror's thread.

use super::Runner;

/// Windows at the end at most: what is still missing then comes with the next start.
const LAST: usize = 20;

impl Runner {
    /// The last window, then nothing is left beside the file.
    pub(super) fn end(mut self) {
        for _ in 0..LAST {
            let is_behind =
                self.store.read().and_then(|reader| reader.last_change()).unwrap_or(0) > self.standing.change;
            if !is_behind || self.step(true).is_err() {
                break;
            }
        }
        if let Some(file) = self.file.take() {
            file.close();
        }
        // The hub has ended: nothing follows.
        self.store.close();
    }
}
