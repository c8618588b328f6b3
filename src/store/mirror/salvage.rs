//! What is to be kept of a mirror that has lost rows, as one that `.recover` has made: what differs in it is an
//! operator's, what it lacks is still in the store.

use rusqlite::Connection;
use rusqlite::types::Value as Cell;

use super::MirrorHost;
use super::apply::{Standing, count, noted};
use super::feed::Todo;
use crate::StoreError;
use crate::change::RowKind;
use crate::hub::Store;
use crate::node::NodeRow;
use crate::reader::Reader;
use crate::session::SessionRow;
use crate::sqlite::edit::{Edit, EditAction, Edits};
use crate::sqlite::schema::{TABLES, Table};
use crate::sqlite::sql_row::{self, Fields};

/// Rows looked at with one look at the store.
const SLICE: usize = 2_000;

/// Bytes of them at most, but for one row: an event can be large.
const SLICE_BYTES: usize = 2 * 1024 * 1024;

/// True when every table has the rows that we left in it, as operators have changed them since.
pub fn is_whole(connection: &Connection, standing: &Standing) -> rusqlite::Result<bool> {
    let noted = noted(connection)?;
    for table in &TABLES {
        // A file of an earlier day has not all of them.
        if !table.is_in(connection)? {
            continue;
        }
        let left = standing.counts.get(table.name).copied().unwrap_or_default();
        let expected = left.cast_signed() + noted.get(table.name).copied().unwrap_or_default();
        if count(connection, table.name)?.cast_signed() != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes over every row that differs from the store's, unless the store has changed it since. Gives how many.
pub fn take_over(
    connection: &Connection,
    store: &Store,
    standing: &Standing,
    host: &dyn MirrorHost,
) -> Result<u64, StoreError> {
    each_difference(connection, store, standing, |list| {
        let done = store.read()?.meta("mirror_oplog")?.max(1);
        host.take(Edits { list, done }).map_err(StoreError::Refused)
    })
}

/// How many rows of the mirror differ from the store's, but for those that the store has changed since.
pub fn differences(connection: &Connection, store: &Store, standing: &Standing) -> Result<u64, StoreError> {
    each_difference(connection, store, standing, |_| Ok(()))
}

/// Shows what differs, a slice at a time, and gives how many rows do.
fn each_difference(
    connection: &Connection,
    store: &Store,
    standing: &Standing,
    mut see: impl FnMut(Vec<Edit>) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let newer = store.read()?.changes(standing.change, u64::MAX)?;
    let mut differ = 0;
    for table in &TABLES {
        // A file of an earlier day has not all of them.
        if !table.is_in(connection)? {
            continue;
        }
        let mut last: Option<Cell> = None;
        loop {
            let lines = slice(connection, table, last.as_ref(), SLICE)?;
            let Some(end) = lines.last() else { break };
            last = Some(end[0].clone());
            let edits = differing(&store.read()?, table, lines, &newer)?;
            differ += edits.len() as u64;
            if !edits.is_empty() {
                see(edits)?;
            }
        }
    }
    Ok(differ)
}

/// The next lines of a table, in the order of its key.
pub fn slice(
    connection: &Connection,
    table: &Table,
    after: Option<&Cell>,
    most: usize,
) -> rusqlite::Result<Vec<Vec<Cell>>> {
    let key = table.key();
    let rest = format!("WHERE ?1 IS NULL OR {key} > ?1 ORDER BY {key} LIMIT {most}");
    let sql = table.select_sql(connection, &rest)?;
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([after.unwrap_or(&Cell::Null)])?;
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while bytes < SLICE_BYTES
        && let Some(row) = rows.next()?
    {
        let line = sql_row::cells(row, table)?;
        bytes += line.iter().map(sql_row::size).sum::<usize>();
        lines.push(line);
    }
    Ok(lines)
}

fn differing(
    reader: &Reader<'_>,
    table: &Table,
    lines: Vec<Vec<Cell>>,
    newer: &Todo,
) -> Result<Vec<Edit>, StoreError> {
    let mut edits = Vec::new();
    for cells in lines {
        let Some(key) = sql_row::key(&cells[0]) else { continue };
        if is_newer(newer, table.kind, &key) {
            continue;
        }
        let Ok(said) = sql_row::read(table, &cells) else { continue };
        if fields_of(reader, table, &key)?.as_ref() != Some(&said) {
            edits.push(Edit { kind: table.kind, key, action: EditAction::Put(table.named_row(cells)) });
        }
    }
    Ok(edits)
}

/// True when the store has changed a row since the mirror was told.
pub fn is_newer(newer: &Todo, kind: RowKind, key: &str) -> bool {
    match (kind, key.parse::<u64>()) {
        (RowKind::Event, Ok(seq)) => newer.ranges.iter().any(|(from, to)| (*from..=*to).contains(&seq)),
        _ => newer.rows.contains(&(kind, key.to_owned())),
    }
}

/// What the store says of a row.
pub fn fields_of(reader: &Reader<'_>, table: &Table, key: &str) -> Result<Option<Fields>, StoreError> {
    let plain = |cells: Vec<Cell>| sql_row::read(table, &cells).ok();
    Ok(match table.kind {
        RowKind::Node => reader.node_record(key)?.map(|node| sql_row::fields(&NodeRow::from(&node))),
        RowKind::Session => {
            reader.session_record(key)?.map(|record| sql_row::fields(&SessionRow::from(&record)))
        }
        RowKind::Event => {
            let mut fields = None;
            if let Ok(seq) = key.parse() {
                reader.event_rows(seq, seq, |_, cells| {
                    fields = plain(cells);
                    Ok(())
                })?;
            }
            fields
        }
        kind => reader.plain_row(kind, key)?.and_then(plain),
    })
}
