//! What an operator does with budgets: set, look, be warned, raise, go on.

use serde_json::json;

use super::stage::{Fleet, project_of};
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

#[test]
fn a_session_is_paused_at_its_limit_and_goes_on_when_that_is_raised() {
    let world = World::with_node();
    world.ctl_says(&[
        "budgets", "set", "each", "--limit", "0.05", "--scope", "session", "--period", "session",
    ]);
    let long = ["cost 0.02; run 0.5"; 6].join("; ");
    let id = world.start_session("shop", &long);
    world.wait_for_session(&id, "idle");
    let budget = wait_until("the lease is given back", PATIENCE, || {
        let budget = world.data("/api/v1/budgets/each")[0].clone();
        if budget["outstanding_micros"] == 0 { Ok(budget) } else { Err(budget.to_string()) }
    });
    assert_eq!((&budget["session_id"], &budget["spent_micros"]), (&json!(id), &json!(40_000)), "{budget}");
    let alerts = world.data("/api/v1/alerts?name=budget.interrupted");
    let text = alerts[0]["text"].as_str().unwrap();
    assert!(text.contains("each") && text.contains(&format!("halctl sessions resume {id}")), "{text}");
    let (_, sentence) = world.ctl_fails(&["sessions", "prompt", &id, &long]);
    assert!(sentence.contains("budget each"), "{sentence}");
    world.ctl_says(&["budgets", "raise", "each", "--by", "1", "--session", &id]);
    world.ctl_says(&["sessions", "prompt", &id, "cost 0.02; say done"]);
    let session = world.wait_for_session(&id, "idle");
    assert_eq!(session["cost_micros"], json!(60_000), "{session}");
    let audit = world.data("/api/v1/budgets/each")[0]["raised_micros"].clone();
    assert_eq!(audit, json!(1_000_000));
    world.ctl_says(&["budgets", "rm", "each"]);
    assert!(world.ctl_says(&["budgets", "list"]).is_empty());
}

#[test]
fn a_turn_is_finished_or_only_told_of_or_its_session_ended() {
    let budgets = json!({"limits": [
        {"name": "told", "scope": "project project-of-node-1", "limit_usd": 0.01, "at_limit": "notify", "warn_percent": [50]},
        {"name": "done", "scope": "node node-2", "limit_usd": 0.01, "at_limit": "finish_turn"},
        {"name": "hard", "scope": "project project-of-node-3", "limit_usd": 0.01, "at_limit": "stop"},
    ]});
    let fleet = Fleet::with(3, budgets);
    let long = ["cost 0.01; run 0.4"; 5].join("; ");
    let begin = |node: &str| fleet.world.start_session(&project_of(node), &long);
    let (told, done, hard) = (begin("node-1"), begin("node-2"), begin("node-3"));
    for id in [&told, &done] {
        let session = fleet.world.wait_for_session(id, "idle");
        assert_eq!(session["cost_micros"], json!(50_000), "the turn came to its end: {session}");
    }
    let session = fleet.world.wait_for_session(&hard, "ended");
    assert!(session["cost_micros"].as_u64().unwrap() < 50_000, "{session}");
    let (_, sentence) = fleet.world.ctl_fails(&["sessions", "prompt", &done, "say more"]);
    assert!(sentence.contains("budget done is spent"), "{sentence}");
    fleet.world.ctl_says(&["sessions", "prompt", &told, "say more"]);
    let reached = fleet.world.data("/api/v1/alerts?name=budget.reached");
    let about: Vec<&str> =
        reached.as_array().unwrap().iter().map(|alert| alert["about"].as_str().unwrap()).collect();
    assert!(about.contains(&"told") && about.contains(&"done") && about.contains(&"hard"), "{about:?}");
    let (code, sentence) = fleet.world.ctl_fails(&["budgets", "rm", "hard"]);
    assert!(code != 0 && sentence.contains("is set in the configuration"), "{sentence}");
}
