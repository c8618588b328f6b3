//! A true opencode outlives its hal-agent: killed at random in mid-turn, away for too long, stopped in order.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fault::dice::Dice;
use crate::fault::moment::let_go_by;
use crate::fault::report::asked;
use crate::patience::{PATIENCE, wait_until};
use crate::recording::Recording;
use crate::whole::Whole;
use crate::world::World;

/// Kills, unless `HAL_SOAK` names more: `HAL_SOAK=hold=200`.
const KILLS: u64 = 3;

/// The longest moments, in milliseconds, before a kill and before the next start.
const MOMENTS: u64 = 1_800;

fn begin(alone: &str) -> Whole {
    let alone = json!({"alone": alone});
    Whole::begin_with(World::supervised(), json!({"bash": {"*": "ask", "sleep *": "allow"}}), |config, _| {
        config["hold"] = alone
    })
}

impl Whole {
    fn kill_agent(&mut self) {
        self.world.take_agent("web-1").kill();
    }

    fn start_agent(&mut self) {
        self.world.start_agent_again("web-1");
        self.world.wait_for_node("web-1", "online");
    }

    /// The folders of holders.
    fn holders(&self) -> Vec<String> {
        let entries = fs::read_dir(self.world.path().join("web-1/data/hold")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "key").collect()
    }

    /// What opencode has stored is there, once; the rest cannot be had again, and is repaired.
    fn holds_what_was_stored(&self, recording: &Recording) {
        let ids = wait_until("every stored event is kept", PATIENCE, || {
            let events = self.world.events("");
            let ids: Vec<String> =
                events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
            let kept: BTreeSet<String> = ids.iter().cloned().collect();
            let missing: Vec<String> = recording.stored().difference(&kept).cloned().collect();
            if missing.is_empty() { Ok(ids) } else { Err(format!("missing: {missing:?}")) }
        });
        let once: BTreeSet<&String> = ids.iter().collect();
        assert!(once.len() == ids.len() && recording.stored().len() > 10, "some are kept twice");
    }

    fn events_of(&self, id: &str, kind: &str) -> Vec<Value> {
        self.world.events(&format!("session_id={id}&type={kind}"))
    }
}

#[test]
fn killed_at_random_in_mid_turn_the_turn_ends_by_itself_and_its_permission_is_answered() {
    let mut whole = begin("5m");
    let recording = whole.record();
    let servers = whole.home.servers();
    let mut numbers = Dice::new(7);
    for round in 0..asked("hold").unwrap_or(KILLS) {
        let script =
            format!("bash sleep 1.3\nbash echo {round} >> made.txt\nbash sleep 1.3\nsay over {round}");
        let id = whole.start(&script);
        let (before, away) = (numbers.below(MOMENTS), numbers.below(MOMENTS));
        let_go_by(Duration::from_millis(before));
        whole.kill_agent();
        let_go_by(Duration::from_millis(away));
        whole.start_agent();
        whole.wait(&id, "waiting");
        // Once more, while it waits for a person.
        whole.kill_agent();
        whole.start_agent();
        whole.wait(&id, "waiting");
        if round == 0 {
            let now = whole.home.servers();
            assert!(servers.iter().any(|server| now.contains(server)), "it is the same: {servers:?} {now:?}");
        }
        whole.world.ctl_says(&["sessions", "allow", &id]);
        let_go_by(Duration::from_millis(numbers.below(MOMENTS)));
        whole.kill_agent();
        whole.start_agent();
        whole.wait(&id, "idle");
        let logs = whole.world.ctl_says(&["sessions", "logs", &id]);
        assert!(logs.contains(&format!("over {round}")), "round {round}: {before} {away}\n{logs}");
        assert!(whole.events_of(&id, "session.interrupted").is_empty(), "round {round}");
        assert!(whole.world.data("/api/v1/alerts?name=approval.outside").as_array().unwrap().is_empty());
        whole.is_billed(&id);
        let made = fs::read_to_string(whole.home.path("projects/shop/made.txt")).unwrap();
        assert_eq!(made.lines().count() as u64, round + 1, "{made}");
    }
    whole.holds_what_was_stored(&recording);
}

#[test]
fn one_in_which_nothing_runs_is_started_anew_and_a_stop_in_order_leaves_nothing() {
    let mut whole = begin("5m");
    let id = whole.start("say hello");
    whole.wait(&id, "idle");
    let (servers, holders) = (whole.home.servers(), whole.holders());
    assert_eq!((servers.len(), holders.len()), (1, 1));
    whole.kill_agent();
    whole.start_agent();
    wait_until("another opencode is up", PATIENCE, || {
        let (now, held) = (whole.home.servers(), whole.holders());
        let is_so = now.len() == 1 && now != servers && held.len() == 1 && held != holders;
        if is_so { Ok(()) } else { Err(format!("{now:?} {held:?}\n{}", whole.world.agent("web-1").said())) }
    });
    let id = whole.start("bash true && sleep 1000");
    whole.wait(&id, "waiting");
    let (status, said) = whole.world.take_agent("web-1").end_with(Signal::TERM);
    assert!(status.success(), "{status}\n{said}");
    wait_until("nothing is left", PATIENCE, || {
        let left = (whole.home.servers(), whole.holders());
        if left.0.is_empty() && left.1.is_empty() { Ok(()) } else { Err(format!("{left:?}\n{said}")) }
    });
}

#[test]
fn alone_for_too_long_its_turn_is_interrupted_and_it_is_ended_and_that_is_said() {
    let mut whole = begin("2s");
    let id = whole.start("bash sleep 1000");
    let tools = |whole: &Whole| whole.home.processes(|command| command == "sleep 1000");
    wait_until("the tool runs", PATIENCE, || match tools(&whole).len() {
        0 => Err("no process yet".to_owned()),
        _ => Ok(()),
    });
    whole.kill_agent();
    wait_until("all has ended", PATIENCE, || {
        let left = [tools(&whole), whole.home.servers()].concat();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    whole.start_agent();
    whole.wait(&id, "idle");
    let why = wait_until("it is said", PATIENCE, || {
        let stopped = whole.world.events("type=backend.stopped");
        let why = stopped.iter().find_map(|event| event["data"]["reason"].as_str());
        why.map(str::to_owned).ok_or_else(|| whole.world.agent("web-1").said())
    });
    assert!(why.contains("no hal-agent was there for 2 s; its work was interrupted"), "{why}");
    let more = whole.start("say it goes on");
    whole.wait(&more, "idle");
}

#[test]
fn what_was_asked_while_no_agent_was_there_is_done_before_the_turn_ends() {
    let mut whole = begin("5m");
    let id = whole.start("slow 600 50");
    whole.wait(&id, "running");
    let servers = whole.home.servers();
    whole.kill_agent();
    let asking = whole.world.asking(&json!({"type": "abort_session", "session_id": id}));
    whole.start_agent();
    let state = whole.world.run(asking);
    assert_eq!(state, "done", "{}", whole.world.agent("web-1").said());
    whole.wait(&id, "idle");
    let now = whole.home.servers();
    assert!(servers.iter().any(|server| now.contains(server)), "it is the same: {servers:?} {now:?}");
    let (status, said) = whole.world.take_agent("web-1").end_with(Signal::TERM);
    assert!(status.success(), "{status}\n{said}");
}
