//! What the supervisor counts, in Prometheus' words. Names are the predecessor's where it has one.
//!
//! - `counts`: what the hub commits. `fleet`: nodes and what waits for people. `process`: the supervisor's own.
//! - `cost`, `bills`, `budget`: money. `classic`: the older text format.

mod bills;
mod budget;
mod classic;
mod cost;
mod counts;
mod fleet;
mod process;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use self::bills::Bills;
use self::budget::Budgets;
pub use self::counts::Counts;
use self::fleet::Fleet;
use self::process::Process;
use super::hub::Hub;
use super::hub::view::View;
use hal_base::clock;
use hal_protocol::cost::CostReport;
use hal_protocol::session::Status;
use hal_rules::watch::WatchLimits;
use hal_store::mirror::MirrorHealth;
use hal_store::mirror::backup::Saved;
use hal_store::usage::Usage;

/// A label with a bounded set of values.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LabelValue {
    /// The value.
    pub word: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStatus {
    status: &'static str,
}

/// All counters. Clones of a counter share its value.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Frames that were refused, by reason.
    pub refused_frames: Family<LabelValue, Counter>,
    /// Requests without a valid token, by door (`agent`, `api`).
    pub refused_tokens: Family<LabelValue, Counter>,
    /// Connections that a listener could not take.
    pub accept_failures: Counter,
    /// Readers of the live stream right now.
    pub streams: Gauge,
    /// Live frames that nobody could take in time.
    pub live_dropped: Counter,
    counts: Counts,
    connections: Gauge,
    nodes_online: Gauge,
    nodes_known: Gauge,
    sessions: Family<OfStatus, Gauge>,
    commands_open: Gauge,
    input_queue: Gauge<f64, AtomicU64>,
    mirror_lag: Gauge<f64, AtomicU64>,
    mirror_rows: Gauge,
    mirror_comparisons: Gauge,
    /// Backups that could not be made.
    pub backup_failures: Counter,
    backup_time: Gauge<f64, AtomicU64>,
    backup_bytes: Gauge<f64, AtomicU64>,
    backup_good: Gauge,
    disk: Family<LabelValue, Gauge<f64, AtomicU64>>,
    disk_free: Gauge<f64, AtomicU64>,
    kept: Gauge<f64, AtomicU64>,
    costs: cost::Costs,
    bills: Bills,
    budgets: Budgets,
    fleet: Fleet,
    process: Process,
}

/// What files are there, for whoever asks now.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// What they take.
    pub usage: Usage,
    /// Bytes that the rows of the store and its mirror take, of which `retention.max_size` speaks.
    pub kept: u64,
    /// The newest backup.
    pub backup: Option<Saved>,
    /// Whether it was looked through and found good.
    pub is_good: bool,
}

/// What was used today, for whoever asks now; `None`: the store cannot be read.
pub type Today = Option<CostReport>;

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Mutex::default(),
            refused_frames: Family::default(),
            refused_tokens: Family::default(),
            accept_failures: Counter::default(),
            streams: Gauge::default(),
            live_dropped: Counter::default(),
            counts: Counts::default(),
            connections: Gauge::default(),
            nodes_online: Gauge::default(),
            nodes_known: Gauge::default(),
            sessions: Family::default(),
            commands_open: Gauge::default(),
            input_queue: Gauge::default(),
            mirror_lag: Gauge::default(),
            mirror_rows: Gauge::default(),
            backup_failures: Counter::default(),
            backup_time: Gauge::default(),
            backup_bytes: Gauge::default(),
            backup_good: Gauge::default(),
            disk: Family::default(),
            disk_free: Gauge::default(),
            kept: Gauge::default(),
            costs: cost::Costs::default(),
            bills: Bills::default(),
            budgets: Budgets::default(),
            fleet: Fleet::default(),
            process: Process::default(),
            mirror_comparisons: Gauge::default(),
        };
        metrics.registry = Mutex::new(metrics.named());
        metrics
    }
}

impl Metrics {
    /// All metrics under their names.
    fn named(&self) -> Registry {
        let metrics = self;
        let mut root = Registry::default();
        self.costs.name(&mut root);
        self.process.name(&mut root);
        let of = root.sub_registry_with_prefix("hal_o_swarm");
        self.counts.name(of);
        self.fleet.name(of);
        of.register("frames_refused", "Frames refused, by reason", metrics.refused_frames.clone());
        of.register("tokens_refused", "Requests without a valid token", metrics.refused_tokens.clone());
        of.register(
            "accepts_failed",
            "Connections that could not be accepted",
            metrics.accept_failures.clone(),
        );
        of.register("streams_active", "Readers of the live stream", metrics.streams.clone());
        of.register("live_dropped", "Live frames dropped for slow readers", metrics.live_dropped.clone());
        of.register("connections_active", "Connected agents", metrics.connections.clone());
        of.register("nodes_online", "Nodes online", metrics.nodes_online.clone());
        of.register("nodes_known", "Nodes ever seen", metrics.nodes_known.clone());
        of.register("sessions_active", "Sessions that have not ended, by status", metrics.sessions.clone());
        of.register("commands_open", "Commands that have not ended", metrics.commands_open.clone());
        of.register("input_queue_ratio", "How full the hub's queue is, 0 to 1", metrics.input_queue.clone());
        of.register("mirror_lag_seconds", "How far supervisor.db is behind", metrics.mirror_lag.clone());
        of.register("mirror_rows", "Rows in supervisor.db", metrics.mirror_rows.clone());
        of.register(
            "mirror_comparisons",
            "How often all rows of supervisor.db were compared with the store's since it was opened",
            metrics.mirror_comparisons.clone(),
        );
        self.name_files(of);
        self.bills.name(of);
        self.budgets.name(of);
        root
    }

    fn name_files(&self, of: &mut Registry) {
        of.register("backup_failures", "Backups that could not be made", self.backup_failures.clone());
        of.register("backup_newest_timestamp_seconds", "When the newest was made", self.backup_time.clone());
        of.register("backup_newest_bytes", "Its size", self.backup_bytes.clone());
        of.register("backup_newest_verified", "1: verified and good", self.backup_good.clone());
        of.register("disk_bytes", "Disk use of the files, by kind", self.disk.clone());
        of.register("disk_free_bytes", "Free space on the disk of the store", self.disk_free.clone());
        of.register("kept_bytes", "Estimated size of what retention.max_size bounds", self.kept.clone());
    }

    fn look_at_files(&self, files: &Files) {
        self.backup_time.set(files.backup.as_ref().map_or(0.0, |backup| backup.at.0 as f64 / 1e3));
        self.backup_bytes.set(files.backup.as_ref().map_or(0.0, |backup| backup.bytes as f64));
        self.backup_good.set(i64::from(files.is_good));
        for (word, bytes) in files.usage.parts() {
            self.disk.get_or_create(&LabelValue { word }).set(bytes as f64);
        }
        self.disk_free.set(files.usage.free as f64);
        self.kept.set(files.kept as f64);
    }

    /// Everybody who was turned away so far: without a valid token, or for what he said.
    pub fn refused(&self) -> u64 {
        let doors =
            ["agent", "api"].map(|word| self.refused_tokens.get_or_create(&LabelValue { word }).get());
        doors.iter().sum()
    }

    /// The hub's own counters.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// These limits are in force.
    pub fn set_limits(&self, limits: Arc<WatchLimits>) {
        self.fleet.limits.store(limits);
    }

    /// All metrics in the older format of Prometheus.
    pub fn classic_text(&self, hub: &Hub, mirror: &MirrorHealth, files: &Files, today: &Today) -> String {
        classic::of(&self.text(hub, mirror, files, today))
    }

    /// All metrics as OpenMetrics.
    pub fn text(&self, hub: &Hub, mirror: &MirrorHealth, files: &Files, today: &Today) -> String {
        if let Some(today) = today {
            self.costs.set(today);
        }
        self.look_at(&hub.view());
        self.bills.look_at(&hub.view(), clock::now());
        self.budgets.look_at(&hub.view());
        self.fleet.look_at(&hub.view(), clock::now());
        self.process.look();
        self.look_at_files(files);
        self.mirror_lag.set(mirror.lag.as_secs_f64());
        self.mirror_rows.set(i64::try_from(mirror.rows).unwrap_or(i64::MAX));
        self.mirror_comparisons.set(i64::try_from(mirror.comparisons).unwrap_or(i64::MAX));
        self.input_queue.set(hub.pressure());
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Writing to a String does not fail.
        let _ = encode(&mut text, &registry);
        text
    }

    fn look_at(&self, view: &View) {
        let online = view.every_node().filter(|node| node.link.online).count();
        self.nodes_online.set(as_i64(online));
        self.connections.set(as_i64(online));
        self.nodes_known.set(as_i64(view.stored.nodes.len()));
        self.commands_open.set(as_i64(view.stored.commands.len()));
        let mut by_status = [0_i64; Status::ALL.len()];
        for record in view.stored.sessions.values() {
            let (status, _) = view.status_of(&record.session);
            by_status[status as usize] += 1;
        }
        for status in Status::ALL.into_iter().filter(|status| *status != Status::Ended) {
            self.sessions
                .get_or_create(&OfStatus { status: status.as_str() })
                .set(by_status[status as usize]);
        }
    }
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
