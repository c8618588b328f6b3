//! How a row is sealed: `[version u8][crc32, 4 bytes little endian][postcard body]`.
//!
//! The checksum covers the table's name, the key, the version and the body: a row that was damaged, or that ended up
//! in another place, is noticed when it is read. A released version never changes. A new shape is a new version
//! number and an arm in [`Row::open_older`]; the bytes of every released version stay in `tests/fixtures/rows` and
//! must open. One thing may be added at a shape's end without a new number: something that is absent in rows of before
//! ([`open_grown`]). The release before does not look at what follows the fields that it knows.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// Bytes before the body.
const HEAD: usize = 5;

/// Bytes of a usual row, so that it seldom grows while it is written.
const USUAL: usize = 512;

/// A stored shape.
pub trait Row: Serialize + DeserializeOwned {
    /// The table, for the checksum and for errors.
    const TABLE: &'static str;

    /// The version that is written.
    const VERSION: u8;

    /// Opens a body of this version.
    fn open_body(body: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(body)
    }

    /// Opens the body of an older version; `None` when there never was such a version.
    fn open_older(version: u8, body: &[u8]) -> Option<Result<Self, postcard::Error>> {
        let _ = (version, body);
        None
    }
}

/// Seals a row for its key.
pub fn seal<R: Row>(row: &R, key: impl Display) -> Vec<u8> {
    seal_as(R::TABLE, R::VERSION, &key, row)
}

/// Seals any shape under a version number.
///
/// # Panics
/// Never: writing postcard to memory fails only for shapes without a length, and ours have one.
pub fn seal_as(table: &'static str, version: u8, key: &impl Display, body: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL);
    bytes.extend_from_slice(&[version, 0, 0, 0, 0]);
    let mut bytes = postcard::to_extend(body, bytes).expect("rows are writable to memory");
    let sum = checksum(table, key, &bytes);
    bytes[1..HEAD].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Opens a row, whatever released version it is.
pub fn open<R: Row>(bytes: &[u8], key: impl Display) -> Result<R, StoreError> {
    let (version, body) = unseal(R::TABLE, &key, bytes)?;
    let row = if version == R::VERSION {
        R::open_body(body)
    } else {
        R::open_older(version, body)
            .ok_or_else(|| damaged(R::TABLE, &key, format!("its version {version} is not known")))?
    };
    row.map_err(|error| damaged(R::TABLE, &key, error.to_string()))
}

/// Opens a body whose last field, an option that is not written where there is nothing, rows of before do not have.
pub fn open_grown<R: Serialize + DeserializeOwned>(body: &[u8]) -> Result<R, postcard::Error> {
    const ABSENT: u8 = 0;
    match postcard::from_bytes(body) {
        Err(short @ postcard::Error::DeserializeUnexpectedEnd) => {
            let row = postcard::from_bytes(&[body, &[ABSENT]].concat())?;
            // It is one of before, and not one of today that was cut off.
            if postcard::to_allocvec(&row)? == body { Ok(row) } else { Err(short) }
        }
        opened => opened,
    }
}

/// Verifies the checksum and gives version and body.
pub fn unseal<'a>(
    table: &'static str,
    key: &impl Display,
    bytes: &'a [u8],
) -> Result<(u8, &'a [u8]), StoreError> {
    if bytes.len() < HEAD {
        return Err(damaged(table, key, format!("it has only {} bytes", bytes.len())));
    }
    let said = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
    if checksum(table, key, bytes) != said {
        return Err(damaged(table, key, "its checksum does not match"));
    }
    Ok((bytes[0], &bytes[HEAD..]))
}

/// The error for a row that cannot be used.
pub fn damaged(table: &'static str, key: &impl Display, why: impl Into<String>) -> StoreError {
    StoreError::Damaged { table, key: key.to_string(), why: why.into() }
}

/// Of the key as text, so that numbers and names are treated alike.
fn checksum(table: &str, key: &impl Display, bytes: &[u8]) -> u32 {
    struct Feed(crc32fast::Hasher);
    impl std::fmt::Write for Feed {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }
    let mut feed = Feed(crc32fast::Hasher::new());
    // Feeding a checksum does not fail.
    let _ = std::fmt::write(&mut feed, format_args!("{table}\0{key}\0"));
    feed.0.update(&bytes[..1]);
    feed.0.update(&bytes[HEAD..]);
    feed.0.finalize()
}
