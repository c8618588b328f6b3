//! A record: what one commit of the hub has written, as rows with absolute values. Played twice it says the same.

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::StoreError;
use crate::change::RowKind;
use crate::row::damaged;

/// The shape of a record's body. A newer one is refused; older ones are opened for ever.
const VERSION: u8 = 1;

/// Tables whose rows have a name. The order is stored: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamedTable {
    /// `sessions`.
    Sessions,
    /// `nodes`.
    Nodes,
    /// `commands`.
    Commands,
    /// `idempotency`.
    Keys,
    /// `costs`.
    Costs,
    /// `state`.
    State,
    /// `gone`.
    Gone,
}

/// Tables whose rows have a number. The order is stored: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NumberedTable {
    /// `events`.
    Events,
    /// `audit`.
    Audit,
    /// `alerts`.
    Alerts,
}

/// Tables that are sets of names. The order is stored: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NameSet {
    /// `open_commands`.
    OpenCommands,
    /// `returned`.
    Returned,
}

/// One row, or one change of a set. The order is stored: append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogRow {
    /// A row with a name, sealed; `None`: it is removed.
    Named(NamedTable, String, Option<Sealed>),
    /// A row with a number, sealed; `None`: it is removed.
    Numbered(NumberedTable, u64, Option<Sealed>),
    /// Whether a name is in a set.
    Member(NameSet, String, bool),
    /// Whether events of a session, by its number, are in the index. In their order.
    Indexed(u32, Vec<u64>, bool),
    /// One of the store's numbers: see `tables::META`.
    Number(String, u64),
    /// Nothing was written, and a mirror may have something else in this row: it is looked at again.
    Look(RowKind, String),
}

/// The bytes of a sealed row.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Sealed;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Sealed, E> {
                Ok(Sealed(bytes.to_vec()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Sealed, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Sealed(bytes))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// The rows of one commit, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The rows.
    pub rows: Vec<LogRow>,
}

impl Record {
    /// Its bytes for the log.
    ///
    /// # Panics
    /// Never: writing postcard to memory fails only for shapes without a length, and ours have one.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(&self.rows, vec![VERSION]).expect("rows are writable to memory")
    }

    /// Reads the bytes of the record at a position.
    pub fn decode(position: u64, bytes: &[u8]) -> Result<Self, StoreError> {
        match bytes.split_first() {
            Some((&VERSION, body)) => match postcard::from_bytes(body) {
                Ok(rows) => Ok(Self { rows }),
                Err(error) => Err(damaged("log", &position, error.to_string())),
            },
            Some((version, _)) => {
                Err(damaged("log", &position, format!("its version {version} is not known")))
            }
            None => Err(damaged("log", &position, "it is empty")),
        }
    }

    /// Bytes of its rows, about.
    pub fn bytes(&self) -> usize {
        self.rows.iter().map(LogRow::bytes).sum()
    }
}

impl LogRow {
    fn bytes(&self) -> usize {
        match self {
            Self::Named(_, key, row) => key.len() + row.as_ref().map_or(0, |row| row.0.len()),
            Self::Numbered(_, _, row) => 8 + row.as_ref().map_or(0, |row| row.0.len()),
            Self::Indexed(_, seqs, _) => 8 * seqs.len(),
            Self::Member(_, key, _) | Self::Number(key, _) | Self::Look(_, key) => 8 + key.len(),
        }
    }
}
