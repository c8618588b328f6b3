//! The life of the processes: they are killed, their agent dies, both do; and a program that is something else.

use hal_o_swarm::agent::backend::{Action, BackendError, KnownSessions, ReconcileOutcome};
use hal_o_swarm::base::id::fresh;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};

use super::stage::{Stage, open};
use crate::backend::write_program;
use crate::codex_home::CodexHome;
use crate::opencode::desk::Desk;
use crate::opencode_home::FakeModel;
use crate::play::kill;

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_mid_turn_the_turn_is_known_to_be_cut_off_and_the_next_prompt_resumes() {
    let Some(stage) = Stage::set("kill -9 of Codex").await else { return };
    let session = stage.play("say remember the kettle").await;
    stage.say(&session, "bash touch begun; sleep 3006").await;
    stage.allow(&session).await;
    stage.wait_processes("sleep 3006", 1).await;
    kill(stage.home.servers()[0]);
    stage.desk.wait_status(session.as_str(), Status::Error).await;
    stage.desk.look(|record| {
        let error = record.sessions[session.as_str()].error.clone().unwrap();
        assert_eq!(error, "interrupted: the coding agent stopped in mid-turn");
        assert_eq!(record.of(session.as_str(), "session.interrupted").len(), 1);
    });
    stage.wait_processes("sleep 3006", 0).await;
    stage.say(&session, "say on we go").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    assert!(stage.texts(&session).contains(&"on we go".to_owned()));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_meets_a_dead_program_is_said_once() {
    let Some(stage) = Stage::set("a prompt to a dead Codex").await else { return };
    let session = stage.play("say first").await;
    kill(stage.home.servers()[0]);
    stage.say(&session, "say second").await;
    stage.wait_turns(&session, 2).await;
    let said = stage.texts(&session);
    assert_eq!(said.iter().filter(|text| text.as_str() == "second").count(), 1, "{said:?}");
    stage.strike().await;
}

/// The agent dies in mid-turn, with what it runs or without it.
async fn the_agent_dies(scene: &'static str, number: u32, with_codex: bool) {
    if crate::tool::npm("codex").is_err() {
        return drop(Stage::set(scene).await);
    }
    let prompt = format!("bash touch begun; sleep {number}");
    let words = format!("sleep {number}");
    let first = tokio::runtime::Runtime::new().unwrap();
    let (begin, wait) = (prompt.clone(), words.clone());
    let playing = first.spawn(async move {
        let stage = Stage::set(scene).await.unwrap();
        let command = CommandId::new(fresh());
        let create = stage.create(&begin);
        let session = SessionId::new(stage.backend.carry_out(&command, create).await.unwrap());
        stage.allow(&session).await;
        stage.wait_processes(&wait, 1).await;
        (stage, session, command)
    });
    let (mut stage, session, command) = playing.await.unwrap();
    if with_codex {
        kill(stage.home.servers()[0]);
    }
    // All its tasks are dropped where they are, as in a crash.
    first.shutdown_background();
    let memory = stage.desk.look(|record| record.memory());
    stage.open_again(memory);
    stage.desk.wait_status(session.as_str(), Status::Error).await;
    stage.wait_processes(&words, 0).await;
    let settled = stage.backend.reconcile(&command, &stage.create(&prompt)).await;
    assert_eq!(settled, ReconcileOutcome::Done(session.to_string()), "it was said");
    let never = stage.create("say never");
    assert_eq!(stage.backend.reconcile(&CommandId::new(fresh()), &never).await, ReconcileOutcome::NotDone);
    let unsaid = Action::Prompt { session_id: session.clone(), message: "say hello".into() };
    let settled = stage.backend.reconcile(&CommandId::new(fresh()), &unsaid).await;
    assert_eq!(settled, ReconcileOutcome::NotDone);
    stage.say(&session, "say here again").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    assert!(stage.texts(&session).contains(&"here again".to_owned()));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_that_died_has_left_is_ended_by_the_next_one_and_no_prompt_is_said_twice() {
    the_agent_dies("kill -9 of the agent of Codex", 3008, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_die_and_no_prompt_is_said_twice() {
    the_agent_dies("kill -9 of Codex and of its agent", 3009, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_is_found_in_its_own_record() {
    let Some(mut stage) = Stage::set("the record of Codex").await else { return };
    let (create, prompt) = (CommandId::new("create"), CommandId::new("prompt"));
    let session = SessionId::new(stage.backend.carry_out(&create, stage.create("say one")).await.unwrap());
    stage.wait_turns(&session, 1).await;
    let second = Action::Prompt { session_id: session.clone(), message: "say two".into() };
    stage.backend.carry_out(&prompt, second.clone()).await.unwrap();
    stage.wait_turns(&session, 2).await;
    stage.backend.stop().await;
    // As an agent that has lost its own.
    stage.open_again(KnownSessions::new());
    let done = |output: &str| ReconcileOutcome::Done(output.to_owned());
    assert_eq!(stage.backend.reconcile(&prompt, &second).await, done(""));
    assert_eq!(stage.backend.reconcile(&create, &stage.create("say one")).await, done(session.as_str()));
    assert_eq!(stage.backend.reconcile(&CommandId::new("x"), &second).await, ReconcileOutcome::NotDone);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_the_turn_in_order_and_its_last_words_are_heard() {
    let Some(stage) = Stage::set("a stop of the agent of Codex").await else { return };
    let session = stage.begin("bash touch begun; setsid sleep 3010 & sleep 3011").await;
    stage.allow(&session).await;
    stage.wait_processes("sleep 3011", 1).await;
    let desk = stage.desk.clone();
    stage.strike().await;
    desk.wait_status(session.as_str(), Status::Idle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrapper_that_npm_puts_on_the_path_will_do() {
    let Some(mut stage) = Stage::set("the wrapper of Codex").await else { return };
    stage.backend.stop().await;
    let binary = stage.home.binary();
    let modules = binary.ancestors().find(|folder| folder.ends_with("node_modules")).unwrap();
    let reports = stage.desk.more_reports();
    let wrapper = modules.join(".bin/codex");
    stage.backend = open(&stage.home, wrapper, &stage.project, KnownSessions::new(), reports);
    let session = stage.begin("bash touch begun; setsid sleep 3013 & sleep 3014").await;
    stage.allow(&session).await;
    stage.wait_processes("sleep 3014", 1).await;
    stage.act(Action::Kill { session_id: session.clone() }).await.unwrap();
    assert_eq!((stage.processes_of("sleep 3013").len(), stage.home.servers().len()), (0, 0));
    stage.say(&session, "say back again").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_something_else_is_one_sentence() {
    let model = FakeModel::start();
    let Some(home) = CodexHome::new("another version of Codex", &model) else { return };
    let (desk, reports) = Desk::start();
    let program = home.path("bin/codex");
    write_program(&program, "codex-cli 1.0.0");
    let project = home.project("web");
    let backend = open(&home, program.clone(), &project, KnownSessions::new(), reports);
    let why = desk.wait("the reason", |record| record.health.iter().flatten().next().cloned()).await;
    assert!(why.contains("is Codex 1.0.0, and only 0.x is supported") && !why.contains('\n'), "{why}");
    let deed = Action::Create {
        directory: project.to_str().unwrap().into(),
        prompt: "say hello".into(),
        title: String::new(),
        model: String::new(),
        agent: String::new(),
    };
    let error = backend.carry_out(&CommandId::new("c"), deed).await.unwrap_err();
    assert!(matches!(&error, BackendError::Down { why, .. } if why.contains("1.0.0")), "{error}");
    backend.stop().await;
}
