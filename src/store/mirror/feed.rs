//! What the mirror reads from the store.

use std::ops::ControlFlow;

use redb::ReadableTable;

use crate::alert::AlertRow;
use crate::audit;
use crate::change::RowKind;
use crate::command::{CommandRow, KeyRecord};
use crate::cost::CostRecord;
use crate::kept::{self, Kept};
use crate::log::Log;
use crate::log::record::{LogRow, NamedTable, NumberedTable, Record};
use crate::node::{NodeRecord, NodeRow};
use crate::reader::Reader;
use crate::session::{SessionRecord, SessionRow};
use crate::sqlite::sql_row::{self, SqlRow};
use crate::tables::{ALERTS, AUDIT, COMMANDS, COSTS, EVENTS, GONE, KEYS, NODES, SESSIONS, STATE};
use crate::{StoreError, event, row};

/// What is to be looked at again.
#[derive(Debug, Default, PartialEq)]
pub struct Todo {
    /// Up to this position of the log.
    pub upto: u64,
    /// Events between these numbers, both included.
    pub ranges: Vec<(u64, u64)>,
    /// Rows.
    pub rows: std::collections::BTreeSet<(RowKind, String)>,
    /// Records are missing: all rows must be looked at.
    pub is_lost: bool,
    /// True when there is more to apply.
    pub more: bool,
}

impl Todo {
    /// Adds what a row of the log tells of; gives how many rows that are.
    fn add(&mut self, row: LogRow) -> u64 {
        let (kind, key) = match row {
            LogRow::Numbered(NumberedTable::Events, seq, _) => return self.add_event(seq),
            LogRow::Look(RowKind::Event, key) => match key.parse() {
                Ok(seq) => return self.add_event(seq),
                // One that has no number of ours.
                Err(_) => (RowKind::Event, key),
            },
            LogRow::Numbered(NumberedTable::Audit, seq, _) => (RowKind::Audit, seq.to_string()),
            LogRow::Numbered(NumberedTable::Alerts, id, _) => (RowKind::Alert, id.to_string()),
            LogRow::Named(table, key, _) => (kind_of(table), key),
            LogRow::Look(kind, key) => (kind, key),
            LogRow::Member(..) | LogRow::Indexed(..) | LogRow::Number(..) => return 0,
        };
        u64::from(self.rows.insert(shown(kind, &key)))
    }

    fn add_event(&mut self, seq: u64) -> u64 {
        match self.ranges.last_mut() {
            Some((from, to)) if (*from..=*to).contains(&seq) => return 0,
            Some((_, to)) if *to + 1 == seq => *to = seq,
            _ => self.ranges.push((seq, seq)),
        }
        1
    }

    /// Adds the next portion of all events, after records were lost.
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

fn kind_of(table: NamedTable) -> RowKind {
    match table {
        NamedTable::Sessions => RowKind::Session,
        NamedTable::Nodes => RowKind::Node,
        NamedTable::Commands => RowKind::Command,
        NamedTable::Keys => RowKind::Key,
        NamedTable::Costs => RowKind::Cost,
        NamedTable::State => RowKind::State,
        NamedTable::Gone => RowKind::Gone,
    }
}

impl Reader<'_> {
    /// The position of the last record whose rows are in here.
    pub fn last_change(&self) -> Result<u64, StoreError> {
        self.position()
    }

    /// What the records after one have changed, until they concern about so many rows.
    pub fn changes(&self, after: u64, most: u64) -> Result<Todo, StoreError> {
        let last = self.position()?;
        let mut todo = Todo { upto: after, ..Todo::default() };
        if after >= last {
            return Ok(todo);
        }
        let reaches = |(first, end): (u64, u64)| first <= after + 1 && end >= last;
        let Some(log) = self.log().filter(|log| log.bounds().is_some_and(reaches)) else {
            return Ok(Todo { upto: last, is_lost: true, ..Todo::default() });
        };
        let mut weight = 0;
        log.read(after + 1, last, &mut |position, body| {
            if weight >= most {
                return Ok(ControlFlow::Break(()));
            }
            if position != todo.upto + 1 {
                todo.is_lost = true;
                return Ok(ControlFlow::Break(()));
            }
            todo.upto = position;
            for row in Record::decode(position, body)?.rows {
                weight += todo.add(row);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        // It may have been trimmed while it was read.
        todo.is_lost |= todo.upto < last && weight < most;
        if todo.is_lost {
            return Ok(Todo { upto: last, is_lost: true, ..Todo::default() });
        }
        todo.more = todo.upto < last;
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
                Ok(Some(sql_row::of(kind, key, &audit::open(bytes.value(), seq)?)))
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
