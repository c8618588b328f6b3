//! How the machine is: read from the system at each heartbeat, only what a heartbeat says.

use std::path::PathBuf;

use sysinfo::{MemoryRefreshKind, System};

use crate::base::memory::{self, Memory};
use crate::protocol::node::Resources;

/// Measures; keeps the last processor times, since use is a difference.
#[derive(Debug)]
pub struct Gauge {
    system: Option<System>,
    data_dir: PathBuf,
}

impl Gauge {
    /// `data_dir` says which disk matters. A system that cannot be asked is reported as zeros, and logged once.
    pub fn new(data_dir: PathBuf) -> Self {
        let system = System::new()
            .inspect_err(|error| tracing::warn!("this machine's use cannot be measured: {error}"))
            .ok();
        Self { system, data_dir }
    }

    /// Measures now. The processors' use is that since the last call.
    pub fn measure(&mut self) -> Resources {
        let Memory { own, used, limit } = memory::measure();
        let mut out =
            Resources { agent_rss: own, limited_memory: used, memory_limit: limit, ..Resources::default() };
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            out.cpu_percent = system.global_cpu_usage();
            out.memory_used = system.used_memory();
            out.memory_total = system.total_memory();
        }
        if let Ok(disk) = rustix::fs::statvfs(&self.data_dir) {
            out.disk_free = disk.f_bavail.saturating_mul(disk.f_frsize);
            out.disk_total = disk.f_blocks.saturating_mul(disk.f_frsize);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_memory_and_a_disk() {
        let now = Gauge::new(std::env::temp_dir()).measure();
        assert!(now.memory_total > 0 && now.memory_used <= now.memory_total);
        assert!(now.disk_total >= now.disk_free && now.disk_total > 0);
        assert!(now.agent_rss > 0);
    }
}
