//! The live stream: server-sent events with a cursor and a verdict. A reader that falls behind reads from the disk.
//!
//! Each reader holds one page and one place, whatever it does; the socket's buffer does the rest. So a reader that
//! stops costs a bounded amount and slows nobody.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::event::EventParams;
use super::given;
use crate::caller::Caller;
use crate::live::{Listener, LiveView};
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::panic::{Surprised, contained};
use hal_protocol::api::{Refusal, StreamOpening};
use hal_protocol::event::EventView;
use hal_protocol::node::NodeId;
use hal_protocol::session::SessionId;
use hal_store::StoreError;
use hal_store::event::{EventFilter, EventOrder, EventQuery};

/// Events read from the disk in one step.
const STEP: usize = 256;

/// A line that says nothing, so that a dead connection is noticed by both sides.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a slow reader has missed. Nothing of what is stored: that it gets from its place.
#[derive(Debug, Serialize)]
struct Dropped {
    /// Live events.
    live: u64,
}

/// What a reader wants beside the filter.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct StreamParams {
    /// Also send what is not kept: tokens, growing outputs.
    live: bool,
}

/// Follows events as they are stored. The first event is `verdict`, the others are `event` (with the cursor as
/// `id`) and, when asked for, `live`, and `dropped` with how many live ones a slow reader missed. Without `cursor`
/// (or the header `Last-Event-ID`) it begins now.
#[utoipa::path(get, path = "/api/v1/stream", params(EventParams, StreamParams), responses((status = 200, content_type = "text/event-stream"), (status = 401, body = Refusal)))]
pub async fn open(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    filter: Result<Query<EventParams>, QueryRejection>,
    wants: Result<Query<StreamParams>, QueryRejection>,
) -> Result<Sse<impl futures_util::Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let (params, wants) = (filter?.0, wants?.0);
    let view = shared.hub.view();
    let last_id = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let cursor = given(params.cursor.clone()).or(given(last_id));
    let (verdict, place) = judge(&shared, cursor.as_deref())?;
    let session = given(params.session_id.clone()).map(SessionId::from);
    let node = session
        .as_ref()
        .and_then(|id| view.stored.sessions.get(id))
        .map(|record| record.session.node_id.clone());
    let live = wants.live.then(|| shared.live.listen(session.as_ref(), node.as_ref()));
    let node_id = node.or(given(params.node_id.clone()).map(NodeId::from));
    let reader = StreamReader {
        filter: params.filter(&view)?,
        session,
        node_id,
        place,
        store_id: view.stored.store_id.to_string(),
        live,
        caller,
        shared,
    };
    let (to_socket, events) = mpsc::channel(1);
    let tasks = reader.shared.tasks.clone();
    tasks.spawn_cuttable(reader.run(verdict, to_socket));
    let events = futures_util::stream::unfold(events, |mut events| async move {
        events.recv().await.map(|event| (Ok(event), events))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The cursor of a place in a store.
pub fn cursor(store_id: &str, seq: u64) -> String {
    format!("{}-{seq}", &store_id[..store_id.len().min(8)])
}

/// Whether all after a cursor can still be told, and from where.
fn judge(shared: &Shared, asked: Option<&str>) -> Result<(StreamOpening, u64), ApiError> {
    let view = shared.hub.view();
    let now = view.stored.last_seq;
    let say = |verdict: &str, seq| StreamOpening {
        verdict: verdict.into(),
        cursor: cursor(&view.stored.store_id, seq),
    };
    let Some(asked) = asked else { return Ok((say("ok", now), now)) };
    let parts = asked.rsplit_once('-').and_then(|(store, seq)| Some((store, seq.parse::<u64>().ok()?)));
    let Some((_, seq)) = parts else {
        return Err(ApiError::validation(format!(
            "cursor is {asked:?}: expected one that this stream has given"
        )));
    };
    let first = shared.hub.store().read()?.event_bounds()?.map_or(now + 1, |(first, _)| first);
    let ours = asked == cursor(&view.stored.store_id, seq) && seq <= now;
    match ours {
        true if seq + 1 >= first => Ok((say("ok", seq), seq)),
        true => Ok((say("gap", first - 1), first - 1)),
        false => Ok((say("gap", now), now)),
    }
}

struct StreamReader {
    shared: Shared,
    filter: EventFilter,
    session: Option<SessionId>,
    node_id: Option<NodeId>,
    place: u64,
    store_id: String,
    live: Option<Listener>,
    caller: Caller,
}

impl StreamReader {
    async fn run(mut self, verdict: StreamOpening, socket: mpsc::Sender<Event>) {
        self.shared.metrics.streams.inc();
        let metrics = self.shared.metrics.clone();
        let first = Event::default().event("verdict").id(verdict.cursor.clone()).json_data(&verdict);
        if let Ok(first) = first
            && socket.send(first).await.is_ok()
        {
            self.follow(&socket).await;
        }
        metrics.streams.dec();
    }

    async fn follow(&mut self, socket: &mpsc::Sender<Event>) {
        let mut committed = self.shared.hub.committed();
        loop {
            committed.borrow_and_update();
            if !self.catch_up(socket).await {
                return;
            }
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { return },
                () = socket.closed() => return,
                () = self.caller.pass.is_over(&self.shared) => return,
                (event, dropped) = next_live(&mut self.live) => {
                    if dropped > 0 && !self.own_up(dropped, socket).await {
                        return;
                    }
                    let mine = event.filter(|event| {
                        self.session.as_ref().is_none_or(|id| *id == event.session_id)
                            && self.node_id.as_ref().is_none_or(|id| *id == event.node_id)
                    });
                    let Some(event) = mine else { continue };
                    let Ok(event) = Event::default().event("live").json_data(&*event) else { continue };
                    if socket.send(event).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Tells a reader that was too slow what it has missed of what is not kept. False when it is gone.
    async fn own_up(&self, dropped: u64, socket: &mpsc::Sender<Event>) -> bool {
        self.shared.metrics.live_dropped.inc_by(dropped);
        let told = Event::default().event("dropped").json_data(Dropped { live: dropped });
        match told {
            Ok(told) => socket.send(told).await.is_ok(),
            Err(_) => true,
        }
    }

    /// Sends all that is stored beyond the place. False when the reader is gone or shut out, or the store cannot be read.
    async fn catch_up(&mut self, socket: &mpsc::Sender<Event>) -> bool {
        loop {
            // Asked at each step: whoever reads slowly, or has far to go, is not spared.
            if !self.caller.is_good(&self.shared) {
                return false;
            }
            let view = self.shared.hub.view();
            if *view.stored.store_id != *self.store_id {
                // Another store was put in place: who comes again is told so.
                return false;
            }
            let until = view.stored.last_seq;
            // Live events wake the reader far more often than stored ones.
            if until <= self.place {
                return true;
            }
            let (events, more) = match self.step().await {
                Ok(step) => step,
                Err(error) => {
                    tracing::error!(%error, "a live stream ends: the store cannot be read");
                    return false;
                }
            };
            for event in events {
                self.place = event.seq;
                let id = cursor(&self.store_id, event.seq);
                let Ok(event) = Event::default().event("event").id(id).json_data(&event) else { continue };
                if socket.send(event).await.is_err() {
                    return false;
                }
            }
            if !more {
                // Nothing up to here matched; the next look need not begin before.
                self.place = self.place.max(until);
                return true;
            }
        }
    }

    async fn step(&self) -> Result<(Vec<EventView>, bool), StoreError> {
        let query = EventQuery {
            filter: self.filter.clone(),
            order: EventOrder::Ascending,
            after: Some(self.place),
            limit: STEP,
            count: false,
        };
        let hub = self.shared.hub.clone();
        let look = tokio::task::spawn_blocking(move || {
            contained(|| {
                let view = hub.view();
                let page = hub.store().read()?.events(&query, &view.stored.tail)?;
                Ok((page.events, page.more))
            })
        });
        look.await.unwrap_or(Err(Surprised)).unwrap_or(Err(StoreError::Closed))
    }
}

async fn next_live(live: &mut Option<Listener>) -> (Option<std::sync::Arc<LiveView>>, u64) {
    match live {
        Some(listener) => listener.next().await,
        None => std::future::pending().await,
    }
}
