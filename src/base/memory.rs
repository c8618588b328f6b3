//! How much memory this process uses, and how much it may: by its control group, as systemd and containers set it.

use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// Bytes in a kilobyte of /proc.
const KILO: u64 = 1024;

/// Memory in use and its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident bytes of this process.
    pub own: u64,
    /// Bytes that count towards the limit: of all processes of the group, without what the kernel can drop at once.
    pub used: u64,
    /// The smallest limit of the group and those around it; 0: there is none.
    pub limit: u64,
}

/// Measures this process now. What cannot be read is 0.
pub fn measure() -> Memory {
    measure_in(Path::new("/proc/self"))
}

/// Measures another process.
pub fn measure_of(pid: u32) -> Memory {
    measure_in(&Path::new("/proc").join(pid.to_string()))
}

fn measure_in(process: &Path) -> Memory {
    let own = fs::read_to_string(process.join("status")).ok().and_then(|text| resident(&text)).unwrap_or(0);
    let group = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    match group.lines().find_map(|line| line.strip_prefix("0::")) {
        Some(path) => of_group(Path::new(GROUPS), path.trim(), own),
        None => Memory { own, used: own, limit: 0 },
    }
}

/// The VmRSS of `/proc/PID/status`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(KILO)
}

/// Walks from a group up to the root for the smallest limit; what is used is that of the group that has it.
fn of_group(root: &Path, group: &str, own: u64) -> Memory {
    let mut found = Memory { own, used: own, limit: 0 };
    let mut at: PathBuf = root.join(group.trim_start_matches('/'));
    while at.starts_with(root) && at != root {
        let number = |name: &str| fs::read_to_string(at.join(name)).ok()?.trim().parse::<u64>().ok();
        if let Some(limit) = number("memory.max").filter(|limit| found.limit == 0 || *limit < found.limit) {
            let stat = fs::read_to_string(at.join("memory.stat")).unwrap_or_default();
            let can_go = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse().ok());
            let used = number("memory.current").unwrap_or(own).saturating_sub(can_go.unwrap_or(0));
            found = Memory { own, used, limit };
        }
        if !at.pop() {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory() {
        assert!(measure().own > 0);
        assert_eq!(resident("Name:\thal\nVmRSS:\t   12 kB\n"), Some(12 * 1024));
    }

    #[test]
    fn the_smallest_limit_around_counts_and_what_the_kernel_can_drop_does_not() {
        let root = tempfile::tempdir().unwrap();
        let put = |group: &str, name: &str, text: &str| {
            let folder = root.path().join(group);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), text).unwrap();
        };
        put("system.slice", "memory.max", "1000\n");
        put("system.slice", "memory.current", "900\n");
        put("system.slice/hal.service", "memory.max", "max\n");
        put("system.slice/hal.service", "memory.current", "500\n");
        let seen = of_group(root.path(), "/system.slice/hal.service", 7);
        assert_eq!(seen, Memory { own: 7, used: 900, limit: 1000 });
        put("system.slice/hal.service", "memory.max", "600\n");
        put("system.slice/hal.service", "memory.stat", "anon 1\ninactive_file 100\nactive_file 5\n");
        let seen = of_group(root.path(), "/system.slice/hal.service", 7);
        assert_eq!(seen, Memory { own: 7, used: 400, limit: 600 });
        assert_eq!(of_group(root.path(), "/nowhere", 7), Memory { own: 7, used: 7, limit: 0 });
        assert_eq!(of_group(root.path(), "/../..", 7).limit, 0);
    }
}
