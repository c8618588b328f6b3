//! Turns of the echo backend, seen from the session manager's side.

use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::backend::{KnownSession, REPORT_QUEUE};
use hal_base::clock::Time;
use hal_protocol::event::form;
use hal_protocol::session::{AskKind, Status};

/// What a session manager would see: the events folded into one session.
struct Ear {
    heard: mpsc::Receiver<Report>,
    session: Session,
    kinds: Vec<String>,
    mark: Option<u64>,
}

impl Ear {
    fn new(heard: mpsc::Receiver<Report>) -> Self {
        let session =
            hal_protocol::session::Session::new("echo_1".into(), "node".into(), "shop".into(), Time(1));
        Self { heard, session, kinds: Vec::new(), mark: None }
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let next = tokio::time::timeout(Duration::from_secs(10), self.heard.recv()).await;
            if let Report::Event(event) = next.expect("an event in time").expect("an open backend") {
                let what = form::read(&event.kind, &event.data);
                rules::session::apply(&mut self.session, &what, event.occurred_at);
                self.mark = event.mark.or(self.mark);
                self.kinds.push(event.kind);
            }
        }
    }

    async fn until_kind(&mut self, kind: &str) {
        self.until(|ear| ear.kinds.last().is_some_and(|last| last == kind)).await;
    }

    fn status(&self) -> Status {
        rules::session::status(&self.session)
    }
}

fn open(memory: KnownSessions) -> (Echo, Ear) {
    let (reports, heard) = mpsc::channel(REPORT_QUEUE);
    (Echo::open(memory, reports), Ear::new(heard))
}

fn create(prompt: &str) -> Action {
    Action::Create {
        directory: "/tmp/shop".into(),
        prompt: prompt.into(),
        title: String::new(),
        model: String::new(),
        agent: String::new(),
    }
}

#[tokio::test]
async fn a_turn_says_what_it_costs_and_ends_idle() {
    let (echo, mut ear) = open(KnownSessions::new());
    let id = echo.carry_out(&"1".into(), create("say hi; cost 0.123456; tokens 100 20")).await.unwrap();
    assert_eq!(id, "echo_1");
    ear.until_kind("session.idle").await;
    assert_eq!(ear.status(), Status::Idle);
    assert_eq!(ear.session.cost_micros, Some(123_456));
    assert_eq!((ear.session.tokens.input, ear.session.tokens.output), (100, 20));
    assert_eq!(ear.session.context.unwrap().limit, Some(report::CONTEXT_LIMIT));
    assert_eq!(ear.session.model.as_ref().unwrap().id, "echo-1");
    assert_eq!(ear.kinds[0], "session.created");
}

#[tokio::test]
async fn a_permission_is_waited_for_and_a_refusal_ends_the_turn() {
    let (echo, mut ear) = open(KnownSessions::new());
    echo.carry_out(&"1".into(), create("ask rm -rf build; say never")).await.unwrap();
    ear.until_kind("permission.asked").await;
    assert_eq!(ear.status(), Status::Waiting);
    assert_eq!(ear.session.asks[0].what, "rm -rf build");
    let answer = |reply: &str| Action::AnswerPermission {
        session_id: "echo_1".into(),
        request_id: None,
        reply: reply.into(),
        message: String::new(),
    };
    echo.carry_out(&"2".into(), answer("reject")).await.unwrap();
    ear.until_kind("session.idle").await;
    assert_eq!(ear.status(), Status::Idle);
    let again = echo.carry_out(&"3".into(), answer("once")).await.unwrap_err().to_string();
    assert_eq!(again, "session echo_1 waits for no permission");
}

#[tokio::test]
async fn an_abort_that_comes_at_once_is_not_lost() {
    let (echo, mut ear) = open(KnownSessions::new());
    echo.carry_out(&"1".into(), create("run 60")).await.unwrap();
    echo.carry_out(&"2".into(), Action::Abort { session_id: "echo_1".into() }).await.unwrap();
    ear.until_kind("session.idle").await;
    assert_eq!(ear.status(), Status::Idle, "an abort is no failure");
}

#[tokio::test]
async fn a_kill_ends_it_and_drops_what_waited_and_a_prompt_revives_it() {
    let (echo, mut ear) = open(KnownSessions::new());
    let prompt = |text: &str| Action::Prompt { session_id: "echo_1".into(), message: text.into() };
    echo.carry_out(&"1".into(), create("run 60")).await.unwrap();
    echo.carry_out(&"2".into(), prompt("burst 1")).await.unwrap();
    ear.until_kind("message.part.updated").await;
    echo.carry_out(&"3".into(), Action::Kill { session_id: "echo_1".into() }).await.unwrap();
    ear.until_kind("session.ended").await;
    assert_eq!(ear.status(), Status::Ended);
    assert!(!ear.kinds.iter().any(|kind| kind == "echo.tick"));
    echo.carry_out(&"4".into(), prompt("say back again")).await.unwrap();
    ear.until(|ear| ear.kinds.last().unwrap() == "session.idle" && ear.status() == Status::Idle).await;
}

#[tokio::test]
async fn a_failure_is_an_error_and_a_question_takes_an_answer() {
    let (echo, mut ear) = open(KnownSessions::new());
    echo.carry_out(&"1".into(), create("question which?; fail no money")).await.unwrap();
    ear.until_kind("question.asked").await;
    assert_eq!(ear.session.asks[0].kind, AskKind::Question);
    let request_id = Some(ear.session.asks[0].id.clone());
    let answers = vec![vec!["Yes".to_owned()]];
    let answer = Action::AnswerQuestion { session_id: "echo_1".into(), request_id, answers };
    echo.carry_out(&"2".into(), answer).await.unwrap();
    ear.until_kind("session.idle").await;
    assert_eq!(ear.status(), Status::Error);
    assert!(ear.session.error.as_ref().unwrap().contains("no money"));
}

#[tokio::test]
async fn after_a_restart_the_turn_is_interrupted_and_actions_are_settled() {
    let (echo, mut ear) = open(KnownSessions::new());
    echo.carry_out(&"1".into(), create("run 60")).await.unwrap();
    ear.until_kind("session.status").await;
    let known = KnownSession { session: ear.session.clone(), mark: ear.mark };
    let bare = KnownSession { mark: None, ..known.clone() };
    let memory = KnownSessions::from([(SessionId::new("echo_1"), known), (SessionId::new("echo_7"), bare)]);

    let (echo, mut ear) = open(memory);
    let Some(Report::Snapshot(snapshot)) = ear.heard.recv().await else { panic!("no snapshot") };
    assert_eq!(snapshot[0].activity, Activity::Idle);
    assert_eq!(snapshot[0].error.as_deref(), Some("the agent was restarted during the turn"));
    assert_eq!(echo.reconcile(&"1".into(), &create("run 60")).await, ReconcileOutcome::Done("echo_1".into()));
    assert_eq!(echo.reconcile(&"9".into(), &create("run 60")).await, ReconcileOutcome::NotDone);
    assert_eq!(
        echo.reconcile(&"7".into(), &create("say x")).await,
        ReconcileOutcome::NotDone,
        "its prompt was never said"
    );
    assert_eq!(echo.reconcile(&"7".into(), &create("")).await, ReconcileOutcome::Done("echo_7".into()));
    let prompt = Action::Prompt { session_id: "echo_1".into(), message: "run 60".into() };
    assert_eq!(echo.reconcile(&"1".into(), &prompt).await, ReconcileOutcome::Done(String::new()));
    assert_eq!(echo.reconcile(&"9".into(), &prompt).await, ReconcileOutcome::NotDone);
    echo.carry_out(&"2".into(), Action::Prompt { session_id: "echo_1".into(), message: "say on".into() })
        .await
        .unwrap();
    ear.until_kind("session.idle").await;
}
