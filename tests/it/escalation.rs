//! Until somebody answers: an alert that nobody acknowledges goes up step by step, who is told of what without any routes,
//! and who tells that the supervisor itself is gone.

use std::process::Command;

use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::stand_in::http::{Fault, HttpStandIn, Request};
use crate::world::{World, text};

fn hook(far: &HttpStandIn) -> Value {
    json!({"webhook_url": far.url(), "allow_private": true, "group": "0s"})
}

fn pager(far: &HttpStandIn) -> Value {
    json!({"routing_key": "0123456789abcdef0123456789abcdef", "base_url": format!("http://127.0.0.1:{}", far.port)})
}

fn command(world: &World, more: &Value) -> Command {
    let mut config = world.supervisor_config(world.port());
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let path = world.write("supervisor.json", &config.to_string());
    world.hal(&["supervisor", "--config", &path.to_string_lossy()])
}

fn start(world: &mut World, more: &Value) {
    let command = command(world, more);
    world.start_supervisor_by(command);
    world.wait_for_supervisor();
}

fn until(what: &str, count: usize, far: &HttpStandIn) -> Vec<Request> {
    wait_until(what, PATIENCE, || {
        let found = far.kept();
        if found.len() >= count { Ok(found) } else { Err(format!("{} of {count}", found.len())) }
    })
}

#[test]
fn an_alert_that_nobody_acknowledges_goes_up_until_somebody_does() {
    let [first, second, third, last] = [(); 4].map(|()| HttpStandIn::webhook());
    let more = json!({
        "alerts": {"disk_free_percent": 99},
        "channels": {"webhooks": {"first": hook(&first), "second": hook(&second), "third": hook(&third), "last": hook(&last)}},
        "routes": [{"match": "disk.low", "channels": ["first"]}],
        "escalation": [
            {"wait": "2s", "channels": ["second"]},
            {"severity": "critical", "wait": "1s", "channels": ["last"]},
            {"wait": "2s", "channels": ["third"]},
            {"wait": "1h", "channels": ["last"]},
        ],
    });
    let mut world = World::empty();
    start(&mut world, &more);
    until("the route has told", 1, &first);
    let told = until("step 1 has told", 1, &second);
    let said = told[0].body["data"]["title"].as_str().unwrap();
    assert!(said.starts_with("disk.low") && said.contains("nobody has acknowledged it for"), "{said}");
    // Killed between two steps.
    world.kill_supervisor();
    let command = world.hal(&["supervisor", "--config", "supervisor.json"]);
    world.start_supervisor_by(command);
    world.wait_for_supervisor();
    until("step 3 has told", 1, &third);
    let alert = world.data("/api/v1/alerts?name=disk.low")[0].clone();
    let id = alert["id"].to_string();
    let shown = world.data(&format!("/api/v1/alerts/{id}"));
    let steps: Vec<(&Value, &Value)> = shown["told"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["step"].is_number())
        .map(|one| (&one["step"], &one["channel"]))
        .collect();
    assert_eq!(steps, [(&json!(1), &json!("second")), (&json!(3), &json!("third"))], "{shown}");
    assert_eq!(
        (&shown["next"]["step"], &shown["next"]["channels"]),
        (&json!(4), &json!(["last"])),
        "{shown}"
    );
    let said = world.ctl_says(&["alerts", "get", &id]);
    println!("{said}");
    for part in ["first at 20", "step 1: second at 20", "step 3: third at 20", "next: step 4: last at 20"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(world.events("type=alert.escalated").len(), 2);

    world.ctl_says(&["alerts", "ack", &id]);
    for far in [&first, &second, &third] {
        let told = until("everybody who was told hears that somebody knows", 2, far);
        assert_eq!(told[1].body["type"], "alert.acknowledged");
        assert_eq!(told.len(), 2, "each step has told once");
    }
    assert_eq!(world.data(&format!("/api/v1/alerts/{id}"))["next"], Value::Null);
    assert_eq!(last.taken().len(), 0, "nobody else was told");
}

#[test]
fn a_session_that_asks_never_pages_unless_a_route_says_so() {
    let (pd, wall) = (HttpStandIn::pagerduty(), HttpStandIn::webhook());
    let channels = json!({"pagerduty": pager(&pd), "webhooks": {"wall": hook(&wall)}});
    let limits = json!({"disk_free_percent": 0, "memory_percent": 100});
    let mut world = World::empty();
    start(&mut world, &json!({"channels": channels, "alerts": limits}));
    world.start_agent("web-1", "shop");
    for _ in 0..5 {
        world.start_session("shop", "ask rm -rf build");
    }
    until("the wall is told of each", 5, &wall);
    assert_eq!(pd.taken().len(), 0, "nobody was woken up");
    let routes = world.ctl_says(&["routes", "list"]);
    assert!(routes.contains("default-page") && routes.contains("pagerduty"), "{routes}");
    world.end_supervisor();

    // Somebody says so.
    let routes = json!([{"match": "session.waiting", "channels": ["pagerduty"]}]);
    start(&mut world, &json!({"channels": channels, "routes": routes, "alerts": limits}));
    world.wait_for_node("web-1", "online");
    world.start_session("shop", "ask rm -rf build");
    wait_until(
        "it pages",
        PATIENCE,
        || if pd.taken().is_empty() { Err("not yet".to_owned()) } else { Ok(()) },
    );
}

#[test]
fn a_step_to_nobody_is_refused_before_anything_starts() {
    let world = World::empty();
    let mut config = world.supervisor_config(0);
    config["channels"] =
        json!({"webhooks": {"wall": {"webhook_url": "http://127.0.0.1:9/", "allow_private": true}}});
    config["escalation"] = json!([{"wait": "5m", "channels": ["walls"]}, {"channels": ["wall"]}]);
    let path = world.write("supervisor.json", &config.to_string());
    let output =
        world.hal(&["supervisor", "--config", &path.to_string_lossy(), "--validate"]).output().unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("escalation[0].channels") && said.contains("did you mean \"wall\"?"), "{said}");
    assert!(said.contains("escalation[1].wait"), "{said}");
}

#[test]
fn a_sign_of_life_comes_as_long_as_the_supervisor_works() {
    let far = HttpStandIn::webhook();
    far.base.will_fail([(); 4].map(|()| Fault::Answer(503, None)));
    let heartbeat = json!({"url": far.url(), "every": "1s", "allow_private": true});
    let mut world = World::empty();
    start(&mut world, &json!({"alerts": {"heartbeat": heartbeat}}));
    // Three that are not taken are an alert; it is over with the first that is.
    let over =
        || world.get("/api/v1/alerts?status=resolved&name=heartbeat.failing").body["meta"]["total"].clone();
    wait_until("heartbeat.failing was raised and is over", PATIENCE, || {
        if over() == 1 { Ok(()) } else { Err(world.get("/api/v1/alerts").body.to_string()) }
    });
    let beats = wait_until("some come", PATIENCE, || {
        let taken = far.taken();
        if taken.len() >= 3 { Ok(taken) } else { Err(format!("{}", taken.len())) }
    });
    assert_eq!(beats[0].body["type"], "supervisor.heartbeat");
    assert_eq!(beats[0].body["data"]["status"], "healthy");
    let apart = beats[2].at.duration_since(beats[1].at);
    println!("a heartbeat each second: {apart:?} apart");
    assert!(!world.supervisor().said().contains(&far.url()), "the address is nobody's business");
    world.kill_supervisor();
    assert!(far.taken().len() < 120);
}

#[test]
fn an_agent_says_that_the_supervisor_is_gone_and_that_it_is_back() {
    let far = HttpStandIn::webhook();
    far.base.will_fail([Fault::Answer(500, None), Fault::Cut]);
    let mut world = World::empty();
    world.start_supervisor();
    std::fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    let mut config = world.agent_config("web-1", "shop");
    let lost = json!({"webhook_url": far.url(), "after": "2s", "allow_private": true});
    config["alerts"] = json!({"supervisor_lost": lost});
    world.start_agent_with("web-1", &config);
    world.wait_for_node("web-1", "online");
    // A restart is no outage.
    world.end_supervisor();
    world.start_supervisor();
    world.wait_for_node("web-1", "online");
    world.kill_supervisor();
    let told = until("the agent has told", 1, &far);
    assert_eq!(told[0].body["type"], "supervisor.lost");
    assert_eq!(told[0].body["data"]["node"], "web-1");
    println!("{}", told[0].raw);
    // It remembers over a restart of its own, and tells once.
    world.take_agent("web-1").kill();
    world.start_agent_with("web-1", &config);
    world.agent("web-1").line_with("connection refused");
    world.start_supervisor();
    world.wait_for_node("web-1", "online");
    let told = until("it is back", 2, &far);
    let words: Vec<&Value> = told.iter().map(|one| &one.body["type"]).collect();
    assert_eq!(words, [&json!("supervisor.lost"), &json!("supervisor.back")]);
    let note = world.path().join("web-1/data/supervisor.lost");
    wait_until("it remembers nothing any more", PATIENCE, || match note.exists() {
        false => Ok(()),
        true => Err(note.display().to_string()),
    });
}
