//! `GET /api/v1/events`.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, bounded, given, page, reading, session};
use crate::hub::view::View;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock::Time;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::event::EventView;
use hal_protocol::node::{NodeId, ProjectName};
use hal_protocol::session::SessionId;
use hal_store::event::{EventFilter, EventOrder, EventQuery, KindFilter};

/// Which events; also for the live stream.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct EventParams {
    /// Of this session.
    pub session_id: Option<String>,
    /// Of this node.
    pub node_id: Option<String>,
    /// Of this project.
    pub project: Option<String>,
    /// Of one of these types (comma between them; `session.*` means all that begin so).
    pub r#type: Option<String>,
    /// Stored at or after (RFC 3339).
    pub since: Option<String>,
    /// Stored before (RFC 3339).
    pub until: Option<String>,
    /// `asc` oldest first or `desc` newest first (the default).
    pub order: Option<String>,
    /// At most so many; default 100, at most 1000.
    pub limit: Option<usize>,
    /// `meta.next_cursor` of the page before.
    pub cursor: Option<String>,
    /// `false`: do not count all that match (`meta.total` is then the page's length).
    pub count: Option<bool>,
}

impl EventParams {
    /// The filter they make; an unknown session is said so.
    pub fn filter(&self, view: &View) -> Result<EventFilter, ApiError> {
        let session = match given(self.session_id.clone()).map(SessionId::from) {
            None => None,
            Some(id) => match view.stored.sessions.get(&id) {
                Some(record) => Some((id.to_string(), record.no)),
                None => return Err(session::unknown(view, &id)),
            },
        };
        let kinds = given(self.r#type.clone()).unwrap_or_default();
        Ok(EventFilter {
            session,
            node_id: given(self.node_id.clone()).map(NodeId::from),
            project: given(self.project.clone()).map(ProjectName::from),
            kinds: kinds
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .map(KindFilter::parse)
                .collect(),
            since: time("since", self.since.as_deref())?,
            until: time("until", self.until.as_deref())?,
        })
    }
}

/// Events, newest first unless asked otherwise.
#[utoipa::path(get, path = "/api/v1/events", params(EventParams), responses((status = 200, body = Answer<Vec<EventView>>), (status = 401, body = Refusal)))]
pub async fn list(
    State(shared): State<Shared>,
    query: Result<Query<EventParams>, QueryRejection>,
) -> Answered<Vec<EventView>> {
    let params = query?.0;
    let view = shared.hub.view();
    let order = match given(params.order.clone()).as_deref() {
        None | Some("desc") => EventOrder::Descending,
        Some("asc") => EventOrder::Ascending,
        Some(other) => return Err(ApiError::validation(format!("order is {other:?}: expected asc or desc"))),
    };
    let after = given(params.cursor.clone()).map(|cursor| cursor.parse()).transpose();
    let limit = bounded(params.limit);
    let query = EventQuery {
        filter: params.filter(&view)?,
        order,
        after: after.map_err(|_| ApiError::validation("invalid cursor"))?,
        limit,
        count: params.count.unwrap_or(true),
    };
    let found =
        reading(&shared, move |shared| shared.hub.store().read()?.events(&query, &view.stored.tail)).await?;
    let next_cursor = found.events.last().filter(|_| found.more).map(|event| event.seq.to_string());
    let total = found.total.unwrap_or(found.events.len() as u64);
    page(found.events, Meta { total, limit: Some(limit as u64), next_cursor })
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Time>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    match Time::parse(text) {
        Some(at) => Ok(Some(at)),
        None => Err(ApiError::validation(format!(
            "{name} is {text:?}: expected a time such as 2026-01-31T12:00:00Z"
        ))),
    }
}
