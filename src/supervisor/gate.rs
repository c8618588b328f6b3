//! The agents' door: one task for each connection, between its WebSocket and the hub.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::auth;
use super::caller::{Pass, Shown, WRONG, shown};
use super::entrance::OpenConnection;
use super::greeting::{close_frame, greet, no_upgrade};
use super::hub::input::{Closer, From, Input, LINK_QUEUE, Link};
use super::hub::memory_budget::ConnectionBudget;
use super::hub::pulse::Pulse;
use super::live::LiveView;
use super::metrics::LabelValue;
use super::proof::{self, NOT_THE_TOKEN, Unproved};
use super::refusal::ApiError;
use super::shared::Shared;
use super::source::Source;
use hal_base::clock;
use hal_protocol::actor::{Credential, Role};
use hal_protocol::audit::{Head, KEEPS_ANCHORS};
use hal_protocol::command::CommandId;
use hal_protocol::event::readable_data;
use hal_protocol::frame::{FromAgent, Heartbeat, Hello, MAX_FRAME_BYTES, ToAgent};
use hal_protocol::node::{CameIn, NodeId};
use hal_protocol::proof::{PROVES, ProofBy};
use hal_rules as rules;
use hal_rules::command::public_id;

/// An agent says who it is within this time.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// A frame is taken by the network within this time, else the link is dead.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Pings keep middle boxes and the predecessor's agents (which give up after 60 s) awake.
const PING_EVERY: Duration = Duration::from_secs(25);

/// Memory of an idle connection's read buffer, in bytes. Ten thousand idle agents each have one.
const READ_BUFFER: usize = 4 * 1024;

/// The largest frame of whoever has shown no token, in bytes: nothing but a close is expected.
const STRANGER_FRAME: usize = 1024;

/// Characters of why a link ended that are logged and stored: a part of it may be the agent's own words.
const MAX_REASON: usize = 400;

/// Why an agent that shows no token is refused, and what to do.
const NO_TOKEN: &str = "it shows no token: put this supervisor's auth_token into its file, then restart it";

/// Codes of a close: the other side broke the rules; a message was too big.
const POLICY: u16 = 1008;
const TOO_BIG: u16 = 1009;

/// The query of the agents' door.
#[derive(Debug, Deserialize)]
pub struct DoorQuery {
    token: Option<String>,
}

/// `GET /` and `GET /ws/agent`: agents come in, probes are greeted, others are told what this is.
pub async fn enter(
    State(shared): State<Shared>,
    Extension(source): Extension<Source>,
    Query(query): Query<DoorQuery>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else { return no_upgrade(&headers) };
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES);
    let named = headers.get("x-node-id").and_then(|value| value.to_str().ok()).map(str::trim);
    let named = named.filter(|name| !name.is_empty()).map(NodeId::new);
    // What a stranger says of itself stands in an alert: only what a node may be called.
    let sayable = named.as_ref().filter(|name| rules::node::fault_of_name(name).is_none());
    let pass = match shown(&shared, &headers, query.token.as_deref()) {
        Shown::Nothing => {
            if let Some(by) = proof::asked_for(&headers) {
                return upgrade.on_upgrade(move |socket| prove(shared, socket, source, named, by));
            }
            if let Some(node) = sayable.filter(|name| shared.hub.view().find_node(name.as_str()).is_some()) {
                shared.refused_agents.note(source.ip(), Some(node), NO_TOKEN, clock::now());
            }
            return upgrade.max_message_size(STRANGER_FRAME).max_frame_size(STRANGER_FRAME).on_upgrade(greet);
        }
        Shown::Wrong(wrong) => {
            let told = if wrong.why == WRONG { NOT_THE_TOKEN } else { wrong.why };
            shared.refused_agents.note(source.ip(), sayable, told, clock::now());
            return auth::refuse(&shared, "agent", source.ip(), Some(&wrong)).await.into_response();
        }
        Shown::Good(pass) => pass,
    };
    if !auth::origin_is_allowed(&shared, &headers) {
        return ApiError::validation(auth::FOREIGN_PAGE).into_response();
    }
    pass.note_use(&shared, source.ip());
    if let Err(refused) = is_agents(&pass) {
        return refused.into_response();
    }
    upgrade.on_upgrade(move |socket| converse(shared, socket, source, named, pass))
}

async fn converse(shared: Shared, socket: WebSocket, source: Source, named: Option<NodeId>, pass: Pass) {
    let place = shared.entrance.is_known(source.connection);
    let room = shared.hub.share_of_room();
    let address = source.client.to_string();
    let pulse = Arc::default();
    Conversation { shared, source, address, pass, named, room, place, pulse }.hold(socket).await;
}

/// Lets in whoever proves who it is.
async fn prove(shared: Shared, mut socket: WebSocket, source: Source, named: Option<NodeId>, by: ProofBy) {
    let unproved = match proof::take(&shared, &mut socket, source.connection, by).await {
        // Whoever it has proved to be it is in hello, too.
        Ok((pass, node)) => {
            pass.note_use(&shared, source.ip());
            return converse(shared, socket, source, Some(node), pass).await;
        }
        Err(unproved) => unproved,
    };
    let sayable = named.as_ref().filter(|name| rules::node::fault_of_name(name).is_none());
    let why = match &unproved {
        Unproved::Gone => return,
        Unproved::Broken(why) => why.clone(),
        Unproved::Wrong(wrong) => {
            shared.refused_agents.note(source.ip(), sayable, wrong.why, clock::now());
            let _counted = auth::refuse(&shared, "agent", source.ip(), Some(wrong)).await;
            wrong.why.to_owned()
        }
    };
    let _ = timeout(WRITE_LIMIT, socket.send(close_frame(POLICY, &why))).await;
}

/// A person's token opens another door.
fn is_agents(pass: &Pass) -> Result<(), ApiError> {
    match pass {
        Pass::Token(_, actor) if actor.role != Role::Agent => Err(ApiError::forbidden(format!(
            "agents come in here, and {} is none: make a user with the role agent and the node's name (halctl users \
             create NODE --role agent)",
            actor.name
        ))),
        Pass::Join(_) => Err(ApiError::forbidden(
            "this token lets a machine join, and opens no door: hal-agent join URL --token TOKEN",
        )),
        Pass::Shared(..) | Pass::Token(..) | Pass::Local(_) | Pass::Browser(_) | Pass::Scraper => Ok(()),
    }
}

/// Why a conversation ended: what is told to the agent, and written down.
struct End {
    code: u16,
    reason: String,
}

impl End {
    fn of(code: u16, mut reason: String) -> Self {
        if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
            reason.truncate(end);
            reason.push('…');
        }
        Self { code, reason }
    }

    /// The agent broke the rules.
    fn broken(reason: impl Into<String>) -> Self {
        Self::of(POLICY, reason.into())
    }

    /// The supervisor cannot go on.
    fn later(reason: impl Into<String>) -> Self {
        Self::of(1013, reason.into())
    }

    /// The connection is gone; there is nobody to tell.
    fn gone(reason: impl Into<String>) -> Self {
        Self::of(0, reason.into())
    }
}

struct Conversation {
    shared: Shared,
    source: Source,
    address: String,
    /// What was shown.
    pass: Pass,
    named: Option<NodeId>,
    room: ConnectionBudget,
    /// Where it is told that a message is whole.
    place: Option<Arc<OpenConnection>>,
    /// Where it is noted that the node lives.
    pulse: Arc<Pulse>,
}

/// A link that is open: what is to be said, and when it ends.
struct OpenLink {
    frames: mpsc::Receiver<ToAgent>,
    close: Closer,
    /// Of an agent that keeps heads of the audit record: the one it was told last.
    anchor: Option<Head>,
}

/// A frame that came in.
struct IncomingFrame {
    request_id: String,
    frame: FromAgent,
    bytes: usize,
}

impl Conversation {
    /// The token that was shown, when it is that of one node.
    fn own(&self) -> Option<&Arc<Credential>> {
        match &self.pass {
            Pass::Token(own, _) => Some(own),
            _ => None,
        }
    }

    /// Resolves when the node's own token is good no more, however that came: it has expired, or its row was edited. Who
    /// came by the shared one stays when that is replaced: the next time the new one is asked for.
    async fn is_shut_out(&self) {
        match &self.pass {
            Pass::Token(..) => self.pass.is_over(&self.shared).await,
            _ => std::future::pending().await,
        }
    }

    async fn hold(self, mut socket: WebSocket) {
        let end = match self.begin(&mut socket).await {
            Ok((from, open)) => {
                let end = self.go_on(&mut socket, &from, open).await;
                tracing::info!(node = %from.node, address = self.address, reason = end.reason, "agent disconnected");
                let gone = Input::Disconnect { from, reason: end.reason.clone() };
                let _ = self.shared.hub.send(gone).await;
                end
            }
            Err(end) => {
                tracing::warn!(address = self.address, reason = end.reason, "agent refused");
                self.note_refused(&end);
                end
            }
        };
        if end.code != 0 {
            let _ = timeout(WRITE_LIMIT, socket.send(close_frame(end.code, &end.reason))).await;
        }
    }

    /// An agent that breaks the rules at once is never let in, however often it comes. One that only goes away, or finds
    /// the supervisor busy, is not refused; one that claims to be another has an alert of its own.
    fn note_refused(&self, end: &End) {
        if end.code == POLICY || end.code == TOO_BIG {
            let why = format!("{}: is it a hal-agent of a version that fits?", end.reason);
            let refused = &self.shared.refused_agents;
            refused.note(self.source.ip(), self.named.as_ref(), &why, clock::now());
        }
    }

    /// Hello and welcome.
    async fn begin(&self, socket: &mut WebSocket) -> Result<(From, OpenLink), End> {
        let first = timeout(HELLO_LIMIT, self.frame(socket))
            .await
            .map_err(|_| End::broken("no hello within 10 s"))??;
        let (hello, early) = match first {
            IncomingFrame { frame: FromAgent::Hello(hello), .. } => (hello, None),
            other => (self.predecessor()?, Some(other)),
        };
        if self.named.as_ref().is_some_and(|named| *named != hello.node_id) {
            return Err(End::broken("hello names another node than the header X-Node-ID"));
        }
        if let Some(own) = self.own().filter(|own| *own.actor != *hello.node_id.as_str()) {
            return Err(End::broken(format!(
                "this token is that of node {}, and hello names node {}: each node has a token of its own",
                own.actor, hello.node_id
            )));
        }
        if let Some(fault) = rules::node::fault(&hello) {
            return Err(End::broken(fault));
        }
        let keeps = hello.capabilities.iter().any(|one| one == KEEPS_ANCHORS);
        let anchor = keeps.then(Head::default);
        let (frames, queue) = mpsc::channel(LINK_QUEUE);
        let close = Closer::default();
        let (reply, greeted) = oneshot::channel();
        let (node, version) = (hello.node_id.clone(), hello.version.clone());
        let came_in = self.came_in(&hello);
        let link = Link { frames, close: close.clone(), pulse: self.pulse.clone(), came_in };
        let (address, own) = (self.address.clone(), self.own().cloned());
        let connect = Input::Connect { hello, address, own, link, reply };
        self.shared.hub.send(connect).await.map_err(|stopped| End::later(stopped.to_string()))?;
        let welcome =
            greeted.await.map_err(|_| End::later("the supervisor is stopping"))?.map_err(End::later)?;
        tracing::info!(%node, address = self.address, version, epoch = welcome.epoch, "agent connected");
        self.shared.refused_agents.welcomed(self.source.ip(), &node);
        let from = From { node, epoch: welcome.epoch };
        if let Some(heard) = early
            && let Err(end) = self.handle(&from, heard).await
        {
            let gone = Input::Disconnect { from, reason: end.reason.clone() };
            let _ = self.shared.hub.send(gone).await;
            return Err(end);
        }
        Ok((from, OpenLink { frames: queue, close, anchor }))
    }

    /// For whoever wants to know who would be cut off if this supervisor were closed.
    fn came_in(&self, hello: &Hello) -> CameIn {
        let by = match self.own().map(|own| own.key().is_some()) {
            Some(true) => "key",
            Some(false) => "token",
            None => "shared",
        };
        let end = self.source.connection;
        let over = match (self.shared.entrance.is_encrypted(end), end.ip().to_canonical()) {
            (true, _) => "tls",
            (false, ip) if ip.is_loopback() => "local",
            (false, _) => "plain",
        };
        let proves = hello.capabilities.iter().any(|one| one == PROVES);
        CameIn { by: by.to_owned(), over: over.to_owned(), proves }
    }

    /// The predecessor's agents say no hello: the header names them, and they hold no journal.
    fn predecessor(&self) -> Result<Hello, End> {
        let node_id = self.named.clone().ok_or_else(|| End::broken("say hello first"))?;
        Ok(Hello {
            protocol: 1,
            hostname: node_id.to_string(),
            node_id,
            version: "predecessor".into(),
            capabilities: Vec::new(),
            incarnation: String::new(),
            first_seq: 0,
            last_seq: 0,
            epoch: 0,
            credit_bytes: 0,
            projects: Vec::new(),
            backends: Vec::new(),
        })
    }

    async fn go_on(&self, socket: &mut WebSocket, from: &From, open: OpenLink) -> End {
        let OpenLink { mut frames, close, mut anchor } = open;
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let step = tokio::select! {
                reason = close.closed() => return End::later(reason),
                () = self.is_shut_out() => return End::later("the token of this node is good no more"),
                Some(frame) = frames.recv() => say(socket, Message::text(frame.encode(clock::now()))).await,
                _ = pings.tick() => self.tick(socket, anchor.as_mut()).await,
                heard = self.frame(socket) => match heard {
                    Ok(heard) => self.handle(from, heard).await,
                    Err(end) => Err(end),
                },
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// A ping; and the last link of the audit record's chain, when it is another one than was told.
    async fn tick(&self, socket: &mut WebSocket, told: Option<&mut Head>) -> Result<(), End> {
        if let Some(told) = told {
            let head = self.shared.hub.store().audit_head();
            if *told != head {
                say(socket, Message::text(ToAgent::Anchor(head.clone()).encode(clock::now()))).await?;
                *told = head;
            }
        }
        say(socket, Message::Ping(bytes::Bytes::new())).await
    }

    /// The next frame that means something. Cutting it loses nothing: it awaits only the socket.
    async fn frame(&self, socket: &mut WebSocket) -> Result<IncomingFrame, End> {
        loop {
            let heard = socket.recv().await;
            self.place.as_ref().inspect(|place| place.is_whole());
            match heard {
                None => return Err(End::gone("the connection ended")),
                Some(Err(error)) => return Err(self.broken_off(&error)),
                Some(Ok(Message::Text(text))) => {
                    let bytes = text.len();
                    return match FromAgent::decode(&text) {
                        Ok((request_id, mut frame)) => {
                            rules::naming::shorten(&mut frame);
                            Ok(IncomingFrame { request_id, frame, bytes })
                        }
                        Err(broken) => {
                            self.count_refused(broken.label());
                            Err(End::broken(broken.to_string()))
                        }
                    };
                }
                Some(Ok(Message::Binary(_))) => {
                    self.count_refused("binary");
                    return Err(End::broken("binary frames are not part of the protocol"));
                }
                Some(Ok(Message::Close(frame))) => {
                    let reason =
                        frame.map(|frame| frame.reason.to_string()).filter(|reason| !reason.is_empty());
                    return Err(End::gone(
                        reason.unwrap_or_else(|| "the agent closed the connection".into()),
                    ));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            }
        }
    }

    fn broken_off(&self, error: &axum::Error) -> End {
        let text = error.to_string();
        if text.contains("too big") || text.contains("too long") {
            self.count_refused("too_large");
            return End { code: TOO_BIG, reason: format!("a frame is larger than {MAX_FRAME_BYTES} bytes") };
        }
        End::gone(text)
    }

    fn count_refused(&self, word: &'static str) {
        self.shared.metrics.refused_frames.get_or_create(&LabelValue { word }).inc();
    }

    async fn handle(&self, from: &From, heard: IncomingFrame) -> Result<(), End> {
        let IncomingFrame { request_id, frame, bytes } = heard;
        let is_word = matches!(frame, FromAgent::Events(_) | FromAgent::Snapshot(_));
        let from = from.clone();
        let input = match frame {
            FromAgent::Hello(_) | FromAgent::Proof(_) => return Err(End::broken("hello a second time")),
            FromAgent::Events(batch) => Input::Events { from, batch },
            FromAgent::CommandAck(ack) => Input::CommandAck { from, ack },
            FromAgent::CommandResult(result) => {
                let named = result.command_id.clone().filter(|id| !id.as_str().is_empty());
                let id = named.unwrap_or_else(|| CommandId::from(request_id));
                Input::CommandResult { from, id, result }
            }
            FromAgent::Snapshot(snapshot) => match rules::node::fault_of_projects(&snapshot.projects) {
                Some(fault) => return Err(End::broken(fault)),
                None => Input::Snapshot { from, snapshot },
            },
            FromAgent::LeaseRequest(ask) => Input::Lease { from, ask },
            FromAgent::Heartbeat(heartbeat) => return self.hear(&from, Some(&heartbeat)).await,
            FromAgent::Other(_) => return self.hear(&from, None).await,
            FromAgent::Live(live) => {
                let view = self.shared.hub.view();
                let owner = view.stored.sessions.get(&live.session_id).map(|record| &record.session);
                let session_id = public_id(&live.session_id, &from.node, owner);
                let data = readable_data(live.data);
                let event = LiveView { session_id, node_id: from.node, kind: live.kind, data };
                if !self.shared.live.pass(event) {
                    self.shared.metrics.live_dropped.inc();
                }
                return Ok(());
            }
        };
        let room = self.room.acquire(bytes).await;
        if is_word {
            self.pulse.hear(None, clock::read());
        }
        self.shared.hub.send_said(input, room).await.map_err(|stopped| End::later(stopped.to_string()))
    }

    /// The node lives. It takes no room, since the hub is told of it only once.
    async fn hear(&self, from: &From, heartbeat: Option<&Heartbeat>) -> Result<(), End> {
        let heard = self.shared.hub.hear(from, &self.pulse, heartbeat).await;
        heard.map_err(|stopped| End::later(stopped.to_string()))
    }
}

async fn say(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match timeout(WRITE_LIMIT, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(End::gone(error.to_string())),
        Err(_) => Err(End::gone("timeout: the agent takes nothing in")),
    }
}
