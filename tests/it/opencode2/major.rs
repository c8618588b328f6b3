//! Both majors on one node, one after the other: each keeps its own sessions and its own database.

use hal_o_swarm::agent::backend::{Action, BackendError};
use hal_o_swarm::protocol::session::Status;

use super::stage::{set, stand_in};
use crate::opencode::desk::Record;
use crate::opencode::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn each_major_has_a_database_of_its_own_and_leaves_the_other_s_sessions_alone() {
    let mut stage = Stage::set().await;
    let one = stage.play("say hello from one").await;
    let cut = stage.begin("slow 2000 50").await;
    stage.desk.wait_status(cut.as_str(), Status::Running).await;
    for (program, count) in [(stand_in(), 2), (stage.home.binary(), 3)] {
        stage.backend.stop().await;
        let memory = stage.desk.look(Record::memory);
        stage.replace_program(program);
        stage.open_again(memory);
        let again = |record: &Record| (record.pictures.len() >= count).then_some(());
        stage.desk.wait("it to be up again", again).await;
        let status = stage.desk.look(|record| record.status(one.as_str()));
        assert_eq!(status, Some(Status::Idle), "a session of the other major stays as it is recorded");
        stage.desk.look(|record| assert_ne!(record.status(cut.as_str()), Some(Status::Running)));
        if count == 2 {
            let two = stage.play("say hello from two").await;
            assert!(two.as_str().starts_with("ses_hal"));
            let ask = Action::Prompt { session_id: one.clone(), message: "say more".into() };
            let error = stage.act(ask).await.unwrap_err();
            assert!(matches!(&error, BackendError::NoSuch(why) if why.contains("stay with 1.x")), "{error}");
        }
    }
    let is_ended = |record: &Record| {
        let twos = record.sessions.values().filter(|one| one.id.as_str().starts_with("ses_hal"));
        twos.map(|one| record.status(one.id.as_str())).collect::<Vec<_>>()
    };
    assert_eq!(stage.desk.look(is_ended), [Some(Status::Idle)]);
    stage.say(&one, "say it goes on with one").await;
    stage.wait_turns(&one, 2).await;
    assert!(stage.home.path("agent/opencode-2/opencode.db").is_file());
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_its_sessions_again() {
    let mut stage = set().await;
    let session = stage.play("say hello").await;
    let cut = stage.begin("slow 2000 50").await;
    stage.desk.wait_status(cut.as_str(), Status::Running).await;
    stage.backend.stop().await;
    let memory = stage.desk.look(Record::memory);
    let told = stage.desk.look(|record| record.of(session.as_str(), "message.updated").len());
    stage.open_again(memory);
    let again = |record: &Record| (record.pictures.len() >= 2).then_some(());
    stage.desk.wait("it to be up again", again).await;
    let told_now = stage.desk.look(|record| record.of(session.as_str(), "message.updated").len());
    assert_eq!(told, told_now, "nothing is told again");
    stage.desk.look(|record| assert_ne!(record.status(cut.as_str()), Some(Status::Running)));
    stage.say(&session, "say after a restart").await;
    stage.wait_turns(&session, 2).await;
    stage.strike().await;
}
