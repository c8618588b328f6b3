//! hal-agent's end of a holder: a process that is held.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::holder::short_path;
use super::order::Holding;
use super::wire::{self, Channel, Frame, FromHolder, Interrupt, OLDEST, Private, ToHolder, VERSION};

/// How long a holder may take to answer.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// How often it is told that this agent is there.
const PING_EVERY: Duration = Duration::from_secs(5);

/// Bytes of the record that may be on their way.
const WINDOW: u64 = 512 * 1024;

/// Parts of that: the smallest takes a byte, and what comes with it in the record.
const PARTS: usize = 128 * 1024;

/// What may wait to be told to a holder.
const FRAMES: usize = 64;

/// How long a process may take to read what is said to it.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// What a holder tells.
#[derive(Debug)]
pub enum Heard {
    /// A part of the record, and the offset after it.
    Part(u64, Channel, Vec<u8>),
    /// The process has ended; how.
    Exit(String),
}

/// A process that is held. Dropped, it is let go: it goes on, and may be attached to again.
#[derive(Debug)]
pub struct Held {
    /// The process.
    pub process: i32,
    /// Its mark, and that of all it has started.
    pub mark: String,
    /// What the last agent had kept for this one.
    pub memo: Option<String>,
    /// How it ended, if it had when this agent attached.
    pub outcome: Option<String>,
    /// Where the record began, and where it ended.
    pub record: (u64, u64),
    /// What it is told.
    pub hand: Hand,
    heard: mpsc::Receiver<Heard>,
    /// How far was asked for.
    limit: u64,
}

/// What a process that is held is told. Clones share it.
#[derive(Clone, Debug)]
pub struct Hand {
    frames: mpsc::Sender<Vec<u8>>,
    record: watch::Sender<OfRecord>,
    written: watch::Receiver<Written>,
    /// The number of the last write that was taken when this agent attached.
    pub written_before: u64,
}

/// What is wanted of the record, and what is not needed any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OfRecord {
    from: u64,
    upto: u64,
    acknowledged: u64,
}

/// What came of the last write.
#[derive(Clone, Debug, Default)]
struct Written {
    number: u64,
    error: Option<String>,
}

impl Held {
    /// Attaches to the holder in this folder.
    pub(super) async fn attach(
        folder: &Path,
        mark: &str,
        holding: &Holding,
        lease: watch::Receiver<Option<Instant>>,
    ) -> io::Result<Self> {
        let mut stream = connect(folder.to_owned()).await?;
        let hello = ToHolder::Hello {
            version: VERSION,
            oldest: OLDEST,
            agent: holding.agent.clone(),
            key: holding.key.clone(),
        };
        stream.write_all(&wire::words(&hello)?).await?;
        let (mut from, to) = stream.into_split();
        let answer = timeout(HELLO_LIMIT, wire::read::<FromHolder>(&mut from)).await;
        let welcome = match answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            Some(Frame::Words(FromHolder::Welcome(welcome))) => *welcome,
            Some(Frame::Words(FromHolder::Refused { why })) => {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
            _ => return Err(io::Error::other("it did not answer as a holder does")),
        };
        let (frames, to_send) = mpsc::channel(FRAMES);
        let (heard_in, heard) = mpsc::channel(PARTS);
        let (record, wanted) = watch::channel(OfRecord::default());
        let (told, written) = watch::channel(Written { number: welcome.written, error: None });
        let hand = Hand { frames, record, written, written_before: welcome.written };
        let pings = PING_EVERY.min(Duration::from_millis(holding.alone_ms / 4 + 1));
        let sources = Sources { frames: to_send, wanted, lease, pings };
        tokio::spawn(talk((from, to), sources, (heard_in, told)));
        let mut held = Self {
            process: welcome.process,
            mark: mark.to_owned(),
            memo: welcome.memo.map(|memo| memo.0),
            outcome: welcome.outcome,
            record: (welcome.first, welcome.end),
            hand,
            heard,
            limit: 0,
        };
        held.ask_for(welcome.first);
        Ok(held)
    }

    /// What it tells next; `None`: the holder is gone. Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<Heard> {
        let heard = self.heard.recv().await;
        if let Some(Heard::Part(next, ..)) = heard
            && next + WINDOW / 2 > self.limit
        {
            self.ask_for(next);
        }
        heard
    }

    fn ask_for(&mut self, from: u64) {
        self.limit = from + WINDOW;
        self.hand.record.send_modify(|wanted| (wanted.from, wanted.upto) = (from, self.limit));
    }
}

impl Hand {
    fn tell(&self, words: &ToHolder) {
        if let Ok(frame) = wire::words(words) {
            // A holder that is gone, or takes nothing, is seen by whoever listens to it.
            let _gone = self.frames.try_send(frame);
        }
    }

    /// What was said up to here is not needed any more.
    pub fn acknowledge(&self, upto: u64) {
        self.record.send_modify(|wanted| wanted.acknowledged = upto);
    }

    /// Keeps this for the agent that attaches next, and how the work is stopped when none does.
    pub fn keep(&self, memo: String, interrupt: Interrupt) {
        let memo = Some(Private(memo));
        self.tell(&ToHolder::Keep { memo, interrupt: Some(interrupt), lease_ms: None });
    }

    /// Nothing more is said to it.
    pub fn close_input(&self) {
        self.tell(&ToHolder::CloseInput);
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.tell(&ToHolder::Terminate);
    }

    /// Its end is known.
    pub fn forget(&self) {
        self.tell(&ToHolder::Forget);
    }

    /// Says something to it under this number, with a note for the record; a number that was taken already is not said
    /// again.
    pub async fn write(&self, number: u64, note: &[u8], bytes: &[u8]) -> io::Result<()> {
        let sent = timeout(WRITE_LIMIT, self.frames.send(wire::write(number, note, bytes))).await;
        sent.map_err(|_| io::ErrorKind::TimedOut)?.map_err(|_| io::ErrorKind::BrokenPipe)?;
        let mut written = self.written.clone();
        let told = timeout(WRITE_LIMIT, written.wait_for(|written| written.number >= number)).await;
        match told.map_err(|_| io::ErrorKind::TimedOut)? {
            Ok(written) => match written.error.as_ref().filter(|_| written.number == number) {
                Some(why) => Err(io::Error::other(why.clone())),
                None => Ok(()),
            },
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

async fn connect(folder: PathBuf) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    UnixStream::connect(short_path(&folder)).await
}

/// What a holder is told.
struct Sources {
    frames: mpsc::Receiver<Vec<u8>>,
    wanted: watch::Receiver<OfRecord>,
    lease: watch::Receiver<Option<Instant>>,
    pings: Duration,
}

/// Talks with a holder until it is gone, or let go.
async fn talk(
    (from, to): (OwnedReadHalf, OwnedWriteHalf),
    sources: Sources,
    (heard, written): (mpsc::Sender<Heard>, watch::Sender<Written>),
) {
    let mut listening = std::pin::pin!(listen(from, heard, written));
    tokio::select! {
        () = &mut listening => {}
        said = say(to, sources) => if said.is_err() {
            // It is gone, but what it said last is still to be heard.
            listening.await;
        },
    }
}

async fn listen(mut from: OwnedReadHalf, heard: mpsc::Sender<Heard>, written: watch::Sender<Written>) {
    while let Ok(Some(frame)) = wire::read::<FromHolder>(&mut from).await {
        let news = match frame {
            Frame::Data(next, channel, bytes) => Heard::Part(next, channel, bytes),
            Frame::Words(FromHolder::Exit { outcome }) => Heard::Exit(outcome),
            Frame::Words(FromHolder::Written { number, error }) => {
                written.send_replace(Written { number, error });
                continue;
            }
            Frame::Words(_) | Frame::Write(..) => continue,
        };
        // Whoever has stopped to listen may still have something to say; more than fits was not asked for.
        let _deaf = heard.try_send(news);
    }
}

async fn say(mut to: OwnedWriteHalf, sources: Sources) -> io::Result<()> {
    let Sources { mut frames, mut wanted, mut lease, pings } = sources;
    let mut pings = interval(pings);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    wanted.mark_changed();
    lease.mark_changed();
    let (mut has_leases, mut told) = (true, OfRecord::default());
    loop {
        tokio::select! {
            biased;
            Ok(()) = wanted.changed() => {
                let now = *wanted.borrow_and_update();
                to.write_all(&of_record(now, &mut told)?).await?;
            }
            frame = frames.recv() => match frame {
                Some(frame) => to.write_all(&frame).await?,
                None => return Ok(()),
            },
            changed = lease.changed(), if has_leases => {
                has_leases = changed.is_ok();
                let end = *lease.borrow_and_update();
                let left = end.map_or(0, |end| end.saturating_duration_since(Instant::now()).as_millis().max(1));
                let lease_ms = Some(u64::try_from(left).unwrap_or(u64::MAX));
                to.write_all(&wire::words(&ToHolder::Keep { memo: None, interrupt: None, lease_ms })?).await?;
            }
            _ = pings.tick() => to.write_all(&wire::words(&ToHolder::Ping)?).await?,
        }
    }
}

/// What is news of what is wanted of the record.
fn of_record(now: OfRecord, told: &mut OfRecord) -> io::Result<Vec<u8>> {
    let mut frames = Vec::new();
    if now.acknowledged != told.acknowledged {
        frames.extend(wire::words(&ToHolder::Ack { upto: now.acknowledged })?);
    }
    if now.upto != told.upto {
        frames.extend(wire::words(&ToHolder::Read { from: now.from, upto: now.upto })?);
    }
    *told = now;
    Ok(frames)
}
