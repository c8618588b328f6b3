//! Events that a route makes alerts of.

use serde_json::Value;

use super::Work;
use crate::base::clock::Time;
use crate::protocol::event::EventView;
use crate::protocol::session::Session;
use crate::rules::alert::Seen;
use crate::rules::route::facts::{EventFacts, Facts};
use crate::rules::route::matcher::Scope;
use crate::rules::route::{Route, Verdict};

/// Events that come of alerts and notices make no alerts: they would never end.
const OURS: [&str; 2] = ["alert.", "notice."];

/// Characters of what an event says that an alert quotes.
const QUOTED: usize = 300;

impl Work {
    /// Asks the routes about what has happened.
    pub(super) fn ask_routes(&mut self, at: Time) {
        for (event, session) in std::mem::take(&mut self.unrouted) {
            self.route_event(&event, session.as_ref(), at);
        }
    }

    /// Raises the alert of each route that is for this event.
    fn route_event(&mut self, event: &EventView, session: Option<&Session>, at: Time) {
        if OURS.iter().any(|begin| event.kind.starts_with(begin)) {
            return;
        }
        let routing = &self.view.settings.clone().routing;
        let mut facts = None;
        for route in routing.routes.iter().filter(|route| route.matcher.scope() == Scope::Event) {
            let facts = facts.get_or_insert_with(|| self.view.facts_of_event(event, session, at));
            if route.verdict(facts) == Verdict::Fits {
                let text = sentence(route, event, facts);
                let about = route.about(event.node_id.as_str(), &event.session_id, &event.project);
                let (name, severity) = (&route.alert(), route.severity);
                self.see(&Seen { name, about, severity, text: &text, lasting: false }, at);
            }
        }
    }
}

impl crate::supervisor::hub::view::View {
    /// Facts of an event.
    pub fn facts_of_event(&self, event: &EventView, session: Option<&Session>, at: Time) -> Facts {
        let known = self.stored.sessions.get(event.session_id.as_str());
        let session = session.or(known.map(|record| &record.session));
        Facts {
            event: Some(EventFacts {
                kind: event.kind.clone(),
                session: event.session_id.clone(),
                node: event.node_id.to_string(),
                project: event.project.clone(),
                data: serde_json::from_str(event.data.get()).unwrap_or_default(),
            }),
            session: session.map(|session| self.session_facts(session, at)),
            node: self.node_facts(event.node_id.as_str(), at),
            ..Facts::default()
        }
    }
}

fn sentence(route: &Route, event: &EventView, facts: &Facts) -> String {
    let mut place = String::new();
    let parts = [
        ("session", event.session_id.as_str()),
        ("project", &event.project),
        ("node", event.node_id.as_str()),
    ];
    for (what, name) in parts.into_iter().filter(|(_, name)| !name.is_empty()) {
        place.push_str(&format!(", {what} {name}"));
    }
    let data = facts.event.as_ref().map(|event| &event.data);
    let ways = ["/error/data/message", "/error/message", "/error", "/reason", "/message", "/text"];
    let said = ways.iter().find_map(|way| data?.pointer(way).and_then(Value::as_str)).unwrap_or_default();
    let said: String = said.chars().take(QUOTED).collect();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    format!("{} ({}){place}{said}", event.kind, route.name)
}
