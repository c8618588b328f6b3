//! A mark beside a store's file that says: look at every page at the next start.
//!
//! Reading a damaged page may make the library panic, and so end the process. The mark stays then, so that the next
//! start finds the damage instead of dying of it again. A whole look costs about half a second per million rows, so
//! there must be a reason for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::log::folder;
use hal_base::cause::chain;
use hal_base::clock::Time;
use hal_base::{file, panic};

/// A store that was found sick.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// Path of the store.
    pub store: PathBuf,
    /// Where it lies now; `None` when there was nothing left.
    pub path: Option<PathBuf>,
    /// What was wrong with it.
    pub why: String,
    /// How many events the new one has from `supervisor.db`; `None` when it was begun empty.
    pub events: Option<u64>,
}

impl SetAside {
    /// Moves what is there out of the way, if there is anything.
    pub(super) fn of(store: &Path, error: &StoreError, now: Time) -> Result<Self, StoreError> {
        let path = match set_aside(store, now) {
            Ok(aside) => Some(aside),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(StoreError::SetAside { path: store.to_owned(), source }),
        };
        Ok(Self { store: store.to_owned(), path, why: chain(error), events: None })
    }

    /// Moves its log to it. Only when what takes the store's place is there: a start before that plays the log once more.
    pub(super) fn take_log(&self, store: &Path) -> Result<(), StoreError> {
        let Some(aside) = &self.path else { return Ok(()) };
        folder::set_aside(store, aside)
            .map_err(|source| StoreError::SetAside { path: store.to_owned(), source })
    }
}

/// Puts the mark beside a store.
pub fn suspect(store: &Path) {
    // Without it the next start looks only at what it needs.
    let _best_effort = File::create(mark(store));
}

/// Takes the mark for as long as the store is being opened, and leaves it should the process die of what it reads
/// later. True when it was there before.
pub fn begin(store: &Path) -> bool {
    let was_there = mark(store).exists();
    suspect(store);
    panic::leave_when_ending(mark(store));
    was_there
}

/// The store is open.
pub fn clear(store: &Path) {
    let _gone_or_harmless = fs::remove_file(mark(store));
}

/// Moves a damaged store out of the way; its new name says when.
pub fn set_aside(store: &Path, now: Time) -> std::io::Result<PathBuf> {
    file::set_aside_at(store, "corrupt", now)
}

fn mark(store: &Path) -> PathBuf {
    store.with_extension("redb.suspect")
}
