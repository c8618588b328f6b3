//! What operators have changed with SQL, as the triggers noted it, read as edits of the store.

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, params};

use super::apply::{Given, line_of};
use crate::change::RowKind;
use crate::sqlite::edit::{Edit, EditAction, Edits};
use crate::sqlite::schema::Table;
use crate::sqlite::sql_row;

/// Noted changes read in one window: reading a great DELETE at once would hold the lease for long.
pub const MOST: usize = 20_000;

/// Bytes of changed values read in one window, but for one: they are in memory until they are stored.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Edits handed to the hub at once: ingest waits for one commit of so many, some 50 ms.
const CHUNK: usize = 1_000;

/// Changes that SQLite's triggers noted.
#[derive(Debug, Default)]
pub struct Noted {
    /// As edits, in portions for the hub.
    pub portions: Vec<Edits>,
    /// True when there are more than were read.
    pub more: bool,
    /// Keys that are no text: tables and keys.
    pub senseless: Vec<(&'static Table, Vec<u8>)>,
}

/// Reads what was noted after `done`.
pub fn read(connection: &Connection, done: u64, given: Given) -> rusqlite::Result<Noted> {
    let mut all = connection.prepare_cached(
        "SELECT id, tbl, op, pk, col, val FROM _hal_oplog WHERE id > ? ORDER BY id LIMIT ?",
    )?;
    let mut rows = all.query(params![done.cast_signed(), MOST as i64])?;
    let mut noted = Noted::default();
    let mut portion = Edits::default();
    let (mut read, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        read += 1;
        portion.done = row.get::<_, i64>(0)?.cast_unsigned();
        let (table, op): (String, String) = (row.get(1)?, row.get(2)?);
        let (pk, value) = (sql_row::cell(row, 3)?, sql_row::cell(row, 5)?);
        let Some(table) = Table::named(&table) else { continue };
        let Some(key) = sql_row::key(&pk) else {
            if let Cell::Blob(bytes) = pk {
                noted.senseless.push((table, bytes));
            }
            continue;
        };
        let action = match op.as_str() {
            "D" => Some(EditAction::Drop),
            "I" => inserted(connection, table, &pk, given)?,
            _ => Some(EditAction::Set(vec![(row.get(4)?, value)])),
        };
        bytes += action.as_ref().map_or(0, size);
        if let Some(action) = action {
            push(&mut portion.list, Edit { kind: table.kind, key, action });
        }
        if portion.list.len() >= CHUNK {
            noted.portions.push(std::mem::take(&mut portion));
        }
        if bytes >= MOST_BYTES {
            noted.more = true;
            break;
        }
    }
    noted.more |= read == MOST;
    if portion.done > 0 {
        noted.portions.push(portion);
    }
    Ok(noted)
}

/// Forgets what is done. Gives the rows that came and went by it, by table.
pub fn forget(connection: &Connection, done: u64) -> rusqlite::Result<Vec<(String, u64, u64)>> {
    let mut all = connection.prepare_cached(
        "SELECT tbl, sum(op = 'I'), sum(op = 'D') FROM _hal_oplog WHERE id <= ? GROUP BY tbl",
    )?;
    let number =
        |row: &rusqlite::Row<'_>, at| Ok::<_, rusqlite::Error>(row.get::<_, i64>(at)?.cast_unsigned());
    let moved =
        all.query_map([done.cast_signed()], |row| Ok((row.get(0)?, number(row, 1)?, number(row, 2)?)))?;
    let moved = moved.collect::<Result<_, _>>()?;
    connection.prepare_cached("DELETE FROM _hal_oplog WHERE id <= ?")?.execute([done.cast_signed()])?;
    Ok(moved)
}

/// The number of the last change that was noted.
pub fn last(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT max(seq) FROM sqlite_sequence WHERE name = '_hal_oplog'";
    let last: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(last.unwrap_or(0).cast_unsigned())
}

/// Sees to it that numbers go on after `done`: where the count of them was lost, as by an operator who has emptied
/// `sqlite_sequence`, new edits would pass for old ones.
pub fn number_on(connection: &Connection, done: u64) -> rusqlite::Result<()> {
    let (last, done) = (last(connection)?.cast_signed(), done.cast_signed());
    if last >= done {
        return Ok(());
    }
    connection.execute("UPDATE _hal_oplog SET id = id + ?", [done])?;
    connection.execute("DELETE FROM sqlite_sequence WHERE name = '_hal_oplog'", [])?;
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('_hal_oplog', ?)", [last + done])?;
    Ok(())
}

/// Removes rows whose keys are no text: the store has no place for them.
pub fn remove(connection: &Connection, senseless: &[(&'static Table, Vec<u8>)]) -> rusqlite::Result<()> {
    for (table, key) in senseless {
        let sql = format!("DELETE FROM {} WHERE CAST({} AS BLOB) = ?", table.name, table.key());
        if connection.execute(&sql, [key])? > 0 {
            tracing::warn!(table = table.name, "a row of supervisor.db whose key is not text is removed");
        }
    }
    Ok(())
}

fn size(action: &EditAction) -> usize {
    match action {
        EditAction::Drop | EditAction::Index(_) => 0,
        EditAction::Put(columns) | EditAction::Add(columns) | EditAction::Set(columns) => {
            columns.iter().map(|(_, cell)| sql_row::size(cell)).sum()
        }
    }
}

/// Several values of one row are one edit.
fn push(list: &mut Vec<Edit>, edit: Edit) {
    if let (EditAction::Set(more), Some(Edit { kind, key, action: EditAction::Set(columns) })) =
        (&edit.action, list.last_mut())
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
    given: Given,
) -> rusqlite::Result<Option<EditAction>> {
    let Some(line) = line_of(connection, table, pk)? else { return Ok(None) };
    let columns = table.named_row(line);
    let last = match table.kind {
        RowKind::Event => given.event,
        RowKind::Audit => given.audit,
        _ => u64::MAX,
    };
    let is_ahead = matches!(pk, Cell::Integer(seq) if *seq <= 0 || seq.cast_unsigned() > last);
    Ok(Some(if is_ahead { EditAction::Add(columns) } else { EditAction::Put(columns) }))
}
