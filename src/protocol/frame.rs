//! What an agent and its supervisor say to one another, in the order a conversation happens.
//!
//! Text frames of JSON: `{"version":1,"type","request_id","timestamp":<unix seconds>,"payload"}`. Unknown types and
//! unknown fields are tolerated; a frame that cannot be read is refused with a [`Broken`] that says why.

mod broken;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::audit::Head;
use super::backend::NodeBackend;
use super::command::{CommandId, CommandState};
use super::event::Event;
use super::lease::{Cover, Lease, LeaseRequest};
use super::node::{NodeId, Project, Resources};
use super::proof::{Challenge, Proof, Proved};
use super::session::{Session, SessionId};
use hal_base::clock::Time;

pub use broken::Broken;

/// The envelope's version. The predecessor's is the same.
pub const ENVELOPE_VERSION: u32 = 1;

/// What our own agent and supervisor speak inside the envelope. The predecessor's agents speak 1 and say no hello.
pub const PROTOCOL: u32 = 2;

/// The largest frame either side accepts, in bytes: a full batch of events and one very large event.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// The largest `data` of one event, in bytes. The agent shortens what is larger and says so in the event.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Events in one `events` frame at most.
pub const MAX_BATCH_EVENTS: usize = 1024;

/// Bytes of events in one `events` frame at most, unless a single event is larger.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// The first frame on a link: who the agent is and what it holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the agent.
    pub protocol: u32,
    /// The node's name.
    pub node_id: NodeId,
    /// What the machine calls itself.
    pub hostname: String,
    /// Version of the agent.
    pub version: String,
    /// What it can do beyond the base protocol: [`super::lease::CAPABILITY`], [`super::audit::KEEPS_ANCHORS`],
    /// [`super::proof::PROVES`].
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The incarnation of its journal.
    pub incarnation: String,
    /// The first sequence number its journal still holds; 0 when it is empty.
    pub first_seq: u64,
    /// The last one; 0 when it never held any.
    pub last_seq: u64,
    /// The epoch that its journal was given last; 0: none yet. By it a copied identity is told from the original.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epoch: u64,
    /// Bytes of commands that may be on their way to it without a `command_ack`; 0: it does not say.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub credit_bytes: u64,
    /// Its projects.
    #[serde(default)]
    pub projects: Vec<Project>,
    /// The kinds of coding agents that it has, as far as it has looked; older agents say none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<NodeBackend>,
}

/// The supervisor's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`PROTOCOL`] of the supervisor.
    pub protocol: u32,
    /// Version of the supervisor.
    pub version: String,
    /// Counts this node's connections; only the newest may write. The agent stores it before it says anything else.
    pub epoch: u64,
    /// The last sequence number of the agent's incarnation that is committed here: send what comes after. When it is
    /// beyond what the agent holds, the agent's journal is an old copy: it begins a new incarnation and says hello
    /// again.
    pub committed_seq: u64,
    /// The identity of that event where it is known: an agent that has another one under that number begins a new
    /// incarnation, as its journal went another way.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub committed_id: String,
    /// The journal's numbers were used by another agent meanwhile: what comes after `committed_seq` is numbered anew
    /// in a new incarnation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub begin_anew: bool,
    /// Bytes of events that may be on their way unacknowledged.
    pub credit_bytes: u64,
    /// Send a heartbeat this often, in seconds.
    pub heartbeat_sec: u64,
    /// When this was said, in milliseconds of a clock that never jumps: see [`CommandFrame::steady_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_ms: Option<u64>,
}

/// A batch of durable events, without holes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Events {
    /// The incarnation their numbers belong to.
    pub incarnation: String,
    /// In the order of their numbers.
    pub events: Vec<Event>,
}

/// Everything up to this number is committed and synced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The incarnation the number belongs to.
    pub incarnation: String,
    /// The last committed number.
    pub seq: u64,
    /// Bytes of events that may be on their way unacknowledged from now on.
    pub credit_bytes: u64,
}

/// What the supervisor asks of the node. A superset of the predecessor's `command`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandFrame {
    /// The command's identity, also the envelope's `request_id`.
    pub command_id: CommandId,
    /// One of the words of [`super::command::Verb`]; kept as text so that an unknown one can be answered.
    #[serde(rename = "type")]
    pub verb: String,
    /// The project, node and session it is for.
    #[serde(default)]
    pub target: Target,
    /// The arguments of the command; see [`super::command::Verb`].
    #[serde(default)]
    pub args: serde_json::Map<String, serde_json::Value>,
    /// Milliseconds until it lapses unless the agent has begun; counted from receipt, so clocks need not agree.
    /// 0: it has lapsed; report what you know of it, do not begin it.
    #[serde(default)]
    pub ttl_ms: u64,
    /// When this was said, by the clock of [`Welcome::steady_ms`]. An agent that counts from the welcome too knows how
    /// much longer than the welcome this was on its way, and takes that from `ttl_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady_ms: Option<u64>,
}

/// Where a command is to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// The project's name; empty when the session implies it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// The node's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_id: String,
    /// The session's id; absent: a new session, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

/// A command is not wanted any more: it is dropped when it has not begun. Its result says what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Id of the command.
    pub command_id: CommandId,
}

/// The agent has stored the command and is at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandAck {
    /// Id of the command.
    pub command_id: CommandId,
}

/// What came of a command. A superset of the predecessor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResult {
    /// Which; when empty, the envelope's `request_id` says it.
    #[serde(default)]
    pub command_id: Option<CommandId>,
    /// The predecessor's word: `success` or `failure`.
    pub status: String,
    /// Ours: `done`, `failed`, `expired` or `unknown`. Absent from the predecessor's agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<CommandState>,
    /// What came of it.
    #[serde(default)]
    pub output: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where the session's directory stood just before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stood: Option<Checkpoint>,
}

/// Where a directory under version control stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The commit that is checked out.
    pub commit: String,
    /// True when files differ from it.
    #[serde(default)]
    pub is_dirty: bool,
}

/// The agent lives, and this is how its machine is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// Measured just now.
    pub resources: Resources,
    /// The last sequence number its journal holds.
    pub last_seq: u64,
    /// What its clock says, in milliseconds since 1970; absent from older agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now_ms: Option<i64>,
}

/// The whole picture of a node, after every connect and whenever its projects change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The picture contains all events up to this number.
    pub as_of_seq: u64,
    /// Its projects with their states.
    #[serde(default)]
    pub projects: Vec<Project>,
    /// As in [`Hello::backends`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<NodeBackend>,
    /// Every session it knows that has not ended.
    #[serde(default)]
    pub sessions: Vec<Session>,
}

/// Something that nobody promised to keep: a token, a growing output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Live {
    /// The session concerned.
    pub session_id: SessionId,
    /// What happened, for example `message.part.delta`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The event's data, as JSON text.
    pub data: Box<RawValue>,
}

/// Which sessions somebody watches right now: only these are worth [`Live`] frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// True: every session.
    pub all: bool,
    /// Else these.
    pub session_ids: Vec<SessionId>,
}

/// The greeting to whoever connects without a token: shows that the way is open, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// `hal-o-swarm`.
    pub service: String,
    /// Version of the supervisor.
    pub version: String,
    /// `required`.
    pub auth: String,
}

/// Frames from an agent.
#[derive(Clone, Debug)]
pub enum FromAgent {
    /// The first frame: the node's name, version and journal.
    Hello(Hello),
    /// Durable events.
    Events(Events),
    /// A command is stored and begun.
    CommandAck(CommandAck),
    /// A command ended.
    CommandResult(CommandResult),
    /// The agent is alive, with its machine's resources.
    Heartbeat(Heartbeat),
    /// The whole picture.
    Snapshot(Snapshot),
    /// For whoever watches.
    Live(Live),
    /// Money is needed for a turn.
    LeaseRequest(LeaseRequest),
    /// Before hello: who it is, by a key or the token.
    Proof(Proof),
    /// A type of the predecessor or of the future.
    Other(String),
}

/// Frames from the supervisor.
#[derive(Clone, Debug)]
pub enum ToAgent {
    /// The answer to hello.
    Welcome(Welcome),
    /// Events are committed.
    Ack(Ack),
    /// Carry out a command.
    Command(CommandFrame),
    /// Please do not, if it has not begun.
    Cancel(Cancel),
    /// Who is watched.
    Watch(Watch),
    /// Which sessions need a lease.
    Cover(Cover),
    /// The answer to a request for money.
    Lease(Lease),
    /// The last link of the audit record's chain, to be kept. Only for agents that say so.
    Anchor(Head),
    /// Before hello: what is to be proved.
    Challenge(Challenge),
    /// Before hello: it is proved.
    Proved(Proved),
    /// A type of the future.
    Other(String),
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    version: u32,
    #[serde(rename = "type", default)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    request_id: std::borrow::Cow<'a, str>,
    #[serde(default)]
    timestamp: i64,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

/// How a frame of events begins.
const EVENTS_HEAD: &str = r#"{"version":1,"type":"events","#;

/// An envelope with its payload. Version and type were seen in its head.
#[derive(Deserialize)]
struct Whole<'a, T> {
    #[serde(default)]
    request_id: std::borrow::Cow<'a, str>,
    #[serde(default)]
    timestamp: i64,
    payload: T,
}

impl FromAgent {
    /// Reads a frame; gives the envelope's `request_id` with it.
    pub fn decode(text: &str) -> Result<(String, Self), Broken> {
        if let Some(whole) = events_at_once(text) {
            return Ok((whole.request_id.into_owned(), Self::Events(in_order(whole.payload)?)));
        }
        let (kind, request_id, payload) = open(text)?;
        let frame = match kind.as_str() {
            "hello" => Self::Hello(body(&kind, payload)?),
            "events" => Self::Events(in_order(body(&kind, payload)?)?),
            "command_ack" => Self::CommandAck(body(&kind, payload)?),
            "command_result" => Self::CommandResult(body(&kind, payload)?),
            "heartbeat" => {
                Self::Heartbeat(if payload == "null" { Heartbeat::default() } else { body(&kind, payload)? })
            }
            "snapshot" => Self::Snapshot(body(&kind, payload)?),
            "live" => Self::Live(body(&kind, payload)?),
            "lease_request" => Self::LeaseRequest(body(&kind, payload)?),
            "proof" => Self::Proof(body(&kind, payload)?),
            _ => Self::Other(kind),
        };
        Ok((request_id, frame))
    }

    /// Writes the frame.
    pub fn encode(&self, now: Time) -> String {
        match self {
            Self::Hello(body) => seal("hello", "", now, body),
            Self::Events(body) => seal("events", "", now, body),
            Self::CommandAck(body) => seal("command_ack", body.command_id.as_str(), now, body),
            Self::CommandResult(body) => {
                seal("command_result", body.command_id.as_ref().map_or("", CommandId::as_str), now, body)
            }
            Self::Heartbeat(body) => seal("heartbeat", "", now, body),
            Self::Snapshot(body) => seal("snapshot", "", now, body),
            Self::Live(body) => seal("live", "", now, body),
            Self::LeaseRequest(body) => seal("lease_request", "", now, body),
            Self::Proof(body) => seal("proof", "", now, body),
            Self::Other(kind) => seal(kind, "", now, &()),
        }
    }
}

impl ToAgent {
    /// Reads a frame.
    pub fn decode(text: &str) -> Result<Self, Broken> {
        let (kind, _, payload) = open(text)?;
        Ok(match kind.as_str() {
            "welcome" => Self::Welcome(body(&kind, payload)?),
            "ack" => Self::Ack(body(&kind, payload)?),
            "command" => Self::Command(body(&kind, payload)?),
            "cancel" => Self::Cancel(body(&kind, payload)?),
            "watch" => Self::Watch(body(&kind, payload)?),
            "cover" => Self::Cover(body(&kind, payload)?),
            "lease" => Self::Lease(body(&kind, payload)?),
            "anchor" => Self::Anchor(body(&kind, payload)?),
            "challenge" => Self::Challenge(body(&kind, payload)?),
            "proved" => Self::Proved(body(&kind, payload)?),
            _ => Self::Other(kind),
        })
    }

    /// Writes the frame.
    pub fn encode(&self, now: Time) -> String {
        match self {
            Self::Welcome(body) => seal("welcome", "", now, body),
            Self::Ack(body) => seal("ack", "", now, body),
            Self::Command(body) => seal("command", body.command_id.as_str(), now, body),
            Self::Cancel(body) => seal("cancel", body.command_id.as_str(), now, body),
            Self::Watch(body) => seal("watch", "", now, body),
            Self::Cover(body) => seal("cover", "", now, body),
            Self::Lease(body) => seal("lease", "", now, body),
            Self::Anchor(body) => seal("anchor", "", now, body),
            Self::Challenge(body) => seal("challenge", "", now, body),
            Self::Proved(body) => seal("proved", "", now, body),
            Self::Other(kind) => seal(kind, "", now, &()),
        }
    }
}

fn open(text: &str) -> Result<(String, String, &str), Broken> {
    let envelope: Envelope<'_> =
        serde_json::from_str(text).map_err(|error| Broken::NotAnEnvelope(error.to_string()))?;
    if envelope.version != ENVELOPE_VERSION {
        return Err(Broken::Version(envelope.version));
    }
    if envelope.kind.is_empty() {
        return Err(Broken::NoType);
    }
    if envelope.timestamp == 0 {
        return Err(Broken::NoTimestamp);
    }
    let payload = envelope.payload.map_or("null", RawValue::get);
    Ok((envelope.kind.into_owned(), envelope.request_id.into_owned(), payload))
}

/// Events are nearly all of the bytes that come in, so they are read in one pass where the frame is written as ours
/// are. Anything else, and whatever is broken, goes the long way, which has the words for it.
fn events_at_once(text: &str) -> Option<Whole<'_, Events>> {
    if !text.starts_with(EVENTS_HEAD) {
        return None;
    }
    serde_json::from_str(text).ok().filter(|whole: &Whole<'_, Events>| whole.timestamp != 0)
}

fn body<T: DeserializeOwned>(kind: &str, payload: &str) -> Result<T, Broken> {
    serde_json::from_str(payload)
        .map_err(|error| Broken::Payload { kind: kind.to_owned(), why: error.to_string() })
}

fn in_order(events: Events) -> Result<Events, Broken> {
    match events.events.windows(2).find(|pair| pair[0].seq.checked_add(1) != Some(pair[1].seq)) {
        None => Ok(Events { events: super::event::readable(events.events), ..events }),
        Some(pair) => Err(Broken::Order { before: pair[0].seq, after: pair[1].seq }),
    }
}

fn seal(kind: &str, request_id: &str, now: Time, payload: &impl Serialize) -> String {
    let payload = super::event::raw(payload);
    let envelope = Envelope {
        version: ENVELOPE_VERSION,
        kind: kind.into(),
        request_id: request_id.into(),
        timestamp: now.seconds().max(1),
        payload: Some(&payload),
    };
    super::event::raw(&envelope).get().to_owned()
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
