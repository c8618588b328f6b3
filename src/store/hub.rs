//! The supervisor's store: its one narrow handle. One thread commits batches; any thread reads.
//!
//! A commit is one record in the log, with one sync; redb takes the same rows in a thread of its own: see `applier`. What
//! redb makes durable is two-phase with the allocator's state saved (`quick_repair`), so that a start after a crash takes
//! milliseconds however large the file is. At every opening the log is played into redb before anything is read.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Database, Durability, ReadableDatabase, WriteTransaction};

pub use super::applier::Mark;
use super::applier::{Applier, Open, Shared, begin};
use super::ballast::Ballast;
pub use super::batch::Batch;
pub use super::loaded::Loaded;
use super::loaded::load;
use super::log::folder::{self, FolderLog};
use super::reader::Reader;
use super::replay::{Gaps, replay};
use super::resolve::Committed;
use super::schema::{self, SCHEMA_BEFORE};
pub use super::suspect::SetAside;
use super::tables::{META, NAME};
use super::turn::Turn;
use super::{StoreError, cache, fresh, suspect};
use hal_base::cause::chain;
use hal_base::clock::Time;
use hal_base::panic::contained;
use hal_base::{file, id};
use hal_rules::audit::Tip;

mod chain;
mod close;
mod commit;
mod now;

/// Bytes of redb's cache. Ingest does not depend on it; reading of history does a little.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Permissions of the file: the supervisor's user writes, its group reads.
const GROUP_READS: u32 = 0o640;

/// The open store.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    ballast: Ballast,
    shared: Arc<Shared>,
    /// Of the one who commits.
    committer: Mutex<Committer>,
    /// The last link of the chain of audit records, for those who must not wait for a commit.
    tip: Mutex<Tip>,
    /// What the store is made anew from when it is sick.
    mirror: Option<PathBuf>,
    /// Who may have that open.
    turn: Turn,
    /// Counts how often another file has taken this one's place.
    replaced: AtomicU64,
}

/// What the one who commits has.
#[derive(Debug, Default)]
struct Committer {
    known: Committed,
    /// Runs from the first commit or mark on.
    applier: Option<Applier>,
    /// True once the log has begun.
    is_begun: bool,
    /// True once a commit has failed: what the log says then is known only when it is opened again.
    is_broken: bool,
    /// True when the store was left as the release before this one can read it, and nothing followed.
    is_as_before: bool,
    /// True at the end.
    is_closed: bool,
}

impl Committer {
    fn run_applier(&mut self, shared: &Arc<Shared>, follows: bool) -> Result<(), StoreError> {
        if self.applier.is_none() {
            self.applier = Some(Applier::start(shared.clone(), follows)?);
        }
        Ok(())
    }
}

impl Store {
    /// Opens the store, or makes one where there never was one. Fails with what is wrong with a sick one.
    pub fn open_sound(
        path: &Path,
        before_migration: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(Self, Loaded), StoreError> {
        let check = suspect::begin(path);
        let opened = contained(|| Self::open_with(path, check, Gaps::Fail, before_migration))
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
        aside.take_log(path)?;
        let (store, loaded) = Self::open(path)?;
        suspect::clear(path);
        Ok((store, loaded, aside))
    }

    /// A store whose ballast lies there must be there too.
    pub(super) fn find_loss(path: &Path) -> Option<StoreError> {
        let evidence = Ballast::of(path).path().to_owned();
        if evidence.exists() { Self::loss(path, evidence) } else { None }
    }

    /// A store of which there is evidence, and whose file is empty or gone. One that cannot be looked at is not.
    fn loss(path: &Path, evidence: PathBuf) -> Option<StoreError> {
        let exists = match std::fs::metadata(path) {
            Ok(file) if file.len() == 0 => true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            _ => return None,
        };
        Some(StoreError::Lost { path: path.to_owned(), exists, evidence })
    }

    /// Makes the next start look at every page.
    pub fn suspect(&self) {
        suspect::suspect(&self.path);
    }

    /// Opens or makes the store and reads what the supervisor keeps in memory.
    pub fn open(path: &Path) -> Result<(Self, Loaded), StoreError> {
        Self::open_with(path, false, Gaps::Fail, || Ok(()))
    }

    /// The same where records of the log are missing and nothing else has what they said: what is there is played.
    pub fn open_over_gaps(path: &Path) -> Result<(Self, Loaded), StoreError> {
        Self::open_with(path, false, Gaps::Skip, || Ok(()))
    }

    /// Opens or makes a store that will be put in place of another under that one's name: it has no ballast of its own,
    /// and no log.
    pub(super) fn open_draft(path: &Path) -> Result<Self, StoreError> {
        let store = Self::closed(path);
        store.take(Open { db: open_file(path, false)?, log: None });
        store.prepare(|| Ok(()))?;
        Ok(store)
    }

    /// Opens the file, plays the log, and nothing more: what it holds may be damaged.
    pub(super) fn open_unread(path: &Path) -> Result<Self, StoreError> {
        let store = Self::closed(path);
        store.take(open_whole(path, false, Gaps::Fail)?);
        Ok(store)
    }

    /// The name of the store in a file.
    pub(super) fn name_of(path: &Path) -> Result<Option<String>, StoreError> {
        schema::store_id(&open_file(path, false)?)
    }

    fn closed(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            ballast: Ballast::of(path),
            shared: Arc::default(),
            committer: Mutex::default(),
            tip: Mutex::default(),
            mirror: None,
            turn: Turn::default(),
            replaced: AtomicU64::new(0),
        }
    }

    fn take(&self, open: Open) {
        *self.shared.open.write().unwrap_or_else(PoisonError::into_inner) = Some(open);
    }

    fn open_with(
        path: &Path,
        check: bool,
        gaps: Gaps,
        before_migration: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(Self, Loaded), StoreError> {
        let store = Self::closed(path);
        store.take(open_whole(path, check, gaps)?);
        store.prepare(before_migration)?;
        store.ballast.keep();
        // Earlier releases have left one beside each draft.
        Ballast::of(&path.with_added_extension("new")).release();
        let loaded = store.begin_with_it()?;
        Ok((store, loaded))
    }

    /// Opens the store and looks at every page.
    pub fn open_checked(path: &Path) -> Result<(Self, Loaded), StoreError> {
        contained(|| Self::open_with(path, true, Gaps::Fail, || Ok(())))
            .unwrap_or_else(|_| Err(StoreError::Surprising(path.to_owned())))
    }

    /// Gives room back to the file system that deleted rows have left. Nobody else may be using it.
    pub fn compact(self) -> Result<(), StoreError> {
        let open = self.shared.open.write().unwrap_or_else(PoisonError::into_inner).take();
        let mut db = open.ok_or(StoreError::Closed)?.db;
        while db.compact().map_err(|error| StoreError::Transaction(error.into()))? {}
        Ok(())
    }

    /// One transaction of its own, for those who fill or mend a store that is not in use.
    pub(super) fn transaction(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let guard = self.shared.guard();
        let txn = begin(&guard.as_ref().ok_or(StoreError::Closed)?.db, Durability::Immediate)?;
        work(&txn)?;
        txn.commit()?;
        Ok(())
    }

    /// Leaves a note of where the mirror stands.
    pub fn leave_mark(&self, mark: Mark) {
        if self.shared.leave_mark(mark) {
            return;
        }
        let mut committer = self.committer();
        if committer.is_closed || committer.is_broken {
            return;
        }
        match committer.run_applier(&self.shared, self.mirror.is_some()) {
            Ok(()) => drop(self.shared.leave_mark(mark)),
            Err(error) => tracing::warn!(error = chain(&error), "how far supervisor.db is cannot be noted"),
        }
    }

    /// True until that note is on the disk.
    pub fn has_mark(&self) -> bool {
        self.shared.has_mark()
    }

    /// A consistent look at what is committed: all of what was when it was asked for.
    pub fn read(&self) -> Result<Reader<'_>, StoreError> {
        self.shared.wait();
        let open = self.shared.guard();
        let files = open.as_ref().ok_or(StoreError::Closed)?;
        let (txn, log) = (files.db.begin_read()?, files.log.clone());
        Ok(Reader::new(txn, log, open))
    }

    /// Closes and opens the file and the log again: after a failure nothing is taken until then. Gives what they hold
    /// now: a commit whose sync failed may have taken effect nevertheless. `check` looks at every page.
    pub fn reopen(&self, check: bool) -> Result<Loaded, StoreError> {
        self.reopen_with(check, Gaps::Fail)
    }

    /// The same where records of the log are missing: what is there is played.
    pub fn reopen_over_gaps(&self) -> Result<Loaded, StoreError> {
        self.reopen_with(false, Gaps::Skip)
    }

    fn reopen_with(&self, check: bool, gaps: Gaps) -> Result<Loaded, StoreError> {
        self.exchange(|| {
            // An earlier attempt may have moved it away: nothing new is begun in its place by opening it.
            if let Some(lost) = Self::loss(&self.path, folder::folder_of(&self.path)) {
                return Err(lost);
            }
            cache::forget(&self.path);
            open_both(&self.path, check, gaps)
        })?;
        self.begin_with_it()
    }

    /// Sets the files aside, because of this damage, and begins a new store, with the file `fresh` if there is that.
    pub fn begin_anew(
        &self,
        damage: &StoreError,
        fresh: Option<&Path>,
        now: Time,
    ) -> Result<(Loaded, SetAside), StoreError> {
        let mut aside = None;
        self.exchange(|| {
            let moved = aside.insert(SetAside::of(&self.path, damage, now)?);
            if let Some(fresh) = fresh {
                put_in_place(fresh, &self.path)?;
            }
            moved.take_log(&self.path)?;
            open_both(&self.path, false, Gaps::Fail)
        })?;
        self.prepare(|| Ok(()))?;
        let aside = aside.ok_or(StoreError::Closed)?;
        Ok((self.begin_with_it()?, aside))
    }

    /// Puts another file in this one's place, which is set aside with its log; gives where, and what the store holds now.
    pub fn replace(&self, fresh: &Path) -> Result<(PathBuf, Loaded), StoreError> {
        let mut aside = None;
        self.leave()?;
        self.exchange(|| {
            aside = Some(set_aside(&self.path, "replaced")?);
            put_in_place(fresh, &self.path)?;
            open_both(&self.path, false, Gaps::Fail)
        })?;
        Ok((aside.ok_or(StoreError::Closed)?, self.begin_with_it()?))
    }

    /// Says what it is made anew from when it is sick.
    pub fn mirrored_by(mut self, mirror: &Path) -> Self {
        self.mirror = Some(mirror.to_owned());
        self
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

    /// Closes the files, and puts others in their place.
    fn exchange(
        &self,
        open: impl FnOnce() -> Result<(Open, Option<StoreError>), StoreError>,
    ) -> Result<(), StoreError> {
        let mut committer = self.committer();
        if let Some(applier) = committer.applier.take() {
            applier.stop(&self.shared);
        }
        *committer = Committer { is_broken: true, ..Committer::default() };
        let mut place = self.shared.open.write().unwrap_or_else(PoisonError::into_inner);
        *place = None;
        self.replaced.fetch_add(1, Ordering::Relaxed);
        let opened = contained(open).unwrap_or_else(|_| Err(StoreError::Surprising(self.path.clone())));
        let (opened, unplayed) = opened?;
        *place = Some(opened);
        unplayed.map_or(Ok(()), Err)
    }

    fn committer(&self) -> MutexGuard<'_, Committer> {
        self.committer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a failure for want of room: throws the ballast overboard, and what of the log is there for the mirror alone.
    pub fn release_ballast(&self) {
        self.shared.shed();
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

    /// Makes the tables of a new store, so that readers find them, and those that an older one lacks.
    fn prepare(&self, before_migration: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let guard = self.shared.guard();
        let db = &guard.as_ref().ok_or(StoreError::Closed)?.db;
        match schema::of(db, &self.path)? {
            Some(_) if schema::has_all_tables(db)? => return Ok(()),
            Some(_) => before_migration()?,
            None => {}
        }
        let txn = begin(db, Durability::Immediate)?;
        if schema::of(db, &self.path)?.is_none() {
            txn.open_table(META)?.insert("schema", SCHEMA_BEFORE)?;
            txn.open_table(NAME)?.insert("store_id", &id::fresh_secret().as_bytes()[..32])?;
        }
        schema::make_tables(&txn)?;
        txn.commit()?;
        Ok(())
    }

    /// Reads what the supervisor and the one who commits keep in memory; from here on commits are taken.
    fn begin_with_it(&self) -> Result<Loaded, StoreError> {
        let (loaded, known) = {
            let reader = self.read()?;
            (load(&reader)?, Committed::read(&reader)?)
        };
        let mut committer = self.committer();
        {
            let mut place = self.shared.open.write().unwrap_or_else(PoisonError::into_inner);
            let open = place.as_mut().ok_or(StoreError::Closed)?;
            if open.log.is_none() {
                // A new store has its name only now.
                open.log = Some(Arc::new(FolderLog::open(&self.path, &loaded.store_id)?.0));
            }
        }
        self.shared.begin(known.position);
        *self.tip.lock().unwrap_or_else(PoisonError::into_inner) = known.tip();
        *committer = Committer { known, ..Committer::default() };
        Ok(loaded)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// Puts a finished file in place of another.
pub(super) fn put_in_place(fresh: &Path, path: &Path) -> Result<(), StoreError> {
    let placed = std::fs::rename(fresh, path).and_then(|()| file::sync_folder(path));
    placed.map_err(|source| StoreError::File { path: fresh.to_owned(), source })
}

/// Moves a store out of the way, and its log with it: it is never played into another one.
pub(super) fn set_aside(path: &Path, why: &str) -> Result<PathBuf, StoreError> {
    let failed = |source| StoreError::File { path: path.to_owned(), source };
    let aside = file::set_aside(path, why).map_err(failed)?;
    folder::set_aside(path, &aside).map_err(failed)?;
    Ok(aside)
}

/// Opens the file, and the log of the store in it, which is played. Where that fails for want of room, say, the file can be
/// read as it is: why comes with it.
fn open_both(path: &Path, check: bool, gaps: Gaps) -> Result<(Open, Option<StoreError>), StoreError> {
    let db = open_file(path, check)?;
    let Some(store_id) = schema::store_id(&db)? else { return Ok((Open { db, log: None }, None)) };
    let (log, found) = FolderLog::open(path, &store_id)?;
    let unplayed = match replay(path, &db, &log, &found, gaps) {
        Err(damage) if damage.is_damage() => return Err(damage),
        played => played.err(),
    };
    Ok((Open { db, log: Some(Arc::new(log)) }, unplayed))
}

/// The same for whoever has no use for a file without its log.
fn open_whole(path: &Path, check: bool, gaps: Gaps) -> Result<Open, StoreError> {
    match open_both(path, check, gaps)? {
        (open, None) => Ok(open),
        (_, Some(why)) => Err(why),
    }
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

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
