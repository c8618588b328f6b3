//! What everything takes on the disk, and what the store's rows take.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use redb::{ReadableTable, ReadableTableMetadata};

use super::StoreError;
use super::log::folder::folder_of;
use super::mirror::{MirrorHealth, backup};
use super::reader::Reader;
use super::tables::{AUDIT, COMMANDS, COSTS, EVENTS, EVENTS_BY_SESSION, GONE, KEYS, NODES, SESSIONS, STATE};

/// Rows of a table that are weighed at each of its ends, or of the events all along it.
const WEIGHED: usize = 256;

/// Beside each row's bytes: where it lies in its page.
const PER_ROW: u64 = 8;

/// Pages that are not quite full, and those above them: a tenth.
const SLACK: u64 = 10;

/// Bytes on the disk: blocks, not lengths, since files have holes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The store, with its log and its ballast.
    pub store: u64,
    /// The mirror, with what SQLite keeps beside it.
    pub mirror: u64,
    /// All backups.
    pub backups: u64,
    /// All archives.
    pub archive: u64,
    /// What the file system of the store has left for us.
    pub free: u64,
    /// What is used of it, by whomever.
    pub used: u64,
}

impl Usage {
    /// By their names.
    pub fn parts(&self) -> [(&'static str, u64); 4] {
        let Self { store, mirror, backups, archive, .. } = *self;
        [("store", store), ("mirror", mirror), ("backups", backups), ("archive", archive)]
    }

    /// Of the files of a store.
    pub fn of(store: &Path, mirror: &Path, archive: &Path) -> Self {
        let end = |path: &Path, end: &str| path.with_added_extension(end);
        let side = |end: &str| {
            let mut name = mirror.as_os_str().to_owned();
            name.push(end);
            blocks(Path::new(&name))
        };
        let (used, free) = store.parent().and_then(of_disk).unwrap_or_default();
        let archived = fs::read_dir(archive).into_iter().flatten().flatten();
        Self {
            store: blocks(store) + blocks(&end(store, "ballast")) + log(&folder_of(store)),
            mirror: blocks(mirror) + side("-wal") + side("-shm"),
            backups: backup::list(mirror).iter().map(|saved| blocks(&saved.path)).sum(),
            archive: archived.map(|entry| blocks(&entry.path())).sum(),
            free,
            used,
        }
    }
}

fn log(folder: &Path) -> u64 {
    let segments = fs::read_dir(folder).into_iter().flatten().flatten();
    segments.map(|entry| blocks(&entry.path())).sum()
}

/// What is used of the file system of a folder, and what it has left for us. Bytes.
pub fn of_disk(folder: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Some((bytes(disk.f_blocks.saturating_sub(disk.f_bfree)), bytes(disk.f_bavail)))
}

fn blocks(path: &Path) -> u64 {
    /// What `st_blocks` counts.
    const BLOCK: u64 = 512;
    fs::metadata(path).map_or(0, |file| file.blocks() * BLOCK)
}

/// What rows take in the store, estimated from some of them: redb tells only by walking through all of it, and its
/// file does not shrink when rows go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// All rows, but for the list of what a mirror has to catch up with, which is bounded and goes by itself.
    pub bytes: u64,
    /// One event with its place in the index.
    pub per_event: u64,
    /// How many events there are.
    pub events: u64,
    /// How many rows the mirror has of all this.
    pub rows: u64,
}

/// What the store and its mirror hold, and one event in both. SQLite counts its pages, so a mirror that is in step says
/// exactly how large its rows are, and they are never smaller than the store's: the weighing of a few cannot be far off.
pub fn together(mirror: &MirrorHealth, weight: &Weight) -> (u64, u64) {
    let weighed = weight.bytes / weight.rows.max(1);
    let mirrored = match mirror.bytes.checked_div(mirror.rows) {
        Some(counted) if mirror.rows >= weight.rows / 2 => counted,
        // It is being made, or far behind.
        _ => weighed,
    };
    (weight.rows * (weighed.min(mirrored) + mirrored), weight.per_event.min(mirrored) + mirrored)
}

impl Reader<'_> {
    /// Weighs the rows.
    pub fn weight(&self) -> Result<Weight, StoreError> {
        let events = self.txn().open_table(EVENTS)?.len()?;
        let index = self.txn().open_table(EVENTS_BY_SESSION)?.len()?;
        /// A number of a session, one of an event, and where that lies.
        const ENTRY: u64 = 12;
        let all_events = filled(self.mean_event()?, events) + filled(ENTRY, index);
        let (mut bytes, mut rows) = (all_events, events);
        for (table, is_shown) in [
            (SESSIONS, true),
            (NODES, true),
            (COMMANDS, true),
            (COSTS, true),
            (STATE, true),
            (KEYS, false),
            (GONE, false),
        ] {
            let (some, count) = self.weigh(table, |key| key.len() as u64)?;
            (bytes, rows) = (bytes + some, rows + if is_shown { count } else { 0 });
        }
        let (some, count) = self.weigh(AUDIT, |_| size_of::<u64>() as u64)?;
        (bytes, rows) = (bytes + some, rows + count);
        Ok(Weight { bytes, per_event: all_events / events.max(1), events, rows })
    }

    /// The mean of some events all along the table: their size changes with time.
    fn mean_event(&self) -> Result<u64, StoreError> {
        let Some((first, last)) = self.event_bounds()? else { return Ok(0) };
        let table = self.txn().open_table(EVENTS)?;
        let step = ((last - first) / WEIGHED as u64).max(1);
        let (mut sum, mut seen) = (0, 0);
        for place in (first..=last).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let Some(entry) = table.range(place..)?.next() else { break };
            sum += entry?.1.value().len() as u64 + size_of::<u64>() as u64;
            seen += 1;
        }
        Ok(sum / u64::max(seen, 1))
    }

    fn weigh<K: redb::Key + 'static>(
        &self,
        table: redb::TableDefinition<'_, K, &'static [u8]>,
        key: impl Fn(K::SelfType<'_>) -> u64,
    ) -> Result<(u64, u64), StoreError> {
        let table = self.txn().open_table(table)?;
        let (mut sum, mut seen) = (0, 0);
        for entry in table.iter()?.take(WEIGHED).chain(table.iter()?.rev().take(WEIGHED)) {
            let (name, bytes) = entry?;
            sum += key(name.value()) + bytes.value().len() as u64;
            seen += 1;
        }
        let rows = table.len()?;
        Ok((filled(sum / u64::max(seen, 1), rows), rows))
    }
}

/// Bytes of pages that hold so many rows of this mean size.
fn filled(mean: u64, rows: u64) -> u64 {
    let bytes = (mean + PER_ROW) * rows;
    bytes + bytes / SLACK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Batch, Store};
    use hal_base::clock::Time;
    use hal_protocol::event::EventView;

    fn event(seq: u64) -> EventView {
        let filler = "x".repeat(usize::try_from(seq * 7919 % 700).unwrap());
        EventView {
            seq,
            id: format!("0198c0de-{seq:08}-0000-0000"),
            kind: "message.part.updated".into(),
            session_id: "ses_1".into(),
            node_id: "web-1".into(),
            project: "shop".into(),
            data: hal_protocol::event::raw(&filler),
            timestamp: Time(1),
            occurred_at: Time(1),
            node_seq: seq,
        }
    }

    #[test]
    fn what_is_estimated_is_about_what_redb_counts_also_after_rows_have_left() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("s.redb")).unwrap().0;
        for first in (1..20_000).step_by(500) {
            let events: Vec<_> = (first..first + 500).map(event).collect();
            let index = events.iter().map(|event| (1, event.seq)).collect();
            store.commit(&Batch { events, index, ..Batch::default() }).unwrap();
        }
        let compare = || {
            let weight = store.read().unwrap().weight().unwrap();
            let mut counted = 0;
            let count = |txn: &redb::WriteTransaction| {
                let all = txn.stats().unwrap();
                counted = (all.leaf_pages() + all.branch_pages()) * all.page_size() as u64;
                Ok(())
            };
            store.transaction(count).unwrap();
            let ratio = weight.bytes as f64 / counted as f64;
            assert!((0.85..1.15).contains(&ratio), "estimated {} of {counted}", weight.bytes);
            counted
        };
        let before = compare();
        let gone = |txn: &redb::WriteTransaction| {
            txn.open_table(EVENTS)?.retain_in(..15_000, |_, _| false)?;
            txn.open_table(EVENTS_BY_SESSION)?.retain_in(..(1, 15_000), |_, ()| false)?;
            Ok(())
        };
        store.transaction(gone).unwrap();
        assert!(compare() < before / 3);
    }
}
