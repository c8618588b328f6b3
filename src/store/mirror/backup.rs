//! Backups of `supervisor.db`: plain files beside it, each a whole database of its own.
//!
//! `supervisor.db.backup.<UTC time>` are the backups. `supervisor.db.backup` is a second name of the newest one that
//! was found good, so that `cp supervisor.db.backup supervisor.db` always restores. A backup is made under another
//! name, looked through, and then gets both names at once: none is ever half written.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::apply::{Standing, count};
use super::classify::{FoundMirror, immutable, look};
use super::file::{FileStamp, remove_sides, side};
use super::salvage::is_whole;
use crate::StoreError;
use hal_base::cause::chain;
use hal_base::clock::Time;
use hal_base::file;

/// Pages copied before it is asked whether the supervisor stops.
const PAGES: i32 = 4_096;

/// Permissions of a backup: as those of the mirror.
const GROUP_READS: u32 = 0o640;

/// Sizes below this say nothing.
const SMALL: u64 = 1024 * 1024;

/// When backups are made, and how long they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether they are made at all.
    pub is_on: bool,
    /// Between two of them.
    pub every: Duration,
    /// So many are kept,
    pub keep: usize,
    /// and none longer than this, but for the newest.
    pub keep_for: Duration,
}

impl Default for Rules {
    /// Daily, a week of them.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { is_on: true, every: DAY, keep: 7, keep_for: DAY * 30 }
    }
}

/// A backup that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its file.
    pub path: PathBuf,
    /// When it was made.
    pub at: Time,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A backup that was just made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The file that was made.
    pub saved: Saved,
    /// Events in it.
    pub events: u64,
    /// What is strange about its size.
    pub strange: Option<String>,
}

/// What the mirror's thread is told.
pub enum MirrorCommand {
    /// End.
    Stop,
    /// Copy the mirror to this file, and say when it is done.
    Copy(PathBuf, SyncSender<Result<(), StoreError>>),
}

/// The way to the backups of a running mirror. Clones share it.
#[derive(Clone, Debug)]
pub struct Backups {
    mirror: PathBuf,
    rules: Arc<Mutex<Rules>>,
    words: SyncSender<MirrorCommand>,
    /// Held while one is made.
    at_work: Arc<Mutex<()>>,
    seen: Arc<Mutex<Option<SeenBackup>>>,
}

impl Backups {
    pub(super) fn new(mirror: PathBuf, rules: Rules, words: SyncSender<MirrorCommand>) -> Self {
        Self {
            mirror,
            rules: Arc::new(Mutex::new(rules)),
            words,
            at_work: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// The file that they are copies of.
    pub fn mirror(&self) -> &Path {
        &self.mirror
    }

    /// The rules in force.
    pub fn rules(&self) -> Rules {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other rules in force.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// All that are there, newest first.
    pub fn list(&self) -> Vec<Saved> {
        list(&self.mirror)
    }

    /// Makes one. Blocks until it is there and found good.
    pub fn make(&self, now: Time) -> Result<Made, StoreError> {
        let _one_at_a_time = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let draft = side(&self.mirror, ".backup.new");
        let (reply, answer) = sync_channel(1);
        let stopping = || StoreError::Refused("the supervisor is stopping".into());
        self.words.send(MirrorCommand::Copy(draft.clone(), reply)).map_err(|_| stopping())?;
        answer.recv().map_err(|_| stopping())??;
        let made = keep(&self.mirror, &draft, &self.rules(), now)?;
        // It was looked through before it got its name.
        self.set_seen(SeenBackup {
            file: FileStamp::at(&side(&self.mirror, NEWEST)).ok(),
            at: now,
            problem: None,
        });
        Ok(made)
    }

    /// What was found when the newest one was last looked through; `None` while it was not.
    pub fn seen(&self) -> Option<SeenBackup> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_seen(&self, seen: SeenBackup) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }

    /// Looks through the newest one, by the name that operators restore it by, if it is not the file that was last
    /// looked through, or that was long ago. Blocks.
    pub fn look_at_newest(&self, now: Time, again: Duration) {
        let newest = side(&self.mirror, NEWEST);
        let file = FileStamp::at(&newest).ok();
        let is_known =
            self.seen().is_some_and(|seen| seen.file == file && now.since(seen.at) < again && now >= seen.at);
        if is_known || (file.is_none() && self.list().is_empty()) {
            return;
        }
        let problem = verify(&newest).err().map(|error| chain(&error));
        // One that took its place meanwhile is looked through next time.
        let is_same = FileStamp::at(&newest).ok() == file;
        if is_same {
            self.set_seen(SeenBackup { file, at: now, problem });
        }
    }
}

/// What was found when the newest backup was looked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBackup {
    /// Which file it was; `None` when there was none.
    file: Option<FileStamp>,
    /// When it was verified.
    pub at: Time,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// Behind the mirror's name: the newest backup.
const NEWEST: &str = ".backup";

/// All backups of a mirror, newest first.
pub fn list(mirror: &Path) -> Vec<Saved> {
    let Some(folder) = mirror.parent() else { return Vec::new() };
    let start = format!("{}.backup.", mirror.file_name().unwrap_or_default().to_string_lossy());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<Saved> = entries
        .filter_map(|entry| {
            let at = Time::of_stamp(entry.file_name().to_str()?.strip_prefix(&start)?)?;
            // Whatever else has such a name is none.
            let found = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some(Saved { path: entry.path(), at, bytes: found.len() })
        })
        .collect();
    all.sort_by_key(|saved| std::cmp::Reverse(saved.at));
    all
}

/// The newest backup of a mirror that is there, by the name that operators know.
pub fn newest(mirror: &Path) -> Option<PathBuf> {
    let newest = side(mirror, NEWEST);
    if fs::metadata(&newest).is_ok_and(|file| file.is_file() && file.len() > 0) {
        return Some(newest);
    }
    list(mirror).into_iter().next().map(|saved| saved.path)
}

/// Copies a database as one moment of it, page by page.
pub fn copy(from: &Connection, to: &Path, ends: &AtomicBool) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: to.to_owned(), source };
    forget(to);
    file::make(to, GROUP_READS).map_err(failed)?;
    let mut target = Connection::open(to)?;
    target.pragma_update(None, "synchronous", "OFF")?;
    let pages = Backup::new(from, &mut target)?;
    while pages.step(PAGES)? != StepResult::Done {
        if ends.load(Ordering::Relaxed) {
            return Err(StoreError::Refused("the supervisor is stopping".into()));
        }
    }
    drop(pages);
    target.close().map_err(|(_, error)| error)?;
    remove_sides(to);
    File::open(to).and_then(|file| file.sync_all()).map_err(failed)
}

/// How many sessions a copy of a mirror holds; `None` when that cannot be read.
pub fn sessions(path: &Path) -> Option<u64> {
    count(&immutable(path).ok()?, "sessions").ok()
}

/// Looks through a copy of a mirror: every page, and whether all rows are there. Gives what it says of itself.
pub fn verify(path: &Path) -> Result<Standing, StoreError> {
    let unsound = |why: String| StoreError::Unsound { path: path.to_owned(), why };
    let standing = match look(path) {
        FoundMirror::Mirror(standing) => standing,
        FoundMirror::Missing => return Err(unsound("it is not there".into())),
        FoundMirror::Empty => return Err(unsound("it is empty".into())),
        FoundMirror::Foreign => return Err(unsound("it is not a database of this program".into())),
        FoundMirror::Corrupt(why) | FoundMirror::Unreadable(why) => return Err(unsound(why)),
    };
    let connection = immutable(path)?;
    let said: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| unsound(error.to_string()))?;
    if said != "ok" {
        return Err(unsound(said));
    }
    match is_whole(&connection, &standing) {
        Ok(true) => Ok(standing),
        Ok(false) => Err(unsound("rows are missing".into())),
        Err(error) => Err(unsound(error.to_string())),
    }
}

/// Makes a draft a backup, if it is good, and removes those whose time is over.
pub fn keep(mirror: &Path, draft: &Path, rules: &Rules, now: Time) -> Result<Made, StoreError> {
    let standing = verify(draft).inspect_err(|_| forget(draft))?;
    let failed = |source| StoreError::File { path: draft.to_owned(), source };
    adopt_strange(mirror).map_err(failed)?;
    let bytes = fs::metadata(draft).map_err(failed)?.len();
    let before = list(mirror).into_iter().next();
    // Two of one second would have the same name.
    let at = before.as_ref().map_or(now, |last| now.max(last.at.plus(Duration::from_secs(1))));
    let path = named(mirror, at);
    fs::rename(draft, &path).map_err(failed)?;
    name_newest(mirror, &path).map_err(failed)?;
    prune(mirror, rules, now);
    let strange = before.and_then(|last| strange(last.bytes, bytes));
    Ok(Made { saved: Saved { path, at, bytes }, events: standing.events(), strange })
}

/// Before a change of the store's shape: the mirror as it lies there, if there is a whole one.
pub fn before_migration(mirror: &Path, rules: &Rules, now: Time) -> Result<(), StoreError> {
    if !matches!(look(mirror), FoundMirror::Mirror(_)) {
        tracing::warn!("there is no supervisor.db to back up before the store is upgraded");
        return Ok(());
    }
    let draft = side(mirror, ".backup.new");
    copy(&immutable(mirror)?, &draft, &AtomicBool::new(false))?;
    let made = keep(mirror, &draft, rules, now)?;
    tracing::info!(backup = %made.saved.path.display(), "backed up before the store is upgraded");
    Ok(())
}

/// A file that somebody else has called `supervisor.db.backup` gets a name of its own before ours takes its place.
fn adopt_strange(mirror: &Path) -> io::Result<()> {
    let newest = side(mirror, NEWEST);
    let Ok(found) = fs::symlink_metadata(&newest) else { return Ok(()) };
    if found.nlink() > 1 || found.len() == 0 || !found.is_file() {
        return Ok(());
    }
    let mut at = Time(found.mtime().saturating_mul(1000));
    while named(mirror, at).exists() {
        at = at.plus(Duration::from_secs(1));
    }
    fs::hard_link(&newest, named(mirror, at))
}

fn named(mirror: &Path, at: Time) -> PathBuf {
    side(mirror, &format!(".backup.{}", at.stamp()))
}

/// Gives the newest backup its second name, in place of whatever has it.
fn name_newest(mirror: &Path, path: &Path) -> io::Result<()> {
    let link = side(mirror, ".backup.link");
    forget(&link);
    // A file system without second names gets a copy.
    fs::hard_link(path, &link).or_else(|_| fs::copy(path, &link).map(drop))?;
    File::open(&link)?.sync_all()?;
    fs::rename(&link, side(mirror, NEWEST))?;
    file::sync_folder(path)
}

fn prune(mirror: &Path, rules: &Rules, now: Time) {
    let all = list(mirror);
    let over = |(nth, saved): &(usize, &Saved)| {
        *nth > 0 && (*nth >= rules.keep || now.since(saved.at) > rules.keep_for)
    };
    for (_, saved) in all.iter().enumerate().filter(over) {
        tracing::info!(backup = %saved.path.display(), "an old backup is removed");
        forget(&saved.path);
    }
}

fn strange(before: u64, now: u64) -> Option<String> {
    let is_strange = before.max(now) > SMALL && (now < before / 2 || now > before.saturating_mul(3));
    is_strange.then(|| format!("it has {now} bytes, and the one before had {before}"))
}

fn forget(path: &Path) {
    let _gone = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let at = Time(1_795_450_273_000);
        assert_eq!((at.stamp().as_str(), Time::of_stamp(&at.stamp())), ("20261123T161113Z", Some(at)));
        assert!(Time::of_stamp("new").is_none() && Time::of_stamp("2026112xT161113Z").is_none());
    }

    #[test]
    fn sizes_that_change_much_are_strange_once_they_are_sizes() {
        assert!(strange(1000, 10).is_none() && strange(5 << 20, 12 << 20).is_none());
        assert!(strange(5 << 20, 2 << 20).is_some() && strange(1 << 20, 4 << 20).is_some());
    }

    #[test]
    fn old_ones_go_by_count_and_by_age_and_the_newest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("supervisor.db");
        let day = Duration::from_secs(86_400);
        let now = Time(1_795_450_273_000);
        for age in 0..6 {
            fs::write(named(&mirror, now.minus(day * age)), "x").unwrap();
        }
        let rules = Rules { keep: 4, keep_for: day * 2, ..Rules::default() };
        prune(&mirror, &rules, now);
        let left: Vec<Time> = list(&mirror).iter().map(|saved| saved.at).collect();
        assert_eq!(left, [now, now.minus(day), now.minus(day * 2)]);
        prune(&mirror, &rules, now.plus(day * 30));
        assert_eq!(list(&mirror).len(), 1);
    }
}
