//! Row recovery at the start: rows of a store that cannot be read are written again from its mirror.
//!
//! Only where the mirror is this store's own and has not missed a change of such a row: a node's row of an earlier
//! moment would have its events taken twice. Else the whole store is made anew from the mirror.

use std::path::Path;

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::apply::{Standing, line_of};
use super::classify::immutable;
use super::feed::Todo;
use super::salvage::is_newer;
use crate::alert::AlertRow;
use crate::audit::{self, AuditRecord};
use crate::change::RowKind;
use crate::command::CommandRow;
use crate::cost::CostRecord;
use crate::hub::Store;
use crate::kept::{self, Kept};
use crate::node::NodeRow;
use crate::reader::Reader;
use crate::session::SessionRow;
use crate::sqlite::schema::Table;
use crate::sqlite::sql_row::{self, Fields};
use crate::state::StateRecord;
use crate::tables::{ALERTS, AUDIT, COMMANDS, COSTS, EVENTS, NODES, SESSIONS, STATE};
use crate::{StoreError, event, row};
use hal_base::panic::contained;
use rusqlite::types::Value as Cell;

/// Rows that are healed one by one at most: a file with more of them is better left.
const MOST: usize = 1_000;

/// A row, by its table and its key.
type Name = (RowKind, String);

/// Writes every row again that cannot be read, and names them. Fails, with nothing changed, where one cannot be healed.
pub fn rows(path: &Path, mirror: &Path, standing: &Standing) -> Result<Vec<String>, StoreError> {
    contained(|| {
        let store = Store::open_unread(path)?;
        let (damaged, newer) = {
            let reader = store.read()?;
            if reader.store_id()? != standing.store_id {
                return Err(StoreError::Refused("supervisor.db is of another store".into()));
            }
            (damaged(&reader)?, reader.changes(standing.change, u64::MAX)?)
        };
        if damaged.is_empty() {
            return Err(StoreError::Refused("every row can be read".into()));
        }
        let said = damaged.iter().map(|name| said(mirror, name, &newer)).collect::<Result<Vec<_>, _>>()?;
        store.transaction(|txn| {
            damaged.iter().zip(said).try_for_each(|(name, fields)| write(txn, name, fields))
        })?;
        Ok(damaged.iter().map(|(kind, key)| format!("{} {key}", Table::of(*kind).name)).collect())
    })
    .unwrap_or_else(|_| Err(StoreError::Surprising(path.to_owned())))
}

/// The rows that cannot be read, of all tables that the mirror has.
fn damaged(reader: &Reader<'_>) -> Result<Vec<Name>, StoreError> {
    let mut found = Vec::new();
    named(reader, RowKind::Session, SESSIONS, &mut found, |bytes, key| {
        row::open::<SessionRow>(bytes, key).map(drop)
    })?;
    named(reader, RowKind::Node, NODES, &mut found, |bytes, key| row::open::<NodeRow>(bytes, key).map(drop))?;
    named(reader, RowKind::Command, COMMANDS, &mut found, |bytes, key| {
        row::open::<CommandRow>(bytes, key).map(drop)
    })?;
    named(reader, RowKind::Cost, COSTS, &mut found, |bytes, key| {
        row::open::<CostRecord>(bytes, key).map(drop)
    })?;
    named(reader, RowKind::State, STATE, &mut found, |bytes, key| Kept::open(bytes, key).map(drop))?;
    numbered(reader, RowKind::Audit, AUDIT, &mut found, |bytes, seq| audit::open(bytes, seq).map(drop))?;
    numbered(reader, RowKind::Alert, ALERTS, &mut found, |bytes, id| {
        row::open::<AlertRow>(bytes, id)?.into_alert(id).map(drop)
    })?;
    numbered(reader, RowKind::Event, EVENTS, &mut found, |bytes, seq| {
        event::session_of(bytes, seq).map(drop)
    })?;
    Ok(found)
}

fn named(
    reader: &Reader<'_>,
    kind: RowKind,
    table: TableDefinition<'_, &'static str, &'static [u8]>,
    found: &mut Vec<Name>,
    open: impl Fn(&[u8], &str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for entry in reader.txn().open_table(table)?.iter()? {
        let (key, bytes) = entry?;
        note(found, kind, key.value(), open(bytes.value(), key.value()))?;
    }
    Ok(())
}

fn numbered(
    reader: &Reader<'_>,
    kind: RowKind,
    table: TableDefinition<'_, u64, &'static [u8]>,
    found: &mut Vec<Name>,
    open: impl Fn(&[u8], u64) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for entry in reader.txn().open_table(table)?.iter()? {
        let (key, bytes) = entry?;
        note(found, kind, &key.value().to_string(), open(bytes.value(), key.value()))?;
    }
    Ok(())
}

fn note(
    found: &mut Vec<Name>,
    kind: RowKind,
    key: &str,
    opened: Result<(), StoreError>,
) -> Result<(), StoreError> {
    match opened {
        Err(StoreError::Damaged { .. }) if found.len() < MOST => {
            found.push((kind, key.to_owned()));
            Ok(())
        }
        opened => opened,
    }
}

/// What the mirror says of a row, if that is what the store should say.
fn said(mirror: &Path, (kind, key): &Name, newer: &Todo) -> Result<Fields, StoreError> {
    let (kind, key) = if *kind == RowKind::State { kept::place(key) } else { (*kind, key.as_str()) };
    let table = Table::of(kind);
    let unknown =
        |why: &str| StoreError::Refused(format!("row {key} of {}: supervisor.db {why}", table.name));
    if newer.is_lost || is_newer(newer, kind, key) {
        return Err(unknown("does not have its last change yet"));
    }
    let pk = match kind {
        RowKind::Event | RowKind::Audit | RowKind::Alert => Cell::Integer(key.parse().unwrap_or_default()),
        _ => Cell::Text(key.to_owned()),
    };
    let line = line_of(&immutable(mirror)?, table, &pk)?.ok_or_else(|| unknown("does not have it"))?;
    let said = sql_row::read(table, &line).map_err(|why| unknown(&why))?;
    match RowKind::KEPT.contains(&kind) {
        true => {
            sql_row::state(kind, said).map(|record| sql_row::fields(&record)).map_err(|why| unknown(&why))
        }
        false => Ok(said),
    }
}

fn write(txn: &WriteTransaction, (kind, key): &Name, fields: Fields) -> Result<(), StoreError> {
    let key = key.as_str();
    let number = key.parse::<u64>().unwrap_or_default();
    let by_name = |table: TableDefinition<'_, &'static str, &'static [u8]>,
                   bytes: Result<Vec<u8>, String>| {
        let bytes = bytes.map_err(StoreError::Refused)?;
        txn.open_table(table)?.insert(key, bytes.as_slice())?;
        Ok(())
    };
    let by_number = |table: TableDefinition<'_, u64, &'static [u8]>, bytes: Result<Vec<u8>, String>| {
        let bytes = bytes.map_err(StoreError::Refused)?;
        txn.open_table(table)?.insert(number, bytes.as_slice())?;
        Ok(())
    };
    match kind {
        RowKind::Session => by_name(SESSIONS, sealed::<SessionRow>(fields, key)),
        RowKind::Node => by_name(NODES, sealed::<NodeRow>(fields, key)),
        RowKind::Cost => by_name(COSTS, sealed::<CostRecord>(fields, key)),
        RowKind::State => by_name(STATE, sealed::<StateRecord>(fields, key)),
        RowKind::Alert => by_number(ALERTS, sealed::<AlertRow>(fields, key)),
        RowKind::Audit => {
            by_number(AUDIT, sql_row::row::<AuditRecord>(fields).map(|record| audit::seal(&record, number)))
        }
        RowKind::Event => by_number(EVENTS, sql_row::event(number, fields).map(|event| event::seal(&event))),
        _ => by_name(COMMANDS, sealed::<CommandRow>(fields, key)),
    }
}

fn sealed<R: row::Row>(fields: Fields, key: &str) -> Result<Vec<u8>, String> {
    sql_row::row::<R>(fields).map(|fresh| row::seal(&fresh, key))
}
