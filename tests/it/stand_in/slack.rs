//! A stand-in for Slack: Socket Mode with envelopes and acknowledgements, the web API with `ok`, limits with 429, outages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::served::Served;

/// The channel for alerts.
pub const ALERTS: &str = "C111";

const BOT: &str = "xoxb-stand-in";
const APP: &str = "xapp-stand-in";

/// A message as people see it.
#[derive(Clone, Debug)]
pub struct Post {
    /// Its name.
    pub ts: String,
    /// The message that it answers.
    pub thread: Option<String>,
    /// What it says now.
    pub body: Value,
}

/// What is known to the stand-in.
#[derive(Default)]
pub struct Known {
    /// Messages, in the order they came.
    pub posts: Vec<Post>,
    /// What only one person sees, by either way.
    pub whispers: Vec<Value>,
    /// How many sockets were opened.
    pub sockets: usize,
    /// Envelopes that were acknowledged, as often as they were.
    pub acknowledged: Vec<String>,
    /// Answers that are given instead of the next ones.
    pub faults: VecDeque<Fault>,
    /// Faults that have fired.
    pub fired: usize,
    line: Option<mpsc::UnboundedSender<String>>,
    last: u64,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// 429 with this `Retry-After`.
    Limited(u64),
    /// 503.
    Down,
    /// 200 and `ok: false`.
    NotOk(&'static str),
}

type Shared = Arc<Mutex<Known>>;

/// The stand-in.
pub struct Slack {
    served: Served,
    known: Shared,
}

impl Slack {
    /// Starts it.
    pub fn start() -> Self {
        let known = Shared::default();
        let state = known.clone();
        let served = Served::start(move |address| {
            let door = |State(known): State<Shared>, upgrade: WebSocketUpgrade| async move {
                upgrade.on_upgrade(move |socket| talk(socket, known))
            };
            let link = format!("ws://{address}/link?ticket=1");
            let serve = move |State(known): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes| {
                let link = link.clone();
                async move { serve(&known, &uri, &headers, &body, &link) }
            };
            Router::new().route("/link", get(door)).fallback(any(serve)).with_state(state)
        });
        Self { served, known }
    }

    /// What a supervisor is configured with for it.
    pub fn config(&self) -> Value {
        json!({
            "bot_token": BOT, "app_token": APP, "channels": {"alerts": ALERTS},
            "api_url": format!("http://{}/api", self.served.address),
            "users": {"U1": "manage", "U2": "view"},
        })
    }

    /// What is known, to look at or to change.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// Presses a button of a message as this user; gives the envelope's name.
    pub fn press(&self, post: &Post, button: &str, (id, name): (&str, &str)) -> String {
        let payload = json!({"type": "block_actions", "user": {"id": id, "username": name, "team_id": "T1"},
            "team": null, "container": {"type": "message", "message_ts": post.ts, "channel_id": ALERTS},
            "channel": {"id": ALERTS, "name": "ops"}, "trigger_id": "1.2.x", "response_url": self.hook(),
            "actions": [{"type": "button", "action_id": button, "value": button}]});
        self.deliver("interactive", &payload, None)
    }

    /// Types the command; under the name of an envelope that was delivered before, if one is given.
    pub fn typed(&self, text: &str, (id, name): (&str, &str), again: Option<&str>) -> String {
        let payload = json!({"team_id": "T1", "channel_id": ALERTS, "user_id": id, "user_name": name,
            "command": "/hal", "text": text, "response_url": self.hook(), "trigger_id": "1.2.x"});
        self.deliver("slash_commands", &payload, again)
    }

    fn hook(&self) -> String {
        format!("http://{}/respond/1", self.served.address)
    }

    fn deliver(&self, kind: &str, payload: &Value, again: Option<&str>) -> String {
        let mut known = self.known();
        known.last += 1;
        let id = again.map_or_else(|| format!("envelope-{}", known.last), str::to_owned);
        let envelope =
            json!({"envelope_id": id, "type": kind, "accepts_response_payload": true, "payload": payload});
        known.say(&envelope);
        id
    }

    /// Asks the app to open another socket.
    pub fn refresh(&self) {
        let reason =
            json!({"type": "disconnect", "reason": "refresh_requested", "debug_info": {"host": "h"}});
        self.known().say(&reason);
    }
}

impl Known {
    fn say(&self, frame: &Value) {
        let line = self.line.as_ref().expect("an app was connected");
        line.send(frame.to_string()).expect("an app is connected");
    }

    fn post(&mut self, body: &Value) -> Value {
        self.last += 1;
        let ts = format!("1700000000.{:06}", self.last);
        let thread = body["thread_ts"].as_str().map(str::to_owned);
        self.posts.push(Post { ts: ts.clone(), thread, body: body.clone() });
        json!({"ok": true, "channel": ALERTS, "ts": ts})
    }

    fn change(&mut self, body: &Value) -> Value {
        match self.posts.iter_mut().find(|post| body["ts"] == post.ts.as_str()) {
            None => json!({"ok": false, "error": "message_not_found"}),
            Some(post) => {
                post.body = body.clone();
                json!({"ok": true, "ts": post.ts})
            }
        }
    }
}

fn lock(known: &Shared) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn talk(mut socket: WebSocket, known: Shared) {
    let (line, mut orders) = mpsc::unbounded_channel();
    {
        let mut known = lock(&known);
        known.sockets += 1;
        known.line = Some(line);
    }
    let hello = json!({"type": "hello", "num_connections": 1, "debug_info": {"host": "h"}, "connection_info": {"app_id": "A1"}});
    let mut out = hello.to_string();
    loop {
        if socket.send(Message::text(out)).await.is_err() {
            return;
        }
        out = loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(text) => break text,
                    None => return,
                },
                heard = socket.recv() => match heard {
                    Some(Ok(Message::Text(text))) => {
                        let heard: Value = serde_json::from_str(&text).unwrap_or_default();
                        let id = heard["envelope_id"].as_str().unwrap_or_default().to_owned();
                        lock(&known).acknowledged.push(id);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
            }
        };
    }
}

fn serve(known: &Shared, uri: &Uri, headers: &HeaderMap, body: &[u8], link: &str) -> Response {
    let mut known = lock(known);
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if uri.path().starts_with("/respond/") {
        known.whispers.push(body);
        return StatusCode::OK.into_response();
    }
    let method = uri.path().trim_start_matches("/api/");
    let token = if method == "apps.connections.open" { APP } else { BOT };
    if headers.get("authorization").is_none_or(|value| value != format!("Bearer {token}").as_str()) {
        return Json(json!({"ok": false, "error": "invalid_auth"})).into_response();
    }
    if method == "chat.postMessage"
        && let Some(fault) = known.faults.pop_front()
    {
        known.fired += 1;
        return match fault {
            Fault::Limited(after) => {
                let body = Json(json!({"ok": false, "error": "ratelimited"}));
                (StatusCode::TOO_MANY_REQUESTS, [("retry-after", after.to_string())], body).into_response()
            }
            Fault::Down => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Fault::NotOk(error) => Json(json!({"ok": false, "error": error})).into_response(),
        };
    }
    let said = match method {
        "apps.connections.open" => json!({"ok": true, "url": link}),
        "chat.postMessage" => known.post(&body),
        "chat.update" => known.change(&body),
        "chat.postEphemeral" => {
            known.whispers.push(body);
            json!({"ok": true})
        }
        _ => json!({"ok": false, "error": "unknown_method"}),
    };
    Json(said).into_response()
}
