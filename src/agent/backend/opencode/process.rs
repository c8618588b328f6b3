//! The process of opencode: a child of ours that ends with us, or one that is held and goes on without us.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::backend::hold::client::{Hand, Heard, Held};
use crate::backend::hold::{Channel, Hold};

/// How long it may take to end after SIGTERM; it takes a fifth of a second.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Bytes of its output that wait to be read.
const PIPE: usize = 64 * 1024;

/// Why a holder cannot have its folder, whatever it is to hold.
const NO_ROOM: [io::ErrorKind; 3] =
    [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::ReadOnlyFilesystem];

/// What it writes on one of its outputs.
pub type Pipe = Box<dyn AsyncRead + Send + Unpin>;

/// A process that was started.
#[derive(Debug)]
pub enum Process {
    /// A child of ours.
    Child(Box<Child>),
    /// One that is held.
    Held(HeldProcess),
}

/// One that is held. Dropped, it is let go.
#[derive(Debug)]
pub struct HeldProcess {
    pid: i32,
    hand: Hand,
    outcome: watch::Receiver<Option<String>>,
    reading: AbortHandle,
}

impl Drop for HeldProcess {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Process {
    /// Starts it: held where there is who holds it. Gives its standard output and its errors, too.
    pub async fn start(
        mut command: Command,
        mark: &str,
        hold: Option<&Hold>,
    ) -> io::Result<(Self, Option<Pipe>, Option<Pipe>)> {
        if let Some(hold) = hold {
            match hold.start(command.as_std(), mark).await {
                Ok(held) => return Ok(Self::of(held)),
                // It needs no room itself: better it ends with us than that nothing can be worked on.
                Err(error) if NO_ROOM.contains(&error.kind()) => {
                    tracing::warn!("opencode ends with this agent, as there is no place to hold it: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().map(|pipe| Box::new(pipe) as Pipe);
        let stderr = child.stderr.take().map(|pipe| Box::new(pipe) as Pipe);
        Ok((Self::Child(Box::new(child)), stdout, stderr))
    }

    /// One that is held already.
    pub fn of(held: Held) -> (Self, Option<Pipe>, Option<Pipe>) {
        let (output, stdout) = tokio::io::duplex(PIPE);
        let (errors, stderr) = tokio::io::duplex(PIPE);
        let (told, outcome) = watch::channel(None);
        let (pid, hand) = (held.process, held.hand.clone());
        let reading = tokio::spawn(read(held, output, errors, told)).abort_handle();
        let process = Self::Held(HeldProcess { pid, hand, outcome, reading });
        (process, Some(Box::new(stdout)), Some(Box::new(stderr)))
    }

    /// What keeps something for the agent after us; `None`: it ends with us.
    pub fn hand(&self) -> Option<&Hand> {
        match self {
            Self::Child(_) => None,
            Self::Held(held) => Some(&held.hand),
        }
    }

    /// Resolves when it has ended, with how. Nothing is lost when it is dropped.
    pub async fn wait(&mut self) -> String {
        match self {
            Self::Child(child) => outcome(child.wait().await),
            Self::Held(held) => match held.outcome.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or_default(),
                Err(_) => "its holder is gone".to_owned(),
            },
        }
    }

    /// Its process number; absent once it has ended.
    pub fn pid(&self) -> Option<i32> {
        match self {
            Self::Child(child) => child.id().and_then(|pid| i32::try_from(pid).ok()),
            Self::Held(held) => Some(held.pid).filter(|_| held.outcome.borrow().is_none()),
        }
    }

    /// Asks it to end, waits, then forces.
    pub async fn end(mut self) {
        self.signal(Signal::TERM);
        if timeout(END_LIMIT, self.wait()).await.is_err() {
            self.kill().await;
        } else if let Some(hand) = self.hand() {
            hand.forget();
        }
    }

    /// Ends it by force.
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        let _as_long_as_it_may = timeout(END_LIMIT, self.wait()).await;
        if let Some(hand) = self.hand() {
            hand.forget();
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().and_then(Pid::from_raw) {
            // It may just have ended, and that is what is wanted.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Passes on what it says. Its pipes carry its log only: what was passed on is needed no more.
async fn read(
    mut held: Held,
    mut output: DuplexStream,
    mut errors: DuplexStream,
    told: watch::Sender<Option<String>>,
) {
    let hand = held.hand.clone();
    let outcome = loop {
        match held.next().await {
            Some(Heard::Part(next, channel, bytes)) => {
                // Nobody may be listening to one of them any more.
                let _deaf = match channel {
                    Channel::Output => output.write_all(&bytes).await,
                    Channel::Error => errors.write_all(&bytes).await,
                    Channel::Note => Ok(()),
                };
                hand.acknowledge(next);
            }
            Some(Heard::Exit(outcome)) => break outcome,
            None => break "its holder is gone".to_owned(),
        }
    };
    drop((output, errors));
    told.send_replace(Some(outcome));
    // Until it is dropped: what it is told goes over this connection.
    while held.next().await.is_some() {}
}

fn outcome(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}
