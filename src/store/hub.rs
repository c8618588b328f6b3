//! The supervisor's store: its one narrow handle. One thread commits batches; any thread reads.
//!
//! A commit is one transaction with one sync, whatever the batch holds. It is two-phase with the allocator's state
//! saved (`quick_repair`), so that a start after a crash takes milliseconds however large the file is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, WriteTransaction};

use super::ballast::Ballast;
pub use super::batch::{Batch, Mark};
use super::batch::{SCHEMA, SCHEMA_BEFORE, write};
use super::kept::Kept;
use super::node::{NodeRecord, NodeRow};
use super::reader::Reader;
use super::row;
use super::session::{SessionRecord, SessionRow};
pub use super::suspect::SetAside;
use super::tables::{
    ALERTS, AUDIT, CHANGES, COMMANDS, COSTS, EVENTS, EVENTS_BY_SESSION, GONE, KEYS, META, NAME, NODES,
    OPEN_COMMANDS, SESSIONS, STATE,
};
use super::tail::Tail;
use super::turn::Turn;
use super::{StoreError, cache, event, fresh, suspect};
use hal_base::clock::Time;
use hal_base::panic::contained;
use hal_base::{file, id};
use hal_protocol::alert::Alert;
use hal_protocol::command::Command;

/// Bytes of redb's cache. Ingest does not depend on it; reading of history does a little.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Permissions of the file: the supervisor's user writes, its group reads.
const GROUP_READS: u32 = 0o640;

/// What a store held when it was opened.
#[derive(Debug, Default)]
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
    /// Nodes that an operator has deleted.
    pub gone_nodes: Vec<NodeRecord>,
    /// Sessions that an operator has deleted, and their numbers.
    pub gone_sessions: Vec<(String, u32)>,
    /// Alerts, oldest first.
    pub alerts: Vec<Alert>,
    /// What the supervisor keeps for itself.
    pub state: Vec<(String, Kept)>,
    /// Commands that have not ended, oldest first.
    pub open_commands: Vec<Command>,
    /// Nodes of which events came back from a store that was set aside.
    pub returned_nodes: BTreeSet<String>,
    /// Index entries that were not merged yet.
    pub tail: Tail,
}

/// Nodes that operators have deleted, and sessions with their numbers.
type Gone = (Vec<NodeRecord>, Vec<(String, u32)>);

/// The open store.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    ballast: Ballast,
    /// `None` after a failed reopening. The lock is never held across an await.
    db: RwLock<Option<Database>>,
    /// Where the mirror stands, for the next commit.
    mark: Mutex<Option<Mark>>,
    /// What the store is made anew from when it is sick.
    mirror: Option<PathBuf>,
    /// Who may have that open.
    turn: Turn,
    /// Counts how often another file has taken this one's place.
    replaced: AtomicU64,
}

impl Store {
    /// Opens the store, or makes one where there never was one. Fails with what is wrong with a sick one.
    pub fn open_sound(
        path: &Path,
        before_migration: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(Self, Loaded), StoreError> {
        let check = suspect::begin(path);
        let opened = contained(|| Self::open_with(path, check, before_migration))
            .unwrap_or_else(|_| Err(StoreError::Surprising(path.to_owned())));
        if opened.is_ok() {
            suspect::clear(path);
        }
        opened
    }

    /// Sets a sick store aside and begins a new one, as a copy of `fresh` if there is that.
    pub fn begin_instead(
        path: &Path,
        damage: &StoreError,
        fresh: Option<&Path>,
        now: Time,
    ) -> Result<(Self, Loaded, SetAside), StoreError> {
        let aside = SetAside::of(path, damage, now)?;
        if let Some(fresh) = fresh {
            put_in_place(fresh, path)?;
        }
        let (store, loaded) = Self::open(path)?;
        suspect::clear(path);
        Ok((store, loaded, aside))
    }

    /// A store whose ballast lies there must be there too.
    pub(super) fn find_loss(path: &Path) -> Option<StoreError> {
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
        Self::open_with(path, false, || Ok(()))
    }

    /// Opens or makes a store that will be put in place of another under that one's name: it has no ballast of its own.
    pub(super) fn open_draft(path: &Path) -> Result<Self, StoreError> {
        let store = Self { db: RwLock::new(Some(open_file(path, false)?)), ..Self::closed(path) };
        store.prepare(|| Ok(()))?;
        Ok(store)
    }

    /// Opens the file and nothing more: what it holds may be damaged.
    pub(super) fn open_unread(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { db: RwLock::new(Some(open_file(path, false)?)), ..Self::closed(path) })
    }

    fn closed(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            ballast: Ballast::of(path),
            db: RwLock::default(),
            mark: Mutex::default(),
            mirror: None,
            turn: Turn::default(),
            replaced: AtomicU64::new(0),
        }
    }

    fn open_with(
        path: &Path,
        check: bool,
        before_migration: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(Self, Loaded), StoreError> {
        let store = Self { db: RwLock::new(Some(open_file(path, check)?)), ..Self::closed(path) };
        store.prepare(before_migration)?;
        store.ballast.keep();
        // Earlier releases have left one beside each draft.
        Ballast::of(&path.with_added_extension("new")).release();
        let loaded = store.load()?;
        Ok((store, loaded))
    }

    /// Opens the store and looks at every page.
    pub fn open_checked(path: &Path) -> Result<(Self, Loaded), StoreError> {
        contained(|| Self::open_with(path, true, || Ok(())))
            .unwrap_or_else(|_| Err(StoreError::Surprising(path.to_owned())))
    }

    /// Gives room back to the file system that deleted rows have left. Nobody else may be using it.
    pub fn compact(self) -> Result<(), StoreError> {
        let db = self.db.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut db = db.ok_or(StoreError::Closed)?;
        while db.compact().map_err(|error| StoreError::Transaction(error.into()))? {}
        Ok(())
    }

    /// Writes a batch; when this returns `Ok` it is on the disk, and when it does not, nothing of it is.
    pub fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let guard = self.guard();
        let db = guard.as_ref().ok_or(StoreError::Closed)?;
        let mark = *self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        let txn = begin(db)?;
        write(&txn, batch, mark)?;
        txn.commit()?;
        let mut waiting = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        if *waiting == mark {
            *waiting = None;
        }
        Ok(())
    }

    /// One transaction of its own, for those who fill a new store.
    pub(super) fn transaction(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let guard = self.guard();
        let txn = begin(guard.as_ref().ok_or(StoreError::Closed)?)?;
        work(&txn)?;
        txn.commit()?;
        Ok(())
    }

    /// Leaves a note of where the mirror stands, for the next commit.
    pub fn leave_mark(&self, mark: Mark) {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
    }

    /// True when such a note waits.
    pub fn has_mark(&self) -> bool {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).is_some()
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

    /// Sets the file aside, because of this damage, and begins a new store, with the file `fresh` if there is that.
    pub fn begin_anew(
        &self,
        damage: &StoreError,
        fresh: Option<&Path>,
        now: Time,
    ) -> Result<(Loaded, SetAside), StoreError> {
        let mut aside = None;
        self.exchange(|| {
            aside = Some(SetAside::of(&self.path, damage, now)?);
            if let Some(fresh) = fresh {
                put_in_place(fresh, &self.path)?;
            }
            open_file(&self.path, false)
        })?;
        self.prepare(|| Ok(()))?;
        let aside = aside.ok_or(StoreError::Closed)?;
        Ok((self.load()?, aside))
    }

    /// Puts another file in this one's place, which is set aside; gives where, and what the store holds now.
    pub fn replace(&self, fresh: &Path) -> Result<(PathBuf, Loaded), StoreError> {
        let mut aside = None;
        self.exchange(|| {
            let moved = file::set_aside(&self.path, "replaced");
            aside = Some(moved.map_err(|source| StoreError::File { path: self.path.clone(), source })?);
            put_in_place(fresh, &self.path)?;
            open_file(&self.path, false)
        })?;
        Ok((aside.ok_or(StoreError::Closed)?, self.load()?))
    }

    /// Says what it is made anew from when it is sick.
    pub fn mirrored_by(self, mirror: &Path) -> Self {
        Self { mirror: Some(mirror.to_owned()), ..self }
    }

    /// What it is made anew from when it is sick.
    pub fn mirror(&self) -> Option<&Path> {
        self.mirror.as_deref()
    }

    /// Who may have the mirror's files open.
    pub fn turn(&self) -> &Turn {
        &self.turn
    }

    /// How often another file may have taken this one's place.
    pub fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Closes the file, and puts another in its place.
    fn exchange(&self, open: impl FnOnce() -> Result<Database, StoreError>) -> Result<(), StoreError> {
        let mut place = self.db.write().unwrap_or_else(PoisonError::into_inner);
        *place = None;
        self.replaced.fetch_add(1, Ordering::Relaxed);
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the tables of a new store, so that readers find them, and checks the schema of an old one.
    fn prepare(&self, before_migration: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let guard = self.guard();
        let db = guard.as_ref().ok_or(StoreError::Closed)?;
        let known = db.begin_read()?.open_table(META).ok();
        if let Some(found) = known.as_ref().and_then(|meta| meta.get("schema").ok().flatten()) {
            return match found.value() {
                SCHEMA_BEFORE..=SCHEMA if db.begin_read()?.open_table(STATE).is_ok() => Ok(()),
                SCHEMA_BEFORE..=SCHEMA => {
                    before_migration()?;
                    let txn = begin(db)?;
                    make_tables(&txn)?;
                    Ok(txn.commit()?)
                }
                found => Err(StoreError::Newer {
                    path: self.path.clone(),
                    found: u32::try_from(found).unwrap_or(u32::MAX),
                    known: SCHEMA as u32,
                }),
            };
        }
        let txn = begin(db)?;
        txn.open_table(META)?.insert("schema", SCHEMA_BEFORE)?;
        txn.open_table(NAME)?.insert("store_id", &id::fresh_secret().as_bytes()[..32])?;
        make_tables(&txn)?;
        Ok(txn.commit()?)
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let reader = self.read()?;
        let sessions = reader.sessions()?;
        let bounds = reader.event_bounds()?;
        let gone = reader.gone()?;
        let last_seq = reader.meta("last_seq")?.max(bounds.map_or(0, |(_, last)| last));
        let last_time = Time(i64::try_from(reader.meta("last_time")?).unwrap_or_default());
        Ok(Loaded {
            store_id: reader.store_id()?,
            last_seq,
            last_time,
            nodes: reader.nodes()?,
            alerts: reader.alerts()?,
            state: reader.state()?,
            gone_nodes: gone.0,
            gone_sessions: gone.1,
            returned_nodes: reader.returned_nodes()?,
            tail: reader.unmerged(&sessions)?,
            sessions,
            open_commands: reader.open_commands()?,
        })
    }
}

impl Reader<'_> {
    /// The store's id, made when the store was made; both files have it.
    pub fn store_id(&self) -> Result<String, StoreError> {
        let name = self.txn().open_table(NAME)?;
        let id = name.get("store_id")?.map(|bytes| String::from_utf8_lossy(bytes.value()).into_owned());
        id.ok_or_else(|| row::damaged("name", &"store_id", "it is missing"))
    }

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

    /// What operators have deleted: nodes, and sessions with their numbers.
    fn gone(&self) -> Result<Gone, StoreError> {
        let (mut nodes, mut sessions) = (Vec::new(), Vec::new());
        for entry in self.txn().open_table(GONE)?.iter()? {
            let (key, bytes) = entry?;
            match key.value().split_once('\0') {
                Some(("node", id)) => nodes.push(row::open::<NodeRow>(bytes.value(), id)?.into_record(id)),
                Some((_, id)) => {
                    let record = row::open::<SessionRow>(bytes.value(), id)?.into_record(id);
                    sessions.push((id.to_owned(), record.no));
                }
                None => {}
            }
        }
        Ok((nodes, sessions))
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

/// Puts a finished file in place of another.
pub(super) fn put_in_place(fresh: &Path, path: &Path) -> Result<(), StoreError> {
    let placed = std::fs::rename(fresh, path).and_then(|()| file::sync_folder(path));
    placed.map_err(|source| StoreError::File { path: fresh.to_owned(), source })
}

fn open_file(path: &Path, check: bool) -> Result<Database, StoreError> {
    let failed = |source| StoreError::Open { path: path.to_owned(), source };
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(check);
    // Prompts and outputs are nobody's business but the operators'.
    fresh::make(path, GROUP_READS, &builder).map_err(|error| failed(error.into()))?;
    #[cfg(any(test, feature = "faulty-disk"))]
    if let Some(file) = super::disk::file(path) {
        return builder.create_with_backend(file).map_err(|error| failed(error.into()));
    }
    #[cfg(test)]
    if let Some(disk) = super::power::disk(path) {
        return builder.create_with_backend(disk).map_err(|error| failed(error.into()));
    }
    builder.create(path).map_err(|error| failed(error.into()))
}

/// Makes the tables that are not there yet.
fn make_tables(txn: &WriteTransaction) -> Result<(), StoreError> {
    for table in [SESSIONS, NODES, COMMANDS, KEYS, COSTS, STATE, GONE] {
        txn.open_table(table)?;
    }
    for table in [EVENTS, CHANGES, AUDIT, ALERTS] {
        txn.open_table(table)?;
    }
    txn.open_table(OPEN_COMMANDS)?;
    txn.open_table(EVENTS_BY_SESSION)?;
    Ok(())
}

fn begin(db: &Database) -> Result<WriteTransaction, StoreError> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    txn.set_durability(Durability::Immediate).map_err(|error| StoreError::Transaction(error.into()))?;
    Ok(txn)
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
