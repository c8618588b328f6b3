//! The log: what the hub commits, one record each, appended and synced before anything else happens. That is the commit.
//!
//! ```text
//!   hub --append, one sync--> log --rows--> redb (a thread of its own)      each says up to which position it has
//!                              '----which rows----> supervisor.db           what: see `apply`, `mirror`
//! ```
//!
//! - `record`: the rows of one commit, absolute values only. `segment`: the bytes of a file. `medium`: the file itself.
//! - `folder`: the log in a folder beside the store; `look`: what is in it when it is opened.
//!
//! The trait is the seam: where the log lies (a folder, later a database that several supervisors share) is known here
//! and nowhere else.

pub mod folder;
mod look;
mod medium;
pub mod record;
mod segment;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::ControlFlow;

use crate::StoreError;

/// Why a record was not appended.
#[derive(Debug)]
pub enum NotAppended {
    /// It is not in the log, and will not be.
    Refused(io::Error),
    /// It may be in the log: only reading its position, once the log is opened again, tells.
    Unknown(io::Error),
}

/// What to do with each record that is read.
pub type See<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<ControlFlow<()>, StoreError>;

/// Where records are kept.
pub trait Log: Send + Sync {
    /// Appends the record of the next position; when this returns `Ok` it is durable.
    fn append(&self, position: u64, body: &[u8]) -> Result<(), NotAppended>;

    /// Shows the records from a position on, up to one, both included, until there are no more or `see` breaks.
    fn read(&self, from: u64, upto: u64, see: See<'_>) -> Result<(), StoreError>;

    /// The positions that can be read, the first and the last, without a gap; `None` when there are none.
    fn bounds(&self) -> Option<(u64, u64)>;

    /// Bytes that it takes on the disk.
    fn bytes(&self) -> u64;

    /// Forgets records below a position. The log may keep more than it must.
    fn trim(&self, below: u64);
}
