//! What is too old leaves the store for compressed files, can be searched there, and comes back.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::stage::Talker;
use crate::patience::{PATIENCE, wait_until};
use crate::world::{World, text};

impl World {
    fn archives(&self) -> Vec<Value> {
        self.pages("/api/v1/archives?x=")
    }

    fn archived(&self, name: &str) -> PathBuf {
        self.path().join("supervisor/archive").join(name)
    }
}

/// What `gzip` says of a file, which is none of ours.
fn gzip(flag: &str, file: &PathBuf) -> String {
    let output = Command::new("gzip").arg(flag).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn old_events_are_archived_deleted_found_and_brought_back() {
    let mut world = World::with_node();
    let old = world.start_session("shop", "burst 3000");
    world.wait_for_session(&old, "idle");
    let new = world.start_session("shop", "burst 40");
    world.wait_for_session(&new, "idle");
    world.until_mirrored();
    world.sql(&format!(
        "UPDATE events SET timestamp = datetime('now', '-40 days') WHERE session_id = '{old}'"
    ));
    let of_old = format!("session_id={old}");
    let month_ago = hal_o_swarm::base::clock::now().minus(std::time::Duration::from_secs(30 * 86_400));
    let all_old = world.count_events(&of_old);
    world.until_events(&format!("until={month_ago}"), all_old);
    world.until_sql("SELECT count(*) FROM _hal_oplog", "0");
    let (before, others) = (world.events(&of_old), world.count_events(&format!("session_id={new}")));

    world.end_supervisor();
    world.start_with("retention", &json!({"events": "30d"}));
    let talker = Talker::start(&world);
    world.until_events(&of_old, 0);
    talker.until_said(200);
    println!("{} said by others meanwhile", talker.end());
    assert_eq!(world.count_events(&format!("session_id={new}")), others);
    world.until_sql(&format!("SELECT count(*) FROM events WHERE session_id = '{old}'"), "0");
    world.until_sql(
        "SELECT sum(json_extract(args, '$.rows')) FROM audit_log WHERE actor = 'retention' AND action = 'delete events'",
        &all_old.to_string(),
    );

    let archive = world.archives().into_iter().find(|one| one["table"] == "events").unwrap();
    let name = archive["name"].as_str().unwrap().to_owned();
    gzip("-t", &world.archived(&name));
    assert_eq!(gzip("-dc", &world.archived(&name)).lines().count() as u64, all_old);
    let found = world.ctl_says(&["archive", "search", &old, "--limit", "7"]);
    assert_eq!(found.lines().count(), 7, "{found}");
    assert_eq!(world.ctl_says(&["archive", "list"]).lines().count(), world.archives().len());

    world.ctl_says(&["archive", "restore", &name]);
    assert_eq!(world.events(&of_old), before, "as they were");
    // They are left alone for a while, also by the next start.
    world.end_supervisor();
    world.start_with("retention", &json!({"events": "30d"}));
    let next = world.start_session("shop", "say on");
    world.wait_for_session(&next, "idle");
    assert_eq!(world.events(&of_old), before);
    world.until_sql(&format!("SELECT count(*) FROM events WHERE session_id = '{old}'"), &all_old.to_string());
    assert_eq!(world.ctl_fails(&["archive", "restore", "nothing"]).0, 4);
}

#[test]
fn what_cannot_be_archived_stays_where_it_is_and_a_person_is_told() {
    let mut world = World::with_node();
    let id = world.start_session("shop", "burst 30");
    world.wait_for_session(&id, "idle");
    world.until_mirrored();
    world.sql("UPDATE events SET timestamp = datetime('now', '-40 days')");
    world.until_sql("SELECT count(*) FROM _hal_oplog", "0");
    let all = world.count_events(&format!("session_id={id}"));
    world.end_supervisor();
    std::fs::write(world.path().join("supervisor/archive"), "a file is in the way").unwrap();
    world.start_with("retention", &json!({"events": "30d"}));
    wait_until("the failure is an alert", PATIENCE, || {
        let alerts = world.events("type=alert.raised");
        match alerts.iter().any(|alert| alert["data"]["name"] == "retention.failed") {
            true => Ok(()),
            false => Err(format!("{alerts:?}")),
        }
    });
    assert_eq!(world.count_events(&format!("session_id={id}")), all);
}

#[test]
fn an_archive_of_another_time_of_the_store_takes_no_rows_place() {
    let world = World::with_node();
    let id = world.start_session("shop", "burst 30");
    world.wait_for_session(&id, "idle");
    let before = world.events("type=echo.tick");
    let folder = world.path().join("supervisor/archive");
    std::fs::create_dir_all(&folder).unwrap();
    for seq in [before[0]["seq"].as_u64().unwrap(), 1_000_000] {
        let file = folder.join(format!("events.20260101T000000Z-20260102T000000Z.{seq}-{seq}.jsonl"));
        let row = json!({"seq": seq, "id": "another", "type": "x", "data": "{}", "timestamp": "2026-01-01 00:00:00"});
        std::fs::write(&file, format!("{row}\n")).unwrap();
        assert!(Command::new("gzip").arg(&file).status().unwrap().success());
        let name = format!("{}.gz", file.file_name().unwrap().to_string_lossy());
        let (_, said) = world.ctl_fails(&["archive", "restore", &name]);
        assert!(said.contains("another one in this store"), "{said}");
    }
    let next = world.start_session("shop", "say on");
    world.wait_for_session(&next, "idle");
    assert_eq!(world.events("type=echo.tick"), before);
}
