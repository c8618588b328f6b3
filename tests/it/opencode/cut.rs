//! The stream breaks while opencode works on: what was stored is given again, and the rest is made good.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use hal_o_swarm::protocol::session::Status;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::record::kept;
use super::stage::Stage;
use crate::play::wait_until;
use crate::recording::Recording;

/// A way to opencode that can be cut.
struct Bridge {
    is_open: watch::Sender<bool>,
}

impl Bridge {
    /// From the listener to a port on loopback.
    fn build(listener: TcpListener, to: u16) -> Self {
        let is_open = watch::Sender::new(true);
        let watched = is_open.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = watched.subscribe();
                tokio::spawn(async move {
                    if !*cut.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.wait_for(|is_open| !is_open) => {}
                    }
                });
            }
        });
        Self { is_open }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_loses_nothing_that_opencode_has_stored() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = listener.local_addr().unwrap().port();
    let mut bridge = None;
    // The backend goes where opencode says it listens, and this one says that it is at the near end of the bridge.
    let stage = Stage::set_through(json!({"*": "allow"}), |home, port| {
        bridge = Some(Bridge::build(listener, port));
        let program = home.path("through-the-bridge");
        let script = format!("#!/bin/sh\n{} \"$@\" | sed -u 's/:{port}/:{near}/'\n", home.binary().display());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    })
    .await;
    let bridge = bridge.unwrap();
    let recording = Recording::begin(stage.port, &stage.home.password()).await;
    let session = stage.begin("slow 30 100").await;
    stage.desk.wait("words", |record| (!record.live.is_empty()).then_some(())).await;

    bridge.is_open.send_replace(false);
    wait_until("the end of the turn", || recording.has(session.as_str(), "session.idle")).await;
    assert_eq!(stage.desk.look(|record| record.status(session.as_str())), Some(Status::Running));
    bridge.is_open.send_replace(true);

    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    let pictures = stage.desk.look(|record| record.pictures.len());
    assert_eq!(pictures, 2, "a look at everything for each time the stream was opened");
    let missing = |record: &super::desk::Record| {
        let ours: BTreeSet<String> = record.events.iter().filter_map(|event| event.id.clone()).collect();
        recording.stored().is_subset(&ours).then_some(())
    };
    stage.desk.wait("all stored events", missing).await;
    stage.say(&session, "say and on").await;
    stage
        .desk
        .wait("the next answer", |record| {
            let parts = record.of(session.as_str(), "message.part.updated");
            parts.iter().any(|event| event.data["part"]["text"] == "and on").then_some(())
        })
        .await;
    let ours = kept(&stage);
    let once: BTreeSet<&String> = ours.iter().collect();
    assert_eq!(once.len(), ours.len(), "some were kept twice");
    stage.strike().await;
}
