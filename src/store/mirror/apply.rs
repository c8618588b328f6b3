//! Writing to the mirror what the store says now: rows are looked at anew, so doing it twice does no harm.

use std::collections::BTreeMap;

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::feed::Todo;
use super::{MirrorHost, ShownNode};
use crate::StoreError;
use crate::change::RowKind;
use crate::reader::Reader;
use crate::sqlite::schema::{TABLES, Table};
use crate::sqlite::sql_row::{self, SqlRow};
use crate::sqlite::timestamp;
use hal_base::clock::Time;

/// The last numbers the mirror has been given: what an operator inserts under a higher one may be in the way of one of
/// the store's.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// Of events.
    pub event: u64,
    /// Of audit records.
    pub audit: u64,
}

/// What `_hal_meta` says of a mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whose mirror it is.
    pub store_id: String,
    /// Counts the windows.
    pub epoch: u64,
    /// The last change it has.
    pub change: u64,
    /// The last event it has.
    pub event: u64,
    /// Rows by table.
    pub counts: BTreeMap<String, u64>,
    /// The last number the store has given to an event, and when.
    pub last: (u64, Time),
    /// The last number of an audit record.
    pub last_audit: u64,
}

impl Standing {
    /// Reads how far the file is.
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut all = connection.prepare("SELECT key, value FROM _hal_meta")?;
        let mut standing = Self::default();
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let (key, value): (String, Cell) = (row.get(0)?, row.get(1)?);
            let number = match &value {
                Cell::Integer(number) => number.cast_unsigned(),
                _ => 0,
            };
            match (key.as_str(), value) {
                ("store_id", Cell::Text(id)) => standing.store_id = id,
                ("epoch", _) => standing.epoch = number,
                ("change_watermark", _) => standing.change = number,
                ("event_watermark", _) => standing.event = number,
                ("last_seq", _) => standing.last.0 = number,
                ("last_time", _) => standing.last.1 = Time(number.cast_signed()),
                ("last_audit", _) => standing.last_audit = number,
                (key, _) => {
                    if let Some(table) = key.strip_prefix("count_") {
                        standing.counts.insert(table.to_owned(), number);
                    }
                }
            }
        }
        Ok(standing)
    }

    /// Writes how far the file is.
    pub fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut put =
            connection.prepare_cached("INSERT OR REPLACE INTO _hal_meta (key, value) VALUES (?, ?)")?;
        put.execute(params!["store_id", self.store_id])?;
        let numbers = [
            ("epoch", self.epoch),
            ("change_watermark", self.change),
            ("event_watermark", self.event),
            ("last_seq", self.last.0),
            ("last_time", self.last.1.0.cast_unsigned()),
            ("last_audit", self.last_audit),
        ];
        for (key, number) in numbers {
            put.execute(params![key, number.cast_signed()])?;
        }
        for (table, count) in &self.counts {
            put.execute(params![format!("count_{table}"), count.cast_signed()])?;
        }
        Ok(())
    }

    /// Counts the rows of every table but the events', which are counted as they come and go.
    pub fn count_small(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let noted = noted(connection)?;
        for table in TABLES.iter().filter(|table| table.kind != RowKind::Event) {
            let rows = count(connection, table.name)?;
            let noted = noted.get(table.name).copied().unwrap_or_default();
            self.counts.insert(table.name.to_owned(), rows.saturating_add_signed(-noted));
        }
        Ok(())
    }

    /// Takes over what the store says of itself.
    pub fn take_numbers(&mut self, reader: &Reader<'_>) -> Result<(), StoreError> {
        self.last = (reader.meta("last_seq")?, Time(reader.meta("last_time")?.cast_signed()));
        self.last_audit = reader.meta("last_audit")?;
        Ok(())
    }

    /// The last numbers it has been given.
    pub fn given(&self) -> Given {
        Given { event: self.event, audit: self.last_audit }
    }

    fn add_events(&mut self, added: u64, removed: u64) {
        let count = self.counts.entry("events".to_owned()).or_default();
        *count = (*count + added).saturating_sub(removed);
    }

    /// Operators have added and removed rows. True when they may have put some in the place of others, which only
    /// the new ones were noted of.
    pub fn rows_changed(&mut self, moved: &[(String, u64, u64)]) -> bool {
        for (table, came, went) in moved.iter().filter(|(table, ..)| Table::named(table).is_some()) {
            let count = self.counts.entry(table.clone()).or_default();
            *count = (*count + came).saturating_sub(*went);
        }
        moved.iter().any(|(table, came, _)| table == "events" && *came > 0)
    }

    /// Counts the events.
    pub fn count_events(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.counts.insert("events".to_owned(), count(connection, "events")?);
        Ok(())
    }

    /// Its events.
    pub fn events(&self) -> u64 {
        self.counts.get("events").copied().unwrap_or_default()
    }

    /// All rows of all tables.
    pub fn rows(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// The rows of a table.
pub fn count(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
        Ok(row.get::<_, i64>(0)?.cast_unsigned())
    })
}

/// By how many rows operators have changed each table, as far as that is noted and not yet stored.
pub fn noted(connection: &Connection) -> rusqlite::Result<BTreeMap<String, i64>> {
    let mut noted = connection
        .prepare_cached("SELECT tbl, sum(op = 'I') - sum(op = 'D') FROM _hal_oplog GROUP BY tbl")?;
    let noted = noted.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    noted.collect()
}

/// Brings what is to be done into the mirror.
pub fn apply(
    connection: &Connection,
    reader: &Reader<'_>,
    todo: &Todo,
    host: &dyn MirrorHost,
    standing: &mut Standing,
) -> Result<(), StoreError> {
    for (from, to) in &todo.ranges {
        events(connection, reader, (*from, *to), standing)?;
    }
    for (kind, key) in &todo.rows {
        row(connection, reader, host, *kind, key)?;
    }
    Ok(())
}

/// Makes the mirror's events between two numbers what the store's are.
pub fn events(
    connection: &Connection,
    reader: &Reader<'_>,
    (from, to): (u64, u64),
    standing: &mut Standing,
) -> Result<(), StoreError> {
    // An operator may have inserted an event where ours has not come yet.
    let mut clear = connection.prepare_cached("DELETE FROM events WHERE seq BETWEEN ? AND ?")?;
    let removed = clear.execute(params![from.cast_signed(), to.cast_signed()])? as u64;
    let mut put = connection.prepare_cached(&Table::of(RowKind::Event).put_sql())?;
    let mut added = 0;
    reader.event_rows(from, to, |_, line| {
        put.execute(params_from_iter(line))?;
        added += 1;
        Ok(())
    })?;
    standing.add_events(added, removed);
    standing.event = standing.event.max(to.min(reader.meta("last_seq")?));
    Ok(())
}

/// Makes one row of the mirror what the store's is.
pub fn row(
    connection: &Connection,
    reader: &Reader<'_>,
    host: &dyn MirrorHost,
    kind: RowKind,
    key: &str,
) -> Result<(), StoreError> {
    let line = match kind {
        RowKind::Key => return idempotency_key(connection, reader, key),
        RowKind::Gone => return gone(connection, reader, key),
        // One that has no number of ours: those that have come as ranges.
        RowKind::Event => None,
        RowKind::Node => reader.node_record(key)?.map(|node| {
            let (status, heard) = host.node(&node);
            sql_row::of_node(&node, status, heard)
        }),
        RowKind::Session => reader.session_record(key)?.map(|record| {
            let (known, shown) = host.session(&record);
            sql_row::of_session(&record, known, shown)
        }),
        _ => reader.plain_row(kind, key)?,
    };
    put(connection, Table::of(kind), key, line)?;
    Ok(())
}

fn put(connection: &Connection, table: &Table, key: &str, line: Option<SqlRow>) -> rusqlite::Result<()> {
    match line {
        Some(line) => connection.prepare_cached(&table.put_sql())?.execute(params_from_iter(line))?,
        None => {
            let sql = format!("DELETE FROM {} WHERE {} = ?", table.name, table.key());
            connection.prepare_cached(&sql)?.execute([key])?
        }
    };
    Ok(())
}

fn gone(connection: &Connection, reader: &Reader<'_>, key: &str) -> Result<(), StoreError> {
    if let Some(row) = reader.gone_row(key)? {
        connection
            .prepare_cached("INSERT OR REPLACE INTO _hal_gone (key, bytes) VALUES (?, ?)")?
            .execute(params![key, row])?;
    }
    Ok(())
}

fn idempotency_key(connection: &Connection, reader: &Reader<'_>, key: &str) -> Result<(), StoreError> {
    match reader.key_record(key)? {
        Some(record) => {
            let meaning: String = record.meaning.iter().map(|byte| format!("{byte:02x}")).collect();
            connection
                .prepare_cached("INSERT OR REPLACE INTO _hal_keys (key, command, meaning) VALUES (?, ?, ?)")?
                .execute(params![key, record.command, meaning])?
        }
        None => connection.prepare_cached("DELETE FROM _hal_keys WHERE key = ?")?.execute([key])?,
    };
    Ok(())
}

/// What nodes are shown as, which changes more often than what is stored of them.
pub fn nodes_now(
    connection: &Connection,
    now: &[ShownNode],
    came_or_went: impl Fn(&str, &'static str) -> bool,
) -> rusqlite::Result<()> {
    let mut put = connection
        .prepare_cached("UPDATE nodes SET status = ?2, last_heartbeat = ?3, timestamp = ?3 WHERE id = ?1")?;
    for (id, status, heard) in now {
        put.execute(params![id, status, timestamp::text(*heard)])?;
        if came_or_went(id, status) {
            sessions_of(connection, id, *status == "online")?;
        }
    }
    Ok(())
}

/// Sessions of a node that is gone are unreachable; when it is back they are what they were known to be.
fn sessions_of(connection: &Connection, node: &str, is_online: bool) -> rusqlite::Result<()> {
    let sql = "UPDATE sessions SET status = CASE WHEN ?2 THEN json_extract(extra, '$.status') ELSE 'unreachable' END \
               WHERE node_id = ?1 AND json_extract(extra, '$.status') <> 'ended'";
    connection.prepare_cached(sql)?.execute(params![node, is_online])?;
    Ok(())
}

/// The names of a table's rows that are in the mirror.
pub fn names(connection: &Connection, table: &Table) -> rusqlite::Result<Vec<String>> {
    let mut all = connection.prepare(&format!("SELECT CAST({} AS TEXT) FROM {}", table.key(), table.name))?;
    let names = all.query_map([], |row| sql_row::cell(row, 0))?;
    let text = |cell| if let Ok(Cell::Text(name)) = cell { Some(Ok(name)) } else { cell.err().map(Err) };
    names.filter_map(text).collect()
}

/// A whole line of the mirror.
pub fn line_of(connection: &Connection, table: &Table, key: &Cell) -> rusqlite::Result<Option<SqlRow>> {
    let sql = table.select_sql(connection, &format!("WHERE {} = ?", table.key()))?;
    connection.prepare_cached(&sql)?.query_row([key], |row| sql_row::cells(row, table)).optional()
}
