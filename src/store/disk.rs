//! A disk for tests: a true file whose writes and syncs can be made to fail.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;
use redb::backends::FileBackend;

/// Stores whose file lies on such a disk.
static DISKS: Mutex<Option<HashMap<PathBuf, Arc<Disk>>>> = Mutex::new(None);

/// Bytes at the beginning of a file that a full disk can still take.
const HEAD: u64 = 4096;

/// What of it fails.
#[derive(Debug, Default)]
pub struct Disk {
    is_full: AtomicBool,
    /// The log has room when it is full: it was given before.
    has_log_room: AtomicBool,
    /// Syncs until the one that fails; below zero: none does.
    syncs_left: AtomicI64,
}

impl Disk {
    /// Puts the store that will be opened at this path on a disk that works, so far.
    pub fn under(path: &Path) -> Arc<Self> {
        let disk = Arc::new(Self { syncs_left: AtomicI64::new(-1), ..Self::default() });
        let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        disks.get_or_insert_default().insert(path.to_owned(), disk.clone());
        disk
    }

    /// From now on there is no room, or there is again.
    pub fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    /// The log has had its room before, so that only what redb writes fails.
    pub fn fill_but_for_the_log(&self) {
        self.has_log_room.store(true, Ordering::SeqCst);
        self.fill(true);
    }

    pub(super) fn room_for_log(&self) -> Result<()> {
        if self.has_log_room.load(Ordering::SeqCst) { Ok(()) } else { self.room_at(u64::MAX) }
    }

    /// So many syncs succeed, the next one fails, and all later ones succeed.
    pub fn fail_sync_after(&self, syncs: i64) {
        self.syncs_left.store(syncs, Ordering::SeqCst);
    }

    /// One sync.
    pub(super) fn sync(&self) -> Result<()> {
        match self.syncs_left.fetch_sub(1, Ordering::SeqCst) {
            0 => Err(Error::other("the disk did not answer")),
            _ => Ok(()),
        }
    }

    /// What has its place already can still be written over, as the file's head; the rest is not there yet.
    fn room_at(&self, offset: u64) -> Result<()> {
        match offset >= HEAD && self.is_full.load(Ordering::SeqCst) {
            true => Err(Error::from(ErrorKind::StorageFull)),
            false => Ok(()),
        }
    }
}

/// The disk under a store, when it is such a one.
pub(super) fn of(path: &Path) -> Option<Arc<Disk>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(path).cloned()
}

/// The file at a path, when it lies on such a disk.
pub fn file(path: &Path) -> Option<impl StorageBackend> {
    let disk = of(path)?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    Some(Faulty { file: plain(file.expect("the test's folder is writable")), disk })
}

fn plain(file: File) -> FileBackend {
    FileBackend::new(file).expect("nobody else has it open")
}

#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    disk: Arc<Disk>,
}

impl StorageBackend for Faulty {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.disk.room_at(len)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> Result<()> {
        self.disk.sync()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.disk.room_at(offset)?;
        self.file.write(offset, data)
    }

    fn close(&self) -> Result<()> {
        self.file.close()
    }
}
