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

/// How many processes of this one's group, and of those below it, the kernel has ended since the group was made because
/// memory ran out. `None`: it cannot be read.
pub fn killed() -> Option<u64> {
    killed_of(Path::new(GROUPS), &fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// By the lines of `/proc/PID/cgroup`. Where memory is still counted in the first version's hierarchy, that says it.
fn killed_of(root: &Path, groups: &str) -> Option<u64> {
    let place = |root: PathBuf, path: &str| root.join(path.trim().trim_start_matches('/'));
    let first = groups.lines().find_map(|line| line.split_once(":memory:"));
    if let Some((_, path)) = first {
        return killed_in(&place(root.join("memory"), path).join("memory.oom_control"));
    }
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    killed_in(&place(root.to_owned(), path).join("memory.events"))
}

fn killed_in(counts: &Path) -> Option<u64> {
    let events = fs::read_to_string(counts).ok()?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
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
    fn what_the_kernel_has_ended_is_counted_and_what_cannot_be_read_is_not_nothing() {
        let root = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let killed = |groups: &str| killed_of(root.path(), groups);
        assert_eq!(killed("0::/hal.service\n"), None);
        put("hal.service/memory.events", "max 7\noom 3\noom_kill 2\noom_group_kill 0\n");
        assert_eq!(killed("0::/hal.service\n"), Some(2));
        put("memory/hal.service/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
        assert_eq!(killed("9:memory:/hal.service\n0::/hal.service\n"), Some(5));
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
