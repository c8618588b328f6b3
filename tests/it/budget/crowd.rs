//! Fifty sessions on five nodes against a dollar, with turns of three cents; then cut off, then killed.

use std::time::Duration;

use hal_o_swarm::protocol::budget::dollars;

use super::stage::{Fleet, LEASE, LIMIT};
use crate::fault::report::asked;

const SESSIONS: usize = 50;
const NODES: usize = 5;

/// Three cents in three steps.
const TURN: &str = "cost 0.01; run 1; cost 0.01; run 1; cost 0.01";

/// The overshoot that is allowed: far less than what is lent at a time to all of them.
const MOST: u64 = LIMIT + LEASE;

#[test]
fn fifty_sessions_together_spend_a_dollar_and_no_more() {
    let fleet = Fleet::with_a_dollar(NODES, "60s");
    fleet.print("before anything");
    fleet.begin(SESSIONS, TURN);
    fleet.until_billed(LIMIT / 4);
    fleet.print("a quarter is spent");
    let most = fleet.until_quiet();
    let end = fleet.print("nobody gets more");
    println!("--- at most ${} were lent at once", dollars(most));
    assert!(end.billed <= MOST, "{end:?}");
    assert!(end.billed >= LIMIT * 9 / 10, "the money was there to be spent: {end:?}");
    assert_eq!((end.spent, end.outstanding, end.forfeited), (end.billed, 0, 0), "to the micro-dollar");
    assert!(most >= 10 * LEASE, "many were lent to at once, or the scene shows nothing");
    let alerts = fleet.world.data("/api/v1/alerts?name=budget.reached");
    let text = alerts[0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("halctl budgets raise day --by"), "{alerts}");
}

#[test]
fn nodes_that_are_cut_off_stop_when_their_leases_are_over() {
    // A minute without the supervisor, scaled: leases of 3 s instead of 60 s, and four times that without it. With
    // HAL_SOAK=away=60 it is a minute, and turns that last longer than a lease.
    let is_long = asked("away").is_some();
    let (lease, quiet) = if is_long { ("60s", 60) } else { ("3s", 12) };
    let step = if is_long { "cost 0.0004; run 1" } else { "cost 0.002; run 1" };
    let mut fleet = Fleet::with_a_dollar(NODES, lease);
    let long = vec![step; if is_long { 70 } else { 60 }].join("; ");
    fleet.begin(SESSIONS, &long);
    fleet.until_billed(LIMIT / 10);
    fleet.print("before the supervisor is gone");
    fleet.world.kill_supervisor();
    let at_the_cut = fleet.billed();
    let without = fleet.until_nothing_is_billed(Duration::from_secs(quiet));
    println!("--- without the supervisor: billed ${} to ${}", dollars(at_the_cut), dollars(without));
    assert!(without > at_the_cut, "turns went on with what was lent to them");
    assert!(without <= MOST, "{without}");
    fleet.start_supervisor();
    fleet.wait_for_nodes();
    fleet.until_quiet();
    let end = fleet.print("after it is back");
    assert!(end.billed <= MOST, "{end:?}");
    assert_eq!((end.spent, end.outstanding), (end.billed, 0), "nothing died, so all is accounted for");
    let interrupted = fleet.world.events("type=budget.interrupted");
    let ran_out = |event: &&serde_json::Value| event["data"]["why"].as_str().unwrap().contains("ran out");
    assert!(interrupted.iter().filter(ran_out).count() > 0, "the fault has fired: {interrupted:?}");
    let alerts = fleet.world.data("/api/v1/alerts?name=budget.interrupted");
    assert!(alerts[0]["text"].as_str().unwrap().contains("halctl sessions resume"), "{alerts}");
}

#[test]
fn everything_is_killed_and_the_dollar_is_spent_once() {
    let mut fleet = Fleet::with_a_dollar(NODES, "60s");
    // Turns that only a kill ends: each has used a cent of the five that were lent to it.
    fleet.begin(SESSIONS, "cost 0.01; run 600");
    fleet.until_billed(LIMIT / 5);
    let before = fleet.print("before the kill");
    fleet.kill_everything();
    let killed = fleet.billed();
    fleet.start_supervisor();
    fleet.holds();
    fleet.print("the supervisor is back, no node is");
    fleet.start_agents_again();
    fleet.until_quiet();
    let back = fleet.print("the nodes are back");
    assert!(back.forfeited > 0 && before.leases > 0, "turns died with their agents: {before:?} {back:?}");
    assert!(back.spent >= killed, "{back:?}");
    // Once more, with what is left.
    fleet.prompt_all(TURN);
    fleet.until_quiet();
    let end = fleet.print("after another round");
    println!("--- ${} of it died with agents", dollars(end.forfeited));
    assert!(end.billed <= MOST, "{end:?}");
    assert!(end.spent >= end.billed && end.spent <= MOST, "{end:?}");
}
