//! What operators change in a file while another one is made that will take its place.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::Desk;
use super::apply::Standing;
use super::classify::immutable;
use super::distrust::distrust;
use super::file::is_busy;
use super::ops;
use crate::StoreError;
use crate::hub::Store;
use hal_base::cause::chain;

/// How long an operator's statement is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// The number of the last edit in a file, without its log; `None` when there is no such file.
pub fn known(path: &Path) -> Option<u64> {
    ops::last(&immutable(path).ok()?).ok()
}

/// Takes over what operators have changed in the file since the edit `known`. Nobody can write to it any more while what
/// this gives is kept.
pub fn take(path: &Path, known: u64, store: &Store, desk: &dyn Desk) -> Option<Connection> {
    match try_take(path, known, store, desk) {
        Ok(connection) => Some(connection),
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(error, "what was changed in supervisor.db while it was rebuilt cannot be read");
            None
        }
    }
}

fn try_take(path: &Path, known: u64, store: &Store, desk: &dyn Desk) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    distrust(&connection)?;
    connection.busy_timeout(BUSY)?;
    match connection.execute_batch("BEGIN IMMEDIATE") {
        Err(error) if is_busy(&error) => return Err(error.into()),
        // Another user's file: it can only be read.
        _ => {}
    }
    let given = Standing::read(&connection)?.given();
    let mut from = known;
    loop {
        let noted = ops::read(&connection, from, given)?;
        for mut portion in noted.portions {
            from = portion.done;
            // The new file has numbers of its own.
            portion.done = store.read()?.meta("mirror_oplog")?.max(1);
            desk.take(portion).map_err(StoreError::Refused)?;
        }
        if !noted.more {
            return Ok(connection);
        }
    }
}
