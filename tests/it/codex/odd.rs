//! What Codex may say in another order, or leave out, played by a stand-in: a session is not busy for ever.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hal_o_swarm::agent::backend::codex::Codex;
use hal_o_swarm::agent::backend::piped::host::OpenConfig;
use hal_o_swarm::agent::backend::{Backend, KnownSessions, Place};
use hal_o_swarm::protocol::session::Status;

use crate::opencode::desk::Desk;
use crate::play::Play;

/// The first turn has a helper whose end is not told, and each is over before its beginning is answered.
const CODEX: &str = r#"#!/bin/sh
[ "$1" = --version ] && { echo codex-cli 0.169.0; exit; }
turn=0
tell() { printf '{"method":"%s","params":{"threadId":"%s",%s}}\n' "$1" "$2" "$3"; }
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/^{"id":\([0-9]*\),.*/\1/p')
  result='{}'
  case $line in
  *'"thread/start"'*) result='{"thread":{"id":"t1"},"model":"m","modelProvider":"p"}' ;;
  *'"turn/start"'*)
    turn=$((turn + 1))
    tell turn/started t1 '"turn":{"id":"u'$turn'"}'
    [ $turn = 1 ] && tell turn/started helper '"turn":{"id":"h1"}'
    tell item/completed t1 '"turnId":"u'$turn'","item":{"type":"agentMessage","id":"i'$turn'","text":"answer '$turn'"}'
    tell turn/completed t1 '"turn":{"id":"u'$turn'","status":"completed"}'
    [ $turn = 1 ] && tell thread/closed helper '"x":0'
    result='{"turn":{"id":"u'$turn'"}}'
    ;;
  esac
  [ -n "$id" ] && printf '{"id":%s,"result":%s}\n' "$id" "$result"
done"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_is_over_before_it_is_answered_and_a_helper_without_an_end_keep_nothing_busy() {
    let root = tempfile::Builder::new().prefix("hal-codex-odd-").tempdir().unwrap();
    let project = root.path().join("web");
    fs::create_dir_all(&project).unwrap();
    let binary = root.path().join("codex");
    fs::write(&binary, CODEX).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let (desk, reports) = Desk::start();
    let config = OpenConfig {
        binary: Some(binary),
        data_dir: root.path().to_owned(),
        places: vec![Place { directory: project.clone(), ..Place::default() }],
        environment: vec![("HOME".to_owned(), root.path().to_str().unwrap().to_owned())],
        ..OpenConfig::default()
    };
    let backend = Backend::Codex(Codex::open(config, KnownSessions::new(), reports));
    let play = Play { backend, desk, project, root: root.path().to_owned() };
    let session = play.begin("one").await;
    play.desk.wait_status(session.as_str(), Status::Idle).await;
    play.say(&session, "two").await;
    let said = |record: &crate::opencode::desk::Record| {
        let parts = record.of(session.as_str(), "message.part.updated");
        parts.iter().any(|event| event.data["part"]["text"] == "answer 2").then_some(())
    };
    play.desk.wait("the second answer", said).await;
    play.desk.wait_status(session.as_str(), Status::Idle).await;
    play.strike().await;
}
