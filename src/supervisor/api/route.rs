//! `/api/v1/routes`: who is told what, and which routes something takes.

use axum::extract::{Path, State};

use super::{Answered, page, reading};
use crate::hub::view::View;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::channel::RouteView;
use hal_protocol::event::EventView;
use hal_protocol::notice::Notice;
use hal_rules::route::facts::RouteFacts;
use hal_rules::route::matcher::RouteScope;
use hal_rules::route::{Route, RouteMatch};

/// Every route, in the order of the file.
#[utoipa::path(get, path = "/api/v1/routes", responses((status = 200, body = Answer<Vec<RouteView>>), (status = 401, body = Refusal)))]
pub async fn list(State(shared): State<Shared>) -> Answered<Vec<RouteView>> {
    let view = shared.hub.view();
    many(view.settings.routing.routes.iter().map(|route| show(&view, route)).collect())
}

/// Which routes an event or an alert (`alert:42`) matches, and why the others do not.
#[utoipa::path(post, path = "/api/v1/routes/test/{id}", params(("id" = String, Path, description = "the number or the id of an event, or `alert:` and the number of an alert")), responses((status = 200, body = Answer<Vec<RouteView>>), (status = 404, body = Refusal)))]
pub async fn test(State(shared): State<Shared>, Path(id): Path<String>) -> Answered<Vec<RouteView>> {
    let view = shared.hub.view();
    let facts = match id.strip_prefix("alert:") {
        Some(number) => of_alert(&view, number)?,
        None => {
            let wanted = id.clone();
            let found =
                reading(&shared, move |shared| shared.hub.store().read()?.event_called(&wanted)).await?;
            let event: EventView = found.ok_or_else(|| ApiError::not_found(format!("no event {id}")))?;
            view.facts_of_event(&event, None, &|_| true, clock::now())
        }
    };
    let routes = view.settings.routing.routes.iter();
    many(routes.map(|route| tested(show(&view, route), verdict(route, &facts))).collect())
}

fn many(routes: Vec<RouteView>) -> Answered<Vec<RouteView>> {
    let total = routes.len() as u64;
    page(routes, Meta { total, ..Meta::default() })
}

fn of_alert(view: &View, number: &str) -> Result<RouteFacts, ApiError> {
    let alert = number.parse().ok().and_then(|id: u64| view.stored.alerts.get(&id));
    let alert = alert.ok_or_else(|| ApiError::not_found(format!("no alert {number}")))?;
    let notice = Notice {
        name: alert.name.clone(),
        about: alert.about.clone(),
        severity: alert.severity,
        text: alert.text.clone(),
        node: alert.about.clone(),
        session: alert.about.clone(),
        ..Notice::default()
    };
    Ok(view.facts_of(&notice, clock::now()))
}

fn verdict(route: &Route, facts: &RouteFacts) -> RouteMatch {
    match (route.matcher.scope(), facts.event.is_some()) {
        (RouteScope::Event, true) => route.verdict(facts),
        (RouteScope::Alert, true) => RouteMatch::Not("it is for alerts; this is an event".to_owned()),
        (RouteScope::Session | RouteScope::Node | RouteScope::Fleet, true) => {
            RouteMatch::Not("it is evaluated on the current state, not on events".to_owned())
        }
        (_, false) => route.carries(facts),
    }
}

fn tested(view: RouteView, verdict: RouteMatch) -> RouteView {
    match verdict {
        RouteMatch::Fits => RouteView { fits: Some(true), why: format!("matches: {}", view.matches), ..view },
        RouteMatch::Not(why) => RouteView { fits: Some(false), why, ..view },
    }
}

fn show(view: &View, route: &Route) -> RouteView {
    let asked_of = match route.matcher.scope() {
        RouteScope::Alert => "alert",
        RouteScope::Event => "event",
        RouteScope::Session => "session",
        RouteScope::Node => "node",
        RouteScope::Fleet => "fleet",
    };
    let channels = view.settings.routing.channels.iter().filter(|way| route.reaches(&way.name));
    RouteView {
        name: route.name.clone(),
        matches: route.matcher.text().to_owned(),
        asked_of: asked_of.to_owned(),
        channels: channels.map(|way| way.name.clone()).collect(),
        severity: if route.raises() { route.severity.as_str().to_owned() } else { String::new() },
        ..RouteView::default()
    }
}
