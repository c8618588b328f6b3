//! Another store takes the place of this one, while the supervisor runs.

use std::path::Path;

use super::{Owner, Tally};
use hal_base::cause::chain;
use hal_base::clock::{self, Time};
use hal_protocol::audit::Head;
use hal_store::StoreError;

impl<T: Tally> Owner<T> {
    /// Puts a store in place that was made from what an operator has restored. The view is made anew from it, and
    /// every agent says hello again: what it still holds and the new store does not know comes back.
    pub(super) fn replace(&mut self, fresh: &Path) -> Result<(), StoreError> {
        let before = self.store.audit_head();
        let (aside, loaded) = match self.store.replace(fresh) {
            Ok(replaced) => replaced,
            Err(error) => {
                self.health.send_modify(|health| health.store = Some(chain(&error)));
                return Err(error);
            }
        };
        let view = self.view.load().again(loaded);
        self.chain_audit(Some(before), false, clock::now());
        tracing::warn!(aside = %aside.display(), "another store is in place; the one before is set aside");
        self.refused.clear();
        self.waiters.clear();
        self.show(view);
        for (_, link) in self.links.drain() {
            link.close.close("the supervisor has another store now; say hello again");
        }
        Ok(())
    }

    /// Says in the audit record what of its chain this store does not have. Where that cannot be written now, the next
    /// start says it.
    pub(super) fn chain_audit(&self, before: Option<Head>, is_lost: bool, at: Time) {
        if let Err(error) = self.store.chain_audit(before, is_lost, at) {
            tracing::error!(
                error = chain(&error),
                "the audit record does not say yet that another store is in place"
            );
        }
    }
}
