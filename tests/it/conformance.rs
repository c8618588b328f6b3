//! What every kind of coding agent must pass, written once and played with each: the true programs, offline.

mod player;

use hal_o_swarm::agent::backend::{Action, BackendError, BackendKind};
use hal_o_swarm::protocol::session::{SessionId, Status};

use crate::acp::stage::Program;
use crate::opencode::desk::Record;
use crate::play::kill;
use player::{Actor, OfModel, Player, has_said};

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
    if !player.actor.abilities().question {
        return player.lack("question");
    }
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
    player.say_and_abort(&queued, "say never this").await;
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
    let Some(OfModel { limit, overflow }) = player.prompts.of_model else {
        return player.lack("rate limit, context overflow: no model answers");
    };
    match limit {
        Some(limit) => is_limited(player, limit).await,
        None => player.lack("rate limit: it says nothing while it waits"),
    }
    match overflow {
        Some(overflow) => is_overflowed(player, overflow).await,
        None => player.lack("context overflow: it makes room by itself, and says nothing"),
    }
}

/// The conversation does not fit.
async fn is_overflowed(player: &mut Player, overflow: &str) {
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
    player.pass("context overflow");
}

/// True when a turn of a session has failed in this way.
fn fails(record: &Record, session: &SessionId, kind: &str) -> bool {
    let failed = record.of(session.as_str(), "session.error");
    failed.iter().any(|event| event.data["error"]["kind"] == kind)
}

/// The provider has enough for now.
async fn is_limited(player: &mut Player, limit: &str) {
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
    player.pass("rate limit");
}

async fn is_compacted(player: &mut Player) {
    if !player.actor.abilities().compaction {
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
async fn its_agent_is_killed(actor: Actor, with_program: bool) {
    let first = tokio::runtime::Runtime::new().unwrap();
    let begin = first.spawn(async move {
        let player = Player::new(actor).await.unwrap();
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

/// Plays all of it with one kind, and prints its row.
async fn conforms(actor: Actor) {
    let Some(mut player) = Player::new(actor).await else { return };
    starts_and_streams(&mut player).await;
    asks(&mut player).await;
    is_stopped(&mut player).await;
    fails_and_comes_back(&mut player).await;
    is_refused(&mut player).await;
    is_compacted(&mut player).await;
    its_program_is_killed(&mut player).await;
    its_agent_is_killed(actor, false).await;
    player.pass("kill -9 of its agent");
    if actor.kind().program().is_some() {
        its_agent_is_killed(actor, true).await;
        player.pass("kill -9 of both");
    }
    eprintln!("| {} | {} |", actor.name(), player.passed.join(" | "));
    player.lacks.iter().for_each(|lack| eprintln!("  not played: {lack}"));
    eprintln!("  {}", actor.abilities().sentence());
    player.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_passes() {
    conforms(Actor::Kind(BackendKind::Echo)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_passes() {
    conforms(Actor::Kind(BackendKind::Opencode)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stand_in_of_opencode_2_passes() {
    conforms(Actor::StandInOfOpencode2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_2_passes() {
    conforms(Actor::Opencode2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_passes() {
    conforms(Actor::Kind(BackendKind::Claude)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_passes() {
    conforms(Actor::Kind(BackendKind::Codex)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qwen_code_passes_over_acp() {
    conforms(Actor::Kind(Program::Qwen.kind())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_adapter_of_claude_code_passes() {
    conforms(Actor::Kind(Program::Claude.kind())).await;
}
