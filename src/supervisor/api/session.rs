//! `GET /api/v1/sessions`.

use std::cmp::Reverse;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, bounded, given, one, page};
use crate::base::clock::Time;
use crate::base::nearest::no_such;
use crate::protocol::api::{Answer, Meta, Refusal};
use crate::protocol::session::{Session, SessionId, SessionView, Status};
use crate::rules::command::Known;
use crate::supervisor::hub::view::View;
use crate::supervisor::refusal::ApiError;
use crate::supervisor::shared::Shared;

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SessionQuery {
    /// Of this node.
    node_id: Option<String>,
    /// Of this project.
    project: Option<String>,
    /// In one of these states (comma between them).
    status: Option<String>,
    /// Helpers of this session only.
    parent_id: Option<String>,
    /// `true`: those that were archived, too.
    all: Option<bool>,
    /// At most so many; default 100, at most 1000.
    limit: Option<usize>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// Sessions, newest first.
#[utoipa::path(get, path = "/api/v1/sessions", params(SessionQuery), responses((status = 200, body = Answer<Vec<SessionView>>), (status = 401, body = Refusal)))]
pub async fn list(
    State(shared): State<Shared>,
    query: Result<Query<SessionQuery>, QueryRejection>,
) -> Answered<Vec<SessionView>> {
    let query = query?.0;
    let limit = bounded(query.limit);
    let filter = Filter::of(&query)?;
    let after = given(query.cursor).map(|cursor| place(&cursor)).transpose()?;
    let view = shared.hub.view();
    let (mut data, mut total, mut next_cursor) = (Vec::new(), 0, None);
    for (age, id) in &view.by_age {
        let Some(record) = view.sessions.get(id) else { continue };
        if !filter.matches(&view, &record.session) {
            continue;
        }
        total += 1;
        if after.as_ref().is_some_and(|(last, last_id)| (age, id) <= (last, last_id)) {
            continue;
        }
        if data.len() < limit {
            data.push(view.show_session(&record.session));
        } else if next_cursor.is_none() {
            next_cursor = data.last().map(|last| format!("{}.{}", last.started_at.0, last.id));
        }
    }
    page(data, Meta { total, limit: Some(limit as u64), next_cursor })
}

/// One session.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", params(("id" = String, Path)), responses((status = 200, body = Answer<SessionView>), (status = 404, body = Refusal)))]
pub async fn get(State(shared): State<Shared>, Path(id): Path<String>) -> Answered<SessionView> {
    let view = shared.hub.view();
    let id = SessionId::from(id);
    match view.session(&id) {
        Some(session) => one(session),
        None => Err(unknown(&view, &id)),
    }
}

/// The answer for a session that is not there.
pub fn unknown(view: &View, id: &SessionId) -> ApiError {
    ApiError::not_found(no_such("session", id.as_str(), view.session_names()))
}

struct Filter {
    node_id: Option<String>,
    project: Option<String>,
    parent_id: Option<String>,
    status: Vec<Status>,
    all: bool,
}

impl Filter {
    fn of(query: &SessionQuery) -> Result<Self, ApiError> {
        let words = given(query.status.clone()).unwrap_or_default();
        let status = words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(|word| {
            Status::parse(word).ok_or_else(|| {
                let known = Status::ALL.map(Status::as_str).join(", ");
                ApiError::validation(format!("status is {word:?}: expected one of {known}"))
            })
        });
        Ok(Self {
            node_id: given(query.node_id.clone()),
            project: given(query.project.clone()),
            parent_id: given(query.parent_id.clone()),
            status: status.collect::<Result<_, _>>()?,
            all: query.all.unwrap_or(false),
        })
    }

    fn matches(&self, view: &View, session: &Session) -> bool {
        self.node_id.as_ref().is_none_or(|id| session.node_id.as_str() == id)
            && self.project.as_ref().is_none_or(|project| session.project.as_str() == project)
            && self
                .parent_id
                .as_ref()
                .is_none_or(|id| session.parent_id.as_ref().is_some_and(|one| one.as_str() == id))
            && (self.all || view.marks_of(session).archived.is_none())
            && (self.status.is_empty() || self.status.contains(&view.status_of(session).0))
    }
}

fn place(cursor: &str) -> Result<(Reverse<Time>, SessionId), ApiError> {
    let parts = cursor.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id)));
    let (at, id) = parts.ok_or_else(|| ApiError::validation("cursor is not one of ours"))?;
    Ok((Reverse(Time(at)), SessionId::new(id)))
}
