//! Events are kept by their type, and by how much there is.

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::stage::{Talker, sqlite};
use crate::patience::{PATIENCE, wait_until};
use crate::peer::Peer;
use crate::world::{TOKEN, World};

/// Events that are said at once.
const SAID: u64 = 500;

/// A bound, as a configuration says it and in bytes.
const BOUND: (&str, f64) = ("16MiB", 16.0 * 1024.0 * 1024.0);

/// A node says so many events.
fn say(world: &World, node: &str, many: u64) {
    world.run(async {
        let (mut peer, _) = Peer::join(&world.url("ws"), TOKEN, node).await;
        for first in (1..=many).step_by(SAID as usize) {
            peer.say_events(first..=first + SAID - 1).await;
            peer.hear_ack(first + SAID - 1).await;
        }
    });
}

fn kept(world: &World) -> f64 {
    world.metric("hal_o_swarm_kept_bytes ")
}

/// What the store's file takes: blocks of 512 bytes.
fn blocks(world: &World) -> u64 {
    world.store().metadata().unwrap().blocks() * 512
}

#[test]
fn each_type_is_kept_as_long_as_its_longest_rule_says() {
    let mut world = World::supervised();
    say(&world, "old", SAID);
    world.until_mirrored();
    let old = |days: u64, kind: &str, rest: u64| {
        format!(
            "UPDATE events SET timestamp = datetime('now', '-{days} days'), type = '{kind}' \
             WHERE type = 'peer.tick' AND seq % 5 = {rest};"
        )
    };
    let kinds = [(40, "old.part.kept", 0), (40, "old.part", 1), (20, "old.short", 2), (20, "other.short", 3)];
    let changed: String = kinds.map(|(days, kind, rest)| old(days, kind, rest)).concat();
    world.sql(&changed);
    world.until_sql("SELECT count(*) FROM _hal_oplog", "0");
    world.until_events("type=old.part.kept", SAID / 5);
    world.end_supervisor();
    let types = json!({"old.part": "30d", "old.part.*": "365d", "old.*": "10d", "peer.tick": "2s"});
    world.start_with("retention", &json!({"events": "30d", "types": types}));
    for gone in ["old.part", "old.short", "peer.tick"] {
        world.until_events(&format!("type={gone}"), 0);
    }
    world.until_events("type=old.part.kept", SAID / 5);
    world.until_events("type=other.short", SAID / 5);
    // What comes later leaves, too, though older events stay before it.
    let talker = Talker::start(&world);
    talker.until_said(600);
    let said = talker.end();
    world.until_events("type=peer.tick", 0);
    world.until_events("type=old.part.kept", SAID / 5);
    world.until_sql("SELECT count(*) FROM events WHERE type LIKE 'old%'", &(SAID / 5).to_string());
    let rows: Vec<Value> = world.pages("/api/v1/archives?x=");
    println!("{said} came and went, {} archives", rows.len());
    assert_eq!(world.count_events("type=alert.raised"), 0);
}

#[test]
fn the_oldest_leave_when_there_is_too_much_and_the_files_stay_as_large_as_they_are() {
    const MANY: u64 = 24_000;
    let mut world = World::supervised();
    say(&world, "much", MANY);
    world.until_mirrored();
    let (before, blocks_before) = (kept(&world), blocks(&world));
    assert!(before > BOUND.1 * 1.1, "there is not too much: {before}");
    world.end_supervisor();
    let pages = |pragma: &str| sqlite(&world.mirror(), pragma).unwrap().parse::<f64>().unwrap();
    let mirror = pages("PRAGMA page_count") * pages("PRAGMA page_size");
    assert!(
        before > mirror * 1.5 && before < mirror * 2.5,
        "{before} is not both, of which one has {mirror}"
    );

    world.start_with("retention", &json!({"max_size": BOUND.0}));
    wait_until("there is no longer too much", PATIENCE, || {
        let kept = kept(&world);
        if kept <= BOUND.1 { Ok(()) } else { Err(kept.to_string()) }
    });
    let alert = wait_until("a person is told", PATIENCE, || {
        let alerts = world.events("type=alert.raised");
        let found = alerts.iter().find(|alert| alert["data"]["name"] == "retention.size");
        found.map(|alert| alert["data"]["text"].to_string()).ok_or(format!("{alerts:?}"))
    });
    wait_until("the round is over", PATIENCE, || {
        let (stored, all) = (world.events("type=peer.tick"), world.pages("/api/v1/archives?x="));
        let moved: u64 = all
            .iter()
            .map(|one| {
                let name = one["name"].as_str().unwrap();
                let file = world.path().join("supervisor/archive").join(name);
                let read = std::process::Command::new("gzip").arg("-dc").arg(file).output().unwrap();
                crate::world::text(&read.stdout).lines().filter(|line| line.contains("peer.tick")).count()
                    as u64
            })
            .sum();
        let newest = stored.last().and_then(|event| event["node_seq"].as_u64());
        let oldest = stored.first().and_then(|event| event["node_seq"].as_u64());
        let is_so = moved + stored.len() as u64 == MANY && newest == Some(MANY) && oldest == Some(moved + 1);
        if is_so {
            Ok(())
        } else {
            Err(format!("{moved} moved, {oldest:?} to {newest:?} of {}", stored.len()))
        }
    });
    let left = world.count_events("type=peer.tick");
    assert!(left > MANY / 2, "more has left than had to: {left} of {MANY} are there");
    println!("{alert}; {before} bytes before, {} after, {left} of {MANY} events", kept(&world));

    say(&world, "more", 6_000);
    wait_until("it stays so", PATIENCE * 2, || {
        let kept = kept(&world);
        if kept <= BOUND.1 { Ok(()) } else { Err(kept.to_string()) }
    });
    let (now, disk) = (blocks(&world), world.data_of_disk());
    assert!(now <= blocks_before * 5 / 4, "the file has grown from {blocks_before} to {now}");
    assert!(disk["store"].as_u64().unwrap() >= now && disk["archive"].as_u64() > Some(0), "{disk}");
    assert!(disk["free"].as_u64() > Some(0) && disk["mirror"].as_u64() > Some(0), "{disk}");
    assert!(world.request(reqwest::Method::GET, "/readyz", None, &[], None).body["disk"].is_null());
}

impl World {
    fn data_of_disk(&self) -> Value {
        self.get("/api/v1/health").body["disk"].clone()
    }
}
