//! What of a session's usage counts in a budget, and what a session shows: the ledger, and nothing beside it.

use super::*;
use crate::hub::pulse::{Pulse, Vitals};
use hal_protocol::budget::{Budget, Period};
use hal_rules::budget::Terms;

const NOON: &str = "2026-11-26T12:00:00Z";

fn at(text: &str) -> i64 {
    Time::parse(text).unwrap().0
}

/// A node, and two budgets for everything: of the day and of the week.
fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.now = at(NOON);
    let budget = |name: &str, period| Budget {
        name: name.into(),
        limit_micros: 5_000_000,
        period,
        ..Budget::default()
    };
    let budgets = vec![budget("day", Period::Day), budget("week", Period::Week)];
    stage.play(vec![settings(Settings {
        terms: Terms { budgets, ..Terms::default() },
        ..Settings::default()
    })]);
    stage.connect("a", 0, 0).unwrap();
    stage
}

fn spent(stage: &Stage) -> [u64; 2] {
    let budgets = stage.view.all_budgets(Time(stage.now));
    ["day", "week"].map(|name| budgets.iter().find(|one| one.name == name).unwrap().spent_micros)
}

fn message(id: &str, cost: f64, completed: &str) -> Value {
    json!({"info": {"id": id, "role": "assistant", "providerID": "a", "modelID": "m", "cost": cost, "finish": "stop",
        "tokens": {"output": 10}, "time": {"completed": at(completed)}}})
}

fn made(created: &str, cost: f64) -> Value {
    json!({"info": {"title": "t", "directory": "/p", "cost": cost, "tokens": {"output": 10},
        "time": {"created": at(created)}}, "repaired": true})
}

#[test]
fn usage_counts_in_the_period_of_its_day_and_history_in_none() {
    let mut stage = stage();
    let now = stage.now;
    stage.say("n", 1, "old", "session.created", now, &made("2026-11-20T08:00:00Z", 7.5));
    assert_eq!(spent(&stage), [0, 0], "it had that before anybody looked");
    let shown = stage.view.session(&"old".into()).unwrap();
    assert_eq!((shown.cost_micros, shown.cost_before_micros), (Some(0), 7_500_000));
    stage.say("n", 2, "old", "message.updated", now, &message("m1", 0.25, NOON));
    assert_eq!(spent(&stage), [250_000, 250_000]);
    // An agent that was away tells of yesterday.
    stage.say("n", 3, "old", "message.updated", now, &message("m2", 0.50, "2026-11-26T13:00:00Z"));
    stage.say("n", 4, "s", "message.updated", now, &message("m3", 0.40, "2026-11-25T23:00:00Z"));
    assert_eq!(spent(&stage), [750_000, 1_150_000]);
    assert_eq!(stage.view.session(&"s".into()).unwrap().cost_micros, Some(400_000), "it has cost that");
    // The day of a clock that is off is not believed.
    let mut node = stage.view.find_node("n").unwrap().to_state();
    node.link.pulse = Pulse::still(Vitals { clock_ahead_ms: -86_400_000, ..node.link.vitals() });
    stage.view.put_node(node);
    stage.say("n", 5, "s", "message.updated", now, &message("m4", 0.10, "2026-11-25T12:00:00Z"));
    assert_eq!(spent(&stage), [850_000, 1_250_000]);
}

#[test]
fn what_later_words_explain_is_given_back_to_the_budget() {
    let mut stage = stage();
    let now = stage.now;
    stage.now += 1_000;
    let begun = "2026-11-26T12:00:00.500Z";
    stage.say("n", 1, "fork", "session.created", now, &made(begun, 0.0));
    let total = |cost: f64| json!({"info": {"cost": cost}});
    stage.say("n", 2, "fork", "session.updated", now, &total(0.90));
    assert_eq!(spent(&stage), [900_000, 900_000], "nobody knows better yet");
    stage.say("n", 3, "fork", "message.updated", now, &message("copy", 0.90, "2026-11-26T11:00:00Z"));
    assert_eq!(spent(&stage), [0, 0], "it was copied");
    assert_eq!(stage.view.session(&"fork".into()).unwrap().cost_micros, Some(0));
    stage.say("n", 4, "fork", "message.updated", now, &message("own", 0.10, "2026-11-26T12:00:01Z"));
    stage.say("n", 5, "fork", "session.updated", now, &total(1.00));
    assert_eq!(spent(&stage), [100_000, 100_000]);
}

#[test]
fn a_nodes_own_picture_does_not_bring_its_backends_sums_back() {
    let mut stage = stage();
    let now = stage.now;
    stage.say("n", 1, "old", "session.created", now, &made("2026-11-20T08:00:00Z", 7.5));
    stage.say("n", 2, "old", "message.updated", now, &message("m1", 0.25, NOON));
    let picture = |id: &str, micros: u64| Session {
        cost_micros: Some(micros),
        active_at: Time(now + 1),
        started_at: Time(now - 1),
        ..Session::new(id.into(), "n".into(), "p".into(), Time(now))
    };
    stage.show("n", 2, vec![picture("old", 7_750_000), picture("unheard", 3_000_000)]);
    let cost = |stage: &Stage, id: &str| stage.view.session(&id.into()).unwrap().cost_micros;
    assert_eq!((cost(&stage, "old"), cost(&stage, "unheard")), (Some(250_000), Some(0)));
    stage.say("n", 3, "unheard", "session.updated", now, &json!({"info": {"cost": 3.0}}));
    stage.say("n", 4, "unheard", "message.updated", now, &message("m2", 0.10, NOON));
    stage.say("n", 5, "unheard", "session.updated", now, &json!({"info": {"cost": 3.1}}));
    assert_eq!((cost(&stage, "unheard"), spent(&stage)), (Some(100_000), [350_000, 350_000]));
}
