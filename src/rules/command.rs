//! Who a command is for, whether it makes sense, and the steps of its life.

use std::time::Duration;

use crate::base::clock::Time;
use crate::protocol::command::{Command, CommandId, CommandRequest, CommandState, DEFAULT_EXPIRY, Verb};
use crate::protocol::frame::{CommandFrame, CommandResult, Target};
use crate::protocol::node::{NodeId, Project};
use crate::protocol::session::{Session, SessionId};

use crate::base::nearest::no_such;

/// The longest a command may wait for its node.
pub const MAX_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// Why a request is refused before anything is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It makes no sense as it stands.
    #[error("{0}")]
    Invalid(String),
    /// What it names does not exist.
    #[error("{0}")]
    NoSuch(String),
    /// Work is halted.
    #[error("{0}")]
    Halted(String),
}

/// A node as far as it matters to where a command goes.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its name.
    pub id: &'a NodeId,
    /// Whether its agent is connected.
    pub is_online: bool,
    /// What it works on.
    pub projects: &'a [Project],
}

/// What is known when a request is judged.
pub trait Known {
    /// The session with this public name.
    fn session(&self, id: &SessionId) -> Option<&Session>;
    /// Names of sessions, the newest ones when there are many, for a helpful refusal.
    fn session_names(&self) -> Vec<&str>;
    /// Every node.
    fn nodes(&self) -> Vec<Place<'_>>;
}

/// Turns a request into a command for one node, or says why not.
pub fn accept(
    request: &CommandRequest,
    actor: &str,
    id: CommandId,
    known: &impl Known,
    now: Time,
) -> Result<Command, Refused> {
    let verb = Verb::parse(&request.verb).ok_or_else(|| unknown_verb(&request.verb))?;
    check_args(verb, request)?;
    let project = if request.project.is_empty() { &request.target } else { &request.project };
    let (node_id, project, session_id) = if verb.needs_session() {
        let id = SessionId::new(&request.session_id);
        let session = known
            .session(&id)
            .ok_or_else(|| Refused::NoSuch(no_such("session", &request.session_id, known.session_names())))?;
        (session.node_id.clone(), session.project.to_string(), Some(id))
    } else if verb == Verb::HaltWork {
        (NodeId::new(""), halted_project(project, known)?, None)
    } else {
        (node_for(project, &request.node_id, known)?, project.clone(), None)
    };
    let expires = request.expires.map_or(DEFAULT_EXPIRY, Duration::from_secs).min(MAX_EXPIRY);
    Ok(Command {
        id,
        verb,
        node_id,
        project,
        session_id,
        args: request.args.clone(),
        actor: actor.to_owned(),
        idempotency_key: Some(request.idempotency_key.clone()).filter(|key| !key.is_empty()),
        state: CommandState::Queued,
        output: String::new(),
        error: None,
        created_at: now,
        expires_at: now.plus(expires),
        changed_at: now,
    })
}

/// What of a request makes it the same request: everything but how long to wait for it.
pub fn meaning(request: &CommandRequest) -> String {
    let project = if request.project.is_empty() { &request.target } else { &request.project };
    let verb = match Verb::parse(&request.verb) {
        Some(verb) => verb.as_str(),
        None => &request.verb,
    };
    serde_json::json!([verb, project, request.node_id, request.session_id, request.args]).to_string()
}

/// The frame that asks a node to carry out a command.
pub fn frame(command: &Command, now: Time) -> CommandFrame {
    CommandFrame {
        command_id: command.id.clone(),
        verb: command.verb.as_str().to_owned(),
        target: Target {
            project: command.project.clone(),
            node_id: command.node_id.to_string(),
            session_id: command.session_id.as_ref().map(|id| local_id(id, &command.node_id)),
        },
        args: command.args.clone(),
        ttl_ms: u64::try_from(command.expires_at.since(now).as_millis()).unwrap_or(u64::MAX),
        steady_ms: None,
    }
}

/// True when a command lapses: its time is over and its node was never told of it.
pub fn lapses(command: &Command, now: Time) -> bool {
    command.state == CommandState::Queued && now >= command.expires_at
}

/// The command after its node has reported the outcome. A final state never changes.
pub fn conclude(command: &Command, result: &CommandResult, now: Time) -> Command {
    if command.state.is_final() {
        return command.clone();
    }
    let said = result.state.filter(|state| state.is_final());
    let state = said.unwrap_or(match result.status.as_str() {
        "success" => CommandState::Done,
        _ => CommandState::Failed,
    });
    Command {
        state,
        output: result.output.clone(),
        error: result.error.clone().filter(|error| !error.is_empty()),
        changed_at: now,
        ..command.clone()
    }
}

/// The name of a node's session here: its own, unless another node has a session of that name already. A name that
/// holds an `@` itself always gets one more, so that [`local_id`] finds back from every name.
pub fn public_id(local: &SessionId, node: &NodeId, owner: Option<&Session>) -> SessionId {
    let is_taken = owner.is_some_and(|session| session.node_id != *node);
    if is_taken || local.as_str().contains('@') {
        return SessionId::new(format!("{local}@{node}"));
    }
    local.clone()
}

/// The name a node knows its session by.
pub fn local_id(public: &SessionId, node: &NodeId) -> SessionId {
    match public.as_str().strip_suffix(node.as_str()).and_then(|rest| rest.strip_suffix('@')) {
        Some(local) => SessionId::new(local),
        None => public.clone(),
    }
}

/// The project that is to be halted; empty: everything.
fn halted_project(project: &str, known: &impl Known) -> Result<String, Refused> {
    let nodes = known.nodes();
    let mut names = nodes.iter().flat_map(|node| node.projects.iter().map(|one| one.name.as_str()));
    if project.is_empty() || names.clone().any(|one| one == project) {
        return Ok(project.to_owned());
    }
    Err(Refused::NoSuch(no_such("project", project, &mut names)))
}

fn node_for(project: &str, node_id: &str, known: &impl Known) -> Result<NodeId, Refused> {
    let nodes = known.nodes();
    if project.is_empty() {
        return Err(Refused::Invalid("name the project to work in (`project`)".into()));
    }
    let has = |node: &Place<'_>| node.projects.iter().any(|one| one.name.as_str() == project);
    if !node_id.is_empty() {
        let node = nodes.iter().find(|node| node.id.as_str() == node_id).ok_or_else(|| {
            Refused::NoSuch(no_such("node", node_id, nodes.iter().map(|node| node.id.as_str())))
        })?;
        return match has(node) {
            true => Ok(node.id.clone()),
            false => Err(Refused::NoSuch(format!(
                "{} on node {node_id:?}",
                no_such("project", project, node.projects.iter().map(|one| one.name.as_str()))
            ))),
        };
    }
    let with: Vec<&Place<'_>> = nodes.iter().filter(|node| has(node)).collect();
    let online: Vec<&Place<'_>> = with.iter().copied().filter(|node| node.is_online).collect();
    match (online.as_slice(), with.as_slice()) {
        ([one], _) | ([], [one]) => Ok(one.id.clone()),
        ([], []) => {
            let names = nodes.iter().flat_map(|node| node.projects.iter().map(|one| one.name.as_str()));
            Err(Refused::NoSuch(no_such("project", project, names)))
        }
        (_, several) => Err(Refused::Invalid(format!(
            "project {project:?} is on {} nodes ({}): say which (`node_id`)",
            several.len(),
            several.iter().map(|node| node.id.as_str()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

fn check_args(verb: Verb, request: &CommandRequest) -> Result<(), Refused> {
    let text = |key: &str| request.args.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    if verb.needs_session() && request.session_id.is_empty() {
        return Err(Refused::Invalid(format!(
            "name the session (`session_id`) that {} is for",
            verb.as_str()
        )));
    }
    match verb {
        Verb::PromptSession if text("message").trim().is_empty() => {
            Err(Refused::Invalid("say what to prompt with (`args.message`)".into()))
        }
        Verb::AnswerPermission if !["once", "always", "reject"].contains(&text("reply")) => Err(
            Refused::Invalid(format!("`args.reply` is {:?}: expected once, always or reject", text("reply"))),
        ),
        Verb::AnswerQuestion if !request.args.get("answers").is_some_and(serde_json::Value::is_array) => {
            Err(Refused::Invalid(
                "give the answers (`args.answers`): a list of chosen labels per question".into(),
            ))
        }
        _ => Ok(()),
    }
}

fn unknown_verb(word: &str) -> Refused {
    if word.trim().is_empty() {
        return Refused::Invalid("type is required".into());
    }
    Refused::Invalid(no_such("command", word, Verb::ALL.into_iter().map(Verb::as_str)))
}
