//! `GET /api/v1/sessions`.

use std::cell::Cell;
use std::cmp::Reverse;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use imbl::OrdSet;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, bounded, given, one, page};
use crate::hub::session_index::{SessionClass, SessionPlace, merged};
use crate::hub::view::View;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock::Time;
use hal_base::nearest::no_such;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::node::NodeId;
use hal_protocol::session::{Session, SessionId, SessionView, Status};
use hal_rules::command::Known;
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
    let filter = Filter::of(&query)?;
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
    /// Archived ones, too.
    all: bool,
    labels: Vec<String>,
    /// How much was looked at: classes of sessions, and sessions.
    looked_at: Cell<u64>,
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
            labels: listed(query.label.clone()),
            all: query.all.unwrap_or(false),
            looked_at: Cell::default(),
        })
    }

    /// A page from the place after a session on. Nothing before it is looked at.
    fn page<'a>(
        &self,
        view: &'a View,
        after: Option<SessionPlace>,
        limit: usize,
    ) -> (Vec<&'a SessionRecord>, Option<String>) {
        let sets = self.sets(view);
        let mut wanted = self.walk(view, &sets, after);
        let data: Vec<&SessionRecord> = wanted.by_ref().take(limit).collect();
        let last = data.last().filter(|_| wanted.next().is_some());
        let cursor = last.map(|last| format!("{}.{}", last.session.started_at.0, last.session.id));
        (data, cursor)
    }

    /// How many there are on all pages. Only where labels or a session above are asked for they are counted one by one.
    fn count(&self, view: &View) -> u64 {
        let sets = self.sets(view);
        let count = match self.is_told_by_class() {
            true => sets.iter().map(OrdSet::len).sum(),
            false => self.walk(view, &sets, None).count(),
        };
        count as u64
    }

    /// True when the sets hold nothing else than what is wanted.
    fn is_told_by_class(&self) -> bool {
        self.labels.is_empty() && self.parent_id.is_none()
    }

    /// The sets in which everything is that is wanted.
    fn sets(&self, view: &View) -> Vec<OrdSet<SessionPlace>> {
        let stored = &view.stored;
        if let Some(parent) = &self.parent_id {
            let helpers = stored.helpers.get(parent.as_str()).into_iter().flatten();
            let place =
                |id: &SessionId| Some((Reverse(stored.sessions.get(id)?.session.started_at), id.clone()));
            return vec![helpers.filter_map(place).collect()];
        }
        if self.node_id.is_none() && self.project.is_none() && self.status.is_empty() {
            return vec![if self.all { &stored.by_age } else { stored.session_index.present() }.clone()];
        }
        let node = self.node_id.as_ref().map(NodeId::new);
        let seen = stored.session_index.classes(node.as_ref()).inspect(|_| self.look());
        seen.filter(|(class, _)| self.is_of(view, class)).map(|(_, set)| set.clone()).collect()
    }

    fn walk<'a>(
        &self,
        view: &'a View,
        sets: &[OrdSet<SessionPlace>],
        after: Option<SessionPlace>,
    ) -> impl Iterator<Item = &'a SessionRecord> {
        let places = merged(sets, after).inspect(|_| self.look());
        let records = places.filter_map(|(_, id)| view.stored.sessions.get(id).map(|record| &**record));
        records.filter(|record| self.is_told_by_class() || self.matches(view, &record.session))
    }

    fn look(&self) {
        self.looked_at.set(self.looked_at.get() + 1);
    }

    /// True when sessions of this class are wanted.
    fn is_of(&self, view: &View, class: &SessionClass) -> bool {
        let is_reached = class.status == Status::Ended || view.is_online(&class.node_id);
        let status = if is_reached { class.status } else { Status::Unreachable };
        self.node_id.as_ref().is_none_or(|id| class.node_id.as_str() == id)
            && self.project.as_ref().is_none_or(|project| class.project.as_str() == project)
            && (self.all || !class.is_archived)
            && (self.status.is_empty() || self.status.contains(&status))
    }

    fn matches(&self, view: &View, session: &Session) -> bool {
        let is_below = |id: &String| session.parent_id.as_ref().is_some_and(|one| one.as_str() == id);
        self.parent_id.as_ref().is_none_or(is_below)
            && view.stored.session_index.class_of(&session.id).is_some_and(|class| self.is_of(view, class))
            && (self.labels.is_empty() || {
                let marks = view.marks_of(session);
                self.labels.iter().all(|label| marks.labels.contains(label))
            })
    }
}

/// The words of a list with commas.
fn listed(text: Option<String>) -> Vec<String> {
    let text = given(text).unwrap_or_default();
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn place(cursor: &str) -> Result<SessionPlace, ApiError> {
    let parts = cursor.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id)));
    let (at, id) = parts.ok_or_else(|| ApiError::validation("invalid cursor"))?;
    Ok((Reverse(Time(at)), SessionId::new(id)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hub::live::NodeLink;
    use hal_protocol::mark::{Attribution, Marks};
    use hal_protocol::session::{Activity, Ask, AskKind};
    use hal_store::hub::Store;
    use hal_store::kept::{Kept, MARKS};
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
        let filter = Filter::of(query).unwrap();
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

    fn query(node: Option<&str>, project: Option<&str>, status: Option<&str>, all: bool) -> SessionQuery {
        let [node_id, project, status] = [node, project, status].map(|word| word.map(str::to_owned));
        SessionQuery { node_id, project, status, all: Some(all), ..SessionQuery::default() }
    }

    /// Every way in which halctl asks.
    fn queries() -> Vec<SessionQuery> {
        let mut all = Vec::new();
        for node in [None, Some("n1")] {
            for project in [None, Some("p1")] {
                for status in
                    [None, Some("unreachable"), Some("running,waiting,retrying,error"), Some("idle")]
                {
                    all.extend([false, true].map(|whole| query(node, project, status, whole)));
                }
            }
        }
        all
    }

    #[test]
    fn a_page_and_its_total_cost_the_same_however_many_sessions_there_are() {
        const LIMIT: usize = 50;
        // Three nodes with two projects each, connected and not: all classes that there are.
        const CLASSES: u64 = 6;
        let looked_at = |sessions: u32| {
            let mut view = view(sessions);
            view.put_link(&"n1".into(), NodeLink { online: true, ..NodeLink::default() });
            let of = |query: &SessionQuery| {
                let filter = Filter::of(query).unwrap();
                let (data, next) = filter.page(&view, None, LIMIT);
                let total = filter.count(&view);
                assert_eq!(next.is_some(), total > data.len() as u64, "{query:?}");
                let first = filter.looked_at.take();
                // A page far down.
                let far = place("100.~").unwrap();
                let (last, _) = filter.page(&view, Some(far), LIMIT);
                assert!(total == 0 || last.len() == LIMIT, "{query:?}: {total}");
                [first, filter.looked_at.take()]
            };
            queries().iter().map(of).collect::<Vec<_>>()
        };
        let (few, many) = (looked_at(2_000), looked_at(20_000));
        assert_eq!(few, many);
        let most = LIMIT as u64 + 1 + 2 * CLASSES;
        assert!(many.iter().flatten().all(|looked| *looked <= most), "{many:?}");
        println!("looked at, of the first page and of one far down, by query: {many:?}");
    }

    /// What lists are, slowly: every session is looked at.
    fn slowly(view: &View, query: &SessionQuery) -> Vec<String> {
        let words: Vec<&str> = query.status.iter().flat_map(|words| words.split(',')).collect();
        let is_wanted = |session: &Session| {
            query.node_id.as_deref().is_none_or(|node| session.node_id.as_str() == node)
                && query.project.as_deref().is_none_or(|project| session.project.as_str() == project)
                && (words.is_empty() || words.contains(&view.status_of(session).0.as_str()))
                && (query.all == Some(true) || view.own_marks(&session.id).archived.is_none())
        };
        let sessions = view.stored.sessions.values().map(|record| &record.session);
        let mut found: Vec<&Session> = sessions.filter(|session| is_wanted(session)).collect();
        found.sort_by_key(|session| (Reverse(session.started_at), session.id.clone()));
        found.iter().map(|session| session.id.to_string()).collect()
    }

    #[test]
    fn whatever_happens_to_sessions_lists_say_what_is_so() {
        let mut view = view(0);
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let mut below = |most: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % most
        };
        let (mut waiting, mut away) = (0, 0);
        for step in 0..6_000 {
            let id = SessionId::new(format!("s.{}", below(30)));
            match below(12) {
                0 => view.stored.remove_session(&id),
                1 if below(2) == 0 => put_away(&mut view, id.as_str()),
                1 => drop(view.stored.put_state(name(MARKS.name, id.as_str()), None)),
                2 => {
                    let link = NodeLink { online: below(2) == 0, ..NodeLink::default() };
                    view.put_link(&format!("n{}", below(3)).as_str().into(), link);
                }
                _ => {
                    let (node, project) = (format!("n{}", below(3)), format!("p{}", below(2)));
                    let at = Time(below(10).cast_signed());
                    let mut session = Session::new(id, node.into(), project.into(), at);
                    session.activity = match below(5) {
                        0 => Activity::Ended("killed".into()),
                        1 => Activity::Idle,
                        _ => Activity::Busy,
                    };
                    // Some are above themselves.
                    session.parent_id = (below(3) > 0).then(|| format!("s.{}", below(30)).into());
                    if below(4) == 0 {
                        let (what, about) = (String::new(), String::new());
                        session.asks.push(Ask {
                            id: "a".into(),
                            kind: AskKind::Permission,
                            what,
                            about,
                            since: at,
                        });
                    }
                    view.stored.put_session(SessionRecord { no: 1, session });
                }
            }
            if step % 20 != 0 {
                continue;
            }
            for query in queries() {
                let expected = slowly(&view, &query);
                let found = all(&view, &query, 7);
                assert_eq!(found, (expected.clone(), expected.len() as u64), "step {step}, {query:?}");
            }
            let of_helpers = view.stored.sessions.values().map(|record| &record.session);
            waiting += of_helpers.filter(|session| view.stored.is_kept_waiting(session)).count();
            away += slowly(&view, &query(None, None, Some("unreachable"), true)).len();
        }
        assert!(waiting > 100 && away > 100, "{waiting} waited for helpers, {away} were unreachable");
    }
}
