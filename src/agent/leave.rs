//! Whether coding agents go on when this agent stops: when systemd restarts it, and leaves alone what it has started. After a
//! stop, whatever is left of them is ended; that is `hal hold after-stop`, which the unit calls; `hal hold clear` is for the
//! package that is removed.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, fs};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::backend::hold::Hold;
use crate::config;
use hal_base::config::Purpose;
use hal_protocol::default;

/// How long systemd may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(3);

/// How often what is left is ended, and the pauses between: a process may be starting others.
const ROUNDS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// How jobs are called that start the unit again once it has stopped.
const RESTARTS: [&str; 2] = ["restart", "try-restart"];

/// How a unit ends that leaves everything but its main process to that one.
const LEFT_ALONE: [&str; 2] = ["process", "none"];

/// Whether they go on. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Leave(Arc<AtomicBool>);

impl Leave {
    /// They do: to be said before the agent is told to stop.
    pub fn let_go_on(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True when they do.
    pub fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// True when systemd is about to start this service again, and ends nothing but its main process.
pub async fn is_restarted() -> bool {
    own_job().await.is_some_and(|(kind, shown)| RESTARTS.contains(&kind.as_str()) && is_left_alone(&shown))
}

/// True when all but the main process goes on, and the next agent is of the same user: it could not attach to them else.
fn is_left_alone(shown: &str) -> bool {
    let mode = value_in(shown, "KillMode").unwrap_or_default();
    let (next, now) = (value_in(shown, "User"), env::var("USER").ok());
    LEFT_ALONE.contains(&mode.as_str()) && (next.is_none() || next == now)
}

/// The type of what systemd is doing with this service, and what it shows of it.
async fn own_job() -> Option<(String, String)> {
    let unit = fs::read_to_string("/proc/self/cgroup").ok().and_then(|groups| unit_in(&groups))?;
    let shown = systemctl(&["show", &unit, "--property=Job,KillMode,User"]).await?;
    let job = value_in(&shown, "Job")?;
    let jobs = systemctl(&["list-jobs", "--no-legend", "--no-pager"]).await?;
    Some((kind_of(&jobs, &job)?, shown))
}

/// What is asked for by whoever stops the service or removes it, by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clearing {
    /// The unit, each time the service has ended: what is left is ended when it does not start again.
    AfterStop,
    /// The package that is removed: an agent that was killed may have left what nobody looks after.
    Removal,
}

impl Clearing {
    /// Of its word.
    pub fn of(word: &OsStr) -> Option<Self> {
        let all = [("after-stop", Self::AfterStop), ("clear", Self::Removal)];
        all.into_iter().find(|(known, _)| word == *known).map(|(_, clearing)| clearing)
    }
}

/// Ends what is left of coding agents; after a stop also all else in the control group of the service. An agent that has ended
/// in order has left nothing.
pub async fn clear(clearing: Clearing, config: Option<&OsString>) {
    let is_stopped = || async { own_job().await.is_some_and(|(kind, _)| kind == "stop") };
    if clearing == Clearing::AfterStop && !is_stopped().await {
        return;
    }
    let read = config.and_then(|path| config::read(path.as_ref(), Purpose::Run).ok());
    let data_dir = read.map_or_else(|| PathBuf::from(default::DATA_DIR), |(config, _)| config.data_dir);
    match Hold::known(&data_dir) {
        Some(hold) => hold.clear("").await,
        None => tracing::debug!("nothing was ever held for {}", data_dir.display()),
    }
    if clearing == Clearing::AfterStop {
        end_others().await;
    }
}

async fn end_others() {
    for _ in 0..ROUNDS {
        let left = others_in_group();
        if left.is_empty() {
            return;
        }
        for pid in left.into_iter().filter_map(Pid::from_raw) {
            // It may have ended meanwhile, and that is what is wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
        sleep(PAUSE).await;
    }
}

/// The other processes in this one's control group.
fn others_in_group() -> Vec<i32> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    // Only where it is the group of a service: nothing else is ours to end.
    let Some(path) = groups.lines().find_map(|line| line.strip_prefix("0::")) else { return Vec::new() };
    if unit_in(&groups).is_none_or(|unit| !path.ends_with(&unit)) {
        return Vec::new();
    }
    let processes = fs::read_to_string(format!("/sys/fs/cgroup{path}/cgroup.procs")).unwrap_or_default();
    let own = std::process::id().to_string();
    processes.lines().filter(|line| *line != own).filter_map(|line| line.parse().ok()).collect()
}

async fn systemctl(words: &[&str]) -> Option<String> {
    let mut command = Command::new("systemctl");
    command.args(words).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = timeout(ASK_LIMIT, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The service that this process is in: the innermost one of its control group.
fn unit_in(groups: &str) -> Option<String> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.rsplit('/').find(|part| part.ends_with(".service")).map(str::to_owned)
}

/// A property as `systemctl show` says it.
fn value_in(shown: &str, name: &str) -> Option<String> {
    let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(line.trim().to_owned()).filter(|value| !value.is_empty() && value != "0")
}

/// The type of a job.
fn kind_of(jobs: &str, job: &str) -> Option<String> {
    jobs.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(job)).then(|| words.nth(1).map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_is_understood() {
        let groups = "1:name=systemd:/x\n0::/system.slice/hal-agent.service/agent\n";
        assert_eq!(unit_in(groups).as_deref(), Some("hal-agent.service"));
        assert_eq!(unit_in("0::/user.slice/user-0.slice/session-1.scope\n"), None);
        let shown = "Job=712\nKillMode=process\n";
        assert_eq!(value_in(shown, "Job").as_deref(), Some("712"));
        assert!(is_left_alone(shown), "as root, of whom no unit says anything");
        assert!(!is_left_alone("Job=712\nKillMode=mixed\n"), "all would be ended with it");
        assert!(!is_left_alone("KillMode=process\nUser=somebody-else\n"), "the next one could not attach");
        assert!(value_in("Job=0\n", "Job").is_none() && value_in("Job=\n", "Job").is_none());
        let jobs = "  711 other.service     stop    running\n  712 hal-agent.service restart running\n";
        assert_eq!(kind_of(jobs, "712").as_deref(), Some("restart"));
        assert_eq!(kind_of(jobs, "711").as_deref(), Some("stop"));
        assert_eq!(kind_of(jobs, "7"), None);
    }
}
