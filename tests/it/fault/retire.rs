//! Killed at each sync and each change of a name of one round of what leaves the store: each old row is in the archives
//! once and not in the store, and each other row is in the store. The oracle is what `sqlite3` read before.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::means::skip;
use super::report::{Report, asked};
use super::strace::{self, Trap, trapped_at, was_killed};
use crate::patience::{PATIENCE, wait_until};
use crate::peer::Peer;
use crate::world::{TOKEN, World, text};

/// Old rows and others: four transactions of what is deleted.
const ROWS: u64 = 3_000;

/// Rows that are said at once.
const SAID: u64 = 500;

/// No round needs more.
const MOST: u64 = 200;

/// What the store held, and the folder as it lay there.
struct Before {
    world: World,
    leaving: Vec<u64>,
    staying: Vec<u64>,
}

impl Before {
    fn make() -> Self {
        let mut world = World::supervised();
        world.run(async {
            let (mut peer, _) = Peer::join(&world.url("ws"), TOKEN, "old").await;
            for first in (1..=ROWS).step_by(SAID as usize) {
                peer.say_events(first..=first + SAID - 1).await;
                peer.hear_ack(first + SAID - 1).await;
            }
        });
        world.until_mirrored();
        world.sql(
            "UPDATE events SET timestamp = datetime('now', '-40 days'); \
             UPDATE events SET type = 'peer.kept' WHERE seq % 3 = 0;",
        );
        world.until_sql("SELECT count(*) FROM _hal_oplog", "0");
        world.end_supervisor();
        let seqs = |is: &str| -> Vec<u64> {
            let said = world.sql(&format!("SELECT seq FROM events WHERE type {is} 'peer.tick' ORDER BY seq"));
            said.lines().map(|seq| seq.parse().unwrap()).collect()
        };
        let (leaving, staying) = (seqs("="), seqs("<>"));
        assert!(leaving.len() > 1_500 && staying.len() > 900);
        Self { world, leaving, staying }
    }
}

/// Every archived row's number.
fn archived(folder: &Path) -> BTreeMap<u64, usize> {
    let mut all = BTreeMap::new();
    for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !file.file_name().to_string_lossy().ends_with(".gz") {
            continue;
        }
        let read = Command::new("gzip").arg("-dc").arg(file.path()).output().unwrap();
        assert!(read.status.success(), "{}", text(&read.stderr));
        for line in text(&read.stdout).lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            *all.entry(row["seq"].as_u64().unwrap()).or_default() += 1;
        }
    }
    all
}

/// One round with one trap; true when somebody was killed.
fn play(before: &Before, trap: Trap, is_of_archive: bool, report: &mut Report) -> bool {
    let mut world = World::empty();
    let mut config = world.supervisor_config(0);
    config["retention"] = json!({"types": {"peer.tick": "30d"}});
    let path = world.write("supervisor.json", &config.to_string());
    for name in ["supervisor.redb", "supervisor.db", "supervisor.redb.ballast"] {
        let from = before.world.path().join("supervisor").join(name);
        std::fs::copy(from, world.path().join("supervisor").join(name)).unwrap();
    }
    let plain = |world: &World| world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
    let archive = world.path().join("supervisor/archive");
    let draft = archive.join("events.new");
    let files: &[&Path] = if is_of_archive { &[&archive, &draft] } else { &[] };
    world.start_supervisor_by(trapped_at(&plain(&world), trap, files));
    let mut has_fired = false;
    wait_until(&format!("what is old has left ({trap:?})"), PATIENCE * 2, || {
        if let Some(status) = world.supervisor_mut().ended() {
            assert!(was_killed(status) && !has_fired, "it ended by itself: {status}");
            has_fired = true;
            let again = plain(&world);
            world.start_supervisor_by(again);
        }
        world.supervisor_is_ready()?;
        let path = "/api/v1/events?limit=1&type=peer.tick";
        let reply = world.try_request(reqwest::Method::GET, path, Some(TOKEN), &[], None);
        let left = reply.map_err(|error| error.to_string())?.body["meta"]["total"].clone();
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    });
    // The trap may be waiting at the end, too; the comparison is made without it.
    world.supervisor().signal(Signal::TERM);
    let status = wait_until("it has ended", PATIENCE, || {
        let said = world.supervisor().said();
        world.supervisor_mut().ended().ok_or(said)
    });
    assert!(status.success() || (was_killed(status) && !has_fired), "{status}");
    has_fired |= was_killed(status);
    world.start_supervisor_by(plain(&world));
    world.wait_for_supervisor();
    let (rows, wrong) = (archived(&archive), &mut report.lost);
    let missing = before.leaving.iter().filter(|seq| !rows.contains_key(seq)).count();
    if missing > 0 {
        wrong.push(format!("{trap:?}: {missing} rows are in no archive"));
    }
    let staying: Vec<u64> = world.events("").iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    let gone = before.staying.iter().filter(|seq| !staying.contains(seq)).count();
    if gone > 0 || before.staying.iter().any(|seq| rows.contains_key(seq)) {
        wrong.push(format!("{trap:?}: {gone} rows left that should stay"));
    }
    let twice = rows.values().filter(|times| **times > 1).count();
    if twice > 0 {
        report.twice.push(format!("{trap:?}: {twice} rows are archived twice"));
    }
    report.promised.0 += ROWS;
    has_fired
}

fn play_all(scene: &str, calls: &'static str, step: u64, is_of_archive: bool) {
    if let Some(why) = strace::why_not() {
        return skip(scene, &why);
    }
    let before = Before::make();
    let mut report = Report::of(scene);
    let step = asked("syncs").unwrap_or(step);
    let mut when = 1;
    loop {
        assert!(when < MOST, "{scene}: the round does not get through");
        report.trials += 1;
        if !play(&before, Trap { calls, when }, is_of_archive, &mut report) {
            break;
        }
        report.fired += 1;
        when += step;
    }
    assert!(report.fired > 2, "{scene}: hardly anybody was killed");
    report.conclude();
}

#[test]
fn a_supervisor_killed_at_each_call_on_an_archive() {
    play_all("kill at each call on an archive", "openat,fsync,fdatasync,rename,unlink", 1, true);
}

#[test]
fn a_supervisor_killed_at_each_sync_while_rows_leave() {
    play_all("kill at each sync while rows leave", "fsync,fdatasync", 1, false);
}
