//! What is done after a commit, and only then.

use std::path::PathBuf;

use tokio::sync::oneshot;

use super::input::{Greeted, Link, NotAccepted};
use crate::protocol::alert::Alert;
use crate::protocol::approval::Approval;
use crate::protocol::budget::Budget;
use crate::protocol::command::{Command, CommandId};
use crate::protocol::frame::{ToAgent, Watch};
use crate::protocol::node::{Node, NodeId};

/// What is done after a commit. When the commit fails none is, and whoever waits is told why.
#[derive(Debug)]
pub enum Effect {
    /// A new connection takes the place of the node's older one.
    Attach {
        /// Whose.
        node: NodeId,
        /// The way to it.
        link: Link,
        /// Told its welcome.
        reply: oneshot::Sender<Greeted>,
        /// What it is told.
        greeted: Greeted,
        /// Why an older connection is closed.
        replaced: String,
    },
    /// An agent is turned away, with the reason.
    Refuse(oneshot::Sender<Greeted>, String),
    /// A frame for a node.
    Tell(NodeId, ToAgent),
    /// The node's connection is closed.
    Close(NodeId, String),
    /// The node's connection is gone.
    Detach(NodeId),
    /// The answer to a command request.
    Answer(oneshot::Sender<Result<Command, NotAccepted>>, Result<Command, NotAccepted>),
    /// The answer to whoever changed a command that was stored before.
    Changed(oneshot::Sender<Result<Command, NotAccepted>>, Command),
    /// Somebody waits for a command's end; let go when it is not open any more.
    Wait(CommandId, oneshot::Sender<Command>),
    /// A command has ended.
    Ended(Command),
    /// What an operator changed is stored.
    Edited(oneshot::Sender<Result<(), String>>),
    /// What the configuration says is in force.
    TakenOver(oneshot::Sender<()>),
    /// Another store takes the place of this one.
    Replace(PathBuf, oneshot::Sender<Result<(), String>>),
    /// The store is opened again with a look at every page, for this reason.
    Suspect(String),
    /// Nodes are told who is watched.
    Watch(Watch),
    /// The answer to whoever acknowledged an alert.
    Acknowledged(oneshot::Sender<Result<Alert, NotAccepted>>, Result<Alert, NotAccepted>),
    /// The answer to whoever changed a budget.
    Budget(oneshot::Sender<Result<Budget, NotAccepted>>, Result<Budget, NotAccepted>),
    /// The answer to whoever removed a node.
    Removed(oneshot::Sender<Result<Box<Node>, NotAccepted>>, Result<Box<Node>, NotAccepted>),
    /// The answer to whoever sends notices.
    Settled(oneshot::Sender<bool>, bool),
    /// Something is to be sent.
    Queued,
    /// The answer to whoever snoozed an approval.
    Snoozed(oneshot::Sender<Result<Approval, NotAccepted>>, Result<Approval, NotAccepted>),
    /// The log says what a person should see.
    Alert(String),
}

impl Effect {
    /// Its batch was not stored: whoever waits is told why.
    pub fn not_stored(self, why: &str) {
        let refused = || NotAccepted::NotStored(why.to_owned());
        match self {
            Self::Answer(reply, _) | Self::Changed(reply, _) => drop(reply.send(Err(refused()))),
            Self::Acknowledged(reply, _) => drop(reply.send(Err(refused()))),
            Self::Budget(reply, _) => drop(reply.send(Err(refused()))),
            Self::Snoozed(reply, _) => drop(reply.send(Err(refused()))),
            Self::Removed(reply, _) => drop(reply.send(Err(refused()))),
            Self::Attach { reply, .. } => {
                drop(reply.send(Err(format!("the supervisor cannot write to its store: {why}"))));
            }
            Self::Edited(reply) | Self::Replace(_, reply) => drop(reply.send(Err(why.to_owned()))),
            Self::Refuse(..)
            | Self::Tell(..)
            | Self::Close(..)
            | Self::Detach(_)
            | Self::Wait(..)
            | Self::Ended(_)
            | Self::Watch(_)
            | Self::Queued
            | Self::Suspect(_)
            | Self::Settled(..)
            | Self::TakenOver(_)
            | Self::Alert(_) => {}
        }
    }
}
