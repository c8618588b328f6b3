//! What is done to the two files while no supervisor runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::MirrorHost;
use super::backup::{newest, verify};
use super::build::build;
use super::classify::immutable;
use super::file::{remove_sides, side};
use super::salvage::differences;
use super::start::{Rest, draft, set_aside};
use crate::change::RowKind;
use crate::hub::{self, Loaded, Store, put_in_place};
use crate::log::folder::folder_of;
use crate::{StoreError, suspect};
use hal_base::cause::chain;
use hal_base::file;
use hal_base::progress::Progress;

/// Events read in one look at the store.
const SLICE: u64 = 5_000;

/// The store and its mirror, with nobody else using them.
#[derive(Debug)]
pub struct Files {
    /// `supervisor.redb`.
    pub store: PathBuf,
    /// `supervisor.db`.
    pub mirror: PathBuf,
    /// How far the work is that is being done.
    pub progress: Progress,
}

/// What a check has found.
#[derive(Debug, Default)]
pub struct Checked {
    /// What was found, a sentence for each file.
    pub found: Vec<String>,
    /// What is wrong, a sentence each; empty: nothing.
    pub problems: Vec<String>,
}

impl Files {
    /// Opens the store. `Err(InUse)` while a supervisor runs; the inner error is what is wrong with the file.
    fn open(&self, check: bool) -> Result<Result<(Store, Loaded), StoreError>, StoreError> {
        if !self.store.exists() {
            return Ok(Err(StoreError::Refused(format!("{} is not there", self.store.display()))));
        }
        match if check { Store::open_checked(&self.store) } else { Store::open(&self.store) } {
            Err(StoreError::Open { source: redb::Error::DatabaseAlreadyOpen, .. }) => {
                Err(StoreError::InUse(self.store.clone()))
            }
            opened => Ok(opened),
        }
    }

    /// Opens the store, for whoever works on it alone.
    pub fn take(&self) -> Result<(Store, Loaded), StoreError> {
        self.open(false)?
    }

    /// Fails while a supervisor runs.
    pub fn must_be_free(&self) -> Result<(), StoreError> {
        self.open(false).map(drop)
    }

    /// Gives what was made by root to the supervisor's user.
    pub fn give_to_owner(&self) -> Result<(), StoreError> {
        let folder = self.store.parent().unwrap_or(Path::new("."));
        let name = self.store.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let log = folder_of(&self.store);
        let given = file::give_to_owner(folder, &name)
            .and_then(|()| if log.is_dir() { file::give_to_owner_of(folder, &log) } else { Ok(()) });
        given.map_err(|source| StoreError::File { path: folder.to_owned(), source })
    }

    /// Looks at every page and every row of both, and whether they say the same.
    pub fn check(&self) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        let store = match self.open(true)? {
            Ok((store, loaded)) => match every_row(&store, &self.progress) {
                Ok(rows) => {
                    checked.found.push(format!("{}: {rows} rows, all whole", self.store.display()));
                    let unreadable = loaded.state.iter().filter_map(|(name, kept)| {
                        let why = &kept.value.as_ref().err()?.why;
                        Some(format!("the row {name:?} of the table state cannot be read: {why}"))
                    });
                    checked.problems.extend(unreadable);
                    Some((store, loaded))
                }
                Err(error) => {
                    suspect::suspect(&self.store);
                    checked.problems.push(format!("{}: {}", self.store.display(), chain(&error)));
                    None
                }
            },
            Err(error) => {
                // The next start looks at every page as we did, and mends what it can.
                suspect::suspect(&self.store);
                checked.problems.push(chain(&error));
                None
            }
        };
        match verify(&self.mirror) {
            Err(error) => checked.problems.push(chain(&error)),
            Ok(standing) => {
                checked.found.push(format!("{}: {} rows, all whole", self.mirror.display(), standing.rows()));
                if let Some((store, loaded)) = store {
                    if standing.store_id != loaded.store_id {
                        checked.problems.push(
                            "supervisor.db is of another store: the next start treats it as a restored copy"
                                .into(),
                        );
                    } else {
                        match differences(&immutable(&self.mirror)?, &store, &standing)? {
                            0 => checked.found.push("both agree".into()),
                            rows => checked.problems.push(format!("{rows} rows of supervisor.db differ from the store's: the next start takes them over")),
                        }
                    }
                }
            }
        }
        Ok(checked)
    }

    /// Makes the store anew from a copy of a mirror, and the mirror from that. What was there is set aside; gives how
    /// many events there are, and what was set aside.
    pub fn import(&self, from: &Path, host: &dyn MirrorHost) -> Result<(u64, Vec<PathBuf>), StoreError> {
        let standing = verify(from)?;
        if let Ok((store, _)) = self.open(false)? {
            store.leave()?;
        }
        let (fresh, events) = draft(&self.store, from, &standing, Rest::Leave, &self.progress)?;
        let mut aside = Vec::new();
        if self.store.exists() {
            aside.push(hub::set_aside(&self.store, "replaced")?);
        }
        put_in_place(&fresh, &self.store)?;
        aside.extend(self.rebuild_mirror(host)?);
        Ok((events, aside))
    }

    /// Makes the mirror anew from the store; gives where the one before is.
    pub fn rebuild_mirror(&self, host: &dyn MirrorHost) -> Result<Option<PathBuf>, StoreError> {
        let (store, loaded) = self.open(false)??;
        let aside = if self.mirror.exists() { Some(set_aside(&self.mirror, "replaced")?) } else { None };
        build(&store, &loaded.store_id, &self.mirror, host, &AtomicBool::new(false), &self.progress, || ())?;
        Ok(aside)
    }

    /// Writes a new mirror of the store to a file of its own; gives its rows.
    pub fn export(&self, to: &Path, host: &dyn MirrorHost) -> Result<u64, StoreError> {
        let (store, loaded) = self.open(false)??;
        if to.exists() {
            return Err(StoreError::Refused(format!("{} is there already", to.display())));
        }
        Ok(build(&store, &loaded.store_id, to, host, &AtomicBool::new(false), &self.progress, || ())?.rows())
    }

    /// The backup that is restored when none is named.
    pub fn newest_backup(&self) -> Result<PathBuf, StoreError> {
        let none = || StoreError::Refused(format!("there is no backup of {}", self.mirror.display()));
        newest(&self.mirror).ok_or_else(none)
    }

    /// Puts a backup in place of the mirror, whole or not at all; gives where the one before is.
    pub fn restore(&self, from: &Path) -> Result<Option<PathBuf>, StoreError> {
        self.must_be_free()?;
        verify(from)?;
        let fresh = side(&self.mirror, ".new");
        let failed = |source| StoreError::File { path: fresh.clone(), source };
        fs::copy(from, &fresh).and_then(|_| File::open(&fresh)?.sync_all()).map_err(failed)?;
        let aside = if self.mirror.exists() { Some(set_aside(&self.mirror, "replaced")?) } else { None };
        remove_sides(&self.mirror);
        fs::rename(&fresh, &self.mirror).and_then(|()| file::sync_folder(&self.mirror)).map_err(failed)?;
        Ok(aside)
    }

    /// Gives the room of deleted rows back to the disk.
    pub fn compact(&self) -> Result<(), StoreError> {
        let (store, _) = self.open(false)??;
        store.compact()
    }
}

/// Reads every row; gives how many there are.
fn every_row(store: &Store, progress: &Progress) -> Result<u64, StoreError> {
    let keys = store.read()?.row_keys()?;
    let mut rows = keys.len() as u64;
    let bounds = store.read()?.event_bounds()?;
    progress.expect(rows + bounds.map_or(0, |(first, last)| last - first + 1));
    for (kind, key) in &keys {
        progress.add(1);
        let reader = store.read()?;
        match kind {
            RowKind::Node => drop(reader.node_record(key)?),
            RowKind::Session => drop(reader.session_record(key)?),
            RowKind::Key => drop(reader.key_record(key)?),
            RowKind::Gone => drop(reader.gone_row(key)?),
            kind => drop(reader.plain_row(*kind, key)?),
        }
    }
    let Some((first, last)) = bounds else { return Ok(rows) };
    for from in (first..=last).step_by(SLICE as usize) {
        store.read()?.event_rows(from, last.min(from + SLICE - 1), |_, _| {
            rows += 1;
            Ok(())
        })?;
        progress.add(SLICE.min(last - from + 1));
    }
    Ok(rows)
}
