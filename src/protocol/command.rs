//! A command: something a person or a policy asks of a node.
//!
//! ```text
//!   queued --> sent --> running --> done
//!     |          |         |-----> failed
//!     |          |         '-----> unknown   the node died in between; settled by looking, never by trying again
//!     '--------> expired                     its time was over before the node began
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::node::NodeId;
use super::session::SessionId;
use super::who::Who;
use hal_base::clock::Time;
use hal_base::text_id;

text_id! {
    /// The identity of a command.
    CommandId
}

/// How long a command may wait for its node when the caller does not say.
pub const DEFAULT_EXPIRY: Duration = Duration::from_secs(300);

/// What can be asked. The words are the predecessor's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Begin a session: `args.prompt`, `args.title?`, `args.model?` (`provider/model`), `args.agent?`.
    CreateSession,
    /// Send a prompt to a session: `args.message`. Also how a stopped session is resumed.
    PromptSession,
    /// Stop the running turn.
    AbortSession,
    /// Stop the work and its processes; the conversation is kept.
    KillSession,
    /// Answer a waiting permission: `args.reply` (`once`, `always`, `reject`), `args.request_id?`, `args.message?`.
    AnswerPermission,
    /// Answer a waiting question: `args.answers` (a list of lists of text; an empty one turns it down),
    /// `args.request_id?`.
    AnswerQuestion,
    /// Ask the backend for a session's status and report it.
    SessionStatus,
    /// End a session and start another that continues its work: `args.handover?` (default true), `args.prompt?`.
    RestartSession,
    /// Stop the turn, and suspend policies until a person resumes the session.
    PauseSession,
    /// Let policies act on a paused session again, without prompting it.
    ReleaseSession,
    /// Hide a session from lists: `args.undo?`.
    ArchiveSession,
    /// Label a session: `args.add?`, `args.remove?` (lists of words).
    LabelSession,
    /// Stop all turns of a project, or all, and start none until released: `args.release?`.
    HaltWork,
}

impl Verb {
    /// Every type of command.
    pub const ALL: [Verb; 13] = [
        Self::CreateSession,
        Self::PromptSession,
        Self::AbortSession,
        Self::KillSession,
        Self::AnswerPermission,
        Self::AnswerQuestion,
        Self::SessionStatus,
        Self::RestartSession,
        Self::PauseSession,
        Self::ReleaseSession,
        Self::ArchiveSession,
        Self::LabelSession,
        Self::HaltWork,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateSession => "create_session",
            Self::PromptSession => "prompt_session",
            Self::AbortSession => "abort_session",
            Self::KillSession => "kill_session",
            Self::AnswerPermission => "answer_permission",
            Self::AnswerQuestion => "answer_question",
            Self::SessionStatus => "session_status",
            Self::RestartSession => "restart_session",
            Self::PauseSession => "pause_session",
            Self::ReleaseSession => "release_session",
            Self::ArchiveSession => "archive_session",
            Self::LabelSession => "label_session",
            Self::HaltWork => "halt_work",
        }
    }

    /// Reads the word or one of the predecessor's other names for it, whatever its case.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.trim().trim_start_matches('/').to_ascii_lowercase();
        let plain = match word.as_str() {
            "start" => "create_session",
            "inject" | "resume" | "prompt" => "prompt_session",
            "abort" => "abort_session",
            "kill" => "kill_session",
            "status" => "session_status",
            "restart" | "handover" => "restart_session",
            "pause" => "pause_session",
            "halt" => "halt_work",
            other => other,
        };
        Self::ALL.into_iter().find(|verb| verb.as_str() == plain)
    }

    /// True when it is meant for one existing session.
    pub fn needs_session(self) -> bool {
        !matches!(self, Self::CreateSession | Self::HaltWork)
    }

    /// True when the supervisor carries it out, and no node is told.
    pub fn stays_here(self) -> bool {
        matches!(
            self,
            Self::RestartSession
                | Self::PauseSession
                | Self::ReleaseSession
                | Self::ArchiveSession
                | Self::LabelSession
                | Self::HaltWork
        )
    }
}

/// Where a command is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CommandState {
    /// Stored; its node is not connected yet.
    Queued,
    /// Given to the node.
    Sent,
    /// Stored by the node, which is at it.
    Running,
    /// It had its effect.
    Done,
    /// It had none; `error` says why.
    Failed,
    /// It expired before the node started it; it had no effect and never will.
    Expired,
    /// The node died in between and could not find out afterwards.
    Unknown,
}

impl CommandState {
    /// True when it will not change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Expired | Self::Unknown)
    }

    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }

    /// The predecessor's word: what its `halctl` looks for in `status`.
    pub fn legacy_word(self) -> &'static str {
        match self {
            Self::Queued | Self::Sent | Self::Running => "pending",
            Self::Done => "success",
            Self::Failed => "failure",
            Self::Expired | Self::Unknown => "timeout",
        }
    }
}

/// A command, as the supervisor keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The command's id, a UUID that the supervisor gives.
    pub id: CommandId,
    /// The type of the command.
    pub verb: Verb,
    /// The node that carries it out; empty: the supervisor itself.
    pub node_id: NodeId,
    /// In which project; empty when the session says it.
    pub project: String,
    /// The session that it is for; absent: none.
    pub session_id: Option<SessionId>,
    /// The rest; see [`Verb`].
    pub args: Map<String, Value>,
    /// Name of the person, program or policy that sent it.
    pub actor: String,
    /// The same with all that is known of it; absent: an earlier release has stored the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// The caller's key: the same key from the same actor is the same command.
    pub idempotency_key: Option<String>,
    /// Where it is in its life.
    pub state: CommandState,
    /// What came of it, for example the new session's id.
    pub output: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was asked.
    pub created_at: Time,
    /// When it lapses unless the node has begun.
    pub expires_at: Time,
    /// When it last changed its state.
    pub changed_at: Time,
}

/// A command as `halctl` and the API show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommandView {
    /// The command's id, a UUID that the supervisor gives.
    #[schema(value_type = String)]
    pub command_id: CommandId,
    /// The type of the command.
    #[serde(rename = "type")]
    pub verb: Verb,
    /// Where it is in its life.
    pub state: CommandState,
    /// The predecessor's word for `state`: `success`, `failure`, `timeout` or `pending`.
    pub status: String,
    /// The node that carries it out; empty: the supervisor itself.
    #[schema(value_type = String)]
    pub node_id: NodeId,
    /// The project to work in; empty when the session implies it.
    #[serde(default)]
    pub project: String,
    /// The session that it is for; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub session_id: Option<SessionId>,
    /// What came of it, for example the new session's id.
    #[serde(default)]
    pub output: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who asked: the name.
    #[serde(default)]
    pub actor: String,
    /// The same with all that is known of it; absent: an earlier release has stored the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// When it was asked (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// When it lapses unless the node has begun (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
    /// When it last changed its state (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Time,
}

/// The body of `POST /api/v1/commands`. Name a session, a project (and a node, when several have it), or both.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CommandRequest {
    /// What is asked: one of the words of [`Verb`], or the predecessor's names for them.
    #[serde(rename = "type")]
    pub verb: String,
    /// The predecessor's name for `project`.
    pub target: String,
    /// The project to work in; empty when the session implies it.
    pub project: String,
    /// On which node; required only when several nodes have the project.
    pub node_id: String,
    /// The session that it is for; absent: none.
    pub session_id: String,
    /// The rest; see [`Verb`].
    #[schema(value_type = Object)]
    pub args: Map<String, Value>,
    /// The same key from the same caller is the same command; also as the header `Idempotency-Key`.
    pub idempotency_key: String,
    /// Seconds to wait for the outcome before answering with the state it has then; default 30, at most 600.
    pub timeout: Option<u64>,
    /// Seconds the command may wait for its node; default 300, at most 86400.
    pub expires: Option<u64>,
}
