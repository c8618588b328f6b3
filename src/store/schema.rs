//! The store's shape: its number, its tables, and its name.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};

use super::StoreError;
use super::tables::{
    ALERTS, AUDIT, CHANGES, COMMANDS, COSTS, EVENTS, EVENTS_BY_SESSION, GONE, KEYS, META, NAME, NODES,
    OPEN_COMMANDS, SESSIONS, STATE,
};

/// The shape while the log may be ahead of redb. A store with a larger number was written by a newer program. It is put
/// back to [`SCHEMA_BEFORE`] by a clean end.
pub const SCHEMA: u64 = 3;

/// The shape of one that needs no log, and that the release before this one cannot read nevertheless.
pub const SCHEMA_WHOLE: u64 = 2;

/// The shape that the release before this one knows: no row of kept state is postcard, and there is no log.
pub const SCHEMA_BEFORE: u64 = 1;

/// The number of a store's shape; `None` for one that was just made. Fails for one that is newer than this program.
pub fn of(db: &Database, path: &Path) -> Result<Option<u64>, StoreError> {
    let Ok(meta) = db.begin_read()?.open_table(META) else { return Ok(None) };
    let Some(found) = meta.get("schema")?.map(|found| found.value()) else { return Ok(None) };
    if (SCHEMA_BEFORE..=SCHEMA).contains(&found) {
        return Ok(Some(found));
    }
    Err(StoreError::Newer {
        path: path.to_owned(),
        found: u32::try_from(found).unwrap_or(u32::MAX),
        known: SCHEMA as u32,
    })
}

/// False for a store of a release that did not have all of them.
pub fn has_all_tables(db: &Database) -> Result<bool, StoreError> {
    Ok(db.begin_read()?.open_table(STATE).is_ok())
}

/// The name of a store; `None` for one that was just made.
pub fn store_id(db: &Database) -> Result<Option<String>, StoreError> {
    let Ok(name) = db.begin_read()?.open_table(NAME) else { return Ok(None) };
    Ok(name.get("store_id")?.map(|bytes| String::from_utf8_lossy(bytes.value()).into_owned()))
}

/// Makes the tables that are not there yet.
pub fn make_tables(txn: &WriteTransaction) -> Result<(), StoreError> {
    for table in [SESSIONS, NODES, COMMANDS, KEYS, COSTS, STATE, GONE] {
        txn.open_table(table)?;
    }
    for table in [EVENTS, CHANGES, AUDIT, ALERTS] {
        txn.open_table(table)?;
    }
    txn.open_table(OPEN_COMMANDS)?;
    txn.open_table(EVENTS_BY_SESSION)?;
    Ok(())
}

/// The last number that a release without a log has given to a change: positions go on from there, and so does the mirror.
pub fn last_change(db: &Database) -> Result<u64, StoreError> {
    let Ok(changes) = db.begin_read()?.open_table(CHANGES) else { return Ok(0) };
    Ok(changes.last()?.map_or(0, |(number, _)| number.value()))
}
