//! The record: what a process has said and no hal-agent has acknowledged yet.
//!
//! The newest part is in memory; beyond [`MEMORY_MAX`] the oldest goes into files of the holder's folder, which are not
//! synced: they are to outlive hal-agent, not the machine. All together is bounded: a process that says more waits.
//! A disk that is full makes it wait, too, and nothing is lost.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::wire::Channel;

/// Bytes of the record.
pub const RECORD_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of it in memory.
const MEMORY_MAX: u64 = 128 * 1024;

/// Bytes of a file of it: what is acknowledged goes by whole files.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Bytes before each part: the channel and the length.
const HEAD: usize = 5;

/// Permissions of its files.
const PRIVATE: u32 = 0o600;

/// A part of the record, and the offset after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The offset after it.
    pub next: u64,
    /// Who has said it.
    pub channel: Channel,
    /// What.
    pub bytes: Vec<u8>,
}

impl Part {
    fn size(&self) -> u64 {
        (HEAD + self.bytes.len()) as u64
    }
}

/// The record.
#[derive(Debug)]
pub struct Record {
    folder: PathBuf,
    /// Where it begins: what lies before was acknowledged.
    first: u64,
    /// Where it ends.
    end: u64,
    /// The files, by the offset at which each begins, oldest first; together they reach to where memory begins.
    files: VecDeque<Piece>,
    memory: VecDeque<Part>,
    in_memory: u64,
}

#[derive(Debug)]
struct Piece {
    begin: u64,
    end: u64,
    path: PathBuf,
}

impl Record {
    /// An empty one.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            first: 0,
            end: 0,
            files: VecDeque::new(),
            memory: VecDeque::new(),
            in_memory: 0,
        }
    }

    /// Where it begins.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether more may be said now. False: it is full, or the disk is, until something is acknowledged.
    pub fn has_room(&mut self) -> bool {
        if self.in_memory > MEMORY_MAX && self.spill().is_err() {
            return false;
        }
        self.end - self.first < RECORD_MAX
    }

    /// Puts something at its end.
    pub fn push(&mut self, channel: Channel, bytes: Vec<u8>) {
        let mut part = Part { next: 0, channel, bytes };
        self.end += part.size();
        part.next = self.end;
        self.in_memory += part.size();
        self.memory.push_back(part);
    }

    /// What was said up to here is not needed any more.
    pub fn acknowledge(&mut self, upto: u64) {
        self.first = self.first.max(upto.min(self.end));
        while self.files.front().is_some_and(|piece| piece.end <= self.first) {
            if let Some(piece) = self.files.pop_front() {
                // One that stays goes with the folder.
                let _ = fs::remove_file(piece.path);
            }
        }
        while self.memory.front().is_some_and(|part| part.next <= self.first) {
            if let Some(part) = self.memory.pop_front() {
                self.in_memory -= part.size();
            }
        }
    }

    /// The part that begins at an offset; `None`: there is none yet. An offset that was acknowledged counts as the first.
    pub fn at(&self, offset: u64) -> io::Result<Option<Part>> {
        let offset = offset.max(self.first);
        if let Some(piece) = self.files.iter().find(|piece| (piece.begin..piece.end).contains(&offset)) {
            return piece.read(offset).map(Some);
        }
        // The parts are in order, so that the first one that ends behind the offset is the one.
        let at = self.memory.partition_point(|part| part.next <= offset);
        Ok(self.memory.get(at).cloned())
    }

    /// Gives up what is in files: one of them cannot be read.
    pub fn give_up_files(&mut self) {
        self.acknowledge(self.end - self.in_memory);
    }

    /// Writes all of it that is in memory, but for the last part, into a file.
    fn spill(&mut self) -> io::Result<()> {
        let begin = self.end - self.in_memory;
        let is_new = self.files.back().is_none_or(|last| last.end - last.begin >= FILE_MAX);
        let mut file = if is_new {
            let path = self.folder.join(format!("record.{begin}"));
            let file = OpenOptions::new().read(true).append(true).create(true).mode(PRIVATE).open(&path)?;
            self.files.push_back(Piece { begin, end: begin, path });
            file
        } else {
            let last = self.files.back().ok_or(io::ErrorKind::NotFound)?;
            let file = OpenOptions::new().append(true).open(&last.path)?;
            file.set_len(last.end - last.begin)?;
            file
        };
        let Some(last) = self.files.back_mut() else { return Ok(()) };
        while let Some(part) = self.memory.front() {
            let mut bytes = Vec::with_capacity(HEAD + part.bytes.len());
            bytes.push(part.channel.byte());
            bytes.extend_from_slice(&(part.bytes.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&part.bytes);
            if let Err(error) = file.write_all(&bytes) {
                // Half of it may be there, and what follows could not be read.
                file.set_len(last.end - last.begin)?;
                return Err(error);
            }
            last.end += part.size();
            self.in_memory -= part.size();
            self.memory.pop_front();
        }
        Ok(())
    }
}

impl Piece {
    fn read(&self, offset: u64) -> io::Result<Part> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(offset - self.begin))?;
        let mut head = [0; HEAD];
        file.read_exact(&mut head)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the record is damaged");
        let channel = Channel::of(head[0]).ok_or_else(damaged)?;
        let length = u64::from(u32::from_be_bytes([head[1], head[2], head[3], head[4]]));
        let next = offset + HEAD as u64 + length;
        if next > self.end {
            return Err(damaged());
        }
        let mut bytes = vec![0; (next - offset) as usize - HEAD];
        file.read_exact(&mut bytes)?;
        Ok(Part { next, channel, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(record: &Record) -> Vec<u8> {
        let (mut out, mut at) = (Vec::new(), record.first());
        while let Some(part) = record.at(at).unwrap() {
            out.extend_from_slice(&part.bytes);
            at = part.next;
        }
        assert_eq!(at, record.end());
        out
    }

    #[test]
    fn what_is_not_acknowledged_is_there_in_its_order_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::new(folder.path());
        let (mut said, mut nexts) = (Vec::new(), Vec::new());
        for number in 0..1_000_u32 {
            assert!(record.has_room());
            let bytes = vec![number as u8; 10_000 + number as usize];
            said.extend_from_slice(&bytes);
            record.push(Channel::Output, bytes);
            nexts.push((record.end(), said.len()));
        }
        let files = || fs::read_dir(folder.path()).unwrap().count();
        assert!(files() >= 2, "it does not all fit into memory");
        assert!(all(&record) == said);
        for (next, length) in nexts {
            record.acknowledge(next);
            if length % 7 == 0 {
                assert!(all(&record) == said[length..]);
            }
        }
        assert!(all(&record).is_empty() && files() == 0);
        record.acknowledge(u64::MAX);
        record.push(Channel::Error, b"on".to_vec());
        assert_eq!(all(&record), b"on");
        assert_eq!(record.at(0).unwrap().unwrap().channel, Channel::Error);
    }

    #[test]
    fn a_file_that_is_damaged_costs_no_more_than_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::new(folder.path());
        while fs::read_dir(folder.path()).unwrap().next().is_none() {
            record.push(Channel::Output, vec![7; 50_000]);
            assert!(record.has_room());
        }
        record.push(Channel::Output, b"after it".to_vec());
        for file in fs::read_dir(folder.path()).unwrap() {
            fs::write(file.unwrap().path(), "garbage").unwrap();
        }
        assert!(record.at(0).is_err());
        record.give_up_files();
        assert_eq!(all(&record), b"after it");
    }

    #[test]
    fn it_is_bounded_and_has_room_again_when_something_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::new(folder.path());
        let mut pushed = 0_u64;
        while record.has_room() {
            record.push(Channel::Output, vec![0; 1 << 20]);
            pushed += 1;
        }
        assert_eq!(pushed, RECORD_MAX >> 20);
        let second = record.at(0).unwrap().unwrap().next;
        record.acknowledge(second);
        assert!(record.has_room());
    }

    #[test]
    fn a_disk_that_takes_nothing_is_waited_for_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let mut record = Record::new(&missing);
        let mut count = 0;
        while record.has_room() {
            record.push(Channel::Output, vec![1; 50_000]);
            count += 1;
        }
        assert!(count < 10 && all(&record).len() == count * 50_000);
        fs::create_dir(&missing).unwrap();
        assert!(record.has_room());
        assert_eq!(all(&record).len(), count * 50_000);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::read_dir(&missing).unwrap().next().unwrap().unwrap().metadata().unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, PRIVATE);
    }
}
