//! Beginning a session and saying something to one.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Call, Client, NAME};
use super::words::{AgentInfo, Message, Providers, SessionInfo};
use super::{Note, Shared, classify_event, existing, snapshot};
use crate::backend::BackendError;
use hal_base::clock::{Time, now};
use hal_base::nearest::no_such;
use hal_protocol::command::CommandId;
use hal_protocol::session::SessionId;

/// Characters of a title that is made from a prompt.
const TITLE_MAX: usize = 80;

/// Where a session says which command made it.
const COMMAND_KEY: &str = "hal_command";

/// How long a prompt may take to appear in the stream before it is looked for.
const TAKEN_LIMIT: Duration = Duration::from_secs(5);

/// How long it is looked for then: the first prompt in a directory can take long on a busy machine.
const FOUND_LIMIT: Duration = Duration::from_secs(20);

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a prompt waits for a clock that stands behind the session's last message: a small step passes by itself.
const CLOCK_PATIENCE: Duration = Duration::from_secs(30);

/// What the caller wants and may leave open.
#[derive(Clone, Copy, Default)]
pub struct PromptOptions<'a> {
    /// As `provider/model`; opencode's choice when empty.
    pub model: &'a str,
    /// A kind of agent; opencode's choice when empty.
    pub agent: &'a str,
}

/// Makes a session, gives it its first prompt and tells its name.
pub async fn create(
    shared: &Shared,
    client: &Client,
    command: &CommandId,
    directory: &str,
    words: &str,
    title: &str,
    wish: PromptOptions<'_>,
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
async fn check(client: &Client, directory: &str, wish: PromptOptions<'_>) -> Result<(), BackendError> {
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

/// Refuses a name that is not known.
pub fn one_of(what: &str, name: &str, known: &[String]) -> Result<(), BackendError> {
    if known.iter().any(|one| one == name) {
        return Ok(());
    }
    let why = no_such(what, name, known.iter().map(String::as_str));
    Err(BackendError::NoSuch(format!("opencode has {why}")))
}

/// Waits until the clock has passed the last message of a session. opencode puts messages in the order of the clock: a
/// prompt that seems older than the last answer is never shown to the model, or shown to it again and again.
pub async fn after_the_last_message(client: &Client, session: &SessionInfo) -> Result<(), BackendError> {
    let last = snapshot::last_message(client, &SessionId::new(&session.id)).await?;
    let Some(last) = last.map(|message| Time(message.info.time.created)) else { return Ok(()) };
    let deadline = Instant::now() + CLOCK_PATIENCE;
    loop {
        let Some(behind) = behind(last, now()) else { return Ok(()) };
        if Instant::now() + behind > deadline {
            return Err(BackendError::Refused(format!(
                "the clock of this node is {} s behind the last message of session {}, which is of {last}: opencode \
                 would never show this prompt to the model. Set the clock right, or start another session",
                behind.as_secs(),
                session.id
            )));
        }
        sleep(behind.clamp(Duration::from_millis(1), LOOK_EVERY)).await;
    }
}

/// How long it takes until a message made now is younger than the last one; `None`: it is already.
fn behind(last: Time, now: Time) -> Option<Duration> {
    let behind = last.0.saturating_add(1).saturating_sub(now.0);
    u64::try_from(behind).ok().filter(|behind| *behind > 0).map(Duration::from_millis)
}

/// Says something to a session; returns when opencode has taken it.
pub async fn prompt(
    shared: &Shared,
    client: &Client,
    command: &CommandId,
    session: &SessionInfo,
    words: &str,
    wish: PromptOptions<'_>,
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
    // An error may have been of the turn before; and a session manager that is behind hears late.
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

/// The next note of a kind; `None` when some were missed.
pub async fn hear_of(notes: &mut Receiver<Note>, is_it: impl Fn(&Note) -> bool) -> Option<Note> {
    loop {
        match notes.recv().await {
            Ok(note) if is_it(&note) => return Some(note),
            Ok(_) => {}
            Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
        }
    }
}

/// A title made of a prompt.
pub fn title_of(prompt: &str) -> String {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("without a prompt");
    line.chars().take(TITLE_MAX).collect()
}

/// The name of the message that carries a command's prompt. It begins like opencode's own, with the time, because
/// opencode puts messages in the order of their names; the rest says which command it was.
fn message_id(command: &CommandId, at: Time) -> String {
    format!("msg_{}{}", classify_event::id_digits(at), tail(command))
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
    fn a_prompt_must_be_younger_than_what_was_said_before() {
        assert_eq!(behind(Time(1_000), Time(1_001)), None);
        assert_eq!(behind(Time(1_000), Time(1_000)), Some(Duration::from_millis(1)), "as old is not younger");
        assert_eq!(behind(Time(3_601_000), Time(1_000)), Some(Duration::from_millis(3_600_001)));
        assert_eq!(behind(Time(i64::MAX), Time(i64::MIN)), Some(Duration::from_millis(i64::MAX as u64)));
    }

    #[test]
    fn a_title_is_the_first_line_and_not_long() {
        assert_eq!(title_of("\n  fix it \nnow"), "fix it");
        assert_eq!(title_of(&"x".repeat(500)).len(), TITLE_MAX);
        assert_eq!(title_of(""), "without a prompt");
    }
}
