//! Our record against a recording of opencode's own stream: the same identities, nothing missing.

use std::collections::BTreeSet;

use hal_o_swarm::agent::backend::Action;
use hal_o_swarm::protocol::session::Status;
use rustix::process::{Pid, Signal, kill_process};

use super::stage::Stage;
use crate::recording::Recording;

/// Identities of what was kept, in the order it was reported.
pub fn kept(stage: &Stage) -> Vec<String> {
    stage.desk.look(|record| record.events.iter().filter_map(|event| event.id.clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_durable_event_of_the_stream_is_kept_once_with_its_identity() {
    let stage = Stage::set().await;
    let recording = Recording::begin(stage.port, &stage.home.password()).await;
    let file = stage.project.join("made.txt");
    let prompt = format!(
        "bash for n in 1 2 3; do echo $n; sleep 0.3; done\nwrite {} text\ntodo\ntask bash echo deep",
        file.display()
    );
    let first = stage.begin(&prompt).await;
    let second = stage.begin("error 500 1").await;
    stage.desk.wait_event(first.as_str(), "session.idle").await;
    stage.desk.wait_event(second.as_str(), "session.idle").await;
    let third = stage.begin("hang").await;
    stage.desk.wait_status(third.as_str(), Status::Running).await;
    stage.act(Action::Abort { session_id: third.clone() }).await.unwrap();
    stage.desk.wait_status(third.as_str(), Status::Idle).await;
    let same = |record: &super::desk::Record| {
        let ours: BTreeSet<String> = record.events.iter().filter_map(|event| event.id.clone()).collect();
        recording.durable().is_subset(&ours).then_some(())
    };
    stage.desk.wait("all recorded events", same).await;
    let (ours, theirs) = (kept(&stage), recording.durable());
    let once: BTreeSet<String> = ours.iter().cloned().collect();
    assert_eq!(once.len(), ours.len(), "some were kept twice");
    assert!(theirs.len() > 60, "only {} were recorded", theirs.len());
    // The recording began a little later than ours.
    let first_recorded = theirs.first().unwrap();
    let more: Vec<_> = once.difference(&theirs).filter(|id| *id > first_recorded).collect();
    assert!(more.is_empty(), "kept what was not said: {more:?}");
    stage.desk.look(|record| {
        assert!(record.events.iter().any(|event| event.kind == "file.edited"));
        let marked = record.events.iter().filter(|event| event.mark.is_some()).count();
        let numbered = record
            .events
            .iter()
            .filter(|event| event.id.is_some() && event.kind.starts_with("message."))
            .count();
        assert!(marked >= numbered, "{marked} of {numbered} have their number");
        let same_directory = record.events.iter().filter_map(|event| event.directory.as_deref());
        assert!(same_directory.into_iter().all(|directory| directory == stage.project.to_str().unwrap()));
    });
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_unheard_is_given_again_with_its_identity() {
    let stage = Stage::set().await;
    let session = stage.begin("slow 40 100").await;
    stage.desk.wait_status(session.as_str(), Status::Running).await;
    let recording = Recording::begin(stage.port, &stage.home.password()).await;
    // A desk that remembers only the beginning: what came after must be given again, from the mark on.
    let memory = stage.desk.look(|record| record.memory());
    let before: BTreeSet<String> = kept(&stage).into_iter().collect();
    stage.desk.wait_event(session.as_str(), "session.idle").await;
    let after: BTreeSet<String> = kept(&stage).into_iter().collect();
    let stored = |id: &String, record: &super::desk::Record| {
        record.events.iter().any(|event| event.id.as_ref() == Some(id) && event.mark.is_some())
    };
    let missed: BTreeSet<String> = stage
        .desk
        .look(|record| after.difference(&before).filter(|id| stored(id, record)).cloned().collect());
    assert!(missed.len() > 5 && !recording.durable().is_empty());
    let server = stage.server();
    let mut stage = stage;
    let (desk, _) = super::desk::Desk::start();
    let first = std::mem::replace(&mut stage.desk, desk);
    stage.backend.stop().await;
    assert!(kill_process(Pid::from_raw(server).unwrap(), Signal::KILL).is_err(), "it was stopped");
    stage.open_again(memory);
    let wanted = missed.clone();
    stage
        .desk
        .wait("the missed events", |record| {
            let ids: BTreeSet<String> = record.events.iter().filter_map(|event| event.id.clone()).collect();
            wanted.is_subset(&ids).then_some(())
        })
        .await;
    let again = kept(&stage);
    assert!(again.iter().all(|id| !before.contains(id)), "what was remembered is not given again");
    drop(first);
    stage.strike().await;
}
