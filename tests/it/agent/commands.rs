//! What is asked of an agent: once, in order, and with a sentence when it cannot be.

use serde_json::json;

use hal_o_swarm::protocol::command::CommandState;
use hal_o_swarm::protocol::frame::{ToAgent, Watch};

use super::{at, scene, shop};

#[tokio::test]
async fn a_session_is_started_and_its_events_come_before_the_result() {
    let (_hub, _machine, agent, mut book, mut link) = scene().await;
    assert_eq!((link.hello.protocol, link.hello.node_id.as_str()), (2, "web-1"));
    assert_eq!(link.hello.projects[0].name.as_str(), "shop");
    let id = link
        .ask(&mut book, "c1", "create_session", shop(), json!({"prompt": "say hi; cost 0.25; run 0.2"}))
        .await;
    assert_eq!(book.acks, ["c1"]);
    assert!(book.kinds().contains(&"session.created"), "{:?}", book.kinds());
    assert!(book.kinds().contains(&"session.status"), "a wait for idle must not see the time before");
    link.until(&mut book, "the end of the turn", |book| book.count("session.idle") == 1).await;
    assert!(book.is_gapless());
    assert!(book.events.values().all(|event| {
        event.session_id.is_none() || event.project.as_ref().is_some_and(|name| name.as_str() == "shop")
    }));
    assert_eq!(book.data("session.updated").unwrap()["info"]["cost"], json!(0.25));
    link.until(&mut book, "a heartbeat", |book| {
        book.heartbeats.iter().any(|beat| beat.resources.memory_total > 0 && beat.last_seq > 0)
    })
    .await;
    let status = link.ask(&mut book, "c2", "session_status", at(&id), json!({})).await;
    assert_eq!(status, "idle");
    agent.stop().await;
}

#[tokio::test]
async fn a_command_that_comes_twice_has_one_effect() {
    let (hub, machine, agent, mut book, mut link) = scene().await;
    let args = json!({"prompt": "burst 1"});
    link.command("c1", "create_session", shop(), args.clone()).await;
    link.command("c1", "create_session", shop(), args.clone()).await;
    link.until(&mut book, "the tick", |book| book.count("session.idle") == 1 && !book.results.is_empty())
        .await;
    link.command("c1", "create_session", shop(), args.clone()).await;
    link.until(&mut book, "the same result again", |book| book.results.len() > 1).await;
    assert_eq!(book.results[0].output, book.results[1].output);

    agent.stop().await;
    drop(link);
    let agent = machine.start();
    let mut link = hub.accept(&mut book).await;
    book.results.clear();
    link.command("c1", "create_session", shop(), args).await;
    let result = link.result(&mut book, "c1").await;
    assert_eq!(result.state, Some(CommandState::Done));
    assert_eq!((book.count("session.created"), book.count("echo.tick")), (1, 1));
    agent.stop().await;
}

#[tokio::test]
async fn a_permission_is_asked_and_given() {
    let (_hub, _machine, agent, mut book, mut link) = scene().await;
    let prompt = json!({"prompt": "ask rm -rf build; burst 1"});
    let id = link.ask(&mut book, "c1", "create_session", shop(), prompt).await;
    link.until(&mut book, "the question", |book| book.count("permission.asked") == 1).await;
    assert_eq!(book.data("permission.asked").unwrap()["metadata"]["command"], json!("rm -rf build"));
    link.ask(&mut book, "c2", "answer_permission", at(&id), json!({"reply": "once"})).await;
    link.until(&mut book, "the end", |book| book.count("session.idle") == 1).await;
    assert_eq!(book.count("echo.tick"), 1);
    link.command("c3", "answer_permission", at(&id), json!({"reply": "once"})).await;
    let late = link.result(&mut book, "c3").await;
    assert_eq!(late.state, Some(CommandState::Failed));
    assert!(late.error.unwrap().contains("waits for no permission"));
    agent.stop().await;
}

#[tokio::test]
async fn an_abort_ends_the_turn_and_a_kill_drops_what_waits() {
    let (_hub, _machine, agent, mut book, mut link) = scene().await;
    let id = link.ask(&mut book, "c1", "create_session", shop(), json!({"prompt": "run 600"})).await;
    link.ask(&mut book, "c2", "abort_session", at(&id), json!({})).await;
    assert_eq!(book.count("session.idle"), 1, "the end of the turn comes before the result");
    link.ask(&mut book, "c3", "prompt_session", at(&id), json!({"message": "run 600"})).await;
    link.ask(&mut book, "c4", "prompt_session", at(&id), json!({"message": "burst 1"})).await;
    link.ask(&mut book, "c5", "kill_session", at(&id), json!({})).await;
    assert_eq!(book.data("session.ended").unwrap()["reason"], json!("killed"));
    assert_eq!(book.count("echo.tick"), 0, "what waited is dropped");
    link.ask(&mut book, "c6", "prompt_session", at(&id), json!({"message": "burst 1"})).await;
    link.until(&mut book, "its revival", |book| book.count("echo.tick") == 1).await;
    agent.stop().await;
}

#[tokio::test]
async fn what_has_lapsed_is_never_begun() {
    let (_hub, _machine, agent, mut book, mut link) = scene().await;
    let args = json!({"prompt": "burst 1"});
    link.command_with_ttl("c1", "create_session", shop(), args.clone(), 0).await;
    assert_eq!(link.result(&mut book, "c1").await.state, Some(CommandState::Expired));
    book.results.clear();
    link.command("c1", "create_session", shop(), args).await;
    assert_eq!(link.result(&mut book, "c1").await.state, Some(CommandState::Expired), "a late copy");
    link.ask(&mut book, "c2", "create_session", shop(), json!({"prompt": ""})).await;
    assert_eq!(book.count("session.created"), 1);
    agent.stop().await;
}

#[tokio::test]
async fn refusals_are_sentences() {
    let (_hub, machine, agent, mut book, mut link) = scene().await;
    link.command("c1", "create_session", json!({"project": "shpo"}), json!({"prompt": "x"})).await;
    link.command("c2", "dance", shop(), json!({})).await;
    link.command("c3", "prompt_session", at("ses_none"), json!({"message": "x"})).await;
    std::fs::remove_dir(&machine.config.projects[0].directory).unwrap();
    link.command("c4", "create_session", shop(), json!({"prompt": "x"})).await;
    for (id, sentence) in [
        ("c1", "did you mean \"shop\"?"),
        ("c2", "unknown command type \"dance\""),
        ("c3", "no session ses_none on this node"),
        ("c4", "does not exist"),
    ] {
        let result = link.result(&mut book, id).await;
        assert_eq!(result.state, Some(CommandState::Failed));
        let error = result.error.unwrap();
        assert!(error.contains(sentence), "{id}: {error}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn live_things_come_only_while_somebody_watches() {
    let (_hub, _machine, agent, mut book, mut link) = scene().await;
    let id = link.ask(&mut book, "c1", "create_session", shop(), json!({"prompt": "say not watched"})).await;
    link.until(&mut book, "the end", |book| book.count("session.idle") == 1).await;
    assert!(book.live.is_empty());
    let watch = Watch { all: false, session_ids: vec![id.as_str().into()] };
    link.say(ToAgent::Watch(watch)).await;
    link.ask(&mut book, "c2", "prompt_session", at(&id), json!({"message": "say now watched"})).await;
    link.until(&mut book, "deltas", |book| book.live.len() == 2).await;
    assert_eq!(book.live[0].kind, "message.part.delta");
    agent.stop().await;
}
