//! `POST /api/v1/commands` and what became of them.

use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa::IntoParams;

use super::strict::Body;
use super::{Answered, bounded, given, one, page, reading};
use crate::caller::Caller;
use crate::hub::input::Input;
use crate::hub::view::show_command;
use crate::queries;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::command::{Command, CommandId, CommandRequest, CommandState, CommandView};
use hal_protocol::node::NodeId;
use hal_protocol::session::SessionId;
use hal_rules::right;
use hal_store::command::CommandQuery;

/// How long the answer to a cancel waits for the node's word.
const CANCEL_WAIT: Duration = Duration::from_secs(3);

/// The longest idempotency key, in bytes.
const MAX_KEY: usize = 256;

/// Which commands.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CommandParams {
    /// Only those for this node.
    node_id: Option<String>,
    /// Only those for this session.
    session_id: Option<String>,
    /// Only those in this state.
    state: Option<CommandState>,
    /// At most so many; default 100, at most 1000.
    limit: Option<usize>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// Commands, newest first.
#[utoipa::path(get, path = "/api/v1/commands", params(CommandParams), responses((status = 200, body = Answer<Vec<CommandView>>), (status = 401, body = Refusal)))]
pub async fn list(
    State(shared): State<Shared>,
    query: Result<Query<CommandParams>, QueryRejection>,
) -> Answered<Vec<CommandView>> {
    let params = query?.0;
    let limit = bounded(params.limit);
    let query = CommandQuery {
        node_id: given(params.node_id).map(NodeId::from),
        session_id: given(params.session_id).map(SessionId::from),
        state: params.state,
        before: given(params.cursor).map(CommandId::from),
        limit: limit + 1,
    };
    let (mut found, total) =
        reading(&shared, move |shared| shared.hub.store().read()?.commands(&query)).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|command| command.id.to_string());
    let view = shared.hub.view();
    let show = |command: &Command| match view.stored.commands.get(&command.id) {
        Some(open) => show_command(open),
        None => show_command(command),
    };
    page(found.iter().map(show).collect(), Meta { total, limit: Some(limit as u64), next_cursor })
}

/// One command.
#[utoipa::path(get, path = "/api/v1/commands/{id}", params(("id" = String, Path)), responses((status = 200, body = Answer<CommandView>), (status = 404, body = Refusal)))]
pub async fn get(State(shared): State<Shared>, Path(id): Path<String>) -> Answered<CommandView> {
    let id = CommandId::from(id);
    match queries::find(&shared.hub, id.clone()).await? {
        Some(command) => one(show_command(&command)),
        None => Err(ApiError::not_found(format!("no command {id}"))),
    }
}

/// Sends a command. Answers when it has ended, or after `timeout` seconds with the state it has then.
#[utoipa::path(post, path = "/api/v1/commands", request_body = CommandRequest, params(("Idempotency-Key" = Option<String>, Header)), responses((status = 200, body = Answer<CommandView>), (status = 400, body = Refusal), (status = 403, body = Refusal), (status = 404, body = Refusal), (status = 409, body = Refusal), (status = 503, body = Refusal)))]
pub async fn ask(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(mut request): Body<CommandRequest>,
) -> Answered<CommandView> {
    caller.demand(right::of_command(&request))?;
    if let Some(key) = headers.get("idempotency-key").and_then(|value| value.to_str().ok()) {
        key.clone_into(&mut request.idempotency_key);
    }
    if request.idempotency_key.len() > MAX_KEY {
        return Err(ApiError::validation("the idempotency key is longer than 256 bytes"));
    }
    one(show_command(&queries::command(&shared.hub, caller.who, request).await?))
}

/// Cancels a command that has not started. One that its node may have already is left to the node; the
/// answer waits a moment for its confirmation.
#[utoipa::path(post, path = "/api/v1/commands/{id}/cancel", params(("id" = String, Path)), responses((status = 200, body = Answer<CommandView>), (status = 404, body = Refusal), (status = 409, body = Refusal), (status = 503, body = Refusal)))]
pub async fn cancel(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answered<CommandView> {
    let id = CommandId::from(id);
    let found = queries::find(&shared.hub, id.clone()).await?;
    let command = found.ok_or_else(|| ApiError::not_found(format!("no command {id}")))?;
    if command.actor != caller.who.name {
        caller.demand(right::of_cancelling(command.verb))?;
    }
    let who = caller.who;
    let (reply, answer) = oneshot::channel();
    shared.hub.send(Input::Cancel { id, who, reply }).await?;
    let command = answer.await.map_err(|_| crate::hub::Stopped)??;
    if command.state.is_final() {
        return one(show_command(&command));
    }
    let ended = queries::end_of(&shared.hub, command.id.clone()).await?;
    let ended = queries::outcome(&shared.hub, &command, ended, CANCEL_WAIT).await?;
    one(show_command(&ended.unwrap_or(command)))
}
