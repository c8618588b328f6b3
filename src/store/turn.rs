//! Whose turn it is with the mirror's files: closing any descriptor of a SQLite file lets go of all locks that this
//! process has on it, so the mirror's thread and whoever makes the store anew from the mirror must not have it open
//! together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// The turn. Nobody waits for it who is waited for: the hub only asks, and comes again.
#[derive(Debug, Default)]
pub struct Turn {
    taken: Mutex<()>,
    wanted: AtomicBool,
}

impl Turn {
    /// Takes the turn; for the mirror's thread.
    pub fn take(&self) -> MutexGuard<'_, ()> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when the mirror's thread should close its file and give its turn back.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Asks for the turn. `None`: it is not free yet; it will be.
    pub fn ask(&self) -> Option<MutexGuard<'_, ()>> {
        self.wanted.store(true, Ordering::Release);
        match self.taken.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The mirror's thread may go on.
    pub fn done(&self) {
        self.wanted.store(false, Ordering::Release);
    }
}
