//! Alerts: raised once, acknowledged from anywhere, over by themselves; and what the supervisor sees of itself.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::world::{TOKEN, World};

/// A supervisor with these limits.
fn watched(limits: &Value) -> World {
    watched_in(World::empty(), limits)
}

fn watched_in(mut world: World, limits: &Value) -> World {
    let mut config = world.supervisor_config(0);
    config["alerts"] = limits.clone();
    let path = world.write("supervisor.json", &config.to_string());
    let command = world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
    world.start_supervisor_by(command);
    world.wait_for_supervisor();
    world
}

fn open_alert(world: &World, name: &str) -> Result<Value, String> {
    let reply = world.get(&format!("/api/v1/alerts?name={name}"));
    reply.body["data"].get(0).cloned().ok_or_else(|| reply.body.to_string())
}

fn until_open(world: &World, name: &str) -> Value {
    wait_until(&format!("{name} is raised"), PATIENCE, || open_alert(world, name))
}

fn until_over(world: &World, name: &str) {
    wait_until(&format!("{name} is over"), PATIENCE, || match open_alert(world, name) {
        Ok(open) => Err(open.to_string()),
        Err(_) => Ok(()),
    });
}

fn acknowledge(world: &World, id: &Value) -> crate::world::Reply {
    world.request(Method::POST, &format!("/api/v1/alerts/{id}/ack"), Some(TOKEN), &[], None)
}

#[test]
fn a_node_that_is_away_is_one_alert_until_it_is_back() {
    let mut world = watched(&json!({"node_offline": "1s"}));
    world.start_agent("web-1", "shop");
    world.start_session("shop", "say hello");
    world.take_agent("web-1").kill();
    let alert = until_open(&world, "node.offline");
    assert_eq!((&alert["about"], &alert["severity"]), (&json!("web-1"), &json!("high")), "{alert}");
    assert!(alert["text"].as_str().unwrap().contains("a session on it cannot be reached"), "{alert}");

    let known = acknowledge(&world, &alert["id"]);
    assert_eq!(known.body["data"]["status"], "acknowledged", "{}", known.body);
    let again = acknowledge(&world, &alert["id"]);
    assert_eq!(again.body["data"], known.body["data"], "the same again is fine");
    world.until_sql(
        "SELECT name || ' ' || about || ' ' || status FROM alerts WHERE name = 'node.offline'",
        "node.offline web-1 acknowledged",
    );
    world.until_sql("SELECT count(*) FROM audit_log WHERE action = 'acknowledge alert'", "1");

    // Nobody forgets what was known, and nothing is told twice.
    world.end_supervisor();
    world.start_supervisor();
    assert_eq!(open_alert(&world, "node.offline").unwrap()["status"], "acknowledged");
    world.start_agent("web-1", "shop");
    until_over(&world, "node.offline");
    for kind in ["alert.raised", "alert.acknowledged", "alert.resolved"] {
        let told = world.events(&format!("type={kind}"));
        let about: Vec<&Value> = told.iter().filter(|one| one["data"]["name"] == "node.offline").collect();
        assert_eq!(about.len(), 1, "{kind}: {told:?}");
        assert_eq!(about[0]["node_id"], "web-1");
    }
    let over = world.get("/api/v1/alerts?status=resolved&name=node.offline");
    assert_eq!(over.body["meta"]["total"], 1, "{}", over.body);
}

#[test]
fn strangers_at_the_door_and_a_disk_that_is_too_full_are_alerts() {
    let world = watched(
        &json!({"refused_per_minute": 3, "disk_free_percent": 99, "disk_used_percent": 100, "memory_percent": 100}),
    );
    for _ in 0..5 {
        assert_eq!(
            world.request(Method::GET, "/api/v1/nodes", Some("wrong"), &[], None).status,
            StatusCode::UNAUTHORIZED
        );
    }
    let refused = until_open(&world, "connections.refused");
    assert!(refused["text"].as_str().unwrap().contains("5 connections were refused"), "{refused}");
    let disk = until_open(&world, "disk.low");
    assert!(disk["text"].as_str().unwrap().contains("MiB free"), "{disk}");
    // An operator may say it, too.
    world.until_sql("SELECT count(*) FROM alerts", "2");
    world.sql("UPDATE alerts SET status = 'acknowledged', acknowledged_by = 'ada' WHERE name = 'disk.low'");
    wait_until("the edit is taken over", PATIENCE, || match open_alert(&world, "disk.low") {
        Ok(alert) if alert["acknowledged_by"] == "ada" => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn the_day_when_the_disk_is_full_is_an_alert_and_is_remembered_over_restarts() {
    let world = World::empty();
    let folder = world.path().join("supervisor");
    std::fs::create_dir_all(&folder).unwrap();
    // Half a day ago the disk was empty.
    let then = hal_o_swarm::base::clock::now().minus(std::time::Duration::from_secs(43_200));
    let seen = json!({"disk": [[then, 0]]});
    std::fs::write(folder.join("supervisor.growth"), seen.to_string()).unwrap();
    let mut world = watched_in(world, &json!({"disk_used_percent": 100, "full_within": "3650d"}));
    let alert = until_open(&world, "disk.filling");
    assert_eq!(alert["severity"], "high", "{alert}");
    let text = alert["text"].as_str().unwrap();
    assert!(text.contains("% full, and full on ") && text.contains("at this rate ("), "{alert}");

    world.start_agent("web-1", "shop");
    let session = world.start_session("shop", "say hello");
    world.wait_for_session(&session, "idle");
    let said = world.ctl_says(&["store", "status"]);
    println!("{text}\n{said}");
    let status: Value = serde_json::from_str(&world.ctl_says(&["store", "status", "-o", "json"])).unwrap();
    let number = |key: &str| status[key].as_u64().unwrap();
    assert!(number("events") > 0 && number("bytes_per_event") > 0, "{status}");
    assert_eq!((number("max_size"), &status["max_size_at"]), (0, &Value::Null), "{status}");
    let full_at = hal_o_swarm::base::clock::Time::parse(status["disk_full_at"].as_str().unwrap()).unwrap();
    assert!(full_at > hal_o_swarm::base::clock::now() && number("disk_per_day") > 0, "{status}");
    for shown in ["bytes_per_event: ", "disk_full_at: ", "kept_per_day: not known yet"] {
        assert!(said.contains(shown), "{shown}: {said}");
    }

    world.end_supervisor();
    let seen: Value =
        serde_json::from_slice(&std::fs::read(folder.join("supervisor.growth")).unwrap()).unwrap();
    let samples = ["disk", "kept"].map(|of| seen[of].as_array().unwrap().len());
    assert_eq!(samples, [2, 1], "{seen}");
}

#[test]
fn halctl_lists_alerts_and_says_that_somebody_knows() {
    let world = watched(&json!({"disk_free_percent": 99}));
    let id = until_open(&world, "disk.low")["id"].to_string();
    let list = world.ctl_says(&["alerts", "list", "--severity", "high"]);
    assert!(list.contains("status: firing") && list.contains("name: disk.low"), "{list}");
    let known = world.ctl_says(&["alerts", "ack", &id]);
    assert!(known.contains("status: acknowledged"), "{known}");
    assert!(world.ctl_says(&["alerts", "get", &id]).contains("acknowledged_by: "));
    let none = acknowledge(&world, &json!(999));
    assert_eq!((none.status, &none.body["error"]), (StatusCode::NOT_FOUND, &json!("no alert 999")));
    let wrong = world.get("/api/v1/alerts?status=burning");
    assert!(wrong.body["error"].as_str().unwrap().contains("expected firing"), "{}", wrong.body);
}
