//! Backups: made by themselves, found out when they are no good, and restored as the runbook says.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use hal_o_swarm::store::journal::{Bounds, Journal};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::agree::full;
use super::stage::{Talker, sqlite};
use crate::fault::report::asked;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

impl World {
    fn newest_backup(&self) -> PathBuf {
        self.mirror().with_added_extension("backup")
    }

    fn backups(&self) -> Vec<Value> {
        self.pages("/api/v1/backups?x=")
    }

    /// Starts with these rules for backups.
    fn start_with_backups(&mut self, rules: &Value) {
        self.start_with("backup", rules);
    }

    /// Starts with this section in the configuration.
    pub fn start_with(&mut self, section: &str, rules: &Value) {
        let mut config = self.supervisor_config(self.port());
        config[section] = rules.clone();
        let path = self.write("supervisor.json", &config.to_string());
        self.start_supervisor_by(self.hal(&["supervisor", "--config", &path.to_string_lossy()]));
        self.wait_for_supervisor();
    }

    /// Waits until a node's agent, which is ended for the look, holds nothing of this number; then it is there again.
    fn wait_for_a_journal_without(&mut self, number: u64) {
        wait_until("the journal holds it no longer", PATIENCE, || {
            drop(self.take_agent("web-1").end_with(Signal::TERM));
            let last = held_after(&self.path().join("web-1/data"), number - 1);
            self.start_agent_again("web-1");
            match last {
                None => Ok(()),
                held => Err(format!("{held:?}")),
            }
        });
        self.wait_for_node("web-1", "online");
    }

    /// The identities of what the nodes have said.
    fn said_by_nodes(&self) -> BTreeSet<String> {
        let events = self.events("");
        let said = events.iter().filter(|event| event["node_seq"].as_u64() > Some(0));
        said.map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    }

    fn alert(&self, name: &str) -> Result<String, String> {
        let alerts = self.events("type=alert.raised");
        let found = alerts.iter().find(|alert| alert["data"]["name"] == name);
        found.map(|alert| alert["data"]["text"].as_str().unwrap().to_owned()).ok_or(format!("{alerts:?}"))
    }
}

/// The first event that a stopped agent's journal holds after this number.
fn held_after(folder: &std::path::Path, number: u64) -> Option<u64> {
    let bounds = Bounds { keep: Duration::from_secs(3600), keep_bytes: 1 << 30, hard_bytes: 1 << 31 };
    let (journal, _writer, _) = Journal::open(folder, bounds, hal_o_swarm::base::clock::now()).unwrap();
    journal
        .batch_after(number, 1, usize::MAX)
        .unwrap()
        .first()
        .map(|event| event.seq)
        .filter(|seq| *seq == number + 1)
}

/// A line of the runbook, in the folder of the store.
fn type_in(world: &World, line: &str) {
    let folder = world.path().join("supervisor");
    let status = Command::new("sh").args(["-c", line]).current_dir(folder).status().unwrap();
    assert!(status.success(), "{line}");
}

#[test]
fn yesterdays_backup_in_a_fleet_whose_nodes_still_hold_the_day_brings_the_day_back() {
    let mut world = full();
    let said = world.ctl_says(&["backup", "now"]);
    assert!(said.contains("newest: yes"), "{said}");
    let kept = world.said_by_nodes();
    let burst = format!("burst {}", asked("day").unwrap_or(500));
    for prompt in [burst.as_str(), "cost 0.25", "say the end of the day"] {
        let id = world.start_session("shop", prompt);
        world.wait_for_session(&id, "idle");
    }
    let day = world.said_by_nodes();
    let sessions = world.data("/api/v1/sessions?limit=100").as_array().unwrap().len();
    assert!(day.len() > kept.len() + 500);

    world.end_supervisor();
    type_in(&world, "cp supervisor.db.backup supervisor.db");
    let begun = std::time::Instant::now();
    world.start_supervisor();
    wait_until("the day is back", PATIENCE, || match world.said_by_nodes() {
        back if back == day => Ok(()),
        back => Err(format!("{} of {}", back.len(), day.len())),
    });
    println!("{} events came back in {:?}", day.len() - kept.len(), begun.elapsed());
    assert_eq!(world.data("/api/v1/sessions?limit=100").as_array().unwrap().len(), sessions);
    assert!(world.supervisor().said().contains("was restored"));
    world.until_mirrored();
    assert_eq!(sqlite(&world.newest_backup(), "PRAGMA integrity_check").unwrap(), "ok");
}

#[test]
fn where_the_nodes_hold_the_day_no_longer_the_gap_is_shown_with_its_size_and_times() {
    let mut world = World::supervised();
    fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    let mut config = world.agent_config("web-1", "shop");
    config["journal"] = json!({"keep": "0s"});
    world.start_agent_with("web-1", &config);
    world.wait_for_node("web-1", "online");
    let id = world.start_session("shop", "burst 100");
    world.wait_for_session(&id, "idle");
    world.until_mirrored();
    world.ctl_says(&["backup", "now"]);
    let kept = world.data("/api/v1/nodes/web-1")["journal"]["acknowledged"].as_u64().unwrap();
    let made = hal_o_swarm::base::clock::now().to_string();
    let id = world.start_session("shop", "burst 300");
    world.wait_for_session(&id, "idle");
    // What is acknowledged is removed when it starts.
    drop(world.take_agent("web-1").end_with(Signal::TERM));
    world.wait_for_node("web-1", "offline");
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    world.wait_for_a_journal_without(kept + 1);
    world.end_supervisor();
    type_in(&world, "cp supervisor.db.backup supervisor.db");
    world.start_supervisor();
    world.until_events("type=gap", 1);
    let gap = &world.events("type=gap")[0];
    let data = &gap["data"];
    let (from, to) = (data["from"].as_u64().unwrap(), data["to"].as_u64().unwrap());
    assert_eq!(from, kept + 1, "{gap}");
    assert!(to > kept && data["count"] == to - from + 1, "{gap}");
    let time = |key: &str| data[key].as_str().unwrap();
    assert!(time("after") <= made.as_str() && made.as_str() < time("before"), "{made} {gap}");
    assert!(time("before") <= gap["timestamp"].as_str().unwrap(), "{gap}");
    let alert = wait_until("it is an alert", PATIENCE, || world.alert("events.gap"));
    assert!(alert.contains(&(to - from + 1).to_string()) && alert.contains(time("after")), "{alert}");
    println!("{alert}");
    let node = world.wait_for_node("web-1", "online");
    assert_eq!(node["journal"]["given_up"], to - from + 1, "{node}");
    let shown = world.ctl_says(&["nodes", "get", "web-1"]);
    assert!(shown.contains(&format!("given_up: {}", to - from + 1)), "{shown}");
}

#[test]
fn backups_are_made_by_themselves_and_old_ones_go() {
    let mut world = World::empty();
    world.start_with_backups(&json!({"interval": "1s", "keep": 2}));
    let talker = Talker::start(&world);
    let names = || world.backups().iter().map(|one| one["name"].to_string()).collect::<Vec<_>>();
    wait_until(
        "there are two",
        PATIENCE,
        || if names().len() == 2 { Ok(()) } else { Err(names().join(" ")) },
    );
    let first = names();
    wait_until("both have made way for newer ones", PATIENCE, || {
        let now = names();
        let is_so = now.len() == 2 && now.iter().all(|name| !first.contains(name));
        if is_so { Ok(()) } else { Err(now.join(" ")) }
    });
    talker.end();
    assert_eq!(sqlite(&world.newest_backup(), "PRAGMA integrity_check").unwrap(), "ok");
}

#[test]
fn what_is_wrong_with_a_backup_and_what_is_strange_about_it_is_said() {
    let world = World::supervised();
    wait_until("the first is made", PATIENCE, || {
        let made = world.ctl(&["backup", "now"]);
        if made.status.success() { Ok(()) } else { Err(crate::world::text(&made.stderr)) }
    });
    assert!(world.ctl_says(&["backup", "verify"]).contains("events: 0"));
    let talker = Talker::start(&world);
    talker.until_said(6_000);
    talker.end();
    world.until_mirrored();
    let said = world.ctl_says(&["backup", "now"]);
    assert!(said.contains("and the one before had"), "{said}");
    wait_until("its size is an alert", PATIENCE, || world.alert("backup.size"));

    let name = world.backups()[0]["name"].as_str().unwrap().to_owned();
    let file = fs::OpenOptions::new().write(true).open(world.path().join("supervisor").join(&name)).unwrap();
    file.write_all_at(&[0xA5; 20_000], 40_000).unwrap();
    let (code, said) = world.ctl_fails(&["backup", "verify", &name]);
    assert!(code == 1 && said.contains(&name), "{code} {said}");
    assert_eq!(world.ctl_fails(&["backup", "verify", "supervisor.db.backup.x"]).0, 4);
    world.ctl_says(&["backup", "now"]);
    world.ctl_says(&["backup", "verify"]);
    assert_eq!(world.ctl_says(&["backup", "list"]).lines().count(), 3);

    fs::create_dir_all(world.mirror().with_added_extension("backup.new").join("in-the-way")).unwrap();
    world.ctl_fails(&["backup", "now"]);
    let alert = wait_until("the failure is an alert", PATIENCE, || world.alert("backup.failed"));
    assert!(alert.contains("could not be backed up"), "{alert}");
    assert_eq!(world.backups().len(), 3);
}

#[test]
fn a_backup_that_is_moved_into_place_and_a_copy_that_an_operator_made_are_both_kept() {
    let mut world = full();
    type_in(&world, "cp supervisor.db supervisor.db.backup");
    let own = fs::read(world.newest_backup()).unwrap();
    world.ctl_says(&["backup", "now"]);
    let backups = world.backups();
    assert_eq!(backups.len(), 2, "the operator's is one of them: {backups:?}");
    let path = |nth: usize| world.path().join("supervisor").join(backups[nth]["name"].as_str().unwrap());
    assert!(fs::read(path(1)).unwrap() == own);
    let (newest, bytes) = (path(0), fs::read(path(0)).unwrap());
    assert_eq!(newest.metadata().unwrap().ino(), world.newest_backup().metadata().unwrap().ino());

    drop(world.take_agent("web-1").end_with(Signal::TERM));
    world.end_supervisor();
    type_in(&world, "mv supervisor.db.backup supervisor.db");
    world.start_supervisor();
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    let id = world.start_session("shop", "burst 100");
    world.wait_for_session(&id, "idle");
    world.until_mirrored();
    assert!(fs::read(newest).unwrap() == bytes, "the backup is as it was");
}
