//! A restart under way: the steps of a session that hands its work over to another one.

use serde::{Deserialize, Serialize};

use hal_base::clock::Time;
use hal_protocol::command::CommandId;

/// A restart under way. Stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The command that asked for it.
    pub command: CommandId,
    /// Where it is.
    pub step: RestartStep,
    /// When the step is over whatever happens.
    pub until: Time,
    /// The step's own command.
    pub part: Option<CommandId>,
    /// What the new session is told besides.
    pub prompt: String,
    /// Whether the old one was asked to write.
    pub has_asked: bool,
    /// Where it stood.
    pub stop: Stop,
}

/// A step of a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestartStep {
    /// The session was asked to write down where it stands.
    Asked,
    /// It is being ended.
    Ending,
    /// The one that goes on with its work is being started.
    Starting,
}

/// Where a session stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Its last message.
    pub message: String,
    /// What it said last.
    pub said: String,
    /// The commit of its directory.
    pub commit: Option<String>,
}
