//! Majors: one that nobody here understands is never started, and what a start of 2.x has done to 1.x is named.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hal_o_swarm::agent::backend::opencode::{OpenConfig, Opencode};
use hal_o_swarm::agent::backend::{Action, Backend, BackendError, KnownSessions};
use hal_o_swarm::base::task::Tasks;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::Status;

use super::desk::Desk;
use super::stage::Stage;
use crate::opencode_home::{FakeModel, OpencodeHome};

/// What 2.x does to the database of 1.x, as far as 1.x stumbles over it.
const CHANGED_BY_2: &str = "
    DROP TABLE todo;
    DELETE FROM event;
    ALTER TABLE event RENAME TO event_of_1;
    CREATE TABLE event (id text PRIMARY KEY, aggregate_id text NOT NULL, seq integer NOT NULL, type text NOT NULL,
        data text NOT NULL, created integer NOT NULL);
    DROP TABLE event_of_1;
";

fn write_program(path: &Path, script: &str) {
    // Written beside and moved there, so that nobody runs half of it.
    let new = path.with_extension("new");
    std::fs::write(&new, script).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_major_that_is_not_understood_is_not_started_until_another_is_in_its_place() {
    let model = FakeModel::start();
    let home = OpencodeHome::new(&model, serde_json::json!({"*": "allow"}));
    let (program, calls) = (home.path("opencode"), home.path("calls"));
    let three = "#!/bin/sh\necho \"$1\" >>CALLS\n[ \"$1\" = --version ] && { echo opencode v3.0.1; exit; }\n\
        echo server listening on http://127.0.0.1:9\nexec sleep 1010\n";
    write_program(&program, &three.replace("CALLS", calls.to_str().unwrap()));
    std::fs::create_dir_all(home.path("agent")).unwrap();
    let (desk, reports) = Desk::start();
    let tasks = Tasks::new();
    let config = OpenConfig {
        binary: Some(program.clone()),
        port: 0,
        data_dir: home.path("agent"),
        places: vec![super::stage::trusted(home.project("web"))],
        environment: home.environment(),
        hold: None,
    };
    let backend = Backend::Opencode(Opencode::open(config, KnownSessions::new(), reports, &tasks));
    let why = desk.wait("the reason", |record| record.health.iter().flatten().next().cloned()).await;
    let place = program.to_str().unwrap();
    assert!(why.contains(&format!("{place} is opencode 3.0.1, and only 1.x and 2.x are supported")), "{why}");
    assert!(
        why.contains("npm install --prefix ~/opencode-1 opencode-ai@1.18") && !why.contains('\n'),
        "{why}"
    );
    let deed = Action::Look { session_id: "ses_1".into() };
    let error = backend.carry_out(&CommandId::new("c"), deed).await.unwrap_err();
    assert!(matches!(&error, BackendError::Down { why, .. } if why.contains("3.0.1")), "{error}");

    let one = format!("#!/bin/sh\nexec {} \"$@\"\n", home.binary().display());
    write_program(&program, &one);
    desk.wait("opencode 1 to be up", |record| (record.health.last() == Some(&None)).then_some(())).await;
    let called = std::fs::read_to_string(&calls).unwrap();
    assert_eq!(called, "--version\n", "it was asked once, and never started");
    backend.stop().await;
    assert!(tasks.drain(std::time::Duration::from_secs(30)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_opencode_2_has_changed_is_named_as_that() {
    let mut stage = Stage::set().await;
    let session = stage.play("say hello").await;
    stage.backend.stop().await;
    stage.tamper(CHANGED_BY_2);
    let memory = stage.desk.look(|record| record.memory());
    stage.open_again(memory);
    let again = |record: &super::desk::Record| (record.pictures.len() > 1).then_some(());
    stage.desk.wait("it to be up again", again).await;
    let error = stage.act(stage.create("say hello")).await.unwrap_err();
    assert!(error.to_string().contains("changed by a start of OpenCode 2"), "{error}");
    assert!(error.to_string().contains("OPENCODE_DB="), "it says the way out: {error}");
    let is_named = |record: &super::desk::Record| {
        let last = record.health.last()?.as_ref()?;
        last.contains("changed by a start of OpenCode 2").then_some(())
    };
    stage.desk.wait("its health to say so", is_named).await;
    let deed = Action::Prompt { session_id: session.clone(), message: "say more".into() };
    let error = stage.act(deed).await.unwrap_err();
    assert!(error.to_string().contains("changed by a start of OpenCode 2"), "{error}");
    stage.desk.look(|record| assert_eq!(record.status(session.as_str()), Some(Status::Idle)));
    stage.strike().await;
}
