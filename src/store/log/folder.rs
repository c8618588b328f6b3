//! The log in a folder beside the store: segments named by the position of their first record.
//!
//! A segment that was written by an earlier process, or whose sync failed, is never written to again: what its end says
//! is not certain. The next record begins a new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use super::look::{Found, Gap};
use super::look::{Look, Segment, State};
use super::medium::{self, Medium};
use super::segment::{self, HEAD, Head, Unreadable};
use super::{Log, NotAppended, See};
use crate::{StoreError, cache};
use hal_base::{file, id, sabotage};

/// Bytes of a segment: at full rate one is full after a second or two.
const SEGMENT: u64 = if cfg!(test) { LEAST } else { 16 * 1024 * 1024 };

/// Bytes of the log that are kept for a mirror that does not follow, as while an operator's shell holds it. One that is
/// further behind looks at every row again instead.
const KEPT: u64 = 512 * 1024 * 1024;

/// On a small disk that is this part of the whole.
const KEPT_PART: u64 = 16;

/// On a small disk a segment takes this part of the whole.
const PART: u64 = 256;

/// The least that a segment takes.
const LEAST: u64 = 64 * 1024;

/// Permissions of the folder, as those of the store's.
const FOLDER: u32 = 0o750;

/// A log in a folder.
#[derive(Debug)]
pub struct FolderLog {
    store: PathBuf,
    folder: PathBuf,
    store_id: String,
    state: Mutex<State>,
    /// Only the one who appends waits for this one.
    writer: Mutex<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    medium: Medium,
    offset: u64,
    room: u64,
    seed: u32,
}

/// Where the log of a store lies: beside the file itself, where an operator has put a link to it, since that is the disk
/// that was chosen for it.
pub fn folder_of(store: &Path) -> PathBuf {
    let led = fs::read_link(store).map(|to| store.parent().unwrap_or(Path::new(".")).join(to));
    led.as_deref().unwrap_or(store).with_added_extension("wal")
}

/// Whose log lies beside a store; `None` when there is none that says so.
pub fn owner(store: &Path) -> io::Result<Option<String>> {
    for (_, path) in files(&folder_of(store))? {
        if let Ok(head) = Head::read(&medium::read(store, &path)?) {
            return Ok(Some(head.store_id));
        }
    }
    Ok(None)
}

/// Moves the log of a store to beside where that was moved.
pub fn set_aside(store: &Path, aside: &Path) -> io::Result<()> {
    match fs::rename(folder_of(store), folder_of(aside)) {
        Err(error) if !medium::is_gone(&error) => Err(error),
        _ => file::sync_folder(store),
    }
}

/// Segments by the numbers in their names. A folder that cannot be read is not one that is not there.
fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let all = match fs::read_dir(folder) {
        Err(error) if medium::is_gone(&error) && fs::symlink_metadata(folder).is_err() => {
            return Ok(Vec::new());
        }
        all => all?,
    };
    let mut found = Vec::new();
    for entry in all {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

impl FolderLog {
    /// Opens the log of a store and looks at every record. What is another store's is moved out of the way.
    pub fn open(store: &Path, store_id: &str) -> Result<(Self, Found), StoreError> {
        let folder = folder_of(store);
        let mut look = Look::default();
        let all = files(&folder).map_err(|source| StoreError::File { path: folder.clone(), source })?;
        for (number, path) in all {
            cache::forget(&path);
            let failed = |source| StoreError::File { path: path.clone(), source };
            let bytes = medium::read(store, &path).map_err(failed)?;
            match Head::read(&bytes) {
                Ok(head) if head.store_id != store_id => {
                    let aside = file::set_aside(&folder, "foreign").map_err(failed)?;
                    tracing::warn!(aside = %aside.display(), "the log beside the store is another store's: it is set aside, and not played");
                    return Self::open(store, store_id);
                }
                Ok(head) => look.at(&head, path, &bytes),
                // Nothing was ever acknowledged out of it.
                Err(Unreadable::Unfinished) => fs::remove_file(&path).map_err(failed)?,
                Err(Unreadable::Newer(format)) => {
                    return Err(StoreError::Newer { path, found: format, known: segment::FORMAT });
                }
                Err(Unreadable::Damaged) => look.is_damaged(number, path, &bytes),
            }
        }
        let (state, found) = look.done(mirror_epoch(&folder));
        let log = Self {
            store: store.to_owned(),
            folder,
            store_id: store_id.to_owned(),
            state: Mutex::new(state),
            writer: Mutex::default(),
        };
        Ok((log, found))
    }

    /// Makes room for the record of a position before there is one, so that the log is there from now on.
    pub fn begin(&self, position: u64) -> io::Result<()> {
        let writer = self.begin_segment(position, 0)?;
        writer.medium.sync().inspect_err(|_| self.forget(position))?;
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        Ok(())
    }

    /// The position of the first record that the log has or will have; `None` while there is no log.
    pub fn begins_at(&self) -> Option<u64> {
        self.state().segments.first().map(|one| one.first)
    }

    /// Bytes that it may take on the disk for the sake of a mirror.
    pub fn most_bytes(&self) -> u64 {
        KEPT.min(disk_bytes(&self.folder) / KEPT_PART)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes beside the log how far the mirror is, so that one that was restored is known from one that is behind,
    /// even where the store is lost.
    pub fn note_mirror(&self, epoch: u64) -> io::Result<()> {
        if !self.folder.is_dir() {
            return Ok(());
        }
        // In place, and not synced: what matters is that it is there should the process die.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(self.folder.join(MIRROR))?;
        file.write_all(format!("{epoch:020}\n").as_bytes())
    }

    /// Removes all of it: the store has everything.
    pub fn clear(&self) -> io::Result<()> {
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.state() = State::default();
        match fs::remove_dir_all(&self.folder) {
            Err(error) if !medium::is_gone(&error) => Err(error),
            _ => file::sync_folder(&self.store),
        }
    }

    /// A new segment for this position, with room for a record of so many bytes.
    fn begin_segment(&self, position: u64, bytes: u64) -> io::Result<Writer> {
        if !self.folder.is_dir() {
            fs::create_dir(&self.folder)?;
            fs::set_permissions(&self.folder, std::os::unix::fs::PermissionsExt::from_mode(FOLDER))?;
            file::sync_folder(&self.folder)?;
        }
        let path = self.folder.join(format!("{position:020}"));
        let room = segment_bytes(&self.folder).max(HEAD as u64 + bytes);
        self.make_place(&path)?;
        let seed = crc32fast::hash(id::fresh_secret().as_bytes());
        let made = Medium::make(&self.store, &path, room).and_then(|medium| {
            let chain = self.state().chain;
            let head = Head { store_id: self.store_id.clone(), first: position, chain, seed };
            medium.write(&head.bytes(), 0)?;
            File::open(&self.folder)?.sync_all()?;
            Ok(Writer { medium, offset: HEAD as u64, room, seed })
        });
        let writer = made.inspect_err(|_| drop(fs::remove_file(&path)))?;
        let last = position - 1;
        self.state().segments.push(Segment { path, first: position, last, end: HEAD, bytes: room, seed });
        Ok(writer)
    }

    /// Removes a segment that an earlier attempt has left without a record: nothing in it was acknowledged.
    fn make_place(&self, path: &Path) -> io::Result<()> {
        match medium::read(&self.store, path) {
            Ok(bytes) if segment::at(&bytes, HEAD, segment::seed(&bytes)).is_some() => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a record of this position already",
            )),
            Ok(_) => {
                self.state().segments.retain(|one| one.path != path);
                match fs::remove_file(path) {
                    Err(error) if !medium::is_gone(&error) => Err(error),
                    _ => Ok(()),
                }
            }
            Err(error) if medium::is_gone(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn forget(&self, position: u64) {
        let mut state = self.state();
        let gone = state.segments.pop_if(|one| one.first == position && one.last < position);
        // It is found unfinished where it cannot be removed.
        gone.map(|one| fs::remove_file(one.path));
    }
}

/// The file that says how far the mirror is.
const MIRROR: &str = "mirror";

fn mirror_epoch(folder: &Path) -> u64 {
    let said = fs::read_to_string(folder.join(MIRROR)).ok();
    said.and_then(|said| said.trim().parse().ok()).unwrap_or(0)
}

fn segment_bytes(folder: &Path) -> u64 {
    (disk_bytes(folder) / PART).clamp(LEAST, SEGMENT)
}

fn disk_bytes(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize))
}

impl Log for FolderLog {
    fn append(&self, position: u64, body: &[u8]) -> Result<(), NotAppended> {
        let mut place = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let need = segment::room(body.len()) as u64;
        // Whatever fails from here on, this file is not written to again.
        let mut writer = match place.take() {
            Some(writer) if writer.offset + need <= writer.room => writer,
            _ => self.begin_segment(position, need).map_err(NotAppended::Refused)?,
        };
        let (bytes, sum) =
            segment::record(position, self.state().chain, writer.seed, body).map_err(NotAppended::Refused)?;
        // A part of a record is none.
        writer.medium.write(&bytes, writer.offset).map_err(NotAppended::Refused)?;
        if !sabotage::ACK_BEFORE_SYNC {
            writer.medium.sync().map_err(NotAppended::Unknown)?;
        }
        writer.offset += need;
        let mut state = self.state();
        state.chain = sum;
        if let Some(segment) = state.segments.last_mut() {
            segment.last = position;
            segment.end = usize::try_from(writer.offset).unwrap_or(usize::MAX);
        }
        *place = Some(writer);
        Ok(())
    }

    fn read(&self, from: u64, upto: u64, see: See<'_>) -> Result<(), StoreError> {
        let (segments, hint) = {
            let state = self.state();
            (state.segments.clone(), state.hint)
        };
        for one in segments.iter().filter(|one| one.last >= from && one.first <= upto) {
            let begin = match hint {
                Some((position, first, place)) if first == one.first && position < from => place,
                _ => HEAD,
            };
            let failed = |source| StoreError::File { path: one.path.clone(), source };
            let read = medium::read_at(&self.store, &one.path, begin as u64, one.end.saturating_sub(begin));
            let bytes = match read {
                // It was trimmed meanwhile: whoever reads finds that positions are missing.
                Err(error) if medium::is_gone(&error) => continue,
                read => read.map_err(failed)?,
            };
            let mut offset = 0;
            while offset < bytes.len() {
                let Some(record) = segment::at(&bytes, offset, one.seed) else {
                    match segment::next_after(&bytes, offset, one.seed) {
                        Some(next) => offset = next,
                        None => break,
                    }
                    continue;
                };
                if record.position > upto {
                    return Ok(());
                }
                offset = record.end;
                if record.position >= from {
                    if see(record.position, record.body)?.is_break() {
                        return Ok(());
                    }
                    self.state().hint = Some((record.position, one.first, begin + offset));
                }
            }
        }
        Ok(())
    }

    fn bounds(&self) -> Option<(u64, u64)> {
        let state = self.state();
        let filled = || state.segments.iter().filter(|one| one.last >= one.first);
        let last = filled().next_back()?.last;
        // What lies before a gap is of no use to whoever follows.
        let mut first = last + 1;
        for one in state.segments.iter().rev() {
            if one.last + 1 != first {
                break;
            }
            first = one.first;
        }
        Some((first.min(last), last))
    }

    fn bytes(&self) -> u64 {
        self.state().segments.iter().map(|one| one.bytes).sum()
    }

    fn trim(&self, below: u64) {
        let gone: Vec<Segment> = {
            let mut state = self.state();
            let last = state.segments.last().map(|one| one.first);
            let (gone, kept) = std::mem::take(&mut state.segments)
                .into_iter()
                .partition(|one| one.last < below && Some(one.first) != last);
            state.segments = kept;
            gone
        };
        for one in gone {
            if let Err(error) = fs::remove_file(&one.path) {
                tracing::warn!(path = %one.path.display(), %error, "a part of the log that is done with cannot be removed");
            }
        }
    }
}
