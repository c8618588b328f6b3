//! The agent's journal, `agent.redb`: what the node has promised not to lose.
//!
//! ```text
//!   META      "state"       incarnation, next number, acknowledged, bytes, commits
//!   META      other names   what was done once
//!   EVENTS    number    ->  event      1, 2, 3 .. without holes; trimmed from the front
//!   SESSIONS  name      ->  the sum of its events and the backend's mark, written with the events it sums up
//!   COMMANDS  name      ->  as received, and what came of it
//!   LEASES    name      ->  money that was lent for a turn, as JSON; and for whom it is needed
//! ```
//! One [`Writer`] (the outbox thread) and any number of readers share the file through [`Journal`].

mod read;
mod row;
mod write;

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition};

pub use row::{CommandRecord, SessionRecord};
pub use write::{Bounds, Change, NewEvent, Writer};

use super::ballast::{self, Ballast};
use super::{cache, fresh, suspect};
use hal_base::clock::Time;
use hal_base::panic::contained;
use row::MetaRow;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const SESSIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sessions");
const COMMANDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("commands");
const LEASES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("leases");
const META_KEY: &str = "state";

/// Permissions of the file.
const PRIVATE: u32 = 0o600;

/// Bytes of pages kept in memory. An agent is to stay below 12 MiB; a larger cache made nothing faster.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// A file up to this size is checked page by page at every open, which takes some 0.06 s. A larger one only after a
/// sign of damage: a check costs about half a second per million events.
const ALWAYS_CHECKED_BYTES: u64 = 64 * 1024 * 1024;

/// Why the journal could not do something.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has the file.
    #[error("{} is in use by another process: only one agent can run with this data_dir", .0.display())]
    InUse(PathBuf),
    /// The system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not a journal, or its pages do not fit together.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Path of the journal.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// One row cannot be trusted.
    #[error("row {key} of {table} is damaged: {why}")]
    Row {
        /// The table's name.
        table: &'static str,
        /// Its key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// One event cannot be read. It can be mended: see [`Change::Mend`].
    #[error("event {seq} of the journal cannot be read")]
    Event {
        /// The event's sequence number.
        seq: u64,
        /// What is wrong with it.
        #[source]
        source: Box<JournalError>,
    },
    /// A later version wrote the row.
    #[error("a row of {table} has version {version}: a newer agent wrote it; install that version again")]
    Newer {
        /// The table's name.
        table: &'static str,
        /// The row's version.
        version: u8,
    },
    /// The database under it failed for good or for a while.
    #[error("the journal cannot be {doing}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        #[source]
        source: redb::Error,
    },
}

impl JournalError {
    fn store(doing: &'static str, source: impl Into<redb::Error>) -> Self {
        Self::Store { doing, source: source.into() }
    }

    /// True when it may pass by itself: the disk is full, or failed for a moment.
    pub fn may_pass(&self) -> bool {
        use redb::Error;
        matches!(
            self,
            Self::Io { .. }
                | Self::Store { source: Error::Io(_) | Error::PreviousIo | Error::DatabaseClosed, .. }
        )
    }

    /// True when the disk has no room.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == ErrorKind::StorageFull,
            Self::Store { source, .. } => ballast::is_full(source),
            _ => false,
        }
    }

    /// True when the journal itself is sick, so that a new one must be begun.
    fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Row { .. }
                | Self::Event { .. }
                | Self::Store { source: redb::Error::Corrupted(_), .. }
        )
    }
}

/// Which numbers the journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The incarnation they belong to.
    pub incarnation: String,
    /// The first number still held; 0 when none is.
    pub first: u64,
    /// The last number given; 0 when none was.
    pub last: u64,
    /// The epoch of the supervisor's last welcome; 0 when there was none.
    pub epoch: u64,
}

/// A journal that was found damaged and put aside.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// What was wrong with it.
    pub why: String,
}

/// The file, shared by its readers and its one writer.
pub struct Journal {
    path: PathBuf,
    ballast: Ballast,
    /// `None` only while the writer exchanges the handle, under the write lock.
    database: RwLock<Option<Database>>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Journal").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Journal {
    /// Opens `agent.redb` in `folder`, or begins a new one with a new incarnation. A damaged file is renamed to
    /// `agent.redb.corrupt.<unix seconds>` and replaced; the third value says so.
    pub fn open(
        folder: &Path,
        bounds: Bounds,
        now: Time,
    ) -> Result<(Arc<Self>, Writer, Option<SetAside>), JournalError> {
        let path = folder.join("agent.redb");
        match Self::open_file(&path, bounds) {
            Ok((journal, writer)) => Ok((journal, writer, None)),
            Err(error) if error.is_damage() => {
                let aside = suspect::set_aside(&path, now).map_err(|source| JournalError::Io {
                    doing: "set aside the damaged journal",
                    path: path.clone(),
                    source,
                })?;
                let why = anyhow::Error::new(error);
                let (journal, writer) = Self::open_file(&path, bounds)?;
                Ok((journal, writer, Some(SetAside { path: aside, why: format!("{why:#}") })))
            }
            Err(error) => Err(error),
        }
    }

    fn open_file(path: &Path, bounds: Bounds) -> Result<(Arc<Self>, Writer), JournalError> {
        let was_suspect = suspect::begin(path);
        // Prompts and outputs are for the agent's user alone.
        fresh::make(path, PRIVATE, &Builder::new()).map_err(|error| refused(path, error))?;
        let opened =
            contained(|| Self::open_and_look(path, bounds, was_suspect)).unwrap_or_else(|surprised| {
                Err(JournalError::Damaged { path: path.to_owned(), why: surprised.to_string() })
            });
        suspect::clear(path);
        opened
    }

    fn open_and_look(
        path: &Path,
        bounds: Bounds,
        was_suspect: bool,
    ) -> Result<(Arc<Self>, Writer), JournalError> {
        let size = fs::metadata(path).map_or(0, |meta| meta.len());
        let database = open_database(path, was_suspect || size <= ALWAYS_CHECKED_BYTES)?;
        let database = RwLock::new(Some(database));
        let journal = Arc::new(Self { path: path.to_owned(), ballast: Ballast::of(path), database });
        let writer = Writer::new(Arc::clone(&journal), bounds)?;
        journal.ballast.keep();
        journal.sessions()?;
        journal.open_commands()?;
        Ok((journal, writer))
    }

    /// Makes the next open look at every page. For whoever meets damage while running.
    pub fn suspect(&self) {
        suspect::suspect(&self.path);
    }

    fn handle(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin_read(
        &self,
        database: &RwLockReadGuard<'_, Option<Database>>,
    ) -> Result<redb::ReadTransaction, JournalError> {
        let database =
            database.as_ref().ok_or_else(|| JournalError::store("read", redb::Error::DatabaseClosed))?;
        database.begin_read().map_err(|error| JournalError::store("read", error))
    }

    /// Exchanges the handle: after a failed write the database refuses every further one until it is opened again.
    /// `check` looks at every page.
    fn reopen(&self, check: bool) -> Result<(), JournalError> {
        let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *place = None;
        cache::forget(&self.path);
        *place = Some(open_database(&self.path, check)?);
        Ok(())
    }
}

fn open_database(path: &Path, check: bool) -> Result<Database, JournalError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(check);
    #[cfg(test)]
    let opened = match super::power::disk(path) {
        Some(disk) => builder.create_with_backend(disk),
        None => builder.create(path),
    };
    #[cfg(not(test))]
    let opened = builder.create(path);
    opened.map_err(|error| refused(path, error))
}

fn refused(path: &Path, error: DatabaseError) -> JournalError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            JournalError::InUse(path.to_owned())
        }
        DatabaseError::Storage(StorageError::Io(source))
            if !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            JournalError::Io { doing: "open", path: path.to_owned(), source }
        }
        other => JournalError::Damaged { path: path.to_owned(), why: other.to_string() },
    }
}

#[cfg(test)]
mod tests;
