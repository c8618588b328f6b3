//! A plain `cp` of `supervisor.db` is a whole database, whatever goes on meanwhile.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::stage::{Talker, sqlite};
use crate::world::World;

/// Copies made.
const COPIES: usize = 40;

#[test]
fn copies_made_while_events_come_and_operators_delete_are_whole() {
    let world = World::supervised();
    let talker = Talker::start(&world);
    talker.until_said(3_000);
    let (ended, deletions) = (AtomicBool::new(false), AtomicU64::new(0));
    let mirror = world.mirror();
    let refused = std::thread::scope(|scope| {
        let operator = scope.spawn(|| {
            let mut refused = 0;
            while !ended.load(Ordering::SeqCst) {
                let statement =
                    "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT 50)";
                match sqlite(&mirror, statement) {
                    Ok(_) => drop(deletions.fetch_add(1, Ordering::SeqCst)),
                    Err(why) => {
                        println!("refused: {why}");
                        refused += 1;
                    }
                }
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
            refused
        });
        for number in 0..COPIES {
            let copy = world.path().join(format!("copy-{number}.db"));
            match number % 2 {
                0 => assert!(Command::new("cp").arg(&mirror).arg(&copy).status().unwrap().success()),
                _ => copy_slowly(&mirror, &copy),
            }
            assert_eq!(sqlite(&copy, "PRAGMA integrity_check").unwrap(), "ok", "copy {number}");
            let counted = "SELECT (SELECT count(*) FROM events) = (SELECT value FROM _hal_meta WHERE key = \
                 'count_events'), (SELECT count(*) FROM _hal_oplog), (SELECT max(seq) FROM events) = \
                 (SELECT value FROM _hal_meta WHERE key = 'event_watermark')";
            let said = sqlite(&copy, counted).unwrap();
            assert!(said.starts_with("1|") && said.ends_with("|1"), "copy {number} is of one moment: {said}");
            std::fs::remove_file(&copy).unwrap();
        }
        ended.store(true, Ordering::SeqCst);
        operator.join().unwrap()
    });
    let deleted = deletions.load(Ordering::SeqCst);
    println!("{COPIES} copies, {deleted} deletions, {refused} refused, {} events", talker.end());
    assert!(deleted > 5, "the operator got through");
    assert!(refused * 10 <= deleted, "{refused} of {deleted} deletions were refused");
}

/// A copy as of a large file on a slow disk: what happens meanwhile would show in it.
fn copy_slowly(from: &Path, to: &Path) {
    let (mut from, mut to) = (File::open(from).unwrap(), File::create(to).unwrap());
    let mut part = vec![0; 65_536];
    loop {
        let read = from.read(&mut part).unwrap();
        if read == 0 {
            return;
        }
        to.write_all(&part[..read]).unwrap();
        std::thread::park_timeout(std::time::Duration::from_millis(3));
    }
}

#[test]
fn a_copy_is_a_database_that_a_fresh_supervisor_serves() {
    let world = super::agree::full();
    let talker = Talker::start(&world);
    talker.until_said(1_000);
    let mut fresh = World::empty();
    fresh.supervisor_config(0);
    assert!(Command::new("cp").arg(world.mirror()).arg(fresh.mirror()).status().unwrap().success());
    talker.end();
    let expected = sqlite(&fresh.mirror(), "SELECT seq || id || data FROM events ORDER BY seq").unwrap();
    fresh.start_supervisor();
    let shown = fresh.events("");
    let shown: Vec<String> = shown
        .iter()
        .map(|event| format!("{}{}{}", event["seq"], event["id"].as_str().unwrap(), event["data"]))
        .collect();
    assert_eq!(shown.len(), expected.lines().count());
    assert_eq!(shown.len() as u64, fresh.count_events(""));
    fresh.until_mirrored();
}
