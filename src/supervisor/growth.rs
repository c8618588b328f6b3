//! How the data grows: measured again and again, remembered over restarts, and when there is no more room for it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::archive::Archivist;
use super::hub::Hub;
use hal_base::clock::{self, Time};
use hal_base::file;
use hal_base::panic::contained;
use hal_rules::growth::{Growth, Space, SpaceKind};
use hal_store::mirror::HealthOf;
use hal_store::mirror::backup::Backups;
use hal_store::usage::{Usage, Weight, together};

/// Between two looks at how much there is. A look weighs some hundred rows.
const LOOK: Duration = Duration::from_secs(60);

/// Permissions of the file that remembers: as those of the mirror.
const GROUP_READS: u32 = 0o640;

/// Looks at how much there is. Clones share what was seen.
#[derive(Clone, Debug)]
pub struct Growing {
    hub: Hub,
    mirror: HealthOf,
    backups: Backups,
    archive: Archivist,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen so far, as it lies in `supervisor.growth`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Seen {
    disk: Growth,
    kept: Growth,
    /// How things stood at the last look; empty before the first.
    #[serde(skip)]
    spaces: Arc<[Space]>,
}

/// How much there is now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// On the disk.
    pub usage: Usage,
    /// The rows; `None`: they cannot be read.
    pub weight: Option<Weight>,
    /// What `retention.max_size` bounds, in bytes.
    pub kept: u64,
    /// One event in the store and its mirror, in bytes.
    pub per_event: u64,
}

impl Growing {
    /// Of this store.
    pub fn of(hub: Hub, mirror: HealthOf, backups: Backups, archive: Archivist) -> Self {
        let growing = Self { hub, mirror, backups, archive, seen: Arc::default() };
        // What cannot be read, as after a power cut, is seen again within hours.
        let seen = std::fs::read(growing.path()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        *growing.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen.unwrap_or_default();
        growing
    }

    fn path(&self) -> PathBuf {
        self.backups.mirror().with_extension("growth")
    }

    /// Measures. Blocks.
    pub fn measure(&self) -> Measured {
        let store = self.hub.store();
        let weight = store.read().and_then(|reader| reader.weight()).ok();
        let (kept, per_event) = together(&self.mirror.now(), &weight.unwrap_or_default());
        let usage = Usage::of(store.path(), self.backups.mirror(), self.archive.folder());
        Measured { usage, weight, kept, per_event }
    }

    /// What is bounded, and how fast it fills.
    pub fn spaces(&self, measured: &Measured, now: Time) -> Vec<Space> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Usage { used, free, .. } = measured.usage;
        let folder = self.hub.store().path().parent().map(|folder| folder.display().to_string());
        let disk = Space {
            kind: SpaceKind::Disk(folder.unwrap_or_default()),
            used,
            limit: used.saturating_add(free),
            per_day: seen.disk.per_day(now, used),
        };
        let bound = self.archive.max_size().filter(|_| measured.weight.is_some()).map(|limit| Space {
            kind: SpaceKind::Bound,
            used: measured.kept,
            limit,
            per_day: seen.kept.per_day(now, measured.kept),
        });
        std::iter::once(disk).filter(|disk| disk.limit > 0).chain(bound).collect()
    }

    /// Bytes by which what `retention.max_size` bounds grows in a day, whether there is a bound or not.
    pub fn kept_per_day(&self, measured: &Measured, now: Time) -> Option<i64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.kept.per_day(now, measured.kept)
    }

    /// How things stood at the last look.
    pub fn last(&self) -> Arc<[Space]> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).spaces.clone()
    }

    /// Looks once, and remembers. Blocks.
    fn look(&self, now: Time) {
        let measured = self.measure();
        let spaces = self.spaces(&measured, now);
        let seen = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.spaces = spaces.into();
            let disk = measured.usage.used > 0 && seen.disk.see(now, measured.usage.used);
            let kept = measured.weight.is_some() && seen.kept.see(now, measured.kept);
            (disk || kept).then(|| seen.clone())
        };
        let Some(bytes) = seen.and_then(|seen| serde_json::to_vec(&seen).ok()) else { return };
        let path = self.path();
        if let Err(error) = file::replace(&path, &bytes, GROUP_READS) {
            tracing::warn!(%error, "cannot remember in {} how the data grows", path.display());
        }
    }
}

/// Looks for ever.
pub async fn watch(growing: Growing) {
    loop {
        let one = growing.clone();
        let _looked = tokio::task::spawn_blocking(move || contained(|| one.look(clock::now()))).await;
        tokio::time::sleep(LOOK).await;
    }
}
