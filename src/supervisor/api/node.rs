//! `GET /api/v1/nodes`.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, given, one, page};
use crate::base::nearest::no_such;
use crate::protocol::api::{Answer, Meta, Refusal};
use crate::protocol::node::{Node, NodeStatus};
use crate::supervisor::refusal::ApiError;
use crate::supervisor::shared::Shared;

/// Which nodes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NodeQuery {
    /// `online` or `offline`.
    status: Option<String>,
}

/// Every node, by name.
#[utoipa::path(get, path = "/api/v1/nodes", params(NodeQuery), responses((status = 200, body = Answer<Vec<Node>>), (status = 401, body = Refusal)))]
pub async fn list(
    State(shared): State<Shared>,
    query: Result<Query<NodeQuery>, QueryRejection>,
) -> Answered<Vec<Node>> {
    let status = match given(query?.0.status).as_deref() {
        None => None,
        Some("online") => Some(NodeStatus::Online),
        Some("offline") => Some(NodeStatus::Offline),
        Some(other) => {
            return Err(ApiError::validation(format!("status is {other:?}: expected online or offline")));
        }
    };
    let mut nodes = shared.hub.view().all_nodes();
    nodes.retain(|node| status.is_none_or(|status| node.status == status));
    let meta = Meta { total: nodes.len() as u64, ..Meta::default() };
    page(nodes, meta)
}

/// One node.
#[utoipa::path(get, path = "/api/v1/nodes/{id}", params(("id" = String, Path)), responses((status = 200, body = Answer<Node>), (status = 404, body = Refusal)))]
pub async fn get(State(shared): State<Shared>, Path(id): Path<String>) -> Answered<Node> {
    let view = shared.hub.view();
    match view.node(&id) {
        Some(node) => one(node),
        None => Err(ApiError::not_found(no_such("node", &id, view.nodes.keys().map(|id| id.as_str())))),
    }
}
