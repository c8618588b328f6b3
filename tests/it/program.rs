//! A started program: its process and what it has said so far. It never outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::patience::wait_until;

/// How long a program may take to end when it is asked to.
const LEAVE: Duration = Duration::from_secs(20);

/// How long it may take when its scene is over and nobody looks any more.
const GRACE: Duration = Duration::from_secs(3);

/// A running `hal`, by the name it has in the scene.
pub struct Program {
    name: String,
    child: Child,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts it; everything it prints is kept.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{name} cannot be started: {e}"));
        let said = Arc::new(Mutex::new(String::new()));
        let readers = vec![
            listen(child.stdout.take().expect("it is piped"), &said),
            listen(child.stderr.take().expect("it is piped"), &said),
        ];
        Self { name: name.to_owned(), child, said, readers }
    }

    /// All it has printed, both streams in the order of their lines.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first line that has this in it.
    pub fn line_with(&self, words: &str) -> String {
        self.line_with_patience(words, LEAVE)
    }

    /// The first line that has this in it, within this time.
    pub fn line_with_patience(&self, words: &str, patience: Duration) -> String {
        wait_until(&format!("{} says {words:?}", self.name), patience, || {
            let said = self.said();
            said.lines().find(|line| line.contains(words)).map(str::to_owned).ok_or(said)
        })
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) -> String {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
        self.all_said()
    }

    /// Asks it to end with a signal and waits for it.
    pub fn end_with(mut self, signal: Signal) -> (ExitStatus, String) {
        self.signal(signal);
        let status = self.wait(&format!("{} ends after {signal:?}", self.name.clone()));
        (status, self.all_said())
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits until it ends by itself.
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = self.wait(&format!("{} ends by itself", self.name.clone()));
        (status, self.all_said())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a child has a pid");
        // It may have ended meanwhile; whoever waits for it will see.
        let _ = kill_process(pid, signal);
    }

    fn wait(&mut self, what: &str) -> ExitStatus {
        let (child, said) = (&mut self.child, &self.said);
        wait_until(what, LEAVE, || match child.try_wait().expect("it is our child") {
            Some(status) => Ok(status),
            None => Err(said.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        })
    }

    /// What it has said until its end.
    fn all_said(&mut self) -> String {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.said()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have children of its own to end.
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < GRACE {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {} said:\n{}", self.name, self.said());
        }
    }
}

fn listen(stream: impl Read + Send + 'static, said: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let said = said.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    })
}
