//! Everything that can happen to the hub: one closed enum. Each input brings its own time, so the same inputs give
//! the same state, but for what is noted without it: see [`super::pulse`].

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::actor::{ActorAnswer, ActorChange};
use super::billed::Billed;
use super::notice::NoticeEvent;
use super::pulse::Pulse;
use super::settings::Settings;
use hal_base::clock::Reading;
use hal_base::id;
use hal_protocol as protocol;
use hal_protocol::actor::Credential;
pub use hal_protocol::alert::Severity;
use hal_protocol::budget::{Budget, BudgetChange};
use hal_protocol::command::{Command, CommandId, CommandRequest};
use hal_protocol::frame::{CommandAck, CommandResult, Events, Hello, Snapshot, ToAgent, Watch, Welcome};
use hal_protocol::lease::LeaseRequest;
use hal_protocol::node::{CameIn, NodeId};
use hal_protocol::who::Who;
use hal_rules as rules;
use hal_store::audit::AuditRecord;
use hal_store::command::KeyRecord;
use hal_store::hub::SetAside;
use hal_store::mirror::restore::Portion;
use hal_store::sqlite::edit::{Edit, Edits};

/// Frames waiting to be sent to one agent. An agent that lets this fill up does not read: its link is closed.
pub const LINK_QUEUE: usize = 1024;

/// Inputs waiting for the hub. When it is full the senders wait, and so do the agents behind them.
pub const INPUT_QUEUE: usize = 1024;

/// The way to one connected agent.
#[derive(Clone, Debug)]
pub struct Link {
    /// Frames to send.
    pub frames: mpsc::Sender<ToAgent>,
    /// Closing the connection, with the reason for the agent and the log.
    pub close: Closer,
    /// Where its signs of life are noted.
    pub pulse: Arc<Pulse>,
    /// How it came in.
    pub came_in: CameIn,
}

/// Closes one connection, once, with a reason.
#[derive(Clone, Debug, Default)]
pub struct Closer {
    token: CancellationToken,
    reason: std::sync::Arc<std::sync::OnceLock<String>>,
}

impl Closer {
    /// Closes the connection. Only the first reason counts.
    pub fn close(&self, reason: impl Into<String>) {
        let _ = self.reason.set(reason.into());
        self.token.cancel();
    }

    /// Resolves with the reason when the connection is to be closed.
    pub async fn closed(&self) -> String {
        self.token.cancelled().await;
        self.reason.get().cloned().unwrap_or_default()
    }
}

/// Which connection of a node an input came over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// The node's name.
    pub node: NodeId,
    /// Its connection's epoch. Inputs of an older epoch than the node's are void.
    pub epoch: u64,
}

/// Why a command request was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// It makes no sense, or names what does not exist.
    #[error(transparent)]
    Refused(#[from] rules::command::Refused),
    /// The same key was used for something else.
    #[error("the idempotency key was used for another command ({0}); use a new key for a new command")]
    KeyTaken(CommandId),
    /// The node has more open commands than it may.
    #[error("node {node} has {open} commands waiting already; wait for some to end")]
    TooMany {
        /// The node's name.
        node: NodeId,
        /// Its open commands.
        open: usize,
    },
    /// It has ended, or there never was one.
    #[error("command {0} has already ended")]
    NotOpen(CommandId),
    /// Somebody else was first, or nobody waits for it any more.
    #[error("{0}")]
    Late(String),
    /// It could not be stored, so it will not be done.
    #[error(
        "this could not be stored: {0}; it will not be done, unless the supervisor is killed before its disk \
         works again: check before you retry"
    )]
    NotStored(String),
    /// It was not even tried to store it.
    #[error("this was refused and will not be done: {0}")]
    NotTaken(String),
}

/// A command request on its way to the hub.
#[derive(Debug)]
pub struct SubmittedCommand {
    /// The request as it was sent.
    pub request: CommandRequest,
    /// Name, credential and way in of whoever asks.
    pub who: Who,
    /// The identity it gets if it is new.
    pub id: CommandId,
    /// What its key stands for in the store, and that command if it still exists. Filled in by the hub just before it
    /// decides: whoever looked earlier could miss a command of the same key on its way.
    pub earlier: Option<(KeyRecord, Option<Command>)>,
    /// The answer: the stored command, or the one that the key stands for.
    pub reply: oneshot::Sender<Result<Command, NotAccepted>>,
}

impl SubmittedCommand {
    /// A request with an identity of its own.
    pub fn new(
        request: CommandRequest,
        who: Who,
        reply: oneshot::Sender<Result<Command, NotAccepted>>,
    ) -> Self {
        Self { request, who, id: CommandId::from(id::fresh()), earlier: None, reply }
    }
}

/// Something that happened, and that a person should see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaisedAlert {
    /// The alert's name, such as `store.failed`.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence for people.
    pub text: String,
}

impl RaisedAlert {
    /// A store was found sick: the first thing that the new one tells.
    pub fn store_replaced(SetAside { store, path, why, events }: &SetAside) -> Self {
        let kept = path
            .as_ref()
            .map_or_else(String::new, |path| format!(" The damaged file is {}.", path.display()));
        let fresh = match events {
            Some(events) => format!("rebuilt from supervisor.db, with {events} events"),
            None => "started empty".to_owned(),
        };
        let text = format!(
            "the store {} was damaged ({why}), and was {fresh}.{kept} What the nodes' journals still hold is \
             sent again by itself",
            store.display()
        );
        Self { name: "store.replaced", severity: Severity::High, text }
    }

    /// Rows of the store could not be read at the start.
    pub fn store_healed(rows: &[String]) -> Self {
        let text = format!(
            "{} rows of the store were not what was written ({} and on); they are written again from supervisor.db. \
             The disk may be failing",
            rows.len(),
            rows.first().map_or("", String::as_str)
        );
        Self { name: "store.healed", severity: Severity::High, text }
    }

    /// Something that was committed is not there any more.
    pub fn store_lost(what: &str) -> Self {
        let text = format!(
            "something that was stored is not there any more: {what}. What the nodes' journals still hold is sent again \
             by itself"
        );
        Self { name: "store.lost", severity: Severity::High, text }
    }
}

/// Something that can be well or not, as an edge has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symptom {
    /// The alert's name, such as `store.failed`.
    pub name: String,
    /// What it is about: a node, a disk; empty: the supervisor itself.
    pub about: String,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence when it is not well; `None` when it is.
    pub text: Option<String>,
}

/// What people report of an incident.
#[derive(Debug)]
pub struct OfIncident {
    /// The report: open with its severity, or resolved.
    pub request: protocol::alert::AlertRequest,
    /// Who reports it.
    pub who: Who,
    /// The alert as it is then.
    pub reply: oneshot::Sender<Result<protocol::alert::Alert, NotAccepted>>,
}

/// What happens to approvals, beside an answer, which is a command.
#[derive(Debug)]
pub enum OfApprovals {
    /// Somebody was told of them. Whoever only looks changes nothing.
    Seen {
        /// Ids of the approvals.
        ids: Vec<protocol::approval::ApprovalId>,
        /// Who has seen them, or the channel that has delivered them.
        who: Who,
        /// `delivered`.
        note: String,
    },
    /// One is not to be told again for a while.
    Snooze {
        /// Id of the approval.
        id: protocol::approval::ApprovalId,
        /// For how many seconds; 0: it is told now.
        seconds: u64,
        /// Who asks.
        who: Who,
        /// The approval as it is then.
        reply: oneshot::Sender<Result<protocol::approval::Approval, NotAccepted>>,
    },
}

/// What an agent is told when it says hello.
pub type Greeted = Result<Welcome, String>;

/// Everything that can happen.
#[derive(Debug)]
pub enum Input {
    /// An agent said hello.
    Connect {
        /// The agent's first frame.
        hello: Hello,
        /// From where.
        address: String,
        /// The token of its own that it has shown; `None`: the one that all share.
        own: Option<Arc<Credential>>,
        /// The way to it.
        link: Link,
        /// The epoch it gets, or why it is refused.
        reply: oneshot::Sender<Greeted>,
    },
    /// A connection ended.
    Disconnect {
        /// The connection that ended.
        from: From,
        /// Why it ended, in a few words.
        reason: String,
    },
    /// Durable events.
    Events {
        /// The connection it came over.
        from: From,
        /// Without holes.
        batch: Events,
    },
    /// A node's whole picture.
    Snapshot {
        /// The connection it came over.
        from: From,
        /// The picture.
        snapshot: Snapshot,
    },
    /// A node has spoken for the first time over its connection. What heartbeats say beside that is no input: see
    /// [`super::pulse`].
    FirstWord {
        /// The connection it came over.
        from: From,
    },
    /// A node has begun a command.
    CommandAck {
        /// The connection it came over.
        from: From,
        /// The acknowledgement, with the command's id.
        ack: CommandAck,
    },
    /// A node has ended a command.
    CommandResult {
        /// The connection it came over.
        from: From,
        /// Id of the command.
        id: CommandId,
        /// The outcome that the node reports.
        result: CommandResult,
    },
    /// Somebody asks for something.
    Command(Box<SubmittedCommand>),
    /// Somebody does not want a command any more.
    Cancel {
        /// Id of the command.
        id: CommandId,
        /// Who asks.
        who: Who,
        /// The command as it is then: ended, or left to its node, which drops it when it has not begun.
        reply: oneshot::Sender<Result<Command, NotAccepted>>,
    },
    /// Somebody waits for a command's end.
    Await {
        /// Id of the command.
        id: CommandId,
        /// Gets the command when it has ended; dropped when it is not open.
        reply: oneshot::Sender<Command>,
    },
    /// An operator changed the mirror with SQL.
    Edits {
        /// The changes in their order.
        edits: Edits,
        /// Told when it is stored, or why it is not.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Old rows leave the store, or archived ones come back.
    Move {
        /// The actor for the audit log.
        by: &'static str,
        /// The rows and what becomes of them.
        list: Vec<Edit>,
        /// Told when it is stored, or why it is not.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Rows come back from a store that was set aside.
    Return {
        /// Which; those that came meanwhile are taken out by the hub just before it decides.
        portion: Box<Portion>,
        /// The name of that store's file.
        file: String,
        /// Who brings them back.
        by: Who,
        /// Told when they are stored, or why they are not.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// An operator has put another mirror in place while we run: the store made from it takes the store's place.
    Replace {
        /// The new store's file.
        fresh: PathBuf,
        /// Told when it is in place, or why it is not.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// The store may read less than was written, for this reason: it is opened again with a look at every page.
    Suspect(String),
    /// Whatever epochs a node was given are forgotten: whoever says hello in its name next is the node.
    ForgetEpoch {
        /// The node's name.
        node: NodeId,
        /// Who says so.
        by: Who,
        /// Told when it is stored: whether there is such a node.
        reply: oneshot::Sender<bool>,
    },
    /// Somebody began or ceased to watch.
    Watching(Watch),
    /// The configuration was reloaded; told when it is in force.
    Settings(Arc<Settings>, oneshot::Sender<()>),
    /// An edge has seen what a person should see.
    Alert(RaisedAlert),
    /// The same of a node.
    NodeAlert(NodeId, RaisedAlert),
    /// An edge writes down who did what.
    Audit(Box<AuditRecord>),
    /// An edge has looked at something that can be well or not.
    Symptom(Symptom),
    /// Somebody says that they know of an alert.
    Acknowledge {
        /// The alert's number.
        id: u64,
        /// Who asks.
        who: Who,
        /// The alert as it is then.
        reply: oneshot::Sender<Result<protocol::alert::Alert, NotAccepted>>,
    },
    /// A node needs money for a turn.
    Lease {
        /// The connection it came over.
        from: From,
        /// For what.
        ask: LeaseRequest,
    },
    /// Somebody changes who is known.
    Actors {
        /// The change.
        change: ActorChange,
        /// Who asks.
        by: Who,
        /// What it came to.
        reply: oneshot::Sender<Result<ActorAnswer, NotAccepted>>,
    },
    /// Somebody changes a budget.
    Budget {
        /// The change.
        change: BudgetChange,
        /// Who asks.
        by: Who,
        /// The budget as it is then.
        reply: oneshot::Sender<Result<Budget, NotAccepted>>,
    },
    /// Something happens to notices on their way out.
    Notice(NoticeEvent),
    /// Somebody removes a node that is offline.
    RemoveNode {
        /// The node's name.
        id: NodeId,
        /// Who asks.
        by: Who,
        /// The node as it was.
        reply: oneshot::Sender<Result<Box<protocol::node::Node>, NotAccepted>>,
    },
    /// A chat keeps the thread of a session for the next time, or does not any more.
    Thread {
        /// `CHANNEL/SESSION`.
        key: String,
        /// What the chat calls it; `None`: there is none any more.
        thread: Option<String>,
        /// Told when it is stored.
        reply: oneshot::Sender<bool>,
    },
    /// People report how an incident stands.
    Incident(Box<OfIncident>),
    /// It is time to say this alert again.
    Remind(u64),
    /// Something happens to approvals.
    Approval(OfApprovals),
    /// A provider was asked what it bills.
    Billed(Box<Billed>),
    /// Time passes.
    Tick,
    /// Merge what is unmerged, commit, and end.
    Stop,
}

impl Input {
    /// True when it needs next to no room in the store, so that it can be taken while the disk is full.
    pub fn is_small(&self) -> bool {
        match self {
            Self::Await { .. }
            | Self::Watching(_)
            | Self::Settings(..)
            | Self::FirstWord { .. }
            | Self::Disconnect { .. }
            | Self::Alert(_)
            | Self::NodeAlert(..)
            | Self::Symptom(_)
            | Self::Acknowledge { .. }
            | Self::Notice(_)
            | Self::Incident(_)
            | Self::Remind(_)
            | Self::Approval(_)
            | Self::Thread { .. }
            | Self::Edits { .. }
            | Self::Move { .. }
            | Self::Replace { .. }
            | Self::Suspect(_)
            | Self::Stop => true,
            Self::Connect { .. }
            | Self::Events { .. }
            | Self::Snapshot { .. }
            | Self::CommandAck { .. }
            | Self::CommandResult { .. }
            | Self::Command(_)
            | Self::Cancel { .. }
            | Self::Return { .. }
            | Self::ForgetEpoch { .. }
            | Self::Audit(_)
            | Self::Lease { .. }
            | Self::Actors { .. }
            | Self::Budget { .. }
            | Self::RemoveNode { .. }
            | Self::Billed(_)
            | Self::Tick => false,
        }
    }
}

/// An input and when it came in.
#[derive(Debug)]
pub struct Timed {
    /// When, by both clocks.
    pub clock: Reading,
    /// The input itself.
    pub input: Input,
}
