//! How the machine is: read from the system at each heartbeat, only what a heartbeat says.

use std::path::PathBuf;

use sysinfo::{MemoryRefreshKind, System};

use hal_base::clock::{self, Time};
use hal_base::cpu::CpuMeter;
use hal_base::memory::{self, Memory};
use hal_protocol::alert::Severity;
use hal_protocol::node::Resources;
use hal_rules::watch::WatchLimits;

/// Measures; keeps the last processor times, since use is a difference.
#[derive(Debug)]
pub struct Gauge {
    system: Option<System>,
    data_dir: PathBuf,
    short_of_memory: Option<Severity>,
    cpu: CpuMeter,
    started: Time,
}

impl Gauge {
    /// `data_dir` says which disk matters. A system that cannot be asked is reported as zeros, and logged once.
    pub fn new(data_dir: PathBuf) -> Self {
        let system = System::new()
            .inspect_err(|error| tracing::warn!("this machine's resources cannot be measured: {error}"))
            .ok();
        Self { system, data_dir, short_of_memory: None, cpu: CpuMeter::default(), started: clock::now() }
    }

    /// Measures now. The processors' use is that since the last call.
    pub fn measure(&mut self) -> Resources {
        let Memory { own, used, limit } = memory::measure();
        self.tell_of_memory(used, limit);
        let mut out = Resources {
            agent_rss: own,
            limited_memory: used,
            memory_limit: limit,
            agent_cpu_percent: self.cpu.percent().unwrap_or(0.0) as f32,
            agent_started_ms: self.started.0,
            oom_kills: memory::killed(),
            ..Resources::default()
        };
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

    /// The supervisor raises an alert of it; whoever reads only this machine's log shall find it, too. Said once, and
    /// again when it grows worse. True when something was said.
    fn tell_of_memory(&mut self, used: u64, limit: u64) -> bool {
        let verdict = WatchLimits::default().memory("hal-agent with what it runs", used, limit);
        let before = std::mem::replace(&mut self.short_of_memory, verdict.as_ref().map(|(how, _)| *how));
        match verdict {
            Some((how, text)) if before.is_none_or(|before| before < how) => tracing::warn!("{text}"),
            None if before.is_some() => tracing::info!("there is memory enough again"),
            _ => return false,
        }
        true
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

    #[test]
    fn want_of_memory_is_said_once_and_again_when_it_is_worse_or_over() {
        let mut gauge = Gauge::new(std::env::temp_dir());
        let said = [70, 90, 91, 97, 97, 50, 50].map(|used| gauge.tell_of_memory(used, 100));
        assert_eq!(said, [false, true, false, true, false, true, false]);
        assert!(!gauge.tell_of_memory(100, 0), "without a limit there is no want");
    }
}
