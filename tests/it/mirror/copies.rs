//! A plain `cp` of `supervisor.db` is a whole database, whatever goes on meanwhile.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;

use super::stage::{TABLES, sqlite};
use super::steady::{Steady, are_whole};
use crate::fault::report::asked;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// Copies made, unless `HAL_SOAK` names more: `HAL_SOAK=copies=500`.
const COPIES: u64 = 12;

/// Events that the operator leaves: each copy is read back whole.
const LEFT: u64 = 1_500;

/// What an operator does meanwhile, and how often he was refused.
#[derive(Default)]
struct Operator {
    ended: AtomicBool,
    deletions: AtomicU64,
    refused: AtomicU64,
}

impl Operator {
    fn delete_on(&self, mirror: &Path) {
        let statement = format!("DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - {LEFT}");
        while !self.ended.load(Ordering::SeqCst) {
            match sqlite(mirror, &statement) {
                Ok(_) => drop(self.deletions.fetch_add(1, Ordering::SeqCst)),
                Err(why) => {
                    println!("refused: {why}");
                    self.refused.fetch_add(1, Ordering::SeqCst);
                }
            }
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
    }
}

#[test]
fn copies_made_while_events_come_and_operators_delete_are_whole_and_a_fresh_supervisor_serves_them() {
    let copies = asked("copies").unwrap_or(COPIES);
    let world = super::agree::full();
    let steady = Steady::begin(&world);
    steady.until_more(3_000);
    let operator = Operator::default();
    let mirror = world.mirror();
    let (mut bad, mut served) = (Vec::new(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| operator.delete_on(&mirror));
        for number in 0..copies {
            let mut fresh = World::empty();
            fresh.supervisor_config(0);
            let copy = fresh.mirror();
            match number % 2 {
                0 => assert!(Command::new("cp").arg(&mirror).arg(&copy).status().unwrap().success()),
                _ => copy_slowly(&mirror, &copy),
            }
            match is_of_one_moment(&copy).and_then(|()| is_served(&mut fresh)) {
                Ok(events) => served += events,
                Err(why) => bad.push(format!("copy {number}: {why}")),
            }
        }
        operator.ended.store(true, Ordering::SeqCst);
    });
    let said = steady.end();
    let count = |number: &AtomicU64| number.load(Ordering::SeqCst);
    let (deleted, refused) = (count(&operator.deletions), count(&operator.refused));
    println!(
        "plain copies: {copies} made, opened and restored, {served} events in them, {} bad; {said} events said, \
         {deleted} deletions, {refused} refused; at most {:.2} % at 95 %",
        bad.len(),
        300.0 / copies as f64
    );
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(deleted > 5, "the operator got through");
    assert!(refused * 10 <= deleted, "{refused} of {deleted} deletions were refused");
}

/// The pages of a copy fit together, and its rows are those of one moment.
fn is_of_one_moment(copy: &Path) -> Result<(), String> {
    let pages = sqlite(copy, "PRAGMA integrity_check")?;
    if pages != "ok" {
        return Err(pages);
    }
    // What an operator has deleted a moment ago is noted and not yet counted.
    let counted = TABLES.map(|(table, _)| {
        format!(
            "(SELECT count(*) FROM {table}) + (SELECT coalesce(sum(op = 'D') - sum(op = 'I'), 0) FROM _hal_oplog WHERE \
             tbl = '{table}') = (SELECT value FROM _hal_meta WHERE key = 'count_{table}')"
        )
    });
    let last = "(SELECT max(seq) FROM events) = (SELECT value FROM _hal_meta WHERE key = 'event_watermark')";
    let said = sqlite(copy, &format!("SELECT {}, {last}", counted.join(", ")))?;
    if said.contains('0') { Err(format!("it is not of one moment: {said}")) } else { Ok(()) }
}

/// A fresh supervisor answers what is in the copy that lies in its folder: how many events those are.
fn is_served(fresh: &mut World) -> Result<u64, String> {
    let copy = fresh.mirror();
    let lines =
        |sql: &str| sqlite(&copy, sql).map(|said| said.lines().map(str::to_owned).collect::<Vec<_>>());
    // Keys of JSON have no order.
    let keyed = |line: String| match line.split_once('\t') {
        Some((words, data)) => {
            format!(
                "{words}{}",
                serde_json::from_str::<Value>(data).map_or_else(|e| e.to_string(), |data| data.to_string())
            )
        }
        None => line,
    };
    let events =
        "SELECT seq || id || node_id || session_id || type || char(9) || data FROM events ORDER BY seq";
    let events: Vec<String> = lines(events)?.into_iter().map(keyed).collect();
    let sessions =
        lines("SELECT id || ' ' || tokens || ' ' || coalesce(cost, '-') FROM sessions ORDER BY id")?;
    let commands = lines("SELECT id || ' ' || status FROM commands ORDER BY id")?;
    let nodes = lines("SELECT id FROM nodes ORDER BY id")?;
    fresh.start_supervisor();
    let word = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let shown = |path: &str, line: &dyn Fn(&Value) -> String| {
        let mut all: Vec<String> = fresh.pages(path).iter().map(line).collect();
        all.sort();
        all
    };
    let said: Vec<String> = fresh
        .events("")
        .iter()
        .map(|one| {
            let words = ["id", "node_id", "session_id", "type"].map(|key| word(one, key)).concat();
            format!("{}{words}{}", one["seq"], one["data"])
        })
        .collect();
    is_same("events", &said, &events)?;
    is_same(
        "sessions",
        &shown("/api/v1/sessions?limit=100", &|one| {
            let cost = one["cost"].as_f64().map_or_else(|| "-".to_owned(), |cost| format!("{cost:?}"));
            format!("{} {} {cost}", word(one, "id"), one["tokens"])
        }),
        &sessions,
    )?;
    is_same(
        "commands",
        &shown("/api/v1/commands?limit=100", &|one| {
            format!("{} {}", word(one, "command_id"), word(one, "state"))
        }),
        &commands,
    )?;
    is_same("nodes", &shown("/api/v1/nodes?x=", &|one| word(one, "id")), &nodes)?;
    Ok(events.len() as u64)
}

fn is_same(what: &str, shown: &[String], held: &[String]) -> Result<(), String> {
    let differs = shown.iter().zip(held).find(|(shown, held)| shown != held);
    match differs {
        None if shown.len() == held.len() => Ok(()),
        _ => Err(format!("{what}: {} shown, {} held; first other: {differs:?}", shown.len(), held.len())),
    }
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
fn a_copy_made_while_the_mirror_lags_far_behind_loses_and_doubles_nothing_when_it_is_restored() {
    const BEHIND: u64 = 30_000;
    let mut world = World::supervised();
    world.until_mirrored();
    // While somebody has the file open, the mirror waits for him.
    let reader = File::open(world.mirror()).unwrap();
    let steady = Steady::begin_and_say(&world, BEHIND);
    steady.until(BEHIND);
    drop(reader);
    let copy = world.path().join("copy.db");
    wait_until("a copy is made in the middle of catching up", PATIENCE, || {
        assert!(Command::new("cp").arg(world.mirror()).arg(&copy).status().unwrap().success());
        let behind = "SELECT (SELECT value FROM _hal_meta WHERE key = 'last_seq') - (SELECT value FROM _hal_meta WHERE \
                      key = 'event_watermark'), (SELECT count(*) FROM events) FROM nodes WHERE id = 'steady'";
        let said = sqlite(&copy, behind).unwrap();
        let of_both =
            said.split_once('|').map(|(behind, has)| (behind.parse().unwrap_or(0), has.parse().unwrap_or(0)));
        if of_both.is_some_and(|(behind, has): (u64, u64)| behind > 1_000 && has > 1_000) {
            Ok(())
        } else {
            Err(said)
        }
    });
    world.end_supervisor();
    assert!(Command::new("cp").arg(&copy).arg(world.mirror()).status().unwrap().success());
    world.start_supervisor();
    world.supervisor().line_with("was restored");
    let said = steady.end();
    are_whole(&world, said).unwrap_or_else(|wrong| panic!("{wrong}"));
}
