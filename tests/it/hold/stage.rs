//! The stage for a holder alone: an agent's folder, and a shell that is held.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hal_o_swarm::agent::backend::hold::client::{Heard, Held};
use hal_o_swarm::agent::backend::hold::{Channel, Found, Hold};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::patience::PATIENCE;
use crate::tool::all_processes;
use crate::world::HAL;

/// A data folder of an agent, and the hold on what it starts. What is left when it is dropped is ended.
pub struct HoldStage {
    pub hold: Hold,
    pub folder: TempDir,
    /// When the first lease ends.
    pub lease: watch::Sender<Option<Instant>>,
    /// In the command lines of what is held here, and nowhere else.
    pub word: String,
}

impl HoldStage {
    /// What is held goes on for so long alone.
    pub fn set(alone: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (lease, lease_end) = watch::channel(None);
        let hold = Hold::open(folder.path(), alone, lease_end).unwrap().by(PathBuf::from(HAL));
        let word = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        Self { hold, folder, lease, word }
    }

    /// What the marks of this stage begin with.
    pub fn marks(&self) -> String {
        format!("shell.{}.", self.word)
    }

    /// Starts a shell with this script, held.
    pub async fn start(&self, script: &str) -> Held {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!(": {}; {script}", self.word)).current_dir(self.folder.path());
        self.hold.start(&command, &format!("{}1", self.marks())).await.unwrap()
    }

    /// Attaches again.
    pub async fn again(&self) -> Held {
        match self.hold.find(&self.marks()).await.pop() {
            Some(Found::Held(held)) => held,
            other => panic!("{other:?}"),
        }
    }

    /// The processes that are held here, with all they have started that has the word in its command line.
    pub fn processes(&self) -> Vec<i32> {
        let ours = all_processes().filter(|(_, command)| command.contains(&self.word));
        ours.map(|(pid, _)| pid).collect()
    }

    /// The process of the holder.
    pub fn holder(&self, held: &Held) -> i32 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", held.process)).unwrap();
        stat[stat.rfind(')').unwrap() + 1..].split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Where the holder has its socket and its record.
    pub fn place(&self) -> PathBuf {
        self.folder.path().join("hold").join(format!("{}1", self.marks()))
    }
}

impl Drop for HoldStage {
    fn drop(&mut self) {
        for pid in self.processes() {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// The next thing that is heard.
pub async fn next(held: &mut Held) -> Option<Heard> {
    timeout(PATIENCE, held.next()).await.expect("something in time")
}

/// Listens until this was said on its output, from where it stands: all of it, and the offset after it.
pub async fn until(held: &mut Held, words: &str) -> (String, u64) {
    let mut said = Vec::new();
    loop {
        match next(held).await {
            Some(Heard::Part(next, Channel::Output, bytes)) => {
                said.extend_from_slice(&bytes);
                let text = String::from_utf8_lossy(&said);
                if text.contains(words) {
                    return (text.into_owned(), next);
                }
            }
            Some(Heard::Part(..)) => {}
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&said)),
        }
    }
}

/// Listens to its end: how it ended.
pub async fn end_of(held: &mut Held) -> String {
    loop {
        match next(held).await {
            Some(Heard::Exit(outcome)) => return outcome,
            Some(Heard::Part(..)) => {}
            None => panic!("the holder is gone"),
        }
    }
}

/// KiB of a process that are its own.
pub fn private_kib(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    field("Private_Clean:") + field("Private_Dirty:")
}

/// Permissions of a file.
pub fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap().permissions().mode() & 0o777
}
