//! Reconciles nodes with the events of a copy. While the mirror catches up it has the newest word of every node, and
//! not yet all their events: a node that was believed would not say again what the copy lacks.

use std::collections::HashMap;

use redb::WriteTransaction;

use crate::StoreError;
use crate::node::{NodeRecord, NodeRow};
use crate::row;
use crate::tables::NODES;
use hal_protocol::event::EventView;

/// Each node's last event in a copy: its number at the node, and its identity.
#[derive(Debug, Default)]
pub struct LastEvents(HashMap<String, (u64, String)>);

impl LastEvents {
    /// Takes note of an event, in the order of their storing.
    pub fn record(&mut self, event: &EventView) {
        if event.node_seq == 0 {
            return;
        }
        match self.0.get_mut(event.node_id.as_str()) {
            Some(last) => {
                last.0 = event.node_seq;
                last.1.clone_from(&event.id);
            }
            None => drop(self.0.insert(event.node_id.to_string(), (event.node_seq, event.id.clone()))),
        }
    }

    /// Takes back what the nodes of a new store are believed to have said beyond their events.
    pub fn level(&self, txn: &WriteTransaction) -> Result<(), StoreError> {
        let mut table = txn.open_table(NODES)?;
        let mut changed = Vec::new();
        for entry in redb::ReadableTable::iter(&table)? {
            let (key, bytes) = entry?;
            let mut record = row::open::<NodeRow>(bytes.value(), key.value())?.into_record(key.value());
            let (last, id) = self.0.get(key.value()).map_or((0, ""), |(last, id)| (*last, id.as_str()));
            if take_back(&mut record, last, id) {
                changed.push(record);
            }
        }
        for record in changed {
            let id = record.id.as_str();
            table.insert(id, row::seal(&NodeRow::from(&record), id).as_slice())?;
        }
        Ok(())
    }
}

/// True when something was taken back.
fn take_back(record: &mut NodeRecord, last: u64, id: &str) -> bool {
    if last == record.committed {
        return false;
    }
    if last > record.committed {
        // The last event is of the journal before: of the present one there is none yet.
        if let Some(past) = record.past.last_mut() {
            past.stored -= past.committed.saturating_sub(last).min(past.stored);
            past.committed = past.committed.min(last);
        }
    }
    let level = if last > record.committed { 0 } else { last };
    record.stored -= (record.committed - level).min(record.stored);
    record.committed = level;
    id.clone_into(&mut record.last_id);
    if level == 0 {
        record.last_id.clear();
    }
    record.begun.iter_mut().for_each(|(_, number)| *number = (*number).min(level));
    true
}
