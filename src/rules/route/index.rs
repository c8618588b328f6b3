//! Event index: which routes an event concerns, found by its type before any rule is asked.

use std::collections::HashMap;

use super::Routing;
use super::matcher::RouteScope;

/// The routes that are for events, by the types of events that they can be for. It is made once for a configuration.
#[derive(Debug, Default)]
pub struct EventIndex {
    /// Routes for one type, by that type; places in the list of routes.
    exact: HashMap<String, Vec<usize>>,
    /// Routes for types that begin alike, or for any.
    rest: Vec<usize>,
}

impl EventIndex {
    /// The index of all routes of a configuration.
    pub fn of(routing: &Routing) -> Self {
        let mut index = Self::default();
        let all = routing.routes.iter().enumerate();
        for (place, route) in all.filter(|(_, route)| route.matcher.scope() == RouteScope::Event) {
            match route.matcher.types() {
                Some(types) => types.iter().for_each(|kind| {
                    index.exact.entry(kind.clone()).or_default().push(place);
                }),
                None => index.rest.push(place),
            }
        }
        index
    }

    /// True when an event of this type may concern any route.
    pub fn concerns_any(&self, routing: &Routing, kind: &str) -> bool {
        self.places(routing, kind).next().is_some()
    }

    /// The routes that an event of this type may concern, in the order of the list.
    pub fn candidates(&self, routing: &Routing, kind: &str) -> Vec<usize> {
        let mut found: Vec<usize> = self.places(routing, kind).collect();
        found.sort_unstable();
        found
    }

    fn places(&self, routing: &Routing, kind: &str) -> impl Iterator<Item = usize> {
        let exact = self.exact.get(kind).into_iter().flatten();
        let rest = self.rest.iter().filter(|place| routing.routes[**place].matcher.may_fit(kind));
        exact.chain(rest).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dedupe, Route};
    use super::*;
    use crate::route::matcher::Matcher;
    use hal_protocol::alert::Severity;

    fn route(matches: &str) -> Route {
        Route {
            name: matches.to_owned(),
            matcher: Matcher::parse(matches).unwrap(),
            channels: Vec::new(),
            severity: Severity::Low,
            dwell: std::time::Duration::ZERO,
            cooldown: std::time::Duration::ZERO,
            dedupe: Dedupe::Session,
            quiet: None,
        }
    }

    #[test]
    fn a_rule_is_asked_about_the_types_that_it_can_be_for_and_no_other() {
        let rules = [
            "session.error",
            "todo.*",
            "event.data.name == 'x' && (event.type == 'session.error' || 'todo.updated' == event.type)",
            "event.type in ['gap', 'project.error'] && event.node == 'web-1'",
            "event.project == 'shop'",
            "event.type == 'gap' || event.node == 'web-1'",
            "event.type == 'gap' && event.type == 'todo.updated'",
            "event.type != 'gap'",
            "alert.name == 'disk.full'",
        ];
        let routing = Routing { routes: rules.into_iter().map(route).collect(), channels: Vec::new() };
        let index = EventIndex::of(&routing);
        let of = |kind: &str| index.candidates(&routing, kind);
        assert_eq!(of("session.error"), [0, 2, 4, 5, 7]);
        assert_eq!(of("session.idle"), [4, 5, 7]);
        assert_eq!(of("todo.updated"), [1, 2, 4, 5, 7]);
        assert_eq!(of("gap"), [3, 4, 5, 7]);
        assert_eq!(of("message.updated"), [4, 5, 7]);
    }
}
