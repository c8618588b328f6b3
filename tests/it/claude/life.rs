//! The life of the processes: they are killed, their agent dies, it is stopped; and a program that is something else.

use hal_o_swarm::agent::backend::{Action, BackendError, KnownSessions, ReconcileOutcome};
use hal_o_swarm::base::id::fresh;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};

use super::stage::{Stage, open};
use crate::backend::write_program;
use crate::claude_home::ClaudeHome;
use crate::opencode::desk::Desk;
use crate::opencode_home::FakeModel;
use crate::play::kill;

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_mid_turn_the_turn_is_known_to_be_cut_off_and_the_next_prompt_resumes() {
    let Some(stage) = Stage::set("kill -9 of Claude Code").await else { return };
    let session = stage.play("say remember the kettle").await;
    stage.say(&session, "bash touch begun; sleep 2006").await;
    stage.allow(&session).await;
    stage.wait_processes("sleep 2006", 1).await;
    kill(stage.programs()[0]);
    stage.desk.wait_status(session.as_str(), Status::Error).await;
    stage.desk.look(|record| {
        let error = record.sessions[session.as_str()].error.clone().unwrap();
        assert_eq!(error, "interrupted: the coding agent stopped in mid-turn");
        assert_eq!(record.of(session.as_str(), "session.interrupted").len(), 1);
    });
    stage.wait_processes("sleep 2006", 0).await;
    stage.say(&session, "say on we go").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    assert!(stage.texts(&session).contains(&"on we go".to_owned()));
    let arguments = std::fs::read(format!("/proc/{}/cmdline", stage.programs()[0])).unwrap();
    assert!(
        String::from_utf8_lossy(&arguments).contains(&format!("--resume\0{session}")),
        "it has its record again"
    );
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_that_died_has_left_is_ended_by_the_next_one_and_no_prompt_is_said_twice() {
    if crate::tool::npm("claude").is_err() {
        return drop(Stage::set("kill -9 of the agent of Claude Code").await);
    }
    let first = tokio::runtime::Runtime::new().unwrap();
    let playing = first.spawn(async {
        let stage = Stage::set("kill -9 of the agent").await.unwrap();
        let command = CommandId::new(fresh());
        let create = stage.create("bash touch begun; sleep 2008");
        let session = SessionId::new(stage.backend.carry_out(&command, create).await.unwrap());
        stage.allow(&session).await;
        stage.wait_processes("sleep 2008", 1).await;
        (stage, session, command)
    });
    let (mut stage, session, command) = playing.await.unwrap();
    // All its tasks are dropped where they are, as in a crash.
    first.shutdown_background();
    let memory = stage.desk.look(|record| record.memory());
    stage.open_again(memory);
    stage.desk.wait_status(session.as_str(), Status::Error).await;
    stage.wait_processes("sleep 2008", 0).await;
    let create = stage.create("bash touch begun; sleep 2008");
    let settled = stage.backend.reconcile(&command, &create).await;
    assert_eq!(settled, ReconcileOutcome::Done(session.to_string()), "it was said");
    let unsaid = Action::Prompt { session_id: session.clone(), message: "say hello".into() };
    let settled = stage.backend.reconcile(&CommandId::new(fresh()), &unsaid).await;
    assert_eq!(settled, ReconcileOutcome::NotDone);
    stage.say(&session, "say here again").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    assert!(stage.texts(&session).contains(&"here again".to_owned()));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_the_turn_in_order_and_its_last_words_are_heard() {
    let Some(stage) = Stage::set("a stop of the agent of Claude Code").await else { return };
    let session = stage.begin("bash touch begun; setsid sleep 2009 & sleep 2010").await;
    stage.allow(&session).await;
    stage.wait_processes("sleep 2010", 1).await;
    let desk = stage.desk.clone();
    stage.strike().await;
    desk.wait_status(session.as_str(), Status::Idle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_something_else_is_one_sentence_until_it_is_replaced() {
    let model = FakeModel::start();
    let Some(home) = ClaudeHome::new("another version of Claude Code", &model) else { return };
    let (desk, reports) = Desk::start();
    let program = home.path("bin/claude");
    write_program(&program, "3.0.1 (Claude Code)");
    let project = home.project("web");
    let backend = open(&home, program.clone(), &project, KnownSessions::new(), reports);
    let why = desk.wait("the reason", |record| record.health.iter().flatten().next().cloned()).await;
    assert!(why.contains("is Claude Code 3.0.1, and only 2.x is supported") && !why.contains('\n'), "{why}");
    let deed = Action::Create {
        directory: project.to_str().unwrap().into(),
        prompt: "say hello".into(),
        title: String::new(),
        model: String::new(),
        agent: String::new(),
    };
    let error = backend.carry_out(&CommandId::new("c"), deed).await.unwrap_err();
    assert!(matches!(&error, BackendError::Down { why, .. } if why.contains("3.0.1")), "{error}");
    let new = home.path("bin/new");
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", home.binary().display());
    std::fs::write(&new, script).unwrap();
    std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(&new, &program).unwrap();
    desk.wait("the right one", |record| (record.health.last() == Some(&None)).then_some(())).await;
    backend.stop().await;
}
