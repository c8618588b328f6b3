//! The parts of OpenCode 2's answers and frames that are read.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::words::{SessionTimes, TokensInfo};
use hal_protocol::session::{Model, SessionId, Tokens};

/// An answer: what was asked for is in `data`.
#[derive(Debug, Deserialize)]
pub struct Data<T> {
    /// It.
    pub data: T,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub data: Vec<T>,
    /// Where the next one is.
    #[serde(default)]
    pub cursor: Cursor,
}

/// Where the next page is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cursor {
    /// Absent on the last one.
    pub next: Option<String>,
}

/// A directory.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Location {
    /// Its real path.
    pub directory: String,
}

/// A session as it is listed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SessionRecord {
    /// Its name.
    pub id: String,
    /// The session whose helper it is.
    #[serde(rename = "parentID")]
    pub parent_id: Option<String>,
    /// What it calls itself.
    pub title: Option<String>,
    /// Where it works.
    pub location: Location,
    /// US dollars, without its helpers'.
    pub cost: Option<f64>,
    /// Tokens, without its helpers'.
    pub tokens: TokensInfo,
    /// The model that was chosen.
    pub model: Option<ModelName>,
    /// When it began and last changed.
    pub time: SessionTimes,
    /// How its last execution ended: 2.0.x says it.
    pub outcome: Option<String>,
    /// What whoever made it has attached.
    pub metadata: Map<String, Value>,
}

/// A model by its names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ModelName {
    /// What it is called.
    pub id: String,
    /// Who serves it.
    #[serde(rename = "providerID")]
    pub provider_id: String,
}

/// A model as it is listed. Its settings hold keys: they are not read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ModelRecord {
    /// What it is called.
    pub id: String,
    /// Who serves it.
    #[serde(rename = "providerID")]
    pub provider_id: String,
    /// What it can hold.
    pub limit: Option<Limit>,
}

/// What a model can hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Limit {
    /// Tokens; 0: not known.
    pub context: u64,
}

/// A kind of agent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AgentRecord {
    /// Its name.
    pub id: String,
    /// The same in the shape that came before.
    pub name: String,
}

/// A command that runs in the background.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ShellRecord {
    /// Its name.
    pub id: String,
    /// `running`, or how it ended.
    pub status: String,
    /// Whose it is.
    pub metadata: ShellOwner,
}

/// The session that a command belongs to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ShellOwner {
    /// Its name.
    #[serde(rename = "sessionID")]
    pub session_id: String,
}

/// Something that waits to be taken in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct InboxItem {
    /// Its name.
    pub id: String,
}

/// A frame of the stream.
#[derive(Debug, Deserialize)]
pub struct Frame {
    /// Its identity.
    #[serde(default)]
    pub id: String,
    /// When, in Unix milliseconds; the first frame does not say it.
    #[serde(default)]
    pub created: i64,
    /// What kind of event.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is told.
    #[serde(default)]
    pub data: Value,
    /// Where, for what happens in a directory.
    pub location: Option<Location>,
}

impl Frame {
    /// The session it is about.
    pub fn session(&self) -> Option<SessionId> {
        let named = self.data["sessionID"].as_str().or_else(|| self.data["form"]["sessionID"].as_str());
        named.map(SessionId::new)
    }
}

/// A text in an object; empty when there is none.
pub fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The first of some texts that is there.
pub fn first<'v>(value: &'v Value, keys: &[&str]) -> &'v str {
    keys.iter().map(|key| text(value, key)).find(|text| !text.is_empty()).unwrap_or_default()
}

/// Tokens as they are told.
pub fn tokens(value: &Value) -> Tokens {
    let told: TokensInfo = serde_json::from_value(value.clone()).unwrap_or_default();
    of_info(&told)
}

/// The same in our words.
pub fn of_info(told: &TokensInfo) -> Tokens {
    Tokens {
        input: told.input,
        output: told.output,
        reasoning: told.reasoning,
        cache_read: told.cache.read,
        cache_write: told.cache.write,
    }
}

/// The words among the pieces of what a tool gave.
pub fn words_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(pieces) => {
            let texts = pieces.iter().filter_map(|piece| piece["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// A model by its names.
pub fn model_of(value: &Value) -> Option<Model> {
    let id = value["id"].as_str()?.to_owned();
    Some(Model { provider: text(value, "providerID").to_owned(), id })
}
