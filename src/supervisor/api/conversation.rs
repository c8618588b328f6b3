//! `GET /api/v1/sessions/{id}/conversation`: what was said and done in a session, a page at a time.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, MAX_LIMIT, one, reading, session};
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_protocol::api::{Answer, Refusal};
use hal_protocol::conversation::ConversationPage;
use hal_protocol::session::SessionId;
use hal_rules::conversation::Folding;
use hal_store::event::{EventFilter, EventOrder, EventQuery};

/// Events on a page when the caller does not say.
const EVENTS: usize = 300;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConversationParams {
    /// What was before this event: `first` of the page that is there.
    before: Option<u64>,
    /// What came after this event: `last` of the page that is there.
    after: Option<u64>,
    /// Fold so many events at most; default 300, at most 1000.
    limit: Option<usize>,
}

/// A page of a session's conversation, folded from its events: the last one, or what was before or came after an event.
/// An entry that is told on two pages is as the later one says.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/conversation", params(("id" = String, Path), ConversationParams), responses((status = 200, body = Answer<ConversationPage>), (status = 400, body = Refusal), (status = 404, body = Refusal)))]
pub async fn page(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    query: Result<Query<ConversationParams>, QueryRejection>,
) -> Answered<ConversationPage> {
    let params = query?.0;
    if params.before.is_some() && params.after.is_some() {
        return Err(ApiError::validation("before and after exclude each other: leave one out"));
    }
    let view = shared.hub.view();
    let id = SessionId::from(id);
    let record = view.stored.sessions.get(&id).ok_or_else(|| session::unknown(&view, &id))?;
    let filter = EventFilter { session: Some((id.to_string(), record.no)), ..EventFilter::default() };
    let order = if params.after.is_some() { EventOrder::Ascending } else { EventOrder::Descending };
    let limit = params.limit.filter(|limit| *limit > 0).unwrap_or(EVENTS).min(MAX_LIMIT);
    let query = EventQuery { filter, order, after: params.after.or(params.before), limit, count: false };
    let page = reading(&shared, move |shared| {
        let found = shared.hub.store().read()?.events(&query, &view.stored.tail)?;
        let mut events = found.events;
        if order == EventOrder::Descending {
            events.reverse();
        }
        let mut folding = Folding::default();
        events.iter().for_each(|event| folding.tell(event));
        let (entries, roles) = folding.end();
        let first = events.first().map_or(0, |event| event.seq);
        let last = events.last().map_or(0, |event| event.seq);
        Ok(ConversationPage { entries, roles, first, last, more: found.more })
    });
    one(page.await?)
}
