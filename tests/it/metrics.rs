//! Metrics as Prometheus likes them, and what ships for it: each panel's query and each rule asks for what a running
//! supervisor has.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::fault::means::skip_part;
use crate::patience::{PATIENCE, wait_until};
use crate::world::{TOKEN, World};

const DASHBOARD: &str = include_str!("../../packaging/prometheus/grafana-dashboard.json");
const RULES: &str = include_str!("../../packaging/prometheus/alert-rules.yml");
const SCRAPE: &str = include_str!("../../packaging/prometheus/scrape.yml");

/// A supervisor that has something of everything: a channel, a budget, a node that worked and was paid for, an alert.
fn busy() -> World {
    let mut world = World::empty();
    let mut config = world.supervisor_config(0);
    config["channels"] =
        json!({"webhooks": {"wall": {"webhook_url": "http://127.0.0.1:9/", "allow_private": true}}});
    config["alerts"] = json!({"disk_free_percent": 99});
    config["budgets"] = json!({"limits": [{"name": "day", "limit_usd": 100}]});
    let path = world.write("supervisor.json", &config.to_string());
    let command = world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
    world.start_supervisor_by(command);
    world.wait_for_supervisor();
    world.start_agent("web-1", "shop");
    let session = world.start_session("shop", "cost 2.5");
    world.wait_for_session(&session, "idle");
    // Somebody at each door with a wrong token, and a frame that is none.
    world.request(Method::GET, "/api/v1/nodes", Some("wrong"), &[], None);
    world
}

/// The text once it has all of these; what is measured comes with heartbeats.
fn text_with(world: &World, wanted: &BTreeSet<String>) -> String {
    wait_until("all metrics are there", PATIENCE, || {
        let text = world.get("/metrics").body.as_str().unwrap().to_owned();
        let has = samples(&text);
        let missing: Vec<&String> = wanted.iter().filter(|name| !has.contains(*name)).collect();
        if missing.is_empty() { Ok(text) } else { Err(format!("{missing:?} are missing")) }
    })
}

fn samples(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// The metrics of ours that a query names.
fn named(query: &str) -> impl Iterator<Item = String> + '_ {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("hal_") || word.starts_with("process_")).map(str::to_owned)
}

fn queries() -> Vec<String> {
    let board: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let of_board = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let of_board = of_board.map(|target| target["expr"].as_str().unwrap().to_owned());
    let of_rules = RULES.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned);
    of_board.chain(of_rules).collect()
}

/// Prometheus' own tool, where this machine has it.
fn promtool(args: &[&str], input: &str) -> Option<Output> {
    let started = Command::new("promtool")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        skip_part("what promtool says", "promtool is missing; the package prometheus brings it");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

fn is_clean(output: &Output) {
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{}", said.trim());
    assert!(output.status.success(), "{}: {said}", output.status);
}

#[test]
fn every_query_that_ships_asks_for_what_there_is_and_promtool_likes_it_all() {
    let world = busy();
    let queries = queries();
    let wanted: BTreeSet<String> = queries.iter().flat_map(|query| named(query)).collect();
    assert!(queries.len() > 30 && wanted.len() > 30, "{wanted:?}");
    // What has only a sample once something went wrong is named in the description of its family.
    let never = ["hal_o_swarm_frames_refused_total"];
    let usual = wanted.iter().filter(|name| !never.contains(&name.as_str())).cloned().collect();
    let text = text_with(&world, &usual);
    println!("{} queries ask for {} metrics of {}", queries.len(), wanted.len(), samples(&text).len());
    for part in [
        "hal_o_swarm_build_info{version=\"",
        "hal_o_swarm_alerts_firing{severity=\"high\"} ",
        "hal_o_swarm_node_online{node=\"web-1\"} 1",
        "hal_o_swarm_backend_running{node=\"web-1\",backend=\"echo\"} 1",
        "hal_o_swarm_channel_queue{channel=\"wall\"} ",
        "hal_o_swarm_events_by_type_total{type=\"session.created\"} 1",
        "hal_o_swarm_command_duration_seconds_count{type=\"create_session\"} 1",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let dollars: f64 = text
        .lines()
        .filter(|line| line.starts_with("hal_o_swarm_cost_dollars_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!((dollars - 2.5).abs() < 1e-9, "{dollars}");
    if let Some(output) = promtool(&["check", "metrics"], &text) {
        is_clean(&output);
        assert_eq!((output.stdout.len(), output.stderr.len()), (0, 0), "no word of criticism");
    }
    // Prometheus itself asks for OpenMetrics first.
    let accept = [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let open = world.request(Method::GET, "/metrics", Some(TOKEN), &accept, None);
    assert!(open.body.as_str().unwrap().ends_with("# EOF\n"));
}

#[test]
fn promtool_likes_the_rules_and_the_job_that_ship() {
    let world = World::empty();
    let rules = world.write("rules.yml", RULES);
    if let Some(output) = promtool(&["check", "rules", &rules.to_string_lossy()], "") {
        is_clean(&output);
    }
    world.write("token", "x");
    let place = world.path().join("token").to_string_lossy().into_owned();
    let job = SCRAPE.replace("/etc/prometheus/hal-o-swarm.token", &place);
    let job = world.write("prometheus.yml", &job);
    if let Some(output) = promtool(&["check", "config", &job.to_string_lossy()], "") {
        is_clean(&output);
    }
}
