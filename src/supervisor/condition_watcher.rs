//! Condition watcher: asks the rules of routes about lasting conditions, again and again, of each session, each node or
//! the whole fleet, and tells the hub what is so and what is so no more.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hub::Stopped;
use super::hub::input::{Input, Severity, Symptom};
use super::hub::view::View;
use super::shared::Shared;
use hal_base::clock;
use hal_protocol::session::Activity;
use hal_rules::route::facts::{CostFacts, RouteFacts};
use hal_rules::route::matcher::RouteScope;
use hal_rules::route::words::RAISED_BY;
use hal_rules::route::{Route, RouteMatch};

/// How often rules about sessions, nodes and costs are evaluated.
const LOOK: Duration = Duration::from_secs(2);

/// What is so: by the name of the alert and what it is about.
type Conditions = BTreeMap<(String, String), (Severity, String)>;

/// Looks for ever.
pub async fn watch(shared: Shared) -> Result<(), Stopped> {
    loop {
        tokio::time::sleep(LOOK).await;
        let view = shared.hub.view();
        let routes: Vec<&Route> =
            view.settings.routing.routes.iter().filter(|it| is_asked_here(it)).collect();
        let mut found = Conditions::new();
        if !routes.is_empty() {
            let cost = cost_today(&shared, &routes).await;
            evaluate(&view, &routes, cost.as_ref(), &mut found);
        }
        report(&shared, &view, found).await?;
    }
}

fn is_asked_here(route: &Route) -> bool {
    matches!(route.matcher.scope(), RouteScope::Session | RouteScope::Node | RouteScope::Fleet)
}

/// What was spent today, when a route wants to know.
async fn cost_today(shared: &Shared, routes: &[&Route]) -> Option<CostFacts> {
    if !routes.iter().any(|route| route.matcher.text().contains("cost.")) {
        return None;
    }
    let store = shared.hub.store().clone();
    let day = clock::now().to_string().get(..10)?.to_owned();
    let spent = tokio::task::spawn_blocking(move || store.read()?.spent_on(&day)).await;
    match spent {
        Ok(Ok(micros)) => Some(CostFacts { daily: micros as f64 / 1e6 }),
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot read what was spent today; routes that ask for cost are not asked");
            None
        }
        Err(_) => None,
    }
}

fn evaluate(view: &View, routes: &[&Route], cost: Option<&CostFacts>, found: &mut Conditions) {
    let now = clock::now();
    let of = |scope: RouteScope| routes.iter().filter(move |route| route.matcher.scope() == scope);
    if of(RouteScope::Session).next().is_some() {
        for record in view.stored.sessions.values() {
            let session = &record.session;
            if matches!(session.activity, Activity::Ended(_)) {
                continue;
            }
            let facts = RouteFacts {
                session: Some(view.session_facts(session, now)),
                node: view.node_facts(session.node_id.as_str(), now),
                cost: cost.cloned(),
                ..RouteFacts::default()
            };
            let about = (session.node_id.as_str(), session.id.as_str(), session.project.as_str());
            let what =
                format!("session {} of project {} on node {}", session.id, session.project, session.node_id);
            of(RouteScope::Session).for_each(|route| ask(route, &facts, about, &what, found));
        }
    }
    if of(RouteScope::Node).next().is_some() {
        for node in view.stored.nodes.keys() {
            let facts = RouteFacts {
                node: view.node_facts(node.as_str(), now),
                cost: cost.cloned(),
                ..RouteFacts::default()
            };
            let about = (node.as_str(), "", "");
            of(RouteScope::Node).for_each(|route| ask(route, &facts, about, &format!("node {node}"), found));
        }
    }
    let facts = RouteFacts { cost: cost.cloned(), ..RouteFacts::default() };
    of(RouteScope::Fleet).for_each(|route| ask(route, &facts, ("", "", ""), "all nodes together", found));
}

fn ask(
    route: &Route,
    facts: &RouteFacts,
    (node, session, project): (&str, &str, &str),
    what: &str,
    found: &mut Conditions,
) {
    if route.verdict(facts) != RouteMatch::Fits {
        return;
    }
    let about = route.about(node, session, project).to_owned();
    let mut text = format!("{what}: {} ({})", route.matcher.text(), route.name);
    if let Some(cost) = facts.cost.as_ref().filter(|_| route.matcher.text().contains("cost.")) {
        text.push_str(&format!("; today {:.2} US dollars were spent", cost.daily));
    }
    found.entry((route.alert(), about)).or_insert((route.severity, text));
}

/// Tells the hub what is so and not known, and what is known and not so any more.
async fn report(shared: &Shared, view: &View, found: Conditions) -> Result<(), Stopped> {
    let asked: Vec<String> =
        view.settings.routing.routes.iter().filter(|it| is_asked_here(it)).map(Route::alert).collect();
    let over: Vec<(String, String)> = view
        .stored
        .alerts
        .values()
        .filter(|alert| alert.is_open() && alert.lasting && alert.name.starts_with(RAISED_BY))
        .filter(|alert| {
            !(asked.contains(&alert.name) && found.contains_key(&(alert.name.clone(), alert.about.clone())))
        })
        .map(|alert| (alert.name.clone(), alert.about.clone()))
        .collect();
    for (name, about) in over {
        let symptom = Symptom { name, about, severity: Severity::Low, text: None };
        shared.hub.send(Input::Symptom(symptom)).await?;
    }
    for ((name, about), (severity, text)) in found {
        if view.stored.open_alert(&name, &about).is_none() {
            let symptom = Symptom { name, about, severity, text: Some(text) };
            shared.hub.send(Input::Symptom(symptom)).await?;
        }
    }
    Ok(())
}
