//! The one owner of the journal: a thread that stores what it is given, many at once with one sync.
//!
//! Whoever appends waits until it is stored, so a full or failing disk holds back the session manager, that holds back the
//! backends, and nothing is said that was not stored. The thread tries again until it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use hal_base::backoff::Backoff;
use hal_base::clock::{self, Stopwatch};
use hal_protocol::command::CommandId;
use hal_protocol::event::kind::Kind;
use hal_protocol::event::{Event, raw};
use hal_store::journal::{Change, CommandRecord, Journal, JournalError, NewEvent, Span, Writer};

/// Requests that may wait for the disk; beyond this their senders wait.
const QUEUE: usize = 1024;

/// Changes in one transaction at most. At this size the sync costs next to nothing per change.
const GROUP: usize = 4096;

/// Delays between attempts while the disk is full or failing.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// The outbox has ended, because the journal failed for good or the agent is stopping.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the journal is closed")]
pub struct Closed;

#[derive(Debug)]
enum Ask {
    /// Write these; the answer is the number of the last event.
    Write(Vec<Change>, oneshot::Sender<u64>),
    /// Remove what need not be kept.
    Trim,
    /// Begin a new incarnation with what follows a number, and hold this epoch.
    BeginAnew { sure: u64, epoch: u64, done: oneshot::Sender<u64> },
}

/// A handle on the outbox. Clones share it; the thread ends when the last one is gone.
#[derive(Clone, Debug)]
pub struct Outbox {
    asks: mpsc::Sender<Ask>,
    journal: Arc<Journal>,
    acked: Arc<AtomicU64>,
    last: watch::Receiver<u64>,
}

impl Outbox {
    /// Starts the thread. The receiver resolves when the thread has ended: with why, when the journal failed.
    pub fn start(
        journal: Arc<Journal>,
        writer: Writer,
    ) -> std::io::Result<(Self, oneshot::Receiver<JournalError>)> {
        let (asks, queue) = mpsc::channel(QUEUE);
        let (last_sender, last) = watch::channel(writer.last_seq());
        let acked = Arc::new(AtomicU64::new(writer.acked()));
        let incarnation = writer.incarnation().to_owned();
        let keeper = Keeper {
            journal: Arc::clone(&journal),
            writer,
            acked: Arc::clone(&acked),
            incarnation,
            last: last_sender,
        };
        let (ended, end) = oneshot::channel();
        thread::Builder::new().name("outbox".into()).spawn(move || {
            if let Err(error) = keeper.run(queue) {
                let _nobody_waits = ended.send(error);
            }
        })?;
        Ok((Self { asks, journal, acked, last }, end))
    }

    /// Stores all of `changes` together; resolves when they are synced, with the number of the last event so far.
    pub async fn write(&self, changes: Vec<Change>) -> Result<u64, Closed> {
        let (done, stored) = oneshot::channel();
        self.asks.send(Ask::Write(changes, done)).await.map_err(|_| Closed)?;
        stored.await.map_err(|_| Closed)
    }

    /// Begins a new incarnation: see [`Writer::begin_anew`].
    pub async fn begin_anew(&self, sure: u64, epoch: u64) -> Result<u64, Closed> {
        let (done, stored) = oneshot::channel();
        self.asks.send(Ask::BeginAnew { sure, epoch, done }).await.map_err(|_| Closed)?;
        stored.await.map_err(|_| Closed)
    }

    /// Notes that the supervisor has committed up to `seq`; less than before when it comes back knowing less. Written
    /// with the next change; when it gets lost the supervisor's next welcome says it again.
    pub fn acknowledge(&self, seq: u64) {
        self.acked.store(seq, Ordering::Relaxed);
    }

    /// Up to where the supervisor has committed, as far as this run was told.
    pub fn acknowledged(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Asks for old acknowledged events to be removed, some time.
    pub fn trim(&self) {
        // A full queue means there is more important work; the next minute asks again.
        let _later = self.asks.try_send(Ask::Trim);
    }

    /// The number of the last stored event, as it grows.
    pub fn last(&self) -> watch::Receiver<u64> {
        self.last.clone()
    }

    /// Which numbers are held.
    pub fn span(&self) -> Result<Span, JournalError> {
        self.journal.span()
    }

    /// Events after `seq`: see [`Journal::batch_after`].
    pub fn batch_after(&self, seq: u64, most: usize, most_bytes: usize) -> Result<Vec<Event>, JournalError> {
        self.journal.batch_after(seq, most, most_bytes)
    }

    /// A command, when it was ever received.
    pub fn command(&self, id: &CommandId) -> Result<Option<CommandRecord>, JournalError> {
        self.journal.command(id)
    }

    /// The commands without a result.
    pub fn open_commands(&self) -> Result<Vec<CommandRecord>, JournalError> {
        self.journal.open_commands()
    }
}

/// What the thread owns.
struct Keeper {
    journal: Arc<Journal>,
    writer: Writer,
    acked: Arc<AtomicU64>,
    /// The incarnation that `acked` speaks of.
    incarnation: String,
    last: watch::Sender<u64>,
}

impl Keeper {
    /// Up to where the supervisor has committed. A new incarnation that has just taken effect has nothing there yet.
    fn acked(&self) -> u64 {
        if self.writer.incarnation() == self.incarnation { self.acked.load(Ordering::Relaxed) } else { 0 }
    }

    fn run(mut self, mut queue: mpsc::Receiver<Ask>) -> Result<(), JournalError> {
        let mut asks = Vec::new();
        while queue.blocking_recv_many(&mut asks, QUEUE) > 0 {
            if let Err(error) = self.serve(asks.drain(..)) {
                self.journal.suspect();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Serves requests in their order, neighbouring writes as one transaction.
    fn serve(&mut self, asks: impl Iterator<Item = Ask>) -> Result<(), JournalError> {
        let mut group = Group::default();
        for ask in asks {
            match ask {
                Ask::Write(changes, done) => {
                    group.changes.extend(changes);
                    group.waiting.push(done);
                    if group.changes.len() >= GROUP {
                        self.store(std::mem::take(&mut group))?;
                    }
                }
                Ask::Trim => {
                    self.store(std::mem::take(&mut group))?;
                    self.trim()?;
                }
                Ask::BeginAnew { sure, epoch, done } => {
                    self.store(std::mem::take(&mut group))?;
                    self.insist(|writer, _| writer.begin_anew(sure, epoch, clock::now()).map(|_| ()))?;
                    self.acked.store(0, Ordering::Relaxed);
                    self.writer.incarnation().clone_into(&mut self.incarnation);
                    self.publish(vec![done]);
                }
            }
        }
        self.store(group)
    }

    fn store(&mut self, group: Group) -> Result<(), JournalError> {
        if group.waiting.is_empty() {
            return Ok(());
        }
        self.insist(|writer, acked| writer.commit(&group.changes, acked, clock::now()).map(|_| ()))?;
        self.publish(group.waiting);
        Ok(())
    }

    fn trim(&mut self) -> Result<(), JournalError> {
        self.writer.keep_ballast();
        let mut more = true;
        while more {
            self.insist(|writer, acked| {
                more = writer.trim(acked, clock::now())?;
                Ok(())
            })?;
        }
        Ok(())
    }

    fn publish(&self, waiting: Vec<oneshot::Sender<u64>>) {
        let last = self.writer.last_seq();
        self.last.send_replace(last);
        for done in waiting {
            let _gave_up_waiting = done.send(last);
        }
    }

    /// Tries until it works. Only damage is given up on.
    fn insist(
        &mut self,
        mut work: impl FnMut(&mut Writer, u64) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let mut blocked: Option<Blocked> = None;
        let mut took_effect = false;
        loop {
            let acked = self.acked();
            // A write that failed and took effect nevertheless is not made again, only synced.
            let tried = if took_effect {
                self.writer.commit(&[], acked, clock::now()).map(|_| ())
            } else {
                work(&mut self.writer, acked)
            };
            let error = match tried {
                Ok(()) => break,
                Err(error) if error.may_pass() => error,
                Err(error) => return Err(error),
            };
            let blocked = blocked.get_or_insert_with(|| Blocked::by(error));
            thread::park_timeout(backoff.next_delay());
            if self.writer.disk_works(blocked.full) {
                took_effect |= self.reopen(blocked.full)?;
            }
            if blocked.full && !took_effect {
                self.shed(acked);
            }
        }
        match blocked {
            Some(blocked) => self.tell(&blocked),
            None => Ok(()),
        }
    }

    fn reopen(&mut self, full: bool) -> Result<bool, JournalError> {
        match self.writer.reopen(full) {
            Err(error) if error.may_pass() => Ok(false),
            reopened => reopened,
        }
    }

    /// What fails here fails again with the work itself.
    fn shed(&mut self, acked: u64) {
        while matches!(self.writer.shed(acked, clock::now()), Ok(true)) {}
    }

    /// Writes down that coding agents had to wait.
    fn tell(&mut self, blocked: &Blocked) -> Result<(), JournalError> {
        let seconds = blocked.since.elapsed().as_secs_f64();
        tracing::info!("the journal can be written again after {seconds:.1} s");
        let data = json!({"reason": blocked.why, "seconds": (seconds * 10.0).round() / 10.0});
        let event = NewEvent::own(Kind::JournalBlocked.as_str(), clock::now(), raw(&data));
        let change = [Change::Append(event)];
        self.insist(|writer, acked| writer.commit(&change, acked, clock::now()).map(|_| ()))
    }
}

/// Why and since when nothing could be stored.
struct Blocked {
    since: Stopwatch,
    why: String,
    full: bool,
}

impl Blocked {
    fn by(error: JournalError) -> Self {
        let full = error.is_full();
        let why = format!("{:#}", anyhow::Error::new(error));
        tracing::error!(
            "nothing can be stored, retrying until it works; coding agents wait meanwhile: {why}"
        );
        Self { since: Stopwatch::start(), why, full }
    }
}

#[derive(Default)]
struct Group {
    changes: Vec<Change>,
    waiting: Vec<oneshot::Sender<u64>>,
}
