//! What the events of a session add up to: each word of the vocabulary by its fixture, and what must hold after
//! any of them in any order.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Value, json};

use hal_o_swarm::base::clock::Time;
use hal_o_swarm::protocol::event::{Event, form, raw};
use hal_o_swarm::protocol::session::{Activity, Ask, AskKind, Retry, Session, Status};
use hal_o_swarm::rules::session::{apply, repairs, status};

use crate::fixture;

/// The vocabulary of `protocol::event`: each word has at least one fixture of its name.
const VOCABULARY: [&str; 24] = [
    "session.created",
    "session.updated",
    "session.deleted",
    "session.status",
    "session.idle",
    "session.error",
    "session.compacted",
    "session.ended",
    "session.interrupted",
    "message.updated",
    "message.part.updated",
    "permission.asked",
    "permission.replied",
    "question.asked",
    "question.replied",
    "question.rejected",
    "todo.updated",
    "backend.started",
    "backend.stopped",
    "project.error",
    "project.ok",
    "gap",
    "node.online",
    "node.offline",
];

fn blank() -> Session {
    Session::new("ses_kettle".into(), "web-1".into(), "shop".into(), Time(1_795_451_000_000))
}

fn fixture(name: &str) -> Event {
    let files = fixture::all("events");
    let file = files.into_iter().find(|file| file.name == name);
    serde_json::from_value(file.unwrap_or_else(|| panic!("events/{name}.json is missing")).value).unwrap()
}

/// What the fixtures of these names add up to, in this order.
fn after(names: &[&str]) -> Session {
    let mut session = blank();
    for name in names {
        let event = fixture(name);
        apply(&mut session, &event.what(), event.occurred_at);
    }
    session
}

#[test]
fn every_word_has_a_fixture_that_reads_and_writes() {
    for word in VOCABULARY {
        assert_eq!(fixture(word).kind, word);
    }
    for file in fixture::all("events") {
        let event: Event = serde_json::from_value(file.value.clone()).unwrap();
        assert!(VOCABULARY.contains(&event.kind.as_str()), "{} is not in the vocabulary", event.kind);
        assert_eq!(serde_json::to_value(&event).unwrap(), file.value, "{}", file.name);
    }
}

#[test]
fn the_status_follows_the_turn() {
    let table: [(&[&str], Status); 16] = [
        (&[], Status::Idle),
        (&["session.created"], Status::Idle),
        (&["session.status"], Status::Running),
        (&["session.status", "permission.asked"], Status::Waiting),
        (&["session.status", "permission.asked", "permission.replied"], Status::Running),
        (&["session.status", "question.asked"], Status::Waiting),
        (&["session.status", "question.asked", "question.replied"], Status::Running),
        (&["session.status", "question.asked", "question.rejected"], Status::Running),
        (&["session.status", "session.status.retry"], Status::Retrying),
        (&["session.status", "session.status.retry", "session.status"], Status::Running),
        (&["session.status", "permission.asked", "session.idle"], Status::Idle),
        (&["session.status", "session.status.idle"], Status::Idle),
        (&["session.status", "session.error", "session.idle"], Status::Error),
        (&["session.status", "session.error.aborted", "session.idle"], Status::Idle),
        (&["session.status", "session.interrupted"], Status::Error),
        (&["session.status", "session.error", "session.idle", "session.status"], Status::Running),
    ];
    for (names, expected) in table {
        assert_eq!(status(&after(names)), expected, "after {names:?}");
    }
}

#[test]
fn an_end_is_an_end_until_the_next_turn() {
    for end in ["session.ended", "session.deleted"] {
        assert_eq!(status(&after(&["session.status", "permission.asked", end])), Status::Ended);
        assert_eq!(status(&after(&["session.status", end, "session.idle"])), Status::Ended, "a late idle");
        assert_eq!(status(&after(&["session.status", end, "session.status"])), Status::Running);
        assert!(after(&["session.status", "permission.asked", end]).asks.is_empty());
    }
    assert_eq!(after(&["session.ended"]).activity, Activity::Ended("killed".into()));
}

#[test]
fn infos_carry_money_tokens_and_place() {
    let session = after(&["session.created", "session.updated"]);
    assert_eq!(session.cost_micros, Some(12_500));
    let tokens = session.tokens;
    assert_eq!(
        [tokens.input, tokens.output, tokens.reasoning, tokens.cache_read, tokens.cache_write],
        [1200, 340, 60, 800, 20]
    );
    assert_eq!(tokens.total(), 2420);
    assert_eq!((session.title.as_str(), session.directory.as_str()), ("Mend the checkout", "/srv/shop"));
    assert_eq!(session.parent_id.as_ref().map(|id| id.as_str()), Some("ses_teapot"));
    assert_eq!(
        session.model.map(|model| (model.provider, model.id)),
        Some(("anthropic".into(), "claude-sonnet".into()))
    );
    assert_eq!(session.started_at, Time(1_795_451_000_000));
    assert_eq!(after(&["session.created"]).cost_micros, Some(0), "said to be nothing is not unknown");
    assert_eq!(blank().cost_micros, None, "unknown is never zero");
}

#[test]
fn messages_carry_the_model_and_the_context() {
    let session = after(&["message.updated.user", "message.updated"]);
    let context = session.context.unwrap();
    assert_eq!((context.used, context.limit), (2420, Some(200_000)));
    assert_eq!(session.model.unwrap().id, "claude-sonnet");
    assert_eq!(session.cost_micros, None, "the session's own sum counts, not its messages'");
    assert_eq!(after(&["message.updated.user"]).model, None);
}

#[test]
fn questions_say_what_they_are_about() {
    let asks = after(&["session.status", "permission.asked", "question.asked"]).asks;
    let said: Vec<_> =
        asks.iter().map(|ask| (ask.id.as_str(), ask.kind, ask.what.as_str(), ask.about.as_str())).collect();
    assert_eq!(
        said,
        [
            ("per_1", AskKind::Permission, "cargo test --all", "bash"),
            ("que_1", AskKind::Question, "Which colour? / Which size?", "question"),
        ]
    );
    assert_eq!(asks[0].since, fixture("permission.asked").occurred_at);
}

#[test]
fn errors_todos_and_compactions_are_kept() {
    assert_eq!(after(&["session.error"]).error.as_deref(), Some("APIError: 500 from the provider"));
    assert_eq!(after(&["session.interrupted"]).error.as_deref(), Some("interrupted: the backend died"));
    assert_eq!(after(&["session.error.aborted"]).error, None);
    assert_eq!(after(&["session.compacted", "session.compacted"]).compactions, 2);
    let todo = after(&["todo.updated"]).todo;
    assert_eq!((todo.len(), todo[1].status.as_str()), (2, "in_progress"));
}

#[test]
fn words_that_mean_nothing_to_a_session_only_move_its_clock() {
    for word in
        ["message.part.updated", "backend.started", "backend.stopped", "project.error", "gap", "node.online"]
    {
        let event = fixture(word);
        let expected = Session { events: 1, active_at: event.occurred_at, ..blank() };
        assert_eq!(after(&[word]), expected, "{word}");
    }
}

#[test]
fn a_failure_that_nobody_recorded_is_written_once() {
    let seen = Session { error: Some("it broke".into()), ..blank() };
    let mut recorded = blank();
    let written = repairs(Some(&recorded), &seen);
    assert_eq!(written.first().map(|(kind, _)| *kind), Some("session.interrupted"));
    for (kind, data) in written {
        apply(&mut recorded, &form::read(kind, &data), Time(1));
    }
    assert_eq!(status(&recorded), Status::Error);
    assert!(repairs(Some(&recorded), &seen).is_empty());
}

/// A word of the vocabulary, of the future, or none; its data as it should be, or of any other shape.
fn happening() -> impl Strategy<Value = (String, Value)> {
    let files: Vec<(String, Value)> = fixture::all("events")
        .into_iter()
        .map(|file| (file.value["type"].as_str().unwrap().to_owned(), file.value["data"].clone()))
        .collect();
    let some = || proptest::sample::select(files.clone());
    let asks = prop_oneof![Just("permission.asked"), Just("question.asked")].prop_flat_map(|kind| {
        (0..80).prop_map(move |n| (kind.to_owned(), json!({"id": format!("ask_{n}")})))
    });
    let replies =
        (0..80).prop_map(|n| ("permission.replied".to_owned(), json!({"requestID": format!("ask_{n}")})));
    let costs = any::<f64>().prop_map(|cost| ("session.updated".to_owned(), json!({"info": {"cost": cost}})));
    let crossed = (some(), some()).prop_map(|((kind, _), (_, data))| (kind, data));
    let junk =
        (some(), ".{0,40}").prop_map(|((kind, _), text)| (kind, json!({"info": text, "status": [text]})));
    prop_oneof![6 => some(), 2 => asks, 2 => replies, 1 => costs, 1 => crossed, 1 => junk]
}

fn folded(happenings: &[(String, Value)]) -> Session {
    let mut session = blank();
    for (at, (kind, data)) in happenings.iter().enumerate() {
        apply(&mut session, &form::read(kind, &raw(data)), Time(1_795_451_000_000 + at as i64));
    }
    session
}

/// A session as a look at its backend can show it.
fn seen() -> impl Strategy<Value = Session> {
    let activity = prop_oneof![
        Just(Activity::Idle),
        Just(Activity::Busy),
        (1..9_u32, 0..1_000_000_i64).prop_map(|(attempt, next)| {
            Activity::Retry(Retry { attempt, message: "overloaded".into(), next: Time(next) })
        }),
        Just(Activity::Ended("killed".into())),
    ];
    let ask = (0..80, any::<bool>()).prop_map(|(n, permission)| Ask {
        id: format!("ask_{n}"),
        kind: if permission { AskKind::Permission } else { AskKind::Question },
        what: "may I".into(),
        about: "bash".into(),
        since: Time(7),
    });
    let money = proptest::option::of(0..1_000_000_000_000_u64);
    let error = proptest::option::of(Just("it broke".to_owned()));
    (activity, vec(ask, 0..5), money, error, 0..1000_u64, "[a-z]{0,9}").prop_map(
        |(activity, mut asks, cost_micros, error, input, title)| {
            let mut session = Session { activity, cost_micros, title, ..blank() };
            asks.sort_by(|a, b| a.id.cmp(&b.id));
            asks.dedup_by(|a, b| a.id == b.id);
            match session.activity {
                Activity::Busy | Activity::Retry(_) => session.asks = asks,
                Activity::Idle => session.error = error,
                Activity::Ended(_) => {}
            }
            session.tokens.input = input;
            session
        },
    )
}

fn ids(session: &Session) -> Vec<&str> {
    let mut ids: Vec<&str> = session.asks.iter().map(|ask| ask.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// The status after repairs: what was seen, except that the record may know an end or an error that the backend
/// does not keep.
fn expected_status(recorded: Option<&Session>, seen: &Session) -> Vec<Status> {
    let mut allowed = vec![status(seen)];
    if let (Some(recorded), Activity::Idle) = (recorded, &seen.activity) {
        if matches!(recorded.activity, Activity::Ended(_)) {
            allowed = vec![Status::Ended];
        } else if recorded.error.is_some() {
            allowed.push(Status::Error);
        }
    }
    allowed
}

proptest! {
    #[test]
    fn any_events_in_any_order_leave_a_session_that_makes_sense(happenings in vec(happening(), 0..120)) {
        let session = folded(&happenings);
        match status(&session) {
            Status::Waiting => prop_assert!(!session.asks.is_empty()),
            Status::Running | Status::Retrying => prop_assert!(session.asks.is_empty()),
            Status::Error => prop_assert!(session.error.is_some()),
            Status::Idle => prop_assert!(session.error.is_none()),
            Status::Ended => prop_assert!(matches!(session.activity, Activity::Ended(_))),
            Status::Unreachable => prop_assert!(false, "a session does not know of its node's absence"),
        }
        prop_assert!(session.asks.len() <= 64);
        prop_assert!(session.events == happenings.len() as u64);
        prop_assert!(session.since <= session.active_at.max(session.started_at));
        let text = serde_json::to_string(&session).unwrap();
        prop_assert_eq!(serde_json::from_str::<Session>(&text).unwrap(), session);
    }

    #[test]
    fn repairs_lead_from_what_is_recorded_to_what_is_seen(
        happenings in proptest::option::of(vec(happening(), 0..40)),
        seen in seen(),
    ) {
        let recorded = happenings.as_deref().map(folded);
        let mut mended = recorded.clone().unwrap_or_else(blank);
        for (kind, data) in repairs(recorded.as_ref(), &seen) {
            prop_assert!(data.get().contains(r#""repaired":true"#), "{kind} is not marked");
            apply(&mut mended, &form::read(kind, &data), Time(1_795_452_000_000));
        }
        prop_assert!(expected_status(recorded.as_ref(), &seen).contains(&status(&mended)), "{mended:?}");
        if matches!(seen.activity, Activity::Busy | Activity::Retry(_)) {
            prop_assert_eq!(ids(&mended), ids(&seen));
        }
        if seen.cost_micros.is_some() {
            prop_assert_eq!(mended.cost_micros, seen.cost_micros);
        }
        let again = repairs(Some(&mended), &seen);
        prop_assert!(again.is_empty(), "still not settled: {again:?}");
    }
}

#[test]
fn a_session_stays_small_whatever_its_backend_says() {
    let mut session = blank();
    let long = "l".repeat(100_000);
    let todos = vec![json!({"content": long, "status": long}); 1000];
    let said = [
        ("todo.updated", json!({"todos": todos})),
        (
            "session.updated",
            json!({"info": {"title": long, "model": {"id": long, "providerID": long}, "directory": long}}),
        ),
        ("permission.asked", json!({"id": "p1", "permission": long, "patterns": [long]})),
        ("permission.asked", json!({"id": long, "permission": "bash"})),
        (
            "message.updated",
            json!({"info": {"role": "assistant", "modelID": "m", "tokens":
            {"input": u64::MAX, "output": u64::MAX, "cache": {"read": 1, "write": 1}}}}),
        ),
    ];
    for (kind, data) in said {
        apply(&mut session, &form::read(kind, &raw(&data)), Time(1));
    }
    assert_eq!(session.asks.len(), 1, "a name that cannot be kept whole cannot be answered");
    assert_eq!(session.context.unwrap().used, u64::MAX);
    let bytes = serde_json::to_string(&session).unwrap().len();
    assert!(bytes < 500_000, "{bytes} bytes are written with each of its events");
}
