//! How far long work is, for whoever does it, whoever shows it, and whoever asks.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::clock::Stopwatch;

/// Work that takes longer than this says that it goes on.
const SAY: Duration = Duration::from_secs(1);

/// A bar is drawn again so often; into a file or a journal a line is said so often.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Counts what is done. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<(AtomicU64, AtomicU64)>);

impl Progress {
    /// So much more is done.
    pub fn add(&self, more: u64) {
        self.0.0.fetch_add(more, Ordering::Relaxed);
    }

    /// So much is there to do; 0 when that is not known.
    pub fn expect(&self, total: u64) {
        self.0.1.store(total, Ordering::Relaxed);
    }

    /// So much more is there to do than was known.
    pub fn expect_more(&self, more: u64) {
        self.0.1.fetch_add(more, Ordering::Relaxed);
    }

    /// So much is done, of so much.
    pub fn set(&self, (done, total): (u64, u64)) {
        self.0.0.store(done, Ordering::Relaxed);
        self.expect(total);
    }

    /// True when both count the same work.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What is done, and of how much; 0 when that is not known.
    pub fn now(&self) -> (u64, u64) {
        (self.0.0.load(Ordering::Relaxed), self.0.1.load(Ordering::Relaxed))
    }
}

/// Says on standard error that work goes on, until it is dropped.
#[derive(Debug)]
pub struct Teller {
    over: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Teller {
    /// Begins to tell.
    pub fn start(what: &'static str, progress: Progress) -> Self {
        // Nothing is sent: the end of the one is seen by the other.
        let (over, ends) = sync_channel(1);
        Self { over: Some(over), thread: Some(std::thread::spawn(move || tell(what, &progress, &ends))) }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn tell(what: &'static str, progress: &Progress, ends: &Receiver<()>) {
    let begun = Stopwatch::start();
    let is_terminal = std::io::stderr().is_terminal();
    let bar = ProgressBar::no_length().with_message(what);
    let pause = if is_terminal { AGAIN.0 } else { AGAIN.1 };
    let mut wait = SAY;
    while ends.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let (done, total) = progress.now();
        let done = done.min(if total > 0 { total } else { done });
        match is_terminal {
            true => draw(&bar, (done, total)),
            false => {
                let counts = if total > 0 { format!(" {done} of {total},") } else { String::new() };
                let _ = writeln!(std::io::stderr(), "{what}:{counts} {} s", begun.elapsed().as_secs());
            }
        }
        wait = pause;
    }
    bar.finish_and_clear();
}

fn draw(bar: &ProgressBar, (done, total): (u64, u64)) {
    let template = match total {
        0 => "{spinner} {msg} {elapsed}",
        _ => "{msg} [{bar:30}] {human_pos} of {human_len}, {elapsed}, {eta} to go",
    };
    if total > 0 {
        bar.set_length(total);
    }
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_position(done);
    bar.tick();
}
