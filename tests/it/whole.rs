//! The whole thing: three programs, a true opencode, the fake model, and an operator who types halctl.

use std::collections::BTreeSet;
use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::opencode_home::{FakeModel, OpencodeHome};
use crate::patience::{PATIENCE, wait_until};
use crate::recording::Recording;
use crate::world::World;

/// Three programs and what they work with. Dropped in this order: programs before the home they run in.
pub struct Whole {
    pub world: World,
    pub home: OpencodeHome,
    pub model: FakeModel,
    pub port: u16,
}

impl Whole {
    /// A supervisor, and the node `web-1` whose project `shop` has a true opencode.
    pub fn begin(permission: Value) -> Self {
        Self::begin_in(World::supervised(), permission)
    }

    /// The same with a supervisor that runs already.
    pub fn begin_in(world: World, permission: Value) -> Self {
        Self::begin_with(world, permission, |_, _| {})
    }

    /// The same with the agent's configuration changed by `change`.
    pub fn begin_with(
        world: World,
        permission: Value,
        change: impl FnOnce(&mut Value, &OpencodeHome),
    ) -> Self {
        let model = FakeModel::start();
        let home = OpencodeHome::new(&model, permission);
        Self::begin_changed(world, home, model, change)
    }

    /// The same with a home in which opencode may have worked before.
    pub fn begin_at(world: World, home: OpencodeHome, model: FakeModel) -> Self {
        Self::begin_changed(world, home, model, |_, _| {})
    }

    fn begin_changed(
        mut world: World,
        home: OpencodeHome,
        model: FakeModel,
        change: impl FnOnce(&mut Value, &OpencodeHome),
    ) -> Self {
        world.environment = home.environment();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let known = home.path("projects/shop");
        let place = if known.exists() { known.canonicalize().unwrap() } else { home.project("shop") };
        let mut config = world.agent_config("web-1", "shop");
        config["projects"][0]["directory"] = json!(place);
        config["projects"][0]["backend"] = json!("opencode");
        config["tool_paths"] = json!({"opencode": home.binary()});
        config["opencode_port"] = json!(port);
        change(&mut config, &home);
        world.start_agent_with("web-1", &config);
        world.wait_for_node("web-1", "online");
        wait_until("opencode is up", PATIENCE * 2, || match world.count_events("type=backend.started") {
            0 => Err(world.agent("web-1").said()),
            _ => Ok(()),
        });
        Self { world, home, model, port }
    }

    /// Begins a session as an operator does: its name.
    pub fn start(&self, prompt: &str) -> String {
        self.world.ctl_says(&["sessions", "start", "--project", "shop", prompt]).trim().to_owned()
    }

    /// Waits until a session has this status, as an operator does.
    pub fn wait(&self, id: &str, status: &str) {
        self.world.ctl_says(&["sessions", "wait", id, "--until", status, "--timeout", "60s"]);
    }

    /// Asks the running opencode for something, past all of ours; `Null` when it has nothing to say to that.
    pub async fn ask_opencode(&self, path: &str, body: &Value) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let asked = client.post(url).basic_auth("opencode", Some(self.home.password())).json(body);
        let answer = asked.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Takes down what opencode says from here on.
    pub fn record(&self) -> Recording {
        self.world.run(Recording::begin(self.port, &self.home.password()))
    }

    /// Waits until everything that was recorded is there, and sees to it that nothing is there twice.
    fn holds_all_of(&self, recording: &Recording) -> usize {
        let ids = wait_until("every recorded event is kept", PATIENCE, || {
            let ids: Vec<String> =
                self.world.events("").iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
            let kept: BTreeSet<String> = ids.iter().cloned().collect();
            let missing: Vec<String> = recording.durable().difference(&kept).cloned().collect();
            if missing.is_empty() { Ok(ids) } else { Err(format!("missing: {missing:?}")) }
        });
        let once: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(once.len(), ids.len(), "some are kept twice");
        recording.durable().len()
    }

    /// What halctl says of tokens and cost is what the model billed.
    pub fn is_billed(&self, id: &str) {
        let bill = self.model.bill(id);
        wait_until("the cost is the bill", PATIENCE, || {
            let session = self.world.data(&format!("/api/v1/sessions/{id}"));
            let is_so = session["own_cost_micros"] == bill.cost_micros
                && session["token_kinds"]["input"] == bill.input
                && session["token_kinds"]["output"] == bill.output;
            if is_so { Ok(()) } else { Err(format!("{session}\nbilled {bill:?}")) }
        });
    }
}

#[test]
fn a_helper_that_asks_keeps_its_parent_waiting_and_is_answered_through_it() {
    let whole = Whole::begin(json!({"bash": "ask"}));
    let parent = whole.start("task bash echo deep > made.txt");
    whole.wait(&parent, "waiting");
    let shown = whole.world.data(&format!("/api/v1/sessions/{parent}"));
    let helper = shown["helper_asks"][0]["session_id"].as_str().unwrap().to_owned();
    assert_eq!((&shown["status"], shown.get("asks")), (&json!("waiting"), None), "{shown}");
    assert_eq!(shown["helper_asks"][0]["what"], "echo deep > made.txt", "{shown}");
    let listed = whole.world.ctl_says(&["sessions", "list", "--status", "waiting"]);
    for words in [&parent, &helper, "echo deep > made.txt"] {
        assert!(listed.contains(words), "{words:?} is missing:\n{listed}");
    }
    let looked = whole.world.ask(&json!({"type": "session_status", "session_id": parent}));
    assert_eq!(looked.body["data"]["output"], "waiting", "{}", looked.body);
    let sql = format!("SELECT status FROM sessions WHERE id = '{parent}'");
    whole.world.until_sql(&sql, "waiting");
    let (code, sentence) =
        whole.world.ctl_fails(&["sessions", "wait", &parent, "--until", "idle", "--timeout", "1s"]);
    let expected = format!("waiting for an answer to its helper {helper} (bash: echo deep > made.txt)");
    assert!(code == 6 && sentence.contains(&expected), "{code} {sentence}");
    assert!(sentence.contains(&format!("halctl sessions allow {parent}")), "{sentence}");
    whole.world.ctl_says(&["sessions", "allow", &parent]);
    whole.wait(&parent, "idle");
    let listed = whole.world.data("/api/v1/sessions?status=waiting");
    assert_eq!(listed, json!([]), "nobody waits any more");
    whole.world.until_sql(&sql, "idle");
}

#[test]
fn an_answer_from_outside_is_an_alert_on_the_receipt_and_stops_the_turn() {
    let whole = Whole::begin(json!({"bash": "ask"}));
    let id = whole.start("bash sleep 600");
    whole.wait(&id, "waiting");
    let asked = whole.world.data("/api/v1/approvals")[0].clone();
    let request = asked["request_id"].as_str().unwrap();
    let url = format!("http://127.0.0.1:{}/permission/{request}/reply", whole.port);
    // As a tool can, which inherits opencode's password.
    let status = whole.world.run(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(url).basic_auth("opencode", Some(whole.home.password()));
        let request = request.query(&[("directory", asked["directory"].as_str().unwrap())]);
        request.json(&json!({"reply": "always"})).send().await.unwrap().status()
    });
    assert!(status.is_success(), "{status}");
    whole.wait(&id, "error");
    let alerts = whole.world.data("/api/v1/alerts?name=approval.outside");
    assert_eq!((&alerts[0]["severity"], &alerts[0]["about"]), (&json!("high"), &asked["id"]), "{alerts}");
    assert!(alerts[0]["text"].as_str().unwrap().contains("sleep 600"), "{alerts}");
    let approval = whole.world.data(&format!("/api/v1/approvals/{}", asked["id"].as_str().unwrap()));
    assert_eq!((&approval["state"], approval.get("answer")), (&json!("lapsed"), None), "{approval}");
    let receipt = approval["receipt"].to_string();
    assert!(receipt.contains("answered outside") && receipt.contains("always"), "{receipt}");
    let logs = whole.world.ctl_says(&["sessions", "logs", &id]);
    let verbs: Vec<&str> = logs.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert!(verbs.contains(&"outside") && !verbs.contains(&"allowed"), "{logs}");
    // An answer of an operator is none of these.
    let other = whole.start("bash echo mine > made.txt");
    whole.wait(&other, "waiting");
    whole.world.ctl_says(&["sessions", "allow", &other]);
    whole.wait(&other, "idle");
    assert_eq!(whole.world.data("/api/v1/alerts?name=approval.outside").as_array().unwrap().len(), 1);
}

#[test]
fn an_operator_supervises_a_true_coding_agent_and_steps_in() {
    let whole = Whole::begin(json!({"bash": "ask"}));
    let recording = whole.record();
    let id = whole.start("bash echo kettle > made.txt");
    whole.wait(&id, "waiting");
    let listed = whole.world.ctl_says(&["sessions", "list"]);
    assert!(listed.contains("status: waiting") && listed.contains("echo kettle > made.txt"), "{listed}");
    whole.world.ctl_says(&["sessions", "allow", &id]);
    whole.wait(&id, "idle");
    whole.is_billed(&id);
    let logs = whole.world.ctl_says(&["sessions", "logs", &id]);
    for words in ["user", "echo kettle > made.txt", "allowed", "All steps are done.", "$0."] {
        assert!(logs.contains(words), "{words:?} is missing:\n{logs}");
    }
    let slow = whole.start("slow 400 50");
    whole.wait(&slow, "running");
    whole.world.ctl_says(&["sessions", "abort", &slow]);
    whole.wait(&slow, "idle");
    let killed = whole.start("bash sleep 1000");
    whole.wait(&killed, "waiting");
    whole.world.ctl_says(&["sessions", "allow", &killed]);
    wait_until("the tool runs", PATIENCE, || {
        let running = whole.home.processes(|command| command == "sleep 1000");
        if running.is_empty() { Err("no process yet".into()) } else { Ok(()) }
    });
    whole.world.ctl_says(&["sessions", "kill", &killed]);
    assert_eq!(whole.home.processes(|command| command == "sleep 1000"), Vec::<i32>::new());
    whole.wait(&killed, "ended");
    assert!(
        whole.world.ctl_says(&["sessions", "logs", &killed]).contains("sleep 1000"),
        "the conversation is kept"
    );
    assert!(whole.holds_all_of(&recording) > 30);
    let count = whole.world.ctl_says(&["sessions", "list"]).lines().count();
    assert_eq!(count, 3);
}

#[test]
fn what_is_wrong_with_one_project_or_one_request_is_no_matter_of_the_others() {
    let permission = json!({"*": "allow", "webfetch": "ask"});
    let whole = Whole::begin_with(World::supervised(), permission, |config, home| {
        let broken = home.project("broken");
        std::fs::write(broken.join("opencode.json"), "{ \"model\": ").unwrap();
        let project = json!({"name": "broken", "directory": broken, "backend": "opencode", "trusted": true});
        config["projects"].as_array_mut().unwrap().push(project);
    });
    wait_until("the project is in error", PATIENCE, || {
        let projects = whole.world.data("/api/v1/nodes/web-1")["projects"].clone();
        let error_of = |name: &str| {
            let project = projects.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
            project["error"].as_str().unwrap_or_default().to_owned()
        };
        let why = error_of("broken");
        let is_so = why.contains("broken/opencode.json") && why.contains("ValueExpected");
        if is_so && error_of("shop").is_empty() { Ok(()) } else { Err(projects.to_string()) }
    });

    // opencode 1.18 asks for this and then cannot list what waits in the whole project.
    let fetching = whole.start(r#"tool webfetch {"url": "http://127.0.0.1:9/nothing", "format": "text"}"#);
    whole.wait(&fetching, "waiting");
    let slow = whole.start("slow 400 50");
    whole.wait(&slow, "running");
    whole.world.ctl_says(&["sessions", "abort", &slow]);
    whole.wait(&slow, "idle");
    whole.world.ctl_says(&["sessions", "deny", &fetching]);
    whole.wait(&fetching, "idle");
    whole.world.ctl_says(&["sessions", "prompt", &fetching, "slow 400 50"]);
    whole.wait(&fetching, "running");
    whole.world.ctl_says(&["sessions", "halt", "--all"]);
    whole.wait(&fetching, "idle");
}

#[test]
fn the_supervisor_dies_in_mid_turn_and_nothing_is_missing() {
    let mut whole = Whole::begin(json!({"*": "allow"}));
    let recording = whole.record();
    let id = whole.start("slow 100 50\nbash echo after\ntodo");
    whole.wait(&id, "running");
    whole.world.kill_supervisor();
    wait_until("the agent says why", PATIENCE, || {
        let said = whole.world.agent("web-1").said();
        if said.contains("connection refused") { Ok(()) } else { Err(said) }
    });
    whole.world.start_supervisor();
    whole.world.wait_for_node("web-1", "online");
    whole.wait(&id, "idle");
    whole.holds_all_of(&recording);
    whole.is_billed(&id);
}

#[test]
fn an_agent_that_is_told_to_end_leaves_no_process() {
    let mut whole = Whole::begin(json!({"*": "allow"}));
    let id = whole.start("bash sleep 1000");
    wait_until("the tool runs", PATIENCE, || {
        let running = whole.home.processes(|command| command == "sleep 1000");
        if running.is_empty() { Err("no process yet".into()) } else { Ok(()) }
    });
    let (status, said) = whole.world.take_agent("web-1").end_with(Signal::TERM);
    assert!(status.success(), "{said}");
    assert_eq!(whole.home.processes(|_| true), Vec::<i32>::new(), "{said}");
    whole.world.wait_for_node("web-1", "offline");
    assert_eq!(whole.world.data(&format!("/api/v1/sessions/{id}"))["status"], "unreachable");
}
