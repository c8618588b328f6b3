//! What is done after a commit, and only then.

use std::fmt;
use std::path::PathBuf;

use tokio::sync::oneshot;

use super::input::{Greeted, Link, NotAccepted};
use hal_protocol::command::{Command, CommandId};
use hal_protocol::frame::{ToAgent, Watch};
use hal_protocol::node::NodeId;

/// What is done after a commit. When the commit fails none is, and whoever waits is told why.
#[derive(Debug)]
pub enum Effect {
    /// A new connection takes the place of the node's older one.
    Attach {
        /// The node's name.
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
    /// A frame for a node.
    Tell(NodeId, ToAgent),
    /// The node's connection is closed.
    Close(NodeId, String),
    /// The node's connection is gone.
    Detach(NodeId),
    /// The answer to a command request.
    Answer(oneshot::Sender<Result<Command, NotAccepted>>, Result<Command, NotAccepted>),
    /// Whoever asked for something else is answered.
    Reply(Reply),
    /// Somebody waits for a command's end; let go when it is not open any more.
    Wait(CommandId, oneshot::Sender<Command>),
    /// A command has ended.
    Ended(Command),
    /// Another store takes the place of this one.
    Replace(PathBuf, oneshot::Sender<Result<(), String>>),
    /// The store is opened again with a look at every page, for this reason.
    Suspect(String),
    /// Nodes are told who is watched.
    Watch(Watch),
    /// Something is to be sent.
    Queued,
    /// The log says what a person should see.
    Alert(String),
}

impl Effect {
    /// An answer that says why when it was not stored; a refusal is told as it is.
    pub fn reply<T: Send + 'static, E: NotStored>(
        to: oneshot::Sender<Result<T, E>>,
        answer: Result<T, E>,
    ) -> Self {
        Self::Reply(Reply(Box::new(move |stored| {
            let _ = to.send(answer.and_then(|it| stored.map(|()| it).map_err(E::not_stored)));
        })))
    }

    /// An answer that does not come when it was not stored.
    pub fn confirm<T: Send + 'static>(to: oneshot::Sender<T>, answer: T) -> Self {
        Self::Reply(Reply(Box::new(move |stored| {
            let _ = stored.map(|()| to.send(answer));
        })))
    }

    /// An answer that does not rest on the store.
    pub fn tell_anyway<T: Send + 'static>(to: oneshot::Sender<T>, answer: T) -> Self {
        Self::Reply(Reply(Box::new(move |_| {
            let _ = to.send(answer);
        })))
    }

    /// Its batch was not stored: whoever waits is told why.
    pub fn not_stored(self, why: &str) {
        match self {
            Self::Answer(reply, answer) => {
                drop(reply.send(answer.and(Err(NotAccepted::not_stored(why)))));
            }
            Self::Reply(reply) => reply.send(Err(why)),
            Self::Attach { reply, .. } => {
                drop(reply.send(Err(format!("the supervisor cannot write to its store: {why}"))));
            }
            Self::Replace(_, reply) => drop(reply.send(Err(why.to_owned()))),
            Self::Tell(..)
            | Self::Close(..)
            | Self::Detach(_)
            | Self::Wait(..)
            | Self::Ended(_)
            | Self::Watch(_)
            | Self::Queued
            | Self::Suspect(_)
            | Self::Alert(_) => {}
        }
    }
}

/// An answer on its way to whoever asked.
pub struct Reply(Box<Answer>);

/// Sends the answer, told whether it was stored, or why not.
type Answer = dyn FnOnce(Result<(), &str>) + Send;

impl Reply {
    /// Answers, when `stored`; else says why not, or nothing.
    pub fn send(self, stored: Result<(), &str>) {
        (self.0)(stored);
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Reply")
    }
}

/// A refusal that can say that the store took no writes.
pub trait NotStored: Send + 'static {
    /// It was not stored, because of this.
    fn not_stored(why: &str) -> Self;
}

impl NotStored for NotAccepted {
    fn not_stored(why: &str) -> Self {
        Self::NotStored(why.to_owned())
    }
}

impl NotStored for String {
    fn not_stored(why: &str) -> Self {
        why.to_owned()
    }
}
