//! Events that came back from a store that was set aside: their nodes may still say them again.

use std::collections::{BTreeSet, HashSet};

use redb::{TableError, WriteTransaction};

use super::StoreError;
use super::reader::Reader;
use super::tables::RETURNED;
use hal_protocol::event::EventView;

/// The name of an event under which it is kept; `None` for one that no node says.
pub fn name(event: &EventView) -> Option<String> {
    (event.node_seq > 0 && !event.id.is_empty()).then(|| named(event.node_id.as_str(), &event.id))
}

/// The name of what a node says.
pub fn named(node: &str, id: &str) -> String {
    format!("{node}\0{id}")
}

/// Notes in a new store that events came back.
pub(crate) fn write(txn: &WriteTransaction, names: &[String]) -> Result<(), StoreError> {
    if names.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(RETURNED)?;
    names.iter().try_for_each(|name| Ok(table.insert(name.as_str(), ()).map(drop)?))
}

impl Reader<'_> {
    /// Those of a node's events that came back.
    pub fn returned<'i>(
        &self,
        node: &str,
        ids: impl Iterator<Item = &'i str>,
    ) -> Result<HashSet<String>, StoreError> {
        let table = match self.txn().open_table(RETURNED) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(HashSet::new()),
            table => table?,
        };
        let mut found = HashSet::new();
        for id in ids {
            if table.get(named(node, id).as_str())?.is_some() {
                found.insert(id.to_owned());
            }
        }
        Ok(found)
    }

    /// The nodes of which events came back.
    pub fn returned_nodes(&self) -> Result<BTreeSet<String>, StoreError> {
        let table = match self.txn().open_table(RETURNED) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(BTreeSet::new()),
            table => table?,
        };
        let mut nodes = BTreeSet::new();
        let mut after = String::new();
        // From each node to behind the last of its events: there are many more of these.
        while let Some(entry) = table.range(after.as_str()..)?.next() {
            let key = entry?.0;
            let node = key.value().split('\0').next().unwrap_or_default().to_owned();
            after = format!("{node}\u{1}");
            nodes.insert(node);
        }
        Ok(nodes)
    }
}
