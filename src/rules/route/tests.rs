//! Who is told what, and when.

use super::*;

fn route(name: &str, matches: &str) -> Route {
    Route {
        name: name.to_owned(),
        matcher: Matcher::parse(matches).unwrap(),
        channels: Vec::new(),
        severity: Severity::High,
        dwell: Duration::ZERO,
        cooldown: Duration::ZERO,
        dedupe: Dedupe::Session,
        quiet: None,
    }
}

fn places(
    routes: Vec<Route>,
    name: &str,
    severity: Severity,
    last: Option<Time>,
) -> Vec<(String, NoticeHold)> {
    let way = |name: &str| Way { name: name.to_owned(), group: Duration::ZERO, pages: false };
    let routing = Routing { routes, channels: vec![way("ops"), way("dev")] };
    let notice = Notice { name: name.to_owned(), severity, about: "ops".to_owned(), ..Notice::default() };
    let facts = RouteFacts { alert: Some(of_alert(name, "ops", severity, "")), ..RouteFacts::default() };
    routing.places(&notice, &facts, |_| last, Time(1_000))
}

fn names(places: &[(String, NoticeHold)]) -> Vec<&str> {
    places.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn an_alert_goes_where_a_route_says() {
    let all = || vec![route("all", DEFAULT)];
    assert_eq!(names(&places(all(), "disk.low", Severity::High, None)), ["ops", "dev"]);
    assert!(places(all(), "disk.low", Severity::Medium, None).is_empty());
    let dev = Route { channels: vec!["dev".to_owned()], ..route("errors", "session.error") };
    assert_eq!(names(&places(vec![dev.clone()], "route.errors", Severity::Low, None)), ["dev"]);
    assert!(places(vec![dev], "session.error", Severity::High, None).is_empty(), "its own alerts only");
    assert_eq!(
        names(&places(all(), CHANNEL_FAILING, Severity::High, None)),
        ["dev"],
        "it cannot say so itself"
    );
}

#[test]
fn the_most_urgent_route_counts() {
    let slow = Route { dwell: Duration::from_secs(5), ..route("slow", "disk.*") };
    let one = places(vec![slow.clone()], "disk.low", Severity::High, None);
    assert_eq!(one[0].1.until, Time(6_000));
    let both = places(vec![slow, route("all", DEFAULT)], "disk.low", Severity::High, None);
    assert_eq!(both[0].1, NoticeHold::default());
}

#[test]
fn what_was_told_is_not_told_again_at_once() {
    let calm = || vec![Route { cooldown: Duration::from_secs(10), ..route("calm", "disk.*") }];
    assert_eq!(places(calm(), "disk.low", Severity::High, Some(Time(500)))[0].1.until, Time(10_500));
    assert_eq!(places(calm(), "disk.low", Severity::High, Some(Time(-10_000)))[0].1, NoticeHold::default());
}

#[test]
fn a_question_of_a_session_pages_only_where_a_route_names_the_pager() {
    let asked = |channels: Vec<String>| {
        let way = |name: &str, pages| Way { name: name.to_owned(), group: Duration::ZERO, pages };
        let routes = vec![Route { channels, ..route("asks", "session.waiting") }];
        let routing = Routing { routes, channels: vec![way("wall", false), way("pagerduty", true)] };
        let (name, severity) = ("session.waiting".to_owned(), Severity::High);
        let notice = Notice { kind: NoticeKind::Asked, name, severity, ..Notice::default() };
        let facts = RouteFacts {
            alert: Some(of_alert("session.waiting", "ses", severity, "")),
            ..RouteFacts::default()
        };
        let places = routing.places(&notice, &facts, |_| None, Time(1_000));
        places.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(asked(Vec::new()), ["wall"]);
    assert_eq!(asked(vec!["pagerduty".to_owned()]), ["pagerduty"]);
}
