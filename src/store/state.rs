//! The rows of what the supervisor keeps for itself between starts: small words of many kinds, each under a name.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::reader::Reader;
use super::row::{self, Row};
use super::tables::STATE;
use crate::base::clock::Time;

/// What is kept under one name. Version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// JSON.
    pub data: String,
    /// When it last changed, in milliseconds.
    pub changed_at: i64,
}

impl Row for StateRecord {
    const TABLE: &'static str = "state";
    const VERSION: u8 = 1;
}

impl StateRecord {
    /// A record of this moment.
    pub fn new(value: &impl Serialize, at: Time) -> Self {
        Self { data: serde_json::to_string(value).unwrap_or_else(|_| "null".into()), changed_at: at.0 }
    }

    /// Says why it cannot be kept, if it cannot.
    pub fn check(&self) -> Result<(), String> {
        serde_json::from_str::<serde::de::IgnoredAny>(&self.data)
            .map(drop)
            .map_err(|error| format!("data is no JSON: {error}"))
    }
}

/// The name of what is kept of a kind under a key, such as `halt/shop`. A kind has no slash.
pub fn name(kind: &str, key: &str) -> String {
    format!("{kind}/{key}")
}

impl Reader<'_> {
    /// Everything that is kept.
    pub fn state(&self) -> Result<Vec<(String, StateRecord)>, StoreError> {
        let table = self.txn().open_table(STATE)?;
        let entries = table.iter()?.map(|entry| {
            let (name, bytes) = entry?;
            Ok((name.value().to_owned(), row::open::<StateRecord>(bytes.value(), name.value())?))
        });
        entries.collect()
    }
}
