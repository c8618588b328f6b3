//! Actions: has opencode do what a command asks.

use serde_json::json;

use super::client::{Call, Client};
use super::dialect::Dialect;
use super::halt::{abort, family, kill};
use super::prompt::{PromptOptions, after_the_last_message, create, prompt};
use super::snapshot::{self, Activities, is_plain};
use super::words::AskInfo;
use super::{FOREIGN, Shared, Up, existing, two};
use crate::backend::{Action, BackendError};
use hal_protocol::command::CommandId;
use hal_protocol::session::{AskKind, SessionId, Status};
use hal_rules::session as rules;

/// Carries out an action; see [`super::super::Backend::carry_out`].
pub async fn carry_out(shared: &Shared, command: &CommandId, action: Action) -> Result<String, BackendError> {
    // opencode is not started anew for a mended configuration while it is asked for something.
    let _in_hand = shared.in_hand.read().await;
    let up = shared.up().await?;
    let begins_turn = matches!(action, Action::Create { .. } | Action::Prompt { .. });
    let outcome = match up.client.causes.is_foreign() {
        true if begins_turn => Err(foreign()),
        _ if up.client.dialect == Dialect::Two => two::act::perform(shared, &up, command, action).await,
        _ => perform(shared, &up, command, action).await,
    };
    if begins_turn && outcome.is_err() && up.client.causes.is_foreign() {
        return Err(foreign());
    }
    if let Err(BackendError::Silent { .. }) = &outcome {
        shared.doubtful().insert(command.clone(), up.mark);
    }
    outcome
}

async fn perform(
    shared: &Shared,
    up: &Up,
    command: &CommandId,
    action: Action,
) -> Result<String, BackendError> {
    let client = &up.client;
    match action {
        Action::Create { directory, prompt, title, model, agent } => {
            let wish = PromptOptions { model: &model, agent: &agent };
            create(shared, client, command, &directory, &prompt, &title, wish).await
        }
        Action::Prompt { session_id, message } => {
            let info = snapshot::find(client, &session_id).await?;
            existing(&info.directory)?;
            after_the_last_message(client, &info).await?;
            prompt(shared, client, command, &info, &message, PromptOptions::default())
                .await
                .map(|()| String::new())
        }
        Action::Abort { session_id } => abort(shared, client, &session_id).await,
        Action::Kill { session_id } => kill(shared, up, &session_id).await,
        Action::AnswerPermission { session_id, request_id, reply, message } => {
            let ask =
                waiting(shared, client, &session_id, request_id.as_deref(), AskKind::Permission).await?;
            let path = format!("/permission/{}/reply", ask.id);
            let body = match (reply.as_str(), message.as_str()) {
                ("reject", message) if !message.is_empty() => json!({"reply": reply, "message": message}),
                _ => json!({"reply": reply}),
            };
            shared.answers.note(&ask.id, &reply);
            let call = Call::new(&path, "answering a permission").about(&ask.directory);
            client.tell(call, &body).await.inspect_err(|error| not_given(shared, &ask.id, error))?;
            Ok(format!("{reply}: {}", ask.what))
        }
        Action::AnswerQuestion { session_id, request_id, answers } => {
            let ask = waiting(shared, client, &session_id, request_id.as_deref(), AskKind::Question).await?;
            // No answer at all: the question is turned down.
            let (action, body, word) = match answers.is_empty() {
                true => ("reject", json!({}), "rejected"),
                false => ("reply", json!({"answers": answers}), "answered"),
            };
            let path = format!("/question/{}/{action}", ask.id);
            shared.answers.note(&ask.id, word);
            let call = Call::new(&path, "answering a question").about(&ask.directory);
            client.tell(call, &body).await.inspect_err(|error| not_given(shared, &ask.id, error))?;
            Ok(format!("{word}: {}", ask.what))
        }
        Action::Look { session_id } => {
            let session = snapshot::one(client, &session_id, &shared.asks, &shared.directories).await?;
            let runs = matches!(rules::status(&session), Status::Running | Status::Retrying);
            let helper_waits = runs && helper_waits(shared, client, &session_id).await?;
            Ok(rules::status_with_helpers(&session, helper_waits).as_str().into())
        }
    }
}

/// An answer that opencode has refused was not given; of one that it was silent about nothing is known.
fn not_given(shared: &Shared, request: &str, error: &BackendError) {
    if !matches!(error, BackendError::Silent { .. }) {
        shared.answers.forget(request);
    }
}

/// True while a helper of the session waits for a person.
async fn helper_waits(shared: &Shared, client: &Client, session: &SessionId) -> Result<bool, BackendError> {
    let info = snapshot::find(client, session).await?;
    let doings = Activities::of(client, &shared.asks, &info.directory).await?;
    let family = family(client, &info).await;
    let waits = |id: &String| {
        [AskKind::Permission, AskKind::Question].into_iter().any(|kind| !doings.waiting(id, kind).is_empty())
    };
    Ok(family.iter().any(waits))
}

/// A request that waits for its answer.
struct Waiting {
    id: String,
    directory: String,
    what: String,
}

/// Why nothing new is begun: 1.x answers every new session and every prompt with an error then.
fn foreign() -> BackendError {
    BackendError::Refused(format!("opencode cannot start anything: {FOREIGN}"))
}

async fn waiting(
    shared: &Shared,
    client: &Client,
    session: &SessionId,
    request: Option<&str>,
    kind: AskKind,
) -> Result<Waiting, BackendError> {
    let info = snapshot::at_least(client, session).await?;
    let doings = Activities::at_least(client, &shared.asks, &info.directory).await?;
    // Its helpers' requests are asked on its behalf.
    let mut asks: Vec<&AskInfo> = Vec::new();
    for id in family(client, &info).await {
        asks.extend(doings.waiting(&id, kind));
    }
    let word = match kind {
        AskKind::Permission => "permission",
        AskKind::Question => "question",
    };
    let found = asks.iter().find(|ask| request.is_none_or(|request| request == ask.id));
    let found = match (found, request, doings.unlisted(kind)) {
        // Nobody heard of it and it cannot be listed: opencode says whether there is such a one.
        (None, Some(request), Some(_)) if is_plain(request) => {
            return Ok(Waiting { id: request.into(), what: request.into(), directory: info.directory });
        }
        (found, _, _) => found,
    };
    let found = found.ok_or_else(|| {
        BackendError::NoSuch(match (request, asks.first()) {
            (Some(request), Some(other)) => {
                format!("session {session} does not wait for {word} {request} but for {}", other.id)
            }
            _ => match doings.unlisted(kind) {
                Some(why) => {
                    format!("no {word} is known for session {session}, and they cannot be listed: {why}")
                }
                None => format!("session {session} waits for no {word}"),
            },
        })
    })?;
    let directory = match (&found.directory, info.directory.is_empty()) {
        (Some(heard), true) => heard.clone(),
        _ => info.directory.clone(),
    };
    Ok(Waiting { id: found.id.clone(), what: found.what(), directory })
}
