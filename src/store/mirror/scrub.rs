//! Comparing both, slowly and for ever: rows that say different things without anybody having changed them are damage.
//!
//! A row of the store carries a checksum and one of the mirror does not: so where the store's can be read it is right,
//! and where it cannot the mirror's takes its place, or what the hub has of it in memory. No checksum tells of a row that
//! is missing, so there the store is believed only after a look at all its pages.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OptionalExtension};

use super::MirrorHost;
use super::apply::Standing;
use super::feed::Todo;
use super::salvage::{fields_of, is_newer, slice};
use crate::StoreError;
use crate::change::RowKind;
use crate::hub::Store;
use crate::index::IndexEntry;
use crate::reader::Reader;
use crate::sqlite::edit::{Edit, EditAction};
use crate::sqlite::schema::{TABLES, Table};
use crate::sqlite::sql_row::{self, Fields, SqlRow};
use hal_base::clock::Stopwatch;

/// Rows compared at once, some 10 ms, and the pause after it: a million rows take about twenty minutes.
const STEP: (usize, Duration) = (250, Duration::from_millis(300));

/// The first look is so long after the start, and the next so long after the end of one.
const REST: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(86_400));

/// Where the comparison stands.
#[derive(Debug)]
pub struct Scrub {
    table: usize,
    last: Option<Cell>,
    /// The last entry of the index by session that was looked at.
    entry: Option<IndexEntry>,
    /// How often the store had been opened when it was suspected of reading less than was written.
    suspected: Option<u64>,
    since: Stopwatch,
    pause: Duration,
    /// How often it has come to the end.
    pub rounds: u64,
}

/// What one look has found.
#[derive(Debug, Default)]
struct ScrubFindings {
    /// Rows of the mirror that must be written again.
    again: Todo,
    /// How many of them the store does not have at all.
    beyond: usize,
    /// Rows of the store that must be written again.
    edits: Vec<Edit>,
    /// Entries of its index that are missing or wrong.
    entries: Vec<IndexEntry>,
}

impl Scrub {
    pub fn new() -> Self {
        Self {
            table: 0,
            last: None,
            entry: None,
            suspected: None,
            since: Stopwatch::start(),
            pause: REST.0,
            rounds: 0,
        }
    }

    /// Begins from the start, as with another file.
    pub fn begin_again(&mut self) {
        *self = Self::new();
    }

    /// True when it is time for the next look.
    pub fn is_due(&self) -> bool {
        self.since.elapsed() >= self.pause
    }

    /// Looks at the next rows, heals the store's, and gives the mirror's that must be written again.
    pub fn step(
        &mut self,
        connection: &Connection,
        store: &Store,
        standing: &Standing,
        host: &dyn MirrorHost,
    ) -> Result<Todo, StoreError> {
        (self.since, self.pause) = (Stopwatch::start(), STEP.1);
        let noted: i64 = connection.query_row("SELECT count(*) FROM _hal_oplog", [], |row| row.get(0))?;
        if noted > 0 {
            // What operators have changed is on its way.
            return Ok(Todo::default());
        }
        let Some(table) = TABLES.get(self.table) else {
            return self.look_at_index(store, host);
        };
        let lines = slice(connection, table, self.last.as_ref(), STEP.0)?;
        let before = std::mem::replace(&mut self.last, lines.last().map(|line| line[0].clone()));
        if self.last.is_none() {
            self.table += 1;
        }
        match (table.kind, &before) {
            (RowKind::Event, _) => are_indexed(connection, &lines)?,
            (_, None) => is_indexed(connection, table)?,
            _ => {}
        }
        let reader = store.read()?;
        let newer = reader.changes(standing.change, u64::MAX)?;
        let mut found = ScrubFindings::default();
        if table.kind == RowKind::Event {
            found.unindexed(&reader, before.as_ref(), &lines)?;
            found.missing(&reader, before.as_ref(), &lines, &newer, standing)?;
        }
        for cells in lines {
            found.compare(&reader, table, cells, &newer)?;
        }
        drop(reader);
        if !self.may_believe(&found, store, host) {
            self.last = before;
            return Ok(Todo::default());
        }
        found.heal(host)
    }

    /// A page of the store that was damaged can read as one with fewer rows, without an error; and where the index is
    /// wrong, what leads to its entries may be. So rows that the store does not have are not taken out of the mirror on
    /// its word, nor entries made right one by one: not before it was opened again, and all its pages were whole.
    fn may_believe(&mut self, found: &ScrubFindings, store: &Store, host: &dyn MirrorHost) -> bool {
        if found.beyond == 0 && found.entries.is_empty() {
            return true;
        }
        let opened = store.replaced();
        if self.suspected.is_none() {
            self.suspected = Some(opened);
            let what = match found.beyond {
                0 => format!("{} entries of the store's index are not what was written", found.entries.len()),
                beyond => format!("the store does not have {beyond} rows that supervisor.db has"),
            };
            host.suspect(what);
        }
        let is_looked_at = self.suspected != Some(opened);
        if is_looked_at {
            self.suspected = None;
        }
        is_looked_at
    }

    /// The store's own index, after all tables.
    fn look_at_index(&mut self, store: &Store, host: &dyn MirrorHost) -> Result<Todo, StoreError> {
        let (last, wrong) = store.read()?.misindexed(self.entry, STEP.0)?;
        let found = ScrubFindings { entries: wrong, ..ScrubFindings::default() };
        if !self.may_believe(&found, store, host) {
            return Ok(Todo::default());
        }
        self.entry = last;
        if last.is_none() {
            (self.table, self.last, self.pause) = (0, None, REST.1);
            self.rounds += 1;
        }
        found.heal(host)
    }
}

/// The same for a table that is small: all of it at once.
fn is_indexed(connection: &Connection, table: &Table) -> Result<(), StoreError> {
    let sql = format!("PRAGMA integrity_check('{}')", table.name);
    let said: String = connection.query_row(&sql, [], |row| row.get(0))?;
    match said.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged { table: "supervisor.db", key: table.name.into(), why: said }),
    }
}

/// An index that lacks a row shows by nothing else: `quick_check` does not compare it with its table.
fn are_indexed(connection: &Connection, lines: &[Vec<Cell>]) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(()) };
    let missing: Option<i64> = connection
        .prepare_cached(
            "SELECT seq FROM events AS e WHERE seq BETWEEN ? AND ? AND NOT EXISTS (SELECT 1 FROM events INDEXED BY \
             events_by_session WHERE session_id IS e.session_id AND timestamp IS e.timestamp AND seq = e.seq) LIMIT 1",
        )?
        .query_row([&first[0], &last[0]], |row| row.get(0))
        .optional()?;
    match missing {
        None => Ok(()),
        Some(seq) => Err(StoreError::Damaged {
            table: "supervisor.db",
            key: seq.to_string(),
            why: "it is missing from the index events_by_session".into(),
        }),
    }
}

/// What the store says of a row.
enum StoredRow {
    Nothing,
    /// The line that we have written, in columns that only follow from others, too.
    Line(SqlRow),
    /// The fields of a node or a session, which are shown as they are at the time.
    Fields(Fields),
}

impl StoredRow {
    fn of(reader: &Reader<'_>, table: &Table, key: &str) -> Result<Self, StoreError> {
        let stored = match (table.kind, key.parse()) {
            (RowKind::Node | RowKind::Session, _) => fields_of(reader, table, key)?.map(Self::Fields),
            (RowKind::Event, Ok(seq)) => {
                let mut written = None;
                reader.event_rows(seq, seq, |_, line| {
                    written = Some(Self::Line(line));
                    Ok(())
                })?;
                written
            }
            (kind, _) => reader.plain_row(kind, key)?.map(Self::Line),
        };
        Ok(stored.unwrap_or(Self::Nothing))
    }
}

fn number(cell: Option<&Cell>) -> u64 {
    match cell {
        Some(Cell::Integer(seq)) => seq.cast_unsigned(),
        _ => 0,
    }
}

/// Makes entries of the store's index right.
fn heal_index(entries: &[IndexEntry], host: &dyn MirrorHost) -> Result<(), StoreError> {
    let Some((_, first)) = entries.first() else { return Ok(()) };
    let edit = |(no, seq): &IndexEntry| Edit {
        kind: RowKind::Event,
        key: seq.to_string(),
        action: EditAction::Index(*no),
    };
    host.put(entries.iter().map(edit).collect()).map_err(StoreError::Refused)?;
    let text = format!(
        "{} entries of the store's index of events by session were not what was written (event {first} and on); they are \
         rebuilt. The disk may be failing",
        entries.len()
    );
    host.alert("store.healed", text);
    Ok(())
}

impl ScrubFindings {
    fn compare(
        &mut self,
        reader: &Reader<'_>,
        table: &Table,
        cells: Vec<Cell>,
        newer: &Todo,
    ) -> Result<(), StoreError> {
        let Some(key) = sql_row::key(&cells[0]) else { return Ok(()) };
        if is_newer(newer, table.kind, &key) {
            return Ok(());
        }
        let said = sql_row::read(table, &cells);
        match StoredRow::of(reader, table, &key) {
            Ok(StoredRow::Line(line)) if line == cells && said.is_ok() => {}
            Ok(StoredRow::Fields(fields)) if said.as_ref() == Ok(&fields) => {}
            Ok(stored) => {
                self.beyond += usize::from(matches!(stored, StoredRow::Nothing));
                self.write_again(table.kind, key);
            }
            Err(StoreError::Damaged { .. }) if said.is_ok() => {
                self.edits.push(Edit {
                    kind: table.kind,
                    key,
                    action: EditAction::Put(table.named_row(cells)),
                });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Events of the store that the mirror should have and has not.
    fn missing(
        &mut self,
        reader: &Reader<'_>,
        before: Option<&Cell>,
        lines: &[Vec<Cell>],
        newer: &Todo,
        standing: &Standing,
    ) -> Result<(), StoreError> {
        let there: BTreeSet<u64> = lines.iter().map(|line| number(line.first())).collect();
        let upto = there.last().copied().unwrap_or(standing.event);
        for seq in reader.event_numbers(number(before) + 1, upto)? {
            if !there.contains(&seq) && !is_newer(newer, RowKind::Event, &seq.to_string()) {
                self.again.ranges.push((seq, seq));
            }
        }
        Ok(())
    }

    /// Events of this slice that are missing in the store's index.
    fn unindexed(
        &mut self,
        reader: &Reader<'_>,
        before: Option<&Cell>,
        lines: &[Vec<Cell>],
    ) -> Result<(), StoreError> {
        let upto = lines.last().map_or(u64::MAX, |line| number(line.first()));
        // Beyond the last line there are those that the mirror has not got yet.
        self.entries = reader.unindexed(number(before) + 1, upto, 2 * STEP.0)?;
        Ok(())
    }

    fn write_again(&mut self, kind: RowKind, key: String) {
        match (kind, key.parse()) {
            (RowKind::Event, Ok(seq)) => self.again.ranges.push((seq, seq)),
            _ => drop(self.again.rows.insert((kind, key))),
        }
    }

    fn heal(self, host: &dyn MirrorHost) -> Result<Todo, StoreError> {
        let Self { again, edits, entries, .. } = self;
        heal_index(&entries, host)?;
        let mirrors = again.ranges.len() + again.rows.len();
        if mirrors > 0 {
            let first = again.ranges.first().map(|(seq, _)| format!("event {seq}"));
            let first = first.or_else(|| again.rows.first().map(|(kind, key)| format!("{kind:?} {key}")));
            host.alert(
                "mirror.healed",
                format!(
                    "{mirrors} rows of supervisor.db were not what was written ({} and on); they are written again \
                     from the store. The disk may be failing",
                    first.unwrap_or_default()
                ),
            );
        }
        if let Some(first) = edits.first() {
            let text = format!(
                "{} rows of the store were not what was written ({:?} {} and on); they are written again from \
                 supervisor.db. The disk may be failing",
                edits.len(),
                first.kind,
                first.key
            );
            host.put(edits).map_err(StoreError::Refused)?;
            host.alert("store.healed", text);
        }
        Ok(again)
    }
}
