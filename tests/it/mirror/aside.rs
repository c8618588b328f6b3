//! What a restore has set aside: it can be seen, it comes back, and nothing comes twice.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::agree::full;
use super::stage::{Talker, sqlite};
use crate::world::World;

/// What the API says of what the agents have done, but for the numbers that a store gives.
fn told(world: &World) -> Vec<Vec<Value>> {
    let mut picture = world.whole_picture();
    for list in &mut picture {
        list.retain(|one| one["node_id"] != "talker" && one["id"] != "talker");
    }
    picture[3].retain(|event| event["type"] != "alert.raised");
    for event in &mut picture[3] {
        event.as_object_mut().unwrap().remove("seq");
    }
    picture[3].sort_by_key(|event| (event["timestamp"].to_string(), event["id"].to_string()));
    // A supervisor that takes in how a session ended says once more what that means to its approval.
    let mut lapsed = BTreeSet::new();
    picture[3].retain(|event| {
        event["type"] != "approval.lapsed" || lapsed.insert(event["data"]["requestID"].to_string())
    });
    picture
}

fn costs(world: &World) -> String {
    world.until_mirrored();
    world.sql("SELECT * FROM costs WHERE node_id <> 'talker' ORDER BY id")
}

/// A world that was restored to a moment from which on much was said, and what it said before the restore.
struct Restored {
    world: World,
    before: Vec<Vec<Value>>,
    costs: String,
    /// What is lost, by the events' own ids.
    lost: BTreeSet<String>,
}

fn ids(picture: &[Vec<Value>]) -> BTreeSet<String> {
    picture[3].iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

fn restored() -> Restored {
    let mut world = full();
    world.ctl_says(&["backup", "now"]);
    let kept = ids(&told(&world));
    for prompt in ["burst 1500", "cost 0.25", "say the end of the day"] {
        let id = world.start_session("shop", prompt);
        world.wait_for_session(&id, "idle");
    }
    drop(world.take_agent("web-1").end_with(Signal::TERM));
    world.wait_for_node("web-1", "offline");
    let (before, costs) = (told(&world), costs(&world));
    let lost: BTreeSet<String> = ids(&before).difference(&kept).cloned().collect();
    assert!(lost.len() > 1500, "{}", lost.len());
    world.end_supervisor();
    fs::copy(world.mirror().with_added_extension("backup"), world.mirror()).unwrap();
    world.start_supervisor();
    assert!(ids(&told(&world)).is_disjoint(&lost), "the fault fired");
    // Others take the numbers that the lost ones had.
    let talker = Talker::start(&world);
    talker.until_said(600);
    talker.end();
    Restored { world, before, costs, lost }
}

fn diff(world: &World, words: &[&str]) -> Value {
    let said = world.ctl_says(&[&["store", "diff", "-o", "json"], words].concat());
    serde_json::from_str(&said).unwrap()
}

fn of<'d>(diff: &'d Value, table: &str) -> &'d Value {
    diff["tables"].as_array().unwrap().iter().find(|one| one["table"] == table).unwrap()
}

#[test]
fn what_a_restore_has_lost_is_shown_and_comes_back_once() {
    let Restored { mut world, before, costs: costs_before, lost } = restored();
    let (code, said) = world.ctl_fails(&["store", "diff", "../supervisor.redb"]);
    assert!(code == 4 && said.contains("store that was set aside"), "{code} {said}");
    assert_eq!(world.ctl_fails(&["store", "diff", "--table", "event"]).0, 4);

    let found = diff(&world, &["--rows", "1000"]);
    assert_eq!(found["unreadable"], 0, "both stores are whole");
    let tables: Vec<&str> =
        found["tables"].as_array().unwrap().iter().map(|one| one["table"].as_str().unwrap()).collect();
    assert_eq!(tables, ["events", "sessions", "nodes", "costs", "audit_log", "commands"]);
    let (code, said) = world.ctl_fails(&["store", "diff", "--table", "alerts"]);
    assert!(code == 4 && said.contains("audit_log"), "what is not compared is said: {code} {said}");
    let folder = fs::read_dir(world.mirror().parent().unwrap()).unwrap();
    let names: Vec<String> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.contains(".new")), "nothing of the making stays behind: {names:?}");
    let events = of(&found, "events");
    assert_eq!(events["only_there"]["rows"], lost.len(), "{events}");
    assert!(
        events["only_here"]["rows"].as_u64() >= Some(600) && events["different"]["rows"] == 0,
        "{events}"
    );
    let shown = found["rows"].as_array().unwrap().iter();
    let shown: BTreeSet<&str> = shown
        .filter(|row| row["table"] == "events" && row["side"] == "only_there")
        .map(|row| row["row"]["id"].as_str().unwrap())
        .collect();
    assert_eq!(shown.len(), 1000);
    assert!(shown.iter().all(|id| lost.contains(*id)));

    let said = world.ctl_says(&["store", "merge", "--dry-run"]);
    assert!(said.contains(&format!("table: events  rows: {}", lost.len())), "{said}");
    assert_eq!(of(&diff(&world, &[]), "events"), events, "a dry run does nothing");

    // First a part of it.
    let session = before[1][0]["id"].as_str().unwrap();
    let of_session = |event: &&Value| event["session_id"] == session;
    let part = before[3].iter().filter(of_session).count();
    world.ctl_says(&["store", "merge", "--session", session]);
    assert_eq!(told(&world)[3].iter().filter(of_session).count(), part);
    let said = world.ctl_says(&["store", "merge"]);
    assert!(said.contains(&format!("table: events  rows: {}", lost.len() - part)), "{said}");
    assert_eq!(told(&world), before);
    assert_eq!(costs(&world), costs_before);
    assert_eq!(world.ctl_says(&["store", "merge"]), "", "a second one does nothing");
    for table in ["events", "sessions", "commands", "costs", "audit_log"] {
        assert_eq!(of(&diff(&world, &[]), table)["only_there"]["rows"], 0, "{table}");
    }
    let audited = "SELECT actor, target LIKE 'supervisor.redb.replaced.%' FROM audit_log WHERE action = 'store merge' LIMIT 1";
    world.until_mirrored();
    assert_eq!(world.sql(audited), "token|1");

    world.end_supervisor();
    let said = world.store_did(&["check"]);
    assert!(said.contains("both agree"), "{said}");
    world.start_supervisor();
    assert_eq!(told(&world), before);
    assert_eq!(told(&world)[3].len(), before[3].len());
}

#[test]
fn a_node_that_says_again_what_came_back_is_not_heard_twice() {
    let Restored { mut world, before, costs: costs_before, lost } = restored();
    // Only some of it comes back, so that the node has to fill what is between.
    let session = before[1][1]["id"].as_str().unwrap();
    world.ctl_says(&["store", "merge", "--table", "events", "--session", session]);
    world.ctl_says(&["store", "merge", "--table", "sessions,costs", "--session", session]);
    world.until_mirrored();
    // A store made anew from its mirror knows it, too.
    world.end_supervisor();
    fs::remove_file(world.store()).unwrap();
    fs::remove_file(world.store().with_added_extension("ballast")).unwrap();
    world.start_supervisor();
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    let said_by_node = |picture: &[Vec<Value>]| {
        let events = picture[3].iter().filter(|event| event["node_seq"].as_u64() > Some(0));
        events.map(|event| event["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let expected: BTreeSet<String> = said_by_node(&before).into_iter().collect();
    crate::patience::wait_until("the node has said everything again", crate::patience::PATIENCE, || {
        let journal = world.data("/api/v1/nodes/web-1")["journal"].clone();
        if journal["lag"] == 0 && expected.is_subset(&ids(&told(&world))) {
            Ok(())
        } else {
            Err(journal.to_string())
        }
    });
    drop(world.take_agent("web-1").end_with(Signal::TERM));
    world.wait_for_node("web-1", "offline");
    let now = said_by_node(&told(&world));
    assert_eq!(now.len(), now.iter().collect::<BTreeSet<_>>().len(), "nothing came twice");
    // The rest are the supervisor's own words.
    let said = world.ctl_says(&["store", "merge"]);
    let own = lost.iter().filter(|id| !expected.contains(*id)).count();
    assert!(said.contains(&format!("table: events  rows: {own}")), "{own}: {said}");
    let (now, all) = (told(&world), ids(&before));
    assert!(ids(&now).is_superset(&all));
    assert_eq!(now[1], before[1], "sessions are the sums of the same events");
    assert_eq!(costs(&world), costs_before);
    let twice = "SELECT count(*) - count(DISTINCT node_id || id) FROM events";
    assert_eq!(sqlite(&world.mirror(), twice).unwrap(), "0");
}

#[test]
fn it_comes_back_while_no_supervisor_runs_as_well() {
    let Restored { mut world, before, lost, .. } = restored();
    world.end_supervisor();
    let said = world.store_did(&["diff", "--table", "events"]);
    assert!(said.contains(&format!("events: only there {} (", lost.len())), "{said}");
    let said = world.store_did(&["merge", "--dry-run"]);
    assert!(said.contains(&format!("events: {} rows would be brought back", lost.len())), "{said}");
    let said = world.store_did(&["merge"]);
    assert!(said.contains(&format!("events: {} rows brought back", lost.len())), "{said}");
    assert!(world.store_did(&["merge"]).contains("the store already has all of it"));
    world.start_supervisor();
    assert_eq!(told(&world), before);
    world.until_mirrored();
    world.until_counts_agree();
}
