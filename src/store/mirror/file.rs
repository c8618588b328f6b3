//! The open `supervisor.db`: one connection, the lease, and the pin that keeps the main file as it is.
//!
//! Between windows a read transaction on the empty write-ahead log is held open. While it is, nobody can move pages
//! from the log into the main file, whatever an operator does: so a plain copy of the main file is whole. Inside a
//! window the lease says that nobody else has the file open, so nobody can be copying it.

use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::base::os;

/// How long our own statements wait for an operator's write in the window's stead.
const BUSY: Duration = Duration::from_millis(200);

/// Kibibytes of SQLite's cache.
const CACHE_KIB: i64 = 8 * 1024;

/// What a file looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    place: (u64, u64),
    changed: (i64, i64),
    size: u64,
}

impl Look {
    /// At the file at a path.
    pub fn at(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        Ok(Self {
            place: (found.dev(), found.ino()),
            changed: (found.mtime(), found.mtime_nsec()),
            size: found.len(),
        })
    }
}

/// How the file is held during a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nobody else has it open.
    Alone,
    /// Somebody has, or may have.
    Shared,
}

/// Why there is no window now.
#[derive(Debug)]
pub enum NoWindow {
    /// Somebody has the file open.
    Busy,
    /// The file is not the one we opened, or somebody has written over it.
    Replaced,
}

/// The open mirror.
#[derive(Debug)]
pub struct MirrorFile {
    path: PathBuf,
    connection: Connection,
    descriptor: RawFd,
    /// As we left it; `None` while others may have written to the main file rightly.
    left: Option<Look>,
    /// Why the file system gives no leases.
    pub no_leases: Option<String>,
    /// True when all that was in the log is in the main file since it was opened.
    pub is_whole: bool,
}

impl MirrorFile {
    /// Opens it. Triggers are off: what we write is no operator's edit.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let descriptor = descriptor_of(path).unwrap_or(-1);
        let mut file = Self {
            path: path.to_owned(),
            connection,
            descriptor,
            left: None,
            no_leases: None,
            is_whole: false,
        };
        let hold = file.take_lease();
        file.connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        file.is_whole = file.close_window(if hold.is_ok() { Hold::Alone } else { Hold::Shared })?;
        Ok(file)
    }

    /// The connection, for what is done in a window.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Bytes of pages that hold something.
    pub fn live_bytes(&self) -> rusqlite::Result<u64> {
        let number = |pragma: &str| self.connection.query_row(pragma, [], |row| row.get::<_, u32>(0));
        let pages = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
        Ok(u64::from(pages) * u64::from(number("PRAGMA page_size")?))
    }

    /// True when somebody has written since our last window.
    pub fn has_news(&self) -> bool {
        fs::metadata(side(&self.path, "-wal")).is_ok_and(|log| log.len() > 0)
    }

    /// Opens a window: from here on we may write.
    pub fn open_window(&mut self, patient: bool) -> rusqlite::Result<Result<Hold, NoWindow>> {
        let hold = match self.take_lease() {
            Ok(()) => Hold::Alone,
            Err(_) if self.no_leases.is_some() || !patient => Hold::Shared,
            Err(_) => return Ok(Err(NoWindow::Busy)),
        };
        if self.is_changed() {
            self.give_lease_back();
            // Somebody who is still writing over it is waited for.
            return Ok(Err(if hold == Hold::Alone { NoWindow::Replaced } else { NoWindow::Busy }));
        }
        match self.unpin().and_then(|()| self.connection.execute_batch("BEGIN IMMEDIATE")) {
            Ok(()) => Ok(Ok(hold)),
            Err(error) => {
                self.abandon_window();
                if is_busy(&error) { Ok(Err(NoWindow::Busy)) } else { Err(error) }
            }
        }
    }

    /// Ends a window. True when everything is in the main file now.
    pub fn close_window(&mut self, hold: Hold) -> rusqlite::Result<bool> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("COMMIT")?;
        }
        let is_whole = (hold == Hold::Alone || self.no_leases.is_some()) && self.checkpoint()?;
        self.left = is_whole.then(|| Look::at(&self.path).ok()).flatten();
        self.pin()?;
        self.give_lease_back();
        Ok(is_whole)
    }

    /// Gives a window up: nothing was written.
    pub fn abandon_window(&mut self) {
        let _ = self.unpin();
        let _ = self.pin();
        self.give_lease_back();
    }

    /// Leaves the file with nothing beside it.
    pub fn close(mut self) {
        let _ = self.take_lease();
        let _ = self.unpin();
        let _ = self.checkpoint();
        drop(self.connection.close());
    }

    /// Leaves a file that is another one now: nothing of ours may reach it.
    pub fn leave(self) {
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        let _ = self.unpin();
        drop(self.connection.close());
    }

    fn take_lease(&mut self) -> io::Result<()> {
        let taken = os::lease(self.descriptor);
        if let Err(error) = &taken
            && error.kind() != io::ErrorKind::WouldBlock
        {
            self.no_leases = Some(error.to_string());
        }
        taken
    }

    fn give_lease_back(&self) {
        let _ = os::release(self.descriptor);
    }

    /// True when it is not as we left it. While it is pinned nobody changes the main file, unless he writes another
    /// one over it or in its place.
    pub fn is_changed(&self) -> bool {
        self.left.is_some_and(|left| Look::at(&self.path).ok() != Some(left))
    }

    fn checkpoint(&self) -> rusqlite::Result<bool> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
    }

    fn pin(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN; SELECT 1 FROM _hal_meta LIMIT 1")
    }

    fn unpin(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("ROLLBACK") }
    }
}

/// A file that SQLite keeps beside the main one.
pub fn side(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Removes what SQLite left beside a file that is no longer there as it was.
pub fn remove_sides(path: &Path) {
    for end in ["-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(side(path, end));
    }
}

/// True when a file is ours: only its owner, or root, may hold it by a lease. One with a second name, as a backup that
/// was moved here, must stay as it is.
pub fn is_ours_alone(path: &Path) -> bool {
    let us = rustix::process::geteuid();
    fs::metadata(path).is_ok_and(|file| (us.is_root() || file.uid() == us.as_raw()) && file.nlink() == 1)
}

/// True when somebody else is writing.
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked)
    )
}

/// True when the file does not have the bytes that were written.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    )
}

/// SQLite's own descriptor of a file. Opening one more would not do: closing it lets go of SQLite's locks, and the
/// lease is refused while there is another.
fn descriptor_of(path: &Path) -> Option<RawFd> {
    let place = Look::at(path).ok()?.place;
    let mut open = fs::read_dir("/proc/self/fd").ok()?.flatten();
    open.find_map(|entry| {
        let found = fs::metadata(entry.path()).ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        ((found.dev(), found.ino()) == place).then_some(number)
    })
}
