//! What the mirror reads from the store.

use redb::ReadableTable;

use crate::alert::AlertRow;
use crate::audit::AuditRecord;
use crate::change::{Change, RowKind};
use crate::command::{CommandRow, KeyRecord};
use crate::cost::CostRecord;
use crate::kept::{self, Kept};
use crate::node::{NodeRecord, NodeRow};
use crate::reader::Reader;
use crate::session::{SessionRecord, SessionRow};
use crate::sqlite::sql_row::{self, SqlRow};
use crate::tables::{ALERTS, AUDIT, CHANGES, COMMANDS, COSTS, EVENTS, GONE, KEYS, NODES, SESSIONS, STATE};
use crate::{StoreError, event, row};

/// What is to be looked at again.
#[derive(Debug, Default, PartialEq)]
pub struct Todo {
    /// Up to this change.
    pub upto: u64,
    /// Events between these numbers, both included.
    pub ranges: Vec<(u64, u64)>,
    /// Rows.
    pub rows: std::collections::BTreeSet<(RowKind, String)>,
    /// Changes are missing: all rows must be looked at.
    pub is_lost: bool,
    /// True when there is more to apply.
    pub more: bool,
}

impl Todo {
    /// Adds the next portion of all events, after changes were lost.
    pub fn look_again(&mut self, again: &mut Option<u64>, last: u64, rows: u64) {
        if let Some(from) = *again {
            self.ranges.push((from, from + rows - 1));
            *again = (from + rows <= last).then_some(from + rows);
        }
    }
}

/// The table of the mirror that shows a row of the store, and its key there.
fn shown(kind: RowKind, key: &str) -> (RowKind, String) {
    let (kind, key) = if kind == RowKind::State { kept::place(key) } else { (kind, key) };
    (kind, key.to_owned())
}

impl Reader<'_> {
    /// The number of the last change.
    pub fn last_change(&self) -> Result<u64, StoreError> {
        Ok(self.txn().open_table(CHANGES)?.last()?.map_or(0, |(no, _)| no.value()))
    }

    /// The changes after one, until they concern about so many rows.
    pub fn changes(&self, after: u64, most: u64) -> Result<Todo, StoreError> {
        let table = self.txn().open_table(CHANGES)?;
        let mut todo = Todo { upto: after, ..Todo::default() };
        let first = table.first()?.map_or(after + 1, |(no, _)| no.value());
        todo.is_lost = first > after + 1;
        let mut weight = 0;
        for entry in table.range(after + 1..)? {
            if weight >= most {
                todo.more = true;
                break;
            }
            let (no, bytes) = entry?;
            todo.upto = no.value();
            match row::open::<Change>(bytes.value(), no.value())? {
                Change::Events(from, to) => {
                    weight += to - from + 1;
                    match todo.ranges.last_mut() {
                        Some((_, end)) if *end + 1 == from => *end = to,
                        _ => todo.ranges.push((from, to)),
                    }
                }
                Change::Put(kind, key) => weight += u64::from(todo.rows.insert(shown(kind, &key))),
            }
        }
        Ok(todo)
    }

    /// The lines of events between two numbers, both included.
    pub fn event_rows(
        &self,
        from: u64,
        to: u64,
        mut see: impl FnMut(u64, SqlRow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for entry in self.txn().open_table(EVENTS)?.range(from..=to)? {
            let (seq, bytes) = entry?;
            see(seq.value(), sql_row::of_event(&event::view(bytes.value(), seq.value())?))?;
        }
        Ok(())
    }

    /// The numbers of the events between two, both included.
    pub fn event_numbers(&self, from: u64, to: u64) -> Result<Vec<u64>, StoreError> {
        if from > to {
            return Ok(Vec::new());
        }
        let table = self.txn().open_table(EVENTS)?;
        table.range(from..=to)?.map(|entry| Ok(entry?.0.value())).collect()
    }

    /// The stored row of a node.
    pub fn node_record(&self, id: &str) -> Result<Option<NodeRecord>, StoreError> {
        let bytes = self.txn().open_table(NODES)?;
        let Some(bytes) = bytes.get(id)? else { return Ok(None) };
        Ok(Some(row::open::<NodeRow>(bytes.value(), id)?.into_record(id)))
    }

    /// The stored row of a session.
    pub fn session_record(&self, id: &str) -> Result<Option<SessionRecord>, StoreError> {
        let bytes = self.txn().open_table(SESSIONS)?;
        let Some(bytes) = bytes.get(id)? else { return Ok(None) };
        Ok(Some(row::open::<SessionRow>(bytes.value(), id)?.into_record(id)))
    }

    /// The line of a row of costs, of the audit log, of alerts, of the state or of commands.
    pub fn plain_row(&self, kind: RowKind, key: &str) -> Result<Option<SqlRow>, StoreError> {
        match kind {
            RowKind::Cost => {
                let table = self.txn().open_table(COSTS)?;
                let Some(bytes) = table.get(key)? else { return Ok(None) };
                Ok(Some(sql_row::of(kind, key, &row::open::<CostRecord>(bytes.value(), key)?)))
            }
            RowKind::Audit => {
                let Ok(seq) = key.parse::<u64>() else { return Ok(None) };
                let table = self.txn().open_table(AUDIT)?;
                let Some(bytes) = table.get(seq)? else { return Ok(None) };
                Ok(Some(sql_row::of(kind, key, &AuditRecord::open(bytes.value(), seq)?)))
            }
            RowKind::Alert => {
                let Ok(id) = key.parse::<u64>() else { return Ok(None) };
                let table = self.txn().open_table(ALERTS)?;
                let Some(bytes) = table.get(id)? else { return Ok(None) };
                Ok(Some(sql_row::of(kind, key, &row::open::<AlertRow>(bytes.value(), id)?)))
            }
            RowKind::State | RowKind::Halt | RowKind::Budget | RowKind::Silence | RowKind::Approval => {
                let table = self.txn().open_table(STATE)?;
                for name in kept::names(kind, key) {
                    if let Some(bytes) = table.get(name.as_str())? {
                        let kept = Kept::open(bytes.value(), &name)?;
                        return Ok(Some(sql_row::of_state(kind, key, &kept.record())));
                    }
                }
                Ok(None)
            }
            _ => {
                let table = self.txn().open_table(COMMANDS)?;
                let Some(bytes) = table.get(key)? else { return Ok(None) };
                Ok(Some(sql_row::of(kind, key, &row::open::<CommandRow>(bytes.value(), key)?)))
            }
        }
    }

    /// An idempotency key.
    pub fn key_record(&self, key: &str) -> Result<Option<KeyRecord>, StoreError> {
        self.key(key)
    }

    /// A row that an operator has deleted, as it was stored.
    pub fn gone_row(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.txn().open_table(GONE)?.get(key)?.map(|bytes| bytes.value().to_vec()))
    }

    /// The names of all rows but the events.
    pub fn row_keys(&self) -> Result<Vec<(RowKind, String)>, StoreError> {
        let mut all = Vec::new();
        let tables = [
            (RowKind::Node, NODES),
            (RowKind::Session, SESSIONS),
            (RowKind::Cost, COSTS),
            (RowKind::Command, COMMANDS),
            (RowKind::State, STATE),
            (RowKind::Key, KEYS),
            (RowKind::Gone, GONE),
        ];
        for (kind, table) in tables {
            for entry in self.txn().open_table(table)?.iter()? {
                all.push(shown(kind, entry?.0.value()));
            }
        }
        for (kind, table) in [(RowKind::Audit, AUDIT), (RowKind::Alert, ALERTS)] {
            for entry in self.txn().open_table(table)?.iter()? {
                all.push((kind, entry?.0.value().to_string()));
            }
        }
        Ok(all)
    }
}
