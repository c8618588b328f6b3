//! Reconciles an action whose outcome a crash has hidden: looks for its traces.
//!
//! An opencode that was kept may still be about to do what the agent before has asked of it, so that what shows no trace is
//! looked for a while longer, and then is not known. A halt is not looked for there: it is given again, which does nothing
//! more where it was given before.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::client::{Call, Client};
use super::dialect::Dialect;
use super::halt::{abort, kill, report_killed};
use super::prompt::{is_made_by, is_message_of};
use super::snapshot::{self, Activities, Turns};
use super::words::Message;
use super::{Shared, Up, real, text, two};
use crate::backend::{Action, BackendError, ReconcileOutcome};
use hal_protocol::command::CommandId;
use hal_protocol::session::{AskKind, SessionId};

/// Messages looked through for a prompt; the newest ones, and a prompt that must be settled is new.
const MESSAGES_MAX: &str = "200";

/// How long traces are looked for in an opencode that was kept, and how often.
const TRACE_LIMIT: Duration = Duration::from_secs(8);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks for the traces of an action; a running opencode is waited for. What the one that was asked has not done is
/// certain not to be done only when that one is gone.
pub async fn reconcile(shared: &Shared, command: &CommandId, action: &Action) -> ReconcileOutcome {
    let up = match shared.up().await {
        Ok(up) => up,
        Err(error) => return unknown(command, &error),
    };
    let was_asked = shared.doubtful().remove(command).is_some_and(|mark| mark == up.mark);
    let is_taken_up = shared.is_taken_up(&up.mark);
    if is_taken_up && matches!(action, Action::Abort { .. } | Action::Kill { .. }) {
        return match halt_again(shared, &up, action).await {
            Ok(output) => ReconcileOutcome::Done(output),
            Err(BackendError::NoSuch(_)) => ReconcileOutcome::NotDone,
            Err(error) => unknown(command, &error),
        };
    }
    let deadline = Instant::now() + if is_taken_up { TRACE_LIMIT } else { Duration::ZERO };
    let settled = loop {
        let found = match up.client.dialect {
            Dialect::One => look_for(shared, &up.client, command, action).await,
            Dialect::Two => two::act::look_for(shared, &up.client, command, action).await,
        };
        let settled = match found {
            Ok(settled) => settled,
            Err(BackendError::NoSuch(_)) => ReconcileOutcome::NotDone,
            Err(error) => return unknown(command, &error),
        };
        if settled != ReconcileOutcome::NotDone || Instant::now() >= deadline {
            break settled;
        }
        sleep(LOOK_EVERY).await;
    };
    let still_asked = was_asked || is_taken_up;
    match settled {
        ReconcileOutcome::NotDone if still_asked && !matches!(action, Action::Look { .. }) => {
            ReconcileOutcome::Unknown
        }
        settled => settled,
    }
}

async fn halt_again(shared: &Shared, up: &Up, action: &Action) -> Result<String, BackendError> {
    match action {
        Action::Kill { session_id } => kill(shared, up, session_id).await,
        Action::Abort { session_id } => abort(shared, &up.client, session_id).await,
        _ => Ok(String::new()),
    }
}

fn unknown(command: &CommandId, error: &BackendError) -> ReconcileOutcome {
    tracing::warn!("whether command {command} was carried out cannot be determined: {error}");
    ReconcileOutcome::Unknown
}

async fn look_for(
    shared: &Shared,
    client: &Client,
    command: &CommandId,
    action: &Action,
) -> Result<ReconcileOutcome, BackendError> {
    Ok(match action {
        Action::Create { directory, prompt, .. } => {
            let directory = text(real(directory.as_ref()));
            let sessions = snapshot::sessions(client, &directory).await?;
            match sessions.into_iter().find(|info| is_made_by(command, info)) {
                None => ReconcileOutcome::NotDone,
                Some(info) if prompt.is_empty() => ReconcileOutcome::Done(info.id),
                Some(info) if has_prompt(client, command, &SessionId::new(&info.id)).await? => {
                    ReconcileOutcome::Done(info.id)
                }
                // The session is there, but what it was made for was never said to it.
                Some(_) => ReconcileOutcome::NotDone,
            }
        }
        Action::Prompt { session_id, .. } => match has_prompt(client, command, session_id).await? {
            true => ReconcileOutcome::Done(String::new()),
            false => ReconcileOutcome::NotDone,
        },
        Action::Abort { session_id } => {
            let info = snapshot::find(client, session_id).await?;
            match Turns::of(client, &info.directory).await?.is_busy(&info.id) {
                false => ReconcileOutcome::Done("no turn is running".into()),
                true => ReconcileOutcome::Unknown,
            }
        }
        Action::Kill { session_id } => {
            let info = snapshot::find(client, session_id).await?;
            if Turns::of(client, &info.directory).await?.is_busy(&info.id) {
                return Ok(ReconcileOutcome::Unknown);
            }
            // Its processes have ended with the opencode that ran them.
            report_killed(shared, &info).await;
            ReconcileOutcome::Done("nothing of it is running".into())
        }
        Action::AnswerPermission { session_id, request_id, .. } => {
            still_waits(shared, client, session_id, request_id.as_deref(), AskKind::Permission).await?
        }
        Action::AnswerQuestion { session_id, request_id, .. } => {
            still_waits(shared, client, session_id, request_id.as_deref(), AskKind::Question).await?
        }
        Action::Look { .. } => ReconcileOutcome::NotDone,
    })
}

async fn has_prompt(client: &Client, command: &CommandId, session: &SessionId) -> Result<bool, BackendError> {
    snapshot::find(client, session).await?;
    let path = format!("/session/{session}/message");
    let call = Call::new(&path, "looking for the prompt").with(&[("limit", MESSAGES_MAX)]);
    let messages: Vec<Message> = client.get(call).await?;
    Ok(messages.iter().any(|message| is_message_of(command, &message.info.id)))
}

/// A request that still waits was not answered; one that does not may have been answered by another.
async fn still_waits(
    shared: &Shared,
    client: &Client,
    session: &SessionId,
    request: Option<&str>,
    kind: AskKind,
) -> Result<ReconcileOutcome, BackendError> {
    let info = snapshot::find(client, session).await?;
    let doings = Activities::of(client, &shared.asks, &info.directory).await?;
    let waits =
        request.is_some_and(|request| doings.waiting(&info.id, kind).iter().any(|ask| ask.id == request));
    Ok(if waits { ReconcileOutcome::NotDone } else { ReconcileOutcome::Unknown })
}
