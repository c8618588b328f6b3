//! Drains a file that is being replaced: what operators change in it while the new one is made.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::MirrorHost;
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
pub fn last_edit(path: &Path) -> Option<u64> {
    ops::last(&immutable(path).ok()?).ok()
}

/// Takes over what operators have changed in the file since the edit `known`. Nobody can write to it any more while what
/// this gives is kept.
pub fn drain(path: &Path, known: u64, store: &Store, host: &dyn MirrorHost) -> Option<Connection> {
    match try_drain(path, known, store, host) {
        Ok(connection) => Some(connection),
        Err(error) => {
            let error = chain(&error);
            tracing::warn!(error, "what was changed in supervisor.db while it was rebuilt cannot be read");
            None
        }
    }
}

fn try_drain(
    path: &Path,
    known: u64,
    store: &Store,
    host: &dyn MirrorHost,
) -> Result<Connection, StoreError> {
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
            host.take(portion).map_err(StoreError::Refused)?;
        }
        if !noted.more {
            return Ok(connection);
        }
    }
}
