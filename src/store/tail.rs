//! The part of the session index that is not merged yet.
//!
//! Entering every event into `(session, seq)` at once makes a commit write five times as many bytes. So new entries
//! wait here and are merged in one sorted step; after a crash they are found again by reading the events after the
//! watermark.

/// Entries that are merged in one step. Larger is cheaper per event, and a longer pause for the one commit that merges.
pub const MERGE_AT: usize = 16_384;

/// Entries waiting to be merged, in the order of their sequence numbers. Cheap to clone: a reader keeps the one it has.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    entries: imbl::Vector<(u32, u64)>,
}

impl Tail {
    /// Adds an event of a session.
    pub fn push(&mut self, session_no: u32, seq: u64) {
        self.entries.push_back((session_no, seq));
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when none wait.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The sequence numbers of a session above `watermark`, ascending.
    pub fn of(&self, session_no: u32, watermark: u64) -> Vec<u64> {
        let mine = self.entries.iter().filter(|(no, seq)| *no == session_no && *seq > watermark);
        mine.map(|(_, seq)| *seq).collect()
    }

    /// All entries in the order of the index, and an empty tail.
    pub fn take_sorted(&mut self) -> Vec<(u32, u64)> {
        let mut all: Vec<_> = std::mem::take(&mut self.entries).into_iter().collect();
        all.sort_unstable();
        all
    }
}
