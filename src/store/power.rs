//! A disk in memory for tests, whose power can be cut: what was synced stays, of the rest anything may.
//!
//! A write that was not synced may be there, be missing, or be there in part: a disk keeps whole sectors only, and
//! in no order. So each sector of each unsynced write is kept or lost by a throw of the dice.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::dice::Dice;

/// Stores whose file lies on such a disk.
static DISKS: Mutex<Option<HashMap<PathBuf, SimulatedDisk>>> = Mutex::new(None);

/// What a disk writes in one piece.
const SECTOR: usize = 512;

/// One file of a disk. Clones share it; the files of a disk share its power.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    disk: Arc<Mutex<Disk>>,
    /// Which file.
    name: PathBuf,
}

#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    /// What the program sees: the synced bytes and all writes since.
    seen: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Default)]
struct Disk {
    files: HashMap<PathBuf, Content>,
    /// Writes and syncs until the power is cut; `None`: it is not.
    left: Option<u64>,
    /// It is cut in a sync only, where everything is written and nothing is promised.
    waits_for_sync: bool,
    is_off: bool,
    /// Writes and syncs so far.
    work: u64,
}

#[derive(Debug)]
enum Change {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

impl SimulatedDisk {
    /// Puts the store that will be opened at this path on an empty disk.
    pub fn under(path: &Path) -> Self {
        let disk = Self::default();
        let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        disks.get_or_insert_default().insert(path.to_owned(), disk.clone());
        disk
    }

    /// Another file on this disk.
    pub fn beside(&self, name: &Path) -> Self {
        Self { disk: self.disk.clone(), name: name.to_owned() }
    }

    /// All bytes of the file, as the program sees them.
    pub fn content(&self) -> Result<Vec<u8>> {
        let mut disk = self.working()?;
        Ok(disk.files.entry(self.name.clone()).or_default().seen.clone())
    }

    /// After so many writes and syncs there is no power any more; half the time it lasts until the next sync.
    pub fn cut_after(&self, work: u64, dice: &mut Dice) {
        let mut disk = self.disk();
        disk.left = Some(work);
        disk.waits_for_sync = dice.below(2) == 0;
    }

    /// There is power from now on.
    pub fn stay(&self) {
        self.disk().left = None;
    }

    /// Writes and syncs so far.
    pub fn work(&self) -> u64 {
        self.disk().work
    }

    /// True when the cut has come.
    pub fn is_off(&self) -> bool {
        self.disk().is_off
    }

    /// The power is back. Gives how many unsynced writes were lost, at least in part.
    pub fn on(&self, dice: &mut Dice) -> usize {
        let mut disk = self.disk();
        let mut lost = 0;
        let mut files = HashMap::new();
        let mut names: Vec<PathBuf> = disk.files.keys().cloned().collect();
        names.sort();
        for name in names {
            let Content { synced: mut bytes, unsynced, .. } = disk.files.remove(&name).unwrap_or_default();
            // The disk may just have written all of it, or none.
            let all = [Some(true), Some(false), None, None][usize::try_from(dice.below(4)).unwrap_or(0)];
            for change in unsynced {
                lost += usize::from(!change.settle(&mut bytes, all, dice));
            }
            files.insert(name, Content { seen: bytes.clone(), synced: bytes, unsynced: Vec::new() });
        }
        *disk = Disk { files, work: disk.work, ..Disk::default() };
        lost
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk while it has power.
    fn working(&self) -> Result<MutexGuard<'_, Disk>> {
        let disk = self.disk();
        if disk.is_off { Err(Error::other("there is no power")) } else { Ok(disk) }
    }

    /// One piece of work; the one after the last fails, and all later ones do.
    fn worked(&self, is_sync: bool) -> Result<MutexGuard<'_, Disk>> {
        let mut disk = self.working()?;
        disk.work += 1;
        match disk.left {
            Some(0) if is_sync || !disk.waits_for_sync => {
                disk.is_off = true;
                Err(Error::other("the power was cut"))
            }
            Some(left) => {
                disk.left = Some(left.saturating_sub(1));
                Ok(disk)
            }
            None => Ok(disk),
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Bytes(offset, data) => {
                bytes.resize(bytes.len().max(offset + data.len()), 0);
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }
        }
    }

    /// What a cut leaves of it. True when that is all.
    fn settle(self, bytes: &mut Vec<u8>, all: Option<bool>, dice: &mut Dice) -> bool {
        // All of it, nothing of it, or each sector as it comes.
        let whole = all.or([Some(true), Some(false), None][usize::try_from(dice.below(3)).unwrap_or(0)]);
        let Self::Bytes(offset, data) = self else {
            let is_kept = whole.unwrap_or(true);
            if is_kept {
                self.apply(bytes);
            }
            return is_kept;
        };
        let mut is_whole = true;
        let mut at = 0;
        while at < data.len() {
            let end = (at + SECTOR - (offset + at) % SECTOR).min(data.len());
            let is_kept = whole.unwrap_or_else(|| dice.below(2) == 0);
            if is_kept {
                Self::Bytes(offset + at, data[at..end].to_vec()).apply(bytes);
            }
            is_whole &= is_kept;
            at = end;
        }
        is_whole
    }
}

/// The disk at a path, when there is one.
pub fn disk(path: &Path) -> Option<SimulatedDisk> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(path).cloned()
}

impl StorageBackend for SimulatedDisk {
    fn len(&self) -> Result<u64> {
        Ok(self.content()?.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let mut disk = self.working()?;
        let offset = place(offset);
        let content = disk.files.entry(self.name.clone()).or_default();
        let found = content.seen.get(offset..offset + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.worked(false)?.change(&self.name, Change::Length(place(len)));
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        let mut disk = self.worked(true)?;
        let Content { synced, unsynced, .. } = disk.files.entry(self.name.clone()).or_default();
        for change in unsynced.drain(..) {
            change.apply(synced);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.worked(false)?.change(&self.name, Change::Bytes(place(offset), data.to_vec()));
        Ok(())
    }
}

impl Disk {
    fn change(&mut self, name: &Path, change: Change) {
        let content = self.files.entry(name.to_owned()).or_default();
        change.apply(&mut content.seen);
        content.unsynced.push(change);
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a disk in memory is small")
}
