//! When a node counts as gone, and what its journal's numbers mean to the supervisor.

use std::time::Duration;

use crate::base::clock::Time;
use crate::protocol::frame::Hello;

/// Heartbeats and how many of them may be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// One heartbeat is sent this often.
    pub interval: Duration,
    /// This many may be missed.
    pub missed: u32,
}

impl Liveness {
    /// True when a node that was last heard of at `heard` counts as gone.
    pub fn is_gone(&self, heard: Time, now: Time) -> bool {
        now.since(heard) > self.interval * self.missed
    }
}

/// How the supervisor's place in a node's journal fits what the node says it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The next number is there: go on.
    Continue,
    /// The node no longer holds what comes next: these numbers will never come.
    Hole {
        /// The first number that is missing.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// The node holds less than is committed here: its journal was rolled back or is a copy. Its numbers would be
    /// taken for old ones, so it must begin a new incarnation.
    RolledBack,
}

/// Compares the last number committed here with what a node holds of the same incarnation.
pub fn fit(committed: u64, hello: &Hello) -> Fit {
    let oldest = if hello.first_seq == 0 { hello.last_seq.saturating_add(1) } else { hello.first_seq };
    if hello.last_seq < committed {
        Fit::RolledBack
    } else if oldest > committed + 1 {
        Fit::Hole { from: committed + 1, to: oldest - 1 }
    } else {
        Fit::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(first_seq: u64, last_seq: u64) -> Hello {
        Hello {
            protocol: 2,
            node_id: "n".into(),
            hostname: String::new(),
            version: String::new(),
            capabilities: Vec::new(),
            incarnation: "a".into(),
            first_seq,
            last_seq,
            projects: Vec::new(),
        }
    }

    #[test]
    fn a_known_journal_goes_on_where_it_was() {
        assert_eq!(fit(7, &hello(1, 9)), Fit::Continue);
        assert_eq!(fit(9, &hello(1, 9)), Fit::Continue);
        assert_eq!(fit(9, &hello(0, 9)), Fit::Continue);
        assert_eq!(fit(0, &hello(0, 0)), Fit::Continue);
    }

    #[test]
    fn what_a_node_no_longer_holds_is_a_hole_and_a_rolled_back_journal_is_refused() {
        assert_eq!(fit(7, &hello(12, 20)), Fit::Hole { from: 8, to: 11 });
        assert_eq!(fit(0, &hello(0, 4)), Fit::Hole { from: 1, to: 4 });
        assert_eq!(fit(7, &hello(1, 3)), Fit::RolledBack);
    }

    #[test]
    fn a_node_is_gone_after_the_missed_heartbeats_and_not_before() {
        let liveness = Liveness { interval: Duration::from_secs(10), missed: 3 };
        assert!(!liveness.is_gone(Time(0), Time(30_000)));
        assert!(liveness.is_gone(Time(0), Time(30_001)));
        assert!(!liveness.is_gone(Time(50_000), Time(10)), "a clock that jumps back harms nobody");
    }
}
