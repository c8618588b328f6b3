//! Chat commands, which people give from a chat: the same words, rights and answers whichever chat it is.
//!
//! A chat says who asks ([`Person`]) and what ([`ChatCommand`]); this carries it out as the API would, in that person's name,
//! and gives the words to answer with.

mod text;

use std::time::Duration;

use serde_json::{Map, json};
use tokio::sync::oneshot;

pub use text::{ButtonStyle, Card, card, cut};

use crate::approvals::whole;
use crate::config::channels::ChatRole;
use crate::hub::Hub;
use crate::hub::decide::approval::request;
use crate::hub::input::{Input, OfApprovals};
use crate::queries::{self, read};
use crate::refusal::ApiError;
use hal_base::clock;
use hal_protocol::approval::{Approval, ApprovalId, ApprovalState, ApprovalView, Reply};
use hal_protocol::command::{CommandRequest, CommandState, Verb};
use hal_protocol::session::{AskKind, SessionId};
use hal_protocol::who::Who;
use hal_store::audit::AuditRecord;

/// How long a chat waits for a node's word; then it says that it is under way.
const WAIT: Duration = Duration::from_secs(8);

/// For how long the button puts something off.
pub const SNOOZE: Duration = Duration::from_secs(15 * 60);

/// The person in a chat who asks, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// For the audit log, such as `discord:ada`.
    pub name: String,
    /// Their identity over there, which they cannot choose.
    pub address: String,
    /// Which chat, such as `discord`.
    pub over: &'static str,
    /// What they may do; `None`: nothing.
    pub power: Option<ChatRole>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatCommand {
    /// How things stand.
    Status,
    /// List the open sessions.
    Sessions,
    /// The nodes.
    Nodes,
    /// What the sessions have cost.
    Cost,
    /// The end of a session's log.
    Logs(String),
    /// Say something to a session.
    Say(String, String),
    /// Stop a session's work.
    Kill(String),
    /// Begin a session anew, with a handover.
    Restart(String),
    /// Start a session.
    Start {
        /// The project to work in.
        project: String,
        /// With which words.
        prompt: String,
        /// On which node; empty: the one that has the project.
        node: String,
    },
    /// Answer what a session waits with: its approval, or the session's name.
    Answer(String, Reply),
    /// Choose this one of the answers to a question.
    Choose(String, usize),
    /// Put it off.
    Snooze(String, Duration),
    /// Know of an alert.
    Acknowledge(u64),
}

/// An answer to a chat command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatReply {
    /// The text that is shown.
    pub text: String,
    /// False when it was refused or failed.
    pub went_well: bool,
}

impl ChatReply {
    fn well(text: impl Into<String>) -> Self {
        Self { text: text.into(), went_well: true }
    }

    fn badly(text: impl Into<String>) -> Self {
        Self { text: text.into(), went_well: false }
    }
}

impl ChatCommand {
    /// Reads a word and what was given with it by name.
    pub fn read(word: &str, given: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let need = |name: &str| {
            let text = given(name).filter(|text| !text.trim().is_empty());
            text.ok_or_else(|| format!("`{word}` needs {name}: {}", usage(word)))
        };
        let or = |name: &str, default: &str| {
            given(name).filter(|text| !text.is_empty()).unwrap_or(default.to_owned())
        };
        Ok(match word {
            "status" => Self::Status,
            "sessions" => Self::Sessions,
            "nodes" => Self::Nodes,
            "cost" => Self::Cost,
            "logs" => Self::Logs(need("session")?),
            "resume" => Self::Say(need("session")?, or("text", "continue")),
            "inject" => Self::Say(need("session")?, need("text")?),
            "kill" => Self::Kill(need("session")?),
            "restart" => Self::Restart(need("session")?),
            "start" => {
                Self::Start { project: need("project")?, prompt: need("prompt")?, node: or("node", "") }
            }
            "approve" => Self::Answer(need("id")?, Reply::Once),
            "deny" => Self::Answer(need("id")?, Reply::Reject { message: or("message", "") }),
            "ack" => {
                let number = need("alert")?;
                Self::Acknowledge(
                    number.parse().map_err(|_| format!("an alert's id is a number, not {number:?}"))?,
                )
            }
            other => {
                return Err(format!("there is no {other:?}; there is {}", WORDS.map(|one| one.0).join(", ")));
            }
        })
    }

    /// Reads what a button carries.
    pub fn of_button(text: &str) -> Option<Self> {
        let (word, id) = text.split_once(':')?;
        Some(match word {
            "approve" => Self::Answer(id.to_owned(), Reply::Once),
            "always" => Self::Answer(id.to_owned(), Reply::Always),
            "deny" => Self::Answer(id.to_owned(), Reply::Reject { message: String::new() }),
            "snooze" => Self::Snooze(id.to_owned(), SNOOZE),
            "ack" => Self::Acknowledge(id.parse().ok()?),
            "choose" => {
                let (number, id) = id.split_once(':')?;
                Self::Choose(id.to_owned(), number.parse().ok()?)
            }
            _ => return None,
        })
    }

    /// What one must be allowed to do for it.
    pub fn needs(&self) -> ChatRole {
        match self {
            Self::Status | Self::Sessions | Self::Nodes | Self::Cost | Self::Logs(_) => ChatRole::View,
            Self::Say(..) | Self::Answer(..) | Self::Choose(..) | Self::Snooze(..) | Self::Acknowledge(_) => {
                ChatRole::Answer
            }
            Self::Kill(_) | Self::Restart(_) | Self::Start { .. } => ChatRole::Manage,
        }
    }

    /// The approval that it is about.
    pub fn approval(&self) -> Option<&str> {
        match self {
            Self::Answer(id, _) | Self::Choose(id, _) | Self::Snooze(id, _) => Some(id),
            _ => None,
        }
    }
}

/// A parameter of a word: its name, what it is, and whether it is needed.
pub type Parameter = (&'static str, &'static str, bool);

/// Every word, what it does, and its parameters in their order.
pub const WORDS: [(&str, &str, &[Parameter]); 13] = [
    ("status", "Show the state of the fleet", &[]),
    ("sessions", "Open sessions, waiting ones first", &[]),
    ("nodes", "Machines and whether they are connected", &[]),
    ("cost", "What the sessions have cost", &[]),
    ("logs", "The end of a session's log", &[SESSION]),
    ("resume", "Resume a stopped session", &[SESSION, ("text", "The prompt; by default: continue", false)]),
    ("inject", "Send a prompt to a session", &[SESSION, ("text", "The prompt", true)]),
    ("restart", "End a session and start a new one that takes over from it", &[SESSION]),
    ("kill", "Stop a session's work; its conversation is kept", &[SESSION]),
    (
        "start",
        "Start a session",
        &[
            ("project", "The project to work in", true),
            ("prompt", "What to do", true),
            ("node", "On this node; required only when several have the project", false),
        ],
    ),
    ("approve", "Allow what a session asks permission for", &[ID]),
    (
        "deny",
        "Deny what a session asks permission for",
        &[ID, ("message", "A message to the session", false)],
    ),
    ("ack", "Acknowledge an alert", &[("alert", "The alert's number", true)]),
];

const SESSION: Parameter = ("session", "The session's id", true);
const ID: Parameter = ("id", "The approval's id, or the session's", true);

fn usage(word: &str) -> String {
    let found = WORDS.iter().find(|(name, ..)| *name == word);
    let parameters = found.map(|(_, _, parameters)| *parameters).unwrap_or_default();
    let each = parameters.iter().map(|(name, _, needed)| {
        if *needed { name.to_uppercase() } else { format!("[{}]", name.to_uppercase()) }
    });
    std::iter::once(word.to_owned()).chain(each).collect::<Vec<_>>().join(" ")
}

/// Carries out what a person asks for, if they may.
pub async fn carry_out(hub: &Hub, person: &Person, command: ChatCommand) -> ChatReply {
    if person.power < Some(command.needs()) {
        return denied(hub, person, &command);
    }
    let done = match command {
        ChatCommand::Status => Ok(ChatReply::well(text::status(&hub.view()))),
        ChatCommand::Sessions => Ok(ChatReply::well(text::sessions(&hub.view()))),
        ChatCommand::Nodes => Ok(ChatReply::well(text::nodes(&hub.view()))),
        ChatCommand::Cost => Ok(ChatReply::well(text::cost(&hub.view()))),
        ChatCommand::Logs(session) => logs(hub, &session).await,
        ChatCommand::Say(session, text) => {
            let args = Map::from_iter([("message".to_owned(), json!(text))]);
            tell(
                hub,
                person,
                of_session(Verb::PromptSession.as_str(), &session, args),
                "Prompt delivered to session {}",
            )
            .await
        }
        ChatCommand::Kill(session) => {
            let request = of_session(Verb::KillSession.as_str(), &session, Map::new());
            tell(hub, person, request, "Session {} was killed; its conversation is kept").await
        }
        ChatCommand::Restart(session) => {
            tell(hub, person, of_session("restart_session", &session, Map::new()), "Session {} is restarted")
                .await
        }
        ChatCommand::Start { project, prompt, node } => start(hub, person, project, prompt, node).await,
        ChatCommand::Answer(id, reply) => answer(hub, person, &id, reply).await,
        ChatCommand::Choose(id, number) => choose(hub, person, &id, number).await,
        ChatCommand::Snooze(id, time) => snooze(hub, person, &id, time).await,
        ChatCommand::Acknowledge(alert) => acknowledge(hub, person, alert).await,
    };
    done.unwrap_or_else(|error| ChatReply::badly(error.sentence()))
}

fn denied(hub: &Hub, person: &Person, command: &ChatCommand) -> ChatReply {
    let needed = command.needs().as_str();
    let args = json!({"over": person.over, "needs": needed});
    let target = command.approval().unwrap_or_default();
    hub.audit(AuditRecord {
        result: "failed".to_owned(),
        error: Some(format!("{} may not do this", person.name)),
        ..AuditRecord::new(&by(person), "denied", target, &args, clock::now())
    });
    ChatReply::badly(format!(
        "You may not do this: it needs the right to {needed}. Rights are set in channels.{} of the \
         supervisor's configuration; you are {}.",
        person.over, person.address
    ))
}

fn by(person: &Person) -> Who {
    Who::in_chat(&person.name, person.over, &person.address)
}

fn of_session(verb: &str, session: &str, args: Map<String, serde_json::Value>) -> CommandRequest {
    CommandRequest {
        verb: verb.to_owned(),
        session_id: session.trim().to_owned(),
        args,
        timeout: Some(WAIT.as_secs()),
        ..CommandRequest::default()
    }
}

/// Asks something of a session; the answer is `done` with the session's id for its `{}`.
async fn tell(
    hub: &Hub,
    person: &Person,
    request: CommandRequest,
    done: &str,
) -> Result<ChatReply, ApiError> {
    let session = request.session_id.clone();
    let command = queries::command(hub, by(person), request).await?;
    Ok(match command.state {
        CommandState::Done => ChatReply::well(format!("{}.", done.replace("{}", &format!("`{session}`")))),
        _ => text::outcome(&command),
    })
}

async fn start(
    hub: &Hub,
    person: &Person,
    project: String,
    prompt: String,
    node: String,
) -> Result<ChatReply, ApiError> {
    let request = CommandRequest {
        verb: Verb::CreateSession.as_str().to_owned(),
        project,
        node_id: node,
        args: Map::from_iter([("prompt".to_owned(), json!(prompt))]),
        timeout: Some(WAIT.as_secs()),
        ..CommandRequest::default()
    };
    let command = queries::command(hub, by(person), request).await?;
    Ok(match command.state {
        CommandState::Done => ChatReply::well(format!("Session `{}` has started.", command.output.trim())),
        _ => text::outcome(&command),
    })
}

/// The approval of this name, or what the session of this name waits with.
fn find(hub: &Hub, id: &str) -> Result<Approval, ApiError> {
    let view = hub.view();
    let of_session = || {
        let mut waiting = view.approvals_of(&SessionId::new(id));
        waiting.sort_by_key(|one| !one.state.wants_answer());
        waiting.into_iter().next()
    };
    view.approval(id).or_else(of_session).ok_or_else(|| {
        ApiError::not_found(format!(
            "there is no approval {id}, and no session of that name waits for an answer"
        ))
    })
}

async fn answer(hub: &Hub, person: &Person, id: &str, reply: Reply) -> Result<ChatReply, ApiError> {
    let approval = find(hub, id.trim())?;
    if approval.kind == AskKind::Question && matches!(reply, Reply::Once | Reply::Always) {
        return Ok(ChatReply::badly(format!(
            "This is a question: press one of its answers, or `halctl approvals answer {} TEXT`.",
            approval.id
        )));
    }
    let mut request = request(&approval, &reply, person.over);
    request.timeout = Some(WAIT.as_secs());
    queries::command(hub, by(person), request).await?;
    let now = find(hub, approval.id.as_str())?;
    let session = &now.session_id;
    Ok(match now.state {
        ApprovalState::Reached | ApprovalState::Settled => {
            ChatReply::well(format!("Session `{session}`: {}.", reply.words()))
        }
        ApprovalState::Undelivered | ApprovalState::Lapsed => {
            let why = now.receipt.last().map(|step| step.note.clone()).unwrap_or_default();
            ChatReply::badly(format!("The answer to session `{session}` did not arrive: {why}"))
        }
        ApprovalState::Answered | ApprovalState::Waiting => ChatReply::well(format!(
            "Session `{session}`: {}; sent to node {}, which has not confirmed it yet.",
            reply.words(),
            now.node_id
        )),
    })
}

async fn choose(hub: &Hub, person: &Person, id: &str, number: usize) -> Result<ChatReply, ApiError> {
    let view = approval(hub, id).await?;
    let chosen = view.questions.first().and_then(|question| question.options.get(number));
    let Some(chosen) = chosen.map(|choice| choice.label.clone()) else {
        return Ok(ChatReply::badly("This answer is no longer known; see `halctl approvals get`."));
    };
    answer(hub, person, id, Reply::Answers { answers: vec![vec![chosen]] }).await
}

async fn snooze(hub: &Hub, person: &Person, id: &str, time: Duration) -> Result<ChatReply, ApiError> {
    let (reply, answer) = oneshot::channel();
    let event =
        OfApprovals::Snooze { id: find(hub, id)?.id, seconds: time.as_secs(), who: by(person), reply };
    hub.send(Input::Approval(event)).await?;
    let asleep = answer.await.map_err(|_| crate::hub::Stopped)??;
    Ok(ChatReply::well(format!(
        "Snoozed: people are notified of session `{}` again at {}.",
        asleep.session_id, asleep.snoozed_until
    )))
}

async fn acknowledge(hub: &Hub, person: &Person, id: u64) -> Result<ChatReply, ApiError> {
    let (reply, answer) = oneshot::channel();
    hub.send(Input::Acknowledge { id, who: by(person), reply }).await?;
    let alert = answer.await.map_err(|_| crate::hub::Stopped)??;
    Ok(ChatReply::well(format!("Alert {id} ({}) acknowledged by {}.", alert.name, alert.acknowledged_by)))
}

async fn logs(hub: &Hub, session: &str) -> Result<ChatReply, ApiError> {
    let session = SessionId::new(session.trim());
    let view = hub.view();
    let Some(record) = view.stored.sessions.get(&session) else {
        return Ok(ChatReply::badly(format!("There is no session `{session}`.")));
    };
    let (id, no) = (session.to_string(), record.no);
    let page = read(hub, move |hub| text::last_events(hub, (id, no))).await?;
    Ok(ChatReply::well(text::log(&page)))
}

/// An approval as it is shown.
pub async fn approval(hub: &Hub, id: &str) -> Result<ApprovalView, ApiError> {
    let approval = find(hub, id)?;
    read(hub, move |hub| whole(hub, approval)).await
}

/// Notes on a receipt that a channel has delivered it.
pub async fn note_delivered(hub: &Hub, id: &str, channel: &str, over: &str) {
    let event = OfApprovals::Seen {
        ids: vec![ApprovalId::new(id)],
        who: Who::channel(channel, over),
        note: "delivered".to_owned(),
    };
    let _ = hub.send(Input::Approval(event)).await;
}
