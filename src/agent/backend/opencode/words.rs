//! The parts of opencode's answers that we read.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A session as `GET /session` lists it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SessionInfo {
    /// Its id, given by opencode.
    pub id: String,
    /// The real path of the directory it works in.
    #[serde(default)]
    pub directory: String,
    /// The session that started it.
    #[serde(rename = "parentID")]
    pub parent_id: Option<String>,
    /// What it calls itself.
    #[serde(default)]
    pub title: String,
    /// US dollars, without its helpers'.
    pub cost: Option<f64>,
    /// Tokens, without its helpers'.
    #[serde(default)]
    pub tokens: TokensInfo,
    /// The model of the last answer.
    pub model: Option<ModelInfo>,
    /// When it began and was last heard of, in Unix milliseconds.
    #[serde(default)]
    pub time: SessionTimes,
    /// What whoever made it has attached.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// Tokens by kind.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokensInfo {
    /// All kinds together, where it is said.
    pub total: u64,
    /// Read, without cached ones.
    pub input: u64,
    /// Written, without reasoning.
    pub output: u64,
    /// Reasoned.
    pub reasoning: u64,
    /// From and into the cache.
    pub cache: CacheInfo,
}

/// Cached tokens.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CacheInfo {
    /// Read from it.
    pub read: u64,
    /// Written to it.
    pub write: u64,
}

/// A session's model.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelInfo {
    /// What it is called.
    pub id: String,
    /// Who serves it.
    #[serde(rename = "providerID", default)]
    pub provider_id: String,
}

/// A session's times in Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SessionTimes {
    /// When it began.
    pub created: i64,
    /// When it last changed.
    pub updated: i64,
}

/// What the turn of a session does; sessions without one are not listed.
#[derive(Clone, Debug, Deserialize)]
pub struct StatusInfo {
    /// `busy`, `retry` or `idle`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which attempt a retry will be.
    #[serde(default)]
    pub attempt: u32,
    /// Why there is a retry.
    #[serde(default)]
    pub message: String,
    /// When it is made, in Unix milliseconds.
    #[serde(default)]
    pub next: i64,
}

impl StatusInfo {
    /// Reads one. Sessions without a turn are not listed, so that one of another form is busy.
    pub fn read(entry: &RawValue) -> Self {
        let busy = || Self { kind: "busy".into(), attempt: 0, message: String::new(), next: 0 };
        serde_json::from_str(entry.get()).unwrap_or_else(|_| busy())
    }

    /// True while a turn runs or waits for its provider.
    pub fn is_busy(&self) -> bool {
        self.kind != "idle"
    }
}

/// A permission or a question that waits for an answer.
#[derive(Clone, Debug, Deserialize)]
pub struct AskInfo {
    /// Its name; names sort by the time they were given.
    pub id: String,
    /// Who waits.
    #[serde(rename = "sessionID")]
    pub session_id: String,
    /// What a permission is about, for example `bash`.
    #[serde(default)]
    pub permission: String,
    /// The rules a permission concerns.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// The command or the file.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// What a question asks.
    #[serde(default)]
    pub questions: Vec<QuestionInfo>,
    /// The directory it was asked in, where an event said it.
    #[serde(skip)]
    pub directory: Option<String>,
}

impl AskInfo {
    /// Reads one. Who asks and its name are enough to answer it, when the rest is of another form.
    pub fn read(entry: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Bare {
            id: String,
            #[serde(rename = "sessionID")]
            session_id: String,
        }
        let bare = |Bare { id, session_id }| Self {
            id,
            session_id,
            permission: String::new(),
            patterns: Vec::new(),
            metadata: Map::new(),
            questions: Vec::new(),
            directory: None,
        };
        let whole = serde_json::from_str(entry.get()).ok();
        whole.or_else(|| serde_json::from_str(entry.get()).ok().map(bare))
    }

    /// What is asked, in one line.
    pub fn what(&self) -> String {
        if !self.questions.is_empty() {
            return self.questions.iter().map(|one| one.question.as_str()).collect::<Vec<_>>().join(" / ");
        }
        let named = self.metadata.get("command").or(self.metadata.get("filepath")).and_then(Value::as_str);
        named.map_or_else(|| self.patterns.join(" "), str::to_owned)
    }
}

/// One question.
#[derive(Clone, Debug, Deserialize)]
pub struct QuestionInfo {
    /// The question for the person.
    #[serde(default)]
    pub question: String,
}

/// A message with its parts left out.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// All but the parts.
    pub info: MessageInfo,
}

/// A message.
#[derive(Clone, Debug, Deserialize)]
pub struct MessageInfo {
    /// Its id, given by opencode.
    pub id: String,
    /// `user` or `assistant`.
    #[serde(default)]
    pub role: String,
    /// The message that an assistant's one answers.
    #[serde(rename = "parentID")]
    pub parent_id: Option<String>,
    /// Why an answer came to its end; `tool-calls` goes on in another message.
    #[serde(default)]
    pub finish: String,
    /// When it was completed, if it was.
    #[serde(default)]
    pub time: MessageTimes,
    /// What it holds in the model's context.
    #[serde(default)]
    pub tokens: TokensInfo,
    /// Why the answer failed, if it did.
    pub error: Option<ErrorInfo>,
}

/// An error of a turn.
#[derive(Clone, Debug, Deserialize)]
pub struct ErrorInfo {
    /// Its kind, for example `APIError`.
    #[serde(default)]
    pub name: String,
    /// What belongs to an error of this name.
    #[serde(default)]
    pub data: ErrorData,
}

impl ErrorInfo {
    /// Kind and message in one line.
    pub fn text(&self) -> String {
        match &self.data.message {
            Some(message) => format!("{}: {message}", self.name),
            None => self.name.clone(),
        }
    }
}

/// What is said about an error.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ErrorData {
    /// The error in a sentence, where opencode has one.
    pub message: Option<String>,
}

/// A message's times in Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MessageTimes {
    /// When it was made; opencode puts messages in this order.
    pub created: i64,
    /// When it was complete; absent in one that was cut off.
    pub completed: Option<i64>,
}

/// `GET /config/providers`.
#[derive(Clone, Debug, Deserialize)]
pub struct Providers {
    /// Those that can be used.
    pub providers: Vec<Provider>,
}

/// Who serves models.
#[derive(Clone, Debug, Deserialize)]
pub struct Provider {
    /// Its id, given by opencode.
    pub id: String,
    /// Its models by name.
    #[serde(default)]
    pub models: HashMap<String, ProviderModel>,
}

/// What a provider says of a model.
#[derive(Clone, Debug, Deserialize)]
pub struct ProviderModel {
    /// What it can hold.
    #[serde(default)]
    pub limit: ModelLimit,
}

/// What a model can hold.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ModelLimit {
    /// Tokens; 0 or absent: not known.
    pub context: u64,
}

/// A kind of agent.
#[derive(Clone, Debug, Deserialize)]
pub struct AgentInfo {
    /// The agent's name, such as `build`.
    pub name: String,
}

/// `GET /global/health`.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerHealth {
    /// The version.
    pub version: String,
}

/// An event as opencode keeps it and gives it again.
#[derive(Debug, Deserialize)]
pub struct StoredEvent {
    /// The same identity that it had on the stream.
    pub id: String,
    /// Id of the session that the event belongs to.
    pub aggregate_id: String,
    /// Its number there.
    pub seq: u64,
    /// Its type with a version, for example `message.updated.1`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the stream calls `properties`.
    pub data: Box<RawValue>,
}

impl Providers {
    /// What a model can hold; `None` when that is not known.
    pub fn limit(&self, provider: &str, model: &str) -> Option<u64> {
        let provider = self.providers.iter().find(|one| one.id == provider)?;
        Some(provider.models.get(model)?.limit.context).filter(|limit| *limit > 0)
    }

    /// All models, each as `provider/model`.
    pub fn names(&self) -> Vec<String> {
        let of = |provider: &Provider| {
            provider.models.keys().map(|model| format!("{}/{model}", provider.id)).collect::<Vec<_>>()
        };
        self.providers.iter().flat_map(of).collect()
    }
}
