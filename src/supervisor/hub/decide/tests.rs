//! Tests of the decisions: the promises, one by one, without a disk or a network.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::hub::input::{Closer, From, Greeted, Input, Link, NotAccepted, SubmittedCommand, Timed};
use crate::hub::settings::Settings;
use crate::hub::view::View;
use hal_base::clock::{Reading, Time};
use hal_protocol::command::{Command, CommandId, CommandRequest, CommandState};
use hal_protocol::event::{Event, EventView, raw};
use hal_protocol::frame::{CommandResult, Events, Hello, PROTOCOL, Snapshot, ToAgent};
use hal_protocol::mark::{Attribution, Marks};
use hal_protocol::node::{CameIn, Project};
use hal_protocol::session::{Activity, Session, Status};
use hal_protocol::who::Who;
use hal_rules::command::local_id;
use hal_rules::node::Liveness;
use hal_store::change::RowKind;
use hal_store::hub::Loaded;
use hal_store::kept::{HALT, MARKS};
use hal_store::sqlite::edit::{Edit, EditAction, Edits};

const LIVENESS: Liveness = Liveness { interval: std::time::Duration::from_secs(10), missed: 3 };

/// When a stage begins.
const NOW: i64 = 10_000_000;

/// A hub without a disk: every batch is taken as committed.
struct Stage {
    view: View,
    told: Vec<(NodeId, ToAgent)>,
    closed: Vec<String>,
    events: Vec<EventView>,
    now: i64,
    /// By how much the clock was set.
    jumped: i64,
}

/// Somebody of this name.
fn person(name: &str) -> Who {
    Who { name: name.into(), ..Who::with_token("api", "10.1.2.3") }
}

/// Other settings are in force from now on.
fn settings(settings: Settings) -> Input {
    Input::Settings(Arc::new(Settings { liveness: LIVENESS, ..settings }), oneshot::channel().0)
}

impl Stage {
    fn new() -> Self {
        let loaded = Loaded { store_id: "s".into(), ..Loaded::default() };
        let mut view = View::of(loaded);
        view.take_settings(Arc::new(Settings { liveness: LIVENESS, ..Settings::default() }));
        Self { view, told: Vec::new(), closed: Vec::new(), events: Vec::new(), now: NOW, jumped: 0 }
    }

    fn clock(&self) -> Reading {
        let up = std::time::Duration::from_millis(u64::try_from(self.now - self.jumped).unwrap());
        Reading { at: Time(self.now), up }
    }

    fn play(&mut self, inputs: Vec<Input>) -> Batch {
        let mut work = Work::on(&self.view);
        for input in inputs {
            work.take(Timed { clock: self.clock(), input });
        }
        for effect in work.effects {
            match effect {
                Effect::Attach { reply, greeted, .. } => drop(reply.send(greeted)),
                Effect::Tell(node, frame) => self.told.push((node, frame)),
                Effect::Close(_, reason) => self.closed.push(reason),
                Effect::Answer(reply, answer) => drop(reply.send(answer)),
                Effect::Reply(reply) => reply.send(Ok(())),
                _ => {}
            }
        }
        self.view = work.view;
        self.events.extend(work.batch.events.iter().cloned());
        work.batch
    }

    fn connect(&mut self, incarnation: &str, first_seq: u64, last_seq: u64) -> Greeted {
        self.connect_node("n", incarnation, first_seq, last_seq)
    }

    fn connect_node(&mut self, node: &str, incarnation: &str, first_seq: u64, last_seq: u64) -> Greeted {
        let (reply, mut greeted) = oneshot::channel();
        let link = Link {
            frames: mpsc::channel(8).0,
            close: Closer::default(),
            pulse: Arc::default(),
            came_in: CameIn::default(),
        };
        let project =
            Project { name: "p".into(), directory: "/p".into(), backend: "echo".into(), error: None };
        let hello = Hello {
            protocol: PROTOCOL,
            node_id: node.into(),
            hostname: node.into(),
            version: "1".into(),
            capabilities: Vec::new(),
            incarnation: incarnation.into(),
            first_seq,
            last_seq,
            epoch: self.view.find_node(node).map_or(0, |state| state.record.epoch),
            credit_bytes: 0,
            projects: vec![project],
            backends: Vec::new(),
        };
        self.play(vec![Input::Connect { hello, address: "a".into(), own: None, link, reply }]);
        greeted.try_recv().unwrap()
    }

    /// A node says a heartbeat.
    fn beat(&self, node: &str) {
        self.view.find_node(node).unwrap().link.pulse.hear(None, self.clock());
    }

    fn from(&self) -> From {
        self.link_of("n")
    }

    fn link_of(&self, node: &str) -> From {
        From { node: node.into(), epoch: self.view.find_node(node).unwrap().record.epoch }
    }

    /// One event of a session of a node, at a time.
    fn say(&mut self, node: &str, seq: u64, session: &str, kind: &str, at: i64, data: &Value) {
        let event = Event {
            seq,
            id: format!("{node}-{seq}"),
            kind: kind.into(),
            session_id: Some(session.into()),
            project: Some("p".into()),
            occurred_at: Time(at),
            data: raw(data),
        };
        let from = self.link_of(node);
        self.play(vec![Input::Events {
            from,
            batch: Events { incarnation: "a".into(), events: vec![event] },
        }]);
    }

    fn show(&mut self, node: &str, as_of_seq: u64, sessions: Vec<Session>) {
        let from = self.link_of(node);
        let projects = self.view.find_node(node).unwrap().record.projects.clone();
        let snapshot = Snapshot { as_of_seq, projects, backends: Vec::new(), sessions };
        self.play(vec![Input::Snapshot { from, snapshot }]);
    }

    fn send(&mut self, incarnation: &str, seqs: std::ops::RangeInclusive<u64>) {
        let from = self.from();
        self.play(vec![Input::Events { from, batch: batch(incarnation, seqs) }]);
    }

    fn ask(
        &mut self,
        keys: &[&str],
        verb: &str,
        earlier: Option<(KeyOf, Command)>,
    ) -> Vec<Result<Command, NotAccepted>> {
        let mut answers = Vec::new();
        let inputs = keys.iter().enumerate().map(|(at, key)| {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            let request = CommandRequest {
                verb: verb.into(),
                project: "p".into(),
                idempotency_key: (*key).into(),
                ..CommandRequest::default()
            };
            let earlier = earlier.clone().map(|(key, command)| (key, Some(command)));
            let id = CommandId::new(format!("c{}-{at}", self.now));
            Input::Command(Box::new(SubmittedCommand { request, who: person("me"), id, earlier, reply }))
        });
        let inputs = inputs.collect();
        self.play(inputs);
        answers.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect()
    }
}

type KeyOf = hal_store::command::KeyRecord;

fn batch(incarnation: &str, seqs: std::ops::RangeInclusive<u64>) -> Events {
    let event = |seq| Event {
        seq,
        id: format!("e{seq}"),
        kind: "session.status".into(),
        session_id: Some("s1".into()),
        project: Some("p".into()),
        occurred_at: Time(5),
        data: raw(&json!({"status": {"type": "busy"}})),
    };
    Events { incarnation: incarnation.into(), events: seqs.map(event).collect() }
}

#[test]
fn an_event_that_comes_twice_is_stored_once() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 9).unwrap();
    stage.send("a", 1..=5);
    stage.send("a", 3..=7);
    let numbers: Vec<u64> = stage.events.iter().map(|event| event.node_seq).filter(|seq| *seq > 0).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(stage.view.stored.sessions["s1"].session.events, 7);
    assert_eq!(stage.view.node("n").unwrap().journal.acknowledged, 7);
}

#[test]
fn a_hole_inside_a_link_closes_it_and_keeps_what_came_before() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 9).unwrap();
    stage.send("a", 1..=2);
    stage.send("a", 4..=5);
    assert_eq!(stage.view.node("n").unwrap().journal.acknowledged, 2);
    assert_eq!(stage.closed, ["event 4 came after 2: the numbers between are missing"]);
    assert!(!stage.view.find_node("n").unwrap().link.online);
}

#[test]
fn what_a_journal_no_longer_holds_is_a_recorded_gap() {
    let mut stage = Stage::new();
    let welcome = stage.connect("a", 4, 9).unwrap();
    assert_eq!(welcome.committed_seq, 3);
    let gap = stage.events.iter().find(|event| event.kind == "gap").unwrap();
    assert!(gap.data.get().contains("\"count\":3"), "{}", gap.data);
    assert!(gap.data.get().contains("\"after\":") && gap.data.get().contains("\"before\":"), "{}", gap.data);
}

#[test]
fn an_older_connection_of_a_node_cannot_write() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 9).unwrap();
    let old = stage.from();
    stage.connect("a", 1, 9).unwrap();
    stage.play(vec![Input::Events { from: old.clone(), batch: batch("a", 1..=3) }]);
    assert_eq!(stage.view.node("n").unwrap().journal.acknowledged, 0);
    stage.play(vec![Input::Disconnect { from: old, reason: "late".into() }]);
    assert!(stage.view.find_node("n").unwrap().link.online, "the newer connection stays");
}

#[test]
fn what_an_older_connection_says_changes_nothing() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 9).unwrap();
    stage.send("a", 1..=2);
    let old = stage.from();
    stage.connect("a", 1, 9).unwrap();
    let (before, said) = (stage.view.find_node("n").unwrap().to_state(), stage.told.len());
    let events = || Input::Events { from: old.clone(), batch: batch("a", 3..=5) };
    let snapshot =
        Snapshot { as_of_seq: 9, projects: Vec::new(), backends: Vec::new(), sessions: Vec::new() };
    let batch = stage.play(vec![
        events(),
        Input::Snapshot { from: old.clone(), snapshot },
        Input::FirstWord { from: old.clone() },
        events(),
    ]);
    assert!(batch.is_empty(), "{batch:?}");
    assert_eq!(*stage.view.find_node("n").unwrap().record, before.record);
    assert_eq!(stage.view.stored.sessions["s1"].session.events, 2);
    assert_eq!(stage.told.len(), said, "and it is told nothing");
}

#[test]
fn a_rolled_back_journal_is_told_and_a_new_one_is_taken_beside_it() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 9).unwrap();
    stage.send("a", 1..=9);
    assert_eq!(
        stage.connect("a", 1, 4).unwrap().committed_seq,
        9,
        "so the agent knows that its journal is old"
    );
    assert_eq!(stage.connect("b", 1, 4).unwrap().committed_seq, 0);
    stage.send("b", 1..=4);
    assert_eq!(
        stage.connect("a", 1, 12).unwrap().committed_seq,
        9,
        "the first journal goes on where it stood"
    );
}

#[test]
fn the_same_key_twice_in_one_batch_is_one_command() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 0).unwrap();
    let answers = stage.ask(&["k", "k", ""], "create_session", None);
    let ids: Vec<&str> = answers.iter().map(|answer| answer.as_ref().unwrap().id.as_str()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
    assert_eq!(stage.told.iter().filter(|(_, frame)| matches!(frame, ToAgent::Command(_))).count(), 2);
}

#[test]
fn a_failure_is_no_answer_to_the_next_attempt_but_a_success_is() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 0).unwrap();
    for (state, again) in [(CommandState::Failed, true), (CommandState::Done, false)] {
        stage.now += 1;
        let first = stage.ask(&["k"], "create_session", None).remove(0).unwrap();
        let key = KeyOf { command: first.id.to_string(), meaning: meaning_of("create_session") };
        let from = stage.from();
        let result = CommandResult {
            command_id: None,
            status: String::new(),
            state: Some(state),
            output: "s9".into(),
            error: None,
            stood: None,
        };
        stage.play(vec![Input::CommandResult { from, id: first.id.clone(), result }]);
        stage.now += 1;
        let ended = Command { state, ..first.clone() };
        let second =
            stage.ask(&["k"], "create_session", Some((key.clone(), ended.clone()))).remove(0).unwrap();
        assert_eq!(second.id != first.id, again, "{state:?}");
        let from = stage.from();
        let result = CommandResult {
            command_id: None,
            status: "success".into(),
            state: None,
            output: String::new(),
            error: None,
            stood: None,
        };
        stage.play(vec![Input::CommandResult { from, id: second.id, result }]);
        if !again {
            let other =
                stage.ask(&["k"], "start", Some((KeyOf { meaning: [0; 32], ..key }, ended))).remove(0);
            assert!(matches!(other, Err(NotAccepted::KeyTaken(_))), "{other:?}");
        }
    }
}

fn meaning_of(verb: &str) -> [u8; 32] {
    use sha2::Digest;
    let request = CommandRequest { verb: verb.into(), project: "p".into(), ..CommandRequest::default() };
    sha2::Sha256::digest(hal_rules::command::meaning(&request)).into()
}

#[test]
fn a_command_for_an_absent_node_waits_then_lapses_and_is_never_sent() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 0).unwrap();
    let from = stage.from();
    stage.play(vec![Input::Disconnect { from, reason: "cable".into() }]);
    let command = stage.ask(&[""], "create_session", None).remove(0).unwrap();
    assert_eq!(command.state, CommandState::Queued);
    stage.now += 300_000;
    let batch = stage.play(vec![Input::Tick]);
    assert_eq!(batch.commands[command.id.as_str()].state, CommandState::Expired);
    stage.connect("a", 1, 0).unwrap();
    assert!(stage.told.is_empty(), "{:?}", stage.told);
}

#[test]
fn whoever_asks_for_an_outcome_in_the_batch_that_brings_it_is_not_sent_away_before_the_commit() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 0).unwrap();
    let command = stage.ask(&[""], "create_session", None).remove(0).unwrap();
    let result = CommandResult {
        command_id: Some(command.id.clone()),
        status: "success".into(),
        state: Some(CommandState::Done),
        output: "s1".into(),
        error: None,
        stood: None,
    };
    let (reply, mut ended) = oneshot::channel();
    let mut work = Work::on(&stage.view);
    for input in [
        Input::CommandResult { from: stage.from(), id: command.id.clone(), result },
        Input::Await { id: command.id, reply },
    ] {
        work.take(Timed { clock: stage.clock(), input });
    }
    // Sent away now, it would look at a view and a store that do not know the outcome yet.
    assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Empty));
}

#[test]
fn a_silent_node_goes_offline_and_its_sessions_are_unreachable() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 1).unwrap();
    stage.send("a", 1..=1);
    for later in [30_000, 30_000] {
        stage.now += later;
        stage.play(vec![Input::Tick]);
        assert!(stage.closed.is_empty(), "{:?}", stage.closed);
        stage.beat("n");
    }
    stage.now += 30_001;
    stage.play(vec![Input::Tick]);
    let session = stage.view.session(&"s1".into()).unwrap();
    assert_eq!((session.status, session.last_known), (Status::Unreachable, Some(Status::Running)));
    assert!(stage.closed[0].starts_with("timeout"), "{:?}", stage.closed);
}

#[test]
fn a_picture_older_than_the_events_changes_nothing_that_they_said() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 9).unwrap();
    stage.say("n", 1, "s1", "session.status", 7, &json!({"status": {"type": "busy"}}));
    let busy = stage.view.stored.sessions["s1"].session.clone();
    stage.say("n", 2, "s1", "session.idle", 7, &json!({}));
    stage.show("n", 1, vec![busy.clone()]);
    assert_eq!(stage.view.stored.sessions["s1"].session.activity, Activity::Idle);
    let lost = Session {
        title: "known to the node alone".into(),
        ..stage.view.stored.sessions["s1"].session.clone()
    };
    stage.show("n", 2, vec![lost]);
    assert_eq!(stage.view.stored.sessions["s1"].session.title, "known to the node alone");
    let unseen = Session { id: "s2".into(), ..busy };
    stage.show("n", 1, vec![unseen]);
    assert!(
        stage.view.stored.sessions.contains_key("s2"),
        "of a session without events here any picture is news"
    );
}

#[test]
fn helpers_of_a_copied_machine_belong_to_its_own_sessions() {
    let mut stage = Stage::new();
    for node in ["n", "m"] {
        stage.connect_node(node, "a", 1, 9).unwrap();
        stage.say(node, 1, "s1", "session.created", 1, &json!({"info": {"id": "s1"}}));
        let helper = json!({"info": {"id": "h1", "parentID": "s1", "cost": 1.0}});
        let made = json!({"info": {"id": "h1", "parentID": "s1", "cost": 0}});
        stage.say(node, 2, "h1", "session.created", 2, &made);
        stage.say(node, 3, "h1", "session.updated", 3, &helper);
        stage.say(node, 4, "h1", "session.idle", 4, &json!({}));
    }
    assert_eq!(stage.view.stored.sessions["h1@m"].session.parent_id, Some("s1@m".into()));
    for id in ["s1", "s1@m"] {
        assert_eq!(stage.view.session(&id.into()).unwrap().cost_micros, Some(1_000_000), "{id}");
    }
}

#[test]
fn a_turn_waits_with_its_helpers_and_is_answered_through() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 99).unwrap();
    let mut seq = 0;
    let mut say = |stage: &mut Stage, id: &str, kind: &str, data: Value| {
        seq += 1;
        stage.say("n", seq, id, kind, seq as i64, &data);
    };
    for (id, parent) in [("s", None), ("h", Some("s")), ("deep", Some("h"))] {
        say(&mut stage, id, "session.created", json!({"info": {"id": id, "parentID": parent}}));
        say(&mut stage, id, "session.status", json!({"status": {"type": "busy"}}));
    }
    let status = |stage: &Stage, id: &str| stage.view.session(&id.into()).unwrap().status;
    assert_eq!(status(&stage, "s"), Status::Running);
    let asked = json!({"id": "per_1", "permission": "bash", "metadata": {"command": "make"}});
    say(&mut stage, "deep", "permission.asked", asked);
    for id in ["s", "h", "deep"] {
        assert_eq!(status(&stage, id), Status::Waiting, "{id}");
    }
    let shown = stage.view.session(&"s".into()).unwrap();
    let asks: Vec<_> =
        shown.helper_asks.iter().map(|one| (one.session_id.as_str(), one.ask.what.as_str())).collect();
    assert_eq!((asks, shown.asks.len()), (vec![("deep", "make")], 0));
    let marks = Default::default();
    assert!(stage.view.beside(&stage.view.stored.sessions["s"].session, &marks).helper_waits);
    say(&mut stage, "deep", "permission.replied", json!({"requestID": "per_1", "reply": "once"}));
    assert_eq!(status(&stage, "s"), Status::Running);
    // What a helper of a turn that is over waits for keeps nobody waiting.
    say(&mut stage, "deep", "permission.asked", json!({"id": "per_2", "permission": "bash"}));
    say(&mut stage, "s", "session.idle", json!({}));
    assert_eq!((status(&stage, "s"), status(&stage, "h")), (Status::Idle, Status::Waiting));
}

#[test]
fn a_name_with_an_at_is_no_other_nodes_session() {
    let mut stage = Stage::new();
    for (node, session) in [("n", "s1"), ("n", "s1@m"), ("m", "s1"), ("m", "s1@m")] {
        if !stage.view.stored.nodes.contains_key(node) {
            stage.connect_node(node, "a", 1, 9).unwrap();
        }
        let seq = stage.view.find_node(node).unwrap().record.committed + 1;
        stage.say(node, seq, session, "session.idle", 1, &json!({}));
    }
    assert_eq!(stage.view.stored.sessions.len(), 4);
    for record in stage.view.stored.sessions.values() {
        assert_eq!(record.session.events, 1);
        let local = local_id(&record.session.id, &record.session.node_id);
        assert!(["s1", "s1@m"].contains(&local.as_str()), "{} is {local}", record.session.id);
    }
}

#[test]
fn parents_that_change_or_go_round_are_counted_once() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 99).unwrap();
    let mut seq = 0;
    let mut say = |id: &str, parent: &str| {
        seq += 1;
        let info = json!({"info": {"id": id, "parentID": parent, "cost": 1.0}});
        stage.say("n", seq, id, "session.updated", NOW, &info);
    };
    for at in 0..8 {
        say(&format!("h{at}"), "s");
        say("s", &format!("h{at}"));
    }
    say("t", "s");
    say("t", "u");
    let cost = |id: &str| stage.view.session(&id.into()).unwrap().cost_micros;
    assert_eq!(cost("s"), Some(9_000_000));
    assert_eq!(stage.view.stored.helpers["s"].len(), 8);
}

/// An agent with a copy of a node's journal, from another address: it holds this epoch.
fn hello_of_epoch(stage: &mut Stage, incarnation: &str, last_seq: u64, epoch: u64, address: &str) -> Greeted {
    let (reply, mut greeted) = oneshot::channel();
    let link = Link {
        frames: mpsc::channel(8).0,
        close: Closer::default(),
        pulse: Arc::default(),
        came_in: CameIn::default(),
    };
    let hello = Hello {
        protocol: PROTOCOL,
        node_id: "n".into(),
        hostname: "n".into(),
        version: "1".into(),
        capabilities: Vec::new(),
        incarnation: incarnation.into(),
        first_seq: last_seq.min(1),
        last_seq,
        epoch,
        credit_bytes: 0,
        projects: Vec::new(),
        backends: Vec::new(),
    };
    stage.play(vec![Input::Connect { hello, address: address.into(), own: None, link, reply }]);
    greeted.try_recv().unwrap()
}

fn kinds(stage: &Stage, kind: &str) -> Vec<Value> {
    let found = stage.events.iter().filter(|event| event.kind == kind);
    found.map(|event| serde_json::from_str(event.data.get()).unwrap()).collect()
}

#[test]
fn a_copied_identity_is_refused_while_its_successor_writes_and_begins_anew_afterwards() {
    let mut stage = Stage::new();
    let first = hello_of_epoch(&mut stage, "a", 9, 0, "10.0.0.1:1").unwrap();
    stage.send("a", 1..=5);
    // The copy, made now, holds the same epoch: it takes over.
    let second = hello_of_epoch(&mut stage, "a", 9, first.epoch, "10.0.0.2:1").unwrap();
    stage.send("a", 6..=9);
    for port in 2..5 {
        let address = format!("10.0.0.1:{port}");
        let refused = hello_of_epoch(&mut stage, "a", 12, first.epoch, &address).unwrap_err();
        assert!(refused.contains("10.0.0.2:1") && refused.contains(&address), "{refused}");
    }
    let cloned = kinds(&stage, "node.cloned");
    assert_eq!(cloned.len(), 1, "said once: {cloned:?}");
    let alert = kinds(&stage, "alert.raised");
    let text = alert[0]["text"].as_str().unwrap();
    assert!(alert.len() == 1 && text.contains("10.0.0.1:2") && text.contains("10.0.0.2:1"), "{alert:?}");
    let from = stage.from();
    stage.play(vec![Input::Disconnect { from, reason: "ended".into() }]);
    let back = hello_of_epoch(&mut stage, "a", 12, first.epoch, "10.0.0.1:9").unwrap();
    assert!(back.begin_anew && back.epoch > second.epoch, "{back:?}");
    assert_eq!(back.committed_seq, 5, "up to there both had the same events");
    let anew = hello_of_epoch(&mut stage, "b", 8, back.epoch, "10.0.0.1:9").unwrap();
    assert_eq!((anew.begin_anew, anew.committed_seq), (false, 0));
}

#[test]
fn an_agent_that_was_never_heard_of_after_its_welcome_takes_nobodys_place() {
    let mut stage = Stage::new();
    let first = hello_of_epoch(&mut stage, "a", 9, 0, "10.0.0.1:1").unwrap();
    stage.send("a", 1..=5);
    // It dies before it has stored the epoch, and comes again as it was.
    let lost = hello_of_epoch(&mut stage, "a", 9, first.epoch, "10.0.0.1:2").unwrap();
    let again = hello_of_epoch(&mut stage, "a", 9, first.epoch, "10.0.0.1:3").unwrap();
    assert!(again.epoch > lost.epoch && !again.begin_anew, "{again:?}");
    assert_eq!(again.committed_seq, 5);
}

#[test]
fn a_supervisor_that_was_restored_gives_a_newer_epoch_than_the_agent_holds() {
    let mut stage = Stage::new();
    assert_eq!(hello_of_epoch(&mut stage, "a", 9, 41, "10.0.0.1:1").unwrap().epoch, 42);
}

#[test]
fn what_is_missing_is_counted_apart_from_what_is_committed() {
    let mut stage = Stage::new();
    stage.connect("a", 4, 9).unwrap();
    stage.send("a", 4..=7);
    let journal = stage.view.node("n").unwrap().journal;
    assert_eq!((journal.acknowledged, journal.given_up, journal.missing, journal.lag), (7, 3, 0, 2));
    let mut state = stage.view.find_node("n").unwrap().to_state();
    state.record.stored -= 1;
    stage.view.put_node(state);
    assert_eq!(stage.view.node("n").unwrap().journal.missing, 1);
}

#[test]
fn a_cancelled_command_that_nobody_was_told_of_ends_and_another_is_left_to_its_node() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 0).unwrap();
    let sent = stage.ask(&[""], "create_session", None).remove(0).unwrap();
    let from = stage.from();
    stage.play(vec![Input::Disconnect { from, reason: "cable".into() }]);
    stage.now += 1;
    let queued = stage.ask(&[""], "create_session", None).remove(0).unwrap();
    let mut cancel = |id: &CommandId| {
        let (reply, mut answer) = oneshot::channel();
        stage.play(vec![Input::Cancel { id: id.clone(), who: person("eve"), reply }]);
        answer.try_recv().unwrap()
    };
    let ended = cancel(&queued.id).unwrap();
    assert_eq!(ended.state, CommandState::Failed);
    assert!(ended.error.unwrap().contains("cancelled by eve"));
    assert!(matches!(cancel(&queued.id), Err(NotAccepted::NotOpen(_))));
    assert_eq!(cancel(&sent.id).unwrap().state, CommandState::Sent);
    stage.told.clear();
    stage.connect("a", 1, 0).unwrap();
    let [(_, ToAgent::Command(frame))] = stage.told.as_slice() else { panic!("{:?}", stage.told) };
    assert_eq!((&frame.command_id, frame.ttl_ms), (&sent.id, 0), "its time is over");
}

#[test]
fn commands_wait_for_the_credit_of_their_node_and_keep_their_order() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 0).unwrap();
    let mut state = stage.view.find_node("n").unwrap().to_state();
    state.link.command_credit = 600;
    stage.view.put_node(state);
    let asked = stage.ask(&["", "", "", ""], "create_session", None);
    let ids: Vec<CommandId> = asked.iter().map(|one| one.as_ref().unwrap().id.clone()).collect();
    let told = |stage: &Stage| -> Vec<CommandId> {
        let commands = stage.told.iter().filter_map(|(_, frame)| match frame {
            ToAgent::Command(frame) => Some(frame.command_id.clone()),
            _ => None,
        });
        commands.collect()
    };
    assert_eq!(told(&stage), ids[..2]);
    for at in 0..2 {
        let from = stage.from();
        let ack = hal_protocol::frame::CommandAck { command_id: ids[at].clone() };
        stage.play(vec![Input::CommandAck { from, ack }]);
        assert_eq!(told(&stage), ids[..at + 3]);
    }
}

#[test]
fn a_clock_that_is_set_takes_nobodys_time() {
    for by in [3_600_000, -3_600_000] {
        let mut stage = Stage::new();
        stage.connect("a", 1, 0).unwrap();
        let from = stage.from();
        stage.play(vec![Input::Disconnect { from, reason: "cable".into() }]);
        let command = stage.ask(&[""], "create_session", None).remove(0).unwrap();
        stage.connect_node("other", "b", 1, 0).unwrap();
        let heard = |stage: &Stage, node| stage.view.find_node(node).unwrap().link.vitals().heard;
        let before = ["n", "other"].map(|node| heard(&stage, node));
        (stage.now, stage.jumped) = (stage.now + by, by);
        stage.play(vec![Input::Tick]);
        let moved = ["n", "other"].map(|node| heard(&stage, node));
        assert_eq!(moved, before.map(|at| Time(at.0 + by)), "they are as long silent as before");
        assert!(stage.view.find_node("other").unwrap().link.online, "by {by}");
        assert_eq!(kinds(&stage, "clock.jumped"), [json!({"by_ms": by})]);
        let open = stage.view.stored.commands.get(&command.id).map(|open| open.expires_at);
        assert_eq!(open, Some(Time(command.expires_at.0 + by)), "by {by}");
        let times: Vec<Time> = stage.events.iter().map(|event| event.timestamp).collect();
        assert!(times.is_sorted(), "by {by}");
    }
}

#[test]
fn what_a_lost_journal_may_have_done_is_not_asked_for_again() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 9).unwrap();
    let sent = stage.ask(&[""], "create_session", None).remove(0).unwrap();
    let from = stage.from();
    stage.play(vec![Input::Disconnect { from, reason: "cable".into() }]);
    stage.now += 1;
    let queued = stage.ask(&[""], "create_session", None).remove(0).unwrap();
    stage.told.clear();
    stage.connect("b", 0, 0).unwrap();
    assert!(!stage.view.stored.commands.contains_key(&sent.id), "it may have been done");
    let told: Vec<&CommandId> = stage
        .told
        .iter()
        .filter_map(|(_, frame)| match frame {
            ToAgent::Command(frame) => Some(&frame.command_id),
            _ => None,
        })
        .collect();
    assert_eq!(told, [&queued.id], "it was never told of this one");
}

#[test]
fn a_session_that_is_heard_of_again_right_after_it_was_deleted_is_stored() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 0).unwrap();
    stage.say("n", 1, "s", "x", 1, &json!({}));
    let (reply, _) = oneshot::channel();
    let gone = Edit { kind: RowKind::Session, key: "s".into(), action: EditAction::Drop };
    let event = Event {
        seq: 2,
        id: "n-2".into(),
        kind: "x".into(),
        session_id: Some("s".into()),
        project: Some("p".into()),
        occurred_at: Time(2),
        data: raw(&json!({})),
    };
    let from = stage.link_of("n");
    let heard = Input::Events { from, batch: Events { incarnation: "a".into(), events: vec![event] } };
    let batch = stage.play(vec![Input::Edits { edits: Edits { list: vec![gone], done: 1 }, reply }, heard]);
    assert!(stage.view.stored.sessions.contains_key("s") && batch.sessions.contains_key("s"));
    assert!(batch.edits.gone.is_empty(), "else the row is removed after it was written");
}

#[test]
fn a_damaged_row_that_is_in_memory_is_written_as_it_is_there() {
    let mut stage = Stage::new();
    let _greeted = stage.connect("a", 0, 0);
    let edit = |kind, key: &str| Edit { kind, key: key.into(), action: EditAction::Put(Vec::new()) };
    let list = vec![edit(RowKind::Node, "n"), edit(RowKind::Cost, "c"), edit(RowKind::Session, "unknown")];
    let batch = stage.play(vec![Input::Move { by: "scrub", list, reply: oneshot::channel().0 }]);
    assert_eq!(batch.nodes["n"], *stage.view.find_node("n").unwrap().record);
    assert_eq!(batch.moved.list, [edit(RowKind::Cost, "c")]);
    assert!(batch.sessions.is_empty());
}

#[test]
fn what_is_kept_is_found_by_its_kind_and_an_operator_may_edit_it() {
    let mut stage = Stage::new();
    let mut work = Work::on(&stage.view);
    let said = |by: &str| Attribution { by: by.into(), at: Time(1) };
    work.put_kept(HALT, "shop", &said("ada"), Time(1));
    work.put_kept(HALT, "site", &said("bob"), Time(1));
    work.put_kept(MARKS, "x", &Marks { paused: Some(said("ada")), ..Marks::default() }, Time(1));
    assert_eq!(work.batch.state.len(), 3);
    stage.view = work.view;
    let halts = |stage: &Stage| -> Vec<(String, Attribution)> {
        stage.view.all_kept(HALT).map(|(key, said)| (key.to_owned(), Attribution::clone(said))).collect()
    };
    assert_eq!(halts(&stage), [("shop".into(), said("ada")), ("site".into(), said("bob"))]);
    assert_eq!(stage.view.kept(HALT, "site"), Some(said("bob")));
    let edit = |key: &str, action| Edit { kind: RowKind::State, key: key.into(), action };
    let set = |data: &str| EditAction::Set(vec![("data".into(), data.to_owned().into())]);
    let eve = r#"{"by":"eve","at":"1970-01-01T00:00:00.001Z"}"#;
    let list = vec![
        edit("halt/site", EditAction::Drop),
        edit("halt/shop", set(eve)),
        edit("session.marks/x", set("no JSON")),
    ];
    let reply = oneshot::channel().0;
    let batch = stage.play(vec![Input::Edits { edits: Edits { list, done: 3 }, reply }]);
    assert!(batch.state["halt/site"].is_none());
    assert_eq!(batch.state["halt/shop"].as_ref().unwrap().record().data, eve);
    assert!(!batch.state.contains_key("session.marks/x"), "it makes no sense");
    assert_eq!(halts(&stage), [("shop".into(), said("eve"))]);
}

mod day;
mod escalation;
mod money;
mod stop;
mod unreadable;
