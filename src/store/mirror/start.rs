//! The start: which of the two files is the truth is decided by what they say, before either is opened for writing.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::apply::Standing;
use super::backup::{self, Rules, newest};
use super::classify::{self, FoundMirror, MALFORMED, check, immutable, unsound};
use super::file::{remove_sides, side};
use super::import::{import, is_made_from};
use super::row_recovery;
use crate::StoreError;
use crate::apply::apply;
use crate::hub::{self, Loaded, SetAside, Store, put_in_place};
use crate::log::Log;
use crate::log::folder::{self, FolderLog, Gap};
use crate::log::record::Record;
use crate::schema::SCHEMA_WHOLE;
use crate::tables::{EVENTS, META};
use hal_base::cause::chain;
use hal_base::clock::Time;
use hal_base::file;
use hal_base::progress::Progress;
use hal_protocol::audit::Head;

/// Rows of the log's rest in one transaction.
const ROWS: usize = 20_000;

/// What the mirror's thread does first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The file is ours: go on with it.
    Follow,
    /// There is none: make one.
    Build,
}

/// The store, and what to do with its mirror.
#[derive(Debug)]
pub struct Opened {
    /// The open store.
    pub store: Store,
    /// What it holds.
    pub loaded: Loaded,
    /// What the mirror's thread does first.
    pub first: First,
    /// The store that was found sick, if one was.
    pub set_aside: Option<SetAside>,
    /// Rows of the store that could not be read and are written again from the mirror.
    pub healed: Vec<String>,
    /// What was committed and is not there any more, if something is.
    pub lost: Option<String>,
    /// The last link of the audit record in the store whose place this one has taken, where that could be read.
    pub audit_before: Option<Head>,
}

impl Opened {
    fn of((store, loaded): (Store, Loaded), first: First) -> Self {
        Self { store, loaded, first, set_aside: None, healed: Vec::new(), lost: None, audit_before: None }
    }
}

/// Opens the store at `store`, or makes it from the mirror where it is missing or sick, or where that is what an
/// operator has asked for.
pub fn open(store: &Path, mirror: &Path, backups: &Rules, now: Time) -> Result<Opened, StoreError> {
    let opened = decide(store, mirror, backups, now)?;
    Ok(Opened { store: opened.store.mirrored_by(mirror), ..opened })
}

fn decide(store: &Path, mirror: &Path, backups: &Rules, now: Time) -> Result<Opened, StoreError> {
    let found = classify::look(mirror);
    let open = || Store::open_sound(store, || backup::before_migration(mirror, backups, now));
    let mut healed = Vec::new();
    let mut opened = match Store::find_loss(store) {
        Some(lost) => Err(lost),
        None if has_bytes(store)? => open(),
        None => return without_store(store, mirror, found),
    };
    if let (Err(damage), FoundMirror::Mirror(standing)) = (&opened, &found)
        && damage.is_damage()
        && !matches!(damage, StoreError::Lost { .. } | StoreError::LogGap { .. })
    {
        match row_recovery::rows(store, mirror, standing) {
            Ok(rows) => {
                healed = rows;
                // Its pages are looked at now: the mark of the first attempt is still there.
                opened = open();
            }
            Err(error) => tracing::warn!(why = chain(&error), "the store cannot be healed row by row"),
        }
    }
    match opened {
        Ok((open, loaded)) => {
            with_store(open, loaded, mirror, found).map(|opened| Opened { healed, ..opened })
        }
        Err(StoreError::LogGap { path, gaps }) => {
            over_gaps(store, StoreError::LogGap { path, gaps: gaps.clone() }, &gaps, mirror, found, now)
        }
        Err(damage) if damage.is_damage() => instead_of(store, &damage, mirror, found, now),
        Err(error) => Err(error),
    }
}

/// Records are missing in the log. Where the mirror has some of what they said, it takes the store's place, and the rest of
/// the log is played upon it; else what is there is played, and what is missing is said.
fn over_gaps(
    store: &Path,
    damage: StoreError,
    gaps: &[Gap],
    mirror: &Path,
    found: FoundMirror,
    now: Time,
) -> Result<Opened, StoreError> {
    let store_id = Store::name_of(store)?;
    let knows = |standing: &Standing| {
        store_id.as_ref() == Some(&standing.store_id)
            && gaps.first().is_some_and(|gap| standing.change >= gap.from)
    };
    let is_sound = || immutable(mirror).is_ok_and(|file| check(&file).is_none());
    if matches!(&found, FoundMirror::Mirror(standing) if knows(standing)) && is_sound() {
        return instead_of(store, &damage, mirror, found, now);
    }
    let (open, loaded) = Store::open_over_gaps(store)?;
    let lost = Some(chain(&damage));
    with_store(open, loaded, mirror, found).map(|opened| Opened { lost, ..opened })
}

/// Fails when it cannot be known: nothing is put in place of a store that may be there.
fn has_bytes(path: &Path) -> Result<bool, StoreError> {
    match fs::metadata(path) {
        Ok(file) => Ok(file.len() > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(StoreError::File { path: path.to_owned(), source }),
    }
}

/// Moves a file out of the way.
pub fn set_aside(path: &Path, why: &str) -> Result<PathBuf, StoreError> {
    file::set_aside(path, why).map_err(|source| StoreError::File { path: path.to_owned(), source })
}

fn with_store(open: Store, loaded: Loaded, mirror: &Path, found: FoundMirror) -> Result<Opened, StoreError> {
    let path = open.path().to_owned();
    let standing = match found {
        FoundMirror::Mirror(standing) => standing,
        found => {
            make_way(mirror, &found)?;
            return Ok(Opened::of((open, loaded), First::Build));
        }
    };
    let (epoch, last_change) = {
        let reader = open.read()?;
        (reader.meta("mirror_epoch")?, reader.last_change()?)
    };
    if is_made_from(&open, &standing)? {
        return Ok(Opened::of((open, loaded), First::Build));
    }
    let is_ours =
        standing.store_id == loaded.store_id && standing.epoch >= epoch && standing.change <= last_change;
    if is_ours {
        return Ok(Opened::of((open, loaded), First::Follow));
    }
    // Whatever lies beside it belongs to the file that was here before.
    remove_sides(mirror);
    if let Some(what) = unsound(mirror) {
        make_way(mirror, &FoundMirror::Corrupt(what))?;
        return Ok(Opened::of((open, loaded), First::Build));
    }
    let newer = newer_events(&open, standing.last.0.max(standing.event))?;
    let audit_before = Some(open.audit_head());
    open.leave()?;
    drop(open);
    let (fresh, _) = draft(&path, mirror, &standing, Rest::Leave, &Progress::default())?;
    let aside = hub::set_aside(&path, "replaced")?;
    put_in_place(&fresh, &path)?;
    tracing::warn!(
        newer_events = newer,
        aside = %aside.display(),
        "supervisor.db was restored: the store is rebuilt from it; the store before is set aside"
    );
    Ok(Opened { audit_before, ..Opened::of(Store::open(&path)?, First::Build) })
}

/// The store is sick: its mirror takes its place.
fn instead_of(
    store: &Path,
    damage: &StoreError,
    mirror: &Path,
    found: FoundMirror,
    now: Time,
) -> Result<Opened, StoreError> {
    tracing::error!(path = %store.display(), error = chain(damage), "the store is damaged");
    let made = match usable(mirror, found)? {
        Ok(standing) => Some(draft(store, mirror, &standing, Rest::Play, &Progress::default())?),
        Err(found) => {
            refuse_if_backed_up(store, damage, mirror, &found)?;
            make_way(mirror, &found)?;
            None
        }
    };
    let fresh = made.as_ref().map(|(fresh, _)| fresh.as_path());
    let (store, loaded, aside) = Store::begin_instead(store, damage, fresh, now)?;
    remove_sides(mirror);
    let aside = SetAside { events: made.map(|(_, events)| events), ..aside };
    Ok(Opened { set_aside: Some(aside), ..Opened::of((store, loaded), First::Build) })
}

/// The same while the supervisor runs. The mirror's thread may be writing: what does not fit together now may do so
/// at the next attempt, so nothing is moved out of the way.
pub fn begin_anew(store: &Store, damage: &StoreError, now: Time) -> Result<(Loaded, SetAside), StoreError> {
    let Some(mirror) = store.mirror() else { return store.begin_anew(damage, None, now) };
    let Some(turn) = store.turn().ask() else {
        return Err(StoreError::Refused(format!(
            "{} is still open in the mirror's thread",
            mirror.display()
        )));
    };
    let made = match usable(mirror, classify::look(mirror))? {
        Ok(standing) => Some(draft(store.path(), mirror, &standing, Rest::Play, &Progress::default())?),
        Err(found) => {
            refuse_if_backed_up(store.path(), damage, mirror, &found)?;
            if found != FoundMirror::Missing {
                return Err(StoreError::Refused(format!("{} cannot be used now", mirror.display())));
            }
            None
        }
    };
    let fresh = made.as_ref().map(|(fresh, _)| fresh.as_path());
    let (loaded, aside) = store.begin_anew(damage, fresh, now)?;
    drop(turn);
    store.turn().done();
    Ok((loaded, SetAside { events: made.map(|(_, events)| events), ..aside }))
}

/// A mirror that a store can be made from; else what is there instead.
fn usable(mirror: &Path, found: FoundMirror) -> Result<Result<Standing, FoundMirror>, StoreError> {
    match found {
        FoundMirror::Unreadable(_) => make_way(mirror, &found).map(|()| Err(found)),
        FoundMirror::Mirror(standing) => {
            let unsound = immutable(mirror).map_or_else(|error| Some(error.to_string()), |file| check(&file));
            Ok(unsound.map_or(Ok(standing), |what| Err(FoundMirror::Corrupt(what))))
        }
        found => Ok(Err(found)),
    }
}

/// What to do with what the log has beyond a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The store was lost: what was committed after the mirror's last window comes along.
    Play,
    /// An operator has restored the mirror: what came after it is not wanted.
    Leave,
}

/// A new store beside the one that it will replace.
pub fn draft(
    store: &Path,
    mirror: &Path,
    standing: &Standing,
    rest: Rest,
    progress: &Progress,
) -> Result<(PathBuf, u64), StoreError> {
    let fresh = side(store, ".new");
    let events = make_from(mirror, standing, &fresh, progress)?;
    if rest == Rest::Play {
        play_rest(store, standing, &fresh)?;
    }
    Ok((fresh, events))
}

/// Plays what the log of a lost store has beyond its mirror into the store that is made from that. Not where the mirror is
/// of another time than the log: it was restored, too.
fn play_rest(store: &Path, standing: &Standing, fresh: &Path) -> Result<(), StoreError> {
    let owner =
        folder::owner(store).map_err(|source| StoreError::File { path: folder::folder_of(store), source })?;
    if owner.as_ref() != Some(&standing.store_id) {
        return Ok(());
    }
    let (log, found) = FolderLog::open(store, &standing.store_id)?;
    let Some((_, last)) = found.bounds.filter(|(_, last)| *last > standing.change) else { return Ok(()) };
    if found.mirror_epoch > standing.epoch {
        tracing::warn!(
            "supervisor.db is of an earlier time than the log beside the store: the log is not played into it"
        );
        return Ok(());
    }
    let draft = Store::open_draft(fresh)?;
    let (mut records, mut rows) = (0, Vec::new());
    let mut expected = standing.change + 1;
    log.read(expected, last, &mut |position, body| {
        if position > expected {
            tracing::error!(
                "records {expected} to {} of the log are missing, and supervisor.db does not have them",
                position - 1
            );
        }
        expected = position + 1;
        records += 1;
        rows.append(&mut Record::decode(position, body)?.rows);
        if rows.len() >= ROWS {
            draft.transaction(|txn| apply(txn, &std::mem::take(&mut rows)))?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    draft.transaction(|txn| {
        apply(txn, &rows)?;
        txn.open_table(META)?.insert("schema", SCHEMA_WHOLE)?;
        Ok(())
    })?;
    tracing::info!(records, "the log has more than supervisor.db: it is played into the new store");
    Ok(())
}

/// Where neither file can be used and there is a backup, a person decides.
fn refuse_if_backed_up(
    store: &Path,
    damage: &StoreError,
    mirror: &Path,
    found: &FoundMirror,
) -> Result<(), StoreError> {
    let Some(backup) = newest(mirror) else { return Ok(()) };
    let what = match found {
        FoundMirror::Missing => "is not there".to_owned(),
        FoundMirror::Corrupt(what) => format!("is damaged, too: {MALFORMED} ({what})"),
        _ => "is not a mirror of it".to_owned(),
    };
    let (mirror, backup) = (mirror.display(), backup.display());
    Err(StoreError::Hopeless(format!(
        "the store {} cannot be used ({}), and {mirror} {what}; restore the newest backup: cp {backup} {mirror} \
         (or move the backups away to begin an empty store)",
        store.display(),
        chain(damage),
    )))
}

fn without_store(store: &Path, mirror: &Path, found: FoundMirror) -> Result<Opened, StoreError> {
    if found != FoundMirror::Missing {
        match usable(mirror, found)? {
            Ok(standing) => {
                let (fresh, events) = draft(store, mirror, &standing, Rest::Play, &Progress::default())?;
                put_in_place(&fresh, store)?;
                remove_sides(mirror);
                tracing::warn!(events, "the store was missing and is rebuilt from supervisor.db");
            }
            Err(found) => {
                let missing = StoreError::Refused("it is not there".into());
                refuse_if_backed_up(store, &missing, mirror, &found)?;
                make_way(mirror, &found)?;
            }
        }
    }
    Ok(Opened::of(Store::open_sound(store, || Ok(()))?, First::Build))
}

pub fn make_from(
    mirror: &Path,
    standing: &Standing,
    fresh: &Path,
    progress: &Progress,
) -> Result<u64, StoreError> {
    let _ = fs::remove_file(fresh);
    let adopted = import(&immutable(mirror)?, standing, fresh, progress)?;
    if let (senseless, Some(first)) = &adopted.senseless {
        tracing::error!(rows = senseless, first, "rows of supervisor.db were invalid and were left out");
    }
    Ok(adopted.events)
}

/// Moves what is no mirror out of the way, and says so in words that operators look for.
pub fn make_way(mirror: &Path, found: &FoundMirror) -> Result<(), StoreError> {
    let (word, why) = match found {
        FoundMirror::Missing | FoundMirror::Mirror(_) => return Ok(()),
        FoundMirror::Unreadable(why) => {
            return Err(StoreError::Hopeless(format!(
                "{} cannot be read ({why}): make the supervisor's user its owner with chown, or move it away",
                mirror.display()
            )));
        }
        FoundMirror::Empty => {
            tracing::warn!(path = %mirror.display(), "supervisor.db is empty; it is rebuilt from the store");
            remove_sides(mirror);
            return fs::remove_file(mirror)
                .map_err(|source| StoreError::File { path: mirror.to_owned(), source });
        }
        FoundMirror::Foreign => ("foreign", "it is not a database of this program".to_owned()),
        FoundMirror::Corrupt(why) => ("corrupt", format!("{MALFORMED} ({why})")),
    };
    let aside = set_aside(mirror, word)?;
    remove_sides(mirror);
    tracing::error!(aside = %aside.display(), "supervisor.db: {why}; it is set aside and rebuilt from the store");
    Ok(())
}

/// How many events of a store have a higher number.
pub fn newer_events(store: &Store, last: u64) -> Result<u64, StoreError> {
    let reader = store.read()?;
    let table = reader.txn().open_table(EVENTS)?;
    Ok(table.range(last + 1..)?.count() as u64)
}
