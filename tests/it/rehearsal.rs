//! Rehearsals of a recovery: what was restored is compared, and what cannot be restored is told before anybody needs it.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::world::{TOKEN, World, text};

/// What a rehearsal came to, and whether halctl was content.
fn rehearse(world: &World) -> (bool, Value) {
    let output = world.ctl(&["backup", "rehearse", "-o", "json"]);
    let made = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}{}", text(&output.stdout), text(&output.stderr)));
    (output.status.success(), made)
}

/// Sessions with a history.
fn world_with_history() -> World {
    let world = World::with_node();
    for prompt in ["say hello", "say one; say two"] {
        let id = world.start_session("shop", prompt);
        world.wait_for_session(&id, "idle");
    }
    world.ctl_says(&["backup", "now"]);
    world
}

fn alert(world: &World) -> Option<Value> {
    let alerts = world.data("/api/v1/alerts");
    let is_it = |alert: &&Value| alert["name"] == "backup.unrehearsed" && alert["state"] != "resolved";
    alerts.as_array().unwrap().iter().find(is_it).cloned()
}

#[test]
fn what_a_rehearsal_restores_is_what_was_there_and_nothing_of_it_stays() {
    let world = world_with_history();
    let (ok, made) = rehearse(&world);
    assert!(ok, "{made}");
    assert!(made["restored"]["events"].as_u64().unwrap() > 6, "{made}");
    assert_eq!((&made["restored"]["sessions"], &made["running"]["sessions"]), (&json!(2), &json!(2)));
    assert!(made["rto_seconds"].as_f64().unwrap() > 0.0, "{made}");
    assert!(made["also_needed"][0].as_str().unwrap().starts_with("supervisor.config.json"), "{made}");
    assert!(!world.path().join("supervisor/rehearsal").exists(), "the other supervisor has left nothing");
    assert!(!world.supervisor().said().contains(TOKEN));
    let record = world.ctl_says(&["audit", "list", "-o", "json"]);
    assert!(record.contains("rehearse_recovery"), "{record}");
    // What came after the backup is what a recovery would lack.
    let before = made["running"]["newest_event"].as_u64().unwrap();
    let id = world.start_session("shop", "say more");
    world.wait_for_session(&id, "idle");
    let (ok, made) = rehearse(&world);
    assert!(ok && made["running"]["newest_event"].as_u64().unwrap() > before, "{made}");
    assert_eq!(made["running"]["sessions"], json!(3));
    assert!(made["rpo_seconds"].as_f64().unwrap() > 0.0, "{made}");
    assert_eq!(alert(&world), None);
}

#[test]
fn a_backup_that_cannot_be_restored_is_an_alert_until_one_can() {
    let world = world_with_history();
    let newest = fs::canonicalize(world.path().join("supervisor/supervisor.db.backup")).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(newest).unwrap();
    let half = file.metadata().unwrap().len() / 2;
    file.seek(SeekFrom::Start(half)).unwrap();
    file.write_all(&[0xa5; 8192]).unwrap();
    drop(file);
    let (ok, made) = rehearse(&world);
    assert!(!ok && made["problem"].is_string(), "{made}");
    wait_until("the failed rehearsal is an alert", PATIENCE, || match alert(&world) {
        Some(alert) if alert["severity"] == "high" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    world.ctl_says(&["backup", "now"]);
    let (ok, made) = rehearse(&world);
    assert!(ok, "{made}");
    wait_until("the alert is over", PATIENCE, || match alert(&world) {
        None => Ok(()),
        Some(alert) => Err(alert.to_string()),
    });
}

#[test]
fn a_rehearsal_is_made_by_itself_when_one_is_due_and_is_remembered() {
    let mut world = world_with_history();
    world.end_supervisor();
    let mut config = world.supervisor_config(world.port());
    config["backup"] = json!({"rehearse": "2s"});
    let file = world.write("supervisor.json", &config.to_string());
    world.start_supervisor_by(world.hal(&["supervisor", "--config", &file.to_string_lossy()]));
    world.wait_for_supervisor();
    wait_until("one was made", PATIENCE, || {
        let record = world.ctl_says(&["audit", "list", "-o", "json"]);
        if record.contains("\"rehearsal\"") && record.contains("rehearse_recovery") {
            Ok(())
        } else {
            Err(record)
        }
    });
    // What is remembered of it and cannot be read is not the same as a good one.
    world.end_supervisor();
    let remembered = world.path().join("supervisor/supervisor.rehearsal");
    assert!(fs::read_to_string(&remembered).unwrap().contains("supervisor.db.backup."));
    fs::write(remembered, "{}").unwrap();
    world.start_supervisor();
    wait_until("what cannot be read is told", PATIENCE, || match alert(&world) {
        Some(alert) if alert["text"].to_string().contains("cannot be read") => Ok(()),
        other => Err(format!("{other:?}")),
    });
}
