//! What opencode is asked to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Call, Client, NAME};
use super::keep::{sweep_tools, tools};
use super::look::{self, Doings};
use super::words::{AgentInfo, AskInfo, Message, Providers, SessionInfo};
use super::{Note, Shared, Up, hear, real, text};
use crate::agent::backend::{BackendError, Deed, Happening, Heard};
use crate::base::clock::{Time, now};
use crate::protocol::command::CommandId;
use crate::protocol::event::raw;
use crate::protocol::session::{AskKind, SessionId};
use crate::rules::session as rules;

/// Characters of a title that is made from a prompt.
const TITLE_MAX: usize = 80;

/// Where a session says which command made it.
pub const COMMAND_KEY: &str = "hal_command";

/// How long a prompt may take to appear in the stream before it is looked for.
const TAKEN_LIMIT: Duration = Duration::from_secs(5);

/// How long it is looked for then: the first prompt in a directory can take long on a busy machine.
const FOUND_LIMIT: Duration = Duration::from_secs(20);

/// How long an abort may take, and then the turn to end.
const ABORT_LIMIT: Duration = Duration::from_secs(10);
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// The same when it is a kill: what does not end by then is ended by force.
const KILL_ABORT_LIMIT: Duration = Duration::from_secs(2);
const KILL_IDLE_LIMIT: Duration = Duration::from_secs(5);

/// How often it is looked whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Carries out a deed; see [`super::super::Backend::carry_out`].
pub async fn carry_out(shared: &Shared, command: &CommandId, deed: Deed) -> Result<String, BackendError> {
    let up = shared.up().await?;
    let client = &up.client;
    match deed {
        Deed::Create { directory, prompt, title, model, agent } => {
            let wish = Wish { model: &model, agent: &agent };
            create(shared, client, command, &directory, &prompt, &title, wish).await
        }
        Deed::Prompt { session_id, message } => {
            let info = look::find(client, &session_id).await?;
            existing(&info.directory)?;
            prompt(shared, client, command, &info, &message, Wish::default()).await.map(|()| String::new())
        }
        Deed::Abort { session_id } => abort(client, &session_id).await,
        Deed::Kill { session_id } => kill(shared, &up, &session_id).await,
        Deed::AnswerPermission { session_id, request_id, reply, message } => {
            let ask = waiting(client, &session_id, request_id.as_deref(), AskKind::Permission).await?;
            let path = format!("/permission/{}/reply", ask.id);
            let body = match (reply.as_str(), message.as_str()) {
                ("reject", message) if !message.is_empty() => json!({"reply": reply, "message": message}),
                _ => json!({"reply": reply}),
            };
            client.tell(Call::new(&path, "answering a permission").about(&ask.directory), &body).await?;
            Ok(format!("{reply}: {}", ask.what))
        }
        Deed::AnswerQuestion { session_id, request_id, answers } => {
            let ask = waiting(client, &session_id, request_id.as_deref(), AskKind::Question).await?;
            let path = format!("/question/{}/reply", ask.id);
            let call = Call::new(&path, "answering a question").about(&ask.directory);
            client.tell(call, &json!({"answers": answers})).await?;
            Ok(format!("answered: {}", ask.what))
        }
        Deed::Look { session_id } => {
            let session = look::one(client, &session_id, &shared.directories).await?;
            Ok(rules::status(&session).as_str().into())
        }
    }
}

/// What the caller wants and may leave open.
#[derive(Clone, Copy, Default)]
struct Wish<'a> {
    model: &'a str,
    agent: &'a str,
}

async fn create(
    shared: &Shared,
    client: &Client,
    command: &CommandId,
    directory: &str,
    words: &str,
    title: &str,
    wish: Wish<'_>,
) -> Result<String, BackendError> {
    // opencode makes sessions in directories that do not exist, and their prompts fail without a word.
    let directory = existing(directory)?;
    check(client, &directory, wish).await?;
    let title = if title.is_empty() { title_of(words) } else { title.to_owned() };
    let body = json!({"title": title, "metadata": {COMMAND_KEY: command.as_str()}});
    let call = Call::new("/session", "making a session").about(&directory);
    let info: SessionInfo = client.post(call, &body).await?;
    if !words.is_empty() {
        prompt(shared, client, command, &info, words, wish).await?;
    }
    Ok(info.id)
}

/// Refuses a model or an agent that is not there: opencode takes both and says later, to nobody, that it has not.
async fn check(client: &Client, directory: &str, wish: Wish<'_>) -> Result<(), BackendError> {
    if !wish.model.is_empty() {
        let call = Call::new("/config/providers", "looking for the model").about(directory);
        let names = client.get::<Providers>(call).await?.names();
        one_of("model", wish.model, &names)?;
    }
    if !wish.agent.is_empty() {
        let call = Call::new("/agent", "looking for the agent").about(directory);
        let agents: Vec<AgentInfo> = client.get(call).await?;
        let names: Vec<String> = agents.into_iter().map(|agent| agent.name).collect();
        one_of("agent", wish.agent, &names)?;
    }
    Ok(())
}

fn one_of(what: &str, name: &str, known: &[String]) -> Result<(), BackendError> {
    if known.iter().any(|one| one == name) {
        return Ok(());
    }
    let near = known
        .iter()
        .max_by(|one, other| strsim::jaro_winkler(one, name).total_cmp(&strsim::jaro_winkler(other, name)));
    Err(BackendError::NoSuch(match near {
        Some(near) => format!("opencode has no {what} {name:?}; the nearest of {} is {near:?}", known.len()),
        None => format!("opencode has no {what} {name:?}, and no other"),
    }))
}

async fn prompt(
    shared: &Shared,
    client: &Client,
    command: &CommandId,
    session: &SessionInfo,
    words: &str,
    wish: Wish<'_>,
) -> Result<(), BackendError> {
    let message = message_id(command, now());
    let mut body = json!({"messageID": message, "parts": [{"type": "text", "text": words}]});
    if let Some((provider, model)) = wish.model.split_once('/') {
        body["model"] = json!({"providerID": provider, "modelID": model});
    }
    if !wish.agent.is_empty() {
        body["agent"] = wish.agent.into();
    }
    let mut notes = shared.notes.subscribe();
    let path = format!("/session/{}/prompt_async", session.id);
    client.tell(Call::new(&path, "giving a prompt"), &body).await?;
    let is_it = |note: &Note| match note {
        Note::Message(id) => *id == message,
        Note::Failed(failed, _) => failed.as_str() == session.id,
        Note::Idle(_) => false,
    };
    let failed = match timeout(TAKEN_LIMIT, hear_of(&mut notes, is_it)).await {
        Ok(Some(Note::Message(_))) => return Ok(()),
        Ok(Some(Note::Failed(_, why))) => Some(why),
        _ => None,
    };
    // An error may have been of the turn before; and a desk that is behind hears late.
    let path = format!("/session/{}/message/{message}", session.id);
    let deadline = Instant::now() + if failed.is_some() { LOOK_EVERY } else { FOUND_LIMIT };
    loop {
        match client.get::<Message>(Call::new(&path, "looking for the prompt")).await {
            Ok(_) => return Ok(()),
            Err(BackendError::NoSuch(_)) if Instant::now() < deadline => sleep(LOOK_EVERY).await,
            Err(BackendError::NoSuch(_)) => break,
            Err(error) => return Err(error),
        }
    }
    Err(match failed {
        Some(why) => BackendError::Refused(format!("opencode did not take the prompt: {why}")),
        None => BackendError::Silent {
            backend: NAME,
            seconds: (TAKEN_LIMIT + FOUND_LIMIT).as_secs(),
            doing: "taking the prompt",
        },
    })
}

async fn hear_of(notes: &mut Receiver<Note>, is_it: impl Fn(&Note) -> bool) -> Option<Note> {
    loop {
        match notes.recv().await {
            Ok(note) if is_it(&note) => return Some(note),
            Ok(_) => {}
            Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
        }
    }
}

async fn abort(client: &Client, id: &SessionId) -> Result<String, BackendError> {
    let info = look::find(client, id).await?;
    let was_busy = Doings::of(client, &info.directory).await?.is_busy(&info.id);
    let path = format!("/session/{id}/abort");
    client.tell(Call::new(&path, "stopping the turn").within(ABORT_LIMIT), &json!({})).await?;
    if !is_idle_within(client, &family(client, &info).await, &info.directory, IDLE_LIMIT).await {
        return Err(BackendError::Silent {
            backend: NAME,
            seconds: IDLE_LIMIT.as_secs(),
            doing: "stopping the turn; kill the session to end it by force",
        });
    }
    Ok(if was_busy { "the turn was stopped" } else { "no turn was running" }.into())
}

async fn kill(shared: &Shared, up: &Up, id: &SessionId) -> Result<String, BackendError> {
    let client = &up.client;
    let info = look::find(client, id).await?;
    let directory = PathBuf::from(&info.directory);
    let family = family(client, &info).await;
    // Seen while their parents still live: a process that hides its mark is found by its descent.
    let (mark, pid, place) = (up.mark.clone(), up.pid, directory.clone());
    let seen = tokio::task::spawn_blocking(move || tools(&mark, pid, &place)).await.unwrap_or_default();
    let mut notes = shared.notes.subscribe();
    let path = format!("/session/{id}/abort");
    let call = Call::new(&path, "stopping the turn").within(KILL_ABORT_LIMIT);
    let mut said = Vec::new();
    let aborted = client.tell(call, &json!({})).await.is_ok();
    if !is_idle_within(client, &family, &info.directory, KILL_IDLE_LIMIT).await {
        let call =
            Call::new("/instance/dispose", "ending everything in the directory").about(&info.directory);
        client.tell(call, &json!({})).await?;
        said.push("everything in its directory was stopped, as the turn would not".to_owned());
        if !is_idle_within(client, &family, &info.directory, KILL_IDLE_LIMIT).await {
            return Err(BackendError::Refused(format!("opencode cannot stop the turn of session {id}")));
        }
    }
    // An abort always says that the session is idle, so what follows here comes after all that the turn still says.
    if aborted {
        let is_it = |note: &Note| matches!(note, Note::Idle(idle) if idle == id);
        let _ = timeout(KILL_IDLE_LIMIT, hear_of(&mut notes, is_it)).await;
    }
    let others = Doings::of(client, &info.directory).await?;
    if let Some(other) = others.busy().find(|other| !family.iter().any(|own| own == other)) {
        said.push(format!("processes it may have left were not ended, as session {other} works there too"));
    } else {
        let ended = sweep_tools(up, directory, seen).await;
        said.push(format!("{ended} processes were ended"));
    }
    report_killed(shared, &info).await;
    Ok(said.join("; "))
}

/// Says that a session was killed, since opencode has no word for it.
pub async fn report_killed(shared: &Shared, info: &SessionInfo) {
    let happening = Happening {
        id: None,
        kind: "session.ended".into(),
        session_id: Some(SessionId::new(&info.id)),
        directory: Some(shared.directories.configured(&info.directory)),
        occurred_at: now(),
        data: raw(&json!({"sessionID": info.id, "reason": "killed"})),
        mark: None,
    };
    // Without a desk there is nobody to tell.
    let _ = shared.reports.send(Heard::Event(happening)).await;
}

/// A session and its helpers.
async fn family(client: &Client, info: &SessionInfo) -> Vec<String> {
    let mut out = vec![info.id.clone()];
    let mut at = 0;
    while let Some(id) = out.get(at).cloned() {
        let path = format!("/session/{id}/children");
        let children: Vec<SessionInfo> =
            client.get(Call::new(&path, "looking for its helpers")).await.unwrap_or_default();
        out.extend(children.into_iter().map(|child| child.id));
        at += 1;
    }
    out
}

async fn is_idle_within(client: &Client, sessions: &[String], directory: &str, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if let Ok(doings) = Doings::of(client, directory).await
            && !sessions.iter().any(|id| doings.is_busy(id))
        {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// A request that waits for its answer.
struct Waiting {
    id: String,
    directory: String,
    what: String,
}

async fn waiting(
    client: &Client,
    session: &SessionId,
    request: Option<&str>,
    kind: AskKind,
) -> Result<Waiting, BackendError> {
    let info = look::find(client, session).await?;
    let doings = Doings::of(client, &info.directory).await?;
    // Its helpers' requests are asked on its behalf.
    let mut asks: Vec<&AskInfo> = Vec::new();
    for id in family(client, &info).await {
        asks.extend(doings.waiting(&id, kind));
    }
    let word = match kind {
        AskKind::Permission => "permission",
        AskKind::Question => "question",
    };
    let found = asks.iter().find(|ask| request.is_none_or(|request| request == ask.id));
    let found = found.ok_or_else(|| {
        BackendError::NoSuch(match (request, asks.first()) {
            (Some(request), Some(other)) => {
                format!("session {session} does not wait for {word} {request} but for {}", other.id)
            }
            _ => format!("session {session} waits for no {word}"),
        })
    })?;
    Ok(Waiting { id: found.id.clone(), what: found.what(), directory: info.directory.clone() })
}

/// The real path of a directory that must exist.
fn existing(directory: &str) -> Result<String, BackendError> {
    let path = Path::new(directory);
    if !path.is_dir() {
        return Err(BackendError::NoSuch(format!("the project's directory {directory:?} does not exist")));
    }
    Ok(text(real(path)))
}

fn title_of(prompt: &str) -> String {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("without a prompt");
    line.chars().take(TITLE_MAX).collect()
}

/// The name of the message that carries a command's prompt. It begins like opencode's own, with the time, because
/// opencode puts messages in the order of their names; the rest says which command it was.
fn message_id(command: &CommandId, at: Time) -> String {
    format!("msg_{}{}", hear::id_digits(at), tail(command))
}

/// True for the message that carries this command's prompt.
pub fn is_message_of(command: &CommandId, id: &str) -> bool {
    id.starts_with("msg_") && id.ends_with(&tail(command))
}

/// Fourteen letters, as many as opencode puts there.
fn tail(command: &CommandId) -> String {
    const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let hash = Sha256::digest(command.as_str().as_bytes());
    hash.iter().take(14).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

/// The metadata of a session made by this command.
pub fn is_made_by(command: &CommandId, info: &SessionInfo) -> bool {
    info.metadata.get(COMMAND_KEY).and_then(Value::as_str) == Some(command.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_can_be_traced_to_its_command_and_sorts_by_time() {
        let command = CommandId::new("0190cafe-aaaa-7bbb-8ccc-0123456789ab");
        let early = message_id(&command, Time(1_795_450_273_229));
        let late = message_id(&CommandId::new("other"), Time(1_795_450_273_230));
        assert_eq!(early.len(), "msg_2092cfe19001use3ZnZAMx3FT2".len());
        assert!(early < late && early.starts_with("msg_2092cfdcd000"), "{early}");
        assert!(is_message_of(&command, &early) && !is_message_of(&command, &late));
    }

    #[test]
    fn a_title_is_the_first_line_and_not_long() {
        assert_eq!(title_of("\n  fix it \nnow"), "fix it");
        assert_eq!(title_of(&"x".repeat(500)).len(), TITLE_MAX);
        assert_eq!(title_of(""), "without a prompt");
    }
}
