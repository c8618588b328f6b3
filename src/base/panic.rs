//! What happens when the program finds itself wrong: it says so and ends at once, to be started again by whoever
//! supervises it. A half-dead daemon that still answers is worse.
//!
//! One exception: reading a damaged file through a library that panics. That is contained, and becomes an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// The work panicked; the log says where.
#[derive(Debug, thiserror::Error)]
#[error("the program panicked on what it read; its log says where")]
pub struct Surprised;

/// Files that are made when the process ends because it was surprised.
static MARKS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Makes an empty file, should the process find itself wrong: whoever starts next knows that there is something.
pub fn leave_when_ending(mark: PathBuf) {
    let mut marks = MARKS.lock().unwrap_or_else(PoisonError::into_inner);
    if !marks.contains(&mark) {
        marks.push(mark);
    }
}

fn leave_marks() {
    // Whoever holds the lock may be the one who panics.
    for mark in MARKS.try_lock().map(|marks| marks.clone()).unwrap_or_default() {
        let _best_effort = std::fs::File::create(mark);
    }
}

/// From here on a panic is logged and ends the process, unless it is [`contained`].
pub fn end_the_process() {
    set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("no message");
        if CONTAINED.get() {
            tracing::error!(place, "contained a panic while reading: {what}");
            return;
        }
        tracing::error!(place, "this is a bug, please report it with this line: {what}");
        leave_marks();
        std::process::abort();
    }));
}

/// Runs work that may panic over damaged bytes. The work must only read: what it changed may be half done.
pub fn contained<T>(work: impl FnOnce() -> T) -> Result<T, Surprised> {
    let before = CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    outcome.map_err(|_| Surprised)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contained_panic_is_an_error() {
        assert_eq!(contained(|| 7).unwrap(), 7);
        assert!(contained(|| assert_eq!(1, 2, "bytes make no sense")).is_err());
        assert!(!CONTAINED.get());
    }
}
