//! What the store takes on the disk; what a store that was set aside holds and the present one lacks.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use hal_base::clock::Time;

/// What the store takes on the disk, and when there is no more room for it. Sizes are bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct StoreStatus {
    /// The folder of the data.
    pub folder: String,
    /// The files of the store, with its ballast.
    pub store: u64,
    /// The files of the mirror.
    pub mirror: u64,
    /// All backups.
    pub backups: u64,
    /// All archives.
    pub archive: u64,
    /// Number of events.
    pub events: u64,
    /// One event in the store and its mirror, on the average.
    pub bytes_per_event: u64,
    /// What `retention.max_size` bounds: the rows of the store and its mirror.
    pub kept: u64,
    /// `retention.max_size`; 0: there is no bound.
    pub max_size: u64,
    /// By how much `kept` grows in a day; absent until it was seen for some hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_per_day: Option<i64>,
    /// When `kept` reaches `max_size` at this rate; absent when that is not in sight.
    #[serde(with = "super::api::rfc3339", skip_serializing_if = "is_never")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub max_size_at: Time,
    /// What is used of the file system of the folder, by whomever.
    pub disk_used: u64,
    /// What the file system can hold.
    pub disk_size: u64,
    /// By how much `disk_used` grows in a day; absent until it was seen for some hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_per_day: Option<i64>,
    /// When the file system is full at this rate; absent when that is not in sight.
    #[serde(with = "super::api::rfc3339", skip_serializing_if = "is_never")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub disk_full_at: Time,
}

fn is_never(at: &Time) -> bool {
    *at == Time::default()
}

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
