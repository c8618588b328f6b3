//! The topic `fleet`: a window of the sessions that match, in their order, and how many there are in each state.
//!
//! A window costs what it holds, and what its states hold: sessions of other states are counted and not looked at, unless
//! a text or a label is searched for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdSet;
use url::form_urlencoded;

use super::session::row;
use super::{Listing, ready, short};
use crate::hub::session_index::SessionPlace;
use crate::hub::view::View;
use hal_base::clock::Time;
use hal_protocol::live::{FleetHead, FleetNames};
use hal_protocol::node::NodeId;
use hal_protocol::session::{Session, Status};

/// Rows of a window, and at most so many.
const ROWS: usize = 80;
const MOST_ROWS: usize = 200;

/// Bytes of a query.
const MOST_QUERY: usize = 2 * 1024;

/// Characters of a title that are searched.
const SEARCHED: usize = 500;

/// Names that are told to choose from.
const MOST_NAMES: usize = 500;

/// The states in the order in which they stand.
const ORDER: [Status; 7] = [
    Status::Waiting,
    Status::Running,
    Status::Retrying,
    Status::Idle,
    Status::Error,
    Status::Unreachable,
    Status::Ended,
];

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum FleetSort {
    /// By state, and within each by how long: the longest first where that matters, else the last one.
    #[default]
    State,
    /// Those first that something happened in last.
    Active,
    /// The most expensive first; those of unknown cost last.
    Cost,
    /// Those first whose context is fullest.
    Context,
    /// The newest first.
    Started,
    /// By title.
    Title,
}

/// Which sessions, in which order, and which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FleetQuery {
    asked: String,
    states: Vec<Status>,
    project: String,
    node: String,
    labels: Vec<String>,
    text: String,
    sort: FleetSort,
    from: usize,
    rows: usize,
}

impl FleetQuery {
    /// Reads `status=waiting,running&project=&node=&label=&q=&sort=state&from=0&rows=80`. What is not known counts as not said.
    pub fn parse(asked: &str) -> Option<Self> {
        if asked.len() > MOST_QUERY {
            return None;
        }
        let mut query = Self { asked: asked.to_owned(), rows: ROWS, ..Self::default() };
        for (name, value) in form_urlencoded::parse(asked.as_bytes()) {
            let words = || value.split(',').map(str::trim).filter(|word| !word.is_empty());
            match &*name {
                "status" => query.states = words().filter_map(Status::parse).collect(),
                "project" => query.project = value.into_owned(),
                "node" => query.node = value.into_owned(),
                "label" => query.labels = words().map(str::to_owned).collect(),
                "q" => query.text = value.trim().to_lowercase(),
                "sort" => query.sort = sort_of(&value),
                "from" => query.from = value.parse().unwrap_or(0),
                "rows" => query.rows = value.parse().unwrap_or(ROWS).clamp(1, MOST_ROWS),
                _ => {}
            }
        }
        Some(query)
    }

    /// True when the classes of sessions tell how many match.
    fn is_told_by_class(&self) -> bool {
        self.text.is_empty() && self.labels.is_empty()
    }

    fn matches(&self, view: &View, session: &Session) -> bool {
        let title: String = session.title.chars().take(SEARCHED).collect();
        let texts = [title.as_str(), session.id.as_str(), session.project.as_str(), session.node_id.as_str()];
        let holds = |text: &&str| text.to_lowercase().contains(&self.text);
        (self.text.is_empty() || texts.iter().any(holds)) && {
            let marks = (!self.labels.is_empty()).then(|| view.own_marks(&session.id));
            marks.is_none_or(|marks| self.labels.iter().all(|label| marks.labels.contains(label)))
        }
    }

    fn wants(&self, state: Status) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }
}

fn sort_of(word: &str) -> FleetSort {
    match word {
        "active" => FleetSort::Active,
        "cost" => FleetSort::Cost,
        "context" => FleetSort::Context,
        "started" => FleetSort::Started,
        "title" => FleetSort::Title,
        _ => FleetSort::State,
    }
}

/// The sessions of one state that match.
#[derive(Debug, Default)]
struct Group<'v> {
    sets: Vec<&'v OrdSet<SessionPlace>>,
    /// Those that match, where they had to be looked at.
    found: Option<Vec<&'v Session>>,
    len: usize,
}

impl<'v> Group<'v> {
    fn sessions(&self, view: &'v View) -> Vec<&'v Session> {
        match &self.found {
            Some(found) => found.clone(),
            None => all(view, &self.sets).collect(),
        }
    }
}

fn all<'v>(view: &'v View, sets: &[&'v OrdSet<SessionPlace>]) -> impl Iterator<Item = &'v Session> {
    let ids = sets.iter().flat_map(|set| set.iter()).map(|(_, id)| id);
    ids.filter_map(|id| view.stored.sessions.get(id).map(|record| &record.session))
}

/// All of the topic.
pub fn look(query: &FleetQuery, view: &View) -> Listing {
    let groups = groups(query, view);
    let counts: BTreeMap<&'static str, u64> =
        groups.iter().map(|(state, group)| (state.as_str(), group.len as u64)).collect();
    let wanted: Vec<_> = groups.iter().filter(|(state, _)| query.wants(*state)).collect();
    let total: usize = wanted.iter().map(|(_, group)| group.len).sum();
    let from = if query.from < total { query.from } else { total.saturating_sub(query.rows) };
    let window = match query.sort {
        FleetSort::State => by_state(view, &wanted, from, query.rows),
        sort => {
            let mut sessions: Vec<_> = wanted.iter().flat_map(|(_, group)| group.sessions(view)).collect();
            sort_by(view, sort, &mut sessions);
            sessions.into_iter().skip(from).take(query.rows).collect()
        }
    };
    let order = window.iter().map(|session| session.id.to_string()).collect();
    let head = FleetHead { query: &query.asked, from, counts, order };
    let mut things = vec![ready("head", &head), ready("names", &names(view))];
    things.extend(window.iter().map(|session| ready(&format!("row/{}", session.id), &row(view, session))));
    Listing { things, total: total as u64 }
}

fn groups<'v>(query: &FleetQuery, view: &'v View) -> Vec<(Status, Group<'v>)> {
    let mut groups: BTreeMap<Status, Group<'v>> = BTreeMap::new();
    let node = (!query.node.is_empty()).then(|| NodeId::new(&query.node));
    for (class, set) in view.stored.session_index.classes(node.as_ref()) {
        let is_wanted =
            !class.is_archived && (query.project.is_empty() || class.project.as_str() == query.project);
        if is_wanted {
            let is_known = class.status == Status::Ended || view.is_online(&class.node_id);
            let status = if is_known { class.status } else { Status::Unreachable };
            groups.entry(status).or_default().sets.push(set);
        }
    }
    for group in groups.values_mut() {
        if query.is_told_by_class() {
            group.len = group.sets.iter().map(|set| set.len()).sum();
        } else {
            let found: Vec<_> =
                all(view, &group.sets).filter(|session| query.matches(view, session)).collect();
            (group.len, group.found) = (found.len(), Some(found));
        }
    }
    ORDER.into_iter().filter_map(|state| Some((state, groups.remove(&state)?))).collect()
}

/// The window of what is ordered by state: only the states that it touches are looked at.
fn by_state<'v>(
    view: &'v View,
    groups: &[&(Status, Group<'v>)],
    from: usize,
    rows: usize,
) -> Vec<&'v Session> {
    let (mut skipped, mut window) = (from, Vec::new());
    for (state, group) in groups {
        if skipped >= group.len {
            skipped -= group.len;
            continue;
        }
        let mut sessions = group.sessions(view);
        match state {
            Status::Waiting => sessions.sort_by_cached_key(|one| (waits_since(view, one), one.id.clone())),
            Status::Running | Status::Retrying => {
                sessions.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
            }
            _ => sessions.sort_by(|a, b| (Reverse(a.since), &a.id).cmp(&(Reverse(b.since), &b.id))),
        }
        window.extend(sessions.into_iter().skip(skipped).take(rows - window.len()));
        skipped = 0;
        if window.len() == rows {
            break;
        }
    }
    window
}

fn waits_since(view: &View, session: &Session) -> Time {
    let own = session.asks.iter().map(|ask| ask.since).min();
    own.or_else(|| view.helper_asks(session).iter().map(|helper| helper.ask.since).min())
        .unwrap_or(session.since)
}

fn sort_by(view: &View, sort: FleetSort, sessions: &mut [&Session]) {
    match sort {
        FleetSort::Active => sessions.sort_by(|a, b| (b.active_at, &a.id).cmp(&(a.active_at, &b.id))),
        FleetSort::Started | FleetSort::State => {
            sessions.sort_by(|a, b| (b.started_at, &a.id).cmp(&(a.started_at, &b.id)));
        }
        FleetSort::Cost => sessions.sort_by_cached_key(|one| (Reverse(cost(view, one)), one.id.clone())),
        FleetSort::Context => sessions.sort_by_cached_key(|one| (Reverse(fullness(one)), one.id.clone())),
        FleetSort::Title => {
            sessions.sort_by_cached_key(|one| (short(&one.title).to_lowercase(), one.id.clone()));
        }
    }
}

/// What it has cost, its helpers included; unknown is less than nothing.
fn cost(view: &View, session: &Session) -> Option<u64> {
    let mut sum = session.cost_micros;
    view.stored.each_helper(&session.id, &mut |helper| {
        if let Some(cost) = helper.cost_micros {
            sum = Some(sum.unwrap_or(0).saturating_add(cost));
        }
    });
    sum
}

/// How full its context is, in thousandths; where the limit is not known, nobody knows.
fn fullness(session: &Session) -> Option<u64> {
    let context = session.context?;
    let limit = context.limit.filter(|limit| *limit > 0)?;
    Some(context.used.saturating_mul(1_000) / limit)
}

fn names(view: &View) -> FleetNames {
    let (mut projects, mut nodes) = (BTreeSet::new(), BTreeSet::new());
    for (class, _) in view.stored.session_index.classes(None).filter(|(class, _)| !class.is_archived) {
        projects.insert(class.project.as_str());
        nodes.insert(class.node_id.as_str());
    }
    let listed = |names: BTreeSet<&str>| names.into_iter().take(MOST_NAMES).map(str::to_owned).collect();
    FleetNames { projects: listed(projects), nodes: listed(nodes) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::hub::live::NodeLink;
    use hal_protocol::session::Activity;
    use hal_store::hub::Store;
    use hal_store::session::SessionRecord;

    /// Sessions on two nodes, one of them away; every third runs.
    fn view(sessions: u32) -> View {
        let folder = tempfile::tempdir().unwrap();
        let mut view = View::of(Store::open(&folder.path().join("supervisor.redb")).unwrap().1);
        view.put_link(&"n0".into(), NodeLink { online: true, ..NodeLink::default() });
        for no in 1..=sessions {
            let (node, project) = (format!("n{}", no % 2).into(), format!("p{}", no % 5).into());
            let mut session = Session::new(format!("s{no:05}").into(), node, project, Time(i64::from(no)));
            session.title = format!("Title {}", sessions - no);
            if no % 3 == 0 {
                session.activity = Activity::Busy;
                session.cost_micros = Some(u64::from(no));
            }
            view.stored.put_session(SessionRecord { no, session });
        }
        view
    }

    fn seen(view: &View, asked: &str) -> (Value, Vec<Value>, u64) {
        let listing = look(&FleetQuery::parse(asked).unwrap(), view);
        let hub_free = |thing: super::super::Thing| match thing.content {
            super::super::Content::Ready(view) => serde_json::from_str::<Value>(view.get()).unwrap(),
            super::super::Content::Approval(_) => unreachable!("a fleet has no approvals"),
        };
        let mut all = listing.things.into_iter().map(hub_free);
        let head = all.next().unwrap();
        (head, all.skip(1).collect(), listing.total)
    }

    fn ids(view: &View, asked: &str) -> Vec<String> {
        seen(view, asked).1.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn windows_together_are_the_whole_list_in_every_order() {
        let view = view(300);
        for sort in ["state", "active", "cost", "context", "started", "title"] {
            let whole: Vec<String> = (0..2)
                .flat_map(|page| ids(&view, &format!("sort={sort}&from={}&rows=200", page * 200)))
                .collect();
            assert_eq!(whole.len(), 300, "{sort}");
            let parts: Vec<String> = (0..30)
                .flat_map(|page| ids(&view, &format!("sort={sort}&from={}&rows=10", page * 10)))
                .collect();
            assert_eq!(parts, whole, "{sort}");
        }
        assert_eq!(ids(&view, "sort=cost&rows=1"), ["s00300"], "what costs nothing that is known is last");
        assert_eq!(ids(&view, "sort=started&rows=1"), ["s00300"]);
    }

    #[test]
    fn filters_count_what_they_leave_and_a_window_beyond_the_end_is_the_last_one() {
        let view = view(300);
        let (head, rows, total) = seen(&view, "");
        assert_eq!(total, 300);
        assert_eq!(head["counts"], serde_json::json!({"running": 50, "idle": 100, "unreachable": 150}));
        assert_eq!((rows.len(), &rows[0]["status"]), (80, &Value::from("running")));
        assert_eq!(rows[0]["id"], "s00006", "the longest first");
        let (head, rows, total) = seen(&view, "status=idle&project=p1&from=9999&rows=3");
        assert_eq!((total, rows.len(), head["from"].clone()), (20, 3, Value::from(17)));
        assert_eq!(head["counts"]["running"], 10, "the others are counted, too");
        let (head, rows, total) = seen(&view, "q=TITLE%207&node=n0");
        assert!(
            total > 0 && rows.iter().all(|row| row["title"].as_str().unwrap().contains("Title 7")),
            "{head}"
        );
        assert_eq!(seen(&view, "label=none").2, 0);
    }
}
