//! The open `supervisor.db`: one connection, the lease, and the pin that keeps the main file as it is.
//!
//! Between windows a read transaction on the empty write-ahead log is held open. While it is, nobody can move pages
//! from the log into the main file, whatever an operator does: so a plain copy of the main file is whole. Inside a
//! window the lease says that nobody else has the file open, so nobody can be copying it. While an operator's shell has
//! it open for long we write to the log by a second connection, and the pin stays: the main file is as it was, whole.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::distrust::distrust;
use hal_base::clock::Stopwatch;
use hal_base::file::open_regular;
use hal_base::os;

/// How long our own statements wait for an operator's write in the window's stead.
const BUSY: Duration = Duration::from_millis(200);

/// Kibibytes of SQLite's cache.
const CACHE_KIB: i64 = 8 * 1024;

/// The bytes of a file that SQLite locks as long as a connection uses the log.
const SHARED: (i64, i64) = (0x4000_0002, 510);

/// Without leases, a file that looks other than we left it must look the same for so long: nobody writes it any more.
const SETTLED: Duration = Duration::from_secs(2);

/// At the end a copy that is being made is waited for so long, and looked for so often.
const COPYING: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(25));

/// What a file looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    place: (u64, u64),
    changed: (i64, i64),
    size: u64,
}

impl FileStamp {
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
pub enum FileHold {
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
    /// Whoever had it open beside us has ended: opened again, it can be held by a lease.
    Over,
}

/// The open mirror.
#[derive(Debug)]
pub struct MirrorFile {
    path: PathBuf,
    connection: Connection,
    /// Writes while somebody else has the file open: the other one goes on pinning the main file. Its descriptor
    /// stays open until both are closed, and keeps the lease from being given.
    beside: Option<Connection>,
    descriptor: RawFd,
    /// Bytes of the log as we left it.
    log: u64,
    /// What a file that is another one looks like, and since when.
    seen: Option<(FileStamp, Stopwatch)>,
    /// As we left it; `None` when it was not whole when it was opened: others may write to the main file rightly.
    left: Option<FileStamp>,
    /// Why the file system gives no leases.
    pub no_leases: Option<String>,
    /// True when all that was in the log is in the main file.
    pub is_whole: bool,
}

impl MirrorFile {
    /// Opens it.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = connect(path)?;
        let descriptor = descriptor_of(path).unwrap_or(-1);
        let mut file = Self {
            path: path.to_owned(),
            connection,
            beside: None,
            descriptor,
            log: 0,
            seen: None,
            left: None,
            no_leases: None,
            is_whole: false,
        };
        let hold = file.take_lease();
        file.connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        if hold.is_ok() || file.no_leases.is_some() {
            file.is_whole = file.checkpoint()?;
        }
        file.leave_whole()?;
        Ok(file)
    }

    /// The connection, for what is done in a window.
    pub fn connection(&self) -> &Connection {
        self.beside.as_ref().unwrap_or(&self.connection)
    }

    /// Bytes of pages that hold something.
    pub fn live_bytes(&self) -> rusqlite::Result<u64> {
        let number = |pragma: &str| self.connection.query_row(pragma, [], |row| row.get::<_, u32>(0));
        let pages = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
        Ok(u64::from(pages) * u64::from(number("PRAGMA page_size")?))
    }

    /// True when somebody has written since our last window.
    pub fn has_news(&self) -> bool {
        log_of(&self.path) != self.log
    }

    /// Opens a window: from here on we may write.
    pub fn open_window(&mut self, patient: bool) -> rusqlite::Result<Result<FileHold, NoWindow>> {
        if self.beside.is_some() && !self.is_open_elsewhere() {
            return Ok(Err(NoWindow::Over));
        }
        let hold = match self.take_lease() {
            Ok(()) => FileHold::Alone,
            Err(_) if self.no_leases.is_some() || !patient => FileHold::Shared,
            Err(_) => return Ok(Err(NoWindow::Busy)),
        };
        if self.is_changed() {
            self.give_lease_back();
            // Somebody who is still writing over it is waited for.
            let is_over = hold == FileHold::Alone || (self.no_leases.is_some() && self.is_settled());
            return Ok(Err(if is_over { NoWindow::Replaced } else { NoWindow::Busy }));
        }
        match self.begin(hold) {
            Ok(()) => Ok(Ok(hold)),
            Err(error) => {
                self.abandon_window();
                if is_busy(&error) { Ok(Err(NoWindow::Busy)) } else { Err(error) }
            }
        }
    }

    fn begin(&mut self, hold: FileHold) -> rusqlite::Result<()> {
        if hold == FileHold::Alone || self.no_leases.is_some() {
            self.unpin()?;
        } else if self.beside.is_none() {
            self.beside = Some(connect(&self.path)?);
        }
        self.connection().execute_batch("BEGIN IMMEDIATE")
    }

    /// Ends a window. True when everything is in the main file now.
    pub fn close_window(&mut self, hold: FileHold) -> rusqlite::Result<bool> {
        if !self.connection().is_autocommit() {
            self.connection().execute_batch("COMMIT")?;
        }
        if hold == FileHold::Shared && self.no_leases.is_none() {
            (self.is_whole, self.log) = (false, log_of(&self.path));
            return Ok(false);
        }
        self.is_whole = self.checkpoint()?;
        self.leave_whole()?;
        Ok(self.is_whole)
    }

    /// Ends what is done under a lease.
    fn leave_whole(&mut self) -> rusqlite::Result<()> {
        self.left = self.is_whole.then(|| FileStamp::at(&self.path).ok()).flatten();
        self.pin()?;
        // What may be left in the log is news.
        self.log = 0;
        self.give_lease_back();
        Ok(())
    }

    /// Gives a window up: nothing was written.
    pub fn abandon_window(&mut self) {
        match &self.beside {
            Some(beside) => drop(beside.execute_batch("ROLLBACK")),
            None => {
                let _ = self.unpin();
                let _ = self.pin();
            }
        }
        self.give_lease_back();
    }

    /// Leaves the file with nothing beside it, unless somebody else has it open.
    pub fn close(mut self) {
        if self.beside.is_some() {
            // Only when it is opened anew it can be held alone.
            let path = self.path.clone();
            self.leave();
            return Self::open(&path).map_or((), Self::close);
        }
        let begun = Stopwatch::start();
        // Whoever only copies it will have done so soon; an open shell is not waited for.
        while self.take_lease().is_err()
            && self.no_leases.is_none()
            && !self.is_open_elsewhere()
            && begun.elapsed() < COPYING.0
        {
            std::thread::park_timeout(COPYING.1);
        }
        let _ = self.unpin();
        let _ = self.checkpoint();
        drop(self.connection.close());
    }

    /// Leaves the file as it is: nothing of ours may reach it.
    pub fn leave(mut self) {
        self.drop_beside();
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        let _ = self.unpin();
        drop(self.connection.close());
    }

    fn drop_beside(&mut self) {
        if let Some(beside) = self.beside.take() {
            let _ = beside.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            drop(beside.close());
        }
    }

    /// True when another process uses it as a database.
    fn is_open_elsewhere(&self) -> bool {
        os::is_locked_elsewhere(self.descriptor, SHARED)
    }

    /// True when it looks the same for a while.
    fn is_settled(&mut self) -> bool {
        let now = FileStamp::at(&self.path).ok();
        match (&self.seen, now) {
            (Some((look, since)), Some(now)) if *look == now => since.elapsed() >= SETTLED,
            (_, now) => {
                self.seen = now.map(|look| (look, Stopwatch::start()));
                false
            }
        }
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
        self.left.is_some_and(|left| FileStamp::at(&self.path).ok() != Some(left))
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

/// A connection. Triggers are off: what we write is no operator's edit.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    distrust(&connection)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
}

fn log_of(path: &Path) -> u64 {
    fs::metadata(side(path, "-wal")).map_or(0, |log| log.len())
}

/// True when nobody has a file open.
pub fn is_free(path: &Path) -> bool {
    let Ok(file) = open_regular(path) else { return true };
    let taken = os::lease(file.as_raw_fd());
    let _ = os::release(file.as_raw_fd());
    taken.map_or_else(|error| error.kind() != io::ErrorKind::WouldBlock, |()| true)
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
    let place = FileStamp::at(path).ok()?.place;
    let mut open = fs::read_dir("/proc/self/fd").ok()?.flatten();
    open.find_map(|entry| {
        let found = fs::metadata(entry.path()).ok()?;
        let number = entry.file_name().to_str()?.parse().ok()?;
        ((found.dev(), found.ino()) == place).then_some(number)
    })
}
