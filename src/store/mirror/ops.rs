//! What operators have changed with SQL, as the triggers noted it, read as edits of the store.

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, params};

use super::apply::line_of;
use crate::store::change::Kind;
use crate::store::sheet::edit::{Deed, Edit, Edits};
use crate::store::sheet::schema::Table;

/// Noted changes read in one window: reading a great DELETE at once would hold the lease for long.
pub const MOST: usize = 20_000;

/// Edits handed to the hub at once: ingest waits for one commit of so many, some 50 ms.
const CHUNK: usize = 1_000;

/// What was noted.
#[derive(Debug, Default)]
pub struct Noted {
    /// As edits, in portions for the hub.
    pub portions: Vec<Edits>,
    /// How many were read.
    pub read: usize,
}

/// Reads what was noted after `done`. `watermark` is the last event the mirror has been
/// given: an event with a higher number may be in the way of one of the store's.
pub fn read(connection: &Connection, done: u64, watermark: u64) -> rusqlite::Result<Noted> {
    let mut all = connection.prepare_cached(
        "SELECT id, tbl, op, pk, col, val FROM _hal_oplog WHERE id > ? ORDER BY id LIMIT ?",
    )?;
    let mut rows = all.query(params![done.cast_signed(), MOST as i64])?;
    let mut noted = Noted::default();
    let mut portion = Edits::default();
    while let Some(row) = rows.next()? {
        noted.read += 1;
        portion.done = row.get::<_, i64>(0)?.cast_unsigned();
        let (table, op, pk): (String, String, Cell) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let Some(table) = Table::named(&table) else { continue };
        let deed = match op.as_str() {
            "D" => Some(Deed::Drop),
            "I" => inserted(connection, table, &pk, watermark)?,
            _ => Some(Deed::Set(vec![(row.get(4)?, row.get(5)?)])),
        };
        if let Some(deed) = deed {
            push(&mut portion.list, Edit { kind: table.kind, key: key_text(&pk), deed });
        }
        if portion.list.len() >= CHUNK {
            noted.portions.push(std::mem::take(&mut portion));
        }
    }
    if portion.done > 0 {
        noted.portions.push(portion);
    }
    Ok(noted)
}

/// Forgets what is done; gives how many events were inserted and deleted by it. They are counted in the transaction
/// that forgets them: a kill before it finds them noted, and the count without them.
pub fn forget(connection: &Connection, done: u64) -> rusqlite::Result<(u64, u64)> {
    let events = connection
        .prepare_cached(
            "SELECT coalesce(sum(op = 'I'), 0), coalesce(sum(op = 'D'), 0) FROM _hal_oplog WHERE id <= ? AND tbl = 'events'",
        )?
        .query_row([done.cast_signed()], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
        })?;
    connection.prepare_cached("DELETE FROM _hal_oplog WHERE id <= ?")?.execute([done.cast_signed()])?;
    Ok(events)
}

/// Several values of one row are one edit.
fn push(list: &mut Vec<Edit>, edit: Edit) {
    if let (Deed::Set(more), Some(Edit { kind, key, deed: Deed::Set(columns) })) =
        (&edit.deed, list.last_mut())
        && *kind == edit.kind
        && *key == edit.key
    {
        columns.extend(more.iter().cloned());
        return;
    }
    list.push(edit);
}

/// The row as it stands; `None` when it is gone again.
fn inserted(
    connection: &Connection,
    table: &'static Table,
    pk: &Cell,
    watermark: u64,
) -> rusqlite::Result<Option<Deed>> {
    let Some(line) = line_of(connection, table, pk)? else { return Ok(None) };
    let columns = table.columns.iter().map(|name| (*name).to_owned()).zip(line).collect();
    let is_ahead = matches!(pk, Cell::Integer(seq) if *seq <= 0 || seq.cast_unsigned() > watermark);
    Ok(Some(if table.kind == Kind::Event && is_ahead { Deed::Add(columns) } else { Deed::Put(columns) }))
}

fn key_text(pk: &Cell) -> String {
    match pk {
        Cell::Text(text) => text.clone(),
        Cell::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
