//! What the kernel says of a process, and how many descriptors it lets this one have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Bytes that a process has had written to disks so far.
pub fn bytes_written(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
}

/// The kernel's clock for /proc: ticks a second.
const TICKS: f64 = 100.0;

/// Seconds of processor time of a process so far, its own and the kernel's for it.
pub fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum();
    ticks / TICKS
}

/// Seconds of processor time so far of the threads of a process that have this name.
pub fn thread_seconds(pid: u32, name: &str) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let of_task = |task: std::fs::DirEntry| {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let spent: f64 = read("schedstat").split_whitespace().next()?.parse().ok()?;
        (read("comm").trim() == name).then_some(spent / 1e9)
    };
    tasks.flatten().filter_map(of_task).sum()
}

/// Resident memory of a process in KiB: now, and at its most.
pub fn resident_kib(pid: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Memory of a process in KiB that no other one uses, pages of its files among it.
pub fn private_kib(pid: u32) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
    let private = rollup.lines().filter_map(|line| line.strip_prefix("Private_")?.split_whitespace().nth(1));
    private.filter_map(|kib| kib.parse::<f64>().ok()).sum()
}

/// Lets this process have as many descriptors as it may: how many.
pub fn raise_descriptors() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let most = Rlimit { current: now.maximum, ..now };
    let raised = setrlimit(Resource::Nofile, most).map_or(now.current, |()| now.maximum);
    raised.unwrap_or(u64::MAX)
}
