//! One book: what sessions show, what budgets count and what the ledger holds is one figure, whatever the coding agent
//! itself says of its sessions.

use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::whole::Whole;
use crate::world::World;

fn whole() -> Whole {
    Whole::begin(json!({"*": "allow"}))
}

fn session(whole: &Whole, id: &str) -> Value {
    whole.world.data(&format!("/api/v1/sessions/{id}"))
}

/// What the ledger's rows say of a session, in micro-dollars.
fn of_ledger(whole: &Whole, id: &str) -> u64 {
    let sum =
        format!("SELECT CAST(round(1e6 * total(cost_usd)) AS INTEGER) FROM costs WHERE session_id = '{id}'");
    whole.world.sql(&sum).parse().unwrap()
}

/// Waits until a session shows this, and sees to it that the ledger and the list say the same.
fn shows(whole: &Whole, id: &str, micros: u64) {
    wait_until(&format!("session {id} shows {micros}"), PATIENCE, || {
        let (shown, ledger) = (session(whole, id), of_ledger(whole, id));
        let listed = whole.world.data("/api/v1/sessions");
        let listed = listed.as_array().unwrap().iter().find(|one| one["id"] == id).unwrap();
        let all = [&shown["cost_micros"], &shown["own_cost_micros"], &listed["cost_micros"], &json!(ledger)];
        if all.iter().all(|one| **one == json!(micros)) { Ok(()) } else { Err(format!("{all:?}")) }
    });
}

fn prompt(whole: &Whole, id: &str, words: &str) {
    whole.world.ctl_says(&["sessions", "prompt", id, words]);
    whole.wait(id, "idle");
}

#[test]
fn what_opencode_had_used_before_anybody_looked_is_in_no_budget_and_in_no_day() {
    // 15.3 cents each.
    let history = whole();
    let old = history.start("usage 1000 10000 0 0");
    history.wait(&old, "idle");
    let other = history.start("usage 1000 10000 0 0");
    history.wait(&other, "idle");
    let Whole { mut world, home, model, .. } = history;
    world.take_agent("web-1").end_with(rustix::process::Signal::TERM);
    drop(world);

    let fresh = World::supervised();
    fresh.ctl_says(&["budgets", "set", "day", "--limit", "0.20"]);
    let whole = Whole::begin_at(fresh, home, model);
    wait_until("the history is shown", PATIENCE, || {
        let shown = whole.world.data("/api/v1/sessions");
        if shown.as_array().unwrap().len() == 2 { Ok(()) } else { Err(shown.to_string()) }
    });
    shows(&whole, &old, 0);
    assert_eq!(session(&whole, &old)["cost_before_micros"], 153_000);
    assert_eq!(whole.world.data("/api/v1/cost/today")["total"]["cost_micros"], 0);
    assert_eq!(whole.world.data("/api/v1/budgets/day")[0]["spent_micros"], 0);
    // 1.8 cents in an old session, and in a new one.
    prompt(&whole, &old, "usage 1000 1000 0 0");
    shows(&whole, &old, 18_000);
    let new = whole.start("usage 1000 1000 0 0");
    whole.wait(&new, "idle");
    shows(&whole, &new, 18_000);
    wait_until("the budget counts what was used since", PATIENCE, || {
        let budget = whole.world.data("/api/v1/budgets/day")[0].clone();
        let is_so = budget["spent_micros"] == 36_000 && budget["outstanding_micros"] == 0;
        if is_so { Ok(()) } else { Err(budget.to_string()) }
    });
    assert_eq!(whole.world.data("/api/v1/cost/today")["total"]["cost_micros"], 36_000);
    assert_eq!(whole.world.count_events("type=budget.interrupted"), 0);
}

#[test]
fn a_fork_a_revert_and_an_abort_show_what_the_ledger_holds() {
    let whole = whole();
    whole.world.ctl_says(&["budgets", "set", "day", "--limit", "5"]);
    let id = whole.start("usage 1000 10000 0 0");
    whole.wait(&id, "idle");
    shows(&whole, &id, 153_000);

    let fork = whole.world.run(whole.ask_opencode(&format!("/session/{id}/fork"), &json!({})));
    let fork = fork["id"].as_str().unwrap();
    wait_until("the fork is heard of", PATIENCE, || {
        let reply = whole.world.get(&format!("/api/v1/sessions/{fork}"));
        if reply.status == 200 { Ok(()) } else { Err(reply.body.to_string()) }
    });
    shows(&whole, fork, 0);
    prompt(&whole, fork, "usage 1000 1000 0 0");
    shows(&whole, fork, 18_000);
    assert_eq!(session(&whole, fork)["tokens"], 2_000, "tokens are of the same book");

    let asked = whole.world.events(&format!("session_id={id}&type=message.updated"));
    let asked = asked.iter().find(|event| event["data"]["info"]["role"] == "user").unwrap();
    let message = json!({"messageID": asked["data"]["info"]["id"]});
    whole.world.run(whole.ask_opencode(&format!("/session/{id}/revert"), &message));
    prompt(&whole, &id, "usage 1000 1000 0 0");
    shows(&whole, &id, 171_000);

    let slow = whole.start("slow 200 60");
    whole.wait(&slow, "running");
    whole.world.ctl_says(&["sessions", "abort", &slow]);
    whole.wait(&slow, "idle");
    let shown = wait_until("a call of which nothing is told is counted", PATIENCE, || {
        let shown = session(&whole, &slow);
        if shown["unreported_calls"] == 1 { Ok(shown) } else { Err(shown.to_string()) }
    });
    assert_eq!(shown["cost_micros"], Value::Null, "unknown, which is not $0: {shown}");
    assert!(whole.world.ctl_says(&["sessions", "get", &slow]).contains("cost: unknown"));
    wait_until("the budget counts the same", PATIENCE, || {
        let budget = whole.world.data("/api/v1/budgets/day")[0].clone();
        if budget["spent_micros"] == 189_000 { Ok(()) } else { Err(budget.to_string()) }
    });
}
