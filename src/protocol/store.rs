//! What a store that was set aside holds and the present one lacks.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use hal_base::clock::Time;

/// Which rows of which store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreRequest {
    /// The name of a store's file that was set aside beside the present one; by default the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Only these tables; by default all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// Only rows stored at or after this.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "timestamp")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
    /// Only rows stored before this.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "timestamp")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Time>,
    /// Only rows of this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// `diff`: show so many rows, at most 1000.
    #[serde(default)]
    pub limit: usize,
    /// `merge`: only say what would come back.
    #[serde(default)]
    pub dry_run: bool,
}

/// A moment as people write it, or in milliseconds since 1970 as halctl does.
fn timestamp<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Time>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Milliseconds(i64),
        Text(String),
    }
    let at = match Option::<Said>::deserialize(input)? {
        None => return Ok(None),
        Some(Said::Milliseconds(said)) => Some(Time(said)).filter(|at| at.is_in_calendar()),
        Some(Said::Text(said)) => Time::parse(&said),
    };
    at.map(Some).ok_or_else(|| D::Error::custom("expected a time such as 2026-01-31T12:00:00Z"))
}

/// Rows on one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rows {
    /// Number of rows.
    pub rows: u64,
    /// The first one's number or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The last one's number or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// The earliest time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Time>,
    /// The latest time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub to: Option<Time>,
}

/// What two stores hold differently of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TableDiff {
    /// The table's name in supervisor.db.
    pub table: String,
    /// Rows that only the store set aside has.
    pub only_there: Rows,
    /// Rows that only the present store has.
    pub only_here: Rows,
    /// Rows that both have and that say different things.
    pub different: Rows,
}

/// A row that is not the same in both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiffRow {
    /// The table's name in supervisor.db.
    pub table: String,
    /// `only_there`, `only_here` or `different`.
    pub side: String,
    /// Its number or name.
    pub key: String,
    /// What it says; of one that is different, what the store set aside says.
    #[schema(value_type = Object)]
    pub row: serde_json::Map<String, serde_json::Value>,
}

/// What two stores hold differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreDiff {
    /// The file that was compared.
    pub file: String,
    /// By table.
    pub tables: Vec<TableDiff>,
    /// The first rows, as many as were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<DiffRow>,
    /// Rows of the file that cannot be read any more.
    pub unreadable: u64,
}

/// Rows of a table that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Merged {
    /// The table's name in supervisor.db.
    pub table: String,
    /// Number of rows.
    pub rows: u64,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreMerge {
    /// The file it came from.
    pub file: String,
    /// True when it was only looked for.
    pub dry_run: bool,
    /// By table.
    pub tables: Vec<Merged>,
}

/// Work that is going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Doing {
    /// The work, such as `store diff`.
    pub what: String,
    /// Rows that are done.
    pub done: u64,
    /// Of so many; 0 when that is not known.
    pub total: u64,
}
