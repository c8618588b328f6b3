//! Events that a route makes alerts of.

use serde_json::Value;

use super::Work;
use crate::hub::view::View;
use hal_base::clock::Time;
use hal_protocol::event::EventView;
use hal_protocol::event::form::sentence_of;
use hal_protocol::session::Session;
use hal_rules::alert::AlertRaised;
use hal_rules::route::facts::{EventFacts, RouteFacts};
use hal_rules::route::{Route, RouteMatch};

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
        let routing = &self.view.settings.clone().routing;
        let places = self.view.event_routes.candidates(routing, &event.kind);
        let routes: Vec<&Route> = places.into_iter().map(|place| &routing.routes[place]).collect();
        let asks = |noun: &str| routes.iter().any(|route| route.matcher.asks(noun));
        let facts = self.view.facts_of_event(event, session, &asks, at);
        for route in routes.iter().filter(|route| route.verdict(&facts) == RouteMatch::Fits) {
            let text = sentence(route, event);
            let about = route.about(event.node_id.as_str(), &event.session_id, &event.project);
            let (name, severity) = (&route.alert(), route.severity);
            self.raise(&AlertRaised { name, about, severity, text: &text, lasting: false }, at);
        }
    }
}

impl View {
    /// True when a route may be for events of this type.
    pub fn concerns_routes(&self, kind: &str) -> bool {
        let is_ours = OURS.iter().any(|begin| kind.starts_with(begin));
        !is_ours && self.event_routes.concerns_any(&self.settings.routing, kind)
    }

    /// Facts of an event, as far as the nouns are asked for.
    pub fn facts_of_event(
        &self,
        event: &EventView,
        session: Option<&Session>,
        asks: &impl Fn(&str) -> bool,
        at: Time,
    ) -> RouteFacts {
        let known = self.stored.sessions.get(event.session_id.as_str());
        let session = session.or(known.map(|record| &record.session)).filter(|_| asks("session"));
        let data = || match asks("event") {
            true => serde_json::from_str(event.data.get()).unwrap_or_default(),
            false => Value::Null,
        };
        RouteFacts {
            event: Some(EventFacts {
                kind: event.kind.clone(),
                session: event.session_id.clone(),
                node: event.node_id.to_string(),
                project: event.project.clone(),
                data: data(),
            }),
            session: session.map(|session| self.session_facts(session, at)),
            node: asks("node").then(|| self.node_facts(event.node_id.as_str(), at)).flatten(),
            ..RouteFacts::default()
        }
    }
}

fn sentence(route: &Route, event: &EventView) -> String {
    let mut place = String::new();
    let parts = [
        ("session", event.session_id.as_str()),
        ("project", &event.project),
        ("node", event.node_id.as_str()),
    ];
    for (what, name) in parts.into_iter().filter(|(_, name)| !name.is_empty()) {
        place.push_str(&format!(", {what} {name}"));
    }
    let data: Value = serde_json::from_str(event.data.get()).unwrap_or_default();
    let said = sentence_of(&data);
    let said: String = said.chars().take(QUOTED).collect();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    format!("{} ({}){place}{said}", event.kind, route.name)
}
