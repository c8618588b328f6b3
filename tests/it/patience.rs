//! The only place that waits: for a thing to be so, until a deadline, and then it says how things stood instead.

use std::time::{Duration, Instant};

/// Long enough for a debug build on a machine that others are using.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until it finds what it is looking for. `look` tells how things stand when they are not so yet.
pub fn wait_until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        let stands = match look() {
            Ok(found) => return found,
            Err(stands) => stands,
        };
        assert!(begun.elapsed() < deadline, "waited {deadline:?} until {what}; instead:\n{stands}");
        std::thread::park_timeout(PAUSE);
    }
}
