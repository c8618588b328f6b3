//! `GET /api/v1/nodes`, the end of a node, and forgetting what epochs one was given.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa::IntoParams;

use super::{Answered, bounded, given, one, page};
use crate::hub::Stopped;
use crate::hub::input::Input;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::nearest::no_such;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::node::{Node, NodeId, NodeStatus};
use hal_protocol::who::Who;

/// Which nodes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NodeQuery {
    /// `online` or `offline`.
    status: Option<String>,
    /// At most so many, and at most 1000; all when it is left out.
    limit: Option<usize>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// Every node, by name.
#[utoipa::path(get, path = "/api/v1/nodes", params(NodeQuery), responses((status = 200, body = Answer<Vec<Node>>), (status = 401, body = Refusal)))]
pub async fn list(
    State(shared): State<Shared>,
    query: Result<Query<NodeQuery>, QueryRejection>,
) -> Answered<Vec<Node>> {
    let query = query?.0;
    let status = match given(query.status).as_deref() {
        None => None,
        Some("online") => Some(NodeStatus::Online),
        Some("offline") => Some(NodeStatus::Offline),
        Some(other) => {
            return Err(ApiError::validation(format!("status is {other:?}: expected online or offline")));
        }
    };
    let mut nodes = shared.hub.view().all_nodes();
    nodes.retain(|node| status.is_none_or(|status| node.status == status));
    let total = nodes.len() as u64;
    if let Some(last) = given(query.cursor) {
        nodes.retain(|node| node.id.as_str() > last.as_str());
    }
    let limit = query.limit.filter(|limit| *limit > 0).map(|limit| bounded(Some(limit)));
    let more = limit.is_some_and(|limit| nodes.len() > limit);
    nodes.truncate(limit.unwrap_or(nodes.len()));
    let next_cursor = nodes.last().filter(|_| more).map(|last| last.id.to_string());
    page(nodes, Meta { total, limit: limit.map(|limit| limit as u64), next_cursor })
}

/// One node.
#[utoipa::path(get, path = "/api/v1/nodes/{id}", params(("id" = String, Path)), responses((status = 200, body = Answer<Node>), (status = 404, body = Refusal)))]
pub async fn get(State(shared): State<Shared>, Path(id): Path<String>) -> Answered<Node> {
    let view = shared.hub.view();
    match view.node(&id) {
        Some(node) => one(node),
        None => {
            Err(ApiError::not_found(no_such("node", &id, view.stored.nodes.keys().map(|id| id.as_str()))))
        }
    }
}

/// Resets the epochs of a node, when they are wrong: a connected agent is disconnected, and the next agent
/// that connects under this name becomes the node.
#[utoipa::path(post, path = "/api/v1/nodes/{id}/forget-epoch", params(("id" = String, Path)), responses((status = 200, body = Answer<Node>), (status = 404, body = Refusal), (status = 503, body = Refusal)))]
pub async fn forget_epoch(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Answered<Node> {
    let (reply, answer) = oneshot::channel();
    let node = NodeId::new(&id);
    shared.hub.send(Input::ForgetEpoch { node, by: who, reply }).await?;
    let is_known = answer.await.map_err(|_| ApiError::internal("it could not be stored"))?;
    let view = shared.hub.view();
    match view.node(&id).filter(|_| is_known) {
        Some(node) => one(node),
        None => {
            Err(ApiError::not_found(no_such("node", &id, view.stored.nodes.keys().map(|id| id.as_str()))))
        }
    }
}

/// Removes a node that is offline and will not come back. Its sessions leave the lists and stay readable.
#[utoipa::path(delete, path = "/api/v1/nodes/{id}", params(("id" = String, Path)), responses((status = 200, body = Answer<Node>), (status = 404, body = Refusal), (status = 409, body = Refusal), (status = 503, body = Refusal)))]
pub async fn remove(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Answered<Node> {
    let (reply, answer) = oneshot::channel();
    shared.hub.send(Input::RemoveNode { id: NodeId::from(id), by: who, reply }).await?;
    one(*answer.await.map_err(|_| Stopped)??)
}
