//! A stand-in for the supervisor: the HTTP API and the live stream over a list of events that a test writes.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use hal_o_swarm::base::clock::Time;
use hal_o_swarm::protocol::api::{Answer, Code, Meta, Refusal};
use hal_o_swarm::protocol::command::{CommandRequest, CommandState, CommandView, Verb};
use hal_o_swarm::protocol::event::{EventView, raw};
use hal_o_swarm::protocol::session::{SessionView, Status, Tokens};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

/// The token it wants.
pub const TOKEN: &str = "let-me-in";

/// Nothing a test waits for takes this long.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A running stand-in. Ends with the test's runtime.
#[derive(Clone)]
pub struct Stand {
    /// Its URL.
    pub url: String,
    facts: Arc<Mutex<Facts>>,
    changed: watch::Sender<u64>,
}

/// What it knows and what it was asked.
#[derive(Default)]
pub struct Facts {
    /// Its sessions.
    pub sessions: Vec<SessionView>,
    /// Its events; the place of each is its number counted from one.
    pub events: Vec<EventView>,
    /// Added to the events the moment a stream is open, before anything else is answered.
    pub once_open: Vec<EventView>,
    /// True: a cursor is not known any more.
    pub forgot: bool,
    /// Answers to commands that break off before their end.
    pub break_answers: u32,
    /// The state of every command.
    pub outcome: Option<CommandState>,
    /// What was asked: path and query.
    pub asked: Vec<String>,
    /// The commands that came, with their idempotency keys.
    pub commands: Vec<(CommandRequest, String)>,
    /// Streams opened so far.
    pub streams: usize,
    /// All streams with a lower number are over.
    pub broken: usize,
    /// What it answers to other questions, by their path behind `/api/v1/`.
    pub canned: serde_json::Map<String, Value>,
}

impl Stand {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stand = Self { url, facts: Arc::default(), changed: watch::Sender::new(0) };
        let api = Router::new()
            .route("/api/v1/sessions", get(sessions))
            .route("/api/v1/sessions/{id}", get(session))
            .route("/api/v1/events", get(events))
            .route("/api/v1/commands", post(command).get(canned))
            .route("/api/v1/stream", get(live))
            .fallback(canned)
            .with_state(stand.clone());
        tokio::spawn(async move { axum::serve(listener, api).await.unwrap() });
        stand
    }

    /// Its facts, to look at or to change.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    /// Makes something happen.
    pub fn happen(&self, events: impl IntoIterator<Item = EventView>) {
        self.facts().events.extend(events);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Ends all open streams.
    pub fn break_streams(&self) {
        let mut facts = self.facts();
        facts.broken = facts.streams;
        drop(facts);
        self.changed.send_modify(|version| *version += 1);
    }

    /// Waits until so many streams were opened in all.
    pub async fn streams(&self, count: usize) {
        let mut changed = self.changed.subscribe();
        let opened = changed.wait_for(|_| self.facts().streams >= count);
        tokio::time::timeout(DEADLINE, opened).await.expect("no stream was opened").unwrap();
    }

    /// Waits until something was asked so often.
    pub async fn asked(&self, words: &str, count: usize) {
        let mut changed = self.changed.subscribe();
        let heard =
            |_: &u64| self.facts().asked.iter().filter(|asked| asked.contains(words)).count() >= count;
        tokio::time::timeout(DEADLINE, changed.wait_for(heard)).await.expect("it was not asked").unwrap();
    }

    /// Takes note of a request; gives the refusal when it is not allowed.
    fn hear(&self, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
        self.facts().asked.push(uri.path_and_query().map(ToString::to_string).unwrap_or_default());
        self.changed.send_modify(|version| *version += 1);
        let given = headers.get("authorization").and_then(|value| value.to_str().ok());
        if given == Some(&format!("Bearer {TOKEN}")) {
            return None;
        }
        Some(refuse(StatusCode::UNAUTHORIZED, Code::AuthRequired, "a token is needed"))
    }
}

/// A session that can be shown.
pub fn a_session(id: &str, status: Status) -> SessionView {
    SessionView {
        id: id.into(),
        node_id: "web-1".into(),
        project: "shop".into(),
        status,
        last_known: None,
        since: Time(1_000),
        tokens: 2396,
        cost: Some(0.00726),
        cost_micros: Some(7260),
        own_cost_micros: Some(7260),
        unreported_calls: 0,
        unpriced_tokens: 0,
        cost_before_micros: 0,
        token_kinds: Tokens::default(),
        started_at: Time(1_000),
        active_at: Time(2_000),
        title: "two\nlines".into(),
        directory: "/shop".into(),
        backend: "echo".into(),
        parent_id: None,
        model: None,
        context: None,
        compactions: 0,
        asks: Vec::new(),
        helper_asks: Vec::new(),
        retry: None,
        error: None,
        todo: Vec::new(),
        events: 0,
        marks: Default::default(),
    }
}

/// An event of session `s1`; its place is made right when it is told.
pub fn an_event(kind: &str, data: &Value) -> EventView {
    EventView {
        seq: 0,
        id: format!("evt_{kind}"),
        kind: kind.into(),
        session_id: "s1".into(),
        node_id: "web-1".into(),
        project: "shop".into(),
        data: raw(data),
        timestamp: Time(1_000),
        occurred_at: Time(1_000),
        node_seq: 1,
    }
}

fn answer<T: Serialize>(data: T, meta: Option<Meta>) -> Response {
    Json(Answer { data, meta }).into_response()
}

fn refuse(status: StatusCode, code: Code, error: &str) -> Response {
    (status, Json(Refusal { error: error.into(), code })).into_response()
}

fn parameter(query: &Option<String>, name: &str) -> Option<String> {
    let pairs = query.as_deref()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// A page of a list, with cursors that count items.
fn page<T: Clone + Serialize>(all: &[T], query: &Option<String>) -> Response {
    let from = parameter(query, "cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    // Small pages, so that whoever asks has to ask again.
    let limit = parameter(query, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(3).min(3);
    let items: Vec<T> = all.iter().skip(from).take(limit).cloned().collect();
    let next = from + items.len();
    let next_cursor = (next < all.len()).then(|| next.to_string());
    answer(items, Some(Meta { total: all.len() as u64, limit: Some(limit as u64), next_cursor }))
}

type Heard = (State<Stand>, Uri, HeaderMap, RawQuery);

async fn sessions((State(stand), uri, headers, RawQuery(query)): Heard) -> Response {
    match stand.hear(&uri, &headers) {
        None => page(&stand.facts().sessions, &query),
        Some(no) => no,
    }
}

async fn session(Path(id): Path<String>, (State(stand), uri, headers, _): Heard) -> Response {
    if let Some(no) = stand.hear(&uri, &headers) {
        return no;
    }
    let facts = stand.facts();
    match facts.sessions.iter().find(|session| session.id.as_str() == id) {
        Some(session) => answer(session, None),
        None => refuse(StatusCode::NOT_FOUND, Code::NotFound, &format!("there is no session {id}")),
    }
}

async fn canned((State(stand), uri, headers, _): Heard) -> Response {
    if let Some(no) = stand.hear(&uri, &headers) {
        return no;
    }
    let path = uri.path().trim_start_matches("/api/v1/");
    match stand.facts().canned.get(path) {
        Some(data) => answer(data, None),
        None => refuse(StatusCode::NOT_FOUND, Code::NotFound, &format!("there is no {path}")),
    }
}

fn numbered(events: &[EventView]) -> Vec<EventView> {
    events.iter().zip(1..).map(|(event, seq)| EventView { seq, ..event.clone() }).collect()
}

async fn events((State(stand), uri, headers, RawQuery(query)): Heard) -> Response {
    if let Some(no) = stand.hear(&uri, &headers) {
        return no;
    }
    let mut events = numbered(&stand.facts().events);
    if parameter(&query, "order").as_deref() != Some("asc") {
        events.reverse();
    }
    page(&events, &query)
}

async fn command(
    State(stand): State<Stand>,
    uri: Uri,
    headers: HeaderMap,
    Json(request): Json<CommandRequest>,
) -> Response {
    if let Some(no) = stand.hear(&uri, &headers) {
        return no;
    }
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let verb = Verb::parse(&request.verb).unwrap();
    let mut facts = stand.facts();
    let state = facts.outcome.unwrap_or(CommandState::Done);
    let view = CommandView {
        command_id: "c1".into(),
        verb,
        state,
        status: state.legacy_word().into(),
        node_id: "web-1".into(),
        project: request.project.clone(),
        session_id: Some(request.session_id.as_str().into()).filter(|_| verb.needs_session()),
        output: if verb == Verb::CreateSession { "s1".into() } else { String::new() },
        error: (state == CommandState::Failed).then(|| "no such model".into()),
        actor: "test".into(),
        who: None,
        created_at: Time(1_000),
        expires_at: Time(2_000),
        timestamp: Time(1_500),
    };
    facts.commands.push((request, key));
    if facts.break_answers > 0 {
        facts.break_answers -= 1;
        let torn = stream::iter([Ok("{\"data\":"), Err(std::io::Error::other("the wire is cut"))]);
        return axum::body::Body::from_stream(torn).into_response();
    }
    answer(view, None)
}

async fn live((State(stand), uri, headers, RawQuery(query)): Heard) -> Response {
    if let Some(no) = stand.hear(&uri, &headers) {
        return no;
    }
    let mut facts = stand.facts();
    let now = facts.events.len();
    let asked = parameter(&query, "cursor").and_then(|cursor| cursor.parse::<usize>().ok());
    let (verdict, place) = match asked {
        Some(_) if facts.forgot => ("gap", now),
        Some(place) => ("ok", place),
        None => ("ok", now),
    };
    let late = std::mem::take(&mut facts.once_open);
    facts.events.extend(late);
    facts.streams += 1;
    let mine = facts.streams;
    drop(facts);
    let changed = stand.changed.subscribe();
    stand.changed.send_modify(|version| *version += 1);
    let first = json!({"verdict": verdict, "cursor": place.to_string()});
    let first =
        stream::iter([Ok::<_, Infallible>(Event::default().event("verdict").data(first.to_string()))]);
    let rest = stream::unfold((stand, changed, place), move |(stand, mut changed, place)| async move {
        loop {
            changed.borrow_and_update();
            {
                let facts = stand.facts();
                if facts.broken >= mine {
                    return None;
                }
                if let Some(event) = numbered(&facts.events).get(place) {
                    let said = Event::default().event("event").id((place + 1).to_string());
                    let said = said.data(serde_json::to_string(event).unwrap());
                    drop(facts);
                    return Some((Ok(said), (stand, changed, place + 1)));
                }
            }
            changed.changed().await.ok()?;
        }
    });
    Sse::new(first.chain(rest)).into_response()
}
