//! How a row is sealed: `[version u8][crc32 of version and body, 4 bytes little endian][postcard body]`.
//!
//! A released version never changes. A new shape is a new version number and an arm in [`Row::open_older`]; the bytes
//! of every released version stay in `tests/fixtures/rows` and must open.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// Bytes before the body.
const HEAD: usize = 5;

/// A stored shape.
pub trait Row: Serialize + DeserializeOwned {
    /// The table, for errors.
    const TABLE: &'static str;

    /// The version that is written.
    const VERSION: u8;

    /// Opens the body of an older version; `None` when there never was such a version.
    fn open_older(version: u8, body: &[u8]) -> Option<Result<Self, postcard::Error>> {
        let _ = (version, body);
        None
    }
}

/// Seals a row.
pub fn seal<R: Row>(row: &R) -> Vec<u8> {
    seal_as(R::VERSION, row)
}

/// Seals any shape under a version number.
///
/// # Panics
/// Never: writing postcard to memory fails only for shapes without a length, and ours have one.
pub fn seal_as(version: u8, body: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&[version, 0, 0, 0, 0]);
    let mut bytes = postcard::to_extend(body, bytes).expect("rows are writable to memory");
    let sum = checksum(&bytes);
    bytes[1..HEAD].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Opens a row, whatever released version it is.
pub fn open<R: Row>(bytes: &[u8], key: impl std::fmt::Display) -> Result<R, StoreError> {
    let (version, body) = unseal(bytes).map_err(|why| damaged(R::TABLE, &key, why))?;
    let row = if version == R::VERSION {
        postcard::from_bytes(body)
    } else {
        R::open_older(version, body)
            .ok_or_else(|| damaged(R::TABLE, &key, format!("its version {version} is not known")))?
    };
    row.map_err(|error| damaged(R::TABLE, &key, error.to_string()))
}

/// Verifies the checksum and gives version and body.
pub fn unseal(bytes: &[u8]) -> Result<(u8, &[u8]), String> {
    if bytes.len() < HEAD {
        return Err(format!("it has only {} bytes", bytes.len()));
    }
    let said = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
    if checksum(bytes) != said {
        return Err("its checksum does not match".into());
    }
    Ok((bytes[0], &bytes[HEAD..]))
}

/// The error for a row that cannot be used.
pub fn damaged(table: &'static str, key: &impl std::fmt::Display, why: impl Into<String>) -> StoreError {
    StoreError::Damaged { table, key: key.to_string(), why: why.into() }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..1]);
    hasher.update(&bytes[HEAD..]);
    hasher.finalize()
}
