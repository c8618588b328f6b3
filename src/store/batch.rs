//! A batch and its one transaction: rows, what follows from them, and what the mirror has to catch up with.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use redb::{ReadableTable, WriteTransaction};

use super::alert::AlertRow;
use super::audit::{AuditRecord, note_outcomes};
use super::change::{self, Change};
use super::command::{CommandRow, KeyRecord};
use super::cost::{CostChange, CostRecord};
use super::kept::{self, Kept};
use super::node::{NodeRecord, NodeRow};
use super::session::{SessionRecord, SessionRow};
use super::sqlite::edit;
use super::tables::{
    ALERTS, AUDIT, CHANGES, COMMANDS, COSTS, EVENTS, EVENTS_BY_SESSION, KEYS, META, NAME, NODES,
    OPEN_COMMANDS, SESSIONS, STATE,
};
use super::{StoreError, event, returned, row};
use hal_protocol::alert::Alert;
use hal_protocol::command::Command;
use hal_protocol::event::EventView;

/// The tables' shape. A store with a larger number was written by a newer program. It is put back to
/// [`SCHEMA_BEFORE`] by a clean end.
pub(super) const SCHEMA: u64 = 2;

/// The shape that the release before this one knows: no row of kept state is postcard.
pub(super) const SCHEMA_BEFORE: u64 = 1;

/// What is to be written in one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    /// New events, in the order of their sequence numbers.
    pub events: Vec<EventView>,
    /// Nodes as they are now.
    pub nodes: BTreeMap<String, NodeRecord>,
    /// Sessions as they are now.
    pub sessions: BTreeMap<String, SessionRecord>,
    /// Commands as they are now.
    pub commands: BTreeMap<String, Command>,
    /// Idempotency keys of new commands.
    pub keys: Vec<(String, KeyRecord)>,
    /// Entries to merge into the index of events by session, sorted.
    pub index: Vec<(u32, u64)>,
    /// What changes in the ledger of costs.
    pub costs: BTreeMap<String, CostChange>,
    /// Alerts as they are now; `None`: it is not kept any more.
    pub alerts: BTreeMap<u64, Option<Alert>>,
    /// What the supervisor keeps for itself, by name; `None`: it is not kept any more.
    pub state: BTreeMap<String, Option<Arc<Kept>>>,
    /// Who did what.
    pub audit: Vec<AuditRecord>,
    /// Events that came back from a store that was set aside, as [`returned::name`] names them.
    pub returned: Vec<String>,
    /// What operators changed with SQL.
    pub edits: edit::Decided,
    /// Rows that the supervisor itself removes or brings back.
    pub moved: edit::Decided,
    /// Nothing follows: the store is left as the release before this one can read it.
    pub is_last: bool,
}

impl Batch {
    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.nodes.is_empty()
            && self.sessions.is_empty()
            && self.commands.is_empty()
            && self.keys.is_empty()
            && self.index.is_empty()
            && self.costs.is_empty()
            && self.alerts.is_empty()
            && self.state.is_empty()
            && self.audit.is_empty()
            && self.returned.is_empty()
            && self.edits.is_empty()
            && self.moved.is_empty()
            && !self.is_last
    }
}

/// Where the mirror stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Counts what was written to it.
    pub epoch: u64,
    /// The last change it has taken over.
    pub change: u64,
}

/// Writes a batch.
pub(super) fn write(txn: &WriteTransaction, batch: &Batch, mark: Option<Mark>) -> Result<(), StoreError> {
    let mut changes = Vec::new();
    if let (Some(first), Some(last)) = (batch.events.first(), batch.events.last()) {
        let mut table = txn.open_table(EVENTS)?;
        // At the end of the tree: pages fill up one after another, and none is looked for.
        let mut end = table.upper_bound_mut(Bound::<u64>::Unbounded)?;
        for one in &batch.events {
            end.insert_before(one.seq, event::seal(one).as_slice())?;
        }
        end.close()?;
        let mut meta = txn.open_table(META)?;
        meta.insert("last_seq", last.seq)?;
        let mut latest = meta.get("last_time")?.map_or(0, |last| last.value());
        for at in batch.events.iter().map(|one| u64::try_from(one.timestamp.0).unwrap_or_default()) {
            if at < latest {
                // An old event that came in later: times are no longer found by halving.
                meta.insert("disordered", 1)?;
            }
            latest = latest.max(at);
        }
        meta.insert("last_time", latest)?;
        changes.push(Change::Events(first.seq, last.seq));
    }
    if !batch.nodes.is_empty() {
        let mut table = txn.open_table(NODES)?;
        for (id, node) in &batch.nodes {
            table.insert(id.as_str(), row::seal(&NodeRow::from(node), id).as_slice())?;
            changes.push(Change::Put(change::RowKind::Node, id.clone()));
        }
    }
    if !batch.sessions.is_empty() {
        let mut table = txn.open_table(SESSIONS)?;
        for (id, record) in &batch.sessions {
            table.insert(id.as_str(), row::seal(&SessionRow::from(record), id).as_slice())?;
            changes.push(Change::Put(change::RowKind::Session, id.clone()));
        }
    }
    write_commands(txn, batch, &mut changes)?;
    if let Some(highest) = batch.index.iter().map(|(_, seq)| *seq).max() {
        let mut table = txn.open_table(EVENTS_BY_SESSION)?;
        for run in batch.index.chunk_by(|one, next| one.0 == next.0) {
            // Behind what is there of this session already.
            let mut end = table.upper_bound_mut(Bound::Included((run[0].0, u64::MAX)))?;
            for entry in run {
                end.insert_before(*entry, ())?;
            }
            end.close()?;
        }
        txn.open_table(META)?.insert("index_watermark", highest)?;
    }
    returned::write(txn, &batch.returned)?;
    let mut edited = edit::write(txn, &batch.edits, &mut changes)?;
    edited.extend(edit::write(txn, &batch.moved, &mut changes)?);
    write_costs(txn, &batch.costs, &mut changes)?;
    write_alerts(txn, &batch.alerts, &mut changes)?;
    write_state(txn, &batch.state, &mut changes)?;
    if batch.is_last {
        as_before(txn)?;
    }
    write_audit(txn, batch.audit.iter().chain(&edited), &mut changes)?;
    note_outcomes(txn, &batch.commands, &mut changes)?;
    note_changes(txn, &changes, mark)
}

fn write_costs(
    txn: &WriteTransaction,
    costs: &BTreeMap<String, CostChange>,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    if costs.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(COSTS)?;
    for (key, change) in costs {
        let known = table.get(key.as_str())?.map(|bytes| row::open::<CostRecord>(bytes.value(), key));
        let sum = change.on(known.transpose()?);
        match sum.is_nothing() {
            true => table.remove(key.as_str())?,
            false => table.insert(key.as_str(), row::seal(&sum, key).as_slice())?,
        };
        changes.push(Change::Put(change::RowKind::Cost, key.clone()));
    }
    Ok(())
}

fn write_alerts(
    txn: &WriteTransaction,
    alerts: &BTreeMap<u64, Option<Alert>>,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    if alerts.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(ALERTS)?;
    for (id, alert) in alerts {
        match alert {
            Some(alert) => table.insert(id, row::seal(&AlertRow::from(alert), id).as_slice())?,
            None => table.remove(id)?,
        };
        changes.push(Change::Put(change::RowKind::Alert, id.to_string()));
    }
    Ok(())
}

fn write_state(
    txn: &WriteTransaction,
    state: &BTreeMap<String, Option<Arc<Kept>>>,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    if state.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(STATE)?;
    for (name, kept) in state {
        match kept {
            Some(kept) => table.insert(name.as_str(), kept.seal(name).as_slice())?,
            None => table.remove(name.as_str())?,
        };
        changes.push(Change::Put(change::RowKind::State, name.clone()));
    }
    txn.open_table(META)?.insert("schema", SCHEMA)?;
    Ok(())
}

/// Writes what the release before this one cannot read as it would have written it, so that it can take over.
fn as_before(txn: &WriteTransaction) -> Result<(), StoreError> {
    let mut table = txn.open_table(STATE)?;
    let mut again = Vec::new();
    for entry in table.iter()? {
        let (name, bytes) = entry?;
        if kept::is_new(bytes.value()) {
            let record = Kept::open(bytes.value(), name.value())?.record();
            again.push((name.value().to_owned(), row::seal(&record, name.value())));
        }
    }
    for (name, bytes) in again {
        table.insert(name.as_str(), bytes.as_slice())?;
    }
    txn.open_table(META)?.insert("schema", SCHEMA_BEFORE)?;
    Ok(())
}

fn write_audit<'a>(
    txn: &WriteTransaction,
    records: impl Iterator<Item = &'a AuditRecord>,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let mut records = records.peekable();
    if records.peek().is_none() {
        return Ok(());
    }
    let (mut table, mut meta) = (txn.open_table(AUDIT)?, txn.open_table(META)?);
    let mut last = meta.get("last_audit")?.map_or(0, |last| last.value());
    for record in records {
        last += 1;
        table.insert(last, record.seal(last).as_slice())?;
        changes.push(Change::Put(change::RowKind::Audit, last.to_string()));
    }
    meta.insert("last_audit", last)?;
    Ok(())
}

fn write_commands(
    txn: &WriteTransaction,
    batch: &Batch,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    if !batch.commands.is_empty() {
        let mut table = txn.open_table(COMMANDS)?;
        let mut open = txn.open_table(OPEN_COMMANDS)?;
        for (id, command) in &batch.commands {
            table.insert(id.as_str(), row::seal(&CommandRow::from(command), id).as_slice())?;
            match command.state.is_final() {
                true => open.remove(id.as_str())?,
                false => open.insert(id.as_str(), ())?,
            };
            changes.push(Change::Put(change::RowKind::Command, id.clone()));
        }
    }
    if !batch.keys.is_empty() {
        let mut table = txn.open_table(KEYS)?;
        for (key, record) in &batch.keys {
            table.insert(key.as_str(), row::seal(record, key).as_slice())?;
            changes.push(Change::Put(change::RowKind::Key, key.clone()));
        }
    }
    Ok(())
}

/// Appends to the list for a mirror, drops what the mirror has or what is beyond its bound, and notes where it stands.
fn note_changes(txn: &WriteTransaction, changes: &[Change], mark: Option<Mark>) -> Result<(), StoreError> {
    if let Some(mark) = mark {
        let mut meta = txn.open_table(META)?;
        meta.insert("mirror_epoch", mark.epoch)?;
        meta.insert("mirror_change", mark.change)?;
        drop(meta);
        // The mirror is this store's own from now on: see `mirror::start`.
        txn.open_table(NAME)?.remove("adopted")?;
    }
    if changes.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(CHANGES)?;
    let mut next = table.last()?.map_or(1, |(no, _)| no.value() + 1);
    for one in changes {
        table.insert(next, row::seal(one, next).as_slice())?;
        next += 1;
    }
    // The last one stays, so that numbers go on from it.
    let had = mark.map_or(0, |mark| mark.change).min(next - 2);
    while table.first()?.is_some_and(|(no, _)| no.value() <= had || no.value() + change::KEPT < next) {
        table.pop_first()?;
    }
    Ok(())
}
