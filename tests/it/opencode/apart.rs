//! One bad thing takes nothing along: a request that cannot be listed, a project that cannot be loaded, a session that
//! is damaged.

use std::path::{Path, PathBuf};
use std::process::Command;

use hal_o_swarm::agent::backend::Action;
use hal_o_swarm::protocol::session::{Activity, SessionId, Status};
use serde_json::json;

use super::stage::Stage;

/// opencode 1.18 asks for this one and then cannot list it, nor any other of the directory.
const UNLISTABLE: &str = r#"tool webfetch {"url": "http://127.0.0.1:9/nothing", "format": "text"}"#;

fn answer(session: &SessionId, request: Option<String>, reply: &str) -> Action {
    Action::AnswerPermission {
        session_id: session.clone(),
        request_id: request,
        reply: reply.into(),
        message: String::new(),
    }
}

async fn begin_waiting(stage: &Stage, prompt: &str) -> SessionId {
    let session = stage.begin(prompt).await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    session
}

/// Waits until it was said of a directory that it cannot be worked in, and tells why.
async fn why_not(stage: &Stage, directory: &Path) -> String {
    let place = directory.to_str().unwrap();
    stage.desk.wait(&format!("{place} to fail"), |record| record.places.get(place).cloned().flatten()).await
}

/// Waits until it can be worked in again.
async fn works_again(stage: &Stage, directory: &Path) {
    let place = directory.to_str().unwrap();
    let is_well = |record: &super::desk::Record| record.places.get(place)?.is_none().then_some(());
    stage.desk.wait(&format!("{place} to work"), is_well).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_cannot_be_listed_stands_in_nobodys_way() {
    let stage = Stage::set_with(json!({"*": "allow", "webfetch": "ask", "bash": "ask"})).await;
    let fetching = begin_waiting(&stage, UNLISTABLE).await;
    let listed = reqwest::Client::new()
        .get(format!("http://127.0.0.1:{}/permission", stage.port))
        .query(&[("directory", stage.project.to_str().unwrap())])
        .basic_auth("opencode", Some(stage.home.password()))
        .send()
        .await
        .unwrap();
    assert_eq!(listed.status(), 400, "this opencode can list it, and the scene shows nothing");

    let asking = begin_waiting(&stage, "bash touch allowed").await;
    assert_eq!(stage.act(answer(&asking, None, "once")).await.unwrap(), "once: touch allowed");
    stage.desk.wait_status(asking.as_str(), Status::Idle).await;
    assert!(stage.project.join("allowed").exists());

    let talking = stage.begin("slow 1000 100").await;
    stage.desk.wait("words", |record| (record.live.len() > 2).then_some(())).await;
    let output = stage.act(Action::Abort { session_id: talking.clone() }).await.unwrap();
    assert_eq!(output, "the turn was stopped");
    stage.say(&talking, "slow 1000 100").await;
    stage.desk.wait_status(talking.as_str(), Status::Running).await;
    stage.act(Action::Kill { session_id: talking.clone() }).await.unwrap();
    stage.desk.wait_status(talking.as_str(), Status::Ended).await;

    assert_eq!(stage.act(Action::Look { session_id: fetching.clone() }).await.unwrap(), "waiting");
    let request = stage.desk.look(|record| record.sessions[fetching.as_str()].asks[0].id.clone());
    let reject = answer(&fetching, Some(request.clone()), "reject");
    assert_eq!(stage.act(reject).await.unwrap(), "reject: http://127.0.0.1:9/nothing");
    stage.desk.wait_status(fetching.as_str(), Status::Idle).await;
    let error = stage.act(answer(&fetching, Some(request), "reject")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("session {fetching} waits for no permission"));

    // It can be stopped as well.
    let fetching = begin_waiting(&stage, UNLISTABLE).await;
    let output = stage.act(Action::Abort { session_id: fetching.clone() }).await.unwrap();
    assert_eq!(output, "the turn was stopped");
    stage.desk.wait_status(fetching.as_str(), Status::Idle).await;
    stage.strike().await;
}

/// A project, and in it the `opencode.json` that `make` makes.
fn project_with(home: &crate::opencode_home::OpencodeHome, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let folder = home.project(name);
    make(&folder.join("opencode.json"));
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_that_cannot_be_loaded_are_in_error_alone_and_come_back_when_mended() {
    let stage = Stage::set_among(|home| {
        vec![
            project_with(home, "broken", |file| std::fs::write(file, "{ \"model\": ").unwrap()),
            project_with(home, "typed", |file| std::fs::write(file, r#"{"model": 7}"#).unwrap()),
            project_with(home, "folder", |file| std::fs::create_dir(file).unwrap()),
            // Whoever reads this file waits for ever.
            project_with(home, "slow", |file| {
                assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
            }),
        ]
    })
    .await;
    let [broken, typed, folder, slow] = [0, 1, 2, 3].map(|at| stage.others[at].clone());
    for (place, expected) in [(&broken, "ValueExpected"), (&typed, "model: Expected string")] {
        let why = why_not(&stage, place).await;
        let file = place.join("opencode.json");
        assert!(why.contains(file.to_str().unwrap()) && why.contains(expected), "{why}");
    }
    let why = why_not(&stage, &folder).await;
    assert!(why.contains(folder.to_str().unwrap()), "{why}");
    let why = why_not(&stage, &slow).await;
    assert!(why.contains("did not answer within 20 s"), "{why}");

    // All of that while opencode runs, and works elsewhere.
    let server = stage.server();
    stage.play("say hello").await;
    assert_eq!(stage.desk.look(|record| record.health.clone()), [None]);
    let error = stage.act(stage.create_in(&broken, "say hello")).await.unwrap_err();
    assert!(error.to_string().contains(broken.join("opencode.json").to_str().unwrap()), "{error}");

    // What was mended is read again, but not before the turn that runs is over.
    let busy = stage.begin("slow 40 100").await;
    stage.desk.wait_status(busy.as_str(), Status::Running).await;
    std::fs::write(broken.join("opencode.json"), "{}").unwrap();
    works_again(&stage, &broken).await;
    stage.desk.look(|record| assert_eq!(record.status(busy.as_str()), Some(Status::Idle)));
    assert_ne!(stage.server(), server);
    let session = SessionId::new(stage.act(stage.create_in(&broken, "say hello")).await.unwrap());
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    assert_eq!(stage.desk.look(|record| record.health.clone()), [None], "nothing was said to be down");

    // One that hangs is no reason to cut the turns of the others off.
    let last = stage.begin("bash sleep 1009").await;
    stage.wait_processes("sleep 1009", 1).await;
    let desk = stage.desk.clone();
    stage.strike().await;
    desk.wait_status(last.as_str(), Status::Idle).await;
    desk.look(|record| assert_eq!(record.of(last.as_str(), "session.interrupted").len(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_session_is_in_error_alone_and_a_damaged_list_its_project() {
    let mut stage = Stage::set_among(|home| vec![home.project("other")]).await;
    let damaged = stage.play("say hello").await;
    let whole = stage.play("say hello").await;
    stage.backend.stop().await;
    stage.tamper(&format!("UPDATE message SET data = '{{oops' WHERE session_id = '{damaged}'"));
    let mut memory = stage.desk.look(|record| record.memory());
    for known in memory.values_mut() {
        // As after a crash in the middle of both turns.
        known.session.activity = Activity::Busy;
    }
    let looks = stage.desk.look(|record| record.pictures.len());
    stage.open_again(memory.clone());
    let seen = stage.desk.wait("a picture", |record| record.pictures.get(looks).cloned()).await;
    let error_of = |id: &SessionId| seen.iter().find(|one| one.id == *id).unwrap().error.clone();
    let why = error_of(&damaged).unwrap();
    assert!(why.contains("cannot be read") && why.contains("JSON"), "{why}");
    assert_eq!(error_of(&whole), None);
    let deed = Action::Prompt { session_id: whole.clone(), message: "say more".into() };
    stage.act(deed).await.unwrap();
    stage.desk.wait_status(whole.as_str(), Status::Idle).await;

    stage.backend.stop().await;
    stage.tamper(&format!("UPDATE session SET metadata = '{{oops' WHERE id = '{damaged}'"));
    stage.open_again(memory);
    let why = why_not(&stage, &stage.project).await;
    assert!(why.contains(stage.project.to_str().unwrap()) && why.contains("JSON"), "{why}");
    // What cannot be seen is not said to be gone, and the other project is worked in.
    let other = stage.others[0].clone();
    let session = SessionId::new(stage.act(stage.create_in(&other, "say hello")).await.unwrap());
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.desk.look(|record| assert!(record.unseen.contains(&whole), "{:?}", record.unseen));
    // It can be stopped although nothing is known of it but its name.
    stage.act(Action::Abort { session_id: damaged }).await.unwrap();
    stage.strike().await;
}
