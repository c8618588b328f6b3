//! A true coding agent at its limit.

use serde_json::json;

use crate::patience::{PATIENCE, wait_until};
use crate::whole::Whole;

/// Each step is an answer of the model, at something like a cent, and a tool that takes a while.
const STEPS: &str = "bash sleep 2\nbash sleep 2\nbash sleep 2\nbash sleep 2\nbash sleep 2\nbash sleep 2\nbash sleep 2\nbash sleep 2";

const LIMIT: u64 = 60_000;

#[test]
fn a_true_turn_is_interrupted_at_the_limit() {
    let whole = Whole::begin(json!({"*": "allow"}));
    whole.world.ctl_says(&[
        "budgets", "set", "each", "--limit", "0.06", "--scope", "session", "--period", "session",
    ]);
    let id = whole.start(STEPS);
    wait_until("the turn is interrupted", PATIENCE * 2, || {
        let told = whole.world.events("type=budget.interrupted");
        if told.is_empty() { Err(whole.world.data("/api/v1/cost/exposure").to_string()) } else { Ok(()) }
    });
    whole.wait(&id, "idle");
    let bill = whole.model.bill(&id);
    println!("--- the model billed {} of {LIMIT} micro-dollars in {} calls", bill.cost_micros, bill.calls);
    // The mean and half of it: the conversation grows, and so does what each call costs.
    let step = bill.cost_micros / bill.calls.max(1) * 3 / 2;
    assert!(bill.cost_micros > 0 && bill.cost_micros <= LIMIT + step, "{bill:?}");
    let budget = wait_until("all is accounted for", PATIENCE, || {
        let budget = whole.world.data("/api/v1/budgets/each")[0].clone();
        if budget["outstanding_micros"] == 0 { Ok(budget) } else { Err(budget.to_string()) }
    });
    // opencode tells of a step when its tools are through and goes on at once: what the call that was cut off has cost is
    // in the model's bill alone.
    let spent = budget["spent_micros"].as_u64().unwrap();
    assert!(spent > 0 && spent <= LIMIT && bill.cost_micros - spent <= step, "{budget} {bill:?}");
    let (_, sentence) = whole.world.ctl_fails(&["sessions", "prompt", &id, "say more"]);
    assert!(sentence.contains("budget each"), "{sentence}");
    whole.world.ctl_says(&["budgets", "raise", "each", "--by", "1", "--session", &id]);
    whole.world.ctl_says(&["sessions", "resume", &id]);
    whole.wait(&id, "idle");
}
