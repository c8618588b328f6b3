//! kill -9 while both are kept in step: no wrong file is taken for the truth, no event is lost, and what an operator did
//! counts once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::stage::sqlite;
use super::steady::{Steady, are_whole};
use crate::fault::dice::Dice;
use crate::fault::moment::let_go_by;
use crate::fault::report::asked;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// Kills, unless `HAL_SOAK` names more: `HAL_SOAK=mirror_kills=300`.
const KILLS: u64 = 10;

/// Kills in one world, until it is compared.
const KILLS_OF_A_WORLD: u64 = 20;

/// After every third kill an older copy is put in place.
const RESTORE: u64 = 3;

/// Milliseconds that a supervisor lives at most: a window comes every 400.
const LIFE: u64 = 900;

/// Between two of the operator's edits.
const TYPING: Duration = Duration::from_millis(60);

/// What all worlds came to.
#[derive(Default)]
struct Tally {
    kills: u64,
    /// Kills that left a log beside the mirror.
    with_log: u64,
    restored: u64,
    events: u64,
    edits: u64,
    wrong: Vec<String>,
}

#[test]
fn killed_at_random_while_it_is_kept_in_step_and_before_a_copy_is_put_in_place() {
    let kills = asked("mirror_kills").unwrap_or(KILLS);
    let mut tally = Tally::default();
    for seed in asked("seed").unwrap_or(1).. {
        if tally.kills >= kills || !tally.wrong.is_empty() {
            break;
        }
        println!("seed {seed}");
        round(seed, (kills - tally.kills).min(KILLS_OF_A_WORLD), &mut tally);
    }
    println!(
        "kill -9 while mirroring: {} kills, {} left a log, {} copies put in place, {} events, {} edits: {} wrong; at most \
         {:.2} % at 95 %",
        tally.kills,
        tally.with_log,
        tally.restored,
        tally.events,
        tally.edits,
        tally.wrong.len(),
        300.0 / tally.kills as f64
    );
    assert!(tally.with_log > 0 || tally.kills < 20, "no kill fell into a window");
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n"));
}

/// One world: killed so often, then compared.
fn round(seed: u64, kills: u64, tally: &mut Tally) {
    let mut dice = Dice::new(seed);
    let mut world = World::supervised();
    let steady = Steady::begin(&world);
    steady.until_more(500);
    world.until_mirrored_upto_now();
    let operator = Operator::default();
    let mirror = world.mirror();
    let backup = world.path().join("backup.db");
    std::thread::scope(|scope| {
        scope.spawn(|| operator.note_on(&mirror));
        for number in 1..=kills {
            let is_restore = number % RESTORE == 0;
            if is_restore {
                cp(&mirror, &backup);
                steady.until_more(300);
                world.until_mirrored_upto_now();
            }
            let_go_by(Duration::from_millis(dice.below(LIFE)));
            // He is asked to stop first where the file is changed under him: that would be his own mistake.
            let mut known = is_restore.then(|| operator.hands_off());
            world.kill_supervisor();
            tally.kills += 1;
            tally.with_log += u64::from(log_of(&mirror).is_some_and(|bytes| bytes > 0));
            if let Some(known) = &mut known {
                cp(&backup, &mirror);
                tally.restored += 1;
                // What went in since the copy was made is undone by restoring it.
                let held = numbers(&sqlite_alone(&backup, NOTES));
                known.0.retain(|n| held.contains(n));
            }
            world.start_supervisor();
            let highest = operator.next.load(Ordering::SeqCst);
            println!("kill {number}, restored {is_restore}: notes below {highest}");
            drop(known);
            let log = world.supervisor().said();
            let wrong = ["malformed", "has lost rows", "is damaged", "is empty"]
                .iter()
                .find(|word| log.contains(**word));
            if log.contains("was restored") != is_restore || wrong.is_some() {
                tally.wrong.push(format!("seed {seed}, kill {number}, restored {is_restore}: {log}"));
            }
        }
        operator.ended.store(true, Ordering::SeqCst);
    });
    let said = steady.end();
    tally.events += said;
    tally.edits += operator.sure().len() as u64;
    if let Err(wrong) =
        are_whole(&world, said).and_then(|_| operator.are_once(&world)).and_then(|()| agree(&mut world))
    {
        tally.wrong.push(format!("seed {seed}: {wrong}"));
    }
}

/// At the end both agree, by the program's own check and by the pages of the file.
fn agree(world: &mut World) -> Result<(), String> {
    world.until_mirrored();
    let pages = sqlite(&world.mirror(), "PRAGMA integrity_check")?;
    world.end_supervisor();
    let (code, said) = world.store_does(&["check"]);
    if pages == "ok" && code == 0 && said.contains("both agree") {
        Ok(())
    } else {
        Err(format!("{pages} {said}"))
    }
}

fn cp(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// Asks a copy without leaving anything beside it.
fn sqlite_alone(copy: &Path, statement: &str) -> String {
    sqlite(&PathBuf::from(format!("file:{}?immutable=1", copy.display())), statement).unwrap()
}

fn log_of(mirror: &Path) -> Option<u64> {
    let log: PathBuf = mirror.with_extension("db-wal");
    fs::metadata(log).ok().map(|log| log.len())
}

/// Somebody who inserts notes with `sqlite3`, whether the supervisor is up or not, and remembers each that went in.
#[derive(Default)]
struct Operator {
    ended: AtomicBool,
    next: AtomicU64,
    /// Held while he types: the numbers that `sqlite3` took, and those it did not take for certain.
    hands: std::sync::Mutex<(BTreeSet<u64>, BTreeSet<u64>)>,
}

impl Operator {
    fn note_on(&self, mirror: &Path) {
        while !self.ended.load(Ordering::SeqCst) {
            let mut known = self.hands_off();
            let n = self.next.fetch_add(1, Ordering::SeqCst);
            let note = format!(
                "INSERT INTO events (type, node_id, data) VALUES ('note', 'operator', json_object('n', {n}))"
            );
            match sqlite(mirror, &note) {
                Ok(_) => known.0.insert(n),
                Err(_) => known.1.insert(n),
            };
            drop(known);
            std::thread::park_timeout(TYPING);
        }
    }

    fn hands_off(&self) -> std::sync::MutexGuard<'_, (BTreeSet<u64>, BTreeSet<u64>)> {
        self.hands.lock().unwrap()
    }

    fn sure(&self) -> BTreeSet<u64> {
        self.hands_off().0.clone()
    }

    /// Each that went in is there once, in both, and no other but those that may have.
    fn are_once(&self, world: &World) -> Result<(), String> {
        let known = self.hands_off();
        let once = wait_until("what he did last is stored", PATIENCE, || {
            let once: BTreeSet<u64> = noted(world).into_iter().collect();
            let lost: Vec<_> = known.0.difference(&once).collect();
            if lost.is_empty() { Ok(once) } else { Err(format!("{lost:?} are lost")) }
        });
        let strange: Vec<_> = once.iter().filter(|n| !known.0.contains(n) && !known.1.contains(n)).collect();
        let twice = noted(world).len() - once.len();
        if twice > 0 || !strange.is_empty() {
            return Err(format!("{} notes, {twice} of them twice, undone and there {strange:?}", once.len()));
        }
        wait_until("the notes are in the mirror", PATIENCE, || {
            let held = sqlite(&world.mirror(), NOTES)?;
            if numbers(&held) == once && held.lines().count() == once.len() { Ok(()) } else { Err(held) }
        });
        Ok(())
    }
}

fn noted(world: &World) -> Vec<u64> {
    world.events("type=note").iter().filter_map(|note| note["data"]["n"].as_u64()).collect()
}

const NOTES: &str = "SELECT json_extract(data, '$.n') FROM events WHERE type = 'note'";

fn numbers(said: &str) -> BTreeSet<u64> {
    said.lines().filter_map(|line| line.parse().ok()).collect()
}

#[test]
fn a_great_delete_that_a_kill_interrupts_is_done_after_the_start() {
    let mut world = World::supervised();
    let steady = Steady::begin_and_say(&world, 30_000);
    steady.until(30_000);
    let said = steady.end();
    world.until_mirrored();
    world.sql("DELETE FROM events WHERE type = 'peer.tick'");
    let left = wait_until("some of it is deleted", PATIENCE, || match world.count_events("type=peer.tick") {
        some if some < said => Ok(some),
        all => Err(all.to_string()),
    });
    world.kill_supervisor();
    assert!(left > 0, "the kill came too late");
    world.start_supervisor();
    world.until_events("type=peer.tick", 0);
    let log = world.supervisor().said();
    assert!(!log.contains("has lost rows"), "{log}");
}
