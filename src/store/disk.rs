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

    /// So many syncs succeed, the next one fails, and all later ones succeed.
    pub fn fail_sync_after(&self, syncs: i64) {
        self.syncs_left.store(syncs, Ordering::SeqCst);
    }

    /// What has its place already can still be written over, as the file's head; the rest is not there yet.
    fn room_at(&self, offset: u64) -> Result<()> {
        match offset >= HEAD && self.is_full.load(Ordering::SeqCst) {
            true => Err(Error::from(ErrorKind::StorageFull)),
            false => Ok(()),
        }
    }
}

/// The file at a path, when it lies on such a disk.
pub fn file(path: &Path) -> Option<impl StorageBackend> {
    let disk = DISKS.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(path)?.clone();
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
        if self.disk.syncs_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(Error::other("the disk did not answer"));
        }
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
