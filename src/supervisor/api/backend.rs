//! `GET /api/v1/backends`: which coding agents the nodes have.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, given, one};
use crate::shared::Shared;
use hal_protocol::api::{Answer, Refusal};
use hal_protocol::node::BackendView;

/// Which backends.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BackendQuery {
    /// Only those of this node.
    node_id: Option<String>,
    /// Only those of this kind, as the configuration calls it.
    kind: Option<String>,
}

/// The kinds of coding agents of every node, as its agent has told since this supervisor started, by node.
#[utoipa::path(get, path = "/api/v1/backends", params(BackendQuery), responses((status = 200, body = Answer<Vec<BackendView>>), (status = 401, body = Refusal)))]
pub async fn list(
    State(shared): State<Shared>,
    query: Result<Query<BackendQuery>, QueryRejection>,
) -> Answered<Vec<BackendView>> {
    let BackendQuery { node_id, kind } = query?.0;
    let (node_id, kind) = (given(node_id), given(kind));
    let view = shared.hub.view();
    let mut found = Vec::new();
    for node in view.every_node() {
        let is_wanted = node_id.as_deref().is_none_or(|id| node.record.id.as_str() == id);
        let its = node.link.backends.iter().filter(|_| is_wanted);
        let its = its.filter(|one| kind.as_deref().is_none_or(|kind| one.kind == kind));
        found.extend(its.map(|one| BackendView { node_id: node.record.id.clone(), backend: one.clone() }));
    }
    one(found)
}
