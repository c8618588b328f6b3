//! The start: which of the two files is the truth is decided by what they say, before either is opened for writing.

use std::fs;
use std::path::{Path, PathBuf};

use super::adopt::{self, adopt};
use super::classify::{self, Found, MALFORMED, check, immutable};
use super::file::{remove_sides, side};
use crate::base::cause::chain;
use crate::base::file;
use crate::store::StoreError;
use crate::store::hub::{Loaded, Store};
use crate::store::tables::{EVENTS, NAME};

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
    /// The store.
    pub store: Store,
    /// What it holds.
    pub loaded: Loaded,
    /// What the mirror's thread does first.
    pub first: First,
}

/// Opens the store at `store`, or makes it from the mirror where that is what an operator has asked for.
pub fn open(store: &Path, mirror: &Path) -> Result<Opened, StoreError> {
    let found = classify::look(mirror);
    if fs::metadata(store).map_or(0, |file| file.len()) == 0 {
        return without_store(store, mirror, found);
    }
    match Store::open(store) {
        Ok((open, loaded)) => with_store(open, loaded, mirror, found),
        Err(error) if is_damage(&error) => {
            tracing::error!(path = %store.display(), error = chain(&error), "the store is damaged");
            let Found::Mirror(_) = found else { return Err(hopeless(store, mirror, &error)) };
            let aside = set_aside(store, "corrupt")?;
            tracing::warn!(aside = %aside.display(), "the damaged store is set aside and made anew from supervisor.db");
            without_store(store, mirror, found)
        }
        Err(error) => Err(error),
    }
}

/// Moves a file out of the way.
pub fn set_aside(path: &Path, why: &str) -> Result<PathBuf, StoreError> {
    file::set_aside(path, why).map_err(|source| StoreError::File { path: path.to_owned(), source })
}

fn with_store(open: Store, loaded: Loaded, mirror: &Path, found: Found) -> Result<Opened, StoreError> {
    let path = open.path().to_owned();
    let standing = match found {
        Found::Mirror(standing) => standing,
        found => {
            make_way(mirror, &found)?;
            return Ok(Opened { store: open, loaded, first: First::Build });
        }
    };
    let (epoch, last_change, adopted) = {
        let reader = open.read()?;
        let names = reader.txn().open_table(NAME)?;
        let adopted = names.get("adopted")?.map(|bytes| bytes.value().to_vec());
        (reader.meta("mirror_epoch")?, reader.last_change()?, adopted)
    };
    if adopted.as_deref() == Some(adopt::identity(&standing).as_bytes()) {
        return Ok(Opened { store: open, loaded, first: First::Build });
    }
    let is_ours =
        standing.store_id == loaded.store_id && standing.epoch >= epoch && standing.change <= last_change;
    if is_ours {
        return Ok(Opened { store: open, loaded, first: First::Follow });
    }
    // Whatever lies beside it belongs to the file that was here before.
    remove_sides(mirror);
    if let Some(what) = immutable(mirror).map_or_else(|error| Some(error.to_string()), |file| check(&file)) {
        make_way(mirror, &Found::Corrupt(what))?;
        return Ok(Opened { store: open, loaded, first: First::Build });
    }
    let newer = newer_events(&open, standing.last.0.max(standing.event))?;
    drop(open);
    let fresh = side(&path, ".new");
    make_from(mirror, &standing, &fresh)?;
    let aside = set_aside(&path, "replaced")?;
    put_in_place(&fresh, &path)?;
    tracing::warn!(
        newer_events = newer,
        aside = %aside.display(),
        "supervisor.db was restored: the store is made anew from it; the store before is set aside"
    );
    let (store, loaded) = Store::open(&path)?;
    Ok(Opened { store, loaded, first: First::Build })
}

fn without_store(store: &Path, mirror: &Path, found: Found) -> Result<Opened, StoreError> {
    if let Found::Mirror(standing) = &found {
        let is_sound = immutable(mirror).map_or_else(|error| Some(error.to_string()), |file| check(&file));
        // Without a store this file is all there is, so what a power cut left in its log counts too.
        if let Some(what) = is_sound {
            return Err(StoreError::Hopeless(format!(
                "{}: {MALFORMED} ({what}), and there is no store {} to make it anew from; restore a backup: cp {}.backup {}",
                mirror.display(),
                store.display(),
                mirror.display(),
                mirror.display()
            )));
        }
        let fresh = side(store, ".new");
        let adopted = make_from(mirror, standing, &fresh)?;
        put_in_place(&fresh, store)?;
        remove_sides(mirror);
        tracing::warn!(events = adopted, "the store was missing and is made anew from supervisor.db");
    } else {
        make_way(mirror, &found)?;
    }
    let (store, loaded) = Store::open(store)?;
    Ok(Opened { store, loaded, first: First::Build })
}

pub fn make_from(mirror: &Path, standing: &super::apply::Standing, fresh: &Path) -> Result<u64, StoreError> {
    let _ = fs::remove_file(fresh);
    let adopted = adopt(&immutable(mirror)?, standing, fresh)?;
    if let (senseless, Some(first)) = &adopted.senseless {
        tracing::error!(rows = senseless, first, "rows of supervisor.db made no sense and were left out");
    }
    Ok(adopted.events)
}

fn put_in_place(fresh: &Path, path: &Path) -> Result<(), StoreError> {
    let placed = fs::rename(fresh, path).and_then(|()| file::sync_folder(path));
    placed.map_err(|source| StoreError::File { path: fresh.to_owned(), source })
}

/// Moves what is no mirror out of the way, and says so in words that operators look for.
pub fn make_way(mirror: &Path, found: &Found) -> Result<(), StoreError> {
    let (word, why) = match found {
        Found::Missing | Found::Mirror(_) => return Ok(()),
        Found::Unreadable(why) => {
            return Err(StoreError::Hopeless(format!(
                "{} cannot be read ({why}): give it to the supervisor's user with chown, or move it away",
                mirror.display()
            )));
        }
        Found::Empty => {
            tracing::warn!(path = %mirror.display(), "supervisor.db is empty; it is made anew from the store");
            remove_sides(mirror);
            return fs::remove_file(mirror)
                .map_err(|source| StoreError::File { path: mirror.to_owned(), source });
        }
        Found::Foreign => ("foreign", "it is not a database of this program".to_owned()),
        Found::Corrupt(why) => ("corrupt", format!("{MALFORMED} ({why})")),
    };
    let aside = set_aside(mirror, word)?;
    remove_sides(mirror);
    tracing::error!(aside = %aside.display(), "supervisor.db: {why}; it is set aside and made anew from the store");
    Ok(())
}

/// True when the file is damaged, rather than held by another process or forbidden.
fn is_damage(error: &StoreError) -> bool {
    match error {
        StoreError::Open { source, .. } | StoreError::Transaction(source) => match source {
            redb::Error::Corrupted(_) => true,
            redb::Error::Io(error) => {
                matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
            }
            _ => false,
        },
        StoreError::Damaged { .. } => true,
        _ => false,
    }
}

fn hopeless(store: &Path, mirror: &Path, error: &StoreError) -> StoreError {
    StoreError::Hopeless(format!(
        "the store {} is damaged ({}), and {} cannot take its place; restore a backup: cp {}.backup {}",
        store.display(),
        chain(error),
        mirror.display(),
        mirror.display(),
        mirror.display()
    ))
}

/// How many events of a store have a higher number.
pub fn newer_events(store: &Store, last: u64) -> Result<u64, StoreError> {
    let reader = store.read()?;
    let table = reader.txn().open_table(EVENTS)?;
    Ok(table.range(last + 1..)?.count() as u64)
}
