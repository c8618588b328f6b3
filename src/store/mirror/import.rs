//! Imports a store from a mirror: every row, exactly.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use redb::{ReadableTable, WriteTransaction};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;

use super::apply::Standing;
use super::ops;
use super::reconcile::LastEvents;
use crate::alert::AlertRow;
use crate::audit::{self, AuditRecord};
use crate::change::RowKind;
use crate::command::{CommandRow, KeyRecord};
use crate::cost::CostRecord;
use crate::hub::Store;
use crate::kept;
use crate::node::NodeRow;
use crate::session::SessionRow;
use crate::sqlite::schema::Table;
use crate::sqlite::sql_row::{self, Fields, SqlRow};
use crate::state::StateRecord;
use crate::tables::{
    ALERTS, AUDIT, AUDIT_LINK, COMMANDS, COSTS, EVENTS, EVENTS_BY_SESSION, GONE, KEYS, META, NAME, NODES,
    OPEN_COMMANDS, SESSIONS, STATE,
};
use crate::{StoreError, event, returned, row};
use hal_base::clock::Time;
use hal_base::progress::Progress;
use hal_rules::audit::{Account, Tip, last_link};

/// Events written in one transaction.
const STEP: usize = 20_000;

/// The events after a number, so many.
const NEXT_EVENTS: &str = "WHERE seq > ? ORDER BY seq LIMIT ?";

/// What came of it.
#[derive(Debug, Default)]
pub struct Imported {
    /// Events that are in the new store.
    pub events: u64,
    /// The last one's number.
    pub last: u64,
    /// The highest time of one.
    newest: Time,
    /// Lines that made no sense, and the first one's place and reason.
    pub senseless: (u64, Option<String>),
}

/// Makes a new store at a path from the mirror behind a connection. The store gets a name of its own: a cursor into
/// what was here before means nothing in it.
pub fn import(
    connection: &Connection,
    standing: &Standing,
    path: &Path,
    progress: &Progress,
) -> Result<Imported, StoreError> {
    progress.expect(standing.events());
    let store = Store::open_draft(path)?;
    let mut adopted = Imported::default();
    let mut numbers = BTreeMap::new();
    let committed = committed(connection)?;
    store.transaction(|txn| {
        small(connection, txn, &mut numbers, &mut adopted)?;
        keys(connection, txn)?;
        gone(connection, txn)
    })?;
    let (mut last_time, mut disordered, mut said) = (Time(i64::MIN), false, LastEvents::default());
    loop {
        let mut read = 0;
        store.transaction(|txn| {
            let sql = Table::of(RowKind::Event).select_sql(connection, NEXT_EVENTS)?;
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(rusqlite::params![adopted.last.cast_signed(), STEP as i64])?;
            let (mut index, mut back) = (Vec::new(), Vec::new());
            let mut events = txn.open_table(EVENTS)?;
            while let Some(found) = rows.next()? {
                read += 1;
                let line = sql_row::cells(found, Table::of(RowKind::Event))?;
                let Cell::Integer(seq) = line[0] else { continue };
                adopted.last = seq.cast_unsigned();
                let fields = sql_row::read(Table::of(RowKind::Event), &line);
                let Some(event) =
                    adopted.sense("events", &line[0], fields.and_then(|f| sql_row::event(adopted.last, f)))
                else {
                    continue;
                };
                events.insert(event.seq, event::seal(&event).as_slice())?;
                said.record(&event);
                index.extend(numbers.get(&event.session_id).map(|no| (*no, event.seq)));
                // What stands out of order, or beyond what its node is known to have said, came back from elsewhere.
                let is_late = event.timestamp < last_time;
                if is_late || event.node_seq > committed.get(event.node_id.as_str()).copied().unwrap_or(0) {
                    back.extend(returned::name(&event));
                }
                disordered |= is_late;
                last_time = last_time.max(event.timestamp);
                adopted.newest = last_time;
                adopted.events += 1;
            }
            returned::write(txn, &back)?;
            index.sort_unstable();
            let mut by_session = txn.open_table(EVENTS_BY_SESSION)?;
            for entry in index {
                by_session.insert(entry, ())?;
            }
            Ok(())
        })?;
        progress.add(read as u64);
        if read < STEP {
            break;
        }
    }
    let noted = ops::last(connection)?;
    // The mirror was still catching up.
    if standing.event < standing.last.0 {
        store.transaction(|txn| said.level(txn))?;
    }
    store.transaction(|txn| numbers_of(txn, standing, &adopted, last_time, disordered, noted))?;
    Ok(adopted)
}

/// Up to which number each node's events are committed.
fn committed(connection: &Connection) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut found = BTreeMap::new();
    each(connection, RowKind::Node, &mut Imported::default(), |key, fields| {
        Ok(sql_row::row::<NodeRow>(fields).map(|row| {
            let node = row.into_record(key);
            // An earlier journal of it may have stood higher.
            let most = node.past.iter().map(|past| past.committed).max().unwrap_or(0);
            found.insert(key.to_owned(), node.committed.max(most));
        }))
    })?;
    Ok(found)
}

impl Imported {
    /// A row that made sense, or a note of one that did not.
    fn sense<R>(&mut self, table: &str, key: &Cell, row: Result<R, String>) -> Option<R> {
        match row {
            Ok(row) => Some(row),
            Err(why) => {
                self.senseless.0 += 1;
                self.senseless.1.get_or_insert_with(|| format!("{table} {key:?}: {why}"));
                None
            }
        }
    }
}

fn numbers_of(
    txn: &WriteTransaction,
    standing: &Standing,
    adopted: &Imported,
    last_time: Time,
    disordered: bool,
    noted: u64,
) -> Result<(), StoreError> {
    let mut meta = txn.open_table(META)?;
    let last_seq = standing.last.0.max(adopted.last);
    // By its own clock: an operator may have given an event any time.
    let last_time = if standing.last.0 > 0 { standing.last.1 } else { last_time };
    let disordered = disordered || adopted.newest > last_time;
    let last_audit = meta.get("last_audit")?.map_or(0, |last| last.value()).max(standing.last_audit);
    let numbers = [
        ("last_seq", last_seq),
        ("last_time", u64::try_from(last_time.0).unwrap_or_default()),
        ("last_audit", last_audit),
        ("index_watermark", last_seq),
        ("disordered", u64::from(disordered)),
        ("mirror_epoch", standing.epoch),
        // What operators had changed in it is in its rows; what they change from now on is new.
        ("mirror_oplog", noted),
    ];
    for (key, number) in numbers {
        meta.insert(key, number)?;
    }
    txn.open_table(NAME)?.insert("adopted", identity(standing).as_bytes())?;
    Ok(())
}

/// True when a store was made from this mirror.
pub fn is_made_from(store: &Store, standing: &Standing) -> Result<bool, StoreError> {
    let reader = store.read()?;
    let names = reader.txn().open_table(NAME)?;
    Ok(names.get("adopted")?.is_some_and(|bytes| bytes.value() == identity(standing).as_bytes()))
}

/// By which a store knows the file again that it was made from.
fn identity(standing: &Standing) -> String {
    format!("{}:{}", standing.store_id, standing.epoch)
}

/// Shows the key and the fields of every row of a table.
fn each(
    connection: &Connection,
    kind: RowKind,
    adopted: &mut Imported,
    mut see: impl FnMut(&str, Fields) -> Result<Result<(), String>, StoreError>,
) -> Result<(), StoreError> {
    let table = Table::of(kind);
    lines(connection, kind, |line| {
        let Some(key) = sql_row::key(&line[0]) else { return Ok(()) };
        let seen = match sql_row::read(table, line) {
            Ok(fields) => see(&key, fields)?,
            Err(why) => Err(why),
        };
        adopted.sense(table.name, &line[0], seen);
        Ok(())
    })
}

/// Shows every line of a table.
fn lines(
    connection: &Connection,
    kind: RowKind,
    mut see: impl FnMut(&SqlRow) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let table = Table::of(kind);
    // A backup of an earlier day may not have it.
    if !table.is_in(connection)? {
        return Ok(());
    }
    let mut statement = connection.prepare(&table.select_sql(connection, "")?)?;
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        see(&sql_row::cells(found, table)?)?;
    }
    Ok(())
}

/// An audit record, with its place in the chain.
fn audit_record(txn: &WriteTransaction, key: &str, fields: Fields) -> Result<Result<(), String>, StoreError> {
    let Ok(seq) = key.parse::<u64>() else { return Ok(Err("its number is not valid".into())) };
    let mut meta = txn.open_table(META)?;
    let last = meta.get("last_audit")?.map_or(0, |last| last.value());
    meta.insert("last_audit", last.max(seq))?;
    let record = match sql_row::row::<AuditRecord>(fields) {
        Ok(record) => record,
        Err(why) => return Ok(Err(why)),
    };
    let tip = meta.get(AUDIT_LINK)?.map_or(0, |tip| tip.value());
    let last = last_link(&record).filter(|link| *link > tip);
    for (key, value) in last.and_then(|no| Tip::of(&record, seq, no)).iter().flat_map(audit::tip_numbers) {
        meta.insert(key, value)?;
    }
    // Each says it anew: the last one counts.
    for (key, value) in Account::of(&record).iter().flat_map(audit::account_numbers) {
        meta.insert(key, value)?;
    }
    txn.open_table(AUDIT)?.insert(seq, audit::seal(&record, seq).as_slice())?;
    Ok(Ok(()))
}

/// All tables but the events.
fn small(
    connection: &Connection,
    txn: &WriteTransaction,
    numbers: &mut BTreeMap<String, u32>,
    adopted: &mut Imported,
) -> Result<(), StoreError> {
    sessions(connection, txn, numbers, adopted)?;
    each(connection, RowKind::Node, adopted, |key, fields| {
        sealed::<NodeRow>(key, fields, |bytes| put(txn, NODES, key, bytes))
    })?;
    each(connection, RowKind::Cost, adopted, |key, fields| {
        sealed::<CostRecord>(key, fields, |bytes| put(txn, COSTS, key, bytes))
    })?;
    each(connection, RowKind::Audit, adopted, |key, fields| audit_record(txn, key, fields))?;
    each(connection, RowKind::Alert, adopted, |key, fields| {
        let Ok(id) = key.parse::<u64>() else { return Ok(Err("its number is not valid".into())) };
        let alert = match sql_row::row::<AlertRow>(fields) {
            Ok(row) => row,
            Err(why) => return Ok(Err(why)),
        };
        if let Err(error) = alert.clone().into_alert(id) {
            return Ok(Err(error.to_string()));
        }
        txn.open_table(ALERTS)?.insert(id, row::seal(&alert, id).as_slice())?;
        Ok(Ok(()))
    })?;
    for kind in RowKind::KEPT {
        lines(connection, kind, |line| {
            let Some(key) = sql_row::key(&line[0]) else { return Ok(()) };
            let said = sql_row::read(Table::of(kind), line).and_then(|fields| sql_row::state(kind, fields));
            // Should it be a halt or a limit, it holds though it cannot be read: it is never left out.
            let record = said.unwrap_or_else(|why| StateRecord { data: why, ..StateRecord::default() });
            let name = kept::name_in(kind, &key, &record);
            put(txn, STATE, &name, &row::seal(&record, &name))
        })?;
    }
    each(connection, RowKind::Command, adopted, |key, fields| {
        let command = match sql_row::row::<CommandRow>(fields) {
            Ok(row) => row,
            Err(why) => return Ok(Err(why)),
        };
        if let Err(error) = command.clone().into_command(key) {
            return Ok(Err(error.to_string()));
        }
        if !command.has_ended() {
            txn.open_table(OPEN_COMMANDS)?.insert(key, ())?;
        }
        put(txn, COMMANDS, key, &row::seal(&command, key)).map(Ok)
    })
}

fn sealed<R: row::Row>(
    key: &str,
    fields: Fields,
    write: impl FnOnce(&[u8]) -> Result<(), StoreError>,
) -> Result<Result<(), String>, StoreError> {
    match sql_row::row::<R>(fields) {
        Ok(row) => write(&row::seal(&row, key)).map(Ok),
        Err(why) => Ok(Err(why)),
    }
}

fn put(
    txn: &WriteTransaction,
    table: redb::TableDefinition<'_, &str, &[u8]>,
    key: &str,
    bytes: &[u8],
) -> Result<(), StoreError> {
    txn.open_table(table)?.insert(key, bytes)?;
    Ok(())
}

/// Sessions keep their numbers in the index; one that has none, or another's, gets a new one.
fn sessions(
    connection: &Connection,
    txn: &WriteTransaction,
    numbers: &mut BTreeMap<String, u32>,
    adopted: &mut Imported,
) -> Result<(), StoreError> {
    let mut all = Vec::new();
    each(connection, RowKind::Session, adopted, |key, fields| {
        Ok(sql_row::row::<SessionRow>(fields).map(|row| all.push(row.into_record(key))))
    })?;
    let mut next = all.iter().map(|record| record.no).max().unwrap_or(0);
    let mut taken = HashSet::new();
    for mut record in all {
        if record.no == 0 || !taken.insert(record.no) {
            next += 1;
            record.no = next;
        }
        let id = record.session.id.as_str();
        put(txn, SESSIONS, id, &row::seal(&SessionRow::from(&record), id))?;
        numbers.insert(id.to_owned(), record.no);
    }
    Ok(())
}

fn gone(connection: &Connection, txn: &WriteTransaction) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT * FROM _hal_gone")?;
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        let (key, row): (String, Vec<u8>) = (found.get(0)?, found.get(1)?);
        // Only what is whole: these rows are opened at every start.
        let id = key.split_once('\0').map_or("", |(_, id)| id);
        let is_whole = match key.starts_with("node") {
            true => row::open::<NodeRow>(&row, id).is_ok(),
            false => row::open::<SessionRow>(&row, id).is_ok(),
        };
        if is_whole {
            put(txn, GONE, &key, &row)?;
        }
    }
    Ok(())
}

fn keys(connection: &Connection, txn: &WriteTransaction) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT key, command, meaning FROM _hal_keys")?;
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        let (key, command, hex): (String, String, String) = (found.get(0)?, found.get(1)?, found.get(2)?);
        let bytes = (0..hex.len() / 2).map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok());
        let Some(Ok(meaning)) = bytes.collect::<Option<Vec<u8>>>().map(<[u8; 32]>::try_from) else {
            continue;
        };
        put(txn, KEYS, &key, &row::seal(&KeyRecord { command, meaning }, &key))?;
    }
    Ok(())
}
