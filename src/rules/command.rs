//! Who a command is for, whether it makes sense, and the steps of its life.

use std::time::Duration;

use serde_json::{Map, Value};

use hal_base::clock::Time;
use hal_protocol::command::{Command, CommandId, CommandRequest, CommandState, DEFAULT_EXPIRY, Verb};
use hal_protocol::frame::{CommandFrame, CommandResult, Target};
use hal_protocol::node::{NodeId, Project};
use hal_protocol::session::{Session, SessionId};
use hal_protocol::who::Who;

use hal_base::nearest::no_such;

/// The longest a command may wait for its node.
pub const MAX_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// Fields of a request that are mistaken for arguments.
const BESIDE_ARGS: [&str; 7] =
    ["type", "project", "node_id", "session_id", "timeout", "expires", "idempotency_key"];

/// Arguments that nobody but the supervisor says.
const UNSAID: [&str; 3] = ["over", "reason", "note_stood"];

/// Characters of a wrong value that are shown.
const MOST_SHOWN: usize = 60;

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
pub struct CandidateNode<'a> {
    /// The node's name.
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
    /// True when the configuration says that any node may work on a project that has it.
    fn is_shared(&self, project: &str) -> bool;
    /// Every node.
    fn nodes(&self) -> Vec<CandidateNode<'_>>;
}

/// Turns a request into a command for one node, or says why not.
pub fn accept(
    request: &CommandRequest,
    who: &Who,
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
        actor: who.name.clone(),
        who: Some(who.clone()),
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
    let has = |node: &CandidateNode<'_>| node.projects.iter().any(|one| one.name.as_str() == project);
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
    let with: Vec<&CandidateNode<'_>> = nodes.iter().filter(|node| has(node)).collect();
    let online: Vec<&CandidateNode<'_>> = with.iter().copied().filter(|node| node.is_online).collect();
    let is_shared = known.is_shared(project);
    // A name alone must not lead to another node's folder because the one that was meant is away.
    match (online.as_slice(), with.as_slice()) {
        (_, [one]) => Ok(one.id.clone()),
        ([one], _) if is_shared => Ok(one.id.clone()),
        (_, []) => {
            let names = nodes.iter().flat_map(|node| node.projects.iter().map(|one| one.name.as_str()));
            Err(Refused::NoSuch(no_such("project", project, names)))
        }
        (_, several) => Err(Refused::Invalid(format!(
            "project {project:?} is on {} nodes ({}): name one (`node_id`){}",
            several.len(),
            several.iter().map(|node| node.id.as_str()).collect::<Vec<_>>().join(", "),
            if is_shared { "" } else { ", or put it into projects.shared if any of them will do" }
        ))),
    }
}

fn check_args(verb: Verb, request: &CommandRequest) -> Result<(), Refused> {
    let text = |key: &str| request.args.get(key).and_then(Value::as_str).unwrap_or_default();
    if let Some(why) = fault_of_args(verb, &request.args) {
        return Err(Refused::Invalid(why));
    }
    if verb.needs_session() && request.session_id.is_empty() {
        return Err(Refused::Invalid(format!(
            "name the session (`session_id`) that {} is for",
            verb.as_str()
        )));
    }
    match verb {
        Verb::CreateSession if request.args.contains_key("prompt") && text("prompt").trim().is_empty() => {
            Err(Refused::Invalid(
                "the prompt is empty (`args.prompt`): write what the session is to do".into(),
            ))
        }
        Verb::PromptSession if text("message").trim().is_empty() => {
            Err(Refused::Invalid("the message is empty (`args.message`): write the prompt".into()))
        }
        Verb::AnswerPermission if !["once", "always", "reject"].contains(&text("reply")) => Err(
            Refused::Invalid(format!("`args.reply` is {:?}: expected once, always or reject", text("reply"))),
        ),
        Verb::AnswerQuestion if !request.args.get("answers").is_some_and(Value::is_array) => {
            Err(Refused::Invalid(
                "give the answers (`args.answers`): a list of chosen labels per question".into(),
            ))
        }
        _ => Ok(()),
    }
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArgumentKind {
    Text,
    Flag,
    Texts,
    TextsOfEach,
}

impl ArgumentKind {
    fn fits(self, value: &Value) -> bool {
        let are =
            |kind: ArgumentKind| value.as_array().is_some_and(|all| all.iter().all(|one| kind.fits(one)));
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Texts => are(Self::Text),
            Self::TextsOfEach => are(Self::Texts),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Flag => "true or false",
            Self::Texts => "a list of texts",
            Self::TextsOfEach => "a list that holds a list of texts for each question",
        }
    }
}

/// What a command may say in its arguments. `over`, `reason` and `note_stood` are said by the supervisor itself.
fn args_of(verb: Verb) -> &'static [(&'static str, ArgumentKind)] {
    use ArgumentKind::{Flag, Text, Texts, TextsOfEach};
    match verb {
        Verb::CreateSession => &[("prompt", Text), ("title", Text), ("model", Text), ("agent", Text)],
        Verb::PromptSession => &[("message", Text), ("note_stood", Flag)],
        Verb::AnswerPermission => &[("reply", Text), ("request_id", Text), ("message", Text), ("over", Text)],
        Verb::AnswerQuestion => {
            &[("answers", TextsOfEach), ("request_id", Text), ("message", Text), ("over", Text)]
        }
        Verb::RestartSession => &[("handover", Flag), ("prompt", Text), ("reason", Text)],
        Verb::ArchiveSession => &[("undo", Flag)],
        Verb::LabelSession => &[("add", Texts), ("remove", Texts)],
        Verb::HaltWork => &[("release", Flag)],
        Verb::AbortSession
        | Verb::KillSession
        | Verb::SessionStatus
        | Verb::PauseSession
        | Verb::ReleaseSession => &[],
    }
}

/// True when some command takes an argument of this name.
pub fn is_argument(name: &str) -> bool {
    Verb::ALL.into_iter().flat_map(args_of).any(|(known, _)| *known == name)
}

/// What is wrong with a command's arguments, as a sentence. One that is null is none.
fn fault_of_args(verb: Verb, args: &Map<String, Value>) -> Option<String> {
    let known = args_of(verb);
    let mut given = args.iter().filter(|(_, value)| !value.is_null());
    given.find_map(|(name, value)| match known.iter().find(|(known, _)| known == name) {
        Some((_, kind)) if kind.fits(value) => None,
        Some((_, kind)) => Some(format!("`args.{name}` is {}: expected {}", shown(value), kind.words())),
        None if BESIDE_ARGS.contains(&name.as_str()) => {
            Some(format!("`{name}` belongs beside `args`, not in it"))
        }
        None if known.is_empty() => Some(format!("{} takes no `args`; {name:?} is none", verb.as_str())),
        None => {
            let names = known.iter().map(|(name, _)| *name).filter(|name| !UNSAID.contains(name));
            Some(format!("{} of {} in `args`", no_such("field", name, names), verb.as_str()))
        }
    })
}

/// As much of a value as a sentence should show.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    text.char_indices().nth(MOST_SHOWN).map_or(text.clone(), |(end, _)| format!("{}…", &text[..end]))
}

fn unknown_verb(word: &str) -> Refused {
    if word.trim().is_empty() {
        return Refused::Invalid("type is required".into());
    }
    Refused::Invalid(no_such("command", word, Verb::ALL.into_iter().map(Verb::as_str)))
}
