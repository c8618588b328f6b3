//! Turns: what is told of them, what they used, what they ask; and that a second prompt has a turn of its own.

use hal_o_swarm::agent::backend::{Action, BackendError};
use hal_o_swarm::protocol::session::{Status, Tokens};
use serde_json::json;

use super::stage::{Program, Stage};
use crate::opencode::desk::Record;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_turn_says_does_and_uses_is_told_and_the_next_prompt_waits_for_its_end() {
    let Some(stage) = Stage::set("turns over ACP", Program::Claude).await else { return };
    let made = stage.project.join("made.txt");
    let session =
        stage.begin(&format!("write {} good words\nsay hello there my friend", made.display())).await;
    // It is told to be taken when its own turn begins.
    let ((), allowed) = tokio::join!(stage.say(&session, "usage 1000 42 300 200"), stage.allow(&session));
    assert_eq!(allowed, format!("once: {}", made.display()));
    stage.wait_turns(&session, 2).await;
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "good words");
    let said = stage.texts(&session);
    let at = |words: &str| said.iter().position(|text| text == words);
    assert!(at("hello there my friend") < at("Billed as told."), "{said:?}");
    stage.desk.look(|record| {
        let of = |kind: &str| record.of(session.as_str(), kind);
        let parts = of("message.part.updated");
        let tools = parts.iter().filter(|event| event.data["part"]["type"] == "tool");
        let states: Vec<_> =
            tools.filter_map(|event| event.data["part"]["state"]["status"].as_str()).collect();
        assert_eq!((states.first(), states.last()), (Some(&"running"), Some(&"completed")), "{states:?}");
        assert_eq!(of("file.edited").len(), 1);
        let answers = of("message.updated");
        let last = &answers
            .iter()
            .rev()
            .find(|event| event.data["info"]["role"] == "assistant")
            .unwrap()
            .data["info"];
        let told = &last["tokens"];
        assert_eq!((&told["input"], &told["output"]), (&json!(1000), &json!(42)), "{last}");
        assert_eq!(told["cache"], json!({"read": 300, "write": 200}));
        assert!(last["cost"].as_f64().unwrap() > 0.0, "{last}");
        let held = &record.sessions[session.as_str()];
        assert!(held.cost_micros > Some(0) && held.tokens != Tokens::default());
        assert_eq!(held.context.and_then(|context| context.limit), Some(1_000_000));
    });
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_turn_is_no_good_one_whatever_it_says_and_of_a_kind() {
    let Some(stage) = Stage::set("failures over ACP", Program::Claude).await else { return };
    let session = stage.play("say hello").await;
    for (turn, prompt, kind) in
        [(2, "error 400", "other"), (3, "error 401", "auth"), (4, "error 429", "rate_limited")]
    {
        stage.say(&session, prompt).await;
        stage.wait_turns(&session, turn).await;
        stage.desk.wait_status(session.as_str(), Status::Error).await;
        stage.desk.look(|record: &Record| {
            let failed = record.of(session.as_str(), "session.error");
            assert_eq!(
                failed.last().unwrap().data["error"]["kind"],
                kind,
                "{prompt}: {}",
                failed.last().unwrap().data
            );
        });
    }
    stage.say(&session, "say well again").await;
    stage.wait_turns(&session, 5).await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_is_the_programs_own_and_one_that_it_has_not_is_refused_with_those_it_has() {
    let Some(stage) = Stage::set_in_mode("modes over ACP", Program::Claude, Some("never-heard")).await else {
        return;
    };
    let error = stage.act(stage.create("say hello")).await.unwrap_err().to_string();
    assert!(
        error.contains("claude has no permission mode \"never-heard\"; it has default, ")
            && !error.contains('\n'),
        "{error}"
    );
    stage.strike().await;
    let Some(stage) = Stage::set_in_mode("modes over ACP", Program::Claude, Some("acceptEdits")).await else {
        return;
    };
    let made = stage.project.join("made.txt");
    stage.play(&format!("write {} words", made.display())).await;
    assert!(made.exists(), "it was not asked for");
    let mut create = stage.create("say hello");
    if let Action::Create { model, .. } = &mut create {
        *model = "some/model".into();
    }
    let error = stage.act(create).await.unwrap_err();
    assert!(
        matches!(&error, BackendError::Refused(why) if why.contains("takes no model from here")),
        "{error}"
    );
    stage.strike().await;
}
