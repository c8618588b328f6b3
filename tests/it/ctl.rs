//! halctl against a stand-in supervisor: what it prints, how it waits, when it gives up.

mod stand;
mod width;

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use crate::world::{World, text};
use clap::Parser;
use hal_o_swarm::base::exit::{Exit, Failure};
use hal_o_swarm::ctl::cli::Cli;
use hal_o_swarm::ctl::discover::Surroundings;
use hal_o_swarm::ctl::print::Screen;
use hal_o_swarm::ctl::run_in;
use hal_o_swarm::protocol::command::CommandState;
use hal_o_swarm::protocol::session::Status;
use serde_json::json;
use stand::{DEADLINE, Stand, TOKEN, a_session, an_event};

/// What a command line did.
struct Outcome {
    exit: Exit,
    sentence: String,
    out: String,
    aside: String,
}

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs halctl with its output in a pipe, told by the environment where the stand-in is.
async fn halctl(stand: &Stand, line: &[&str]) -> Outcome {
    halctl_with(&[("HALCTL_SUPERVISOR_URL", &stand.url), ("HALCTL_AUTH_TOKEN", TOKEN)], line).await
}

async fn halctl_with(variables: &[(&str, &str)], line: &[&str]) -> Outcome {
    halctl_on(None, variables, line).await
}

/// Runs halctl on a terminal with lines of this width, or in a pipe.
async fn halctl_on(room: Option<usize>, variables: &[(&str, &str)], line: &[&str]) -> Outcome {
    let cli = Cli::try_parse_from([&["halctl"], line].concat()).unwrap();
    let around = Surroundings {
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        machine_file: "/nowhere/ctl.json".into(),
    };
    let (out, aside) = (Paper::default(), Paper::default());
    let terminal = room.is_some();
    let mut screen = Screen::to(&cli.global, terminal, false, Box::new(out.clone()), Box::new(aside.clone()));
    if let Some(room) = room {
        screen = screen.with_room(room);
    }
    let ran = tokio::time::timeout(DEADLINE, run_in(cli, &around, screen)).await.expect("halctl did not end");
    let (exit, sentence) = match ran {
        Ok(()) => (Exit::Done, String::new()),
        Err(Failure { exit, error }) => (exit, format!("{error:#}")),
    };
    Outcome { exit, sentence, out: out.text(), aside: aside.text() }
}

fn idle() -> hal_o_swarm::protocol::event::EventView {
    an_event("session.idle", &json!({}))
}

#[tokio::test]
async fn a_piped_list_has_a_line_for_each_session_of_all_pages() {
    let stand = Stand::start().await;
    stand.facts().sessions = (0..8).map(|n| a_session(&format!("s{n}"), Status::Running)).collect();
    let listed = halctl(&stand, &["sessions", "list"]).await;
    assert_eq!(listed.out.lines().count(), 8, "{}", listed.out);
    assert!(listed.out.lines().all(|line| line.contains("  node_id: web-1  project: shop  status: running")));
    assert!(listed.out.contains("title: two\\nlines"), "{}", listed.out);
    assert_eq!(halctl(&stand, &["session", "ls", "--limit", "4"]).await.out.lines().count(), 4);
    let json = halctl(&stand, &["sessions", "list", "-o", "json"]).await.out;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap().as_array().unwrap().len(), 8);
    let table = halctl(&stand, &["-o", "table", "sessions", "list"]).await.out;
    assert!(table.starts_with("ID ") && table.contains("$0.0073"), "{table}");
    let filtered = halctl(&stand, &["sessions", "list", "--node-id", "web-1", "--status", "idle"]).await;
    assert_eq!(filtered.exit, Exit::Done);
    assert!(stand.facts().asked.last().unwrap().contains("node_id=web-1&status=idle"));
}

#[tokio::test]
async fn refusals_have_their_own_exits_and_say_what_to_do() {
    let stand = Stand::start().await;
    let missing = halctl(&stand, &["sessions", "get", "a/b"]).await;
    assert_eq!((missing.exit, missing.sentence.as_str()), (Exit::NotFound, "there is no session a/b"));
    let wrong =
        halctl_with(&[("HALCTL_AUTH_TOKEN", "wr0ng")], &["--supervisor-url", &stand.url, "sessions", "ls"])
            .await;
    assert_eq!(wrong.exit, Exit::NotAllowed);
    assert!(
        wrong.sentence.contains("HALCTL_AUTH_TOKEN") && !wrong.sentence.contains("wr0ng"),
        "{}",
        wrong.sentence
    );
    let none = halctl_with(&[], &["--supervisor-url", &stand.url, "sessions", "ls"]).await;
    assert_eq!(none.exit, Exit::NotAllowed);
    assert!(none.sentence.contains("--token-file"), "{}", none.sentence);
    // Port 1 is never served; nobody listens there.
    let nobody = halctl_with(&[], &["--supervisor-url", "ws://localhost:1", "sessions", "ls"]).await;
    assert_eq!(nobody.exit, Exit::Unreachable);
    for words in ["http://localhost:1/", "connection refused", "hal up"] {
        assert!(nobody.sentence.contains(words), "{}", nobody.sentence);
    }
}

#[tokio::test]
async fn a_token_from_a_file_stays_with_its_supervisor() {
    let (home, other) = (Stand::start().await, Stand::start().await);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let around = [("XDG_CONFIG_HOME", place)];
    let set = ["config", "set", "--url", &home.url, "--token-file", token.to_str().unwrap()];
    assert_eq!(halctl_with(&around, &set).await.exit, Exit::Done);
    assert_eq!(halctl_with(&around, &["sessions", "ls"]).await.exit, Exit::Done);
    let elsewhere = halctl_with(&around, &["--supervisor-url", &other.url, "sessions", "ls"]).await;
    assert_eq!(elsewhere.exit, Exit::NotAllowed);
    assert!(elsewhere.sentence.contains("was not sent"), "{}", elsewhere.sentence);

    let shown = halctl_with(&around, &["config"]).await.out;
    assert!(
        shown.contains("token: found") && shown.contains("ctl.json") && !shown.contains(TOKEN),
        "{shown}"
    );
    let path = folder.path().join("hal-o-swarm/ctl.json");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    // The next supervisor must not get the token of this one; keys from the future are kept.
    let text = std::fs::read_to_string(&path).unwrap().replacen('{', "{\"later\": 1,", 1);
    std::fs::write(&path, text).unwrap();
    let moved = halctl_with(&around, &["config", "set", "--url", "wss://other.example"]).await;
    assert!(moved.aside.contains("was forgotten"), "{}", moved.aside);
    let keys: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(keys, json!({"later": 1, "url": "wss://other.example"}));
}

#[tokio::test]
async fn what_is_remembered_makes_sense_and_can_be_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let around = [("XDG_CONFIG_HOME", folder.path().to_str().unwrap())];
    let path = folder.path().join("hal-o-swarm/ctl.json");
    for bogus in ["bogus", "bogus/", "supervisor.example", "", "htp://localhost:8420", "http://"] {
        let refused = halctl_with(&around, &["config", "set", "--url", bogus]).await;
        assert_eq!(refused.exit, Exit::Usage, "{bogus:?}: {}", refused.sentence);
        assert!(!path.exists(), "{bogus:?} was remembered");
    }
    let keys =
        || -> serde_json::Value { serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap() };
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let token = token.to_str().unwrap();
    let set = ["config", "set", "--url", "box:8420", "--token-file", token, "--ca-file", token];
    assert_eq!(halctl_with(&around, &set).await.exit, Exit::Done);
    let text = std::fs::read_to_string(&path).unwrap().replacen('{', "{\"later\": 1,", 1);
    std::fs::write(&path, text).unwrap();
    let one = halctl_with(&around, &["config", "unset", "ca-file"]).await;
    assert!(one.aside.contains("Forgotten") && one.aside.contains("ca_file"), "{}", one.aside);
    assert_eq!(keys(), json!({"later": 1, "url": "box:8420", "token_file": token}));
    assert_eq!(halctl_with(&around, &["config", "unset"]).await.exit, Exit::Done);
    assert_eq!(keys(), json!({"later": 1}), "keys from the future are kept");
    let none = halctl_with(&around, &["config", "unset"]).await;
    assert!(none.exit == Exit::Done && none.aside.contains("Nothing of it"), "{}", none.aside);
}

#[tokio::test]
async fn a_command_whose_answer_breaks_off_is_asked_again_as_the_same_command() {
    let stand = Stand::start().await;
    stand.facts().break_answers = 1;
    let started =
        halctl(&stand, &["sessions", "start", "--project", "shop", "--model", "p/m", "say hi"]).await;
    assert_eq!((started.exit, started.out.as_str()), (Exit::Done, "s1\n"), "{}", started.sentence);
    {
        let facts = stand.facts();
        let [(first, key), (again, same_key)] = &facts.commands[..] else {
            panic!("{}", facts.commands.len())
        };
        assert!(!key.is_empty() && key == same_key && *key == again.idempotency_key);
        assert_eq!((first.project.as_str(), &first.args["prompt"]), ("shop", &json!("say hi")));
        assert_eq!(first.args["model"], "p/m");
    }
    stand.facts().break_answers = 2;
    let given_up = halctl(&stand, &["sessions", "kill", "s1", "--idempotency-key", "mine"]).await;
    assert_eq!(given_up.exit, Exit::Unreachable);
    let facts = stand.facts();
    assert!(facts.commands.len() == 4 && facts.commands[3].1 == "mine");
}

#[tokio::test]
async fn what_became_of_a_command_is_told() {
    let stand = Stand::start().await;
    for (state, exit, words) in [
        (CommandState::Failed, Exit::Failed, "no such model"),
        (CommandState::Queued, Exit::TimedOut, "halctl commands get c1"),
    ] {
        stand.facts().outcome = Some(state);
        let told = halctl(&stand, &["sessions", "prompt", "s1", "more"]).await;
        assert_eq!(told.exit, exit);
        assert!(told.sentence.contains(words), "{}", told.sentence);
    }
    stand.facts().outcome = None;
    halctl(&stand, &["sessions", "deny", "s1", "--request", "per_1", "-m", "not that"]).await;
    halctl(&stand, &["sessions", "answer", "s1", "Red", "42"]).await;
    let facts = stand.facts();
    let [.., (denied, _), (answered, _)] = &facts.commands[..] else { panic!() };
    assert_eq!(json!(denied.args), json!({"reply": "reject", "request_id": "per_1", "message": "not that"}));
    assert_eq!(json!(answered.args), json!({"answers": [["Red"], ["42"]]}));
}

#[tokio::test]
async fn waiting_sees_what_happens_between_the_stream_and_the_picture() {
    let stand = Stand::start().await;
    stand.facts().sessions = vec![a_session("s1", Status::Running)];
    // The picture goes on saying `running`: only the stream knows.
    stand.facts().once_open = vec![idle()];
    let waited = halctl(&stand, &["sessions", "wait", "s1"]).await;
    assert_eq!(waited.exit, Exit::Done, "{}", waited.sentence);
    assert!(stand.facts().asked.iter().any(|asked| asked.contains("/stream?node_id=web-1&type=session.")));
}

#[tokio::test]
async fn waiting_ends_otherwise_or_in_time() {
    let stand = Stand::start().await;
    stand.facts().sessions = vec![a_session("s1", Status::Running)];
    let late = halctl(&stand, &["sessions", "wait", "s1", "--timeout", "0"]).await;
    assert_eq!(late.exit, Exit::TimedOut);
    // A fresh one: the stream of the one that was late may still be open for a moment.
    let stand = Stand::start().await;
    stand.facts().sessions = vec![a_session("s1", Status::Running)];
    let waiting = tokio::spawn({
        let stand = stand.clone();
        async move { halctl(&stand, &["sessions", "wait", "s1", "--until", "idle,waiting"]).await }
    });
    stand.streams(1).await;
    stand.happen([
        an_event("session.error", &json!({"error": {"name": "APIError", "data": {"message": "no credit"}}})),
        idle(),
    ]);
    let ended = waiting.await.unwrap();
    assert_eq!(ended.exit, Exit::OtherOutcome);
    assert!(ended.sentence.contains("no credit"), "{}", ended.sentence);
}

#[tokio::test]
async fn waiting_survives_a_stream_that_breaks() {
    let stand = Stand::start().await;
    stand.facts().sessions = vec![a_session("s1", Status::Running)];
    let waiting = tokio::spawn({
        let stand = stand.clone();
        async move { halctl(&stand, &["sessions", "wait", "s1"]).await }
    });
    stand.streams(1).await;
    stand.happen([an_event("session.status", &json!({"status": {"type": "busy"}}))]);
    stand.break_streams();
    // It happens while nobody listens, and comes from the cursor.
    stand.happen([idle()]);
    let waited = waiting.await.unwrap();
    assert_eq!(waited.exit, Exit::Done, "{}", waited.sentence);
    assert!(waited.aside.contains("retrying"), "{}", waited.aside);
}

#[tokio::test]
async fn waiting_takes_the_picture_again_after_a_gap() {
    let stand = Stand::start().await;
    stand.facts().sessions = vec![a_session("s1", Status::Running)];
    let waiting = tokio::spawn({
        let stand = stand.clone();
        async move { halctl(&stand, &["sessions", "wait", "s1"]).await }
    });
    // Once to find the node, and once more when the stream is open.
    stand.asked("/sessions/s1", 2).await;
    {
        let mut facts = stand.facts();
        facts.forgot = true;
        facts.sessions = vec![a_session("s1", Status::Idle)];
    }
    stand.break_streams();
    assert_eq!(waiting.await.unwrap().exit, Exit::Done);
    assert_eq!(stand.facts().streams, 2);
}

#[tokio::test]
async fn start_can_wait_for_its_turn() {
    let stand = Stand::start().await;
    stand.facts().sessions = vec![a_session("s1", Status::Running)];
    stand.facts().once_open = vec![idle()];
    let started = halctl(&stand, &["sessions", "start", "-p", "shop", "--wait", "say hi"]).await;
    assert_eq!((started.exit, started.out.as_str()), (Exit::Done, "s1\n"), "{}", started.sentence);
}

#[tokio::test]
async fn logs_read_like_a_conversation_and_follow_without_a_hole_or_a_double() {
    let stand = Stand::start().await;
    stand.facts().sessions = vec![a_session("s1", Status::Running)];
    let said = |n: usize| {
        let part =
            json!({"id": format!("p{n}"), "messageID": "m", "type": "text", "text": format!("word {n}")});
        an_event("message.part.updated", &json!({"part": part}))
    };
    stand.happen((0..5).map(said));
    let last = halctl(&stand, &["sessions", "logs", "s1", "--limit", "2"]).await.out;
    assert!(last.contains("word 3") && last.contains("word 4") && !last.contains("word 2"), "{last}");

    stand.facts().once_open = vec![said(5)];
    let following = tokio::spawn({
        let stand = stand.clone();
        async move { halctl(&stand, &["sessions", "logs", "s1", "-f"]).await }
    });
    stand.streams(1).await;
    stand.facts().forgot = true;
    stand.break_streams();
    stand.happen([said(6)]);
    stand.streams(2).await;
    stand.happen([said(7), an_event("session.ended", &json!({"reason": "killed"}))]);
    let told = following.await.unwrap();
    assert_eq!(told.exit, Exit::Done, "{}", told.sentence);
    for n in 0..8 {
        assert_eq!(told.out.matches(&format!("assistant  word {n}\n")).count(), 1, "{}", told.out);
    }
    assert!(told.out.ends_with("ended      killed\n"), "{}", told.out);
}

#[tokio::test]
async fn the_latest_events_are_listed_oldest_first() {
    let stand = Stand::start().await;
    stand.happen((0..7).map(|n| an_event(&format!("kind.{n}"), &json!({"n": n}))));
    let listed =
        halctl(&stand, &["events", "list", "--limit", "5", "--type", "kind.*", "--since", "5m"]).await.out;
    let kinds: Vec<_> =
        listed.lines().filter_map(|line| line.split("type: ").nth(1)?.split(' ').next()).collect();
    assert_eq!(kinds, ["kind.2", "kind.3", "kind.4", "kind.5", "kind.6"], "{listed}");
    let facts = stand.facts();
    let asked = facts.asked.first().unwrap();
    assert!(
        asked.contains("type=kind.*") && asked.contains("since=") && asked.contains("order=desc"),
        "{asked}"
    );
}

#[tokio::test]
async fn completions_need_no_supervisor() {
    let script = halctl_with(&[], &["completions", "bash"]).await;
    assert!(script.exit == Exit::Done && script.out.contains("halctl"), "{}", script.sentence);
}

#[test]
fn a_supervisor_of_an_earlier_release_is_named_where_it_does_not_know_something() {
    let world = World::empty();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let older = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).unwrap();
        let body = r#"{"error":"POST means nothing here","code":"BAD_REQUEST"}"#;
        let length = body.len();
        write!(stream, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    });
    let mut command = world.hal(&["ctl", "--supervisor-url", &url, "audit", "verify"]);
    let output = command.env("HALCTL_AUTH_TOKEN", "a-token-of-somebody").output().unwrap();
    older.join().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("is it of an earlier release"), "{said}");
}
