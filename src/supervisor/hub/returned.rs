//! What the hub looks up before it decides on events that come back, or are said again: only this thread writes, so
//! nothing comes in between.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::decide::Work;
use super::input::Input;
use super::{Owner, Tally};
use hal_store::StoreError;
use hal_store::mirror::compare::identity_of;
use hal_store::mirror::restore::Portion;
use hal_store::returned::named;

impl<T: Tally> Owner<T> {
    /// Prepares for an input: which of its events are there already.
    pub(super) fn look_up(&self, work: &mut Work, input: &mut Input) -> Result<(), StoreError> {
        work.returned.clear();
        match input {
            Input::Return { portion, .. } => self.settle(work, portion),
            Input::Events { from, batch } if work.view.stored.returned_nodes.contains(&from.node) => {
                let node = from.node.as_str();
                let ids = batch.events.iter().map(|event| event.id.as_str());
                work.returned = self.store.read()?.returned(node, ids.clone())?;
                // Those of this very batch are not in the store yet.
                let fresh: HashSet<&String> = work.batch.returned.iter().collect();
                let just = ids.filter(|id| fresh.contains(&named(node, id))).map(str::to_owned);
                work.returned.extend(just);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes out what its node has told again since the portion was made, and finds numbers that are free.
    fn settle(&self, work: &mut Work, portion: &mut Portion) -> Result<(), StoreError> {
        if portion.events.is_empty() {
            return Ok(());
        }
        let reader = self.store.read()?;
        let (mut known, last) = reader.identities_after(portion.seen)?;
        known.extend(work.batch.events.iter().map(identity_of));
        let before = portion.events.len();
        portion.events.retain(|event| known.insert(identity_of(event)));
        portion.came.fetch_add((before - portion.events.len()) as u64, Ordering::Relaxed);
        for event in &portion.events {
            if event.seq <= last.min(work.view.stored.last_seq) && !reader.has_event(event.seq)? {
                work.free.insert(event.seq);
            }
        }
        Ok(())
    }
}
