//! A row alone: is it what a table may hold? For whoever feeds strange bytes.

use super::change::Change;
use super::command::{CommandRow, KeyRecord};
use super::node::NodeRow;
use super::session::SessionRow;
use super::{StoreError, event, row};

/// The tables of the supervisor's store that hold rows.
pub const TABLES: [&str; 6] = ["events", "sessions", "nodes", "commands", "idempotency", "changes"];

/// Reads a row of one of [`TABLES`] as a start or a reader would, and forgets it.
pub fn row_of(table: &str, key: u64, bytes: &[u8]) -> Result<(), StoreError> {
    let name = key.to_string();
    match table {
        "events" => event::session_of(bytes, key).map(drop),
        "sessions" => row::open::<SessionRow>(bytes, key).map(|row| drop(row.into_record(&name))),
        "nodes" => row::open::<NodeRow>(bytes, key).map(|row| drop(row.into_record(&name))),
        "commands" => row::open::<CommandRow>(bytes, key)?.into_command(&name).map(drop),
        "idempotency" => row::open::<KeyRecord>(bytes, key).map(drop),
        _ => row::open::<Change>(bytes, key).map(drop),
    }
}
