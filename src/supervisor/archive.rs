//! What leaves the store when it is old: archived first, then deleted in small steps.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::hub::Hub;
use super::hub::input::{Alert, Input, Severity};
use crate::base::clock::{self, Time};
use crate::base::progress::Progress;
use crate::store::archive::{self, Archive, Old, Retention, Writer};
use crate::store::change::Kind;
use crate::store::sheet::edit::Edit;

/// Between two looks at what is too old, at least and at most.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

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
    /// Held while rows are moved.
    at_work: Arc<Mutex<()>>,
}

impl Archivist {
    /// Of the store at this path.
    pub fn beside(store: &Path) -> Self {
        let folder = store.with_file_name("archive");
        Self { folder, rules: Arc::default(), at_work: Arc::default() }
    }

    /// Puts rules in force.
    pub fn set_rules(&self, rules: Retention) {
        self.rules.send_replace(rules);
    }

    /// All archives, newest first.
    pub fn list(&self) -> Vec<Archive> {
        archive::list(&self.folder)
    }

    /// Archives and deletes what was stored before a time. Gives how many rows.
    fn retire(&self, hub: &Hub, kind: Kind, before: Time, archives: bool) -> anyhow::Result<usize> {
        let _one_at_a_time = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: Vec<_> =
            self.list().into_iter().filter(|one| one.is_restored && one.kind == kind).collect();
        let is_kept = |seq| kept.iter().any(|one| (one.seqs.0..=one.seqs.1).contains(&seq));
        let (mut after, mut total) = (0, 0);
        loop {
            let mut writer: Option<Writer> = None;
            let mut seqs = Vec::new();
            while seqs.len() < ROWS && !writer.as_ref().is_some_and(Writer::is_full) {
                let (rows, last) = hub.store().read()?.old_rows(kind, before, after)?;
                // The newest are at the end: where nothing is old, nothing behind it is, but for what operators moved.
                let is_over = last == after || rows.is_empty();
                after = last;
                for old in rows.iter().filter(|old| !is_kept(old.seq)) {
                    if archives {
                        match &mut writer {
                            Some(writer) => writer.add(old)?,
                            None => writer.insert(Writer::begin(&self.folder, kind)?).add(old)?,
                        }
                    }
                    seqs.push(old.seq);
                }
                if is_over {
                    break;
                }
            }
            if seqs.is_empty() {
                return Ok(total);
            }
            let archive = writer.map(|writer| writer.finish(&self.folder)).transpose()?;
            let archive = archive.map(|path| path.display().to_string()).unwrap_or_default();
            tracing::info!(rows = seqs.len(), archive, "what is too old leaves the store");
            total += seqs.len();
            move_rows(
                hub,
                RETENTION,
                seqs.into_iter().map(|seq| Old::removal(kind, seq)).collect(),
                &Progress::default(),
            )?;
        }
    }

    /// Brings an archive's rows back. Gives how many.
    pub fn restore(&self, hub: &Hub, archive: &Archive, progress: &Progress) -> anyhow::Result<u64> {
        let _one_at_a_time = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let edits = archive::returns(archive)?;
        let rows = edits.len() as u64;
        if let Some(seq) = hub.store().read()?.taken_by_another(archive.kind, &edits)? {
            anyhow::bail!(
                "row {seq} is another one in this store, which was restored from a backup since {} was made; nothing \
                 is brought back. Its rows can be read with zcat",
                archive.path.display()
            );
        }
        progress.expect(rows);
        archive::mark_restored(archive)?;
        move_rows(hub, RESTORE, edits, progress)?;
        Ok(rows)
    }
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

/// Looks for what is too old, again and again.
pub async fn keep_up(archivist: Archivist, hub: Hub) {
    let mut changes = archivist.rules.subscribe();
    loop {
        let rules = changes.borrow_and_update().clone();
        let kept = [(Kind::Event, rules.events), (Kind::Audit, rules.audit)];
        for (kind, keep) in kept {
            let Some(keep) = keep else { continue };
            let before = clock::now().minus(keep);
            let (archivist, of_hub) = (archivist.clone(), hub.clone());
            let work = move || archivist.retire(&of_hub, kind, before, rules.archive);
            if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
                let text = format!("what is too old could not leave the store: {error:#}");
                hub.raise(Alert { name: "retention.failed", severity: Severity::High, text });
            }
        }
        let shortest = kept.iter().filter_map(|(_, keep)| *keep).min().unwrap_or(LOOK.1);
        let _changed_or_over = timeout((shortest / 4).clamp(LOOK.0, LOOK.1), changes.changed()).await;
    }
}
