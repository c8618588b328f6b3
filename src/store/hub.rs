//! The supervisor's store: its one narrow handle. One thread commits batches; any thread reads.
//!
//! A commit is one transaction with one sync, whatever the batch holds. It is two-phase with the allocator's state
//! saved (`quick_repair`), so that a start after a crash takes milliseconds however large the file is.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{RwLock, RwLockReadGuard};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, WriteTransaction};

use super::ballast::Ballast;
use super::change::{self, Change};
use super::command::{CommandRow, KeyRecord};
use super::node::{NodeRecord, NodeRow};
use super::reader::Reader;
use super::row;
use super::session::{SessionRecord, SessionRow};
use super::tables::{
    CHANGES, COMMANDS, EVENTS, EVENTS_BY_SESSION, KEYS, META, NAME, NODES, OPEN_COMMANDS, SESSIONS,
};
use super::tail::Tail;
use super::{StoreError, cache, event, fresh, suspect};
use crate::base::cause::chain;
use crate::base::clock::Time;
use crate::base::id;
use crate::base::panic::contained;
use crate::protocol::command::Command;
use crate::protocol::event::EventView;

/// The tables' shape. A store with a larger number was written by a newer program.
const SCHEMA: u64 = 1;

/// Bytes of redb's cache. Ingest does not depend on it; reading of history does a little.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Permissions of the file: the supervisor's user writes, its group reads.
const GROUP_READS: u32 = 0o640;

/// What is to be written in one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    /// New events, in the order of their sequence numbers.
    pub events: Vec<EventView>,
    /// Nodes as they are now.
    pub nodes: BTreeMap<String, NodeRecord>,
    /// Sessions as they are now.
    pub sessions: BTreeMap<String, SessionRecord>,
    /// Commands as they are now.
    pub commands: BTreeMap<String, Command>,
    /// Idempotency keys of new commands.
    pub keys: Vec<(String, KeyRecord)>,
    /// Entries to merge into the index of events by session, sorted.
    pub index: Vec<(u32, u64)>,
}

impl Batch {
    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.nodes.is_empty()
            && self.sessions.is_empty()
            && self.commands.is_empty()
            && self.keys.is_empty()
            && self.index.is_empty()
    }
}

/// What a store held when it was opened.
#[derive(Debug)]
pub struct Loaded {
    /// The store's name: 32 hexadecimal digits. Another store has another name.
    pub store_id: String,
    /// The last sequence number given to an event; 0 when none was.
    pub last_seq: u64,
    /// When that event was stored.
    pub last_time: Time,
    /// Every node.
    pub nodes: Vec<NodeRecord>,
    /// Every session.
    pub sessions: Vec<SessionRecord>,
    /// Commands that have not ended, oldest first.
    pub open_commands: Vec<Command>,
    /// Index entries that were not merged yet.
    pub tail: Tail,
}

/// A store that was found sick.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// Which store.
    pub store: PathBuf,
    /// Where it lies now; `None` when there was nothing left.
    pub path: Option<PathBuf>,
    /// What was wrong with it.
    pub why: String,
}

impl SetAside {
    /// Moves what is there out of the way, if there is anything.
    fn of(store: &Path, error: &StoreError, now: Time) -> Result<Self, StoreError> {
        let path = match suspect::set_aside(store, now) {
            Ok(aside) => Some(aside),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(StoreError::SetAside { path: store.to_owned(), source }),
        };
        Ok(Self { store: store.to_owned(), path, why: chain(error) })
    }
}

/// The open store.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    ballast: Ballast,
    /// `None` after a failed reopening. The lock is never held across an await.
    db: RwLock<Option<Database>>,
}

impl Store {
    /// Opens the store, or begins a new one when there is none or the old one is sick: that is set aside under a name
    /// that says when. What the nodes' journals still hold comes again by itself.
    pub fn open_or_begin(path: &Path, now: Time) -> Result<(Self, Loaded, Option<SetAside>), StoreError> {
        let check = suspect::begin(path);
        let opened = match Self::find_loss(path) {
            Some(lost) => Err(lost),
            None => contained(|| Self::open_with(path, check))
                .unwrap_or_else(|_| Err(StoreError::Surprising(path.to_owned()))),
        };
        let opened = match opened {
            Ok((store, loaded)) => Ok((store, loaded, None)),
            Err(error) if error.is_damage() => {
                let aside = SetAside::of(path, &error, now)?;
                Self::open(path).map(|(store, loaded)| (store, loaded, Some(aside)))
            }
            Err(error) => Err(error),
        };
        if opened.is_ok() {
            suspect::clear(path);
        }
        opened
    }

    /// A store whose ballast lies there must be there too.
    fn find_loss(path: &Path) -> Option<StoreError> {
        let evidence = Ballast::of(path).path().to_owned();
        let exists = match std::fs::metadata(path) {
            Ok(file) if file.len() == 0 => true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            _ => return None,
        };
        evidence.exists().then(|| StoreError::Lost { path: path.to_owned(), exists, evidence })
    }

    /// Makes the next start look at every page.
    pub fn suspect(&self) {
        suspect::suspect(&self.path);
    }

    /// Opens or makes the store and reads what the supervisor keeps in memory.
    pub fn open(path: &Path) -> Result<(Self, Loaded), StoreError> {
        Self::open_with(path, false)
    }

    fn open_with(path: &Path, check: bool) -> Result<(Self, Loaded), StoreError> {
        let db = RwLock::new(Some(open_file(path, check)?));
        let store = Self { path: path.to_owned(), ballast: Ballast::of(path), db };
        store.prepare()?;
        store.ballast.keep();
        let loaded = store.load()?;
        Ok((store, loaded))
    }

    /// Writes a batch; when this returns `Ok` it is on the disk, and when it does not, nothing of it is.
    pub fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let guard = self.guard();
        let db = guard.as_ref().ok_or(StoreError::Closed)?;
        let txn = begin(db)?;
        write(&txn, batch)?;
        txn.commit()?;
        Ok(())
    }

    /// A consistent look at what is committed.
    pub fn read(&self) -> Result<Reader<'_>, StoreError> {
        let open = self.guard();
        let txn = open.as_ref().ok_or(StoreError::Closed)?.begin_read()?;
        Ok(Reader::new(txn, open))
    }

    /// Closes and opens the file again: redb refuses everything after a failed write until then. Gives what the store
    /// holds now: a commit whose sync failed may have taken effect nevertheless. `check` looks at every page.
    pub fn reopen(&self, check: bool) -> Result<Loaded, StoreError> {
        self.exchange(|| {
            cache::forget(&self.path);
            open_file(&self.path, check)
        })?;
        self.load()
    }

    /// Sets the file aside, because of this damage, and begins a new store.
    pub fn begin_anew(&self, damage: &StoreError, now: Time) -> Result<(Loaded, SetAside), StoreError> {
        let mut aside = None;
        self.exchange(|| {
            aside = Some(SetAside::of(&self.path, damage, now)?);
            open_file(&self.path, false)
        })?;
        self.prepare()?;
        let aside = aside.ok_or(StoreError::Closed)?;
        Ok((self.load()?, aside))
    }

    /// Closes the file, and puts another in its place.
    fn exchange(&self, open: impl FnOnce() -> Result<Database, StoreError>) -> Result<(), StoreError> {
        let mut place = self.db.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *place = None;
        let opened = contained(open).unwrap_or_else(|_| Err(StoreError::Surprising(self.path.clone())));
        *place = Some(opened?);
        Ok(())
    }

    /// After a failure for want of room: throws the ballast overboard.
    pub fn release_ballast(&self) {
        self.ballast.release();
    }

    /// True when there is room for work again, and ballast for the next time.
    pub fn has_room(&self) -> bool {
        self.ballast.keep()
    }

    /// False while its disk takes nothing: then the store is better left as it is, since it can be read.
    pub fn disk_works(&self) -> bool {
        self.ballast.disk_works()
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn guard(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.db.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes the tables of a new store, so that readers find them, and checks the schema of an old one.
    fn prepare(&self) -> Result<(), StoreError> {
        let guard = self.guard();
        let db = guard.as_ref().ok_or(StoreError::Closed)?;
        let known = db.begin_read()?.open_table(META).ok();
        if let Some(found) = known.as_ref().and_then(|meta| meta.get("schema").ok().flatten()) {
            return match found.value() {
                SCHEMA => Ok(()),
                found => Err(StoreError::Newer {
                    path: self.path.clone(),
                    found: u32::try_from(found).unwrap_or(u32::MAX),
                    known: SCHEMA as u32,
                }),
            };
        }
        let txn = begin(db)?;
        txn.open_table(META)?.insert("schema", SCHEMA)?;
        txn.open_table(NAME)?.insert("store_id", &id::fresh_secret().as_bytes()[..32])?;
        for table in [SESSIONS, NODES, COMMANDS, KEYS] {
            txn.open_table(table)?;
        }
        txn.open_table(OPEN_COMMANDS)?;
        txn.open_table(EVENTS)?;
        txn.open_table(CHANGES)?;
        txn.open_table(EVENTS_BY_SESSION)?;
        txn.commit()?;
        Ok(())
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let reader = self.read()?;
        let sessions = reader.sessions()?;
        let bounds = reader.event_bounds()?;
        let last_seq = reader.meta("last_seq")?.max(bounds.map_or(0, |(_, last)| last));
        let last_time = Time(i64::try_from(reader.meta("last_time")?).unwrap_or_default());
        let name = reader.txn().open_table(NAME)?;
        let store_id = name.get("store_id")?.map(|bytes| String::from_utf8_lossy(bytes.value()).into_owned());
        Ok(Loaded {
            store_id: store_id.ok_or_else(|| row::damaged("name", &"store_id", "it is missing"))?,
            last_seq,
            last_time,
            nodes: reader.nodes()?,
            tail: reader.unmerged(&sessions)?,
            sessions,
            open_commands: reader.open_commands()?,
        })
    }
}

impl Reader<'_> {
    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        let table = self.txn().open_table(NODES)?;
        let entries = table.iter()?.map(|entry| {
            let (key, bytes) = entry?;
            Ok(row::open::<NodeRow>(bytes.value(), key.value())?.into_record(key.value()))
        });
        entries.collect()
    }

    fn sessions(&self) -> Result<Vec<SessionRecord>, StoreError> {
        let table = self.txn().open_table(SESSIONS)?;
        let entries = table.iter()?.map(|entry| {
            let (key, bytes) = entry?;
            Ok(row::open::<SessionRow>(bytes.value(), key.value())?.into_record(key.value()))
        });
        entries.collect()
    }

    /// Finds the index entries again that a crash kept from being merged: those of events after the watermark.
    fn unmerged(&self, sessions: &[SessionRecord]) -> Result<Tail, StoreError> {
        let numbers: BTreeMap<&str, u32> =
            sessions.iter().map(|record| (record.session.id.as_str(), record.no)).collect();
        let table = self.txn().open_table(EVENTS)?;
        let mut tail = Tail::default();
        for entry in table.range(self.index_watermark()? + 1..)? {
            let (seq, bytes) = entry?;
            let session = event::session_of(bytes.value(), seq.value())?;
            if let Some(no) = numbers.get(session.as_str()) {
                tail.push(*no, seq.value());
            }
        }
        Ok(tail)
    }
}

fn open_file(path: &Path, check: bool) -> Result<Database, StoreError> {
    let failed = |source| StoreError::Open { path: path.to_owned(), source };
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(check);
    // Prompts and outputs are nobody's business but the operators'.
    fresh::make(path, GROUP_READS, &builder).map_err(|error| failed(error.into()))?;
    #[cfg(test)]
    if let Some(file) = super::disk::file(path) {
        return builder.create_with_backend(file).map_err(|error| failed(error.into()));
    }
    #[cfg(test)]
    if let Some(disk) = super::power::disk(path) {
        return builder.create_with_backend(disk).map_err(|error| failed(error.into()));
    }
    builder.create(path).map_err(|error| failed(error.into()))
}

fn begin(db: &Database) -> Result<WriteTransaction, StoreError> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    txn.set_durability(Durability::Immediate).map_err(|error| StoreError::Transaction(error.into()))?;
    Ok(txn)
}

fn write(txn: &WriteTransaction, batch: &Batch) -> Result<(), StoreError> {
    let mut changes = Vec::new();
    if let (Some(first), Some(last)) = (batch.events.first(), batch.events.last()) {
        let mut table = txn.open_table(EVENTS)?;
        // At the end of the tree: pages fill up one after another, and none is looked for.
        let mut end = table.upper_bound_mut(Bound::<u64>::Unbounded)?;
        for one in &batch.events {
            end.insert_before(one.seq, event::seal(one).as_slice())?;
        }
        end.close()?;
        let mut meta = txn.open_table(META)?;
        meta.insert("last_seq", last.seq)?;
        meta.insert("last_time", u64::try_from(last.timestamp.0).unwrap_or_default())?;
        changes.push(Change::Events(first.seq, last.seq));
    }
    if !batch.nodes.is_empty() {
        let mut table = txn.open_table(NODES)?;
        for (id, node) in &batch.nodes {
            table.insert(id.as_str(), row::seal(&NodeRow::from(node), id).as_slice())?;
            changes.push(Change::Put(change::Kind::Node, id.clone()));
        }
    }
    if !batch.sessions.is_empty() {
        let mut table = txn.open_table(SESSIONS)?;
        for (id, record) in &batch.sessions {
            table.insert(id.as_str(), row::seal(&SessionRow::from(record), id).as_slice())?;
            changes.push(Change::Put(change::Kind::Session, id.clone()));
        }
    }
    write_commands(txn, batch, &mut changes)?;
    if let Some(highest) = batch.index.iter().map(|(_, seq)| *seq).max() {
        let mut table = txn.open_table(EVENTS_BY_SESSION)?;
        for run in batch.index.chunk_by(|one, next| one.0 == next.0) {
            // Behind what is there of this session already.
            let mut end = table.upper_bound_mut(Bound::Included((run[0].0, u64::MAX)))?;
            for entry in run {
                end.insert_before(*entry, ())?;
            }
            end.close()?;
        }
        txn.open_table(META)?.insert("index_watermark", highest)?;
    }
    note_changes(txn, &changes)
}

fn write_commands(
    txn: &WriteTransaction,
    batch: &Batch,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    if !batch.commands.is_empty() {
        let mut table = txn.open_table(COMMANDS)?;
        let mut open = txn.open_table(OPEN_COMMANDS)?;
        for (id, command) in &batch.commands {
            table.insert(id.as_str(), row::seal(&CommandRow::from(command), id).as_slice())?;
            match command.state.is_final() {
                true => open.remove(id.as_str())?,
                false => open.insert(id.as_str(), ())?,
            };
            changes.push(Change::Put(change::Kind::Command, id.clone()));
        }
    }
    if !batch.keys.is_empty() {
        let mut table = txn.open_table(KEYS)?;
        for (key, record) in &batch.keys {
            table.insert(key.as_str(), row::seal(record, key).as_slice())?;
        }
    }
    Ok(())
}

/// Appends to the list for a mirror and drops what is beyond its bound.
fn note_changes(txn: &WriteTransaction, changes: &[Change]) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(CHANGES)?;
    let mut next = table.last()?.map_or(1, |(no, _)| no.value() + 1);
    for one in changes {
        table.insert(next, row::seal(one, next).as_slice())?;
        next += 1;
    }
    while table.first()?.is_some_and(|(no, _)| no.value() + change::KEPT < next) {
        table.pop_first()?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
