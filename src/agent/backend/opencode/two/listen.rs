//! Reads OpenCode 2's stream of events, keeps it open, and reports what it says.

use std::collections::HashSet;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use serde_json::json;
use sse_stream::SseByteStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::super::client::{Call, Client};
use super::super::outside::{self, Witness};
use super::super::places::{News, Watch};
use super::super::stream::{EndOfStream, bounded};
use super::super::tracker::Tracker;
use super::super::{Link, Shared, real, text};
use super::state::Told;
use super::wire::{Data, Frame, ModelRecord, SessionRecord};
use super::{catch_up, kill, look};
use crate::backend::{BackendError, BackendEvent, REPORT_QUEUE, Report};
use hal_base::backoff::Backoff;
use hal_base::clock::{Time, now};
use hal_protocol::event::kind::Kind;
use hal_protocol::event::what::What;
use hal_protocol::event::{raw, write};
use hal_protocol::session::{Activity, SessionId};

/// It sends a heartbeat every 15 s, so a stream that is silent for this long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Attempts to open the stream of a running server before it is taken for broken and started anew.
const OPEN_TRIES: u32 = 6;

/// How often it is looked which sessions have become quiet.
const SETTLE_EVERY: Duration = Duration::from_millis(500);

/// Live events are left out when the session manager is this far behind: nobody promised to keep them.
const LIVE_ROOM: usize = REPORT_QUEUE / 4;

/// How long the question for models' limits may take; the message waits for it.
const LIMITS_PATIENCE: Duration = Duration::from_secs(3);

/// Nothing is about to begin when nothing was heard for this long.
const QUIET: Duration = Duration::from_secs(3);

type Events = Pin<Box<dyn Stream<Item = Result<sse_stream::Sse, sse_stream::Error>> + Send>>;

/// Listens to one run of the server.
pub struct Listener<'a> {
    shared: &'a Shared,
    client: &'a Client,
    tracker: &'a mut Tracker,
    /// Frames of this stream that could not be read.
    unreadable: u64,
    /// Directories whose models' limits were asked for.
    asked: HashSet<String>,
    witness: Witness,
    heard_at: Instant,
}

enum Failure {
    End(EndOfStream),
    Why(String),
}

impl From<EndOfStream> for Failure {
    fn from(end: EndOfStream) -> Self {
        Self::End(end)
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::Why(error.to_string())
    }
}

impl<'a> Listener<'a> {
    /// With nothing heard yet.
    pub fn new(shared: &'a Shared, client: &'a Client, tracker: &'a mut Tracker) -> Self {
        let (asked, witness) = (HashSet::new(), Witness::default());
        Self { shared, client, tracker, unreadable: 0, asked, witness, heard_at: Instant::now() }
    }

    /// Listens until it comes to its end. `is_ready` is called each time the snapshot has been reported.
    pub async fn listen(mut self, is_ready: impl Fn()) -> EndOfStream {
        self.shared.two.lock().await.restarted();
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        loop {
            let why = match self.connect().await {
                Ok(events) => {
                    backoff.reset();
                    is_ready();
                    match self.read(events).await {
                        Ok(why) => why,
                        Err(end) => return end,
                    }
                }
                Err(Failure::End(end)) => return end,
                Err(Failure::Why(why)) => why,
            };
            if backoff.tries() >= OPEN_TRIES {
                return EndOfStream::Broken(why);
            }
            tracing::warn!("opencode's event stream is lost, opening it again: {why}");
            sleep(backoff.next_delay()).await;
        }
    }

    /// Opens the stream, then reports what was missed and the snapshot. What happens meanwhile waits in the stream.
    async fn connect(&mut self) -> Result<Events, Failure> {
        let answer = self.client.events().await?;
        let bytes = alive(bounded(answer.bytes_stream()));
        let mut events: Events = Box::pin(SseByteStream::new(bytes));
        match timeout(SILENCE_MAX, events.next()).await {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return Err(Failure::Why(error.to_string())),
            Ok(None) => return Err(Failure::Why("it ended at once".into())),
            Err(_) => return Err(Failure::Why("it says nothing".into())),
        }
        // The ends of turns that were stopped meanwhile are not told any more.
        self.shared.stopped().clear();
        let fit = self.shared.places.fit(&self.shared.directories.existing());
        self.look_at(&fit).await?;
        Ok(events)
    }

    /// Reports what was missed in some of the projects' directories, and what sessions do there.
    async fn look_at(&mut self, places: &[String]) -> Result<(), Failure> {
        let shared = self.shared;
        let sight = look::look_at(shared, self.client, self.tracker, places).await?;
        for record in &sight.records {
            self.catch_up(record).await?;
        }
        for session in &sight.seen {
            self.tracker.set_busy(&session.id, session.activity != Activity::Idle);
            let directory = text(real(session.directory.as_ref()));
            self.tracker.directories.insert(session.id.clone(), directory);
        }
        for place in places {
            let error = sight.failed.iter().find(|(other, _)| other == place).map(|(_, error)| error);
            match error {
                None if shared.places.answers(place) => self.report_place(place, None).await?,
                None => {}
                Some(error) => {
                    if let Some(why) = shared.places.fails(place, error) {
                        self.report_place(place, Some(why)).await?;
                    }
                }
            }
        }
        let is_whole = sight.unseen.is_empty() && sight.failed.is_empty();
        let look::Sight { seen, unseen, .. } = sight;
        self.report(if is_whole { Report::Snapshot(seen) } else { Report::PartialSnapshot { seen, unseen } })
            .await?;
        Ok(())
    }

    /// What a session has said since it was heard of last. One that was never heard of has no news.
    async fn catch_up(&mut self, record: &SessionRecord) -> Result<(), Failure> {
        let id = SessionId::new(&record.id);
        let Some(mark) = self.tracker.marks.get(&id).and_then(|mark| i64::try_from(*mark).ok()) else {
            return Ok(());
        };
        if record.time.updated <= mark && !self.tracker.busy.contains(&id) {
            return Ok(());
        }
        let missed = match catch_up::missed(self.client, record, mark, &self.shared.two).await {
            Ok(missed) => missed,
            Err(error @ BackendError::Down { .. }) => return Err(error.into()),
            Err(error) => {
                tracing::warn!("what session {id} has said may have been missed: {error}");
                let data = raw(&json!({"sessionID": id, "reason": error.to_string()}));
                self.report(gap(Some(id), data)).await?;
                return Ok(());
            }
        };
        for one in missed {
            self.tell(&format!("{}:read", one.message), one.at, one.told).await?;
        }
        Ok(())
    }

    async fn report_place(&self, place: &str, error: Option<String>) -> Result<(), EndOfStream> {
        match &error {
            Some(why) => tracing::warn!("{why}"),
            None => tracing::info!("opencode works in {place} again"),
        }
        self.report(Report::Directory { directory: self.shared.directories.configured(place), error }).await
    }

    /// Reads until the stream breaks, and tells why it did.
    async fn read(&mut self, mut events: Events) -> Result<String, EndOfStream> {
        self.unreadable = 0;
        let shared = self.shared;
        let mut watch = Watch::new(self.client, &shared.places, &shared.directories);
        let mut ticks = interval(SETTLE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                _ = ticks.tick() => {
                    self.settle().await?;
                    continue;
                }
                news = watch.next() => match self.take_news(news).await? {
                    Some(why) => return Ok(why),
                    None => continue,
                },
            };
            match event {
                Some(Ok(event)) => {
                    let Some(data) = event.data else { continue };
                    match serde_json::from_str::<Frame>(&data) {
                        Ok(frame) => self.take(frame).await?,
                        Err(error) => self.report_unreadable(&error).await?,
                    }
                }
                Some(Err(error)) => return Ok(error.to_string()),
                None => return Ok("it ended".into()),
            }
        }
    }

    /// Once for each stream: garbage is to fill neither the log nor the record.
    async fn report_unreadable(&mut self, error: &serde_json::Error) -> Result<(), EndOfStream> {
        self.unreadable += 1;
        if self.unreadable > 1 {
            return Ok(());
        }
        let reason = format!("an event of opencode cannot be read, and more may follow: {error}");
        tracing::warn!("{reason}");
        self.report(gap(None, raw(&json!({"reason": reason})))).await
    }

    async fn take(&mut self, frame: Frame) -> Result<(), EndOfStream> {
        if frame.session().is_some() {
            self.heard_at = Instant::now();
        }
        if frame.kind == "session.step.started" {
            self.learn_limits(&frame).await;
        }
        let told = self.shared.two.lock().await.fold(&frame, Instant::now());
        self.tell(&frame.id, frame.created, told).await
    }

    async fn settle(&mut self) -> Result<(), EndOfStream> {
        let told = self.shared.two.lock().await.settle(Instant::now());
        self.tell("", now().0, told).await
    }

    /// Reports what a frame has told. Its events carry its identity, so that it is kept once.
    async fn tell(&mut self, id: &str, at: i64, told: Vec<Told>) -> Result<(), EndOfStream> {
        let occurred_at = if at > 0 { Time::said(at) } else { now() };
        for (place, one) in told.into_iter().enumerate() {
            let (session, what) = match one {
                Told::Event(session, what) => (session, what),
                Told::Live(session, what) => {
                    self.tell_live(session, &what)?;
                    continue;
                }
            };
            let kind = what.kind().map_or("", Kind::as_str);
            let mut data = write::of_session(&what, &session);
            let replied = self.witness.outside(&self.shared.answers, kind, &data, occurred_at);
            if replied.is_some() {
                data = outside::marked(data);
            }
            let directory = self.place_of(&session, &what).await;
            if let Ok(mark) = u64::try_from(at) {
                self.tracker.marks.insert(session.clone(), mark);
            }
            let event = BackendEvent {
                id: (!id.is_empty())
                    .then(|| if place == 0 { id.to_owned() } else { format!("{id}:{place}") }),
                kind: kind.to_owned(),
                session_id: Some(session.clone()),
                directory: directory.map(|directory| self.shared.directories.configured(&directory)),
                occurred_at,
                data,
                mark: u64::try_from(at).ok(),
            };
            self.report(Report::Event(event)).await?;
            if let Some(replied) = replied {
                self.stop_after(&replied).await?;
            }
        }
        Ok(())
    }

    fn tell_live(&self, session_id: SessionId, what: &What) -> Result<(), EndOfStream> {
        if self.shared.reports.is_closed() {
            return Err(EndOfStream::ManagerGone);
        }
        if self.shared.reports.capacity() > LIVE_ROOM {
            let data = write::of_session(what, &session_id);
            let kind = what.kind().map_or("", Kind::as_str).to_owned();
            // Room was just seen; that it has gone in between is no harm.
            let _ = self.shared.reports.try_send(Report::Live { session_id, kind, data });
        }
        Ok(())
    }

    /// Where a session works; takes note of how it is.
    async fn place_of(&mut self, session: &SessionId, what: &What) -> Option<String> {
        let fold = self.shared.two.lock().await;
        let known = fold.sessions.get(session);
        let directory = known.map(|known| known.directory.clone()).filter(|directory| !directory.is_empty());
        let is_busy = known.is_some_and(|known| known.is_busy);
        drop(fold);
        if *what == What::SessionDeleted {
            self.tracker.forget(session);
            return directory;
        }
        self.tracker.set_busy(session, is_busy);
        if let Some(directory) = &directory {
            self.tracker.directories.insert(session.clone(), directory.clone());
        }
        directory
    }

    async fn report(&self, heard: Report) -> Result<(), EndOfStream> {
        self.shared.reports.send(heard).await.map_err(|_| EndOfStream::ManagerGone)
    }

    /// What the models of a directory can hold; asked when one is heard of that is not known.
    async fn learn_limits(&mut self, frame: &Frame) {
        let Some(model) = super::wire::model_of(&frame.data["model"]) else { return };
        let directory = frame.location.as_ref().map(|place| place.directory.clone()).unwrap_or_default();
        let is_known = self.shared.two.lock().await.limits.contains_key(&(model.provider, model.id));
        if is_known || directory.is_empty() || self.asked.contains(&directory) {
            return;
        }
        let found = models(self.client, &directory, LIMITS_PATIENCE).await;
        // The list is empty while the directory is being loaded: it is asked for again with the next step.
        if !matches!(&found, Ok(found) if found.is_empty()) {
            self.asked.insert(directory);
        }
        let found = found.unwrap_or_default();
        let mut fold = self.shared.two.lock().await;
        for model in found {
            if let Some(limit) = model.limit.filter(|limit| limit.context > 0) {
                fold.limits.insert((model.provider_id, model.id), limit.context);
            }
        }
    }

    /// Somebody has answered who must not: the turn stops.
    async fn stop_after(&mut self, replied: &outside::Replied) -> Result<(), EndOfStream> {
        let outside::Replied { session_id, request_id, reply } = replied;
        let what = format!("request {request_id} was answered outside ({reply}), not through the supervisor");
        tracing::warn!("session {session_id}: {what}; stopping its turn");
        let root = self.shared.two.lock().await.root(session_id);
        let why = match kill::interrupt(self.shared, self.client, &root).await {
            Ok(()) => format!("{what}; its turn was stopped"),
            Err(error) => format!("{what}; its turn could not be stopped, kill the session: {error}"),
        };
        let failure = hal_protocol::event::failure::Failure { message: why, ..Default::default() };
        let told = vec![Told::Event(root, What::Failed(Some(failure)))];
        Box::pin(self.tell("", now().0, told)).await
    }

    /// What there is to say of a directory that was asked about again.
    async fn take_news(&mut self, news: News) -> Result<Option<String>, EndOfStream> {
        match news {
            News::Answers(place) => match self.look_at(&[place]).await {
                Ok(()) => Ok(None),
                Err(Failure::End(end)) => Err(end),
                Err(Failure::Why(why)) => Ok(Some(why)),
            },
            News::Fails(place, Some(why)) => self.report_place(&place, Some(why)).await.map(|()| None),
            News::Fails(_, None) => Ok(None),
            News::Mended => {
                let is_quiet = self.tracker.busy.is_empty() && self.heard_at.elapsed() > QUIET;
                // An action in hand may be about to begin a turn.
                let Ok(_nobody) = self.shared.in_hand.try_write() else { return Ok(None) };
                if !is_quiet {
                    return Ok(None);
                }
                self.shared.link.send_replace(Link::Starting);
                self.shared.places.read_again();
                tracing::info!("opencode is started again, as what it could not read has changed");
                Err(EndOfStream::Mended)
            }
        }
    }
}

/// The models of a directory. The answer holds their providers' keys: only what is named in the record is read of it.
pub async fn models(
    client: &Client,
    directory: &str,
    limit: Duration,
) -> Result<Vec<ModelRecord>, BackendError> {
    let call = Call::new("/api/model", "looking at its models").about(directory).within(limit);
    Ok(client.get_guarded::<Data<Vec<ModelRecord>>>(call).await?.data)
}

fn gap(session_id: Option<SessionId>, data: Box<serde_json::value::RawValue>) -> Report {
    Report::Event(BackendEvent {
        id: None,
        kind: Kind::Gap.as_str().into(),
        session_id,
        directory: None,
        occurred_at: now(),
        data,
        mark: None,
    })
}

/// The same bytes, with an error once nothing has come for too long.
fn alive<B: Send + 'static>(
    bytes: impl Stream<Item = io::Result<B>> + Send + 'static,
) -> impl Stream<Item = io::Result<B>> + Send {
    stream::unfold(Box::pin(bytes), |mut bytes| async move {
        match timeout(SILENCE_MAX, bytes.next()).await {
            Ok(next) => next.map(|next| (next, bytes)),
            Err(_) => {
                let why = format!("it was silent for {} s", SILENCE_MAX.as_secs());
                Some((Err(io::Error::other(why)), bytes))
            }
        }
    })
}
