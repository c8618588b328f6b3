//! An archive: a file of rows that have left the store.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use hal_base::clock::Time;

/// An archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Archive {
    /// Its file's name.
    pub name: String,
    /// The table its rows come from.
    pub table: String,
    /// When its first row was stored.
    #[schema(value_type = String, format = DateTime)]
    pub from: Time,
    /// When its last row was stored.
    #[schema(value_type = String, format = DateTime)]
    pub to: Time,
    /// The file's size.
    pub bytes: u64,
    /// Whether its rows are back in the store for a while.
    pub restored: bool,
    /// Rows that were brought back; only in the answer to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// A row found in an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ArchivedRow {
    /// File name of the archive that holds the row.
    pub archive: String,
    /// The row, by the columns of its table.
    #[schema(value_type = Object)]
    pub row: serde_json::Map<String, serde_json::Value>,
}
