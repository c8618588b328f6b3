//! `supervisor.db`: the store as a SQLite file, kept in step in both directions while the supervisor runs.
//!
//! ```text
//!   hub commits ---> redb: rows and CHANGES in one transaction
//!                      |                                 ^
//!                      |  rows of <= 5000 changes        |  edits, in the hub's own transaction, audited
//!                      v                                 |
//!   a window of this thread, once a second while there is something to do:
//!     lease (nobody else has the file open) - read _hal_oplog, what operators changed - write rows - commit -
//!     checkpoint (the main file is whole) - pin (it stays as it is) - give the lease back - leave a mark for the hub
//! ```
//!
//! So a plain `cp` of `supervisor.db` is a consistent database at any moment, and an operator's `sqlite3` is neither
//! refused nor overwritten. The store stays the truth: the mirror is never read to answer anybody.
//!
//! - `start`: which of the two files is the truth. `classify`: what lies there; `distrust`: how it is opened. `import`, `reconcile`: a store from a mirror.
//! - `run`: the thread; `run/replaced`: other files in place of ours; `run/status`: how it is. `file`: the open file, lease and pin. `apply`, `feed`: rows into it. `ops`: edits out of it; `drain`: those in a file that is being rebuilt.
//! - `quarantine`: stores that were set aside; `compare`, `differ`: what they hold that the present one lacks; `restore`: the same, to come back.
//! - `scrub`: both compared, slowly, and healed. `row_recovery`: a store with rows that cannot be read, at the start. `offline`: what is done while no supervisor runs. `backup`: copies of it beside it. `build`: a new file from the store. `salvage`: what is to be kept of a file that `.recover` has made.

mod apply;
pub mod backup;
mod build;
mod classify;
pub mod compare;
pub mod differ;
mod distrust;
mod drain;
mod feed;
mod file;
mod import;
pub mod offline;
mod ops;
pub mod quarantine;
mod reconcile;
pub mod restore;
mod row_recovery;
mod run;
mod salvage;
mod scrub;
mod start;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use self::backup::{Backups, MirrorCommand, Rules};
pub use self::start::{First, Opened, begin_anew, open};
use super::hub::Store;
use super::node::NodeRecord;
use super::session::SessionRecord;
use super::sqlite::edit::{Edit, Edits};
use hal_base::clock::Time;

/// A node's name, its status word, and when it was last heard of.
pub type ShownNode = (String, &'static str, Time);

/// What the mirror needs from those who know the present state.
pub trait MirrorHost: Send + 'static {
    /// A node's status word, and when it was last heard of.
    fn node(&self, node: &NodeRecord) -> (&'static str, Time);
    /// The word for what a session does, and the same with its node's absence counted in.
    fn session(&self, record: &SessionRecord) -> (&'static str, &'static str);
    /// The nodes whose name, status word and moment when they were last heard of are `new`.
    fn nodes(&self, new: &dyn Fn(&str, &'static str, Time) -> bool) -> Vec<ShownNode>;
    /// Another number whenever a node has come or gone.
    fn comings(&self) -> u64;
    /// Stores what an operator changed; returns when it is stored.
    fn take(&self, edits: Edits) -> Result<(), String>;
    /// Writes rows of the store again that were damaged; returns when they are stored.
    fn put(&self, rows: Vec<Edit>) -> Result<(), String>;
    /// Tells a person.
    fn alert(&self, name: &'static str, text: String);
    /// Has the store opened again with a look at every page: it may read less than was written.
    fn suspect(&self, why: String);
    /// Puts another store in place of the present one; gives its name.
    fn replace(&self, fresh: PathBuf) -> Result<String, String>;
}

/// Words waiting for the thread: one backup is made at a time.
const WORDS: usize = 2;

/// How the mirror is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MirrorHealth {
    /// How far it is behind the store.
    pub lag: Duration,
    /// Its rows.
    pub rows: u64,
    /// Bytes of its pages that hold something.
    pub bytes: u64,
    /// How often all of them were compared with the store's since this file was taken into use.
    pub comparisons: u64,
    /// Why it is not in step, or no plain copy of it should be made.
    pub trouble: Option<String>,
}

/// The running mirror.
#[derive(Debug)]
pub struct Mirror {
    health: Arc<Mutex<MirrorHealth>>,
    backups: Backups,
    words: SyncSender<MirrorCommand>,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Mirror {
    /// Starts its thread.
    pub fn start(
        store: Arc<Store>,
        store_id: String,
        path: PathBuf,
        first: First,
        rules: Rules,
        host: impl MirrorHost,
    ) -> std::io::Result<Self> {
        let health = Arc::new(Mutex::new(MirrorHealth::default()));
        let (words, heard) = sync_channel(WORDS);
        let backups = Backups::new(path.clone(), rules, words.clone());
        let ends = Arc::new(AtomicBool::new(false));
        let runner = run::Runner::new(store, store_id, path, Box::new(host), health.clone(), ends.clone());
        let thread =
            std::thread::Builder::new().name("mirror".into()).spawn(move || runner.run(first, &heard))?;
        Ok(Self { health, backups, words, ends, thread })
    }

    /// How it is, for whoever asks later.
    pub fn health(&self) -> HealthOf {
        HealthOf(self.health.clone())
    }

    /// The way to its backups.
    pub fn backups(&self) -> Backups {
        self.backups.clone()
    }

    /// Brings in what is committed, and leaves a file with nothing beside it.
    pub fn stop(self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.words.try_send(MirrorCommand::Stop);
        let _ = self.thread.join();
    }
}

/// Where to ask how the mirror is.
#[derive(Clone, Debug, Default)]
pub struct HealthOf(Arc<Mutex<MirrorHealth>>);

impl HealthOf {
    /// As of now.
    pub fn now(&self) -> MirrorHealth {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
