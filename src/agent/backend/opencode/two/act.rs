//! Actions: has OpenCode 2 do what a command asks. Sessions and prompts are made under names that the command gives, so
//! that asking twice does it once.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::client::{Call, Client};
use super::super::prompt::{one_of, title_of};
use super::super::{Shared, Up, existing};
use super::asks::OpenAsk;
use super::wire::{AgentRecord, Data, Page, text};
use super::{kill, listen, look, message_of, session_of};
use crate::backend::{Action, BackendError, ReconcileOutcome};
use hal_protocol::command::CommandId;
use hal_protocol::session::{AskKind, SessionId, Status};
use hal_rules::session as rules;

/// Where a session says which command made it.
const COMMAND_KEY: &str = "hal_command";

/// Its lists are empty while a directory is being loaded: how often they are asked for, and how long after one another.
const LIST_TRIES: u32 = 5;
const LIST_AGAIN: Duration = Duration::from_millis(500);

/// Messages looked through for a prompt; the newest ones, and a prompt that is looked for is new.
const MESSAGES: &str = "100";

/// How long a list may take.
const LIST_LIMIT: Duration = Duration::from_secs(30);

/// Carries out an action.
pub async fn perform(
    shared: &Shared,
    up: &Up,
    command: &CommandId,
    action: Action,
) -> Result<String, BackendError> {
    let client = &up.client;
    match action {
        Action::Create { directory, prompt, title, model, agent } => {
            let directory = existing(&directory)?;
            client.pass(&directory)?;
            check(client, &directory, &model, &agent).await?;
            let title = if title.is_empty() { title_of(&prompt) } else { title };
            let id = SessionId::new(session_of(command));
            create(client, command, &id, &directory, &title, (&model, &agent)).await?;
            if !prompt.is_empty() {
                say(client, command, &id, &prompt).await?;
            }
            Ok(id.to_string())
        }
        Action::Prompt { session_id, message } => {
            let record = look::find(client, &session_id).await?;
            let directory = existing(&record.location.directory)?;
            client.pass(&directory)?;
            say(client, command, &session_id, &message).await.map(|()| String::new())
        }
        Action::Abort { session_id } => kill::abort(shared, client, &session_id).await,
        Action::Kill { session_id } => kill::kill(shared, up, &session_id).await,
        Action::AnswerPermission { session_id, request_id, reply, message } => {
            let ask = waiting(shared, &session_id, request_id.as_deref(), AskKind::Permission).await?;
            let mut body = json!({"decision": reply});
            if reply == "reject" && !message.is_empty() {
                body["message"] = message.into();
            }
            let path = format!("/api/session/{}/permission/{}/reply", ask.session, ask.id);
            give(shared, client, &ask, &reply, (&path, "answering a permission"), &body).await
        }
        Action::AnswerQuestion { session_id, request_id, answers } => {
            let ask = waiting(shared, &session_id, request_id.as_deref(), AskKind::Question).await?;
            let form = format!("/api/session/{}/form/{}", ask.session, ask.id);
            match answers.is_empty() {
                // No answer at all: the question is turned down.
                true => turn_down(shared, client, &ask, &form).await,
                false => {
                    let body = json!({"answer": ask.answer(&answers)});
                    let path = format!("{form}/reply");
                    give(shared, client, &ask, "answered", (&path, "answering a question"), &body).await
                }
            }
        }
        Action::Look { session_id } => {
            let session = look::one(shared, client, &session_id).await?;
            let helper_waits = {
                let fold = shared.two.lock().await;
                let family = fold.family(&session_id);
                fold.asks.values().any(|ask| ask.session != session_id && family.contains(&ask.session))
            };
            let runs = matches!(rules::status(&session), Status::Running | Status::Retrying);
            Ok(rules::status_with_helpers(&session, runs && helper_waits).as_str().into())
        }
    }
}

/// Looks for the traces of an action. What the server that was asked has not done may still be done while that one runs.
pub async fn look_for(
    shared: &Shared,
    client: &Client,
    command: &CommandId,
    action: &Action,
) -> Result<ReconcileOutcome, BackendError> {
    let done_if = |is_done: bool, output: String| match is_done {
        true => ReconcileOutcome::Done(output),
        false => ReconcileOutcome::NotDone,
    };
    Ok(match action {
        Action::Create { prompt, .. } => {
            let id = SessionId::new(session_of(command));
            look::find(client, &id).await?;
            let is_done = prompt.is_empty() || has_prompt(client, command, &id).await?;
            done_if(is_done, id.to_string())
        }
        Action::Prompt { session_id, .. } => {
            look::find(client, session_id).await?;
            done_if(has_prompt(client, command, session_id).await?, String::new())
        }
        Action::Abort { session_id } => match look::active(client).await?.contains(session_id.as_str()) {
            false => ReconcileOutcome::Done("no turn is running".into()),
            true => ReconcileOutcome::Unknown,
        },
        Action::Kill { session_id } => {
            let record = look::find(client, session_id).await?;
            let is_quiet = shared.two.lock().await.is_quiet(session_id);
            if !is_quiet || look::active(client).await?.contains(session_id.as_str()) {
                return Ok(ReconcileOutcome::Unknown);
            }
            let info = super::super::words::SessionInfo {
                id: record.id,
                directory: record.location.directory,
                ..Default::default()
            };
            super::super::halt::report_killed(shared, &info).await;
            ReconcileOutcome::Done("nothing of it is running".into())
        }
        Action::AnswerPermission { request_id, .. } | Action::AnswerQuestion { request_id, .. } => {
            let fold = shared.two.lock().await;
            let waits = request_id.as_ref().is_some_and(|request| fold.asks.contains_key(request));
            // One that does not wait any more may have been answered by another.
            if waits { ReconcileOutcome::NotDone } else { ReconcileOutcome::Unknown }
        }
        Action::Look { .. } => ReconcileOutcome::NotDone,
    })
}

async fn create(
    client: &Client,
    command: &CommandId,
    id: &SessionId,
    directory: &str,
    title: &str,
    (model, agent): (&str, &str),
) -> Result<(), BackendError> {
    let mut body = json!({
        "id": id, "title": title, "location": {"directory": directory},
        "metadata": {COMMAND_KEY: command.as_str()},
    });
    if let Some((provider, model)) = model.split_once('/') {
        body["model"] = json!({"providerID": provider, "id": model});
    }
    if !agent.is_empty() {
        body["agent"] = agent.into();
    }
    client.tell(Call::new("/api/session", "making a session"), &body).await
}

/// Says something to a session; returns when the server has stored it.
async fn say(client: &Client, command: &CommandId, id: &SessionId, words: &str) -> Result<(), BackendError> {
    let body = json!({"id": message_of(command), "text": words, "delivery": "steer"});
    let path = format!("/api/session/{id}/prompt");
    client.tell(Call::new(&path, "giving a prompt"), &body).await
}

async fn has_prompt(client: &Client, command: &CommandId, id: &SessionId) -> Result<bool, BackendError> {
    let message = message_of(command);
    if look::inbox(client, id.as_str()).await?.iter().any(|item| item.id == message) {
        return Ok(true);
    }
    let path = format!("/api/session/{id}/message");
    let call = Call::new(&path, "looking for the prompt").with(&[("limit", MESSAGES)]);
    let messages: Page<Value> = client.get(call).await?;
    Ok(messages.data.iter().any(|one| text(one, "id") == message))
}

/// Refuses a model or an agent that is not there: the server takes both, and the turn fails. Where it can list none they
/// are let through, and the turn says it.
async fn check(client: &Client, directory: &str, model: &str, agent: &str) -> Result<(), BackendError> {
    for (listed, name) in [(Listed::Models, model), (Listed::Agents, agent)] {
        if !name.is_empty() {
            is_known(listed.word(), name, &filled(client, directory, listed).await)?;
        }
    }
    Ok(())
}

/// What can be listed.
#[derive(Clone, Copy)]
enum Listed {
    Models,
    Agents,
}

impl Listed {
    fn word(self) -> &'static str {
        match self {
            Self::Models => "model",
            Self::Agents => "agent",
        }
    }

    async fn names(self, client: &Client, directory: &str) -> Result<Vec<String>, BackendError> {
        match self {
            Self::Models => {
                let models = listen::models(client, directory, LIST_LIMIT).await?;
                Ok(models.into_iter().map(|one| format!("{}/{}", one.provider_id, one.id)).collect())
            }
            Self::Agents => {
                let call = Call::new("/api/agent", "looking at its agents").about(directory);
                let agents: Data<Vec<AgentRecord>> = client.get_guarded(call).await?;
                let name = |agent: AgentRecord| if agent.id.is_empty() { agent.name } else { agent.id };
                Ok(agents.data.into_iter().map(name).collect())
            }
        }
    }
}

fn is_known(what: &str, name: &str, known: &[String]) -> Result<(), BackendError> {
    if known.is_empty() { Ok(()) } else { one_of(what, name, known) }
}

/// A list, asked for until it is not empty.
async fn filled(client: &Client, directory: &str, listed: Listed) -> Vec<String> {
    for _ in 0..LIST_TRIES {
        match listed.names(client, directory).await {
            Ok(found) if !found.is_empty() => return found,
            Ok(_) => sleep(LIST_AGAIN).await,
            Err(error) => {
                tracing::warn!("names cannot be checked before the start: {error}");
                break;
            }
        }
    }
    Vec::new()
}

/// The request of a session or of its helpers that waits under this name, or the oldest.
async fn waiting(
    shared: &Shared,
    session: &SessionId,
    request: Option<&str>,
    kind: AskKind,
) -> Result<OpenAsk, BackendError> {
    let fold = shared.two.lock().await;
    let family = fold.family(session);
    let mut asks: Vec<&OpenAsk> =
        fold.asks.values().filter(|ask| ask.kind == kind && family.contains(&ask.session)).collect();
    asks.sort_by(|one, other| one.id.cmp(&other.id));
    let word = match kind {
        AskKind::Permission => "permission",
        AskKind::Question => "question",
    };
    let found = asks.iter().find(|ask| request.is_none_or(|request| request == ask.id));
    found.map(|ask| (*ask).clone()).ok_or_else(|| {
        BackendError::NoSuch(match (request, asks.first()) {
            (Some(request), Some(other)) => {
                format!("session {session} does not wait for {word} {request} but for {}", other.id)
            }
            _ => format!("session {session} waits for no {word}"),
        })
    })
}

/// Gives an answer. It is noted before, so that it is known as ours when the stream tells of it.
async fn give(
    shared: &Shared,
    client: &Client,
    ask: &OpenAsk,
    word: &str,
    (path, doing): (&str, &'static str),
    body: &Value,
) -> Result<String, BackendError> {
    shared.answers.note(&ask.id, word);
    let given = client.tell(Call::new(path, doing), body).await;
    given.inspect_err(|error| not_given(shared, ask, error))?;
    Ok(format!("{word}: {}", ask.what))
}

async fn turn_down(
    shared: &Shared,
    client: &Client,
    ask: &OpenAsk,
    form: &str,
) -> Result<String, BackendError> {
    shared.answers.note(&ask.id, "rejected");
    let done = client.delete(Call::new(form, "turning down a question")).await;
    done.inspect_err(|error| not_given(shared, ask, error))?;
    Ok(format!("rejected: {}", ask.what))
}

fn not_given(shared: &Shared, ask: &OpenAsk, error: &BackendError) {
    if !matches!(error, BackendError::Silent { .. }) {
        shared.answers.forget(&ask.id);
    }
}
