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

/// Twenty ordinary turns of 3 to 40 cents, $4.50 together: what each costs, in cents.
const CENTS: [u64; 20] = [3, 5, 40, 8, 12, 35, 30, 3, 25, 40, 10, 22, 38, 33, 15, 28, 18, 36, 9, 40];

#[test]
fn twenty_ordinary_turns_for_four_dollars_fifty_fit_into_a_day_of_five() {
    assert_eq!(CENTS.iter().sum::<u64>(), 450);
    let whole = Whole::begin(json!({"*": "allow"}));
    whole.world.ctl_says(&["budgets", "set", "day", "--limit", "5"]);
    let mut session: Option<String> = None;
    let mut due = 0;
    let billed = || -> u64 { whole.model.sessions().iter().map(|id| whole.model.bill(id).cost_micros).sum() };
    for (nth, cents) in CENTS.iter().enumerate() {
        // Two thirds of it in the first step, at 15 dollars for a million tokens that are written.
        let third = cents * 10_000 / 15 / 3;
        let words = format!("usage 0 {} 0 0 sleep 0.2\nusage 0 {third} 0 0", third * 2);
        match session.as_ref().filter(|_| nth % 4 != 0) {
            Some(id) => drop(whole.world.ctl_says(&["sessions", "prompt", id, &words])),
            None => session = Some(whole.start(&words)),
        }
        due += third * 3 * 15;
        wait_until("both steps are billed", PATIENCE * 2, || {
            let (billed, stopped) = (billed(), whole.world.events("type=budget.interrupted"));
            if billed >= due || !stopped.is_empty() { Ok(()) } else { Err(format!("{billed} of {due}")) }
        });
        whole.wait(session.as_ref().unwrap(), "idle");
    }
    let interrupted = whole.world.events("type=budget.interrupted");
    let billed = billed();
    let overshoot = billed.saturating_sub(5_000_000);
    println!(
        "--- the model billed {billed} micro-dollars: {} interrupted, overshoot {overshoot}",
        interrupted.len()
    );
    assert!(interrupted.is_empty(), "{interrupted:?}");
    assert_eq!(billed, due, "4.50 dollars but for the rounding of tokens");
    let budget = wait_until("all is accounted for", PATIENCE, || {
        let budget = whole.world.data("/api/v1/budgets/day")[0].clone();
        if budget["outstanding_micros"] == 0 { Ok(budget) } else { Err(budget.to_string()) }
    });
    assert!(budget["spent_micros"].as_u64().unwrap().abs_diff(billed) <= 20, "{budget} {billed}");
    assert_eq!(whole.world.data("/api/v1/alerts?name=budget.interrupted"), json!([]));
}
