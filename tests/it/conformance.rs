//! What every kind of coding agent must pass, written once and played with each: the true programs, offline.

use std::path::PathBuf;

use hal_o_swarm::agent::backend::echo::Echo;
use hal_o_swarm::agent::backend::{Action, Backend, BackendError, BackendKind, KnownSessions};
use hal_o_swarm::base::id::fresh;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};
use serde_json::json;

use crate::claude::stage::Stage as ClaudeStage;
use crate::codex::stage::Stage as CodexStage;
use crate::opencode::desk::{Desk, Record};
use crate::opencode::stage::Stage as OpencodeStage;
use crate::play::kill;

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
    /// Has its conversation summarised.
    compact: &'static str,
    /// What only a model behind it can bring about.
    of_model: Option<OfModel>,
}

/// What a provider says to a kind.
struct OfModel {
    /// That there were too many requests.
    limit: &'static str,
    /// That the conversation does not fit.
    overflow: &'static str,
}

const OF_THE_MODEL: Prompts = Prompts {
    tool: "bash touch made",
    question: "question",
    long: "slow 2000 50",
    fail: "error 400",
    compact: "/compact",
    of_model: Some(OfModel { limit: "error 429", overflow: "overflow 1" }),
};
const OF_ECHO: Prompts = Prompts {
    tool: "ask touch made",
    question: "question Which colour?",
    long: "run 600",
    fail: "fail boom",
    compact: "compact",
    of_model: None,
};
/// It summarises by itself what does not fit.
const OF_OPENCODE: Prompts = Prompts { compact: "overflow", ..OF_THE_MODEL };

/// One of the kinds on its stage.
enum Scene {
    Echo(Desk, Backend),
    Opencode(Box<OpencodeStage>),
    Claude(Box<ClaudeStage>),
    Codex(Box<CodexStage>),
}

/// A kind at play.
struct Player {
    kind: BackendKind,
    scene: Scene,
    prompts: Prompts,
    passed: Vec<&'static str>,
    /// What it cannot do, and why.
    lacks: Vec<&'static str>,
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
                (Scene::Opencode(Box::new(stage)), OF_OPENCODE)
            }
            BackendKind::Claude => {
                (Scene::Claude(Box::new(ClaudeStage::set("what every kind must pass").await?)), OF_THE_MODEL)
            }
            BackendKind::Codex => {
                (Scene::Codex(Box::new(CodexStage::set("what every kind must pass").await?)), OF_THE_MODEL)
            }
        };
        Some(Self { kind, scene, prompts, passed: Vec::new(), lacks: Vec::new() })
    }

    fn desk(&self) -> &Desk {
        match &self.scene {
            Scene::Echo(desk, _) => desk,
            Scene::Opencode(stage) => &stage.desk,
            Scene::Claude(stage) => &stage.desk,
            Scene::Codex(stage) => &stage.desk,
        }
    }

    fn backend(&self) -> &Backend {
        match &self.scene {
            Scene::Echo(_, backend) => backend,
            Scene::Opencode(stage) => &stage.backend,
            Scene::Claude(stage) => &stage.backend,
            Scene::Codex(stage) => &stage.backend,
        }
    }

    fn directory(&self) -> PathBuf {
        match &self.scene {
            Scene::Echo(..) => "/anywhere".into(),
            Scene::Opencode(stage) => stage.project.clone(),
            Scene::Claude(stage) => stage.project.clone(),
            Scene::Codex(stage) => stage.project.clone(),
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

    /// Waits until a session has said this.
    async fn is_answered(&self, session: &SessionId, words: &str) {
        let said = |record: &Record| has_said(record, session, words).then_some(());
        self.desk().wait(words, said).await;
    }

    /// Pieces of words so far.
    fn words(&self) -> usize {
        self.desk().look(|record| record.live.len())
    }

    fn pass(&mut self, what: &'static str) {
        self.passed.push(what);
    }

    fn lack(&mut self, what: &'static str) {
        self.lacks.push(what);
    }

    /// Opens the backend again with what is recorded, as an agent does that was started again.
    fn open_again(&mut self) {
        let memory = self.desk().look(Record::memory);
        match &mut self.scene {
            Scene::Echo(desk, backend) => *backend = Backend::Echo(Echo::open(memory, desk.more_reports())),
            Scene::Opencode(stage) => stage.open_again(memory),
            Scene::Claude(stage) => stage.open_again(memory),
            Scene::Codex(stage) => stage.open_again(memory),
        }
    }

    /// Its programs; none where it has none.
    fn programs(&self) -> Vec<i32> {
        match &self.scene {
            Scene::Echo(..) => Vec::new(),
            Scene::Opencode(stage) => stage.servers(),
            Scene::Claude(stage) => stage.programs(),
            Scene::Codex(stage) => stage.home.servers(),
        }
    }

    /// Waits until a turn of a session is known to be cut off.
    async fn is_cut(&self, session: &SessionId) {
        let is_over = |record: &Record| {
            (!matches!(record.status(session.as_str()), Some(Status::Running | Status::Retrying)))
                .then_some(())
        };
        self.desk().wait("the turn to be cut", is_over).await;
    }

    async fn strike(self) {
        match self.scene {
            Scene::Echo(_, backend) => backend.stop().await,
            Scene::Opencode(stage) => stage.strike().await,
            Scene::Claude(stage) => stage.strike().await,
            Scene::Codex(stage) => stage.strike().await,
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
    let queued = player.begin(player.prompts.long).await;
    player.has_begun(&queued, before).await;
    player.say(&queued, "say never this").await;
    player.act(Action::Abort { session_id: queued.clone() }).await.unwrap();
    player.over(&queued, 1).await;
    player.say(&queued, "say but this").await;
    player.is_answered(&queued, "but this").await;
    player.is(&queued, Status::Idle).await;
    assert!(
        !player.desk().look(|record| has_said(record, &queued, "never this")),
        "it was said before the stop"
    );
    player.pass("abort of what waits");
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
    player.backend().stop().await;
    player.open_again();
    player.is_cut(&cut).await;
    let is_listed = |record: &Record| {
        let listed = record.pictures.iter().skip(1).flatten().any(|seen| seen.id == session);
        listed.then_some(())
    };
    player.desk().wait("the session to be listed", is_listed).await;
    player.pass("listing");
    player.say(&session, "say after a restart").await;
    player.over(&session, 3).await;
    player.pass("resume");
}

/// The provider has enough, or the conversation does not fit: it is said of which kind that is, and the session goes on.
async fn is_refused(player: &mut Player) {
    let Some(OfModel { limit, overflow }) = &player.prompts.of_model else {
        return player.lack("rate limit, context overflow: no model answers");
    };
    let fails = |record: &Record, session: &SessionId, kind: &str| {
        let failed = record.of(session.as_str(), "session.error");
        failed.iter().any(|event| event.data["error"]["kind"] == kind)
    };
    let session = player.begin(limit).await;
    let is_told = |record: &Record| {
        let told = record.of(session.as_str(), "session.status");
        let is_retried = told.iter().any(|event| event.data["status"]["type"] == "retry");
        (is_retried || fails(record, &session, "rate_limited")).then_some(())
    };
    player.desk().wait("the limit", is_told).await;
    player.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    player.over(&session, 1).await;
    player.say(&session, "say goes on").await;
    player.over(&session, 2).await;
    player.is(&session, Status::Idle).await;
    let long = player.begin("say a lot").await;
    player.over(&long, 1).await;
    player.say(&long, overflow).await;
    let is_told = |record: &Record| {
        let is_compacted = record.sessions[long.as_str()].compactions > 0;
        (is_compacted || fails(record, &long, "overflow")).then_some(())
    };
    player.desk().wait("the overflow", is_told).await;
    player.is_cut(&long).await;
    player.say(&long, "say it fits").await;
    player.is(&long, Status::Idle).await;
    player.pass("rate limit");
    player.pass("context overflow");
}

async fn is_compacted(player: &mut Player) {
    if !player.kind.abilities().compaction {
        return player.lack("compaction");
    }
    let session = player.begin("say a lot").await;
    player.over(&session, 1).await;
    player.say(&session, player.prompts.compact).await;
    let is_told = |record: &Record| (record.sessions[session.as_str()].compactions > 0).then_some(());
    player.desk().wait("the summary", is_told).await;
    player.is(&session, Status::Idle).await;
    player.pass("compaction");
}

/// Killed from outside in mid-turn: the turn is known to be cut off, and the session goes on.
async fn its_program_is_killed(player: &mut Player) {
    let before = player.words();
    let session = player.begin(player.prompts.long).await;
    player.has_begun(&session, before).await;
    let programs = player.programs();
    if programs.is_empty() {
        player.act(Action::Kill { session_id: session }).await.unwrap();
        return player.lack("kill -9 of it: it has no program");
    }
    programs.into_iter().for_each(kill);
    player.is_cut(&session).await;
    player.say(&session, "say is back").await;
    player.is(&session, Status::Idle).await;
    player.pass("kill -9 of it");
}

/// The agent dies in mid-turn: all its tasks are dropped where they are. So does what it runs, or it does not.
async fn its_agent_is_killed(kind: BackendKind, with_program: bool) {
    let first = tokio::runtime::Runtime::new().unwrap();
    let begin = first.spawn(async move {
        let player = Player::new(kind).await.unwrap();
        let before = player.words();
        let session = player.begin(player.prompts.long).await;
        player.has_begun(&session, before).await;
        (player, session)
    });
    let (mut player, session) = begin.await.unwrap();
    if with_program {
        player.programs().into_iter().for_each(kill);
    }
    first.shutdown_background();
    player.open_again();
    player.is_cut(&session).await;
    player.say(&session, "say here again").await;
    player.is(&session, Status::Idle).await;
    player.strike().await;
}

/// True when a session has said just these words.
fn has_said(record: &Record, session: &SessionId, words: &str) -> bool {
    let parts = record.of(session.as_str(), "message.part.updated");
    parts.iter().any(|event| event.data["part"]["text"] == words)
}

/// Plays all of it with one kind, and prints its row.
async fn conforms(kind: BackendKind) {
    let Some(mut player) = Player::new(kind).await else { return };
    starts_and_streams(&mut player).await;
    asks(&mut player).await;
    is_stopped(&mut player).await;
    fails_and_comes_back(&mut player).await;
    is_refused(&mut player).await;
    is_compacted(&mut player).await;
    its_program_is_killed(&mut player).await;
    its_agent_is_killed(kind, false).await;
    player.pass("kill -9 of its agent");
    if kind.program().is_some() {
        its_agent_is_killed(kind, true).await;
        player.pass("kill -9 of both");
    }
    eprintln!("| {} | {} |", kind.as_str(), player.passed.join(" | "));
    player.lacks.iter().for_each(|lack| eprintln!("  not played: {lack}"));
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

#[tokio::test(flavor = "multi_thread")]
async fn codex_passes() {
    conforms(BackendKind::Codex).await;
}
