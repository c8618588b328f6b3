//! The applier: the thread that writes to redb what is in the log already. It does so without a sync, and makes it
//! durable once in a while; nothing that is decided or acknowledged waits for that.
//!
//! ```text
//!   appended --queue--> applied (redb None) --a second, 32 MiB, 20,000 rows, a mark--> durable (redb Immediate)
//! ```
//!
//! After a crash redb has what was durable, and the log is played from there.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, Durability, WriteTransaction};

use super::StoreError;
use super::apply::apply;
use super::log::record::{LogRow, NamedTable, Record, Sealed};
use super::log::{Log, folder};
use super::tables::{META, NAME, POSITION};
use hal_base::cause::chain;
use hal_base::clock::Stopwatch;
use hal_base::panic::contained;

/// What was applied is made durable after this long at most: a crash plays that much again.
const AGE: Duration = Duration::from_secs(1);

/// Bytes of rows after which it is made durable.
const BYTES: usize = 32 * 1024 * 1024;

/// Rows after which it is made durable, and that one transaction takes.
const ROWS: usize = 20_000;

/// Nobody reads what was committed: it is applied after this long, in one transaction with what came since.
const LAZY: Duration = Duration::from_millis(20);

/// So many rows that wait are enough for one transaction.
const ENOUGH: usize = 1_000;

/// Bytes of records that wait to be applied at most: whoever appends waits then. Two records of the largest size.
const WAITING: usize = 64 * 1024 * 1024;

/// Where the mirror stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Counts what was written to it.
    pub epoch: u64,
    /// The position up to which it has what was committed.
    pub position: u64,
}

/// The open files of a store.
#[derive(Debug)]
pub struct Open {
    /// redb.
    pub db: Database,
    /// The log; a draft has none.
    pub log: Option<Arc<folder::FolderLog>>,
}

/// A record on its way to redb.
#[derive(Debug)]
struct Waiting {
    position: u64,
    record: Record,
    bytes: usize,
    since: Stopwatch,
}

/// What the applier, the one who appends and those who read share.
#[derive(Debug, Default)]
pub struct Shared {
    /// `None` after a failed reopening. The lock is never held across an await.
    pub open: RwLock<Option<Open>>,
    state: Mutex<State>,
    /// Something is to be done.
    news: Condvar,
    /// Something was done.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Until readers see it.
    queue: VecDeque<Arc<Waiting>>,
    queued_bytes: usize,
    queued_rows: usize,
    /// The position that somebody waits to read.
    wanted: u64,
    /// The position of the last record in the log.
    appended: u64,
    /// Of the last one that readers see.
    applied: u64,
    /// Of the last one that redb keeps whatever happens.
    durable: u64,
    unsynced: Unsynced,
    mark: Option<Mark>,
    /// The position that the mirror has.
    mirrored: u64,
    /// Why nothing is applied any more.
    failure: Option<StoreError>,
    is_broken: bool,
    /// True while the thread is there.
    runs: bool,
    ends: bool,
}

/// What was applied and is not durable yet.
#[derive(Debug, Default)]
struct Unsynced {
    since: Option<Stopwatch>,
    rows: usize,
    bytes: usize,
}

impl Unsynced {
    fn add(&mut self, rows: usize, bytes: usize) {
        self.since.get_or_insert_with(Stopwatch::start);
        self.rows += rows;
        self.bytes += bytes;
    }

    fn is_due(&self) -> bool {
        self.rows >= ROWS
            || self.bytes >= BYTES
            || self.since.as_ref().is_some_and(|since| since.elapsed() >= AGE)
    }
}

/// What one transaction takes.
struct Portion {
    records: Vec<Arc<Waiting>>,
    mark: Option<Mark>,
    is_durable: bool,
    /// The last position that is in redb with it.
    upto: u64,
}

/// The running thread.
#[derive(Debug)]
pub struct Applier(JoinHandle<()>);

impl Applier {
    /// Starts it. `follows` tells whether a mirror follows the log.
    pub fn start(shared: Arc<Shared>, follows: bool) -> Result<Self, StoreError> {
        let of = shared.clone();
        of.state().runs = true;
        let run = move || shared.run(follows);
        let thread = std::thread::Builder::new().name("applier".into()).spawn(run);
        thread.map(Self).map_err(|error| {
            of.state().runs = false;
            StoreError::Refused(format!("no thread can be started: {error}"))
        })
    }

    /// Ends it: what was appended is applied and made durable, unless that fails.
    pub fn stop(self, shared: &Shared) {
        shared.state().ends = true;
        shared.news.notify_all();
        // A panic in it was contained and said.
        let _ = self.0.join();
        let mut state = shared.state();
        (state.ends, state.runs) = (false, false);
    }
}

impl Shared {
    /// The open files.
    pub fn guard(&self) -> RwLockReadGuard<'_, Option<Open>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other files are open, in which everything up to this position is.
    pub fn begin(&self, position: u64) {
        *self.state() =
            State { appended: position, applied: position, durable: position, ..State::default() };
        self.done.notify_all();
    }

    /// A record was appended. Waits while too much waits to be applied.
    pub fn hand_over(&self, position: u64, record: Record) {
        let bytes = record.bytes();
        let mut state = self.state();
        while state.queued_bytes > WAITING && !state.is_broken {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.appended = position;
        state.queued_bytes += bytes;
        state.queued_rows += record.rows.len();
        state.queue.push_back(Arc::new(Waiting { position, record, bytes, since: Stopwatch::start() }));
        // It sleeps until the first one of them is due.
        if state.queue.len() == 1 || state.queued_rows >= ENOUGH {
            self.news.notify_all();
        }
    }

    /// A record was appended and applied by whoever appended it.
    pub fn applied_already(&self, position: u64, rows: usize, bytes: usize, is_durable: bool) {
        let mut state = self.state();
        (state.appended, state.applied) = (position, position);
        match is_durable {
            true => (state.durable, state.unsynced) = (position, Unsynced::default()),
            false => state.unsynced.add(rows, bytes),
        }
        self.news.notify_all();
    }

    /// What the last record that waits says of a row; `None` when none does.
    pub fn waiting_row(&self, table: NamedTable, key: &str) -> Option<Option<Sealed>> {
        let state = self.state();
        let rows = state.queue.iter().rev().flat_map(|waiting| waiting.record.rows.iter().rev());
        let mut of_it = rows.filter_map(|row| match row {
            LogRow::Named(of, name, row) if *of == table && name == key => Some(row.clone()),
            _ => None,
        });
        of_it.next()
    }

    /// Up to which position readers see what was committed.
    pub fn applied(&self) -> u64 {
        self.state().applied
    }

    /// Waits until readers see all that was appended until now. While nothing can be applied they see what was.
    pub fn wait(&self) {
        let mut state = self.state();
        let goal = state.appended;
        if state.applied < goal && state.wanted < goal {
            state.wanted = goal;
            self.news.notify_all();
        }
        // Another store may take its place meanwhile, and count from elsewhere.
        while state.applied < goal.min(state.appended) && !state.is_broken {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same for whoever writes: fails where it cannot be.
    pub fn wait_all(&self) -> Result<(), StoreError> {
        self.wait();
        self.failed()
    }

    /// Fails, once with the reason, when nothing can be applied any more.
    pub fn failed(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        match state.failure.take() {
            Some(failure) => Err(failure),
            None if state.is_broken => Err(StoreError::Closed),
            None => Ok(()),
        }
    }

    /// True when nothing can be applied any more.
    pub fn is_broken(&self) -> bool {
        self.state().is_broken
    }

    /// Nothing is written any more until the files are opened again.
    pub fn break_off(&self, failure: StoreError) {
        let mut state = self.state();
        state.is_broken = true;
        state.failure.get_or_insert(failure);
        self.news.notify_all();
        self.done.notify_all();
    }

    /// Leaves a note of where the mirror stands. False when nobody is there to write it down.
    pub fn leave_mark(&self, mark: Mark) -> bool {
        let mut state = self.state();
        if !state.runs || state.ends {
            return false;
        }
        state.mark = Some(mark);
        self.news.notify_all();
        true
    }

    /// True until that note is durable.
    pub fn has_mark(&self) -> bool {
        let state = self.state();
        state.mark.is_some() && !state.is_broken
    }

    fn run(&self, follows: bool) {
        while let Some(portion) = self.next() {
            let applied = contained(|| self.apply(&portion));
            match applied.unwrap_or_else(|_| {
                Err(StoreError::Refused("applying the log made the program panic".into()))
            }) {
                Ok(()) => self.finish(&portion, follows),
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "what is in the log cannot be written to the store; nothing of it is lost"
                    );
                    return self.break_off(error);
                }
            }
        }
    }

    /// Waits for something to do; `None` at the end.
    fn next(&self) -> Option<Portion> {
        let mut state = self.state();
        loop {
            if state.is_broken {
                return None;
            }
            let is_due = state.unsynced.is_due() || state.mark.is_some() || state.ends;
            if state.is_to_be_applied(is_due) {
                return Some(state.take(is_due));
            }
            if is_due && (state.unsynced.since.is_some() || state.mark.is_some()) {
                return Some(state.take(true));
            }
            if state.ends {
                return None;
            }
            state = match state.rest() {
                Some(rest) => self.news.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0,
                None => self.news.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn apply(&self, portion: &Portion) -> Result<(), StoreError> {
        let guard = self.guard();
        let open = guard.as_ref().ok_or(StoreError::Closed)?;
        let durability = if portion.is_durable { Durability::Immediate } else { Durability::None };
        let txn = begin(&open.db, durability)?;
        for waiting in &portion.records {
            apply(&txn, &waiting.record.rows)?;
        }
        if let Some(last) = portion.records.last() {
            txn.open_table(META)?.insert(POSITION, last.position)?;
        }
        if let Some(mark) = portion.mark {
            // Never less than redb says.
            if let Some(Err(error)) = open.log.as_ref().map(|log| log.note_mirror(mark.epoch)) {
                tracing::warn!(%error, "how far supervisor.db is cannot be noted beside the log");
            }
            note(&txn, mark)?;
        }
        txn.commit()?;
        Ok(())
    }

    fn finish(&self, portion: &Portion, follows: bool) {
        let (durable, mirrored) = {
            let mut state = self.state();
            if let Some(last) = portion.records.last() {
                state.applied = last.position;
                state.queue.drain(..portion.records.len());
            }
            let bytes: usize = portion.records.iter().map(|waiting| waiting.bytes).sum();
            let rows: usize = portion.records.iter().map(|waiting| waiting.record.rows.len()).sum();
            state.queued_bytes -= bytes;
            state.queued_rows -= rows;
            if portion.is_durable {
                state.durable = state.durable.max(portion.upto);
                // Whoever appends may have applied more by itself meanwhile.
                if state.applied == portion.upto {
                    state.unsynced = Unsynced::default();
                }
                if let Some(mark) = portion.mark {
                    state.mirrored = mark.position;
                    state.mark = state.mark.filter(|newer| *newer != mark);
                }
            } else {
                state.unsynced.add(rows, bytes);
            }
            self.done.notify_all();
            (state.durable, if follows { state.mirrored } else { u64::MAX })
        };
        if portion.is_durable {
            self.trim(durable, mirrored);
        }
    }

    /// Forgets what both have.
    fn trim(&self, durable: u64, mirrored: u64) {
        let guard = self.guard();
        let Some(log) = guard.as_ref().and_then(|open| open.log.as_ref()) else { return };
        log.trim(durable.min(mirrored) + 1);
        if log.bytes() > log.most_bytes() {
            log.trim(durable + 1);
        }
    }

    /// Gives back the room of all that redb has, though the mirror has not: it looks at every row again.
    pub fn shed(&self) {
        let durable = self.state().durable;
        let guard = self.guard();
        if let Some(log) = guard.as_ref().and_then(|open| open.log.as_ref()) {
            log.trim(durable + 1);
        }
    }
}

impl State {
    /// True when what waits is applied now.
    fn is_to_be_applied(&self, is_due: bool) -> bool {
        let is_old = |first: &Arc<Waiting>| first.since.elapsed() >= LAZY;
        let is_wanted =
            self.wanted > self.applied || self.queued_rows >= ENOUGH || self.queued_bytes >= BYTES;
        !self.queue.is_empty() && (is_due || is_wanted || self.queue.front().is_some_and(is_old))
    }

    /// How long until there is something to do by itself.
    fn rest(&self) -> Option<Duration> {
        let durable = self.unsynced.since.as_ref().map(|since| AGE.saturating_sub(since.elapsed()));
        let applied = self.queue.front().map(|first| LAZY.saturating_sub(first.since.elapsed()));
        durable.into_iter().chain(applied).min()
    }

    /// What fits into one transaction.
    fn take(&self, is_due: bool) -> Portion {
        let (mut rows, mut bytes) = (self.unsynced.rows, self.unsynced.bytes);
        let mut records = Vec::new();
        for waiting in &self.queue {
            if !records.is_empty() && (rows >= ROWS || bytes >= BYTES) {
                break;
            }
            rows += waiting.record.rows.len();
            bytes += waiting.bytes;
            records.push(waiting.clone());
        }
        let is_durable = is_due || rows >= ROWS || bytes >= BYTES;
        let upto = records.last().map_or(self.applied, |last| last.position);
        Portion { records, mark: self.mark.filter(|_| is_durable), is_durable, upto }
    }
}

/// A transaction whose commit, if it is durable, lets the next start begin at once.
pub fn begin(db: &Database, durability: Durability) -> Result<WriteTransaction, StoreError> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(matches!(durability, Durability::Immediate));
    txn.set_durability(durability).map_err(|error| StoreError::Transaction(error.into()))?;
    Ok(txn)
}

fn note(txn: &WriteTransaction, mark: Mark) -> Result<(), StoreError> {
    let mut meta = txn.open_table(META)?;
    meta.insert("mirror_epoch", mark.epoch)?;
    meta.insert("mirror_position", mark.position)?;
    // The mirror is this store's own from now on: see `mirror::start`.
    txn.open_table(NAME)?.remove("adopted")?;
    Ok(())
}
