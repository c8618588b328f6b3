//! A mark beside a store's file that says: look at every page at the next start.
//!
//! Reading a damaged page may make the library panic, and so end the process. The mark stays then, so that the next
//! start finds the damage instead of dying of it again. A whole look costs about half a second per million rows, so
//! there must be a reason for it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::base::clock::Time;
use crate::base::{file, panic};

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
