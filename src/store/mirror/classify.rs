//! What lies at `supervisor.db` when the supervisor starts, found out without changing it.
//!
//! The main file is read alone, as if it could not change (`immutable`): a write-ahead log beside it may belong to
//! another file that was here before, and SQLite would play it into this one.

use std::fs;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::apply::Standing;
use super::distrust::distrust;
use super::file::{is_damage, side};
use crate::sqlite::schema;
use hal_base::file;

/// Finding out what a file is takes a few pages of it, and no longer than this.
const LOOK: Duration = Duration::from_secs(60);

/// What the log says of a damaged file, in SQLite's own words: operators and their tools look for them.
pub const MALFORMED: &str = "database disk image is malformed";

/// What lies there.
#[derive(Debug, PartialEq)]
pub enum FoundMirror {
    /// There is no file.
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
pub fn look(path: &Path) -> FoundMirror {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return FoundMirror::Missing,
        Err(error) => return FoundMirror::Unreadable(error.to_string()),
        Ok(found) if found.is_file() && found.len() == 0 => return FoundMirror::Empty,
        Ok(_) => {}
    }
    if let Err(error) = file::open_regular(path) {
        return FoundMirror::Unreadable(error.to_string());
    }
    let alone = immutable(path).and_then(|connection| {
        within(LOOK, &connection, || Ok((disguised(&connection)?, standing(&connection)?)))
    });
    match alone {
        Ok((Some(disguised), _)) => FoundMirror::Corrupt(disguised),
        Ok((None, Some(standing))) => FoundMirror::Mirror(standing),
        Ok((None, None)) => FoundMirror::Foreign,
        // A power cut in the middle of a checkpoint leaves half of it in the log, or in an operator's journal.
        Err(error) if is_damage(&error) && has_log(path) => with_log(path, &error),
        Err(error) => FoundMirror::Corrupt(error.to_string()),
    }
}

/// Opens a file for reading, without its log. It may come from anywhere: nothing in it is run.
pub fn immutable(path: &Path) -> rusqlite::Result<Connection> {
    if let Err(error) = file::open_regular(path) {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        return Err(rusqlite::Error::SqliteFailure(code, Some(error.to_string())));
    }
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
    let connection = Connection::open_with_flags(address, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    distrust(&connection)?;
    Ok(connection)
}

/// Does some work with a connection; what takes longer is interrupted, and fails.
fn within<T>(
    limit: Duration,
    connection: &Connection,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let stop = connection.get_interrupt_handle();
    let (done, over) = std::sync::mpsc::sync_channel::<()>(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                stop.interrupt();
            }
        });
        let worked = work();
        drop(done);
        worked
    })
}

/// What bears the name of one of our tables and is none: a view, which would calculate whatever it likes, or the table of
/// some module.
fn disguised(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut all = connection.prepare(
        "SELECT name, CASE type WHEN 'table' THEN 'virtual table' ELSE type END FROM sqlite_master \
         WHERE (type = 'view' OR (type = 'table' AND sql LIKE 'CREATE VIRTUAL%')) ORDER BY name",
    )?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
        if name.to_ascii_lowercase().starts_with("_hal_")
            || schema::Table::named(&name.to_ascii_lowercase()).is_some()
        {
            return Ok(Some(format!("{name} is a {kind}, not a table")));
        }
    }
    Ok(None)
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
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('_hal_meta', 'events', 'sessions', 'nodes')",
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

fn with_log(path: &Path, alone: &rusqlite::Error) -> FoundMirror {
    let whole = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .and_then(|connection| {
        distrust(&connection)?;
        within(LOOK, &connection, || match disguised(&connection)? {
            Some(_) => Ok(None),
            None => standing(&connection),
        })
    });
    match whole {
        Ok(Some(standing)) => FoundMirror::Mirror(standing),
        Ok(None) => FoundMirror::Foreign,
        Err(_) => FoundMirror::Corrupt(alone.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with these tables, and with what is made of them then.
    fn made(more: &str) -> (tempfile::TempDir, FoundMirror) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("supervisor.db");
        let connection = Connection::open(&path).unwrap();
        schema::make_tables(&connection).unwrap();
        let id = "INSERT INTO _hal_meta (key, value) VALUES ('store_id', 's')";
        connection.execute_batch(&format!("{id}; {more}")).unwrap();
        drop(connection);
        let found = look(&path);
        (folder, found)
    }

    #[test]
    fn a_view_named_like_a_table_is_found_out_and_never_calculated() {
        let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS key, x AS value FROM n";
        for name in ["_hal_meta", "events", "Sessions", "nodes", "costs", "_hal_gone", "_hal_oplog"] {
            let (_folder, found) = made(&format!("DROP TABLE {name}; CREATE VIEW {name} AS {endless}"));
            assert_eq!(found, FoundMirror::Corrupt(format!("{name} is a view, not a table")));
        }
        assert!(matches!(made("").1, FoundMirror::Mirror(_)), "our own view is none of them");
        let (folder, _) = made(&format!("CREATE VIEW other AS {endless}"));
        let connection = immutable(&folder.path().join("supervisor.db")).unwrap();
        let refused = connection.query_row("SELECT count(*) FROM other", [], |_| Ok(())).unwrap_err();
        // It is refused before anything is calculated; in which words differs between releases of SQLite.
        assert!(!refused.to_string().contains("interrupted"), "{refused}");
    }

    #[test]
    fn what_takes_too_long_is_interrupted() {
        let connection = Connection::open_in_memory().unwrap();
        let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n";
        let cut = within(Duration::from_millis(20), &connection, || {
            connection.query_row(endless, [], |row| row.get::<_, i64>(0))
        });
        assert!(cut.unwrap_err().to_string().contains("interrupted"));
        assert_eq!(within(LOOK, &connection, || Ok(7)), Ok(7));
    }

    #[test]
    fn a_pipe_in_its_place_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("supervisor.db");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(look(&path), FoundMirror::Unreadable("it is not a regular file".into()));
        assert!(immutable(&path).unwrap_err().to_string().contains("not a regular file"));
    }
}
