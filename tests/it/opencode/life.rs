//! The life of the process: it is killed, it cannot start, its agent died, it is stopped.

use hal_o_swarm::agent::backend::opencode::{OpenConfig, Opencode};
use hal_o_swarm::agent::backend::{Action, Backend, BackendError, KnownSessions};
use hal_o_swarm::base::task::Tasks;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};
use rustix::process::{Pid, Signal, kill_process};

use super::desk::Desk;
use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_mid_turn_it_is_started_again_and_the_turn_is_known_to_be_cut_off() {
    let stage = Stage::set().await;
    let session = stage.begin("bash sleep 1005").await;
    stage.wait_processes("sleep 1005", 1).await;
    stage.desk.wait_status(session.as_str(), Status::Running).await;
    let server = stage.server();
    kill_process(Pid::from_raw(server).unwrap(), Signal::KILL).unwrap();
    stage
        .desk
        .wait("word of its end", |record| {
            record.health.iter().flatten().any(|why| why.contains("signal: 9")).then_some(())
        })
        .await;
    stage.desk.wait("it to be back", |record| (record.health.last() == Some(&None)).then_some(())).await;
    stage.desk.wait_status(session.as_str(), Status::Error).await;
    stage.desk.look(|record| {
        let error = record.sessions[session.as_str()].error.clone().unwrap();
        assert_eq!(error, "interrupted: the coding agent stopped in mid-turn");
        assert_eq!(record.of(session.as_str(), "session.interrupted").len(), 1);
    });
    assert_eq!(stage.processes_of("sleep 1005"), Vec::<i32>::new());
    assert_ne!(stage.server(), server);
    stage.say(&session, "say hello again").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_aborts_the_turn_and_its_last_words_are_heard() {
    let stage = Stage::set().await;
    let session = stage.begin("bash setsid sleep 1006 & sleep 1007").await;
    stage.wait_processes("sleep 1007", 1).await;
    let desk = stage.desk.clone();
    stage.strike().await;
    desk.wait_status(session.as_str(), Status::Idle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_that_died_has_left_is_ended_by_the_next_one() {
    let first = tokio::runtime::Runtime::new().unwrap();
    let playing = first.spawn(async {
        let stage = Stage::set().await;
        let session = stage.begin("bash sleep 1008").await;
        stage.wait_processes("sleep 1008", 1).await;
        (stage, session)
    });
    let (mut stage, session) = playing.await.unwrap();
    // All its tasks are dropped where they are, as in a crash.
    first.shutdown_background();
    stage.wait_servers(0).await;
    assert_eq!(stage.processes_of("sleep 1008").len(), 1, "the tool has outlived the agent");
    let memory = stage.desk.look(|record| record.memory());
    stage.open_again(memory);
    stage.desk.wait_status(session.as_str(), Status::Error).await;
    assert_eq!(stage.processes_of("sleep 1008"), Vec::<i32>::new());
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_start_is_reported_with_what_to_do() {
    let cases: [(&str, Option<&str>, &str); 2] = [
        ("missing", None, "npm install -g opencode-ai@1.18"),
        ("broken", Some("#!/bin/sh\necho no good reason >&2\nexit 3\n"), "\nno good reason"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, script, expected) in cases {
        let program = folder.path().join(name);
        if let Some(script) = script {
            use std::os::unix::fs::PermissionsExt;
            std::fs::write(&program, script).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let (desk, reports) = Desk::start();
        let tasks = Tasks::new();
        let config = OpenConfig {
            binary: Some(program),
            port: 0,
            data_dir: folder.path().to_owned(),
            places: Vec::new(),
            environment: Vec::new(),
            hold: None,
        };
        let backend = Backend::Opencode(Opencode::open(config, KnownSessions::new(), reports, &tasks));
        let why = desk.wait("the reason", |record| record.health.iter().flatten().next().cloned()).await;
        assert!(why.contains(expected), "{name}: {why}");
        let deed = Action::Look { session_id: SessionId::new("ses_1") };
        let error = backend.carry_out(&CommandId::new("c"), deed).await.unwrap_err();
        assert!(matches!(error, BackendError::Down { .. }), "{error}");
        backend.stop().await;
    }
}
