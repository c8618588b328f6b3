//! What leaves the store when it is old, or when there is too much: archived first, then deleted in small steps.
//!
//! ```text
//!   a draft, synced --> read back --> its name, synced --> rows deleted, 500 in a transaction
//!                                        |
//!                                        '-- killed from here on: the next start finds what is in the archive and
//!                                            still in the store, and deletes that
//! ```

mod round;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use self::round::{Left, Rounds};
use super::hub::Hub;
use super::hub::input::{Input, RaisedAlert, Severity};
use hal_base::progress::Progress;
use hal_store::archive::{self, Archive, Old, Writer};
use hal_store::change::RowKind;
use hal_store::mirror::HealthOf;
use hal_store::retain::{Leaving, Retention};
use hal_store::sqlite::edit::Edit;

/// Between two looks at what is too old, at least and at most.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// Between two looks at how much there is, when that has a bound. A look weighs some hundred rows.
const LOOK_AT_SIZE: Duration = Duration::from_secs(10);

/// Rows of one archive, about.
const ROWS: usize = 50_000;

/// Rows moved in one transaction, some 30 ms, and the pause after it: ingest goes first.
const STEP: (usize, Duration) = (500, Duration::from_millis(50));

/// Who is named in the audit log.
const RETENTION: &str = "retention";
const RESTORE: &str = "archive restore";

/// Knows the archives of a store. Clones share it.
#[derive(Clone, Debug)]
pub struct Archivist {
    folder: PathBuf,
    rules: Arc<watch::Sender<Retention>>,
    mirror: HealthOf,
    /// Held while rows are moved.
    at_work: Arc<Mutex<Rounds>>,
}

impl Archivist {
    /// Of the store at this path, with this mirror.
    pub fn beside(store: &Path, mirror: HealthOf) -> Self {
        let folder = store.with_file_name("archive");
        Self { folder, rules: Arc::default(), mirror, at_work: Arc::default() }
    }

    /// Puts rules in force.
    pub fn set_rules(&self, rules: Retention) {
        self.rules.send_replace(rules);
    }

    /// Bytes that the store and its mirror may keep.
    pub fn max_size(&self) -> Option<u64> {
        self.rules.borrow().max_size
    }

    /// Where they lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All archives, newest first.
    pub fn list(&self) -> Vec<Archive> {
        archive::list(&self.folder)
    }

    /// Archives and deletes rows that leave, the oldest first.
    fn retire(&self, hub: &Hub, leaving: Leaving<'_>, archives: bool) -> anyhow::Result<Left> {
        let kind = leaving.kind;
        let kept: Vec<_> =
            self.list().into_iter().filter(|one| one.is_restored && one.kind == kind).collect();
        let is_kept = |seq| kept.iter().any(|one| (one.seqs.0..=one.seqs.1).contains(&seq));
        let mut left = Left::default();
        let mut next = leaving.span.0;
        while left.rows < leaving.most {
            let mut writer: Option<Writer> = None;
            let mut seqs = Vec::new();
            let mut is_over = false;
            let enough = ROWS.min(leaving.most - left.rows);
            while !is_over && seqs.len() < enough && !writer.as_ref().is_some_and(Writer::is_full) {
                let span = (next, leaving.span.1);
                let most = enough - seqs.len();
                let look = hub.store().read()?.leaving(Leaving { span, most, ..leaving })?;
                (next, is_over) = (look.last.saturating_add(1), look.is_over);
                for old in look.rows.iter().filter(|old| !is_kept(old.seq)) {
                    if archives {
                        match &mut writer {
                            Some(writer) => writer.add(old)?,
                            None => writer.insert(Writer::begin(&self.folder, kind)?).add(old)?,
                        }
                    }
                    seqs.push(old.seq);
                    left.upto = left.upto.max(old.at());
                }
            }
            let archive = writer.map(|writer| writer.finish(&self.folder)).transpose()?;
            if !seqs.is_empty() {
                let archive = archive.map(|path| path.display().to_string()).unwrap_or_default();
                tracing::info!(rows = seqs.len(), archive, "rows are moved out of the store");
                left.rows += seqs.len();
                remove(hub, kind, seqs)?;
            }
            if is_over {
                break;
            }
        }
        Ok(left)
    }

    /// Deletes what a round before us had archived and not yet deleted when it was killed.
    fn resume(&self, hub: &Hub, kind: RowKind) -> anyhow::Result<()> {
        let Some(last) = archive::last_written(&self.folder, kind) else { return Ok(()) };
        let seqs = hub.store().read()?.still_here(&last)?;
        if !seqs.is_empty() {
            let archive = last.path.display();
            tracing::info!(rows = seqs.len(), %archive, "rows that were archived already are deleted from the store");
            remove(hub, kind, seqs)?;
        }
        Ok(())
    }

    /// Brings an archive's rows back. Gives how many.
    pub fn restore(&self, hub: &Hub, archive: &Archive, progress: &Progress) -> anyhow::Result<u64> {
        let _one_at_a_time = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let edits = archive::returns(archive)?;
        let rows = edits.len() as u64;
        if let Some(seq) = hub.store().read()?.taken_by_another(archive.kind, &edits)? {
            anyhow::bail!(
                "row {seq} is another one in this store, which was restored from a backup since {} was made; \
                 nothing is restored. Its rows can be read with zcat",
                archive.path.display()
            );
        }
        progress.expect(rows);
        archive::mark_restored(archive)?;
        move_rows(hub, RESTORE, edits, progress)?;
        Ok(rows)
    }

    /// One round for everything that may leave.
    fn round(&self, hub: &Hub, rules: &Retention) {
        let mut rounds = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = rounds.play(self, hub, rules) {
            let text = format!("old rows could not be moved out of the store: {error:#}");
            hub.raise(RaisedAlert { name: "retention.failed", severity: Severity::High, text });
        }
    }
}

fn remove(hub: &Hub, kind: RowKind, seqs: Vec<u64>) -> anyhow::Result<()> {
    let removals = seqs.into_iter().map(|seq| Old::removal(kind, seq)).collect();
    move_rows(hub, RETENTION, removals, &Progress::default())
}

fn move_rows(hub: &Hub, by: &'static str, mut edits: Vec<Edit>, progress: &Progress) -> anyhow::Result<()> {
    while !edits.is_empty() {
        let rest = edits.split_off(edits.len().min(STEP.0));
        let moved = edits.len() as u64;
        let (reply, stored) = oneshot::channel();
        hub.send_blocking(Input::Move { by, list: std::mem::replace(&mut edits, rest), reply })?;
        stored.blocking_recv()?.map_err(anyhow::Error::msg)?;
        progress.add(moved);
        std::thread::park_timeout(STEP.1);
    }
    Ok(())
}

/// Looks for what has to leave, again and again.
pub async fn keep_up(archivist: Archivist, hub: Hub) {
    let mut changes = archivist.rules.subscribe();
    loop {
        let rules = changes.borrow_and_update().clone();
        let ages = rules.ages().into_iter().chain(rules.audit);
        let mut pause = (ages.min().unwrap_or(LOOK.1) / 4).clamp(LOOK.0, LOOK.1);
        if rules.max_size.is_some() {
            pause = pause.min(LOOK_AT_SIZE);
        }
        let (archivist, of_hub) = (archivist.clone(), hub.clone());
        let _ended = tokio::task::spawn_blocking(move || archivist.round(&of_hub, &rules)).await;
        let _changed_or_over = timeout(pause, changes.changed()).await;
    }
}
