//! `GET /api/v1/approvals`, answering one, and putting one off.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa::IntoParams;

use super::strict::Body;
use super::{Answered, bounded, given, one, page, reading};
use crate::approvals::whole;
use crate::hub::Stopped;
use crate::hub::decide::approval::request;
use crate::hub::input::{Input, OfApprovals};
use crate::queries;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::approval::{
    AnswerRequest, Approval, ApprovalId, ApprovalState, ApprovalView, Reply, SeenAnswer, SeenRequest,
    SnoozeRequest,
};
use hal_protocol::session::AskKind;
use hal_protocol::who::Who;

/// Which approvals.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ApprovalQuery {
    /// `wanted` (waiting for an answer), `open` (not finished), `all`, or one of the states; by default `open`.
    status: Option<String>,
    /// Only those of this session.
    session_id: Option<String>,
    /// Only those of this node.
    node_id: Option<String>,
    /// At most so many; default 100, at most 1000.
    limit: Option<usize>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// Approvals, oldest first: the one that waits longest is at the top.
#[utoipa::path(get, path = "/api/v1/approvals", params(ApprovalQuery), responses((status = 200, body = Answer<Vec<ApprovalView>>), (status = 400, body = Refusal), (status = 401, body = Refusal)))]
pub async fn list(
    State(shared): State<Shared>,
    query: Result<Query<ApprovalQuery>, QueryRejection>,
) -> Answered<Vec<ApprovalView>> {
    let query = query?.0;
    let is_wanted = wanted(given(query.status))?;
    let (session, node, limit) = (given(query.session_id), given(query.node_id), bounded(query.limit));
    let view = shared.hub.view();
    let mut found = view.past_approvals();
    found.extend(view.open_approvals());
    found.sort_by(|one, other| (one.asked_at, &one.id).cmp(&(other.asked_at, &other.id)));
    found.retain(|one| {
        is_wanted(one)
            && session.as_ref().is_none_or(|id| one.session_id.as_str() == id)
            && node.as_ref().is_none_or(|id| one.node_id.as_str() == id)
    });
    let total = found.len();
    if let Some(cursor) = given(query.cursor) {
        let at = found.iter().position(|one| one.id.as_str() == cursor);
        found.drain(..at.map_or(0, |at| at + 1));
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let shown = reading(&shared, move |shared| {
        found.into_iter().map(|one| whole(&shared.hub, one)).collect::<Result<Vec<_>, _>>()
    });
    let shown = shown.await?;
    let next_cursor = shown.last().filter(|_| more).map(|last| last.approval.id.to_string());
    page(shown, Meta { total: total as u64, limit: Some(limit as u64), next_cursor })
}

fn wanted(word: Option<String>) -> Result<impl Fn(&Approval) -> bool, ApiError> {
    let word = word.unwrap_or_else(|| "open".to_owned());
    let state = ApprovalState::parse(&word);
    if state.is_none() && !["wanted", "open", "all"].contains(&word.as_str()) {
        let known = ApprovalState::ALL.map(ApprovalState::as_str).join(", ");
        return Err(ApiError::validation(format!(
            "status is {word:?}: expected wanted, open, all, or one of {known}"
        )));
    }
    Ok(move |one: &Approval| match (state, word.as_str()) {
        (Some(state), _) => one.state == state,
        (None, "wanted") => one.state.wants_answer(),
        (None, "open") => one.is_open(),
        _ => true,
    })
}

/// One approval with its receipt.
#[utoipa::path(get, path = "/api/v1/approvals/{id}", params(("id" = String, Path)), responses((status = 200, body = Answer<ApprovalView>), (status = 404, body = Refusal)))]
pub async fn get(State(shared): State<Shared>, Path(id): Path<String>) -> Answered<ApprovalView> {
    shown(&shared, &id).await
}

/// Approvals that one request may name.
const MOST_SEEN: usize = 100;

/// Notes on the receipts that somebody really had these before their eyes: the dashboard says so of a card that was in
/// view. Whoever only lists approvals is not noted.
#[utoipa::path(post, path = "/api/v1/approvals/seen", request_body = SeenRequest, responses((status = 200, body = Answer<SeenAnswer>), (status = 400, body = Refusal), (status = 503, body = Refusal)))]
pub async fn seen(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Body(SeenRequest { ids }): Body<SeenRequest>,
) -> Answered<SeenAnswer> {
    if ids.len() > MOST_SEEN {
        return Err(ApiError::validation(format!("ids has {}: expected at most {MOST_SEEN}", ids.len())));
    }
    let view = shared.hub.view();
    let ids: Vec<ApprovalId> =
        ids.iter().filter(|id| view.approval(id).is_some()).map(ApprovalId::new).collect();
    let known = ids.len() as u64;
    if known > 0 {
        let event = OfApprovals::Seen { ids, who, note: String::new() };
        shared.hub.send(Input::Approval(event)).await?;
    }
    one(SeenAnswer { known })
}

/// Answers an approval. The first answer counts; repeating it is fine; another one gets 409 and the name of
/// who was first. Waits for the node's confirmation, at most `timeout` seconds.
#[utoipa::path(post, path = "/api/v1/approvals/{id}/answer", params(("id" = String, Path)), request_body = AnswerRequest, responses((status = 200, body = Answer<ApprovalView>), (status = 400, body = Refusal), (status = 404, body = Refusal), (status = 409, body = Refusal), (status = 503, body = Refusal)))]
pub async fn answer(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    Body(AnswerRequest { reply, timeout }): Body<AnswerRequest>,
) -> Answered<ApprovalView> {
    let approval = find(&shared, &id)?;
    fits(&approval, &reply)?;
    let mut request = request(&approval, &reply, &who.through);
    request.timeout = timeout;
    queries::command(&shared.hub, who, request).await?;
    shown(&shared, &id).await
}

/// A permission is allowed or denied, a question answered or denied.
fn fits(approval: &Approval, reply: &Reply) -> Result<(), ApiError> {
    match (approval.kind, reply) {
        (AskKind::Permission, Reply::Answers { .. }) => {
            Err(ApiError::validation("this is a permission, not a question: reply is once, always or reject"))
        }
        (AskKind::Question, Reply::Once | Reply::Always) => Err(ApiError::validation(
            "this is a question, not a permission: reply is answers, with a list of chosen labels for each question, or reject",
        )),
        (_, Reply::Answers { answers }) if answers.is_empty() => {
            Err(ApiError::validation("answers is empty: expected a list of chosen labels for each question"))
        }
        _ => Ok(()),
    }
}

/// Snoozes one: people are notified again after so many seconds, and its time limit does not end before.
#[utoipa::path(post, path = "/api/v1/approvals/{id}/snooze", params(("id" = String, Path)), request_body = SnoozeRequest, responses((status = 200, body = Answer<ApprovalView>), (status = 404, body = Refusal), (status = 409, body = Refusal), (status = 503, body = Refusal)))]
pub async fn snooze(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    Body(SnoozeRequest { seconds }): Body<SnoozeRequest>,
) -> Answered<ApprovalView> {
    let (reply, answer) = oneshot::channel();
    let event = OfApprovals::Snooze { id: ApprovalId::new(&id), seconds, who, reply };
    shared.hub.send(Input::Approval(event)).await?;
    answer.await.map_err(|_| Stopped)??;
    shown(&shared, &id).await
}

fn find(shared: &Shared, id: &str) -> Result<Approval, ApiError> {
    let none = || ApiError::not_found(format!("no approval {id}; see halctl approvals list --status all"));
    shared.hub.view().approval(id).ok_or_else(none)
}

async fn shown(shared: &Shared, id: &str) -> Answered<ApprovalView> {
    let approval = find(shared, id)?;
    one(reading(shared, move |shared| whole(&shared.hub, approval)).await?)
}
