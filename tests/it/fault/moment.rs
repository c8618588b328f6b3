//! The only place that waits for nothing but time: a fault is to fall anywhere.

use std::time::{Duration, Instant};

/// Lets a moment go by.
pub fn let_go_by(moment: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < moment {
        std::thread::park_timeout(moment.saturating_sub(begun.elapsed()));
    }
}
