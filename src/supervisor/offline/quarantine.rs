//! `hal-supervisor store diff|merge`: compares with a quarantined store, while no supervisor runs.

use std::fmt::Write;

use crate::cli::Which;
use crate::hub::Hub;
use crate::hub::input::Input;
use crate::hub::view::View;
use crate::metrics::Metrics;
use crate::quarantine;
use hal_protocol::store::{Rows, StoreRequest};
use hal_protocol::who::Who;
use hal_store::StoreError;
use hal_store::mirror::offline::Files;

/// Who is named in the audit log.
const ACTOR: &str = "hal-supervisor store merge";

/// Compares the store with one that was set aside, and returns the lines to print.
pub fn diff(files: &Files, which: &Which) -> Result<String, StoreError> {
    let (store, _) = files.take()?;
    let wanted = quarantine::find(&files.store, request(which, false)).map_err(StoreError::Refused)?;
    let diff = quarantine::diff(&store, &wanted, &files.progress)?;
    let mut said = format!("compared with {}; {} rows of it cannot be read\n", diff.file, diff.unreadable);
    for table in diff.tables {
        let [there, here, both] = [&table.only_there, &table.only_here, &table.different].map(part);
        let _ = writeln!(said, "{}: only there {there}, only here {here}, different {both}", table.table);
    }
    Ok(said)
}

fn part(rows: &Rows) -> String {
    match (&rows.first, &rows.last, rows.from, rows.to) {
        (Some(first), Some(last), Some(from), Some(to)) => {
            format!("{} ({first} to {last}, {from} to {to})", rows.rows)
        }
        _ => rows.rows.to_string(),
    }
}

/// Brings back what is lacking, or only says what would come back. `supervisor.db` follows at the next start.
pub fn merge(files: &Files, which: &Which, dry_run: bool) -> Result<String, StoreError> {
    let (store, loaded) = files.take()?;
    let wanted = quarantine::find(&files.store, request(which, dry_run)).map_err(StoreError::Refused)?;
    let (hub, thread) = Hub::start(store, View::of(loaded), Metrics::default().counts())
        .map_err(|error| StoreError::Refused(error.to_string()))?;
    let by = Who::itself(ACTOR);
    let merged = quarantine::merge(&hub, &wanted, &by, &files.progress);
    let _ended_already = hub.send_blocking(Input::Stop);
    let _ = thread.join();
    let merged = merged?;
    let done = if dry_run { "would be brought back" } else { "brought back" };
    if merged.tables.is_empty() {
        return Ok(format!("nothing {done} from {}: the store already has all of it\n", merged.file));
    }
    let rows = merged.tables.iter().map(|one| format!("{}: {} rows {done}\n", one.table, one.rows));
    Ok(rows.collect())
}

fn request(which: &Which, dry_run: bool) -> StoreRequest {
    let Which { file, tables, since, until, session } = which.clone();
    StoreRequest { file, tables, since, until, session, dry_run, limit: 0 }
}
