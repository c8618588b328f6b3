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
use crate::hub::live::NodeRef;
use crate::hub::view::View;
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
    let limit = query.limit.filter(|limit| *limit > 0).map(|limit| bounded(Some(limit)));
    let (nodes, total, next_cursor) =
        page_of(&shared.hub.view(), status, given(query.cursor).as_deref(), limit.unwrap_or(usize::MAX));
    page(nodes, Meta { total, limit: limit.map(|limit| limit as u64), next_cursor })
}

/// A page, how many there are on all pages, and where the next one begins. No node beside the page is made up.
fn page_of(
    view: &View,
    status: Option<NodeStatus>,
    after: Option<&str>,
    limit: usize,
) -> (Vec<Node>, u64, Option<String>) {
    let is_wanted =
        |node: &NodeRef<'_>| status.is_none_or(|status| node.link.online == (status == NodeStatus::Online));
    let total = match status {
        None => view.stored.nodes.len(),
        Some(_) => view.every_node().filter(is_wanted).count(),
    };
    let mut rest = view.nodes_after(after).filter(is_wanted);
    let show = |node: NodeRef<'_>| node.show(view.stored.open_of_node(node.record.id.as_str()));
    let nodes: Vec<Node> = rest.by_ref().take(limit).map(show).collect();
    let next = nodes.last().filter(|_| rest.next().is_some()).map(|last| last.id.to_string());
    (nodes, total as u64, next)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::live::{NodeLink, NodeState};
    use hal_store::hub::Store;
    use hal_store::node::NodeRecord;

    #[test]
    fn pages_are_the_list_whatever_their_size() {
        let folder = tempfile::tempdir().unwrap();
        let mut view = View::of(Store::open(&folder.path().join("supervisor.redb")).unwrap().1);
        for no in 0..9 {
            let record = NodeRecord::new(format!("n{no}").as_str().into());
            view.put_node(NodeState {
                record,
                link: NodeLink { online: no % 3 == 0, ..NodeLink::default() },
            });
        }
        for (status, expected) in [(None, 9), (Some(NodeStatus::Online), 3), (Some(NodeStatus::Offline), 6)] {
            let (whole, total, next) = page_of(&view, status, None, usize::MAX);
            assert_eq!((whole.len(), total, next), (expected, expected as u64, None));
            for limit in 1..=expected {
                let (mut found, mut after) = (Vec::new(), None);
                loop {
                    let (nodes, all, next) = page_of(&view, status, after.as_deref(), limit);
                    assert!(all == total && (next.is_none() || nodes.len() == limit));
                    found.extend(nodes);
                    after = next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(found, whole, "{status:?} by {limit}");
            }
        }
    }
}
