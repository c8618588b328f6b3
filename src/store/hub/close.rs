//! The end of an open store: everything is durable, and the log is done with.

use super::Store;
use crate::StoreError;
use crate::schema::SCHEMA_WHOLE;
use crate::tables::META;

impl Store {
    /// Makes everything durable and says in the file that it needs no log, so that it can be put aside and taken back
    /// without one.
    pub(crate) fn leave(&self) -> Result<(), StoreError> {
        let applier = self.committer().applier.take();
        if let Some(applier) = applier {
            applier.stop(&self.shared);
        }
        if self.shared.is_broken() {
            return Ok(());
        }
        self.transaction(|txn| {
            txn.open_table(META)?.insert("schema", SCHEMA_WHOLE)?;
            Ok(())
        })
    }

    /// Makes everything durable and ends the thread. A store that was left as the release before this one can read it
    /// has no log then.
    pub fn close(&self) {
        let mut committer = self.committer();
        let Some(applier) = committer.applier.take() else { return };
        applier.stop(&self.shared);
        let is_done = committer.is_as_before && !committer.is_broken && !self.shared.is_broken();
        committer.is_closed = true;
        let guard = self.shared.guard();
        let log = guard.as_ref().and_then(|open| open.log.as_ref()).filter(|_| is_done);
        if let Some(Err(error)) = log.map(|log| log.clear()) {
            tracing::warn!(%error, "the log, which is done with, cannot be removed");
        }
    }
}
