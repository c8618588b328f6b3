//! A turn: what is said, streamed, done, asked of a helper, and what goes wrong.

use hal_o_swarm::protocol::session::Status;
use serde_json::json;

use super::stage::Stage;
use crate::opencode::desk::Kept;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_streams_and_uses_tools() {
    let Some(stage) = Stage::set("a turn of Claude Code").await else { return };
    let session = stage.play("think about it").await;
    let made = stage.project.join("made.txt");
    stage.say(&session, &format!("write {} good words\nsay hello there my friend", made.display())).await;
    assert_eq!(stage.allow(&session).await, format!("once: {}", made.display()));
    stage.wait_turns(&session, 2).await;
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "good words");
    let said = stage.texts(&session);
    assert!(said[0] == "think about it" && said.contains(&"hello there my friend".to_owned()), "{said:?}");
    stage.desk.look(|record| {
        let of = |kind: &str| record.of(session.as_str(), kind);
        let info = &of("session.created")[0].data["info"];
        assert_eq!((&info["title"], &info["directory"]), (&json!("think about it"), &json!(stage.project)));
        let words: String = record.live.iter().filter_map(|(_, data)| data["delta"].as_str()).collect();
        assert!(words.contains("hello there my friend"), "it is streamed: {words}");
        let parts = of("message.part.updated");
        let tools: Vec<&&Kept> = parts.iter().filter(|event| event.data["part"]["type"] == "tool").collect();
        let states: Vec<&str> =
            tools.iter().filter_map(|event| event.data["part"]["state"]["status"].as_str()).collect();
        assert_eq!(states, ["running", "completed"]);
        assert_eq!(
            (&tools[0].data["part"]["tool"], &tools[0].data["part"]["kind"]),
            (&json!("Write"), &json!("edit"))
        );
        assert!(parts.iter().any(|event| event.data["part"]["type"] == "reasoning"));
        assert_eq!(of("file.edited").len(), 1);
        let held = &record.sessions[session.as_str()];
        assert_eq!(held.model.as_ref().map(|model| model.provider.as_str()), Some("anthropic"));
        assert!(held.context.is_some_and(|context| context.used > 0), "{:?}", held.context);
    });
    // The limit of the context is known from the first end of a turn on.
    stage.say(&session, "bash exit 3").await;
    stage.allow(&session).await;
    stage.wait_turns(&session, 3).await;
    stage.desk.look(|record| {
        let held = &record.sessions[session.as_str()];
        assert_eq!(held.context.and_then(|context| context.limit), Some(1_000_000));
        let parts = record.of(session.as_str(), "message.part.updated");
        let last = parts.iter().rev().find(|event| event.data["part"]["tool"] == "Bash").unwrap();
        let state = &last.data["part"]["state"];
        assert_eq!(
            (&state["status"], &state["metadata"]["exit"]),
            (&json!("completed"), &json!(3)),
            "{state}"
        );
    });
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_is_a_session_of_its_own_and_asks_for_itself() {
    let Some(stage) = Stage::set("a helper of Claude Code").await else { return };
    let session = stage.begin("task bash touch byhelper\nsay the helper works").await;
    let find = |record: &crate::opencode::desk::Record| {
        let asks = |held: &&hal_o_swarm::protocol::session::Session| {
            held.parent_id.is_some() && !held.asks.is_empty()
        };
        record.sessions.values().find(asks).cloned()
    };
    let helper = stage.desk.wait("a helper that asks", find).await;
    assert_eq!(helper.parent_id.as_ref(), Some(&session));
    assert_eq!(
        (helper.title.as_str(), helper.asks[0].what.as_str()),
        ("a part of the work", "touch byhelper")
    );
    let refused = stage.act(hal_o_swarm::agent::backend::Action::Prompt {
        session_id: helper.id.clone(),
        message: "say hello".into(),
    });
    assert!(refused.await.unwrap_err().to_string().contains("is a helper"));
    stage.answer(&helper.id, None, "once").await.unwrap();
    stage.wait_turns(&session, 1).await;
    assert!(stage.project.join("byhelper").exists());
    stage.desk.wait_status(helper.id.as_str(), Status::Idle).await;
    stage.desk.look(|record| {
        let of = |id: &str, kind: &str| record.of(id, kind).len();
        assert_eq!(of(helper.id.as_str(), "session.created"), 1);
        let last = record.events.iter().rposition(|event| event.kind == "session.idle").unwrap();
        let whose = record.events[last].session.as_deref();
        assert_eq!(whose, Some(session.as_str()), "a turn is not over before its helpers are");
    });
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_of_a_kind_and_the_session_goes_on() {
    let Some(stage) = Stage::set("errors of Claude Code").await else { return };
    let session = stage.play("error 500 1").await;
    assert!(stage.texts(&session).contains(&"It works now.".to_owned()));
    let retries = |record: &crate::opencode::desk::Record| {
        let all = record.of(session.as_str(), "session.status");
        all.iter().filter(|event| event.data["status"]["type"] == "retry").count()
    };
    assert_eq!(stage.desk.look(retries), 1);
    for (turn, prompt, kind, status) in
        [(2, "error 429", "rate_limited", json!(429)), (3, "error 401", "auth", json!(401))]
    {
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
    stage.say(&session, "say well again").await;
    stage.wait_turns(&session, 4).await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_compacted() {
    let Some(stage) = Stage::set("compaction of Claude Code").await else { return };
    let session = stage.play("say a lot").await;
    stage.say(&session, "/compact").await;
    stage.wait_turns(&session, 2).await;
    stage.desk.look(|record| assert_eq!(record.sessions[session.as_str()].compactions, 1));
    stage.say(&session, "say still here").await;
    stage.wait_turns(&session, 3).await;
    assert!(stage.texts(&session).contains(&"still here".to_owned()), "{:?}", stage.texts(&session));
    stage.strike().await;
}
