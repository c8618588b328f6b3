//! Reads the stream of events, keeps it open, and reports what it says.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde_json::json;
use serde_json::value::RawValue;
use sse_stream::SseByteStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use super::catch_up::{Missed, missed};
use super::classify::in_our_words;
use super::classify_event::{self, Fate, Frame, Payload, Twin};
use super::client::{Call, Client};
use super::others::{LOOK_EVERY, Others, changed};
use super::outside::{self, Witness};
use super::places::Watch;
use super::tracker::Tracker;
use super::words::{ErrorInfo, MessageInfo, Providers, SessionInfo, StatusInfo};
use super::{Note, Shared};
use crate::backend::{BackendError, BackendEvent, REPORT_QUEUE, Report};
use hal_base::backoff::Backoff;
use hal_base::clock::now;
use hal_protocol::event::raw;
use hal_protocol::session::SessionId;

/// opencode sends a heartbeat every 10 s, so a stream that is silent for this long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(25);

/// How long an event that opencode stores waits for its twin, which is sent in the same moment.
const TWIN_PATIENCE: Duration = Duration::from_millis(200);

/// Attempts to open the stream of a running opencode before it is taken for broken and started anew.
const OPEN_TRIES: u32 = 6;

/// Bytes of one event: the longest hold the differences of many files. Twice as long ones have not been seen.
const FRAME_MAX: usize = 32 * 1024 * 1024;

/// Live events are left out when the session manager is this far behind: nobody promised to keep them.
const LIVE_ROOM: usize = REPORT_QUEUE / 4;

/// How long the question for a model's limits may take; the message waits for it.
const LIMITS_PATIENCE: Duration = Duration::from_secs(3);

/// Why listening came to its end.
#[derive(Debug)]
pub enum EndOfStream {
    /// Nobody takes reports any more.
    ManagerGone,
    /// We are stopping, and opencode said that it has ended everything it was doing.
    Disposed,
    /// What was wrong with a directory was mended, and nothing runs: it is to be started again.
    Mended,
    /// The stream cannot be opened any more.
    Broken(String),
}

/// A look at what other opencodes do, on its way.
type PendingLook = Pin<Box<dyn Future<Output = Result<Vec<SessionInfo>, BackendError>> + Send>>;

type Events = Pin<Box<dyn Stream<Item = Result<sse_stream::Sse, sse_stream::Error>> + Send>>;

/// Listens to one run of opencode.
pub struct Listener<'a> {
    pub(super) shared: &'a Shared,
    pub(super) client: &'a Client,
    pub(super) tracker: &'a mut Tracker,
    /// An event that waits for its twin.
    held: Option<(Option<String>, Payload)>,
    /// When a session was heard of last.
    pub(super) heard_at: Instant,
    /// Events of this stream that could not be read.
    unreadable: u64,
    /// What models can hold, by provider and name.
    limits: HashMap<(String, String), Option<u64>>,
    /// Whose answers are told.
    witness: Witness,
    /// What other opencodes do.
    pub(super) others: Others,
}

impl<'a> Listener<'a> {
    /// A listener with nothing heard yet.
    pub fn new(shared: &'a Shared, client: &'a Client, tracker: &'a mut Tracker) -> Self {
        Self {
            shared,
            client,
            tracker,
            held: None,
            heard_at: Instant::now(),
            unreadable: 0,
            limits: HashMap::new(),
            witness: Witness::default(),
            others: Others::default(),
        }
    }

    /// Listens until it comes to its end. `is_ready` is called each time the snapshot has been reported.
    pub async fn listen(mut self, is_ready: impl Fn()) -> EndOfStream {
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
        let answer = self.client.events().await.map_err(|error| Failure::Why(error.to_string()))?;
        let mut events: Events = Box::pin(SseByteStream::new(bounded(answer.bytes_stream())));
        // Once the first event is there, opencode has taken the subscription.
        match timeout(SILENCE_MAX, events.next()).await {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return Err(Failure::Why(error.to_string())),
            Ok(None) => return Err(Failure::Why("it ended at once".into())),
            Err(_) => return Err(Failure::Why("it says nothing".into())),
        }
        self.make_good().await?;
        Ok(events)
    }

    async fn make_good(&mut self) -> Result<(), Failure> {
        match missed(self.client, &self.shared.directories, self.tracker, now()).await {
            Ok(events) => {
                for event in events {
                    self.report_missed(event).await?;
                }
            }
            Err(error) => {
                tracing::warn!("events may have been missed: {error}");
                let data = raw(&json!({"reason": error.to_string()}));
                self.report(own_event("gap", data)).await?;
            }
        }
        // The ends of turns that were stopped meanwhile are not told any more.
        self.shared.stopped().clear();
        // Those that are known to fail are asked about beside the others, so that nothing waits for them.
        let fit = self.shared.places.fit(&self.shared.directories.existing());
        self.look_at(&fit).await
    }

    /// Reads until the stream breaks, and tells why it did.
    async fn read(&mut self, mut events: Events) -> Result<String, EndOfStream> {
        self.unreadable = 0;
        let shared = self.shared;
        let mut watch = Watch::new(self.client, &shared.places, &shared.directories);
        let mut heard = Instant::now();
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look: Option<PendingLook> = None;
        loop {
            let patience = if self.held.is_some() { TWIN_PATIENCE } else { SILENCE_MAX };
            let event = tokio::select! {
                biased;
                event = timeout_at(heard + patience, events.next()) => event,
                news = watch.next() => match self.take_news(news).await? {
                    Some(why) => return Ok(why),
                    None => continue,
                },
                changed = async { Some(look.as_mut()?.await) }, if look.is_some() => {
                    look = None;
                    self.look_after_others(changed).await?;
                    continue;
                }
                _ = looks.tick(), if look.is_none() => {
                    look = Some(Box::pin(changed(self.client.clone(), self.others.since(now()))));
                    continue;
                }
            };
            heard = Instant::now();
            let event = match event {
                Ok(Some(Ok(event))) => event,
                Err(_) if self.held.is_some() => {
                    self.release(None).await?;
                    continue;
                }
                broken => {
                    self.release(None).await?;
                    return Ok(match broken {
                        Ok(Some(Err(error))) => error.to_string(),
                        Ok(_) => "it ended".into(),
                        Err(_) => format!("it was silent for {} s", SILENCE_MAX.as_secs()),
                    });
                }
            };
            if let Some(data) = event.data {
                match serde_json::from_str::<Frame>(&data) {
                    Ok(frame) => self.take(frame).await?,
                    Err(error) => self.report_unreadable(&error).await?,
                }
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
        self.report(own_event("gap", raw(&json!({"reason": reason})))).await
    }

    async fn take(&mut self, frame: Frame) -> Result<(), EndOfStream> {
        let Frame { directory, payload } = frame;
        if let Some(twin) = payload.twin {
            return self.release(Some(twin)).await;
        }
        self.release(None).await?;
        if payload.kind == "global.disposed" && self.shared.stop.is_cancelled() {
            return Err(EndOfStream::Disposed);
        }
        let Some(properties) = &payload.properties else { return Ok(()) };
        self.tracker.heard(&payload.id);
        if classify_event::session_of(properties).is_some() {
            self.heard_at = Instant::now();
        }
        match classify_event::classify(&payload.kind, properties) {
            Fate::Dropped => Ok(()),
            Fate::Live => self.report_live(&payload),
            Fate::Durable if classify_event::has_twin(&payload.kind) => {
                self.held = Some((directory, payload));
                Ok(())
            }
            Fate::Durable => self.report_event(directory, payload, None).await,
        }
    }

    /// Reports the event that was held back, with its number when this is its twin.
    pub(super) async fn release(&mut self, twin: Option<Twin>) -> Result<(), EndOfStream> {
        let held = self.held.take();
        let Some(twin) = twin else {
            return match held {
                Some((directory, payload)) => self.report_event(directory, payload, None).await,
                None => Ok(()),
            };
        };
        let is_its_own = held.as_ref().is_some_and(|(_, payload)| payload.id == twin.id);
        if !is_its_own && let Some((directory, payload)) = held {
            self.report_event(directory, payload, None).await?;
            self.tracker.is_news(&twin.session_id, twin.seq);
            return Ok(());
        }
        let is_news = self.tracker.is_news(&twin.session_id, twin.seq);
        match held {
            Some((directory, payload)) if is_news => {
                self.report_event(directory, payload, Some(twin.seq)).await
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn report_missed(&mut self, missed: Missed) -> Result<(), EndOfStream> {
        let Missed { event, directory } = missed;
        self.tracker.heard(&event.id);
        self.tracker.is_news(&SessionId::new(&event.aggregate_id), event.seq);
        let payload = Payload {
            id: event.id,
            kind: classify_event::plain_kind(&event.kind).to_owned(),
            properties: Some(event.data),
            twin: None,
        };
        self.report_event(directory, payload, Some(event.seq)).await
    }

    async fn report_event(
        &mut self,
        directory: Option<String>,
        payload: Payload,
        mark: Option<u64>,
    ) -> Result<(), EndOfStream> {
        let Payload { id, kind, properties: Some(mut data), .. } = payload else { return Ok(()) };
        let session_id = classify_event::session_of(&data);
        let directory = directory.filter(|directory| directory != "global");
        if let (Some(model), Some(directory)) = (classify_event::model_of(&kind, &data), &directory)
            && let Some(limit) = self.limit(directory, model).await
        {
            data = classify_event::with_context_limit(data, limit);
        }
        data = in_our_words(&kind, data);
        let occurred_at = classify_event::time_of(&id, now());
        let replied = self.witness.outside(&self.shared.answers, &kind, &data, occurred_at);
        if replied.is_some() {
            data = outside::marked(data);
        }
        if let Some(session) = &session_id {
            self.judge_end(session, &kind, directory.as_deref(), &data).await?;
        }
        let notes = self.notice(&kind, session_id.as_ref(), directory.as_deref(), &data);
        let event = BackendEvent {
            occurred_at,
            id: Some(id).filter(|id| !id.is_empty()),
            kind,
            session_id,
            directory: directory.map(|directory| self.shared.directories.configured(&directory)),
            data,
            mark,
        };
        self.report(Report::Event(event)).await?;
        if let Some(replied) = replied {
            self.stop_after(&replied).await?;
        }
        // Only now, so that what an action reports after hearing of it comes after it. Nobody may be waiting.
        for note in notes {
            let _ = self.shared.notes.send(note);
        }
        Ok(())
    }

    fn report_live(&mut self, payload: &Payload) -> Result<(), EndOfStream> {
        let Some(data) = payload.properties.clone() else { return Ok(()) };
        let Some(session_id) = classify_event::session_of(&data) else { return Ok(()) };
        if self.shared.reports.is_closed() {
            return Err(EndOfStream::ManagerGone);
        }
        if self.shared.reports.capacity() > LIVE_ROOM {
            // Room was just seen; that it has gone in between is no harm.
            let _ =
                self.shared.reports.try_send(Report::Live { session_id, kind: payload.kind.clone(), data });
        }
        Ok(())
    }

    pub(super) async fn report(&self, heard: Report) -> Result<(), EndOfStream> {
        self.shared.reports.send(heard).await.map_err(|_| EndOfStream::ManagerGone)
    }

    /// Takes note of what the actions and the next snapshot need to know.
    fn notice(
        &mut self,
        kind: &str,
        session: Option<&SessionId>,
        directory: Option<&str>,
        data: &RawValue,
    ) -> Vec<Note> {
        let Some(session) = session else { return Vec::new() };
        self.shared.asks.hear(kind, directory, data);
        if let Some(directory) = directory.filter(|_| !self.tracker.directories.contains_key(session)) {
            self.tracker.directories.insert(session.clone(), directory.to_owned());
        }
        match kind {
            "session.created" | "session.updated" => {
                if let Some(info) = field::<SessionInfo>(data, "info") {
                    self.tracker.has_changed(session, info.time.updated);
                }
            }
            "session.deleted" => {
                self.tracker.forget(session);
                return Vec::new();
            }
            "session.idle" => {
                self.tracker.set_busy(session, false);
                return vec![Note::Idle(session.clone())];
            }
            "session.status" => {
                let status = field::<StatusInfo>(data, "status");
                self.tracker.set_busy(session, status.is_none_or(|status| status.is_busy()));
            }
            "session.error" => {
                self.tracker.turns.entry(session.clone()).or_default().failed();
                let error = field::<ErrorInfo>(data, "error").map(|error| error.text()).unwrap_or_default();
                return vec![Note::Failed(session.clone(), error)];
            }
            "message.updated" => {
                let message = field::<MessageInfo>(data, "info");
                if let Some(message) = &message {
                    self.tracker.turns.entry(session.clone()).or_default().heard(message);
                }
                return message.into_iter().map(|message| Note::Message(message.id)).collect();
            }
            _ => {}
        }
        Vec::new()
    }

    /// What a model can hold; asked once.
    async fn limit(&mut self, directory: &str, model: (String, String)) -> Option<u64> {
        if let Some(limit) = self.limits.get(&model) {
            return *limit;
        }
        let call = Call::new("/config/providers", "asking for the models' limits").about(directory);
        let found = self.client.get::<Providers>(call.within(LIMITS_PATIENCE)).await.ok();
        let limit = found.as_ref().and_then(|found| found.limit(&model.0, &model.1));
        self.limits.insert(model, limit);
        limit
    }
}

pub(super) enum Failure {
    End(EndOfStream),
    Why(String),
}

impl From<EndOfStream> for Failure {
    fn from(end: EndOfStream) -> Self {
        Self::End(end)
    }
}

fn own_event(kind: &str, data: Box<RawValue>) -> Report {
    Report::Event(BackendEvent {
        id: None,
        kind: kind.into(),
        session_id: None,
        directory: None,
        occurred_at: now(),
        data,
        mark: None,
    })
}

/// One field of an event's data.
pub fn field<T: serde::de::DeserializeOwned>(data: &RawValue, name: &str) -> Option<T> {
    let mut fields: HashMap<&str, &RawValue> = serde_json::from_str(data.get()).ok()?;
    serde_json::from_str(fields.remove(name)?.get()).ok()
}

/// The bytes, with an error for an event that is too long to be one.
pub fn bounded(
    bytes: impl Stream<Item = reqwest::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let mut length = 0usize;
    bytes.map(move |chunk| {
        let chunk = chunk.map_err(io::Error::other)?;
        length = match chunk.windows(2).rposition(|two| two == b"\n\n") {
            Some(end) => chunk.len() - end,
            None => length + chunk.len(),
        };
        if length > FRAME_MAX {
            return Err(io::Error::other(format!("an event is longer than {} MiB", FRAME_MAX >> 20)));
        }
        Ok(chunk)
    })
}
