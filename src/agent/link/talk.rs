//! One conversation with the supervisor, from hello to its end.
//!
//! ```text
//!   hello ->          <- welcome (what is committed, credit, heartbeat)
//!   events, again from what is committed -> .. snapshot -> .. events, answers, live, heartbeats ->
//!                     <- acks, commands, watch
//! ```
//! Frames go through a short queue to a task that writes them, so that reading never waits for writing.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::Link;
use super::clock_offset::ClockOffset;
use super::prove::Socket;
use super::{known_good, snapshot};
use crate::lost::LinkState;
use crate::sessions::command::SupervisorRequest;
use hal_base::{clock, notify};
use hal_protocol::audit::KEEPS_ANCHORS;
use hal_protocol::frame::{
    Ack, Events, FromAgent, Heartbeat, Hello, Live, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, PROTOCOL, ToAgent,
    Welcome,
};
use hal_protocol::lease::CAPABILITY;
use hal_protocol::proof::PROVES;
use hal_store::journal::{Change, JournalError, Span};

/// Frames written but not yet taken by the socket. Short, so that an answer never waits behind many batches.
const OUT_QUEUE: usize = 4;

/// Live frames that wait; the rest is dropped.
const MAX_LIVE: usize = 256;

/// How long the supervisor may take to say welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);

/// A link without any frame for this long is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A ping this often makes sure that a living link has frames.
const PING_EVERY: Duration = Duration::from_secs(10);

/// How long the last words may take.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of commands that the supervisor may have on their way here; each is stored before the next credit.
const COMMAND_CREDIT: u64 = 1024 * 1024;

/// Seconds between heartbeats, whatever the supervisor says.
const HEARTBEAT_SEC: std::ops::RangeInclusive<u64> = 1..=300;

/// How a conversation ended.
pub(super) enum Parting {
    /// As asked for.
    Finished,
    /// The journal has a new incarnation: connect again at once.
    Again,
    /// It broke.
    Lost { why: String, welcomed: bool },
}

/// Why a conversation breaks off.
pub(super) enum Break {
    Again,
    Lost(String),
}

impl Break {
    pub(super) fn lost(why: impl Into<String>) -> Self {
        Self::Lost(why.into())
    }
}

/// Where a conversation stands.
struct Talk<'a> {
    link: &'a mut Link,
    out: mpsc::Sender<Message>,
    last: watch::Receiver<u64>,
    span: Span,
    /// The last event that was handed to the socket.
    sent: u64,
    /// What the supervisor has not acknowledged yet: last number and bytes of each batch.
    on_the_way: VecDeque<(u64, usize)>,
    bytes_on_the_way: usize,
    credit: u64,
    welcomed: ClockOffset,
    snapshot_due: bool,
    heartbeat_due: bool,
    /// The snapshot waits until what was stored at the connect has been sent.
    resend_until: u64,
    live: VecDeque<Live>,
}

impl Link {
    /// Talks until it breaks or `finish`.
    pub(super) async fn talk(
        &mut self,
        socket: Socket,
        finish: &CancellationToken,
        lost_at: Option<Instant>,
    ) -> Parting {
        let (sink, mut stream) = socket.split();
        let (out, queue) = mpsc::channel(OUT_QUEUE);
        let writer = tokio::spawn(write(sink, queue));
        let mut welcomed = false;
        let ended = match self.open(out, &mut stream).await {
            Err(error) => Err(error),
            Ok((mut talk, welcome)) => {
                welcomed = true;
                talk.greet(lost_at);
                talk.go_on(&mut stream, &welcome, finish).await
            }
        };
        // The writer ends with its queue, after what is left in it; a stuck one is cut.
        let abort = writer.abort_handle();
        if tokio::time::timeout(FINISH_TIMEOUT, writer).await.is_err() {
            abort.abort();
        }
        match ended {
            Ok(()) => Parting::Finished,
            Err(Break::Again) => Parting::Again,
            Err(Break::Lost(why)) => Parting::Lost { why, welcomed },
        }
    }

    async fn open(
        &mut self,
        out: mpsc::Sender<Message>,
        stream: &mut SplitStream<Socket>,
    ) -> Result<(Talk<'_>, Welcome), Break> {
        let last = self.context.outbox.last();
        let span = self.context.outbox.span().map_err(|error| self.unreadable(error))?;
        let hello = Hello {
            protocol: PROTOCOL,
            node_id: self.context.node_id.clone(),
            hostname: sysinfo::System::host_name().unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: [CAPABILITY, KEEPS_ANCHORS, PROVES].map(str::to_owned).into(),
            incarnation: span.incarnation.clone(),
            first_seq: span.first,
            last_seq: span.last,
            epoch: span.epoch,
            credit_bytes: COMMAND_CREDIT,
            projects: self.context.projects.list(),
            backends: self.context.projects.backends(),
        };
        let hello = Message::text(FromAgent::Hello(hello).encode(clock::now()));
        out.send(hello).await.map_err(|_| self.cut())?;
        let welcome = self.welcome(stream).await?;
        let welcomed = ClockOffset::now(&welcome);
        if welcome.begin_anew || welcome.committed_seq > span.last || self.went_another_way(&welcome)? {
            self.begin_anew(&welcome, &span).await?;
            return Err(Break::Again);
        }
        // Before anything else is said: whoever holds the newest epoch is this node.
        let epoch = self.context.outbox.write(vec![Change::Epoch(welcome.epoch)]).await;
        epoch.map_err(|error| Break::lost(error.to_string()))?;
        self.context.outbox.acknowledge(welcome.committed_seq);
        let talk = Talk {
            out,
            last,
            sent: welcome.committed_seq,
            on_the_way: VecDeque::new(),
            bytes_on_the_way: 0,
            credit: welcome.credit_bytes,
            welcomed,
            snapshot_due: true,
            heartbeat_due: false,
            resend_until: span.last,
            span,
            live: VecDeque::new(),
            link: self,
        };
        Ok((talk, welcome))
    }

    async fn welcome(&self, stream: &mut SplitStream<Socket>) -> Result<Welcome, Break> {
        let url = &self.dial.target.url;
        let deadline = Instant::now() + WELCOME_TIMEOUT;
        loop {
            let Ok(message) = tokio::time::timeout_at(deadline, stream.next()).await else {
                return Err(Break::lost(format!("timeout: the supervisor at {url} sent no welcome")));
            };
            if let Some(ToAgent::Welcome(welcome)) = self.read(message)? {
                return Ok(welcome);
            }
        }
    }

    /// A frame from a message of the socket; `None` when it is none of ours.
    fn read(
        &self,
        message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>,
    ) -> Result<Option<ToAgent>, Break> {
        match message {
            None => Err(self.cut()),
            Some(Err(error)) => {
                Err(Break::lost(format!("the link to {} broke: {error}", self.dial.target.url)))
            }
            Some(Ok(Message::Close(frame))) => {
                let why = frame.map(|frame| frame.reason.to_string()).filter(|reason| !reason.is_empty());
                let why = why.unwrap_or_else(|| "without a reason".to_owned());
                Err(Break::lost(format!("the supervisor at {} closed the link: {why}", self.dial.target.url)))
            }
            Some(Ok(Message::Text(text))) => match ToAgent::decode(&text) {
                Ok(frame) => Ok(Some(frame)),
                Err(broken) => Err(Break::lost(format!(
                    "the supervisor at {} sent a frame that cannot be read: {broken}",
                    self.dial.target.url
                ))),
            },
            Some(Ok(_)) => Ok(None),
        }
    }

    fn cut(&self) -> Break {
        Break::lost(format!("the link to {} was cut", self.dial.target.url))
    }

    pub(super) fn unreadable(&self, error: JournalError) -> Break {
        Break::lost(format!("the journal cannot be read: {:#}", anyhow::Error::new(error)))
    }
}

impl Talk<'_> {
    fn greet(&mut self, lost_at: Option<Instant>) {
        let url = &self.link.dial.target.url;
        notify::status(&format!("connected to {url}"));
        self.link.context.state.send_replace(LinkState::Connected);
        known_good::mark_known_good(&self.link.dial.target.fingerprint);
        match lost_at {
            None => tracing::info!("connected to the supervisor at {url}"),
            Some(at) => {
                let after = at.elapsed().as_secs_f32();
                tracing::info!("connected again to the supervisor at {url} after {after:.1} s");
            }
        }
        self.link.complaints.forget();
        let first_missing = self.span.first.saturating_sub(1);
        if self.sent < first_missing {
            // It learns of the hole from our hello, and records it.
            tracing::warn!("the journal no longer holds events {} to {first_missing}", self.sent + 1);
            self.sent = first_missing;
        }
        self.link.put_back();
        for say in &mut self.link.pending {
            say.after_seq = say.after_seq.min(self.span.last);
        }
    }

    async fn go_on(
        &mut self,
        stream: &mut SplitStream<Socket>,
        welcome: &Welcome,
        finish: &CancellationToken,
    ) -> Result<(), Break> {
        let beat = welcome.heartbeat_sec.clamp(*HEARTBEAT_SEC.start(), *HEARTBEAT_SEC.end());
        let mut heartbeat = every(Duration::from_secs(beat));
        let mut ping = every(PING_EVERY);
        let mut projects = self.link.context.projects.changes();
        let mut heard_at = Instant::now();
        let mut finish_at: Option<Instant> = None;
        loop {
            if finish_at.is_some() && self.all_is_said() {
                return self.close().await;
            }
            let dead = heard_at + READ_TIMEOUT;
            tokio::select! {
                biased;
                () = finish.cancelled(), if finish_at.is_none() => {
                    finish_at = Some(Instant::now() + FINISH_TIMEOUT);
                }
                () = tokio::time::sleep_until(finish_at.unwrap_or(dead)), if finish_at.is_some() => {
                    return self.close().await;
                }
                message = stream.next() => {
                    heard_at = Instant::now();
                    if let Some(frame) = self.link.read(message)? {
                        self.take_frame(frame).await;
                    }
                }
                () = tokio::time::sleep_until(dead) => {
                    let url = &self.link.dial.target.url;
                    return Err(Break::lost(format!("timeout: nothing heard from the supervisor at {url}")));
                }
                Some(say) = self.link.context.says.recv() => self.link.enqueue(say),
                Some(live) = self.link.context.live.recv() => {
                    if self.live.len() < MAX_LIVE {
                        self.live.push_back(live);
                    }
                }
                _ = heartbeat.tick() => self.heartbeat_due = true,
                Ok(()) = projects.changed() => self.snapshot_due = true,
                Ok(()) = self.link.context.target.changed() => {
                    let target = self.link.context.target.borrow().clone();
                    if target.url != self.link.dial.target.url {
                        return Err(Break::Again);
                    }
                    // Another token or authority proves itself at the next welcome only.
                    let now = &self.link.dial.target;
                    if target.token == now.token && target.ca_file == now.ca_file {
                        known_good::mark_known_good(&target.fingerprint);
                    }
                }
                _ = ping.tick() => {
                    // A full queue is traffic enough.
                    let _busy = self.out.try_send(Message::Ping(Vec::new().into()));
                }
                permit = self.out.clone().reserve_owned(), if self.has_something_to_say() => {
                    let permit = permit.map_err(|_| self.link.cut())?;
                    if let Some(frame) = self.next_frame().await? {
                        permit.send(frame);
                    }
                }
                Ok(()) = self.last.changed() => {}
                Ok(()) = self.link.context.view.changed(), if self.snapshot_due => {}
            }
        }
    }

    async fn take_frame(&mut self, frame: ToAgent) {
        match frame {
            ToAgent::Ack(ack) => self.acknowledged(&ack),
            ToAgent::Command(mut command) => {
                self.welcomed.age(&mut command);
                self.hand_on(SupervisorRequest::Do(command)).await;
            }
            ToAgent::Cancel(cancel) => self.hand_on(SupervisorRequest::Drop(cancel.command_id)).await,
            ToAgent::Watch(watch) => {
                self.link.context.watched.send_replace(watch);
            }
            ToAgent::Cover(cover) => self.hand_on(SupervisorRequest::Cover(cover)).await,
            ToAgent::Lease(lease) => self.hand_on(SupervisorRequest::Lease(lease)).await,
            ToAgent::Anchor(head) => {
                let supervisor = self.link.context.target.borrow().url.clone();
                self.link.context.anchors.keep(head, &supervisor);
            }
            ToAgent::Welcome(_) | ToAgent::Challenge(_) | ToAgent::Proved(_) | ToAgent::Other(_) => {}
        }
    }

    /// Requests are only taken in, so this wait is short. It takes none while the agent stops.
    async fn hand_on(&self, order: SupervisorRequest) {
        let _stopping = self.link.context.commands.send(order).await;
    }

    fn acknowledged(&mut self, ack: &Ack) {
        if ack.incarnation != self.span.incarnation || ack.seq > self.sent {
            return;
        }
        self.credit = ack.credit_bytes;
        while let Some((seq, bytes)) = self.on_the_way.front().copied()
            && seq <= ack.seq
        {
            self.on_the_way.pop_front();
            self.bytes_on_the_way -= bytes;
        }
        self.link.context.outbox.acknowledge(ack.seq);
    }

    fn all_is_said(&self) -> bool {
        self.link.pending.is_empty() && self.sent >= *self.last.borrow() && self.on_the_way.is_empty()
    }

    fn has_something_to_say(&self) -> bool {
        self.heartbeat_due
            || self.may_answer()
            || !self.live.is_empty()
            || self.may_show()
            || self.may_send_events()
    }

    fn may_answer(&self) -> bool {
        self.link.pending.front().is_some_and(|say| say.after_seq <= self.sent)
    }

    /// The snapshot must not speak of events that were not sent before it.
    fn may_show(&self) -> bool {
        self.snapshot_due && self.sent >= self.resend_until && self.as_of_seq() <= self.sent
    }

    fn as_of_seq(&self) -> u64 {
        self.link.context.view.borrow().as_of_seq.min(*self.last.borrow())
    }

    /// With nothing on the way one batch may always go: an acknowledgement brings the next credit.
    fn may_send_events(&self) -> bool {
        let free = self.on_the_way.is_empty() || (self.bytes_on_the_way as u64) < self.credit;
        free && self.sent < *self.last.borrow()
    }

    /// The most urgent thing to say.
    async fn next_frame(&mut self) -> Result<Option<Message>, Break> {
        let frame = if std::mem::take(&mut self.heartbeat_due) {
            let resources = self.link.context.gauge.measure();
            let (last_seq, now_ms) = (*self.last.borrow(), Some(clock::now().0));
            FromAgent::Heartbeat(Heartbeat { resources, last_seq, now_ms })
        } else if self.may_answer()
            && let Some(say) = self.link.pending.pop_front()
        {
            if matches!(say.frame, FromAgent::CommandResult(_)) {
                self.link.note_said(say.clone());
            }
            say.frame
        } else if let Some(live) = self.live.pop_front() {
            FromAgent::Live(live)
        } else if self.may_show() {
            self.snapshot_due = false;
            return Ok(Some(self.snapshot()));
        } else {
            return self.batch().await;
        };
        Ok(snapshot::fitting(&frame))
    }

    async fn batch(&mut self) -> Result<Option<Message>, Break> {
        if !self.may_send_events() {
            return Ok(None);
        }
        let free = self.credit.saturating_sub(self.bytes_on_the_way as u64);
        let most = MAX_BATCH_BYTES.min(usize::try_from(free).unwrap_or(usize::MAX));
        let outbox = &self.link.context.outbox;
        let events = match outbox.batch_after(self.sent, MAX_BATCH_EVENTS, most) {
            Ok(events) => events,
            Err(JournalError::Event { seq, source }) => {
                tracing::error!("{:#}; it is replaced by a gap event", anyhow::Error::new(*source));
                let mended = outbox.write(vec![Change::Mend(seq)]).await;
                return mended.map(|_| None).map_err(|error| Break::lost(error.to_string()));
            }
            Err(error) => return Err(self.link.unreadable(error)),
        };
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(None) };
        if first.seq != self.sent + 1 {
            // What lay between was dropped at the journal's hard bound, and a gap event follows. Only a new hello
            // can tell the supervisor where the journal begins now.
            tracing::warn!("the journal dropped events {} to {}", self.sent + 1, first.seq - 1);
            return Err(Break::Again);
        }
        let last = last.seq;
        let frame = FromAgent::Events(Events { incarnation: self.span.incarnation.clone(), events });
        let Some(message) = snapshot::fitting(&frame) else {
            return Err(Break::lost("a batch of events is larger than a frame may be"));
        };
        self.sent = last;
        self.on_the_way.push_back((last, message.len()));
        self.bytes_on_the_way += message.len();
        Ok(Some(message))
    }

    /// The snapshot of this node's sessions.
    fn snapshot(&self) -> Message {
        let sessions = snapshot::open_sessions(&self.link.context.view.borrow());
        let projects = &self.link.context.projects;
        snapshot::message(self.as_of_seq(), projects.list(), projects.backends(), sessions)
    }

    async fn close(&mut self) -> Result<(), Break> {
        // A cut link needs no goodbye.
        let _cut = self.out.send_timeout(Message::Close(None), FINISH_TIMEOUT).await;
        Ok(())
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn write(mut sink: SplitSink<Socket, Message>, mut queue: mpsc::Receiver<Message>) {
    while let Some(message) = queue.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
    // Answers pings and the like that wait to be flushed.
    let _cut = sink.flush().await;
}
