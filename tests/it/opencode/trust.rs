//! A checkout that brings a plugin and a server along: opencode is asked nothing about it before a person has said so.

use std::fs;
use std::path::Path;

use hal_o_swarm::agent::backend::{Backend, BackendError, Place};
use hal_o_swarm::protocol::session::{SessionId, Status};
use serde_json::json;

use super::stage::{Stage, trusted};
use crate::play::wait_until;

/// Makes the checkout.
fn brings(project: &Path) {
    let touch = |name: &str| project.join(name).display().to_string();
    fs::create_dir_all(project.join(".opencode/plugin")).unwrap();
    let plugin = format!(
        "import {{ writeFileSync }} from \"node:fs\"\nwriteFileSync({:?}, \"\")\nexport const Brought = async () => ({{}})\n",
        touch("ran-plugin")
    );
    fs::write(project.join(".opencode/plugin/brought.ts"), plugin).unwrap();
    let server = json!({"type": "local", "command": ["touch", touch("ran-server")], "enabled": true});
    fs::write(project.join("opencode.json"), json!({"mcp": {"brought": server}}).to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_checkout_runs_before_a_person_has_said_so() {
    let stage = Stage::set_beside(|home| {
        let project = home.project("brought");
        brings(&project);
        project
    })
    .await;
    let other = stage.others[0].clone();
    let place = other.to_str().unwrap();
    let why = |record: &super::desk::Record| record.places.get(place).cloned().flatten();
    let why = stage.desk.wait("the project to be left alone", why).await;
    assert!(why.contains("brought/opencode.json of the checkout") && !why.contains('\n'), "{why}");
    let error = stage.act(stage.create_in(&other, "say hello")).await.unwrap_err();
    assert!(matches!(&error, BackendError::Refused(why) if why.contains("opencode.json")), "{error}");
    // The neighbour has its turns, and opencode its looks at everything.
    let session = stage.play("say hello").await;
    let have_run = || ["ran-plugin", "ran-server"].map(|name| other.join(name).exists());
    assert_eq!(have_run(), [false, false]);
    stage.desk.wait_status(session.as_str(), Status::Idle).await;

    let Backend::Opencode(backend) = &stage.backend else { panic!() };
    let places: Vec<Place> = [&stage.project, &other].into_iter().cloned().map(trusted).collect();
    backend.work_in(&places);
    let begun = stage.act(stage.create_in(&other, "say it is allowed")).await.unwrap();
    stage.desk.wait_event(SessionId::new(&begun).as_str(), "session.idle").await;
    wait_until("what it brings to run", || have_run() == [true, true]).await;
    stage.strike().await;
}
