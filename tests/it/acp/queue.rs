//! What is said to a program that takes one thing at a time, starts slowly, or does not read: told as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use hal_o_swarm::agent::backend::acp::name::AcpName;
use hal_o_swarm::agent::backend::{
    Action, Backend, BackendError, BackendKind, KnownSessions, Launch, Opening, Place,
};
use hal_o_swarm::base::id::fresh;
use hal_o_swarm::base::task::Tasks;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::opencode::desk::{Desk, Record};
use crate::play::wait_until;

/// Writes down what it is told, and answers all but prompts, until they are cancelled.
const PROGRAM: &str = r#"#!/bin/sh
answer() { id=$(printf '%s' "$1" | sed 's/.*"id":\([0-9]*\).*/\1/'); printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$2"; }
echo started >>LOG
while read -r line; do
  printf '%s\n' "$line" >>LOG
  case $line in
  *'"initialize"'*) answer "$line" '"result":{"protocolVersion":1,"agentInfo":{"name":"x","version":"1.2.3"},"agentCapabilities":{}}' ;;
  *'"session/new"'*) AT_NEW ;;
  *'"session/prompt"'*) last=$line ;;
  *'"session/cancel"'*) answer "$last" '"result":{"stopReason":"cancelled"}' ;;
  *'_hal/ping'*) answer "$line" '"error":{"code":-32601,"message":"no"}' ;;
  esac
done
"#;

/// Begins a session.
const BEGINS: &str = r#"answer "$line" '"result":{"sessionId":"s1"}'"#;

struct Stage {
    root: TempDir,
    desk: Desk,
    backend: Backend,
}

impl Stage {
    async fn set(name: &str, at_new: &str) -> Self {
        let root = tempfile::Builder::new().prefix("hal-acp-queue-").tempdir().unwrap();
        let program = root.path().join("program");
        let log = root.path().join("log");
        let script = PROGRAM.replace("AT_NEW", at_new).replace("LOG", log.to_str().unwrap());
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["web", "agent"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let (desk, reports) = Desk::start();
        let opening = Opening {
            program: None,
            launch: Launch { command: vec![program.to_str().unwrap().into()], env: Vec::new() },
            port: 0,
            data_dir: root.path().join("agent"),
            places: vec![Place {
                directory: root.path().join("web"),
                trusted: Some(true),
                ..Place::default()
            }],
            memory: KnownSessions::new(),
            reports,
            tasks: Tasks::new(),
            hold: None,
        };
        let backend = Backend::open(BackendKind::Acp(AcpName::register(name).unwrap()), opening);
        desk.wait("the program to be found", |record| record.health.contains(&None).then_some(())).await;
        Self { root, desk, backend }
    }

    async fn act(&self, action: Action) -> Result<String, BackendError> {
        self.backend.carry_out(&CommandId::new(fresh()), action).await
    }

    async fn begin(&self) -> Result<SessionId, BackendError> {
        let create = Action::Create {
            directory: self.root.path().join("web").to_str().unwrap().into(),
            prompt: "say one".into(),
            title: String::new(),
            model: String::new(),
            agent: String::new(),
        };
        self.act(create).await.map(SessionId::new)
    }

    /// How often it was told something.
    fn told(&self, words: &str) -> usize {
        fs::read_to_string(self.root.path().join("log")).unwrap_or_default().matches(words).count()
    }
}

fn prompt(session: &SessionId) -> Action {
    Action::Prompt { session_id: session.clone(), message: "say two".into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_end_of_a_turn_is_not_told_to_be_taken() {
    let stage = Stage::set("queue", BEGINS).await;
    let session = stage.begin().await.unwrap();
    stage.desk.wait_status(session.as_str(), Status::Running).await;
    let mut second = std::pin::pin!(stage.act(prompt(&session)));
    assert!(futures_util::poll!(&mut second).is_pending());
    stage.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    let dropped = second.await.unwrap_err();
    assert!(
        matches!(&dropped, BackendError::Refused(why) if why.contains("it is not worked on")),
        "{dropped}"
    );
    wait_until("the cancel to be read", || stage.told("session/cancel") == 1).await;
    assert_eq!((stage.told("session/prompt"), stage.told("_hal/ping")), (1, 1), "nothing was said of it");
    // The turn before has ended: what is seen to run from here on is the next one.
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    // What waits is said when the turn is over, and is taken then.
    let (first, second) = tokio::join!(stage.act(prompt(&session)), async {
        stage.desk.wait_status(session.as_str(), Status::Running).await;
        let mut second = std::pin::pin!(stage.act(prompt(&session)));
        assert!(futures_util::poll!(&mut second).is_pending());
        stage.act(Action::Kill { session_id: session.clone() }).await.unwrap();
        second.await
    });
    first.unwrap();
    assert!(matches!(second, Err(BackendError::Refused(_))), "{second:?}");
    stage.backend.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_hangs_does_not_hold_up_a_kill_or_an_abort() {
    // It begins a session once; the second time it says nothing.
    let once = format!("[ -e LOG.begun ] || {{ : >LOG.begun; {BEGINS}; }}");
    let stage = Stage::set("slow", &once).await;
    let session = stage.begin().await.unwrap();
    let stops = [
        Action::Kill { session_id: session.clone() },
        Action::Abort { session_id: session.clone() },
        Action::Kill { session_id: session.clone() },
    ];
    for (count, stop) in stops.into_iter().enumerate() {
        if count > 0 {
            let asked = stage.told("session/new") + 1;
            let said = async { stage.act(prompt(&session)).await };
            let stopped = async {
                wait_until("it to be asked for a session", || stage.told("session/new") == asked).await;
                timeout(Duration::from_secs(20), stage.act(stop))
                    .await
                    .expect("the start held it up")
                    .unwrap()
            };
            let (said, stopped) = tokio::join!(said, stopped);
            assert!(
                matches!(&said, Err(BackendError::Refused(why)) if why.contains("not worked on")),
                "{said:?}"
            );
            assert!(!stopped.is_empty());
            continue;
        }
        stage.act(stop).await.unwrap();
    }
    stage.backend.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_could_not_be_written_it_is_not_known_whether_it_was_read() {
    // It closes its ears before it begins the session.
    let deaf = format!("{BEGINS} >LOG.answer; exec <&-; cat LOG.answer; exec sleep 1003");
    let stage = Stage::set("deaf", &deaf).await;
    let command = CommandId::new(fresh());
    let create = Action::Create {
        directory: stage.root.path().join("web").to_str().unwrap().into(),
        prompt: "say one".into(),
        title: String::new(),
        model: String::new(),
        agent: String::new(),
    };
    let outcome = stage.backend.carry_out(&command, create.clone()).await;
    assert!(matches!(outcome, Err(BackendError::Silent { .. })), "{outcome:?}");
    let settled = stage.backend.reconcile(&command, &create).await;
    assert_eq!(settled, hal_o_swarm::agent::backend::ReconcileOutcome::Unknown, "it is settled by looking");
    stage.desk.look(|record: &Record| assert!(record.health.contains(&None)));
    stage.backend.stop().await;
}
