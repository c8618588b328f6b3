//! What rules of routes can ask about, as the view knows it.

use super::view::View;
use hal_base::clock::Time;
use hal_protocol::notice::Notice;
use hal_protocol::session::{Session, Status};
use hal_rules::route::facts::{NodeFacts, RouteFacts, SessionFacts};
use hal_rules::route::of_alert;

impl View {
    /// Facts of a notice about an alert.
    pub fn facts_of(&self, notice: &Notice, at: Time) -> RouteFacts {
        let session = self.stored.sessions.get(notice.session.as_str());
        RouteFacts {
            alert: Some(of_alert(&notice.name, &notice.about, notice.severity, &notice.text)),
            session: session.map(|record| self.session_facts(&record.session, at)),
            node: self.node_facts(&notice.node, at),
            ..RouteFacts::default()
        }
    }

    /// Facts of a session.
    pub fn session_facts(&self, session: &Session, at: Time) -> SessionFacts {
        let shown = self.show_session(session);
        let seconds = |since: Time| i64::try_from(at.since(since).as_secs()).unwrap_or(i64::MAX);
        let is = |status: Status| shown.status == status;
        SessionFacts {
            id: shown.id.to_string(),
            title: shown.title.clone(),
            project: shown.project.to_string(),
            node: shown.node_id.to_string(),
            backend: shown.backend.clone(),
            model: shown.model.as_ref().map(|model| model.id.clone()).unwrap_or_default(),
            status: shown.status.as_str().to_owned(),
            running: is(Status::Running),
            idle: is(Status::Idle),
            waiting: is(Status::Waiting),
            retrying: is(Status::Retrying),
            error: is(Status::Error),
            unreachable: is(Status::Unreachable),
            since: seconds(shown.since),
            quiet: seconds(shown.active_at),
            age: seconds(shown.started_at),
            cost: shown.cost.unwrap_or_default(),
            tokens: i64::try_from(shown.tokens).unwrap_or(i64::MAX),
            compactions: i64::from(shown.compactions),
        }
    }

    /// Facts of a node.
    pub fn node_facts(&self, id: &str, at: Time) -> Option<NodeFacts> {
        let state = self.find_node(id)?;
        let vitals = state.link.vitals();
        let used = &vitals.resources;
        Some(NodeFacts {
            id: id.to_owned(),
            hostname: state.record.hostname.clone(),
            online: state.link.online,
            offline: !state.link.online,
            silent: i64::try_from(at.since(vitals.heard).as_secs()).unwrap_or(i64::MAX),
            sessions: i64::try_from(self.stored.open_of_node(id)).unwrap_or(i64::MAX),
            version: state.record.version.clone(),
            disk_free_percent: (used.disk_free.saturating_mul(100))
                .checked_div(used.disk_total)
                .and_then(|percent| i64::try_from(percent).ok())
                .unwrap_or(100),
        })
    }
}
