//! The supervisor's own process, in the words that Prometheus has for every process.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use hal_base::clock::{self, Time};
use hal_base::{cpu, descriptors, memory};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

type Number = Gauge<f64, AtomicU64>;

/// The gauges.
#[derive(Debug)]
pub(super) struct Process {
    began: Time,
    start: Number,
    build: Family<Build, Gauge>,
    cpu: Counter<f64, AtomicU64>,
    memory: Number,
    open: Gauge,
    most: Number,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            began: clock::now(),
            start: Number::default(),
            build: Family::default(),
            cpu: Counter::default(),
            memory: Number::default(),
            open: Gauge::default(),
            most: Number::default(),
        }
    }
}

impl Process {
    /// Registers the metrics under their names.
    pub(super) fn name(&self, root: &mut Registry) {
        let build = "1, with the version of this supervisor";
        root.register("hal_o_swarm_build_info", build, self.build.clone());
        let of = root.sub_registry_with_prefix("process");
        of.register("cpu_seconds", "Processor time, user and system", self.cpu.clone());
        of.register("resident_memory_bytes", "Resident memory", self.memory.clone());
        of.register("open_fds", "Open files and connections", self.open.clone());
        of.register("max_fds", "How many may be open", self.most.clone());
        of.register("start_time_seconds", "When the process began", self.start.clone());
    }

    /// As it is now. What cannot be read stays as it was.
    pub(super) fn look(&self) {
        self.build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        self.start.set(self.began.0 as f64 / 1e3);
        if let Some(used) = cpu::used() {
            self.cpu.inc_by((used.as_secs_f64() - self.cpu.get()).max(0.0));
        }
        self.memory.set(memory::measure().own as f64);
        if let Some(open) = descriptors::open() {
            self.open.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        self.most.set(descriptors::limit() as f64);
    }
}
