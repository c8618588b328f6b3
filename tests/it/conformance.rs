//! What every kind of coding agent must pass, written once and played with each: the true programs, offline.

use std::path::PathBuf;

use hal_o_swarm::agent::backend::echo::Echo;
use hal_o_swarm::agent::backend::{Action, Backend, BackendError, BackendKind, KnownSessions};
use hal_o_swarm::base::id::fresh;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};
use serde_json::json;

use crate::claude::stage::Stage as ClaudeStage;
use crate::opencode::desk::{Desk, Record};
use crate::opencode::stage::Stage as OpencodeStage;

/// What is said to a kind so that it does something.
struct Prompts {
    /// Uses a tool that is asked for.
    tool: &'static str,
    /// Asks a person.
    question: &'static str,
    /// Takes its time.
    long: &'static str,
    /// Fails.
    fail: &'static str,
}

const OF_THE_MODEL: Prompts =
    Prompts { tool: "bash touch made", question: "question", long: "slow 2000 50", fail: "error 400" };
const OF_ECHO: Prompts = Prompts {
    tool: "ask touch made",
    question: "question Which colour?",
    long: "run 600",
    fail: "fail boom",
};

/// One of the kinds on its stage.
enum Scene {
    Echo(Desk, Backend),
    Opencode(Box<OpencodeStage>),
    Claude(Box<ClaudeStage>),
}

/// A kind at play.
struct Player {
    kind: BackendKind,
    scene: Scene,
    prompts: Prompts,
    passed: Vec<&'static str>,
}

impl Player {
    /// `None` where the program cannot be had, which is said.
    async fn new(kind: BackendKind) -> Option<Self> {
        let (scene, prompts) = match kind {
            BackendKind::Echo => {
                let (desk, reports) = Desk::start();
                let backend = Backend::Echo(Echo::open(KnownSessions::new(), reports));
                (Scene::Echo(desk, backend), OF_ECHO)
            }
            BackendKind::Opencode => {
                let stage = OpencodeStage::set_with(json!({"*": "allow", "bash": "ask"})).await;
                (Scene::Opencode(Box::new(stage)), OF_THE_MODEL)
            }
            BackendKind::Claude => {
                (Scene::Claude(Box::new(ClaudeStage::set("what every kind must pass").await?)), OF_THE_MODEL)
            }
        };
        Some(Self { kind, scene, prompts, passed: Vec::new() })
    }

    fn desk(&self) -> &Desk {
        match &self.scene {
            Scene::Echo(desk, _) => desk,
            Scene::Opencode(stage) => &stage.desk,
            Scene::Claude(stage) => &stage.desk,
        }
    }

    fn backend(&self) -> &Backend {
        match &self.scene {
            Scene::Echo(_, backend) => backend,
            Scene::Opencode(stage) => &stage.backend,
            Scene::Claude(stage) => &stage.backend,
        }
    }

    fn directory(&self) -> PathBuf {
        match &self.scene {
            Scene::Echo(..) => "/anywhere".into(),
            Scene::Opencode(stage) => stage.project.clone(),
            Scene::Claude(stage) => stage.project.clone(),
        }
    }

    async fn act(&self, action: Action) -> Result<String, BackendError> {
        self.backend().carry_out(&CommandId::new(fresh()), action).await
    }

    async fn begin(&self, prompt: &str) -> SessionId {
        let create = Action::Create {
            directory: self.directory().to_str().unwrap().into(),
            prompt: prompt.into(),
            title: String::new(),
            model: String::new(),
            agent: String::new(),
        };
        SessionId::new(self.act(create).await.unwrap())
    }

    async fn say(&self, session: &SessionId, message: &str) {
        self.act(Action::Prompt { session_id: session.clone(), message: message.into() }).await.unwrap();
    }

    async fn is(&self, session: &SessionId, status: Status) {
        self.desk().wait_status(session.as_str(), status).await;
    }

    /// Waits for the end of so many turns.
    async fn over(&self, session: &SessionId, turns: usize) {
        let what = format!("{turns} turns of {}", self.kind.as_str());
        let ends = |record: &Record| record.of(session.as_str(), "session.idle").len();
        self.desk().wait(&what, |record| (ends(record) >= turns).then_some(())).await;
    }

    async fn answer(
        &self,
        session: &SessionId,
        request: Option<String>,
        reply: &str,
    ) -> Result<String, BackendError> {
        let (session_id, request_id, message) = (session.clone(), request, String::new());
        self.act(Action::AnswerPermission { session_id, request_id, reply: reply.into(), message }).await
    }

    /// Waits until the turn has begun: words come, or it runs where it has none to say.
    async fn has_begun(&self, session: &SessionId, before: usize) {
        self.is(session, Status::Running).await;
        if self.kind != BackendKind::Echo {
            self.desk().wait("words", |record| (record.live.len() > before + 2).then_some(())).await;
        }
    }

    /// Pieces of words so far.
    fn words(&self) -> usize {
        self.desk().look(|record| record.live.len())
    }

    fn pass(&mut self, what: &'static str) {
        self.passed.push(what);
    }

    /// Opens the backend again with what is recorded, as an agent does that was started again.
    async fn open_again(&mut self) {
        let memory = self.desk().look(Record::memory);
        self.backend().stop().await;
        match &mut self.scene {
            Scene::Echo(desk, backend) => *backend = Backend::Echo(Echo::open(memory, desk.more_reports())),
            Scene::Opencode(stage) => stage.open_again(memory),
            Scene::Claude(stage) => stage.open_again(memory),
        }
    }

    async fn strike(self) {
        match self.scene {
            Scene::Echo(_, backend) => backend.stop().await,
            Scene::Opencode(stage) => stage.strike().await,
            Scene::Claude(stage) => stage.strike().await,
        }
    }
}

async fn starts_and_streams(player: &mut Player) {
    let session = player.begin("say hello you there").await;
    player.over(&session, 1).await;
    player.is(&session, Status::Idle).await;
    player.pass("start, prompt");
    let streamed = |record: &Record| record.live.iter().any(|(_, data)| data["delta"].is_string());
    assert!(player.desk().look(streamed));
    player.pass("stream");
    let is_told = |record: &Record| {
        let told = record.of(session.as_str(), "message.updated");
        let answers = told.iter().filter(|event| event.data["info"]["role"] == "assistant");
        answers.filter(|event| event.data["info"]["tokens"]["output"].as_u64() > Some(0)).count() > 0
    };
    assert!(player.desk().look(is_told), "tokens of each call");
    player.pass("tokens");
    assert!(player.desk().look(|record| record.sessions[session.as_str()].context.is_some()));
    player.pass("context");
}

async fn asks(player: &mut Player) {
    let session = player.begin(player.prompts.tool).await;
    player.is(&session, Status::Waiting).await;
    let ask = player.desk().look(|record| record.sessions[session.as_str()].asks[0].clone());
    assert_eq!(ask.what, "touch made");
    player.answer(&session, Some(ask.id.clone()), "once").await.unwrap();
    player.over(&session, 1).await;
    player.pass("permission allowed");
    let twice = player.answer(&session, Some(ask.id), "once").await.unwrap_err();
    assert!(matches!(twice, BackendError::NoSuch(_)), "{twice}");
    player.pass("answered twice");
    let tools = |record: &Record| {
        let parts = record.of(session.as_str(), "message.part.updated");
        let states = parts.iter().filter(|event| event.data["part"]["type"] == "tool");
        states.map(|event| event.data["part"]["state"].clone()).collect::<Vec<_>>()
    };
    assert!(player.desk().look(tools).iter().any(|state| state["status"] == "completed"));
    player.pass("tools");
    player.say(&session, player.prompts.tool).await;
    player.is(&session, Status::Waiting).await;
    player.answer(&session, None, "reject").await.unwrap();
    player.over(&session, 2).await;
    assert!(player.desk().look(tools).iter().any(|state| state["cause"] == "refused"));
    player.pass("permission denied");
    player.say(&session, player.prompts.question).await;
    player.is(&session, Status::Waiting).await;
    let (session_id, answers) = (session.clone(), vec![vec!["Red".to_owned()]]);
    player.act(Action::AnswerQuestion { session_id, request_id: None, answers }).await.unwrap();
    player.over(&session, 3).await;
    player.pass("question");
}

async fn is_stopped(player: &mut Player) {
    let before = player.words();
    let session = player.begin(player.prompts.long).await;
    player.has_begun(&session, before).await;
    player.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    player.over(&session, 1).await;
    player.is(&session, Status::Idle).await;
    player.say(&session, "say goes on").await;
    player.over(&session, 2).await;
    player.pass("abort");
    let before = player.words();
    player.say(&session, player.prompts.long).await;
    player.has_begun(&session, before).await;
    player.act(Action::Kill { session_id: session.clone() }).await.unwrap();
    player.is(&session, Status::Ended).await;
    player.say(&session, "say is back").await;
    player.is(&session, Status::Idle).await;
    player.pass("kill");
}

async fn fails_and_comes_back(player: &mut Player) {
    let session = player.begin(player.prompts.fail).await;
    player.is(&session, Status::Error).await;
    player.say(&session, "say well again").await;
    player.over(&session, 2).await;
    player.is(&session, Status::Idle).await;
    player.pass("error");
    let cut = player.begin(player.prompts.long).await;
    player.is(&cut, Status::Running).await;
    player.open_again().await;
    player
        .desk()
        .wait("the turn to be cut", |record| {
            (!matches!(record.status(cut.as_str()), Some(Status::Running))).then_some(())
        })
        .await;
    player.say(&session, "say after a restart").await;
    player.over(&session, 3).await;
    player.pass("resume");
}

/// Plays all of it with one kind, and prints its row.
async fn conforms(kind: BackendKind) {
    let Some(mut player) = Player::new(kind).await else { return };
    starts_and_streams(&mut player).await;
    asks(&mut player).await;
    is_stopped(&mut player).await;
    fails_and_comes_back(&mut player).await;
    eprintln!("| {} | {} |", kind.as_str(), player.passed.join(" | "));
    eprintln!("  {}", kind.abilities().sentence());
    player.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_passes() {
    conforms(BackendKind::Echo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_passes() {
    conforms(BackendKind::Opencode).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_passes() {
    conforms(BackendKind::Claude).await;
}
