//! Making a mirror anew from the store: beside the old one, whole, then in its place.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, params};

use super::MirrorHost;
use super::apply::{self, Standing};
use super::file::{remove_sides, side};
use crate::StoreError;
use crate::hub::Store;
use crate::sqlite::schema;
use hal_base::file;
use hal_base::progress::Progress;

/// Rows of one look at the store. A look keeps the store from being opened again after a failure, so it must be short.
const SLICE: u64 = 5_000;

/// Permissions of the file: the supervisor's user writes, its group reads.
const GROUP_READS: u32 = 0o640;

/// Makes the mirror of a store anew, while the store is written to. What changes meanwhile is caught up with later:
/// the mirror begins at the change that was the last one before. `at_last` is done when it only has to be put in place,
/// and what that gives is kept until it is.
pub fn build<T>(
    store: &Store,
    store_id: &str,
    path: &Path,
    host: &dyn MirrorHost,
    ends: &AtomicBool,
    progress: &Progress,
    at_last: impl FnOnce() -> T,
) -> Result<Standing, StoreError> {
    let fresh = side(path, ".new");
    let _ = fs::remove_file(&fresh);
    remove_sides(&fresh);
    let failed = |source| StoreError::File { path: fresh.clone(), source };
    file::make(&fresh, GROUP_READS).map_err(failed)?;
    let standing =
        fill(store, store_id, &fresh, host, ends, progress).inspect_err(|_| drop(fs::remove_file(&fresh)))?;
    File::open(&fresh).and_then(|file| file.sync_all()).map_err(failed)?;
    let _kept = at_last();
    remove_sides(path);
    fs::rename(&fresh, path).and_then(|()| file::sync_folder(path)).map_err(failed)?;
    Ok(standing)
}

fn fill(
    store: &Store,
    store_id: &str,
    fresh: &Path,
    host: &dyn MirrorHost,
    ends: &AtomicBool,
    progress: &Progress,
) -> Result<Standing, StoreError> {
    let go_on = || match ends.load(Ordering::Relaxed) {
        true => Err(StoreError::Refused("the supervisor is stopping".into())),
        false => Ok(()),
    };
    let connection = Connection::open(fresh)?;
    for (pragma, value) in [("journal_mode", "OFF"), ("synchronous", "OFF"), ("locking_mode", "EXCLUSIVE")] {
        connection.pragma_update(None, pragma, value)?;
    }
    schema::make_tables(&connection)?;
    let (mut standing, done, bounds, keys) = {
        let reader = store.read()?;
        let mut standing = Standing { store_id: store_id.to_owned(), ..Standing::default() };
        standing.change = reader.last_change()?;
        standing.epoch = reader.meta("mirror_epoch")? + 1;
        standing.take_numbers(&reader)?;
        (standing, reader.meta("mirror_oplog")?, reader.event_bounds()?, reader.row_keys()?)
    };
    progress.expect(bounds.map_or(0, |(first, last)| last - first + 1) + keys.len() as u64);
    if let Some((first, last)) = bounds {
        for from in (first..=last).step_by(SLICE as usize) {
            go_on()?;
            connection.execute_batch("BEGIN")?;
            apply::events(&connection, &store.read()?, (from, last.min(from + SLICE - 1)), &mut standing)?;
            connection.execute_batch("COMMIT")?;
            progress.add(SLICE.min(last - from + 1));
        }
    }
    for slice in keys.chunks(SLICE as usize) {
        connection.execute_batch("BEGIN")?;
        let reader = store.read()?;
        for (kind, key) in slice {
            apply::row(&connection, &reader, host, *kind, key)?;
        }
        progress.add(slice.len() as u64);
        connection.execute_batch("COMMIT")?;
    }
    // Rows were read later than the events: a node's says of more of them than are here. As long as the last number is
    // beyond the last event here, whoever makes a store from a copy takes that back: see `level`.
    let audit = standing.last_audit;
    standing.take_numbers(&store.read()?)?;
    standing.last_audit = audit;
    schema::finish(&connection)?;
    // Numbers of operators' edits go on where those of the mirror before ended: see `Decided::upto`.
    connection.execute(
        "INSERT INTO _hal_oplog (id, tbl, op, pk) VALUES (?, '', '', '')",
        params![done.max(1).cast_signed()],
    )?;
    connection.execute("DELETE FROM _hal_oplog", [])?;
    standing.count_small(&connection)?;
    standing.write(&connection)?;
    // The shared memory of the log needs the other locking mode, which takes hold with the next read.
    connection.pragma_update(None, "locking_mode", "NORMAL")?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(standing)
}
