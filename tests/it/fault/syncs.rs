//! Killed at each sync, write and change of a name of a fixed scenario, one after the other, until the scenario needs no more of
//! them: start, connect, a session with a few ticks, a prompt, a kill, end. Some of them here, all of them in a soak.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::means::skip;
use super::oracle::NODE;
use super::report::{Report, asked};
use super::strace::{self, Trap, trap_thread, trapped, was_killed};
use crate::patience::{PATIENCE, wait_until};
use crate::program::Program;
use crate::world::{TOKEN, World};

/// Calls, and of how many one is taken, unless `HAL_SOAK=syncs=1` asks for all of them.
const SYNCS: (&str, u64) = ("fdatasync,fsync", 3);
const NAMES: (&str, u64) = ("rename,link,linkat,unlink", 1);
const WRITES: (&str, u64) = ("pwrite64", 29);

/// No scenario needs more of them; one that does not end fails instead of running for ever.
const MOST: u64 = 3_000;

/// Ticks of the scenario's turn, and what it costs in millionths of a dollar.
const TICKS: u64 = 3;
const COST: u64 = 250_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Supervisor,
    Agent,
}

/// When the trap is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// From the first call on, for all threads.
    Start,
    /// Once it is ready, for the thread that stores.
    Ready,
}

#[test]
fn a_supervisor_killed_at_each_sync_of_its_start() {
    play("kill at each sync of the supervisor's start", Victim::Supervisor, Since::Start, SYNCS);
}

#[test]
fn a_supervisor_killed_at_each_sync_of_its_work() {
    play("kill at each sync of the supervisor's work", Victim::Supervisor, Since::Ready, SYNCS);
}

#[test]
fn an_agent_killed_at_each_sync_of_its_start() {
    play("kill at each sync of the agent's start", Victim::Agent, Since::Start, SYNCS);
}

#[test]
fn an_agent_killed_at_each_sync_of_its_work() {
    play("kill at each sync of the agent's work", Victim::Agent, Since::Ready, SYNCS);
}

#[test]
fn both_killed_at_each_change_of_a_name_at_their_start() {
    play("kill at each name of the supervisor's start", Victim::Supervisor, Since::Start, NAMES);
    play("kill at each name of the agent's start", Victim::Agent, Since::Start, NAMES);
}

#[test]
fn a_supervisor_killed_at_each_write() {
    play("kill at each write of the supervisor's start", Victim::Supervisor, Since::Start, WRITES);
    play("kill at each write of the supervisor's work", Victim::Supervisor, Since::Ready, WRITES);
}

#[test]
fn an_agent_killed_at_each_write() {
    play("kill at each write of the agent's start", Victim::Agent, Since::Start, WRITES);
    play("kill at each write of the agent's work", Victim::Agent, Since::Ready, WRITES);
}

fn play(scene: &str, victim: Victim, since: Since, (calls, step): (&'static str, u64)) {
    if let Some(why) = strace::why_not() {
        return skip(scene, &why);
    }
    let mut report = Report::of(scene);
    let step = asked("syncs").unwrap_or(step);
    let mut when = 1;
    loop {
        assert!(when < MOST, "{scene}: the scenario does not get through");
        let mut stage = Stage::new(victim, since, Trap { calls, when });
        stage.play(&mut report);
        report.trials += 1;
        if !stage.has_fired {
            break;
        }
        report.fired += 1;
        when += step;
    }
    assert!(report.fired > 0, "{scene}: nobody was killed");
    report.conclude();
}

/// One world and its victim, which is started again when the trap has killed it.
struct Stage {
    world: World,
    victim: Victim,
    since: Since,
    trap: Trap,
    strace: Option<Program>,
    has_fired: bool,
}

impl Stage {
    fn new(victim: Victim, since: Since, trap: Trap) -> Self {
        Self { world: World::empty(), victim, since, trap, strace: None, has_fired: false }
    }

    fn play(&mut self, report: &mut Report) {
        self.start_supervisor();
        self.start_agent();
        let session = self.insist("first", |_| {
            let words = format!("say effect-first; burst {TICKS}; cost 0.25");
            json!({"type": "create_session", "project": "shop", "args": {"prompt": words}})
        });
        self.rest(&session);
        self.insist("second", |_| {
            json!({"type": "prompt_session", "session_id": session, "args": {"message": "say effect-second"}})
        });
        self.rest(&session);
        self.insist("third", |_| json!({"type": "kill_session", "session_id": session}));
        self.until("the session has ended", |world| state(world, &session, &["ended"]));
        self.until("the journal is told to its end", |world| {
            let journal = get(world, &format!("/api/v1/nodes/{NODE}"))?["journal"].clone();
            if journal["held"] == journal["acknowledged"] { Ok(()) } else { Err(journal.to_string()) }
        });
        self.end_victim();
        self.compare(&session, report);
    }

    fn start_supervisor(&mut self) {
        let plain = self.world.supervisor_command();
        match (self.victim, self.since) {
            (Victim::Supervisor, Since::Start) => {
                self.world.start_supervisor_by(trapped(&plain, self.trap));
            }
            _ => self.world.start_supervisor_by(plain),
        }
        wait_until("the supervisor is ready", PATIENCE, || {
            self.tend();
            self.world.supervisor_is_ready()
        });
        if (self.victim, self.since) == (Victim::Supervisor, Since::Ready) {
            self.strace = Some(trap_thread(self.world.supervisor(), "hub", self.trap));
        }
    }

    fn start_agent(&mut self) {
        let folder = self.world.path().join(NODE);
        std::fs::create_dir_all(folder.join("shop")).expect("the folder is ours");
        std::fs::create_dir_all(folder.join("data")).expect("the folder is ours");
        let config = self.world.agent_config(NODE, "shop");
        self.world.write(&format!("{NODE}.json"), &config.to_string());
        let plain = self.world.agent_command(NODE);
        match (self.victim, self.since) {
            (Victim::Agent, Since::Start) => self.world.start_agent_by(NODE, trapped(&plain, self.trap)),
            _ => self.world.start_agent_by(NODE, plain),
        }
        self.until("the node is online", |world| {
            let node = get(world, &format!("/api/v1/nodes/{NODE}"))?;
            if node["status"] == "online" { Ok(()) } else { Err(node.to_string()) }
        });
        if (self.victim, self.since) == (Victim::Agent, Since::Ready) {
            self.strace = Some(trap_thread(self.world.agent(NODE), "outbox", self.trap));
        }
    }

    /// Starts the victim again when it was killed; it must have been the trap.
    fn tend(&mut self) {
        let ended = match self.victim {
            Victim::Supervisor => self.world.supervisor_mut().ended(),
            Victim::Agent if !self.world.has_agent(NODE) => None,
            Victim::Agent => self.world.agent_mut(NODE).ended(),
        };
        let Some(status) = ended else { return };
        assert!(was_killed(status) && !self.has_fired, "{:?} ended by itself: {status}", self.victim);
        self.has_fired = true;
        match self.victim {
            Victim::Supervisor => self.world.start_supervisor_by(self.world.supervisor_command()),
            Victim::Agent => self.world.start_agent_again(NODE),
        }
    }

    fn until<T>(&mut self, what: &str, look: impl Fn(&World) -> Result<T, String>) -> T {
        wait_until(&format!("{what} ({:?})", self.trap), PATIENCE, || {
            self.tend();
            // A port may only be known again once it is ready.
            self.world.supervisor_is_ready()?;
            look(&self.world)
        })
    }

    /// Asks for something with a key until it is done; gives its output.
    fn insist(&mut self, key: &str, body: impl Fn(&World) -> Value) -> String {
        self.until(&format!("{key} is done"), |world| {
            let mut body = body(world);
            body["timeout"] = json!(1);
            let headers = [("Idempotency-Key", key)];
            let reply =
                world.try_request(Method::POST, "/api/v1/commands", Some(TOKEN), &headers, Some(&body));
            let command = reply.map_err(|error| error.to_string())?.body["data"].take();
            match command["state"].as_str() {
                Some("done") => Ok(command["output"].as_str().unwrap_or_default().to_owned()),
                _ => Err(command.to_string()),
            }
        })
    }

    fn rest(&mut self, session: &str) {
        self.until("the turn is over", |world| state(world, session, &["idle", "error"]));
    }

    /// Ends the victim in order; the trap may be waiting there too.
    fn end_victim(&mut self) {
        match self.victim {
            Victim::Supervisor => self.world.supervisor().signal(Signal::TERM),
            Victim::Agent => self.world.agent(NODE).signal(Signal::TERM),
        }
        let victim = match self.victim {
            Victim::Supervisor => self.world.supervisor_mut(),
            Victim::Agent => self.world.agent_mut(NODE),
        };
        let status = wait_until("the victim has ended", PATIENCE, || victim.ended().ok_or(victim.said()));
        if was_killed(status) {
            assert!(!self.has_fired, "killed twice by one trap");
            self.has_fired = true;
        } else {
            assert!(status.success(), "{status}");
        }
        if self.victim == Victim::Supervisor {
            self.world.start_supervisor();
        }
    }

    fn compare(&self, session: &str, report: &mut Report) {
        let mut wrong = Vec::new();
        let events = self.world.events(&format!("node_id={NODE}"));
        let numbers = events.iter().filter_map(|event| event["node_seq"].as_u64()).filter(|seq| *seq > 0);
        let numbers: Vec<u64> = numbers.collect();
        report.promised.0 += numbers.len() as u64;
        if !numbers.iter().copied().eq(1..=numbers.len() as u64) {
            wrong.push(format!("numbers {numbers:?}"));
        }
        wrong.extend(events.iter().filter(|event| event["type"] == "gap").map(Value::to_string));
        let commands = self.world.pages("/api/v1/commands?limit=1000");
        report.promised.1 += commands.len() as u64;
        let is_final =
            |one: &&Value| ["done", "failed", "expired", "unknown"].iter().any(|s| one["state"] == *s);
        wrong.extend(commands.iter().filter(|one| !is_final(one)).map(Value::to_string));
        let done = commands.iter().filter(|one| one["state"] == "done").count();
        if done != 3 {
            report.twice.push(format!("{:?}: {done} commands are done instead of 3", self.trap));
        }
        for effect in ["effect-first", "effect-second"] {
            let asked = format!("say {effect}");
            let is_it = |event: &&Value| {
                event["data"]["part"]["text"]
                    .as_str()
                    .is_some_and(|text| text.split(';').next() == Some(&asked))
            };
            match events.iter().filter(is_it).count() {
                1 => {}
                0 => wrong.push(format!("{effect} is done and had no effect")),
                more => report.twice.push(format!("{:?}: {effect} had {more} effects", self.trap)),
            }
        }
        let ticks = events.iter().filter(|event| event["type"] == "echo.tick");
        let ticks: Vec<u64> = ticks.filter_map(|event| event["data"]["n"].as_u64()).collect();
        let is_prefix = ticks.iter().copied().eq(1..=ticks.len() as u64);
        let shown = self.world.data(&format!("/api/v1/sessions/{session}"));
        let is_whole = ticks.len() as u64 == TICKS && shown["cost_micros"] == COST;
        if !is_prefix || (self.victim == Victim::Supervisor && !is_whole) {
            wrong.push(format!("ticks {ticks:?} and a cost of {}", shown["cost_micros"]));
        }
        report.lost.extend(wrong.iter().map(|what| format!("{:?}: {what}", self.trap)));
    }
}

fn get(world: &World, path: &str) -> Result<Value, String> {
    let reply = world.try_request(Method::GET, path, Some(TOKEN), &[], None);
    let mut reply = reply.map_err(|error| error.to_string())?;
    if reply.status.is_success() { Ok(reply.body["data"].take()) } else { Err(reply.body.to_string()) }
}

fn state(world: &World, session: &str, states: &[&str]) -> Result<(), String> {
    let session = get(world, &format!("/api/v1/sessions/{session}"))?;
    if states.iter().any(|state| session["status"] == *state) { Ok(()) } else { Err(session.to_string()) }
}
