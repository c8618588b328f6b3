//! A stand-in for Discord: the gateway with hello, identify, heartbeat and resume; messages, threads, commands and
//! interactions with their tokens; limits with 429, outages with 503.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::served::Served;

/// The bot's token that is good.
pub const TOKEN: &str = "stand.in.token";
/// The server.
pub const GUILD: &str = "290926798626357999";
/// The channel for alerts.
pub const ALERTS: &str = "645027906669510667";

const APPLICATION: &str = "1000";

/// Messages that a channel takes in a window, as Discord does.
const BUCKET: (usize, Duration) = (5, Duration::from_secs(2));

/// A message as people see it.
#[derive(Clone, Debug)]
pub struct Post {
    /// Its id.
    pub id: String,
    /// The channel or thread it stands in.
    pub channel: String,
    /// What it says now.
    pub body: Value,
    /// How often it was changed.
    pub changes: usize,
}

/// What became of an interaction.
#[derive(Clone, Debug, Default)]
pub struct Reaction {
    /// The first answers, all of them.
    pub callbacks: Vec<Value>,
    /// What the first answer was changed to.
    pub original: Option<Value>,
    /// What was said after it.
    pub followups: Vec<Value>,
    /// The message whose button was pressed.
    message: Option<String>,
}

/// What is known to the stand-in.
#[derive(Default)]
pub struct Known {
    /// Messages, in the order they came.
    pub posts: Vec<Post>,
    /// Threads: their id and name.
    pub threads: BTreeMap<String, String>,
    /// The commands that were registered.
    pub commands: Value,
    /// Interactions by their token.
    pub reactions: BTreeMap<String, Reaction>,
    /// How often the bot said who it is, went on where it was, and gave a sign of life.
    pub identified: usize,
    pub resumed: usize,
    pub beats: usize,
    /// How often it was told to wait, and how many calls found Discord down.
    pub limited: usize,
    pub found_down: usize,
    /// Calls before the end of what a global 429 had asked for.
    pub impatient: usize,
    /// True while Discord is down.
    pub is_down: bool,
    /// The bot is not let in any more.
    pub shuts_out: bool,
    /// Interactions whose first answer comes too late, and those whose token is over afterwards.
    pub too_late: BTreeSet<String>,
    pub expired: BTreeSet<String>,
    cuts_before_next: bool,
    closed_until: Option<Instant>,
    buckets: BTreeMap<String, VecDeque<Instant>>,
    nonces: BTreeMap<String, String>,
    sequence: u64,
    sent: Vec<(u64, String)>,
    line: Option<mpsc::Sender<Line>>,
    last_id: u64,
}

/// What may wait to be done to a connection: more than any scene does.
const LINE: usize = 256;

/// What is done to the connection.
enum Line {
    Say(String),
    Close(u16),
    Cut,
}

type Shared = Arc<Mutex<Known>>;

/// The stand-in.
pub struct Discord {
    served: Served,
    known: Shared,
}

impl Discord {
    /// Starts it.
    pub fn start() -> Self {
        let known = Shared::default();
        let state = known.clone();
        let served = Served::start(move |address| {
            let door = move |State(known): State<Shared>, upgrade: WebSocketUpgrade| async move {
                upgrade.on_upgrade(move |socket| talk(socket, known, format!("ws://{address}/resume")))
            };
            let gateway = format!("ws://{address}");
            Router::new()
                .route("/", get(door))
                .route("/resume", get(door))
                .route("/resume/", get(door))
                .route(
                    "/api/gateway/bot",
                    get(move || async move { Json(json!({"url": gateway, "shards": 1})) }),
                )
                .fallback(any(serve))
                .with_state(state)
        });
        Self { served, known }
    }

    /// What a supervisor is configured with for it.
    pub fn config(&self) -> Value {
        json!({
            "bot_token": TOKEN, "guild_id": GUILD, "channels": {"alerts": ALERTS},
            "api_url": format!("http://{}/api", self.served.address),
            "users": {"1": "manage"}, "roles": {"77": "answer", "88": "view"},
        })
    }

    /// What is known, to look at or to change.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// Presses a button of a message as this user with these roles; gives the interaction's token.
    pub fn press(&self, message: &Post, button: &str, user: (&str, &str), roles: &[&str]) -> String {
        let mut whole = message.body.clone();
        whole["id"] = json!(message.id);
        let data = json!({"component_type": 2, "custom_id": button, "id": 2});
        self.interact(3, &data, user, roles, Some((message, whole)))
    }

    /// Types a command.
    pub fn typed(&self, name: &str, options: &[(&str, &str)], user: (&str, &str), roles: &[&str]) -> String {
        let option = |(name, value): &(&str, &str)| json!({"type": 3, "name": name, "value": value});
        let options: Vec<Value> = options.iter().map(option).collect();
        let data = json!({"id": "771825006014889984", "name": name, "type": 1, "guild_id": GUILD, "options": options});
        self.interact(2, &data, user, roles, None)
    }

    fn interact(
        &self,
        kind: u8,
        data: &Value,
        (user, name): (&str, &str),
        roles: &[&str],
        message: Option<(&Post, Value)>,
    ) -> String {
        let mut known = self.known();
        let id = known.fresh_id();
        let token = format!("tok-{id}");
        let mut asked = json!({"id": id, "application_id": APPLICATION, "type": kind, "token": token, "version": 1,
            "guild_id": GUILD, "channel_id": ALERTS, "data": data, "member": {"user": {"id": user, "username": name},
            "roles": roles, "permissions": "0"}, "locale": "en-US", "entitlements": []});
        let mut reaction = Reaction::default();
        if let Some((post, whole)) = message {
            asked["channel_id"] = json!(post.channel);
            asked["message"] = whole;
            reaction.message = Some(post.id.clone());
        }
        known.reactions.insert(token.clone(), reaction);
        known.dispatch("INTERACTION_CREATE", asked);
        token
    }

    /// Asks the bot to connect again, as Discord does now and then.
    pub fn ask_to_reconnect(&self) {
        let known = self.known();
        known
            .line()
            .try_send(Line::Say(json!({"op": 7, "d": null}).to_string()))
            .expect("a bot is connected");
    }

    /// Cuts the connection just before the next thing is said, which is lost with it.
    pub fn cut_before_next(&self) {
        self.known().cuts_before_next = true;
    }

    /// Closes it with this number.
    pub fn close(&self, code: u16) {
        self.known().line().try_send(Line::Close(code)).expect("a bot is connected");
    }

    /// Asks every caller to wait so long, once.
    pub fn limit_all(&self, time: Duration) {
        self.known().closed_until = Some(Instant::now() + time);
    }
}

impl Known {
    fn fresh_id(&mut self) -> String {
        self.last_id += 1;
        (786_008_729_715_212_338 + self.last_id).to_string()
    }

    fn line(&self) -> &mpsc::Sender<Line> {
        self.line.as_ref().expect("a bot was connected")
    }

    /// True while a bot is on the gateway.
    pub fn is_connected(&self) -> bool {
        self.line.as_ref().is_some_and(|line| !line.is_closed())
    }

    fn dispatch(&mut self, kind: &str, data: Value) {
        self.sequence += 1;
        let frame = json!({"op": 0, "s": self.sequence, "t": kind, "d": data}).to_string();
        self.sent.push((self.sequence, frame.clone()));
        if let Some(line) = &self.line {
            if std::mem::take(&mut self.cuts_before_next) {
                line.try_send(Line::Cut).expect("a bot is connected");
            }
            let _ = line.try_send(Line::Say(frame));
        }
    }

    /// Takes a call from the bucket: how many are left and when it is full again, or how long to wait.
    fn take(&mut self, bucket: &str) -> Result<(usize, Duration), Duration> {
        let now = Instant::now();
        let times = self.buckets.entry(bucket.to_owned()).or_default();
        while times.front().is_some_and(|first| now.duration_since(*first) >= BUCKET.1) {
            times.pop_front();
        }
        let wait = times.front().map_or(BUCKET.1, |first| BUCKET.1 - now.duration_since(*first));
        if times.len() >= BUCKET.0 {
            self.limited += 1;
            return Err(wait);
        }
        times.push_back(now);
        Ok((BUCKET.0 - times.len(), wait))
    }
}

fn lock(known: &Shared) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection to the gateway.
async fn talk(mut socket: WebSocket, known: Shared, resume_url: String) {
    let (line, mut orders) = mpsc::channel(LINE);
    let hello = json!({"op": 10, "d": {"heartbeat_interval": 500}, "s": null, "t": null});
    if socket.send(Message::text(hello.to_string())).await.is_err() {
        return;
    }
    loop {
        let out = tokio::select! {
            order = orders.recv() => match order {
                Some(Line::Say(text)) => vec![text],
                Some(Line::Close(code)) => {
                    let frame = CloseFrame { code, reason: "as the scene wants it".into() };
                    let _ = socket.send(Message::Close(Some(frame))).await;
                    return;
                }
                Some(Line::Cut) | None => return,
            },
            heard = socket.recv() => {
                let Some(Ok(Message::Text(text))) = heard else { return };
                match answer(&known, &text, &line, &resume_url) {
                    Ok(out) => out,
                    Err(code) => {
                        let frame = CloseFrame { code, reason: "Authentication failed.".into() };
                        let _ = socket.send(Message::Close(Some(frame))).await;
                        return;
                    }
                }
            }
        };
        for text in out {
            if socket.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    }
}

fn answer(
    known: &Shared,
    text: &str,
    line: &mpsc::Sender<Line>,
    resume_url: &str,
) -> Result<Vec<String>, u16> {
    let heard: Value = serde_json::from_str(text).unwrap_or_default();
    let mut known = lock(known);
    let is_known = heard["d"]["token"].as_str().is_some_and(|token| token.ends_with(TOKEN));
    match heard["op"].as_u64() {
        Some(1) => {
            known.beats += 1;
            Ok(vec![json!({"op": 11}).to_string()])
        }
        Some(2 | 6) if !is_known || known.shuts_out => Err(4004),
        Some(2) => {
            known.identified += 1;
            known.line = Some(line.clone());
            known.sent.clear();
            known.sequence = 1;
            let ready = json!({"v": 10, "user": {"id": APPLICATION, "username": "hal", "discriminator": "0000",
                "avatar": null, "bot": true, "mfa_enabled": false, "flags": 0},
                "guilds": [{"id": GUILD, "unavailable": true}], "session_id": "sess1",
                "resume_gateway_url": resume_url, "shard": [0, 1], "application": {"id": APPLICATION, "flags": 0}});
            Ok(vec![json!({"op": 0, "s": 1, "t": "READY", "d": ready}).to_string()])
        }
        Some(6) => {
            known.resumed += 1;
            known.line = Some(line.clone());
            let had = heard["d"]["seq"].as_u64().unwrap_or(0);
            let mut out: Vec<String> =
                known.sent.iter().filter(|(seq, _)| *seq > had).map(|(_, text)| text.clone()).collect();
            known.sequence += 1;
            let resumed = json!({"op": 0, "s": known.sequence, "t": "RESUMED", "d": {"_trace": []}});
            out.push(resumed.to_string());
            Ok(out)
        }
        _ => Ok(Vec::new()),
    }
}

fn said(status: StatusCode, code: u64, message: &str) -> Response {
    (status, Json(json!({"code": code, "message": message}))).into_response()
}

/// Everything over HTTP.
async fn serve(
    State(known): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut known = lock(&known);
    if known.is_down {
        known.found_down += 1;
        return said(StatusCode::SERVICE_UNAVAILABLE, 0, "upstream connect error");
    }
    if let Some(until) = known.closed_until {
        let now = Instant::now();
        if now < until {
            known.impatient += usize::from(known.limited > 0);
            known.limited += 1;
            let after = (until - now).as_secs_f64();
            let body =
                json!({"message": "You are being rate limited.", "retry_after": after, "global": true});
            return (StatusCode::TOO_MANY_REQUESTS, [("x-ratelimit-global", "true")], Json(body))
                .into_response();
        }
        known.closed_until = None;
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let path: Vec<&str> = uri.path().trim_start_matches("/api/").split('/').collect();
    let is_bot = headers.get("authorization").is_some_and(|value| value == format!("Bot {TOKEN}").as_str());
    if matches!(path[0], "channels" | "applications") && !is_bot {
        return said(StatusCode::UNAUTHORIZED, 0, "401: Unauthorized");
    }
    match (method, path.as_slice()) {
        (Method::PUT, ["applications", APPLICATION, "guilds", GUILD, "commands"]) => {
            known.commands = body.clone();
            Json(body).into_response()
        }
        (Method::POST, ["channels", channel, "messages"]) => known.post(channel, body),
        (Method::POST, ["channels", _, "messages", message, "threads"]) => known.thread(message, &body),
        (Method::PATCH, ["channels", _, "messages", message]) => known.change(message, &body),
        (Method::POST, ["interactions", _, token, "callback"]) => known.callback(token, body),
        (Method::POST, ["webhooks", APPLICATION, token]) => known.followup(token, body),
        (Method::PATCH, ["webhooks", APPLICATION, token, "messages", "@original"]) => {
            known.original(token, body)
        }
        _ => said(StatusCode::NOT_FOUND, 0, "404: Not Found"),
    }
}

impl Known {
    fn post(&mut self, channel: &str, body: Value) -> Response {
        if channel != ALERTS && !self.threads.contains_key(channel) {
            return said(StatusCode::NOT_FOUND, 10_003, "Unknown Channel");
        }
        let (left, full) = match self.take(channel) {
            Ok(left) => left,
            Err(wait) => {
                let after = wait.as_secs_f64();
                let body =
                    json!({"message": "You are being rate limited.", "retry_after": after, "global": false});
                return (StatusCode::TOO_MANY_REQUESTS, [("x-ratelimit-scope", "user")], Json(body))
                    .into_response();
            }
        };
        let nonce = body["nonce"].as_str().filter(|_| body["enforce_nonce"] == true).map(str::to_owned);
        let known = nonce.as_ref().and_then(|nonce| self.nonces.get(nonce).cloned());
        let id = known.unwrap_or_else(|| {
            let id = self.fresh_id();
            self.nonces.extend(nonce.map(|nonce| (nonce, id.clone())));
            self.posts.push(Post { id: id.clone(), channel: channel.to_owned(), body, changes: 0 });
            id
        });
        let headers = [
            ("x-ratelimit-bucket", channel.to_owned()),
            ("x-ratelimit-limit", BUCKET.0.to_string()),
            ("x-ratelimit-remaining", left.to_string()),
            ("x-ratelimit-reset-after", format!("{:.3}", full.as_secs_f64())),
        ];
        (headers, Json(json!({"id": id, "channel_id": channel}))).into_response()
    }

    fn thread(&mut self, message: &str, body: &Value) -> Response {
        if self.threads.contains_key(message) {
            return said(
                StatusCode::BAD_REQUEST,
                160_004,
                "A thread has already been created for this message",
            );
        }
        if !self.posts.iter().any(|post| post.id == message) {
            return said(StatusCode::NOT_FOUND, 10_008, "Unknown Message");
        }
        self.threads.insert(message.to_owned(), body["name"].as_str().unwrap_or_default().to_owned());
        Json(json!({"id": message, "type": 11, "name": body["name"]})).into_response()
    }

    fn change(&mut self, message: &str, body: &Value) -> Response {
        let Some(post) = self.posts.iter_mut().find(|post| post.id == message) else {
            return said(StatusCode::NOT_FOUND, 10_008, "Unknown Message");
        };
        post.body = body.clone();
        post.changes += 1;
        Json(json!({"id": message})).into_response()
    }

    fn callback(&mut self, token: &str, body: Value) -> Response {
        let is_late = self.too_late.contains(token);
        let Some(reaction) = self.reactions.get_mut(token).filter(|_| !is_late) else {
            return said(StatusCode::NOT_FOUND, 10_062, "Unknown interaction");
        };
        if !reaction.callbacks.is_empty() {
            return said(StatusCode::BAD_REQUEST, 40_060, "Interaction has already been acknowledged.");
        }
        reaction.callbacks.push(body);
        StatusCode::NO_CONTENT.into_response()
    }

    fn followup(&mut self, token: &str, body: Value) -> Response {
        if self.expired.contains(token) || self.too_late.contains(token) {
            return said(StatusCode::NOT_FOUND, 10_015, "Unknown Webhook");
        }
        self.reactions.entry(token.to_owned()).or_default().followups.push(body);
        Json(json!({"id": "1"})).into_response()
    }

    fn original(&mut self, token: &str, body: Value) -> Response {
        if self.expired.contains(token) || self.too_late.contains(token) {
            return said(StatusCode::NOT_FOUND, 10_015, "Unknown Webhook");
        }
        let reaction = self.reactions.entry(token.to_owned()).or_default();
        reaction.original = Some(body.clone());
        match reaction.message.clone() {
            Some(message) => self.change(&message, &body),
            None => Json(json!({"id": "1"})).into_response(),
        }
    }
}
