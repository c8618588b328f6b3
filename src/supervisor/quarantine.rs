//! Quarantined stores: compares one with the present store, and brings back what that lacks: through the hub, in portions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::hub::Hub;
use super::hub::input::Input;
use hal_base::nearest::no_such;
use hal_base::panic::contained;
use hal_base::progress::Progress;
use hal_protocol::store::{DiffRow, Merged, Rows, StoreDiff, StoreMerge, StoreRequest, TableDiff};
use hal_protocol::who::Who;
use hal_store::StoreError;
use hal_store::hub::Store;
use hal_store::mirror::compare::{COMPARED, Comparison, Selection};
use hal_store::mirror::differ::{RowRange, ShownRow, Side, differ, rows_of};
use hal_store::mirror::quarantine::{Aside, list};
use hal_store::mirror::restore::{Portion, restore};
use hal_store::sqlite::schema::{TABLES, Table};

/// Rows shown at most.
const MOST_ROWS: usize = 1_000;

/// Between two portions: ingest goes first.
const PAUSE: Duration = Duration::from_millis(20);

/// A request that can be carried out.
#[derive(Debug)]
pub struct Wanted {
    /// Its file name, beside the store.
    pub file: String,
    path: PathBuf,
    selection: Selection,
    limit: usize,
    dry_run: bool,
}

/// Finds what is meant, beside this store; the error is a sentence. Only names of files that were set aside are taken.
pub fn find(store: &Path, request: StoreRequest) -> Result<Wanted, String> {
    let all = list(store);
    let names: Vec<String> = all.iter().map(|path| name_of(path)).collect();
    let nth = match &request.file {
        None => 0,
        Some(name) => names.iter().position(|one| one == name).unwrap_or(all.len()),
    };
    let Some(path) = all.get(nth).cloned() else {
        let named = request
            .file
            .as_deref()
            .map(|name| no_such("store that was set aside", name, names.iter().map(String::as_str)));
        return Err(named.unwrap_or_else(|| {
            format!("no store was set aside beside {}: there is nothing to compare with", store.display())
        }));
    };
    let kind = |name: &String| {
        let known = COMPARED.map(|kind| Table::of(kind).name);
        let kind = Table::named(name).map(|table| table.kind).filter(|kind| COMPARED.contains(kind));
        kind.ok_or_else(|| no_such("table", name, known))
    };
    let selection = Selection {
        tables: request.tables.iter().map(kind).collect::<Result<_, _>>()?,
        since: request.since,
        until: request.until,
        session: request.session,
    };
    let limit = request.limit.min(MOST_ROWS);
    Ok(Wanted { file: name_of(&path), path, selection, limit, dry_run: request.dry_run })
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Compares the store with one that was set aside, table by table.
pub fn diff(store: &Store, wanted: &Wanted, progress: &Progress) -> Result<StoreDiff, StoreError> {
    let compare = || {
        let there = Aside::open(&wanted.path)?;
        differ(&there, store, &wanted.selection, wanted.limit, progress)
    };
    let report = contained(compare).unwrap_or_else(|_| Err(StoreError::Surprising(wanted.path.clone())))?;
    let tables = report.tables.into_iter().map(|table| TableDiff {
        table: Table::of(table.kind).name.to_owned(),
        only_there: rows(table.there),
        only_here: rows(table.here),
        different: rows(table.both),
    });
    let (tables, unreadable) = (tables.collect(), report.unreadable);
    let rows = report.rows.into_iter().map(show).collect();
    Ok(StoreDiff { file: wanted.file.clone(), tables, rows, unreadable })
}

fn rows(RowRange { rows, ends, times }: RowRange) -> Rows {
    let (first, last) = ends.unzip();
    let (from, to) = times.unzip();
    Rows { rows, first, last, from, to }
}

fn show(ShownRow { kind, side, key, fields }: ShownRow) -> DiffRow {
    let side = match side {
        Side::There => "only_there",
        Side::Here => "only_here",
        Side::Both => "different",
    };
    DiffRow { table: Table::of(kind).name.to_owned(), side: side.to_owned(), key, row: fields }
}

/// Brings back what is lacking, as somebody wants it.
pub fn merge(hub: &Hub, wanted: &Wanted, who: &Who, progress: &Progress) -> Result<StoreMerge, StoreError> {
    let mut merged: Vec<Merged> = Vec::new();
    let came = Arc::new(AtomicU64::new(0));
    let mut hand_over = |mut portion: Portion| {
        portion.came = came.clone();
        for (kind, rows) in portion.counts() {
            let (table, rows) = (Table::of(kind).name, rows as u64);
            match merged.iter_mut().find(|one| one.table == table) {
                Some(one) => one.rows += rows,
                None => merged.push(Merged { table: table.to_owned(), rows }),
            }
        }
        if wanted.dry_run { Ok(()) } else { send(hub, portion, wanted, who) }
    };
    let work = || {
        let there = Aside::open(&wanted.path)?;
        progress.expect(rows_of(&COMPARED, &there)?);
        restore(Comparison::of(&there, &**hub.store(), progress), &wanted.selection, &mut hand_over)
    };
    contained(work).unwrap_or_else(|_| Err(StoreError::Surprising(wanted.path.clone())))?;
    for one in merged.iter_mut().filter(|one| one.table == TABLES[0].name) {
        one.rows = one.rows.saturating_sub(came.load(Ordering::Relaxed));
    }
    merged.retain(|one| one.rows > 0);
    Ok(StoreMerge { file: wanted.file.clone(), dry_run: wanted.dry_run, tables: merged })
}

fn send(hub: &Hub, portion: Portion, wanted: &Wanted, who: &Who) -> Result<(), StoreError> {
    let stopping = || StoreError::Refused("the supervisor is stopping".into());
    let (reply, stored) = oneshot::channel();
    let (file, by) = (wanted.file.clone(), who.clone());
    hub.send_blocking(Input::Return { portion: Box::new(portion), file, by, reply })
        .map_err(|_| stopping())?;
    stored.blocking_recv().map_err(|_| stopping())?.map_err(StoreError::Refused)?;
    std::thread::park_timeout(PAUSE);
    Ok(())
}
