//! Replay: at every opening what the log has and redb has not is played into redb, before anything is read or decided.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase};

use super::StoreError;
use super::applier::begin;
use super::apply::apply;
use super::log::folder::{FolderLog, Found, Gap};
use super::log::record::Record;
use super::log::{Log, folder};
use super::resolve::stored_position;
use super::schema::{self, SCHEMA};
use super::tables::{META, POSITION};
use hal_base::sabotage;

/// Rows of one transaction.
const ROWS: usize = 20_000;

/// Bytes of one transaction.
const BYTES: usize = 32 * 1024 * 1024;

/// What to do where records are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// Say so, with nothing played.
    Fail,
    /// Play what is there: rows are whole ones, so each is right, and some may be of an earlier moment.
    Skip,
}

/// Plays the log into redb. Nothing is done, and the file is not written, where redb has everything.
pub fn replay(
    path: &Path,
    db: &Database,
    log: &FolderLog,
    found: &Found,
    gaps: Gaps,
) -> Result<(), StoreError> {
    let shape = schema::of(db, path)?;
    let mut position = stored_position(&db.begin_read()?)?;
    if shape.is_some_and(|shape| shape < SCHEMA) {
        // A release without a log may have been here meanwhile, or this one has ended well: redb has everything.
        position = position.max(schema::last_change(db)?);
    }
    if let Some(position) = found.torn {
        tracing::warn!(
            position,
            "the log ends in a record that is not whole: the machine stopped while it was written, and it was not acknowledged"
        );
    }
    let missing = missing(path, shape, position, log, found);
    if !missing.is_empty() && !sabotage::GAP_UNNOTICED {
        let damage = StoreError::LogGap { path: folder::folder_of(path), gaps: missing };
        match gaps {
            Gaps::Fail => return Err(damage),
            Gaps::Skip => tracing::error!(error = %damage, "what was committed is not all there"),
        }
    }
    let last = found.bounds.map_or(0, |(_, last)| last);
    if last <= position || sabotage::NO_REPLAY {
        return keep_position(db, position);
    }
    let mut portion = Portion { db, rows: Vec::new(), bytes: 0, position };
    log.read(position + 1, last, &mut |at, body| {
        portion.add(at, body)?;
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    portion.write(Durability::Immediate)?;
    tracing::info!(records = last - position, "the log is played into the store");
    Ok(())
}

/// So that the numbers of a release without a log are gone on from.
fn keep_position(db: &Database, position: u64) -> Result<(), StoreError> {
    if position == stored_position(&db.begin_read()?)? {
        return Ok(());
    }
    let txn = begin(db, Durability::Immediate)?;
    txn.open_table(META)?.insert(POSITION, position)?;
    txn.commit()?;
    Ok(())
}

/// What should be in the log after a position and is not.
fn missing(path: &Path, shape: Option<u64>, position: u64, log: &FolderLog, found: &Found) -> Vec<Gap> {
    let mut missing: Vec<Gap> = found.gaps.iter().filter(|gap| gap.to > position).cloned().collect();
    let is_ahead = shape == Some(SCHEMA);
    match log.begins_at() {
        Some(first) if first > position + 1 => {
            let why = "the files before it are missing".to_owned();
            missing.insert(0, Gap { from: position + 1, to: first - 1, why });
        }
        None if is_ahead => {
            let why = format!("{} is missing or empty", folder::folder_of(path).display());
            missing.push(Gap { from: position + 1, to: u64::MAX, why });
        }
        _ => {}
    }
    missing
}

struct Portion<'a> {
    db: &'a Database,
    rows: Vec<super::log::record::LogRow>,
    bytes: usize,
    position: u64,
}

impl Portion<'_> {
    fn add(&mut self, position: u64, body: &[u8]) -> Result<(), StoreError> {
        self.rows.append(&mut Record::decode(position, body)?.rows);
        self.bytes += body.len();
        self.position = position;
        if self.rows.len() >= ROWS || self.bytes >= BYTES { self.write(Durability::None) } else { Ok(()) }
    }

    fn write(&mut self, durability: Durability) -> Result<(), StoreError> {
        let txn = begin(self.db, durability)?;
        apply(&txn, &self.rows)?;
        {
            let mut meta = txn.open_table(META)?;
            meta.insert(POSITION, self.position)?;
            // Also where the last record is that of a clean end, which did not come to its end.
            meta.insert("schema", SCHEMA)?;
        }
        txn.commit()?;
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
