//! The rows of commands and of idempotency keys.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::reader::Reader;
use super::row::{self, Row, damaged};
use super::tables::{COMMANDS, KEYS, OPEN_COMMANDS};
use hal_base::clock::Time;
use hal_protocol::command::{Command, CommandId, CommandState, Verb};
use hal_protocol::node::NodeId;
use hal_protocol::session::SessionId;
use hal_protocol::who::Who;

/// What an idempotency key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The command it made.
    pub command: String,
    /// SHA-256 of what was asked, so that the same key for something else is noticed.
    pub meaning: [u8; 32],
}

impl Row for KeyRecord {
    const TABLE: &'static str = "idempotency";
    const VERSION: u8 = 1;
}

/// The key under which an actor's idempotency key is kept.
pub fn scoped_key(actor: &str, key: &str) -> String {
    format!("{actor}\0{key}")
}

/// Version 1.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct CommandRow {
    verb: String,
    node_id: String,
    project: String,
    session_id: Option<String>,
    args: String,
    actor: String,
    idempotency_key: Option<String>,
    state: String,
    output: String,
    error: Option<String>,
    created_at: i64,
    expires_at: i64,
    changed_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    who: Option<Who>,
}

impl Row for CommandRow {
    const TABLE: &'static str = "commands";
    const VERSION: u8 = 1;

    fn open_body(body: &[u8]) -> Result<Self, postcard::Error> {
        row::open_grown(body)
    }
}

impl From<&Command> for CommandRow {
    fn from(command: &Command) -> Self {
        Self {
            verb: command.verb.as_str().to_owned(),
            node_id: command.node_id.to_string(),
            project: command.project.clone(),
            session_id: command.session_id.as_ref().map(SessionId::to_string),
            args: serde_json::Value::Object(command.args.clone()).to_string(),
            actor: command.actor.clone(),
            idempotency_key: command.idempotency_key.clone(),
            state: command.state.as_str().to_owned(),
            output: command.output.clone(),
            error: command.error.clone(),
            created_at: command.created_at.0,
            expires_at: command.expires_at.0,
            changed_at: command.changed_at.0,
            who: command.who.clone(),
        }
    }
}

impl CommandRow {
    /// True when it will not change any more.
    pub(super) fn has_ended(&self) -> bool {
        ["done", "failed", "expired", "unknown"].contains(&self.state.as_str())
    }

    pub(super) fn into_command(self, id: &str) -> Result<Command, StoreError> {
        let bad = |what: &str| damaged(Self::TABLE, &id, format!("{what} is not known"));
        let state = [
            CommandState::Queued,
            CommandState::Sent,
            CommandState::Running,
            CommandState::Done,
            CommandState::Failed,
            CommandState::Expired,
            CommandState::Unknown,
        ]
        .into_iter()
        .find(|state| state.as_str() == self.state);
        Ok(Command {
            id: id.into(),
            verb: Verb::parse(&self.verb).ok_or_else(|| bad("its verb"))?,
            node_id: self.node_id.into(),
            project: self.project,
            session_id: self.session_id.map(SessionId::from),
            args: serde_json::from_str(&self.args).map_err(|_| bad("the shape of its arguments"))?,
            who: self.who.and_then(|who| who.if_named(&self.actor)),
            actor: self.actor,
            idempotency_key: self.idempotency_key,
            state: state.ok_or_else(|| bad("its state"))?,
            output: self.output,
            error: self.error,
            created_at: Time(self.created_at),
            expires_at: Time(self.expires_at),
            changed_at: Time(self.changed_at),
        })
    }
}

/// Which commands, newest first.
#[derive(Clone, Debug, Default)]
pub struct CommandQuery {
    /// Only commands for this node.
    pub node_id: Option<NodeId>,
    /// Only commands for this session.
    pub session_id: Option<SessionId>,
    /// Only commands in this state.
    pub state: Option<CommandState>,
    /// Older than this one.
    pub before: Option<CommandId>,
    /// At most so many.
    pub limit: usize,
}

impl CommandQuery {
    fn matches(&self, command: &Command) -> bool {
        self.node_id.as_ref().is_none_or(|id| *id == command.node_id)
            && self.session_id.as_ref().is_none_or(|id| command.session_id.as_ref() == Some(id))
            && self.state.is_none_or(|state| state == command.state)
    }
}

impl Reader<'_> {
    /// One command.
    pub fn command(&self, id: &CommandId) -> Result<Option<Command>, StoreError> {
        let table = self.txn().open_table(COMMANDS)?;
        let Some(bytes) = table.get(id.as_str())? else { return Ok(None) };
        row::open::<CommandRow>(bytes.value(), id)?.into_command(id.as_str()).map(Some)
    }

    /// What an actor's idempotency key stands for.
    pub fn key(&self, scoped: &str) -> Result<Option<KeyRecord>, StoreError> {
        let table = self.txn().open_table(KEYS)?;
        let Some(bytes) = table.get(scoped)? else { return Ok(None) };
        row::open(bytes.value(), scoped).map(Some)
    }

    /// A page of commands and how many match in all.
    pub fn commands(&self, query: &CommandQuery) -> Result<(Vec<Command>, u64), StoreError> {
        let table = self.txn().open_table(COMMANDS)?;
        let (mut page, mut total) = (Vec::new(), 0);
        for entry in table.iter()?.rev() {
            let (key, bytes) = entry?;
            let command = row::open::<CommandRow>(bytes.value(), key.value())?.into_command(key.value())?;
            if !query.matches(&command) {
                continue;
            }
            total += 1;
            let older = query.before.as_ref().is_none_or(|before| key.value() < before.as_str());
            if older && page.len() < query.limit {
                page.push(command);
            }
        }
        Ok((page, total))
    }

    /// Every command that has not ended yet, oldest first.
    pub fn open_commands(&self) -> Result<Vec<Command>, StoreError> {
        let open = self.txn().open_table(OPEN_COMMANDS)?;
        let mut commands = Vec::new();
        for entry in open.iter()? {
            commands.extend(self.command(&CommandId::new(entry?.0.value()))?);
        }
        Ok(commands)
    }
}
