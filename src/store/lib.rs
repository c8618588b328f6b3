//! The only place that knows bytes: redb tables, row versions, checksums.
//!
//! - `hub`: the supervisor's store, its one narrow handle: open, commit a batch, read. `loaded`: what it held when it was opened.
//! - `batch`: what is written in one commit. `resolve`: its rows, every number given. `recorder`: rows that are decided while
//!   others are looked at.
//! - `log`: where a commit is appended, which is what makes it one. `applier`: the thread that writes it to redb; `apply`: how;
//!   `replay`: what is done at every opening. `schema`: the number of the store's shape.
//! - `reader`: a consistent look at what is there.
//! - `row`: how a row is sealed: version, checksum, postcard.
//! - `tables`: the typed table definitions.
//! - `session`, `node`, `event`, `command`: the rows of each noun and how they are read.
//! - `retain`: how long rows are kept. `archive`: those that have left the store, as compressed files.
//! - `usage`: what everything takes on the disk.
//! - `ballast`: what is thrown overboard when the disk is full.
//! - `cache`: what the kernel holds of a file in memory, and need not be on the disk.
//! - `suspect`: a mark that says: look at every page at the next start.
//! - `check`: a row alone, for whoever feeds strange bytes. `fresh`: how a new file comes to be.
//! - `change`: the kinds of rows that a mirror shows.
//! - `cost`, `audit`, `alert`: what was used, who did what, and what a person should see.
//! - `kept`: what the supervisor keeps for itself, a typed value for each kind of row. `state`: the same as text.
//! - `returned`: events that came back, and may be said again.
//! - `sqlite`: the rows as an operator sees them in `supervisor.db`. `mirror`: that file, kept in step both ways.
//! - `turn`: who may have the mirror's files open.
//! - `index`: the index of events by session, looked through.
//! - `tail`: the part of the session index that is not merged yet.
//! - `journal`: the agent's own record, `agent.redb`: events until they are acknowledged and a while longer, sessions
//!   as they stand, commands and what came of them.

mod alert;
mod applier;
mod apply;
pub mod archive;
pub mod audit;
mod ballast;
mod batch;
pub mod bill;
mod cache;
pub mod change;
pub mod check;
pub mod command;
pub mod cost;
#[cfg(test)]
mod dice;
#[cfg(any(test, feature = "faulty-disk"))]
pub mod disk;
pub mod event;
mod found;
mod fresh;
pub mod hub;
mod index;
pub mod journal;
pub mod kept;
mod loaded;
pub mod log;
pub mod mirror;
pub mod node;
#[cfg(test)]
mod power;
#[cfg(test)]
mod power_tests;
mod reader;
mod recorder;
mod replay;
mod resolve;
pub mod retain;
pub mod returned;
mod row;
mod schema;
pub mod session;
pub mod sqlite;
pub mod state;
mod suspect;
mod tables;
pub mod tail;
mod turn;
pub mod usage;

use std::path::PathBuf;

/// What can go wrong with stored bytes.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened.
    #[error("cannot open the store {path}")]
    Open {
        /// Path of the store.
        path: PathBuf,
        /// The database's error.
        #[source]
        source: redb::Error,
    },
    /// The file is another program's, or of a newer version of this one.
    #[error(
        "the store {path} was written by a newer version (schema {found}, this program knows {known}): upgrade, or restore a backup made by this version"
    )]
    Newer {
        /// Path of the store.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A transaction failed. Nothing of it was kept.
    #[error("the store refused a transaction")]
    Transaction(#[source] redb::Error),
    /// A row does not have the bytes that were written.
    #[error("row {key} of table {table} is damaged: {why}")]
    Damaged {
        /// The table's name.
        table: &'static str,
        /// The row's key as text.
        key: String,
        /// What is wrong with the row.
        why: String,
    },
    /// The mirror could not be read or written.
    #[error("supervisor.db cannot be used")]
    Mirror(#[from] rusqlite::Error),
    /// A file beside the store could not be moved or looked at.
    #[error("cannot handle {path}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// What the mirror wants cannot be done now.
    #[error("{0}")]
    Refused(String),
    /// A running supervisor has it.
    #[error("a running supervisor uses {0}; stop it first")]
    InUse(PathBuf),
    /// A copy of a mirror is not whole.
    #[error("{path} is not a whole copy: {why}")]
    Unsound {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Neither the store nor its mirror can be used.
    #[error("{0}")]
    Hopeless(String),
    /// A record could not be appended to the log.
    #[error("the log of the store did not take a record{}", if *.is_certain { "" } else { " for certain" })]
    NotAppended {
        /// The system's error.
        #[source]
        source: std::io::Error,
        /// False when it may be there nevertheless.
        is_certain: bool,
    },
    /// Records that were committed are not in the log.
    #[error("the log {path} lacks records: {}", .gaps.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    LogGap {
        /// Path of the log.
        path: PathBuf,
        /// Which.
        gaps: Vec<log::folder::Gap>,
    },
    /// The disk takes nothing. What is stored can be read.
    #[error("the disk of {path} takes no writes: it is full, or it fails")]
    DiskDown {
        /// Path of the store.
        path: PathBuf,
    },
    /// The store's file is empty or gone, and another file shows that there was one.
    #[error("the store {path} was lost: its file is {}, and {} lies beside it", if *.exists { "empty" } else { "gone" }, .evidence.display())]
    Lost {
        /// Path of the store.
        path: PathBuf,
        /// Whether there is a file at all.
        exists: bool,
        /// What lies beside it.
        evidence: PathBuf,
    },
    /// Reading it surprised the program.
    #[error("the store {0} is damaged: reading it made the program panic; the log says where")]
    Surprising(PathBuf),
    /// A damaged store could not be moved out of the way.
    #[error("the store {path} is damaged and cannot be set aside")]
    SetAside {
        /// Path of the store.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The store is closed, because reopening it after a failure did not succeed yet.
    #[error("the store is closed after a failure and is being reopened")]
    Closed,
}

impl StoreError {
    /// True when the disk has no room.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Transaction(source) => ballast::is_full(source),
            Self::NotAppended { source, .. } => ballast::is_no_room(source),
            _ => false,
        }
    }

    /// True when the file itself is sick.
    pub fn is_damage(&self) -> bool {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        match self {
            Self::Damaged { .. } | Self::Lost { .. } | Self::LogGap { .. } | Self::Surprising(_) => true,
            Self::Open { source, .. } | Self::Transaction(source) => match source {
                redb::Error::Corrupted(_) => true,
                redb::Error::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
                _ => false,
            },
            _ => false,
        }
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(error: redb::TransactionError) -> Self {
        Self::Transaction(error.into())
    }
}

impl From<redb::TableError> for StoreError {
    fn from(error: redb::TableError) -> Self {
        Self::Transaction(error.into())
    }
}

impl From<redb::StorageError> for StoreError {
    fn from(error: redb::StorageError) -> Self {
        Self::Transaction(error.into())
    }
}

impl From<redb::CursorError> for StoreError {
    fn from(error: redb::CursorError) -> Self {
        Self::Transaction(error.into())
    }
}

impl From<redb::CommitError> for StoreError {
    fn from(error: redb::CommitError) -> Self {
        Self::Transaction(error.into())
    }
}
