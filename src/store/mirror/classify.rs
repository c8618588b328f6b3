//! What lies at `supervisor.db` when the supervisor starts, found out without changing it.
//!
//! The main file is read alone, as if it could not change (`immutable`): a write-ahead log beside it may belong to
//! another file that was here before, and SQLite would play it into this one.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::apply::Standing;
use super::file::{is_damage, side};
use crate::store::sheet::schema;

/// What the log says of a damaged file, in SQLite's own words: operators and their tools look for them.
pub const MALFORMED: &str = "database disk image is malformed";

/// What lies there.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// Nothing.
    Missing,
    /// A file with nothing in it, as an `sqlite3` leaves it that cannot `.recover`.
    Empty,
    /// A file that is no mirror.
    Foreign,
    /// A mirror, or what was one, that cannot be read.
    Corrupt(String),
    /// A mirror of some store.
    Mirror(Standing),
    /// Something that cannot even be looked at.
    Unreadable(String),
}

/// Looks at a file.
pub fn look(path: &Path) -> Found {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Found::Missing,
        Err(error) => return Found::Unreadable(error.to_string()),
        Ok(found) if found.len() == 0 => return Found::Empty,
        Ok(_) => {}
    }
    if let Err(error) = fs::File::open(path) {
        return Found::Unreadable(error.to_string());
    }
    let alone = immutable(path).and_then(|connection| standing(&connection));
    match alone {
        Ok(Some(standing)) => Found::Mirror(standing),
        Ok(None) => Found::Foreign,
        // A power cut in the middle of a checkpoint leaves half of it in the log, or in an operator's journal.
        Err(error) if is_damage(&error) && has_log(path) => with_log(path, &error),
        Err(error) => Found::Corrupt(error.to_string()),
    }
}

/// Opens a file for reading, without its log.
pub fn immutable(path: &Path) -> rusqlite::Result<Connection> {
    let mut address = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                address.push(char::from(*byte))
            }
            other => address.push_str(&format!("%{other:02X}")),
        }
    }
    address.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(address, flags)
}

/// Why the pages of a file do not fit together; `None` when they do. Reads all of it.
pub fn check(connection: &Connection) -> Option<String> {
    match connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(word) if word == "ok" => None,
        Ok(what) => Some(what),
        Err(error) => Some(error.to_string()),
    }
}

/// Why a file cannot be taken in place of a store that is well; `None` when it can.
pub fn unsound(path: &Path) -> Option<String> {
    let looked = immutable(path).and_then(|file| match check(&file) {
        None => Ok(schema::lacks(&file)?.map(|column| format!("{column} is missing"))),
        unsound => Ok(unsound),
    });
    looked.unwrap_or_else(|error| Some(error.to_string()))
}

fn standing(connection: &Connection) -> rusqlite::Result<Option<Standing>> {
    let tables: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_master WHERE name IN ('_hal_meta', 'events', 'sessions', 'nodes')",
        [],
        |row| row.get(0),
    )?;
    if tables < 4 {
        return Ok(None);
    }
    let standing = Standing::read(connection)?;
    Ok((!standing.store_id.is_empty()).then_some(standing))
}

fn has_log(path: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|end| fs::metadata(side(path, end)).is_ok_and(|log| log.len() > 0))
}

fn with_log(path: &Path, alone: &rusqlite::Error) -> Found {
    let whole = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .and_then(|connection| standing(&connection));
    match whole {
        Ok(Some(standing)) => Found::Mirror(standing),
        Ok(None) => Found::Foreign,
        Err(_) => Found::Corrupt(alone.to_string()),
    }
}
