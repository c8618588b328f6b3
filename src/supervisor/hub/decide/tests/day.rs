//! A scripted day of two hundred sessions: each policy acts once on each situation, and on no session that waits, is
//! paused, has ended or cannot be reached; a supervisor that is started anew at noon acts on nothing twice; and the
//! replay of what was recorded decides the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::*;
use hal_rules::policy::Name;
use hal_rules::policy::replay::{Replay, Would};
use hal_rules::policy::settings::{Policies, Scope};
use hal_store::kept::{HANDOVER, Kept, MARKS};
use hal_store::tail::Tail;

const SESSIONS: usize = 200;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// How often the clock edge comes.
const EDGE: i64 = 5_000;

/// What stands in the way of the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Free,
    Waiting,
    Paused,
    Ended,
    Unreachable,
}

const WAYS: [Way; 5] = [Way::Free, Way::Waiting, Way::Paused, Way::Ended, Way::Unreachable];

/// What was done, by what the nodes were told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Done {
    session: String,
    verb: String,
}

struct Day {
    stage: Stage,
    seqs: HashMap<&'static str, u64>,
    done: Vec<Done>,
    restarts: usize,
}

fn name_of(no: usize) -> Name {
    Name::ALL[no % Name::ALL.len()]
}

fn way_of(no: usize) -> Way {
    WAYS[(no / Name::ALL.len()) % WAYS.len()]
}

fn node_of(no: usize) -> &'static str {
    if way_of(no) == Way::Unreachable { "away" } else { "here" }
}

fn id_of(no: usize) -> String {
    format!("ses_{no:03}")
}

/// Each policy is for the project of its own name.
fn policies() -> Policies {
    let mut policies = Policies { check_interval_seconds: 1, ..Policies::default() };
    for rule in &mut policies.rules {
        rule.enabled = true;
        rule.scope = Scope { projects: vec![rule.name.as_str().to_owned()], ..Scope::default() };
        if rule.name == Name::SessionTimeout {
            rule.limits.idle_seconds = 3600;
        }
    }
    policies
}

impl Day {
    fn new() -> Self {
        let mut stage = Stage::new();
        stage.play(vec![settings(Settings { policies: policies(), ..Settings::default() })]);
        let mut day = Self { stage, seqs: HashMap::new(), done: Vec::new(), restarts: 0 };
        day.connect("here");
        day.connect("away");
        day
    }

    fn connect(&mut self, node: &'static str) {
        let (reply, mut greeted) = oneshot::channel();
        let link = Link {
            frames: mpsc::channel(8).0,
            close: Closer::default(),
            pulse: Arc::default(),
            came_in: CameIn::default(),
        };
        let projects = Name::ALL.map(|name| Project {
            name: name.as_str().into(),
            directory: format!("/{}", name.as_str()),
            backend: "echo".into(),
            error: None,
        });
        let hello = Hello {
            protocol: PROTOCOL,
            node_id: node.into(),
            hostname: node.into(),
            version: "1".into(),
            capabilities: Vec::new(),
            incarnation: "a".into(),
            first_seq: 1,
            last_seq: *self.seqs.entry(node).or_default(),
            epoch: self.stage.view.find_node(node).map_or(0, |state| state.record.epoch),
            credit_bytes: 0,
            projects: projects.to_vec(),
            backends: Vec::new(),
        };
        self.stage.play(vec![Input::Connect { hello, address: "a".into(), own: None, link, reply }]);
        greeted.try_recv().unwrap().unwrap();
    }

    /// Events of a session, all at once.
    fn say(&mut self, no: usize, list: &[(&str, Value)]) {
        let (node, project) = (node_of(no), name_of(no).as_str());
        self.say_as(node, project, &id_of(no), list);
    }

    fn say_as(&mut self, node: &'static str, project: &str, session: &str, list: &[(&str, Value)]) {
        let seq = self.seqs.entry(node).or_default();
        let now = self.stage.now;
        let mut event = |(kind, data): &(&str, Value)| {
            *seq += 1;
            Event {
                seq: *seq,
                id: format!("{node}-{seq}"),
                kind: (*kind).into(),
                session_id: Some(session.into()),
                project: Some(project.into()),
                occurred_at: Time(now),
                data: raw(data),
            }
        };
        let events = list.iter().map(&mut event).collect();
        let from = self.stage.link_of(node);
        self.stage.play(vec![Input::Events { from, batch: Events { incarnation: "a".into(), events } }]);
    }

    fn order(&mut self, no: usize, verb: &str) {
        let (reply, mut answer) = oneshot::channel();
        let request =
            CommandRequest { verb: verb.into(), session_id: id_of(no), ..CommandRequest::default() };
        let asked = SubmittedCommand::new(request, person("anna"), reply);
        self.stage.play(vec![Input::Command(Box::new(asked))]);
        answer.try_recv().unwrap().unwrap();
    }

    /// Time passes; nodes do what they are told, a second later.
    fn pass(&mut self, until: i64) {
        while self.stage.now < until {
            self.stage.now = (self.stage.now + EDGE).min(until);
            self.stage.beat("here");
            self.stage.play(vec![Input::FirstWord { from: self.stage.link_of("here") }, Input::Tick]);
            for (node, frame) in std::mem::take(&mut self.stage.told) {
                if let ToAgent::Command(frame) = frame {
                    self.obey(&node, &frame);
                }
            }
        }
    }

    fn obey(&mut self, node: &NodeId, frame: &hal_protocol::frame::CommandFrame) {
        assert_eq!(node.as_str(), "here", "a node that is away was told something");
        let session = frame.target.session_id.as_ref().map(ToString::to_string).unwrap_or_default();
        self.done.push(Done { session: session.clone(), verb: frame.verb.clone() });
        let project = frame.target.project.clone();
        let mut output = String::new();
        match frame.verb.as_str() {
            "prompt_session" => self.say_as("here", &project, &session, &turn()),
            "kill_session" => {
                let ended = [("session.ended", json!({"reason": "killed"}))];
                self.say_as("here", &project, &session, &ended);
            }
            "create_session" => {
                self.restarts += 1;
                output = format!("new_{}", self.restarts);
                assert!(frame.args["prompt"].as_str().unwrap().contains("msg_last"), "{:?}", frame.args);
                let made = [("session.created", json!({"info": {"id": output, "title": "goes on"}}))];
                self.say_as("here", &project, &output, &made);
            }
            _ => {}
        }
        let (status, from) = ("success".to_owned(), self.stage.link_of("here"));
        let result =
            CommandResult { command_id: None, status, state: None, output, error: None, stood: None };
        self.stage.play(vec![Input::CommandResult { from, id: frame.command_id.clone(), result }]);
    }

    /// The supervisor is killed and started again: only what was stored is left.
    fn start_again(&mut self) {
        let view = &self.stage.view;
        let loaded = Loaded {
            store_id: "s".into(),
            last_seq: view.stored.last_seq,
            last_time: view.stored.last_time,
            alerts: view.stored.alerts.values().map(|one| (**one).clone()).collect(),
            nodes: view.every_node().map(|one| one.record.clone()).collect(),
            sessions: view.stored.sessions.values().map(|one| (**one).clone()).collect(),
            gone_nodes: Vec::new(),
            gone_sessions: Vec::new(),
            returned_nodes: BTreeSet::new(),
            open_commands: view.stored.commands.values().map(|one| (**one).clone()).collect(),
            state: view
                .stored
                .state
                .iter()
                .map(|(name, one)| (name.clone(), Kept::read(name, one.record())))
                .collect(),
            tail: Tail::default(),
        };
        self.stage.view = View::of(loaded);
        self.stage.play(vec![settings(Settings { policies: policies(), ..Settings::default() })]);
        self.connect("here");
    }
}

fn busy() -> (&'static str, Value) {
    ("session.status", json!({"status": {"type": "busy"}}))
}

fn idle() -> (&'static str, Value) {
    ("session.idle", json!({}))
}

fn error(message: &str) -> (&'static str, Value) {
    ("session.error", json!({"error": {"name": "UnknownError", "data": {"message": message}}}))
}

fn asks() -> (&'static str, Value) {
    ("permission.asked", json!({"id": "per_1", "permission": "bash", "metadata": {"command": "rm"}}))
}

fn turn() -> Vec<(&'static str, Value)> {
    let said = json!({"part": {"id": "p", "messageID": "msg_last", "type": "text", "text": "halfway"}});
    let answer = json!({"info": {"id": "msg_last", "role": "assistant"}});
    vec![busy(), ("message.updated", answer), ("message.part.updated", said), idle()]
}

fn fails(call: usize) -> (&'static str, Value) {
    let state = json!({"status": "completed", "input": {"command": "make"}, "metadata": {"exit": 2}});
    let part = json!({"type": "tool", "tool": "bash", "callID": format!("c{call}"), "state": state});
    ("message.part.updated", json!({ "part": part }))
}

fn spent(dollars: f64, tokens: u64) -> (&'static str, Value) {
    ("session.updated", json!({"info": {"cost": dollars, "tokens": {"input": tokens}}}))
}

/// What brings a session into the situation of its policy. One that waits for a person is in a turn.
fn situation(name: Name, is_waiting: bool) -> Vec<(&'static str, Value)> {
    let created = ("session.created", json!({"info": {"title": "the task"}}));
    let mut list = vec![created];
    match name {
        Name::KillOnCost => list.extend([busy(), spent(12.0, 10)]),
        Name::SessionTimeout | Name::ResumeOnIdle => list.extend(turn()),
        Name::ErrorLoop => (0..3).for_each(|_| list.extend([busy(), error("no such tool"), idle()])),
        Name::RestartOnCompaction => {
            list.extend(turn());
            list.extend((0..3).map(|_| ("session.compacted", json!({}))));
        }
        Name::Stuck => {
            list.push(busy());
            list.extend((0..6).map(fails));
            list.push(spent(0.5, 50_000));
        }
        Name::RateLimited => list.extend([busy(), error("429 too many requests"), idle()]),
    }
    if is_waiting {
        list.extend([busy(), asks()]);
    }
    list
}

impl Day {
    /// Sessions begin all over the morning; each gets into its situation at once.
    fn morning(&mut self) {
        for no in 0..SESSIONS {
            self.pass(10_000_000 + HOUR + no as i64 * MINUTE / 2);
            match way_of(no) {
                Way::Free => self.say(no, &situation(name_of(no), false)),
                Way::Waiting => self.say(no, &situation(name_of(no), true)),
                Way::Paused => {
                    self.say(no, &[("session.created", json!({"info": {"title": "t"}}))]);
                    self.order(no, "pause_session");
                    self.say(no, &situation(name_of(no), false));
                }
                Way::Ended => {
                    let mut list = situation(name_of(no), false);
                    list.push(("session.ended", json!({"reason": "killed"})));
                    self.say(no, &list);
                }
                Way::Unreachable => {
                    self.connect("away");
                    let from = self.stage.link_of("away");
                    self.say(no, &situation(name_of(no), false));
                    self.stage.play(vec![Input::Disconnect { from, reason: "gone".into() }]);
                }
            }
        }
    }

    fn decided(&self) -> Vec<(Time, String, Value)> {
        let decided = self.stage.events.iter().filter(|event| event.kind == "policy.decided");
        let data = |event: &EventView| serde_json::from_str(event.data.get()).unwrap();
        decided.map(|event| (event.timestamp, event.session_id.clone(), data(event))).collect()
    }
}

fn the_day() -> Day {
    let mut day = Day::new();
    day.morning();
    day.pass(10_000_000 + 6 * HOUR);
    day.start_again();
    day.pass(10_000_000 + 24 * HOUR);
    day
}

/// How often each free session's policy may act on that day, by its own limits: what is idle again is a new situation.
fn expected(name: Name, decided: &[&(Time, String, Value)]) -> bool {
    let situations: BTreeSet<&str> = decided.iter().filter_map(|one| one.2["situation"].as_str()).collect();
    let once_each = situations.len() == decided.len();
    match name {
        // Its turn after the prompt is idle again, until the limit of three is reached, again and again.
        Name::ResumeOnIdle => once_each && decided.len() > 3,
        _ => once_each && decided.len() == 1,
    }
}

#[test]
fn each_policy_acts_once_on_each_situation_and_never_where_it_must_not() {
    let day = the_day();
    let decided = day.decided();
    let mut table = BTreeMap::new();
    for no in 0..SESSIONS {
        let (name, way, id) = (name_of(no), way_of(no), id_of(no));
        let of_it: Vec<_> = decided.iter().filter(|(_, session, _)| *session == id).collect();
        if way == Way::Free {
            assert!(expected(name, &of_it), "{id} of {}: {of_it:#?}", name.as_str());
            assert!(of_it.iter().all(|one| one.2["policy"] == name.as_str()), "{of_it:#?}");
            table.entry(name.as_str()).or_insert_with(|| of_it[0].2.clone());
        } else {
            assert!(of_it.is_empty(), "{id} is {way:?}, and yet {of_it:#?}");
        }
    }
    for (name, data) in &table {
        println!(
            "{name}: {} {} because {}\n  {}",
            data["act"], data["situation"], data["why"], data["facts"]
        );
    }
    assert_eq!(table.len(), Name::ALL.len());
    // The nodes were told to do what was decided, and nothing else.
    let acts = |word: &str| decided.iter().filter(|one| one.2["act"] == word).count();
    let told = |verb: &str| day.done.iter().filter(|done| done.verb == verb).count();
    assert_eq!(told("prompt_session"), acts("prompt") + acts("restart"));
    assert_eq!(told("kill_session"), acts("kill") + acts("restart"));
    assert_eq!((told("create_session"), told("abort_session")), (acts("restart"), 0));
    assert_eq!(day.stage.view.all_kept(HANDOVER).count(), 0, "all have handed over");
    let linked = day.stage.view.all_kept(MARKS).filter(|(_, marks)| marks.continued_by.is_some());
    assert_eq!(linked.count(), acts("restart"));
}

#[test]
fn a_replay_of_the_day_decides_the_same() {
    let day = the_day();
    let policies = policies();
    let mut replay = Replay::new(&policies, HashMap::new());
    day.stage.events.iter().for_each(|event| replay.take(event));
    let would = replay.end(Time(day.stage.now));
    let replayed: BTreeSet<(String, String, String)> = would
        .iter()
        .filter(|one| one.act.is_some())
        .map(|Would { session_id, policy, situation, .. }| {
            (session_id.to_string(), policy.as_str().to_owned(), situation.clone())
        })
        .collect();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let recorded: BTreeSet<(String, String, String)> = day
        .decided()
        .iter()
        .map(|(_, session, data)| (session.clone(), text(&data["policy"]), text(&data["situation"])))
        .collect();
    let missing: Vec<_> = recorded.difference(&replayed).collect();
    let added: Vec<_> = replayed.difference(&recorded).collect();
    assert!(missing.is_empty() && added.is_empty(), "not replayed: {missing:#?}\nonly replayed: {added:#?}");
    assert!(recorded.len() > SESSIONS / 5);
}
