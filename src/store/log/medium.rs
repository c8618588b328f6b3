//! A segment's file: written at places, and synced. In tests it may lie on a disk that fails, or whose power is cut.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

/// Permissions of segments: they hold prompts and outputs, as the store does.
const GROUP_READS: u32 = 0o640;

/// The open file of a segment.
#[derive(Debug)]
pub struct Medium {
    file: File,
    #[cfg(any(test, feature = "faulty-disk"))]
    disk: Option<std::sync::Arc<crate::disk::Disk>>,
    #[cfg(test)]
    simulated: Option<crate::power::SimulatedDisk>,
}

impl Medium {
    /// Makes a new file with room for so many bytes. `store` is the path of the store that the log belongs to.
    ///
    /// The room is given by the file system and never written: zeros written through the page cache would make each
    /// small write of later cost a megabyte.
    pub fn make(store: &Path, path: &Path, bytes: u64) -> Result<Self> {
        let _ = store;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(GROUP_READS).open(path)?;
        let medium = Self {
            file,
            #[cfg(any(test, feature = "faulty-disk"))]
            disk: crate::disk::of(store),
            #[cfg(test)]
            simulated: crate::power::disk(store).map(|disk| disk.beside(path)),
        };
        medium.give_room(bytes)?;
        Ok(medium)
    }

    fn give_room(&self, bytes: u64) -> Result<()> {
        #[cfg(any(test, feature = "faulty-disk"))]
        if let Some(disk) = &self.disk {
            disk.room_for_log()?;
        }
        #[cfg(test)]
        if let Some(simulated) = &self.simulated {
            return redb::StorageBackend::set_len(simulated, bytes);
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            // There room cannot be promised.
            Err(rustix::io::Errno::OPNOTSUPP) => self.file.set_len(bytes),
            given => Ok(given?),
        }
    }

    /// Writes all of this at a place.
    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        // As on a file system that copies what is written over, and promises no room.
        #[cfg(any(test, feature = "faulty-disk"))]
        if let Some(disk) = &self.disk {
            disk.room_for_log()?;
        }
        #[cfg(test)]
        if let Some(simulated) = &self.simulated {
            return redb::StorageBackend::write(simulated, offset, bytes);
        }
        self.file.write_all_at(bytes, offset)
    }

    /// Returns when all that was written is on the disk.
    pub fn sync(&self) -> Result<()> {
        #[cfg(any(test, feature = "faulty-disk"))]
        if let Some(disk) = &self.disk {
            disk.sync()?;
        }
        #[cfg(test)]
        if let Some(simulated) = &self.simulated {
            return redb::StorageBackend::sync_data(simulated);
        }
        self.file.sync_data()
    }
}

/// All bytes of a segment.
pub fn read(store: &Path, path: &Path) -> Result<Vec<u8>> {
    let _ = store;
    #[cfg(test)]
    if let Some(disk) = crate::power::disk(store) {
        return disk.beside(path).content();
    }
    std::fs::read(path)
}

/// So many bytes of a segment from a place on.
pub fn read_at(store: &Path, path: &Path, offset: u64, bytes: usize) -> Result<Vec<u8>> {
    let _ = store;
    #[cfg(test)]
    if let Some(disk) = crate::power::disk(store) {
        let all = disk.beside(path).content()?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = all.get(from..from.saturating_add(bytes));
        return found.map(<[u8]>::to_vec).ok_or(Error::from(ErrorKind::UnexpectedEof));
    }
    let mut found = vec![0; bytes];
    File::open(path)?.read_exact_at(&mut found, offset)?;
    Ok(found)
}

/// True when a file of this name is no longer there, whoever removed it.
pub fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}
