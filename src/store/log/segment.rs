//! A segment: one file of the log. A head, then records one behind the other, each at a multiple of eight bytes.
//!
//! ```text
//!   head    magic 8 | format 4 | checksum 4 | store's name 32 | first position 8 | chain 4 | seed 4
//!   record  magic 4 | length 4 | position 8 | chain 4 | checksum 4 | body | zeros up to a multiple of eight
//! ```
//!
//! The seed is a throw of the dice, and each record's checksum begins with it: nobody can write a text that is taken for a
//! record, where a damaged one is looked behind. A record's chain is the checksum of the one before it, and its own checksum covers that: a record of another log, or
//! one behind a gap, does not fit. Behind the last record there are zeros, since the file was given its room before.

use std::io;

/// Bytes of a segment's head.
pub const HEAD: usize = 64;

/// Bytes before a record's body.
pub const RECORD_HEAD: usize = 24;

/// Bytes of a store's name.
pub const NAME: usize = 32;

const SEGMENT_MAGIC: &[u8; 8] = b"HALOLOG\0";

const RECORD_MAGIC: &[u8; 4] = b"HREC";

/// The shape of segments and records.
pub const FORMAT: u32 = 1;

/// Records begin at multiples of this.
const ALIGN: usize = 8;

/// What the head of a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose log it is.
    pub store_id: String,
    /// The position of its first record.
    pub first: u64,
    /// The checksum of the record before that; 0 for the very first.
    pub chain: u32,
    /// What the checksums of its records begin with.
    pub seed: u32,
}

/// Why a segment cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It was being made when the machine stopped: there is no head, and so no record.
    Unfinished,
    /// It was written by a newer program, in this format.
    Newer(u32),
    /// Its head is damaged.
    Damaged,
}

impl Head {
    /// Its bytes.
    pub fn bytes(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let name = self.store_id.as_bytes();
        let length = name.len().min(NAME);
        bytes[16..16 + length].copy_from_slice(&name[..length]);
        bytes[48..56].copy_from_slice(&self.first.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.chain.to_le_bytes());
        bytes[60..64].copy_from_slice(&self.seed.to_le_bytes());
        let sum = head_sum(&bytes);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the head of a segment.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        if is_blank(bytes, 0) {
            return Err(Unreadable::Unfinished);
        }
        let Some(bytes) = bytes.first_chunk::<HEAD>() else { return Err(Unreadable::Damaged) };
        if &bytes[..8] != SEGMENT_MAGIC || head_sum(bytes) != number(bytes, 12) {
            return Err(Unreadable::Damaged);
        }
        let format = number(bytes, 8);
        if format != FORMAT {
            return Err(Unreadable::Newer(format));
        }
        let name = String::from_utf8_lossy(&bytes[16..48]).trim_end_matches('\0').to_owned();
        Ok(Self { store_id: name, first: long(bytes, 48), chain: number(bytes, 56), seed: seed(bytes) })
    }
}

pub fn head_sum(bytes: &[u8; HEAD]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes[..12]);
    sum.update(&bytes[16..]);
    sum.finalize()
}

/// The seed in a segment's bytes, whatever else of its head is damaged.
pub fn seed(bytes: &[u8]) -> u32 {
    number(bytes, 60)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Bytes that a record with such a body takes.
pub fn room(body: usize) -> usize {
    (RECORD_HEAD + body).next_multiple_of(ALIGN)
}

/// A record's bytes and its checksum, which the next one is chained to.
pub fn record(position: u64, chain: u32, seed: u32, body: &[u8]) -> io::Result<(Vec<u8>, u32)> {
    let length = u32::try_from(body.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a record of 4 GiB and more"))?;
    let mut bytes = Vec::with_capacity(room(body.len()));
    bytes.extend_from_slice(RECORD_MAGIC);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&position.to_le_bytes());
    bytes.extend_from_slice(&chain.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(body);
    let sum = record_sum(seed, &bytes, body);
    bytes[20..24].copy_from_slice(&sum.to_le_bytes());
    bytes.resize(room(body.len()), 0);
    Ok((bytes, sum))
}

fn record_sum(seed: u32, head: &[u8], body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new_with_initial(seed);
    sum.update(&head[..20]);
    sum.update(body);
    sum.finalize()
}

/// A record that is whole.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// Its position.
    pub position: u64,
    /// The checksum of the one before it.
    pub chain: u32,
    /// Its own.
    pub sum: u32,
    /// What it says.
    pub body: &'a [u8],
    /// Where the next one begins.
    pub end: usize,
}

/// The record that begins here, if a whole one does.
pub fn at(bytes: &[u8], offset: usize, seed: u32) -> Option<Whole<'_>> {
    let head = bytes.get(offset..offset.checked_add(RECORD_HEAD)?)?;
    if &head[..4] != RECORD_MAGIC {
        return None;
    }
    let length = number(head, 4) as usize;
    let body = bytes.get(offset + RECORD_HEAD..(offset + RECORD_HEAD).checked_add(length)?)?;
    let sum = number(head, 20);
    (record_sum(seed, head, body) == sum).then(|| Whole {
        position: long(head, 8),
        chain: number(head, 16),
        sum,
        body,
        end: offset + room(length),
    })
}

/// The next whole record after a place where none is, if there is one: what is before it was damaged, since a record is
/// written only when the one before it is on the disk.
pub fn next_after(bytes: &[u8], offset: usize, seed: u32) -> Option<usize> {
    (offset + ALIGN..bytes.len()).step_by(ALIGN).find(|offset| at(bytes, *offset, seed).is_some())
}

/// True when nothing was ever written here.
pub fn is_blank(bytes: &[u8], offset: usize) -> bool {
    bytes.get(offset..).is_none_or(|rest| rest.iter().all(|byte| *byte == 0))
}
