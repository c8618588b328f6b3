//! What can happen, in our words: an event as rules, folded views and people's screens read it, parsed once.

use super::failure::Failure;
use super::kind::Kind;
use super::part::MessagePart;
use crate::approval::Question;
use crate::session::{Model, Retry, SessionId, Todo, Tokens};
use hal_base::clock::Time;

/// What an event tells. What its data does not say, or says in a form that nobody can read, is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum What {
    /// A session was made.
    SessionCreated(SessionTold),
    /// Something about it has changed.
    SessionUpdated(SessionTold),
    /// It was deleted at the coding agent.
    SessionDeleted,
    /// What its turn does; `None` where the event does not say.
    Status(Option<TurnTold>),
    /// Its turn is over.
    Idle,
    /// Its turn has failed, or was stopped; `None` where nobody can read why.
    Failed(Option<Failure>),
    /// Its conversation was summarised to make room.
    Compacted,
    /// It was killed, or is gone.
    Ended {
        /// Why.
        reason: String,
    },
    /// Its turn was cut off from outside.
    Interrupted {
        /// Why.
        reason: String,
    },
    /// It is paused.
    Paused {
        /// Who did it.
        by: String,
    },
    /// It may go on.
    Resumed,
    /// It hands its work over, or has.
    Handover {
        /// True when that begins.
        begins: bool,
    },
    /// A message, as far as it is written.
    Message(Box<MessageTold>),
    /// A piece of a message.
    Part(MessagePart),
    /// Words as they are written.
    Delta(Delta),
    /// It asks whether it may.
    PermissionAsked(PermissionAsked),
    /// Somebody has answered that.
    PermissionReplied(Replied),
    /// It asks something.
    QuestionAsked(QuestionAsked),
    /// Somebody has answered that.
    QuestionReplied(Replied),
    /// Nobody will answer it.
    QuestionRejected(Replied),
    /// Its list of things to do; `None` where nobody can read it.
    Todo(Option<Vec<Todo>>),
    /// A file was changed; its name.
    FileEdited(String),
    /// A policy has decided to act.
    PolicyDecided(PolicyTold),
    /// What it asked for came to nothing.
    PolicyFailed(PolicyTold),
    /// A project, or everything where it is empty, was halted.
    HaltSet {
        /// Which.
        project: String,
        /// Who did it.
        by: String,
    },
    /// It goes on.
    HaltReleased {
        /// Which.
        project: String,
    },
    /// The supervisor's clock was set.
    ClockJumped {
        /// By so many milliseconds.
        by_ms: i64,
    },
    /// Events are missing, or may be.
    Gap {
        /// How many, where that is known.
        count: Option<u64>,
        /// Why.
        reason: Option<String>,
    },
    /// A node could store nothing for a while.
    JournalBlocked {
        /// For how long.
        seconds: f64,
        /// Why.
        reason: String,
    },
    /// An agent does not stay up.
    AgentRestarted {
        /// How that shows.
        reason: Option<String>,
    },
    /// A node is connected.
    NodeOnline,
    /// A node is not.
    NodeOffline {
        /// Why.
        reason: String,
    },
    /// Somebody has answered an approval.
    ApprovalAnswered {
        /// In a few words.
        answer: String,
        /// Who.
        by: String,
    },
    /// Something that only its type tells, or that has no word of ours.
    #[default]
    Other,
}

/// What is told of a session; what is `None` stays as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionTold {
    /// Its name at the backend.
    pub id: Option<SessionId>,
    /// Its title.
    pub title: Option<String>,
    /// Where it works.
    pub directory: Option<String>,
    /// The session whose helper it is.
    pub parent_id: Option<SessionId>,
    /// US dollars, without its helpers'.
    pub cost: Option<f64>,
    /// Tokens, without its helpers'.
    pub tokens: Option<Tokens>,
    /// What answers it.
    pub model: Option<Model>,
    /// When it began.
    pub created: Option<Time>,
    /// True when the agent wrote the event itself because it found it missing.
    pub is_repaired: bool,
}

/// What a turn does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnTold {
    /// It runs.
    Busy,
    /// It waits for its provider.
    Retry(Retry),
    /// It is over.
    Over,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// A person, or who speaks for one.
    User,
    /// The model.
    Assistant,
    /// Nobody knows.
    #[default]
    Unknown,
}

/// A message, as far as it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageTold {
    /// Its name; it is told again when more is known.
    pub id: String,
    /// The message that it answers; empty where that is not told.
    pub parent_id: String,
    /// Who says it.
    pub role: Role,
    /// Who serves the model.
    pub provider: String,
    /// What the model is called there.
    pub model: String,
    /// US dollars; `None` where the coding agent does not know the price.
    pub cost: Option<f64>,
    /// What it has used.
    pub tokens: Tokens,
    /// Tokens in the model's context after it; 0 where that is not told: their sum then.
    pub context: u64,
    /// What the model's context can hold.
    pub context_limit: Option<u64>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// True when its end is told, by a reason or by a failure.
    pub has_ended: bool,
    /// Why it ended, in the coding agent's word.
    pub finish: String,
    /// When it began.
    pub created: Option<Time>,
    /// When it was complete.
    pub completed: Option<Time>,
}

/// Words as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The piece they belong to.
    pub part_id: String,
    /// Its message.
    pub message_id: String,
    /// The words; empty when it is not words that grow.
    pub text: String,
}

/// A session asks whether it may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionAsked {
    /// The request, by which it is answered.
    pub id: String,
    /// What it wants to use, as the coding agent calls it.
    pub tool: String,
    /// What an answer for good would allow.
    pub patterns: Vec<String>,
    /// The command.
    pub command: Option<String>,
    /// The file.
    pub file: Option<String>,
    /// How it would change the file.
    pub diff: Option<String>,
    /// The message that asks; empty where that is not told.
    pub message_id: String,
    /// The call of a tool that asks; empty where that is not told.
    pub call: String,
}

impl PermissionAsked {
    /// What is asked, in a line.
    pub fn what(&self) -> String {
        let named = [&self.command, &self.file].into_iter().flatten().find(|text| !text.is_empty());
        named.map_or_else(|| self.patterns.join(" "), String::clone)
    }
}

/// A session asks something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuestionAsked {
    /// The request, by which it is answered.
    pub id: String,
    /// What is asked, each with what may be chosen.
    pub questions: Vec<Question>,
    /// The message that asks; empty where that is not told.
    pub message_id: String,
}

/// Somebody has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replied {
    /// The request.
    pub request_id: String,
    /// The answer to a permission; `None` where the event does not say.
    pub reply: Option<ReplyTold>,
    /// What was said beside it.
    pub message: String,
    /// The chosen labels for each question.
    pub answers: Vec<Vec<String>>,
    /// True when nobody here has given it: it was given at the coding agent itself.
    pub is_outside: bool,
}

/// An answer to a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyTold {
    /// It may, this time.
    Once,
    /// It may, for good.
    Always,
    /// It may not.
    Reject,
    /// Another word, for people.
    Other(String),
}

impl ReplyTold {
    /// The word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Once => "once",
            Self::Always => "always",
            Self::Reject => "reject",
            Self::Other(word) => word,
        }
    }

    /// The answer of a word.
    pub fn of_word(word: String) -> Self {
        match word.as_str() {
            "once" => Self::Once,
            "always" => Self::Always,
            "reject" => Self::Reject,
            _ => Self::Other(word),
        }
    }
}

/// What a policy did, and in which situation; `None` where the event does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyTold {
    /// Which policy.
    pub policy: Option<String>,
    /// The name of the situation.
    pub situation: Option<String>,
}

impl What {
    /// The type of an event that a backend or the agent reports with this; `None` for what only the supervisor says.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::SessionCreated(_) => Kind::SessionCreated,
            Self::SessionUpdated(_) => Kind::SessionUpdated,
            Self::SessionDeleted => Kind::SessionDeleted,
            Self::Status(_) => Kind::SessionStatus,
            Self::Idle => Kind::SessionIdle,
            Self::Failed(_) => Kind::SessionError,
            Self::Compacted => Kind::SessionCompacted,
            Self::Ended { .. } => Kind::SessionEnded,
            Self::Interrupted { .. } => Kind::SessionInterrupted,
            Self::Message(_) => Kind::MessageUpdated,
            Self::Part(_) => Kind::PartUpdated,
            Self::Delta(_) => Kind::PartDelta,
            Self::PermissionAsked(_) => Kind::PermissionAsked,
            Self::PermissionReplied(_) => Kind::PermissionReplied,
            Self::QuestionAsked(_) => Kind::QuestionAsked,
            Self::QuestionReplied(_) => Kind::QuestionReplied,
            Self::QuestionRejected(_) => Kind::QuestionRejected,
            Self::Todo(_) => Kind::TodoUpdated,
            Self::FileEdited(_) => Kind::FileEdited,
            Self::Gap { .. } => Kind::Gap,
            _ => return None,
        })
    }
}
