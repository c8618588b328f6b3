//! A piece of a message, in our words: words, thoughts, a tool at work, files.

use serde_json::Value;

/// A piece of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct MessagePart {
    /// Its name; it is told again when it has grown.
    pub id: String,
    /// The message it belongs to.
    pub message_id: String,
    /// What it is.
    pub content: Content,
}

/// What a piece of a message is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Words.
    Text(Words),
    /// What the model thinks before it speaks.
    Thought(Words),
    /// A tool.
    Tool(Box<ToolUse>),
    /// Files that the step has changed.
    Changed(Vec<String>),
    /// A file that was given along: its name, or where it lies.
    File(String),
    /// Something that means nothing to us.
    Other,
}

/// Words, as far as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// What is written.
    pub text: String,
    /// True when nobody said it: the coding agent put it in for the model.
    pub is_hidden: bool,
    /// True while it is still being written.
    pub is_growing: bool,
}

/// One call of a tool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolUse {
    /// What the coding agent calls the tool: for people, not for rules.
    pub tool: String,
    /// What it does.
    pub kind: ToolKind,
    /// The call's name; it may be told of several times.
    pub call: String,
    /// How far it is.
    pub state: ToolState,
    /// What it was given.
    pub input: ToolInput,
    /// How the coding agent sums it up.
    pub title: String,
    /// What it gave.
    pub output: String,
    /// Why it came to nothing.
    pub error: String,
    /// Who is the reason, if it did not fail by itself.
    pub cause: Option<ToolCause>,
    /// How the command ended, where it was one.
    pub exit: Option<i64>,
}

impl ToolUse {
    /// True when it ran to its end and that is not good, or came to nothing.
    pub fn has_failed(&self) -> bool {
        self.state == ToolState::Error || self.exit.is_some_and(|exit| exit != 0)
    }
}

/// What a tool does, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolKind {
    /// It runs a command.
    Execute,
    /// It changes files.
    Edit,
    /// Whatever else.
    #[default]
    Other,
}

impl ToolKind {
    /// The word that travels in an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Edit => "edit",
            Self::Other => "other",
        }
    }

    /// The kind of a word. One that somebody newer says is some other.
    pub fn of_word(word: &str) -> Self {
        [Self::Execute, Self::Edit].into_iter().find(|kind| kind.as_str() == word).unwrap_or_default()
    }
}

/// How far a call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolState {
    /// The model is still writing what it is given.
    Pending,
    /// It runs.
    Running,
    /// It ran to its end; `exit` says how, where it was a command.
    Completed,
    /// It came to nothing.
    Error,
    /// The event does not say.
    #[default]
    Unknown,
}

impl ToolState {
    /// The word; empty when nobody knows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Error => "error",
            Self::Unknown => "",
        }
    }

    /// The state of a word.
    pub fn of_word(word: &str) -> Self {
        let all = [Self::Pending, Self::Running, Self::Completed, Self::Error];
        all.into_iter().find(|state| state.as_str() == word).unwrap_or_default()
    }

    /// True when nothing more comes.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Error)
    }
}

/// Who made a tool come to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolCause {
    /// A person has refused it.
    Refused,
    /// It was stopped with its turn.
    Stopped,
}

impl ToolCause {
    /// The word that travels in an event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Stopped => "stopped",
        }
    }

    /// The cause of a word. One that somebody newer says is nobody's doing.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Refused, Self::Stopped].into_iter().find(|cause| cause.as_str() == word)
    }
}

/// What a tool was given: each tool has fields of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolInput(pub Value);

/// The fields that tell what a tool works on, in the order in which they are looked for.
const SUBJECT: [&str; 5] = ["command", "filePath", "pattern", "path", "url"];

/// The fields that say best to a person what it does.
const TELLING: [&str; 9] =
    ["command", "filePath", "file_path", "path", "pattern", "url", "query", "description", "prompt"];

impl ToolInput {
    /// The command it was given; empty when it was none.
    pub fn command(&self) -> &str {
        self.text("command").unwrap_or_default()
    }

    /// What it works on: the same words for the same work.
    pub fn subject(&self) -> String {
        match SUBJECT.iter().find_map(|field| self.text(field)) {
            None | Some("") => self.0.to_string(),
            Some(text) => text.to_owned(),
        }
    }

    /// What says best to a person what it does.
    pub fn telling(&self) -> Option<&str> {
        TELLING.iter().find_map(|field| self.text(field).filter(|text| !text.is_empty()))
    }

    /// True when it was given nothing.
    pub fn is_empty(&self) -> bool {
        self.0.as_object().is_none_or(serde_json::Map::is_empty)
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field)?.as_str()
    }
}
