//! A turn: what is said, streamed, done, and what goes wrong.

use hal_o_swarm::agent::backend::Action;
use hal_o_swarm::protocol::session::{SessionId, Status};
use serde_json::json;

use super::stage::Stage;
use crate::opencode::desk::{Kept, Record};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_streams_and_uses_tools() {
    let Some(stage) = Stage::set("a turn of Codex").await else { return };
    let session = stage.play("think about it").await;
    let made = stage.project.join("made.txt");
    stage.say(&session, &format!("write {} good words\nsay hello there my friend", made.display())).await;
    assert_eq!(stage.allow(&session).await, format!("once: {}", made.display()));
    stage.wait_turns(&session, 2).await;
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "good words\n");
    let said = stage.texts(&session);
    assert!(said[0] == "think about it" && said.contains(&"hello there my friend".to_owned()), "{said:?}");
    stage.desk.look(|record| {
        let of = |kind: &str| record.of(session.as_str(), kind);
        let info = &of("session.created")[0].data["info"];
        assert_eq!((&info["title"], &info["directory"]), (&json!("think about it"), &json!(stage.project)));
        let words: String = record.live.iter().filter_map(|(_, data)| data["delta"].as_str()).collect();
        assert!(words.contains("hello there my friend"), "it is streamed: {words}");
        let asked = &of("permission.asked")[0].data;
        assert!(asked.to_string().contains("good words"), "what it would change is shown: {asked}");
        let parts = of("message.part.updated");
        let tools: Vec<&&Kept> = parts.iter().filter(|event| event.data["part"]["type"] == "tool").collect();
        let states: Vec<&str> =
            tools.iter().filter_map(|event| event.data["part"]["state"]["status"].as_str()).collect();
        assert_eq!(states, ["running", "completed"]);
        assert_eq!(tools[0].data["part"]["kind"], "edit");
        assert!(parts.iter().any(|event| event.data["part"]["type"] == "reasoning"));
        assert_eq!(of("file.edited").len(), 1);
        let held = &record.sessions[session.as_str()];
        let model = held.model.as_ref().map(|model| (model.provider.as_str(), model.id.as_str()));
        assert_eq!(model, Some(("fake", crate::codex_home::MODEL)));
        assert!(held.context.is_some_and(|context| context.used > 0 && context.limit > Some(100_000)));
        assert_eq!(held.cost_micros, None, "Codex tells no money, and that is not nothing");
    });
    stage.say(&session, "bash exit 3").await;
    stage.allow(&session).await;
    stage.wait_turns(&session, 3).await;
    stage.desk.look(|record| {
        let parts = record.of(session.as_str(), "message.part.updated");
        let last = parts.iter().rev().find(|event| event.data["part"]["kind"] == "execute").unwrap();
        let state = &last.data["part"]["state"];
        assert_eq!(
            (&state["status"], &state["metadata"]["exit"]),
            (&json!("completed"), &json!(3)),
            "{state}"
        );
    });
    let thread = stage.home.path(".codex/config.toml");
    assert!(!std::fs::read_to_string(thread).unwrap().contains("request_user_input"), "it is the user's");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_of_a_kind_and_the_session_goes_on() {
    let Some(stage) = Stage::set("errors of Codex").await else { return };
    let session = stage.play("error 500 2").await;
    assert!(stage.texts(&session).contains(&"It works now.".to_owned()), "{:?}", stage.texts(&session));
    let retries = |record: &Record| {
        let all = record.of(session.as_str(), "session.status");
        all.iter().filter(|event| event.data["status"]["type"] == "retry").count()
    };
    assert!(stage.desk.look(retries) > 0);
    for (turn, prompt, kind, status) in [
        (2, "error 429", "rate_limited", json!(429)),
        (3, "error 401", "auth", json!(401)),
        (4, "overflow 9", "overflow", json!(null)),
    ] {
        stage.say(&session, prompt).await;
        stage.wait_turns(&session, turn).await;
        stage.desk.wait_status(session.as_str(), Status::Error).await;
        stage.desk.look(|record| {
            let failed = record.of(session.as_str(), "session.error");
            let error = &failed.last().unwrap().data["error"];
            assert_eq!(
                (&error["kind"], &error["data"]["statusCode"]),
                (&json!(kind), &status),
                "{prompt}: {error}"
            );
        });
    }
    // What did not fit is summarised first.
    stage.say(&session, "say well again").await;
    stage.wait_turns(&session, 5).await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.desk.look(|record| assert!(record.sessions[session.as_str()].compactions > 0));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_compacted_and_what_is_said_meanwhile_waits() {
    let Some(stage) = Stage::set("compaction of Codex").await else { return };
    let session = stage.play("say a lot").await;
    stage.say(&session, "/compact").await;
    stage.say(&session, "say still here").await;
    stage.wait_turns(&session, 3).await;
    stage.desk.look(|record| assert_eq!(record.sessions[session.as_str()].compactions, 1));
    assert!(stage.texts(&session).contains(&"still here".to_owned()), "{:?}", stage.texts(&session));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_model_calls_by_a_script_and_its_helper_belongs_to_the_turn() {
    let Some(stage) = Stage::set("a helper of Codex").await else { return };
    let mut create = stage.create("bash touch byscript");
    if let Action::Create { model, .. } = &mut create {
        *model = "fake/gpt-6.1-sol".into();
    }
    let session = SessionId::new(stage.act(create).await.unwrap());
    assert_eq!(stage.allow(&session).await, "once: touch byscript");
    stage.wait_turns(&session, 1).await;
    assert!(stage.project.join("byscript").exists());
    let made = stage.project.join("byhelper.txt");
    stage.say(&session, &format!("task write {} words\nsay the helper works", made.display())).await;
    stage.asked(&session).await;
    let turns = stage.desk.look(|record| record.of(session.as_str(), "session.idle").len());
    assert_eq!(turns, 1, "a turn is not over before its helpers are");
    assert_eq!(stage.allow(&session).await, format!("once: {}", made.display()));
    stage.wait_turns(&session, 2).await;
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "words\n");
    let bill = stage.model.bill(session.as_str());
    let used = stage.desk.look(|record| record.sessions[session.as_str()].tokens);
    assert_eq!(used.total(), bill.input + bill.output + bill.reasoning + bill.cached, "the helper's too");

    stage.say(&session, "task bash touch never\nsay it waits").await;
    stage.asked(&session).await;
    stage.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    stage.wait_turns(&session, 3).await;
    assert!(!stage.project.join("never").exists());
    stage.say(&session, "say goes on").await;
    stage.wait_turns(&session, 4).await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_checkout_brings_along_runs_only_where_the_user_trusts_it() {
    // What the project says, and whether its user has told Codex itself to trust it.
    for (said, is_told) in [(None, false), (None, true), (Some(true), false), (Some(false), true)] {
        let is_trusted = said.unwrap_or(is_told);
        let scene = "a checkout with settings of its own";
        let Some(stage) = Stage::set_trusting(scene, said).await else { return };
        let (project, made) = (stage.home.project("web"), stage.home.path("made-by-the-checkout"));
        std::fs::create_dir_all(project.join(".codex")).unwrap();
        let server = format!("[mcp_servers.its_own]\ncommand = \"touch\"\nargs = [\"{}\"]\n", made.display());
        std::fs::write(project.join(".codex/config.toml"), server).unwrap();
        let settings = stage.home.path(".codex/config.toml");
        if is_told {
            let said = std::fs::read_to_string(&settings).unwrap();
            let trust = format!("\n[projects.\"{}\"]\ntrust_level = \"trusted\"\n", project.display());
            std::fs::write(&settings, said + &trust).unwrap();
        }
        let before = std::fs::read(&settings).unwrap();
        let session = stage.play("say hello").await;
        assert!(!stage.texts(&session).is_empty());
        assert_eq!(made.exists(), is_trusted, "said: {said:?}, told: {is_told}");
        let after = std::fs::read(&settings).unwrap();
        assert_eq!(String::from_utf8_lossy(&after), String::from_utf8_lossy(&before), "it is the user's");
        stage.strike().await;
    }
}
