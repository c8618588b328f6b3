//! Queries of the hub and the store, for whoever asks: the API and the chats.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::hub::input::{Input, SubmittedCommand};
use super::hub::{Hub, Stopped};
use super::refusal::ApiError;
use hal_base::panic::contained;
use hal_protocol::command::{Command, CommandId, CommandRequest};
use hal_protocol::who::Who;
use hal_store::StoreError;

/// How long an answer waits for the outcome when the caller does not say.
const DEFAULT_WAIT: u64 = 30;

/// How long it waits at most, in seconds.
const MAX_WAIT: u64 = 600;

/// Reads the store on a thread that may block.
pub async fn read<T: Send + 'static>(
    hub: &Hub,
    read: impl FnOnce(&Hub) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let (hub, store) = (hub.clone(), hub.store().clone());
    let look = tokio::task::spawn_blocking(move || contained(|| read(&hub)));
    match look.await {
        Ok(Ok(Err(error))) if error.is_damage() => {
            store.suspect();
            Err(error.into())
        }
        Ok(Ok(answer)) => Ok(answer?),
        _ => Err(ApiError::internal("the store is damaged here; the supervisor's log says where")),
    }
}

/// Hands a request to the hub, and gives the command as it ended, or as it is when the time to wait is over.
pub async fn command(hub: &Hub, who: Who, request: CommandRequest) -> Result<Command, ApiError> {
    let wait = Duration::from_secs(request.timeout.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT));
    let (command, ended) = store(hub, who, request).await?;
    let ended = if command.state.is_final() {
        Some(command.clone())
    } else {
        outcome(hub, &command, ended, wait).await?
    };
    match ended {
        Some(command) => Ok(command),
        None => Ok(find(hub, command.id.clone()).await?.unwrap_or(command)),
    }
}

/// Hands the request to the hub and gives the stored command, and what resolves at its end.
async fn store(
    hub: &Hub,
    who: Who,
    request: CommandRequest,
) -> Result<(Command, oneshot::Receiver<Command>), ApiError> {
    let (reply, answer) = oneshot::channel();
    let asked = SubmittedCommand::new(request, who, reply);
    let id = asked.id.clone();
    hub.send(Input::Command(Box::new(asked))).await?;
    // Asked in the same breath, so that the hub is not woken a second time while the node is at work.
    let ended = end_of(hub, id.clone()).await?;
    let command = answer.await.map_err(|_| Stopped)??;
    // The key may stand for an earlier command.
    let ended = if command.id == id { ended } else { end_of(hub, command.id.clone()).await? };
    Ok((command, ended))
}

/// What resolves when a command ends.
pub async fn end_of(hub: &Hub, id: CommandId) -> Result<oneshot::Receiver<Command>, ApiError> {
    let (reply, ended) = oneshot::channel();
    hub.send(Input::Await { id, reply }).await?;
    Ok(ended)
}

/// The command when it has ended in time.
pub async fn outcome(
    hub: &Hub,
    command: &Command,
    ended: oneshot::Receiver<Command>,
    wait: Duration,
) -> Result<Option<Command>, ApiError> {
    match timeout(wait, ended).await {
        Ok(Ok(command)) => Ok(Some(command)),
        // Not open any more: it ended before we asked.
        Ok(Err(_)) => find(hub, command.id.clone()).await,
        Err(_) => Ok(None),
    }
}

/// The command of this name, open or over.
pub async fn find(hub: &Hub, id: CommandId) -> Result<Option<Command>, ApiError> {
    if let Some(open) = hub.view().stored.commands.get(&id) {
        return Ok(Some(Command::clone(open)));
    }
    read(hub, move |hub| hub.store().read()?.command(&id)).await
}
