//! `GET /api/v1/sessions`.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::Bound;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, bounded, given, one, page};
use crate::hub::view::View;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock::Time;
use hal_base::nearest::no_such;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::session::{Session, SessionId, SessionView, Status};
use hal_rules::command::Known;
use hal_store::kept::MARKS;
use hal_store::session::SessionRecord;

/// Which sessions.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SessionQuery {
    /// Only those on this node.
    node_id: Option<String>,
    /// Only those of this project.
    project: Option<String>,
    /// In one of these states (comma between them).
    status: Option<String>,
    /// With all of these labels (comma between them).
    label: Option<String>,
    /// Helpers of this session only.
    parent_id: Option<String>,
    /// `true`: archived ones, too.
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
    let view = shared.hub.view();
    let filter = Filter::of(&query, &view)?;
    let after = given(query.cursor).map(|cursor| place(&cursor)).transpose()?;
    let (data, next_cursor) = filter.page(&view, after, limit);
    let data = data.into_iter().map(|record| view.show_session(&record.session)).collect();
    page(data, Meta { total: filter.count(&view), limit: Some(limit as u64), next_cursor })
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
    /// Archived ones, unless they are wanted too.
    archived: HashSet<SessionId>,
    labels: Vec<String>,
}

impl Filter {
    fn of(query: &SessionQuery, view: &View) -> Result<Self, ApiError> {
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
            labels: listed(query.label.clone()),
            archived: if query.all.unwrap_or(false) { HashSet::new() } else { archived(view) },
        })
    }

    /// A page from the place after a session on. Nothing before it is looked at.
    fn page<'a>(
        &self,
        view: &'a View,
        after: Option<SessionCursor>,
        limit: usize,
    ) -> (Vec<&'a SessionRecord>, Option<String>) {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = view.stored.by_age.range((begin, Bound::Unbounded));
        let records = all.filter_map(|(_, id)| view.stored.sessions.get(id).map(|record| &**record));
        let mut wanted = records.filter(|record| self.matches(view, &record.session));
        let data: Vec<&SessionRecord> = wanted.by_ref().take(limit).collect();
        let last = data.last().filter(|_| wanted.next().is_some());
        let cursor = last.map(|last| format!("{}.{}", last.session.started_at.0, last.session.id));
        (data, cursor)
    }

    /// How many there are on all pages. Where all are wanted they are not counted one by one.
    fn count(&self, view: &View) -> u64 {
        let is_any = self.node_id.is_none()
            && self.project.is_none()
            && self.parent_id.is_none()
            && self.labels.is_empty();
        let count = if is_any && self.status.is_empty() {
            view.stored.sessions.len()
                - self.archived.iter().filter(|id| view.stored.sessions.contains_key(*id)).count()
        } else {
            view.stored.sessions.values().filter(|record| self.matches(view, &record.session)).count()
        };
        count as u64
    }

    fn matches(&self, view: &View, session: &Session) -> bool {
        self.node_id.as_ref().is_none_or(|id| session.node_id.as_str() == id)
            && self.project.as_ref().is_none_or(|project| session.project.as_str() == project)
            && self
                .parent_id
                .as_ref()
                .is_none_or(|id| session.parent_id.as_ref().is_some_and(|one| one.as_str() == id))
            && !self.archived.contains(&session.id)
            && (self.labels.is_empty() || {
                let marks = view.marks_of(session);
                self.labels.iter().all(|label| marks.labels.contains(label))
            })
            && (self.status.is_empty() || self.status.contains(&view.status_of(session).0))
    }
}

/// The words of a list with commas.
fn listed(text: Option<String>) -> Vec<String> {
    let text = given(text).unwrap_or_default();
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Sessions that are archived.
fn archived(view: &View) -> HashSet<SessionId> {
    let marked = view.all_kept(MARKS);
    marked.filter(|(_, marks)| marks.archived.is_some()).map(|(id, _)| SessionId::new(id)).collect()
}

/// Where a session stands among all of them.
type SessionCursor = (Reverse<Time>, SessionId);

fn place(cursor: &str) -> Result<SessionCursor, ApiError> {
    let parts = cursor.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id)));
    let (at, id) = parts.ok_or_else(|| ApiError::validation("invalid cursor"))?;
    Ok((Reverse(Time(at)), SessionId::new(id)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use hal_protocol::mark::{Attribution, Marks};
    use hal_store::hub::Store;
    use hal_store::kept::Kept;
    use hal_store::state::name;

    fn view(sessions: u32) -> View {
        let folder = tempfile::tempdir().unwrap();
        let (_store, loaded) = Store::open(&folder.path().join("supervisor.redb")).unwrap();
        let mut view = View::of(loaded);
        for no in 1..=sessions {
            let (node, project) = (format!("n{}", no % 3).into(), format!("p{}", no % 2).into());
            // Some begin in the same millisecond.
            let session = Session::new(format!("s.{no}").into(), node, project, Time(i64::from(no / 4)));
            view.stored.put_session(SessionRecord { no, session });
        }
        view
    }

    fn put_away(view: &mut View, id: &str) {
        let marks = Marks { archived: Some(Attribution { by: "x".into(), at: Time(1) }), ..Marks::default() };
        view.stored.put_state(name(MARKS.name, id), Some(Arc::new(Kept::new(MARKS, &marks, Time(1)))));
    }

    /// All pages of a list, which all tell the same total.
    fn all(view: &View, query: &SessionQuery, limit: usize) -> (Vec<String>, u64) {
        let filter = Filter::of(query, view).unwrap();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let (data, next) = filter.page(view, after, limit);
            assert!(data.len() <= limit && (next.is_none() || data.len() == limit));
            found.extend(data.iter().map(|record| record.session.id.to_string()));
            match next {
                Some(cursor) => after = Some(place(&cursor).unwrap()),
                None => return (found, filter.count(view)),
            }
        }
    }

    #[test]
    fn pages_are_the_list_whatever_their_size_and_their_total_is_its_length() {
        let mut view = view(50);
        put_away(&mut view, "s.7");
        put_away(&mut view, "s.of.another.day");
        let queries = [
            SessionQuery::default(),
            SessionQuery { all: Some(true), ..SessionQuery::default() },
            SessionQuery { project: Some("p1".into()), ..SessionQuery::default() },
            SessionQuery { status: Some("ended".into()), ..SessionQuery::default() },
        ];
        for (query, expected) in queries.iter().zip([49, 50, 24, 0]) {
            let (whole, total) = all(&view, query, 1000);
            assert_eq!((whole.len(), total), (expected, expected as u64), "{query:?}");
            assert!(whole.first().is_none_or(|first| first.starts_with("s.")), "{whole:?}");
            for limit in [1, 7, 49, 50] {
                assert_eq!(all(&view, query, limit).0, whole, "{query:?} by {limit}");
            }
        }
    }
}
