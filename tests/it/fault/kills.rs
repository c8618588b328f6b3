//! Killed at random moments under load, the supervisor, the agent, or both: nothing promised is lost, nothing is done
//! twice.

use std::path::Path;
use std::time::Duration;

use hal_o_swarm::base::clock;
use hal_o_swarm::store::journal::{Bounds, Journal};

use super::dice::Dice;
use super::ledger::{Ledger, Line};
use super::load::{Load, PEER};
use super::moment::let_go_by;
use super::oracle::{self, NODE};
use super::report::{Report, asked};
use crate::world::World;

/// Kills of one scene, unless `HAL_SOAK` names more: `HAL_SOAK=kills=1000` for all three together.
const KILLS: u64 = 20;

/// Kills in one world, until it is healed and compared.
const KILLS_OF_A_WORLD: u64 = 20;

/// The first seed, unless `HAL_SOAK=seed=..` names another: a failure can be played again, as far as time allows.
const SEED: u64 = 1;

/// Milliseconds that a program may live between two kills at most.
const LIFE: u64 = 250;

/// Milliseconds after its start within which one in four is killed again.
const CHILDHOOD: u64 = 120;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Supervisor,
    Agent,
    Both,
}

#[test]
fn a_supervisor_killed_at_random_moments() {
    play("kill -9 of the supervisor at random", Victim::Supervisor);
}

#[test]
fn an_agent_killed_at_random_moments() {
    play("kill -9 of the agent at random", Victim::Agent);
}

#[test]
fn both_killed_at_random_moments() {
    play("kill -9 of both at random", Victim::Both);
}

fn play(scene: &str, victim: Victim) {
    let kills = asked("kills").map_or(KILLS, |all| all.div_ceil(3));
    let first = asked("seed").unwrap_or(SEED);
    let mut report = Report::of(scene);
    for seed in first.. {
        if report.fired >= kills {
            break;
        }
        println!("{scene}: seed {seed}");
        let left = kills - report.fired;
        report.add(round(victim, seed, left.min(KILLS_OF_A_WORLD)));
        if !report.lost.is_empty() || !report.twice.is_empty() {
            break;
        }
    }
    report.conclude();
}

/// One world, killed so many times, healed and compared.
fn round(victim: Victim, seed: u64, kills: u64) -> Report {
    let mut stage = Stage::new(seed);
    let load = Load::begin(&stage.world, &stage.ledger);
    stage.world.wait_for_node(PEER, "online");
    while stage.report.fired < kills {
        stage.report.trials += 1;
        let_go_by(Duration::from_millis(stage.dice.below(LIFE)));
        stage.look();
        match victim {
            Victim::Supervisor => stage.kill_supervisor(),
            Victim::Agent => stage.kill_agent(),
            // One after the other, in either order, or one alone.
            Victim::Both => {
                for _ in 0..2 {
                    match stage.dice.below(2) {
                        0 => stage.kill_supervisor(),
                        _ => stage.kill_agent(),
                    }
                }
            }
        }
    }
    let spoken = load.end();
    oracle::settled(&stage.world);
    let told = stage.ledger.told();
    let agent_lived = victim == Victim::Supervisor;
    oracle::compare(&stage.world, &told, &spoken, agent_lived, &mut stage.report);
    assert!(told.acknowledged > 0 && !told.commands.is_empty(), "nothing went on while programs were killed");
    stage.report
}

struct Stage {
    world: World,
    ledger: Ledger,
    dice: Dice,
    report: Report,
    /// The last event of the node that the API has shown.
    shown: u64,
    /// The last event of the node that was seen in its journal.
    journaled: u64,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let world = World::with_node();
        let ledger = Ledger::begin(&world.path().join("ledger"));
        let (dice, report) = (Dice::new(seed), Report::default());
        Self { world, ledger, dice, report, shown: 0, journaled: 0 }
    }

    /// Notes more of what the API shows; not all of it, as there is always more.
    fn look(&mut self) {
        let shown = self.shown;
        let page =
            self.world.data(&format!("/api/v1/events?order=asc&limit=1000&node_id={NODE}&cursor={shown}"));
        let new = page.as_array().expect("a page is a list");
        let number = |event: &serde_json::Value, key: &str| event[key].as_u64().unwrap_or_default();
        let line = |event: &serde_json::Value| {
            let id = event["id"].as_str().unwrap_or_default().to_owned();
            Line::Shown(number(event, "seq"), number(event, "node_seq"), id)
        };
        self.ledger.note(&new.iter().map(line).collect::<Vec<_>>());
        self.shown = new.last().map_or(self.shown, |event| number(event, "seq"));
    }

    /// One in four times: soon after its start again.
    fn is_killed_young(&mut self) -> bool {
        let again = self.dice.below(4) == 0;
        if again {
            let_go_by(Duration::from_millis(self.dice.below(CHILDHOOD)));
        }
        again
    }

    fn kill_supervisor(&mut self) {
        self.world.kill_supervisor();
        self.report.fired += 1;
        while {
            self.world.start_supervisor_by(self.world.supervisor_command());
            self.is_killed_young()
        } {
            self.world.kill_supervisor();
            self.report.fired += 1;
        }
        self.world.wait_for_supervisor();
    }

    fn kill_agent(&mut self) {
        self.world.take_agent(NODE).kill();
        self.report.fired += 1;
        self.read_journal();
        self.world.start_agent_again(NODE);
        while self.is_killed_young() {
            self.world.take_agent(NODE).kill();
            self.report.fired += 1;
            self.read_journal();
            self.world.start_agent_again(NODE);
        }
        // Else it may be killed before it ever was there; not too often, so that something goes on.
        if self.dice.below(4) > 0 {
            self.world.wait_for_node(NODE, "online");
        }
    }

    /// Notes what a killed agent has left: a copy of its journal is opened, as its next start will do.
    fn read_journal(&mut self) {
        let copy = self.world.path().join("copy");
        let _ = std::fs::remove_dir_all(&copy);
        std::fs::create_dir(&copy).expect("the folder is ours");
        let journal = self.world.path().join(NODE).join("data/agent.redb");
        std::fs::copy(&journal, copy.join("agent.redb")).expect("the agent has a journal");
        let lines: Vec<Line> = held_after(&copy, self.journaled)
            .into_iter()
            .map(|(seq, id)| {
                self.journaled = seq;
                Line::Journaled(seq, id)
            })
            .collect();
        self.ledger.note(&lines);
    }
}

fn held_after(folder: &Path, seq: u64) -> Vec<(u64, String)> {
    let bounds = Bounds { keep: Duration::from_secs(3600), keep_bytes: 1 << 30, hard_bytes: 1 << 31 };
    let (journal, _writer, aside) = Journal::open(folder, bounds, clock::now()).expect("it opens");
    assert!(aside.is_none(), "a kill has damaged the journal: {aside:?}");
    let events = journal.batch_after(seq, usize::MAX, usize::MAX).expect("it can be read");
    events.into_iter().map(|event| (event.seq, event.id)).collect()
}
