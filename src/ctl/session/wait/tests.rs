//! What ends a waiting, from a picture and events.

use serde_json::{Value, json};

use super::*;
use hal_base::clock::Time;
use hal_protocol::event::{EventView, raw};
use hal_protocol::session::{SessionView, Tokens};

fn view(status: Status) -> SessionView {
    SessionView {
        id: "s1".into(),
        node_id: "web-1".into(),
        project: "shop".into(),
        status,
        last_known: (status == Status::Unreachable).then_some(Status::Running),
        since: Time(1),
        tokens: 0,
        cost: None,
        cost_micros: None,
        own_cost_micros: None,
        unreported_calls: 0,
        unpriced_tokens: 0,
        cost_before_micros: 0,
        token_kinds: Tokens::default(),
        started_at: Time(1),
        active_at: Time(1),
        title: String::new(),
        directory: String::new(),
        backend: "echo".into(),
        parent_id: None,
        model: None,
        context: None,
        compactions: 0,
        asks: Vec::new(),
        helper_asks: Vec::new(),
        retry: None,
        error: (status == Status::Error).then(|| "APIError: no".into()),
        todo: Vec::new(),
        events: 0,
        marks: Default::default(),
    }
}

fn event(kind: &str, session: &str, data: Value) -> EventView {
    EventView {
        seq: 1,
        id: "e".into(),
        kind: kind.into(),
        session_id: session.into(),
        node_id: "web-1".into(),
        project: "shop".into(),
        data: raw(&data),
        timestamp: Time(5),
        occurred_at: Time(5),
        node_seq: 1,
    }
}

fn outcome(watched: &Watched, until: &[Status]) -> Option<Result<Status, Exit>> {
    settled(watched, "s1", until).map(|outcome| outcome.map_err(|failure| failure.exit))
}

#[test]
fn a_picture_shows_the_status_it_was_made_with() {
    for status in Status::ALL {
        if status != Status::Waiting {
            assert_eq!(Watched::new(&view(status)).status(), status);
        }
    }
}

#[test]
fn idle_error_and_end_each_settle_it_in_their_way() {
    let mut watched = Watched::new(&view(Status::Running));
    assert_eq!(outcome(&watched, &[Status::Idle]), None);
    watched.hear(&event("session.idle", "another", json!({})));
    assert_eq!(outcome(&watched, &[Status::Idle]), None);
    watched.hear(&event("session.idle", "s1", json!({})));
    assert_eq!(outcome(&watched, &[Status::Idle]), Some(Ok(Status::Idle)));

    let failed = Watched::new(&view(Status::Error));
    assert_eq!(outcome(&failed, &[Status::Idle]), Some(Err(Exit::OtherOutcome)));
    assert_eq!(outcome(&failed, &[Status::Idle, Status::Error]), Some(Ok(Status::Error)));
    assert_eq!(outcome(&Watched::new(&view(Status::Ended)), &[Status::Idle]), Some(Err(Exit::OtherOutcome)));
}

#[test]
fn an_error_that_the_turn_overcomes_settles_nothing() {
    let mut watched = Watched::new(&view(Status::Running));
    watched.hear(&event("session.error", "s1", json!({"error": {"name": "ContextOverflowError"}})));
    assert_eq!(outcome(&watched, &[Status::Idle]), None);
    watched.hear(&event("session.status", "s1", json!({"status": {"type": "busy"}})));
    watched.hear(&event("session.idle", "s1", json!({})));
    assert_eq!(outcome(&watched, &[Status::Idle]), Some(Ok(Status::Idle)));
}

#[test]
fn asking_and_answering_are_seen_though_they_last_an_instant() {
    let mut watched = Watched::new(&view(Status::Running));
    let asked = json!({"id": "per_1", "permission": "bash", "metadata": {"command": "make"}});
    watched.hear(&event("permission.asked", "s1", asked));
    assert_eq!(outcome(&watched, &[Status::Waiting]), Some(Ok(Status::Waiting)));
    assert_eq!(watched.sentence(), "waiting for an answer (bash: make)");
    watched.hear(&event("permission.replied", "s1", json!({"requestID": "per_1", "reply": "once"})));
    assert_eq!(outcome(&watched, &[Status::Waiting]), None);
}

#[test]
fn a_node_that_goes_and_comes_back_is_unreachable_in_between() {
    let mut watched = Watched::new(&view(Status::Running));
    watched.hear(&event("node.offline", "", json!({"reason": "no heartbeat"})));
    assert_eq!(watched.status(), Status::Unreachable);
    watched.hear(&event("node.online", "", json!({})));
    assert_eq!(watched.status(), Status::Running);
    assert_eq!(watched.hear(&event("gap", "", json!({}))), Change::Retake);
}

#[test]
fn a_turn_whose_helper_asks_is_waiting_until_the_helper_goes_on() {
    let ask = json!({"session_id": "h1", "id": "per_1", "kind": "permission", "what": "make", "about": "bash",
        "since": "2026-11-01T00:00:00Z"});
    let mut picture = view(Status::Waiting);
    picture.helper_asks = vec![serde_json::from_value(ask).unwrap()];
    let mut watched = Watched::new(&picture);
    assert_eq!(outcome(&watched, &[Status::Waiting]), Some(Ok(Status::Waiting)));
    assert_eq!(watched.sentence(), "waiting for an answer to its helper h1 (bash: make)");
    // Whose helper another session is only the supervisor knows: each of these is a reason to look again.
    assert_eq!(
        watched.hear(&event("permission.replied", "h1", json!({"requestID": "per_1"}))),
        Change::Retake
    );
    assert_eq!(watched.hear(&event("session.idle", "h1", json!({}))), Change::Retake);
    let mut running = Watched::new(&view(Status::Running));
    assert_eq!(running.hear(&event("question.asked", "h2", json!({"id": "q"}))), Change::Retake);
    assert_eq!(running.hear(&event("session.idle", "h2", json!({}))), Change::Foreign);
    let mut idle = Watched::new(&view(Status::Idle));
    assert_eq!(idle.hear(&event("permission.asked", "h2", json!({"id": "p"}))), Change::Foreign);
    watched.hear(&event("session.idle", "s1", json!({})));
    assert_eq!(watched.status(), Status::Idle);
}
