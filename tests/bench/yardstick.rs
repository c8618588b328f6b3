//! What everything is held beside: F, one small append with its sync, and E, what the bare store commits.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Database, Durability, TableDefinition};

use crate::report::median;

/// One append, in bytes.
const APPEND: usize = 4096;

/// Appends in one reading of F.
const APPENDS: usize = 60;

/// Bytes of an event's row: its 300 bytes of data and what is written around them.
const EVENT_ROW: usize = 400;

/// Bytes of a node's and of a session's row.
const SMALL_ROW: usize = 400;

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const NODES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("nodes");
const SESSIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("sessions");
const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");

/// F: the median time of an append with fdatasync, in this folder, now.
pub fn sync_time(folder: &Path) -> Duration {
    let path = folder.join("yardstick");
    let mut file = File::create(&path).expect("the folder is ours");
    let block = vec![7_u8; APPEND];
    let mut times: Vec<f64> = (0..APPENDS)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&block).expect("there is room");
            file.sync_data().expect("the disk works");
            begun.elapsed().as_secs_f64()
        })
        .collect();
    let _ = std::fs::remove_file(path);
    Duration::from_secs_f64(median(&mut times))
}

/// A redb without anything around it.
pub struct BareStore {
    db: Database,
    next: u64,
}

impl BareStore {
    /// A new one in this folder.
    pub fn new(folder: &Path) -> Self {
        let db = Database::builder().set_cache_size(64 << 20).create(folder.join("bare.redb"));
        Self { db: db.expect("the folder is ours"), next: 0 }
    }

    /// E: events a second when so many are committed in batches of this size, with the rows that the supervisor
    /// writes beside them: a node and a session for each agent in the batch, and what has changed.
    pub fn rate(&mut self, events: usize, batch: usize, agents: usize) -> f64 {
        let batch = batch.max(1);
        let (event, small) = (vec![b'x'; EVENT_ROW], vec![b'y'; SMALL_ROW]);
        let begun = Instant::now();
        for _ in 0..events.div_ceil(batch) {
            let mut txn = self.db.begin_write().expect("there is one writer");
            txn.set_durability(Durability::Immediate).expect("nothing was written before");
            txn.set_quick_repair(true);
            {
                let mut table = txn.open_table(EVENTS).expect("it is ours");
                for _ in 0..batch {
                    table.insert(self.next, event.as_slice()).expect("there is room");
                    self.next += 1;
                }
                let mut nodes = txn.open_table(NODES).expect("it is ours");
                let mut sessions = txn.open_table(SESSIONS).expect("it is ours");
                for agent in 0..agents.min(batch) as u64 {
                    nodes.insert(agent, small.as_slice()).expect("there is room");
                    sessions.insert(agent, small.as_slice()).expect("there is room");
                }
                let mut changes = txn.open_table(CHANGES).expect("it is ours");
                changes.insert(self.next, &small[..64]).expect("there is room");
            }
            txn.commit().expect("the disk works");
        }
        (events.div_ceil(batch) * batch) as f64 / begun.elapsed().as_secs_f64()
    }
}
