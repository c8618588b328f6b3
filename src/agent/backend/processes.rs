//! Processes of a backend: found through /proc by a mark in their environment or by descent, and ended.
//!
//! opencode's tools run in process groups of their own and outlive it, so neither its death nor a signal to its
//! group reaches them. The mark is inherited by everything it starts, whatever becomes of the parent.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// The environment variable that carries the mark.
pub const MARK: &str = "HAL_AGENT_BACKEND";

/// How long processes may take to end by themselves after SIGTERM.
const TERM_PATIENCE: Duration = Duration::from_secs(2);

/// Rounds of SIGKILL: a process that starts others while it is being ended needs more than one.
const KILL_ROUNDS: u32 = 10;

/// How often the processes are looked for while they end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A process as /proc shows it. Its start time tells it from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// Its session: tools have their own, what belongs to opencode itself has opencode's.
    pub session: i32,
    /// When it began, in clock ticks since the machine did.
    pub started: u64,
    /// Where it works; absent when that cannot be read.
    pub directory: Option<PathBuf>,
}

impl Process {
    /// Reads one process; `None` when there is none, or only its remains.
    pub fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (parent, session, started) = parse_stat(&stat)?;
        let directory = fs::read_link(format!("/proc/{pid}/cwd")).ok();
        Some(Self { pid, parent, session, started, directory })
    }

    /// True when it works in that directory or below.
    pub fn is_within(&self, directory: &Path) -> bool {
        self.directory.as_ref().is_some_and(|own| own.starts_with(directory))
    }

    /// True while it lives.
    pub fn is_alive(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) {
            // It may have ended in between, and that is what is wanted.
            let _ = kill_process(pid, signal);
        }
    }
}

/// All processes whose mark begins with `mark`, and all their descendants. Never this process or those above it.
pub fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    let everything = everything();
    let mut family: HashSet<i32> =
        everything.iter().filter(|one| carries(one.pid, wanted.as_bytes())).map(|one| one.pid).collect();
    let above = above(&everything);
    family.retain(|pid| !above.contains(pid));
    loop {
        let before = family.len();
        let younger =
            everything.iter().filter(|one| family.contains(&one.parent) && !above.contains(&one.pid));
        family.extend(younger.map(|one| one.pid).collect::<Vec<_>>());
        if family.len() == before {
            break;
        }
    }
    everything.into_iter().filter(|one| family.contains(&one.pid)).collect()
}

/// Processes whose mark is this prefix and then the number of a program that has ended, as [`owned`] makes it.
pub fn orphaned(prefix: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={prefix}.");
    let is_orphan = |one: &&Process| {
        let environ = fs::read(format!("/proc/{}/environ", one.pid)).unwrap_or_default();
        let mark =
            environ.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(wanted.as_bytes()));
        mark.and_then(owner)
            .is_some_and(|(pid, started)| Process::read(pid).is_none_or(|owner| owner.started != started))
    };
    everything().iter().filter(is_orphan).cloned().collect()
}

/// A mark that tells which program has set it: this one.
pub fn owned(prefix: &str) -> String {
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let started = Process::read(pid).map_or(0, |own| own.started);
    format!("{prefix}.{pid}.{started}")
}

fn owner(mark: &[u8]) -> Option<(i32, u64)> {
    let mut parts = std::str::from_utf8(mark).ok()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Ends what `find` finds: asks, waits, then ends by force, until nothing is found. Returns how many were found at
/// first and how many could not be ended.
pub async fn end(find: impl Fn() -> Vec<Process> + Clone + Send + 'static) -> (usize, usize) {
    let found = look(&find).await;
    for process in &found {
        process.signal(Signal::TERM);
    }
    let deadline = Instant::now() + TERM_PATIENCE;
    let mut left = found.clone();
    while !left.is_empty() && Instant::now() < deadline {
        sleep(LOOK_EVERY).await;
        left.retain(Process::is_alive);
    }
    for _ in 0..KILL_ROUNDS {
        left.retain(Process::is_alive);
        left.extend(look(&find).await);
        if left.is_empty() {
            break;
        }
        for process in &left {
            process.signal(Signal::KILL);
        }
        sleep(LOOK_EVERY).await;
    }
    (found.len(), left.len())
}

async fn look(find: &(impl Fn() -> Vec<Process> + Clone + Send + 'static)) -> Vec<Process> {
    // Reading /proc is quick but it is file reading all the same.
    tokio::task::spawn_blocking(find.clone()).await.unwrap_or_default()
}

fn everything() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::read)
        .collect()
}

/// This process, its parent, and so on to the first.
fn above(everything: &[Process]) -> HashSet<i32> {
    let mut out = HashSet::new();
    let mut at = i32::try_from(std::process::id()).ok();
    while let Some(pid) = at.filter(|pid| out.insert(*pid)) {
        at = everything.iter().find(|one| one.pid == pid).map(|one| one.parent);
    }
    out
}

fn carries(pid: i32, wanted: &[u8]) -> bool {
    // The environment of another user's process cannot be read, and no such process is ours.
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|variable| variable.starts_with(wanted)))
}

/// Parent, session and start time; `None` for a process that has ended and was not yet buried.
fn parse_stat(stat: &str) -> Option<(i32, i32, u64)> {
    // The name, in parentheses, may hold anything, parentheses and spaces too.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    if matches!(*fields.first()?, "Z" | "X") {
        return None;
    }
    Some((fields.get(1)?.parse().ok()?, fields.get(3)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) b (c) S 7 42 41 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        assert_eq!(parse_stat(stat), Some((7, 41, 12345)));
        assert_eq!(parse_stat(&stat.replace(" S 7", " Z 7")), None);
    }

    #[tokio::test]
    async fn what_a_program_that_has_ended_has_marked_is_an_orphan() {
        let prefix = format!("look-{}", hal_base::id::fresh_secret());
        let start = |mark: String| {
            tokio::process::Command::new("sleep")
                .arg("1002")
                .env(MARK, mark)
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        };
        let ours = start(format!("{}.x", owned(&prefix)));
        let orphan = start(format!("{prefix}.{}.1.x", std::process::id()));
        let found: Vec<u32> = orphaned(&prefix).iter().map(|one| one.pid.cast_unsigned()).collect();
        assert_eq!(found, [orphan.id().unwrap()], "another start of the same number is another program");
        drop(ours);
    }

    #[tokio::test]
    async fn marked_processes_and_their_descendants_end() {
        let mark = hal_base::id::fresh_secret();
        // The second sleep has left its session and its parent, and has no mark of its own.
        let mut shell = tokio::process::Command::new("sh")
            .args(["-c", "trap '' TERM; setsid sleep 1000 & env -i sleep 1001"])
            .env(MARK, &mark)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while marked(&mark).len() < 3 && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        assert_eq!(marked(&mark).len(), 3);
        let wanted = mark.clone();
        let ending = tokio::spawn(async move { end(move || marked(&wanted)).await });
        shell.wait().await.unwrap();
        assert_eq!(ending.await.unwrap(), (3, 0));
        assert!(marked(&mark).is_empty());
    }
}
