//! Coding agents that outlive hal-agent: each process belongs to a holder of its own, to which hal-agent attaches again.
//!
//! - `wire`: what both say to each other. `order`: what a holder is started with.
//! - `holder`: `hal hold`, the process. `state`: what it knows; `record`: what was said and not acknowledged; `serve`: a
//!   connection of it.
//! - `client`: hal-agent's end: a process that is held. `find`: those that are there from before.
//!
//! A holder knows no kind's language, and no kind knows how it is held.

pub mod client;
mod find;
pub mod holder;
mod order;
mod record;
mod serve;
mod state;
mod wire;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::processes::{self, Process};
use client::Held;
use hal_base::id::fresh_secret;
use hal_base::{file, log};
use order::{Holding, Order, Started};
use wire::Private;

pub use find::Found;
pub use wire::{Channel, Interrupt};

/// The word that makes the executable a holder.
pub const WORD: &str = "hold";

/// Where holders have their folders, in the agent's data.
const FOLDER: &str = "hold";

/// The file in it with what only this agent knows.
const KEY: &str = "key";

/// This program, whatever has taken its place on the disk.
const OURSELVES: &str = "/proc/self/exe";

/// How long a holder may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How this agent has its processes held. Clones share what bounds them.
#[derive(Clone, Debug)]
pub struct Hold {
    folder: PathBuf,
    holding: Holding,
    /// The executable that becomes the holder.
    program: PathBuf,
    /// When the first lease ends: nothing runs unattended after that.
    lease: watch::Receiver<Option<Instant>>,
}

impl Hold {
    /// For the agent with this data; what it holds goes on for so long without it.
    pub fn open(
        data_dir: &Path,
        alone: Duration,
        lease: watch::Receiver<Option<Instant>>,
    ) -> io::Result<Self> {
        let folder = data_dir.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let path = folder.join(KEY);
        let key = match fs::read_to_string(&path) {
            Ok(key) if !key.is_empty() => key,
            _ => {
                let key = fresh_secret();
                file::replace(&path, key.as_bytes(), 0o600)?;
                key
            }
        };
        let agent = hal_base::secret::hash_of_bytes(data_dir.as_os_str().as_encoded_bytes());
        let alone_ms = u64::try_from(alone.as_millis()).unwrap_or(u64::MAX);
        let holding = Holding { agent, key: Private(key), alone_ms };
        Ok(Self { folder, holding, program: OURSELVES.into(), lease })
    }

    /// For the agent with this data, to end what it has left; `None`: nothing was ever held for it.
    pub fn known(data_dir: &Path) -> Option<Self> {
        let is_known = data_dir.join(FOLDER).join(KEY).exists();
        is_known.then(|| Self::open(data_dir, Duration::ZERO, watch::channel(None).1).ok())?
    }

    /// The same where this process is not the executable that can be a holder.
    pub fn by(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// Starts what the command would start, held. Its pipes are the holder's, whatever the command says of them.
    pub async fn start(&self, command: &Command, mark: &str) -> io::Result<Held> {
        let folder = self.folder.join(mark);
        let ours = std::env::vars_os();
        let order = Order::of(command, ours, mark, (&self.holding, &folder));
        let mut holder = Command::new(&self.program);
        holder.arg0("hal").arg(WORD).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        // What it says is for the journal of the service; whoever reads ours to its end is not to wait for it.
        holder.stderr(if log::is_under_systemd() { Stdio::inherit() } else { Stdio::null() });
        let mut holder = tokio::process::Command::from(holder).spawn()?;
        let (stdin, stdout) = (holder.stdin.take(), holder.stdout.take());
        let started = timeout(START_LIMIT, ordered(stdin, stdout, &order)).await;
        let process = match started.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(process) => process,
            Err(error) => {
                let _ended_already = holder.start_kill();
                let mark = mark.to_owned();
                processes::end(move || processes::marked(&mark)).await;
                let _ended = holder.wait().await;
                // Ended before it could remove it itself.
                let _gone = fs::remove_dir_all(&folder);
                return Err(error);
            }
        };
        // Whatever becomes of it, its end is waited for: else it would stay as a zombie.
        tokio::spawn(async move { holder.wait().await });
        tracing::debug!(process, mark, "held");
        self.attach(mark).await
    }

    /// Attaches to the holder with this mark.
    async fn attach(&self, mark: &str) -> io::Result<Held> {
        Held::attach(&self.folder.join(mark), mark, &self.holding, self.lease.clone()).await
    }
}

/// Gives a holder its order, and reads whether the process runs.
async fn ordered(
    stdin: Option<tokio::process::ChildStdin>,
    stdout: Option<tokio::process::ChildStdout>,
    order: &Order,
) -> io::Result<i32> {
    let (mut stdin, stdout) = stdin.zip(stdout).ok_or(io::ErrorKind::BrokenPipe)?;
    stdin.write_all(&serde_json::to_vec(order)?).await?;
    drop(stdin);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    let started: Started = serde_json::from_str(&line)
        .map_err(|_| io::Error::other("the holder of the process ended before it started it"))?;
    started.process()
}

/// All processes whose mark begins like this, but for those that are held.
pub fn unheld(mark: &str, held: &[String]) -> Vec<Process> {
    let kept: Vec<Process> = held.iter().flat_map(|held| processes::marked(held)).collect();
    processes::marked(mark).into_iter().filter(|one| !kept.contains(one)).collect()
}
