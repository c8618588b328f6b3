//! Ballast: a file beside the store that holds some of the disk, so that there is something to throw overboard when
//! the disk is full. A copy-on-write store needs room even to delete.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Bytes of ballast: a transaction or two, and what a retention run needs to begin.
const BYTES: u64 = 64 * 1024 * 1024;

/// On a small disk it takes this part of the whole.
const PART: u64 = 32;

/// Bytes that are written to see whether the disk works.
const PAGE: usize = 4096;

/// Permissions of the file.
const PRIVATE: u32 = 0o600;

/// What a disk has.
struct Disk {
    /// Bytes that are free.
    free: u64,
    /// Bytes of ballast that suit it.
    ballast: u64,
}

/// The ballast of one store.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Of the store at this path.
    pub fn of(store: &Path) -> Self {
        let mut name = store.as_os_str().to_owned();
        name.push(".ballast");
        Self { path: name.into() }
    }

    /// Where it lies. Its being there shows that there was a store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that it is there; the disk must have room for it twice, so that work does not begin for a moment
    /// only. True when it is.
    pub fn keep(&self) -> bool {
        if self.path.metadata().is_ok_and(|file| file.len() > 0) {
            return true;
        }
        // One that was being made when the process died holds nothing.
        self.release();
        let Some(Disk { free, ballast }) = self.disk() else { return false };
        let made = free >= 2 * ballast && self.make(ballast).is_ok();
        if !made {
            self.release();
        }
        made
    }

    /// Throws it overboard. True when there was any.
    pub fn release(&self) -> bool {
        std::fs::remove_file(&self.path).is_ok()
    }

    /// True when there is room for opening the store and writing a little, as after a release, and the disk takes it.
    pub fn disk_works(&self) -> bool {
        let has_room = self.disk().is_none_or(|disk| disk.free >= disk.ballast / 4);
        has_room && self.probe().is_ok()
    }

    /// Writes and syncs a little beside the store. A store that is closed for a disk that does not work cannot even be
    /// read.
    fn probe(&self) -> io::Result<()> {
        let path = self.path.with_extension("probe");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(&path)?;
        file.write_all(&[0; PAGE])?;
        file.sync_data()?;
        std::fs::remove_file(&path)
    }

    /// `None` when the disk cannot be asked.
    fn disk(&self) -> Option<Disk> {
        let disk = statvfs(self.path.parent()?).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Some(Disk { free: bytes(disk.f_bavail), ballast: BYTES.min(bytes(disk.f_blocks) / PART) })
    }

    fn make(&self, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP) => fill(file, bytes),
            allocated => Ok(allocated?),
        }
    }
}

/// For file systems that cannot promise room.
fn fill(mut file: File, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file)?;
    file.sync_all()
}

/// True when the system said that there is no room.
pub fn is_full(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if is_no_room(error))
}

/// The same of an error of the system.
pub fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let ballast = Ballast::of(&folder.path().join("s.redb"));
        assert!(ballast.keep() && ballast.keep() && ballast.disk_works());
        let size = folder.path().join("s.redb.ballast").metadata().unwrap().len();
        assert_eq!(size, ballast.disk().unwrap().ballast);
        assert!(ballast.release() && !ballast.release());
    }
}
