//! The process: one for each session at work, spoken to in JSON lines over its pipes.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::backend::processes::{self, MARK};
use crate::backend::tail::Tail;
use hal_base::id::fresh_secret;

/// Bytes of one line that are read: tools may give a lot.
const LINE_MAX: usize = 16 * 1024 * 1024;

/// Lines that may wait for the session: few, since each may be large.
const LINES: usize = 8;

/// How long it may take to read what is said to it.
pub const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take to end by itself when nobody speaks to it any more, and after SIGTERM.
const END_LIMIT: Duration = Duration::from_secs(3);

/// What comes from a process.
#[derive(Debug)]
pub enum Heard<L> {
    /// A line.
    Line(L),
    /// Something that is no line of its language; why.
    Garbage(String),
}

/// A line of a language.
pub trait Spoken: DeserializeOwned + Send + 'static {
    /// What is to be heard of it; `None`: it means nothing here.
    fn heard(self) -> Option<Heard<Self>>;
}

/// A running process.
#[derive(Debug)]
pub struct LineProcess<L> {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it says; it ends with the process.
    pub heard: mpsc::Receiver<Heard<L>>,
    errors: Tail,
    mark: String,
    /// False until nothing that it has started is left.
    is_swept: bool,
}

/// One that is let go without being ended, since it was silent or said nonsense, leaves nothing behind either: it may be a
/// wrapper around the program that hangs.
impl<L> Drop for LineProcess<L> {
    fn drop(&mut self) {
        let (mark, is_swept) = (std::mem::take(&mut self.mark), self.is_swept);
        if let (false, Ok(runtime)) = (is_swept, Handle::try_current()) {
            runtime.spawn(async move { sweep(&mark).await });
        }
    }
}

impl<L: Spoken> LineProcess<L> {
    /// Starts it, with a mark that begins like this.
    pub fn start(mut command: Command, mark: &str) -> io::Result<Self> {
        let mark = format!("{mark}.{}", &fresh_secret()[..16]);
        command
            .env(MARK, &mark)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C on a terminal is for us: we end it in the right order.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let (lines, heard) = mpsc::channel(LINES);
        let errors = Tail::default();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read(stdout, lines));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(errors.clone().read(stderr, |_| {}));
        }
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, heard, errors, mark, is_swept: false })
    }

    /// Says something to it.
    pub async fn write(&mut self, value: &Value) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let line = format!("{value}\n");
        let Ok(written) = timeout(WRITE_LIMIT, stdin.write_all(line.as_bytes())).await else {
            // Half a line may have gone, and what would follow it could not be read.
            self.stdin = None;
            let _ended_already = self.child.start_kill();
            self.heard.close();
            return Err(io::ErrorKind::TimedOut.into());
        };
        written
    }

    /// How it ended, and the last lines of its errors below; to be asked when nothing is heard of it any more.
    pub async fn outcome(&mut self) -> String {
        let status = match timeout(END_LIMIT, self.child.wait()).await {
            Ok(status) => status.map_or_else(|error| error.to_string(), |status| status.to_string()),
            Err(_) => "it has closed its output".to_owned(),
        };
        self.errors.settle().await;
        format!("{status}{}", self.errors.text())
    }

    /// Ends it: lets it end by itself, asks, then forces. Nothing that it has started is left. Tells how many processes
    /// had to be ended.
    pub async fn end(mut self) -> usize {
        drop(self.stdin.take());
        // It would wait for somebody to read what it still says.
        self.heard.close();
        if timeout(END_LIMIT, self.child.wait()).await.is_err() {
            if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
            {
                let _ = kill_process(pid, Signal::TERM);
            }
            if timeout(END_LIMIT, self.child.wait()).await.is_err() {
                let _ = self.child.kill().await;
            }
        }
        let ended = sweep(&self.mark).await;
        self.is_swept = true;
        ended
    }

    /// Ends it at once, with all that it has started.
    pub async fn kill(mut self) -> usize {
        drop(self.stdin.take());
        let ended = sweep(&self.mark).await;
        self.is_swept = true;
        let _ = self.child.kill().await;
        ended
    }
}

/// Ends everything whose mark begins like this; tells how many processes there were.
pub async fn sweep(mark: &str) -> usize {
    let wanted = mark.to_owned();
    let (found, left) = processes::end(move || processes::marked(&wanted)).await;
    if left > 0 {
        tracing::warn!("{left} processes of the coding agent with the mark {mark} could not be ended");
    }
    found
}

/// Reads lines to the end. One that is too long is thrown away while it is read.
async fn read<L: Spoken>(pipe: impl AsyncRead + Unpin, lines: mpsc::Sender<Heard<L>>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    let mut is_too_long = false;
    while let Ok(bytes) = pipe.fill_buf().await {
        if bytes.is_empty() {
            return;
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        is_too_long |= line.len() + piece.len() > LINE_MAX;
        if is_too_long {
            line.clear();
        } else {
            line.extend_from_slice(piece);
        }
        let used = end.map_or(bytes.len(), |end| end + 1);
        pipe.consume(used);
        if end.is_none() {
            continue;
        }
        let heard = match is_too_long {
            true => Some(Heard::Garbage(format!("a line of more than {} MiB", LINE_MAX >> 20))),
            false => understand(&line),
        };
        (line, is_too_long) = (Vec::new(), false);
        let Some(heard) = heard else { continue };
        if lines.send(heard).await.is_err() {
            // Nobody listens any more; it is read to the end so that it can end.
            lines.closed().await;
        }
    }
}

fn understand<L: Spoken>(line: &[u8]) -> Option<Heard<L>> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    match serde_json::from_slice::<L>(line) {
        Ok(line) => line.heard(),
        Err(error) => Some(Heard::Garbage(format!("a line that is no JSON ({error})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Spoken for Value {
        fn heard(self) -> Option<Heard<Self>> {
            self.is_object().then_some(Heard::Line(self))
        }
    }

    #[tokio::test]
    async fn garbage_and_a_line_that_is_too_long_are_named_and_what_follows_is_read() {
        let mut said = b"hello\n\n[1, 2]\n".to_vec();
        said.extend(std::iter::repeat_n(b'x', LINE_MAX + 1));
        said.extend_from_slice(b"\n{\"type\":\"compacted\"}\n");
        let (lines, mut heard) = mpsc::channel::<Heard<Value>>(8);
        tokio::spawn(async move { read(said.as_slice(), lines).await });
        let mut told = Vec::new();
        while let Some(one) = heard.recv().await {
            told.push(match one {
                Heard::Line(line) => line["type"].to_string(),
                Heard::Garbage(why) => why,
            });
        }
        let [garbage, long, line] = told.as_slice() else { panic!("{told:?}") };
        assert!(
            garbage.contains("no JSON") && long == "a line of more than 16 MiB" && line == "\"compacted\""
        );
    }
}
