//! A kind of coding agent at play: its stage, what is said to it, and what it has passed.

use std::path::PathBuf;
use std::task::Poll;

use hal_o_swarm::agent::backend::echo::Echo;
use hal_o_swarm::agent::backend::{Action, Backend, BackendError, BackendKind, KnownSessions};
use hal_o_swarm::base::id::fresh;
use hal_o_swarm::protocol::backend::Abilities;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};
use serde_json::json;

use crate::acp::stage::{Program, Stage as AcpStage};
use crate::claude::stage::Stage as ClaudeStage;
use crate::codex::stage::Stage as CodexStage;
use crate::opencode::desk::{Desk, Record};
use crate::opencode::stage::Stage as OpencodeStage;
use crate::opencode2::stage::{stand_in, true_program};

/// What is said to a kind so that it does something.
pub struct Prompts {
    /// Uses a tool that is asked for.
    pub tool: &'static str,
    /// Asks a person.
    pub question: &'static str,
    /// Takes its time.
    pub long: &'static str,
    /// Fails.
    pub fail: &'static str,
    /// Has its conversation summarised.
    pub compact: &'static str,
    /// What only a model behind it can bring about.
    pub of_model: Option<OfModel>,
}

/// What a provider says to a kind.
#[derive(Clone, Copy)]
pub struct OfModel {
    /// That there were too many requests; `None`: it says nothing of that.
    pub limit: Option<&'static str>,
    /// That the conversation does not fit; `None`: it says nothing of that.
    pub overflow: Option<&'static str>,
}

const OF_THE_MODEL: Prompts = Prompts {
    tool: "bash touch made",
    question: "question",
    long: "slow 2000 50",
    fail: "error 400",
    compact: "/compact",
    of_model: Some(OfModel { limit: Some("error 429"), overflow: Some("overflow 1") }),
};
const OF_ECHO: Prompts = Prompts {
    tool: "ask touch made",
    question: "question Which colour?",
    long: "run 600",
    fail: "fail boom",
    compact: "compact",
    of_model: None,
};
/// It tries for minutes where a provider has enough, and makes room by itself, and says nothing of either.
const OF_QWEN: Prompts = Prompts { of_model: Some(OfModel { limit: None, overflow: None }), ..OF_THE_MODEL };
/// It asks once more by itself where something does not fit, and says nothing when that went well.
const OF_ADAPTER: Prompts =
    Prompts { of_model: Some(OfModel { limit: Some("error 429"), overflow: None }), ..OF_THE_MODEL };
/// It summarises by itself what does not fit.
const OF_OPENCODE: Prompts = Prompts { compact: "overflow", ..OF_THE_MODEL };

/// One of the kinds on its stage.
pub enum Scene {
    Echo(Desk, Backend),
    Opencode(Box<OpencodeStage>),
    Claude(Box<ClaudeStage>),
    Codex(Box<CodexStage>),
    Acp(Box<AcpStage>),
}

/// Who plays: a kind, or another program of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    Kind(BackendKind),
    /// OpenCode 2 as a stand-in plays it.
    StandInOfOpencode2,
    /// A true OpenCode 2.
    Opencode2,
}

impl Actor {
    pub fn kind(self) -> BackendKind {
        match self {
            Self::Kind(kind) => kind,
            Self::StandInOfOpencode2 | Self::Opencode2 => BackendKind::Opencode,
        }
    }

    /// What it is called in its row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kind(kind) => kind.as_str(),
            Self::StandInOfOpencode2 => "opencode 2 (a stand-in)",
            Self::Opencode2 => "opencode 2",
        }
    }

    pub fn abilities(self) -> Abilities {
        match self {
            Self::Kind(kind) => kind.abilities(),
            Self::StandInOfOpencode2 | Self::Opencode2 => BackendKind::Opencode.abilities_of("2.0.18"),
        }
    }
}

/// A kind at play.
pub struct Player {
    pub kind: BackendKind,
    pub actor: Actor,
    pub scene: Scene,
    pub prompts: Prompts,
    pub passed: Vec<&'static str>,
    /// What it cannot do, and why.
    pub lacks: Vec<&'static str>,
}

impl Player {
    /// `None` where the program cannot be had, which is said.
    pub async fn new(actor: Actor) -> Option<Self> {
        let kind = actor.kind();
        let asking = json!({"*": "allow", "bash": "ask"});
        let (scene, prompts) = match kind {
            BackendKind::Opencode if actor != Actor::Kind(kind) => {
                let program = match actor {
                    Actor::Opencode2 => true_program()?,
                    _ => stand_in(),
                };
                let stage = OpencodeStage::set_through(asking, |_, _| program).await;
                (Scene::Opencode(Box::new(stage)), OF_OPENCODE)
            }
            BackendKind::Echo => {
                let (desk, reports) = Desk::start();
                let backend = Backend::Echo(Echo::open(KnownSessions::new(), reports));
                (Scene::Echo(desk, backend), OF_ECHO)
            }
            BackendKind::Opencode => {
                let stage = OpencodeStage::set_with(asking).await;
                (Scene::Opencode(Box::new(stage)), OF_OPENCODE)
            }
            BackendKind::Claude => {
                (Scene::Claude(Box::new(ClaudeStage::set("what every kind must pass").await?)), OF_THE_MODEL)
            }
            BackendKind::Acp(_) => {
                let all = [Program::Qwen, Program::Claude];
                let program = all.into_iter().find(|program| program.kind() == kind).unwrap();
                let stage = AcpStage::set("what every kind must pass", program).await?;
                (Scene::Acp(Box::new(stage)), if program == Program::Qwen { OF_QWEN } else { OF_ADAPTER })
            }
            BackendKind::Codex => {
                (Scene::Codex(Box::new(CodexStage::set("what every kind must pass").await?)), OF_THE_MODEL)
            }
        };
        Some(Self { kind, actor, scene, prompts, passed: Vec::new(), lacks: Vec::new() })
    }

    pub fn desk(&self) -> &Desk {
        match &self.scene {
            Scene::Echo(desk, _) => desk,
            Scene::Opencode(stage) => &stage.desk,
            Scene::Claude(stage) => &stage.desk,
            Scene::Codex(stage) => &stage.desk,
            Scene::Acp(stage) => &stage.desk,
        }
    }

    pub fn backend(&self) -> &Backend {
        match &self.scene {
            Scene::Echo(_, backend) => backend,
            Scene::Opencode(stage) => &stage.backend,
            Scene::Claude(stage) => &stage.backend,
            Scene::Codex(stage) => &stage.backend,
            Scene::Acp(stage) => &stage.backend,
        }
    }

    pub fn directory(&self) -> PathBuf {
        match &self.scene {
            Scene::Echo(..) => "/anywhere".into(),
            Scene::Opencode(stage) => stage.project.clone(),
            Scene::Claude(stage) => stage.project.clone(),
            Scene::Codex(stage) => stage.project.clone(),
            Scene::Acp(stage) => stage.project.clone(),
        }
    }

    pub async fn act(&self, action: Action) -> Result<String, BackendError> {
        self.backend().carry_out(&CommandId::new(fresh()), action).await
    }

    pub async fn begin(&self, prompt: &str) -> SessionId {
        let create = Action::Create {
            directory: self.directory().to_str().unwrap().into(),
            prompt: prompt.into(),
            title: String::new(),
            model: String::new(),
            agent: String::new(),
        };
        SessionId::new(self.act(create).await.unwrap())
    }

    pub async fn say(&self, session: &SessionId, message: &str) {
        self.act(Action::Prompt { session_id: session.clone(), message: message.into() }).await.unwrap();
    }

    /// Says something to a running turn, and then stops that. What a kind cannot take before the end of the turn is not
    /// told to be taken: it waits, and is dropped.
    pub async fn say_and_abort(&self, session: &SessionId, message: &str) {
        let prompt = Action::Prompt { session_id: session.clone(), message: message.into() };
        let mut said = std::pin::pin!(self.act(prompt));
        let is_taken_at_once = self.actor.abilities().steer;
        if is_taken_at_once {
            said.as_mut().await.unwrap();
        } else if let Poll::Ready(early) = futures_util::poll!(&mut said) {
            assert!(self.kind == BackendKind::Echo, "it cannot be taken yet: {early:?}");
            early.unwrap();
        }
        self.act(Action::Abort { session_id: session.clone() }).await.unwrap();
        if !is_taken_at_once && self.kind != BackendKind::Echo {
            let dropped = said.await.unwrap_err();
            assert!(dropped.to_string().contains("it is not worked on"), "{dropped}");
        }
    }

    pub async fn is(&self, session: &SessionId, status: Status) {
        self.desk().wait_status(session.as_str(), status).await;
    }

    /// Waits for the end of so many turns.
    pub async fn over(&self, session: &SessionId, turns: usize) {
        let what = format!("{turns} turns of {}", self.kind.as_str());
        let ends = |record: &Record| record.of(session.as_str(), "session.idle").len();
        self.desk().wait(&what, |record| (ends(record) >= turns).then_some(())).await;
    }

    pub async fn answer(
        &self,
        session: &SessionId,
        request: Option<String>,
        reply: &str,
    ) -> Result<String, BackendError> {
        let (session_id, request_id, message) = (session.clone(), request, String::new());
        self.act(Action::AnswerPermission { session_id, request_id, reply: reply.into(), message }).await
    }

    /// Waits until the turn has begun: words come, or it runs where it has none to say.
    pub async fn has_begun(&self, session: &SessionId, before: usize) {
        self.is(session, Status::Running).await;
        if self.kind != BackendKind::Echo {
            self.desk().wait("words", |record| (record.live.len() > before + 2).then_some(())).await;
        }
    }

    /// Waits until a session has said this.
    pub async fn is_answered(&self, session: &SessionId, words: &str) {
        let said = |record: &Record| has_said(record, session, words).then_some(());
        self.desk().wait(words, said).await;
    }

    /// Pieces of words so far.
    pub fn words(&self) -> usize {
        self.desk().look(|record| record.live.len())
    }

    pub fn pass(&mut self, what: &'static str) {
        self.passed.push(what);
    }

    pub fn lack(&mut self, what: &'static str) {
        self.lacks.push(what);
    }

    /// Opens the backend again with what is recorded, as an agent does that was started again.
    pub fn open_again(&mut self) {
        let memory = self.desk().look(Record::memory);
        match &mut self.scene {
            Scene::Echo(desk, backend) => *backend = Backend::Echo(Echo::open(memory, desk.more_reports())),
            Scene::Opencode(stage) => stage.open_again(memory),
            Scene::Claude(stage) => stage.open_again(memory),
            Scene::Codex(stage) => stage.open_again(memory),
            Scene::Acp(stage) => stage.open_again(memory),
        }
    }

    /// Its programs; none where it has none.
    pub fn programs(&self) -> Vec<i32> {
        match &self.scene {
            Scene::Echo(..) => Vec::new(),
            Scene::Opencode(stage) => stage.servers(),
            Scene::Claude(stage) => stage.programs(),
            Scene::Codex(stage) => stage.home.servers(),
            Scene::Acp(stage) => stage.home.programs(),
        }
    }

    /// Waits until a turn of a session is known to be cut off.
    pub async fn is_cut(&self, session: &SessionId) {
        let is_over = |record: &Record| {
            (!matches!(record.status(session.as_str()), Some(Status::Running | Status::Retrying)))
                .then_some(())
        };
        self.desk().wait("the turn to be cut", is_over).await;
    }

    pub async fn strike(self) {
        match self.scene {
            Scene::Echo(_, backend) => backend.stop().await,
            Scene::Opencode(stage) => stage.strike().await,
            Scene::Claude(stage) => stage.strike().await,
            Scene::Codex(stage) => stage.strike().await,
            Scene::Acp(stage) => stage.strike().await,
        }
    }
}

/// True when a session has said just these words.
pub fn has_said(record: &Record, session: &SessionId, words: &str) -> bool {
    let parts = record.of(session.as_str(), "message.part.updated");
    parts.iter().any(|event| event.data["part"]["text"] == words)
}
