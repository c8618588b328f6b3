//! What halctl, the API and the metrics say of the ledger, against sums that `sqlite3` makes of it.

use rustix::process::Signal;
use serde_json::Value;

use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// A world that has used something today, and something on earlier days that an operator has brought in.
fn world() -> World {
    let world = World::with_node();
    let session = world.start_session("shop", "cost 0.5; tokens 100 20");
    world.wait_for_session(&session, "idle");
    world.until_sql("SELECT round(sum(cost_usd), 6) FROM costs", "0.5");
    for (back, model, usd) in [(1, "big", "2.0"), (8, "small", "1.25"), (40, "old", "9.0")] {
        world.sql(&format!(
            "INSERT INTO costs (provider, model, date, tokens, cost_usd, project, session_id, node_id) \
             VALUES ('acme', '{model}', date('now', '-{back} days'), 1000, {usd}, 'barn', 's{back}', 'web-2')"
        ));
    }
    world.sql(
        "INSERT INTO costs (provider, model, date, tokens, extra, project, session_id, node_id) VALUES ('acme', 'riddle', \
         date('now', '-1 day'), 77, '{\"tokens\":[77,0,0,0,0],\"unpriced\":77}', 'barn', 's1', 'web-2')",
    );
    // Each row comes into the store by itself, and the tokens of the turn after its cost: what is read before the last
    // of them is no answer to compare with.
    let since = world.sql("SELECT date('now', '-45 days')");
    wait_until("the store has all of it", PATIENCE, || {
        let report = world.data(&format!("/api/v1/cost?from={since}"));
        let is_whole = report["total"]["tokens"] == 120 + 3 * 1_000 + 77 && report["session_count"] == 4;
        if is_whole { Ok(()) } else { Err(report.to_string()) }
    });
    world.until_sql("SELECT sum(tokens) FROM costs", "3197");
    world
}

/// The sum that `sqlite3` makes of the last days.
fn spent(world: &World, days: u32) -> f64 {
    let sum = format!("SELECT sum(cost_usd) FROM costs WHERE date > date('now', '-{days} days')");
    world.sql(&sum).parse().unwrap()
}

#[test]
fn reports_are_the_sums_of_the_ledger_in_both_vocabularies() {
    let world = world();
    for (period, days) in [("today", 1), ("week", 7), ("month", 30)] {
        let report = world.data(&format!("/api/v1/cost/{period}"));
        assert_eq!(report, without_time(&world.data(&format!("/api/v1/cost?period={period}")), &report));
        let usd = spent(&world, days);
        for key in ["total_cost_usd", "total_cost"] {
            assert_eq!(report[key], usd, "{period} {key}");
        }
        assert_eq!(report["days"].as_array().unwrap().len() as u32, days);
        assert_eq!(report["total"]["cost_micros"], (usd * 1e6) as u64);
        let sum = |by: &str| -> f64 {
            report[by].as_array().unwrap().iter().filter_map(|part| part["cost_usd"].as_f64()).sum()
        };
        for by in ["by_provider", "by_model", "by_project", "by_session", "by_node", "days"] {
            assert!((sum(by) - usd).abs() < 1e-9, "{by}: {report}");
        }
    }
    let week = world.data("/api/v1/cost/week");
    assert_eq!((&week["before"]["cost_usd"], &week["before"]["change_usd"]), (&1.25.into(), &1.25.into()));
    let riddle = week["by_model"].as_array().unwrap().iter().find(|part| part["model"] == "riddle").unwrap();
    assert_eq!(
        (&riddle["cost_usd"], &riddle["unpriced_tokens"]),
        (&Value::Null, &77.into()),
        "unknown is not zero"
    );
    assert_eq!(week["freshness"][0]["state"], "live");
    let reply = world.get("/api/v1/cost/yesterday");
    assert_eq!((reply.status.as_u16(), &reply.body["code"]), (400, &"VALIDATION_ERROR".into()));
    assert!(world.metric("hal_cost_today_usd{provider=\"echo\",model=\"echo-1\"} ") > 0.49);
}

/// A report without what moves while time passes.
fn without_time(report: &Value, like: &Value) -> Value {
    let mut report = report.clone();
    for key in ["freshness", "end_of_day", "end_of_month"] {
        report[key] = like[key].clone();
    }
    report
}

#[test]
fn halctl_says_it_to_people_to_pipes_and_to_spreadsheets() {
    let world = world();
    let url = world.url("ws");
    let today = world.ctl_says(&["--supervisor-url", &url, "cost", "today"]);
    assert_eq!(today.lines().count(), 1);
    for words in ["period: today", "total_cost: $0.5000", "session_count: 1", "tokens_used: 120"] {
        assert!(today.contains(words), "{today}");
    }
    let csv = world.ctl_says(&["cost", "month", "--by", "model", "-o", "csv"]);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("provider,model,cost_usd,tokens,input,"), "{csv}");
    assert!(lines[1].starts_with("acme,big,2.000000,1000,"), "{csv}");
    assert!(lines.iter().any(|line| line.starts_with("acme,riddle,unknown,77,")), "{csv}");
    let table = world.ctl_says(&["cost", "week", "-o", "table"]);
    assert!(table.contains("█") && table.contains("end_of_month") && table.contains("node web-1"), "{table}");
    let day = world.sql("SELECT date('now', '-40 days')");
    let old = world.ctl_says(&["cost", "--from", &day, "--to", &day, "--by", "session", "-o", "json"]);
    let old: Value = serde_json::from_str(&old).unwrap();
    assert_eq!((&old["total_cost"], &old["by_session"][0]["session_id"]), (&9.0.into(), &"s40".into()));
    let (_, wrong) = world.ctl_fails(&["cost", "--from", "tomorrow"]);
    assert!(wrong.contains("from is \"tomorrow\": expected a day such as 2026-11-26"), "{wrong}");
    let prices = world.ctl_says(&["cost", "prices", "opus-5-5"]);
    assert!(
        prices.contains("model: claude-opus-5-5") && prices.contains("source: Anthropic pricing page"),
        "{prices}"
    );
}

#[test]
fn a_price_of_the_configuration_counts_from_its_day_on_and_a_subscription_is_apart() {
    let mut world = World::empty();
    let rates = serde_json::json!({"model_rates": [
        {"model": "echo/echo-1", "input_per_million": 10, "output_per_million": 100},
        {"model": "echo-1", "from": "2999-01-01", "input_per_million": 1000, "output_per_million": 1000}]});
    world.start_supervisor();
    world.start_agent("web-1", "shop");
    let cost = |world: &World| world.data("/api/v1/cost/today")["total"].clone();
    let spend = |world: &World, micros: u64| {
        let session = world.start_session("shop", "tokens 1000 10");
        world.wait_for_session(&session, "idle");
        wait_until("it is counted", PATIENCE, || {
            let total = cost(world);
            if total["cost_micros"] == micros { Ok(total) } else { Err(total.to_string()) }
        })
    };
    assert_eq!(spend(&world, 0)["tokens"], 1010, "echo is free");
    reconfigure(&mut world, &rates);
    let total = spend(&world, 11_000);
    assert_eq!((&total["estimated_usd"], &total["tokens"]), (&0.011.into(), &2020.into()));
    let shown = world.data("/api/v1/sessions?limit=1");
    assert_eq!(shown[0]["cost_micros"], 11_000, "a session shows it too");
    let mut subscribed = rates.clone();
    subscribed["subscriptions"] = serde_json::json!(["echo"]);
    reconfigure(&mut world, &subscribed);
    let total = spend(&world, 11_000);
    assert_eq!((&total["api_equivalent_usd"], &total["tokens"]), (&0.011.into(), &3030.into()));
}

/// Gives the running supervisor this section, and waits until its prices are in force.
fn reconfigure(world: &mut World, cost: &Value) {
    let mut config = world.supervisor_config(world.port());
    config["cost"] = cost.clone();
    world.write("supervisor.json", &config.to_string());
    world.supervisor().signal(Signal::HUP);
    let is_subscribed = cost["subscriptions"].is_array();
    wait_until("the prices are in force", PATIENCE, || {
        let price = world.data("/api/v1/cost/prices")[0].clone();
        let is_so = price["source"] == "configuration";
        let echo = world.ctl_says(&["cost", "prices", "echo-1"]);
        if is_so && echo.contains("paid: subscription") == is_subscribed { Ok(()) } else { Err(echo) }
    });
}
