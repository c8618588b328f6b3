//! The verbs that change a session: start, prompt, resume, abort, kill, allow, deny, answer.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::AsyncReadExt;

use super::wait::wait;
use crate::cli::Output;
use crate::cli::session::{ActArgs, ActVerb, WaitArgs};
use crate::client::Client;
use crate::command::outcome;
use crate::print::Screen;
use crate::print::text::one_line;
use hal_base::exit::{Exit, Failure};
use hal_base::id;
use hal_protocol::command::{CommandRequest, CommandView, Verb};

/// The largest prompt read from standard input, in bytes: what one event may hold.
const MAX_PROMPT_BYTES: u64 = 1024 * 1024;

/// The longest wait for an outcome that the supervisor accepts.
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// A start that takes longer is explained, and again as often.
const SOON: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(5);

/// Carries out one of these verbs.
pub async fn run(verb: ActVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        ActVerb::Start { project, node_id, title, model, agent, wait, act, prompt } => {
            let mut args = Map::new();
            args.insert("prompt".into(), read_prompt(prompt).await?.into());
            for (key, value) in [("title", title), ("model", model), ("agent", agent)] {
                args.extend(value.map(|value| (key.to_owned(), Value::from(value))));
            }
            let mut request = request(Verb::CreateSession, args, act)?;
            request.target = project.clone();
            request.project = project;
            request.node_id = node_id.unwrap_or_default();
            start(client, screen, request, wait).await
        }
        ActVerb::Prompt { id, wait, act, text } | ActVerb::Resume { id, wait, act, text } => {
            let args = Map::from_iter([("message".to_owned(), read_prompt(text).await?.into())]);
            tell(client, screen, Verb::PromptSession, &id, args, act, "Prompt delivered to session {}")
                .await?;
            wait_after(client, screen, &id, &wait).await
        }
        ActVerb::Abort { id, act } => {
            tell(
                client,
                screen,
                Verb::AbortSession,
                &id,
                Map::new(),
                act,
                "Session {} was told to stop its turn",
            )
            .await
        }
        ActVerb::Kill { id, act } => {
            tell(
                client,
                screen,
                Verb::KillSession,
                &id,
                Map::new(),
                act,
                "Session {} was killed; its conversation is kept",
            )
            .await
        }
        ActVerb::Allow { id, request, always, act } => {
            let reply = if always { "always" } else { "once" };
            let args = answer_args(request, [("reply", json!(reply))]);
            tell(client, screen, Verb::AnswerPermission, &id, args, act, "Session {} was allowed").await
        }
        ActVerb::Deny { id, request, message, act } => {
            let mut args = answer_args(request, [("reply", json!("reject"))]);
            args.extend(message.map(|message| ("message".to_owned(), Value::from(message))));
            tell(client, screen, Verb::AnswerPermission, &id, args, act, "Session {} was denied").await
        }
        ActVerb::Answer { id, request, act, answers } => {
            let answers: Vec<[String; 1]> = answers.into_iter().map(|answer| [answer]).collect();
            let args = answer_args(request, [("answers", json!(answers))]);
            tell(client, screen, Verb::AnswerQuestion, &id, args, act, "Session {} got its answer").await
        }
    }
}

pub(super) async fn start(
    client: &Client,
    screen: &mut Screen,
    request: CommandRequest,
    wait: WaitArgs,
) -> Result<(), Failure> {
    let asked = client.command(&request);
    let asked = patiently(
        screen,
        (SOON, AGAIN),
        "the session starts; a coding agent that is not running yet is started first",
        asked,
    );
    let command = outcome(asked.await?)?;
    let id = if command.output.is_empty() {
        command.session_id.as_ref().map(ToString::to_string).unwrap_or_default()
    } else {
        command.output.trim().to_owned()
    };
    match screen.output() {
        Output::Json | Output::Yaml => screen.one(&command)?,
        Output::Table | Output::Wide => {
            let sentence = format!("Session {id} works on {} at node {}.", command.project, command.node_id);
            screen.write(&format!("{}\n", one_line(&sentence)))?;
            if wait.wait.is_empty() {
                screen.say(&format!("Watch it with `halctl sessions watch {id}`."));
            }
        }
        // Alone, so that `id=$(halctl sessions start ..)` works.
        Output::Lines | Output::Name | Output::Csv => screen.write(&format!("{}\n", one_line(&id)))?,
    }
    screen.flush()?;
    wait_after(client, screen, &id, &wait).await
}

/// Waits for the answer, and lets a person who waits know why: at first after `soon`, then `again` and again.
async fn patiently<T>(
    screen: &mut Screen,
    (soon, again): (Duration, Duration),
    what: &str,
    asked: impl Future<Output = T>,
) -> T {
    let mut asked = std::pin::pin!(asked);
    let (mut step, mut waited) = (soon, Duration::ZERO);
    loop {
        if let Ok(answer) = tokio::time::timeout(step, &mut asked).await {
            return answer;
        }
        waited += step;
        step = again;
        if screen.is_terminal() {
            screen.say(&format!("Waiting until {what} ({} s) ..", waited.as_secs()));
        }
    }
}

/// Asks something of one session, and prints `done` with the session's id for its `{}`.
pub(super) async fn tell(
    client: &Client,
    screen: &mut Screen,
    verb: Verb,
    session: &str,
    args: Map<String, Value>,
    act: ActArgs,
    done: &str,
) -> Result<(), Failure> {
    let mut request = request(verb, args, act)?;
    request.session_id = session.to_owned();
    let command: CommandView = outcome(client.command(&request).await?)?;
    match screen.output() {
        Output::Json | Output::Yaml => screen.one(&command),
        _ => {
            screen.say(&format!("{}.", done.replace("{}", session)));
            Ok(())
        }
    }
}

async fn wait_after(client: &Client, screen: &mut Screen, id: &str, asked: &WaitArgs) -> Result<(), Failure> {
    if asked.wait.is_empty() {
        return Ok(());
    }
    let status = wait(client, screen, id, &asked.wait, asked.wait_timeout).await?;
    if screen.is_terminal() {
        screen.say(&format!("Session {id} is {}.", status.as_str()));
    }
    Ok(())
}

pub(super) fn request(verb: Verb, args: Map<String, Value>, act: ActArgs) -> Result<CommandRequest, Failure> {
    if act.timeout.is_some_and(|timeout| timeout > MAX_TIMEOUT) {
        let sentence =
            format!("--timeout is at most {} s; `halctl sessions wait` waits longer", MAX_TIMEOUT.as_secs());
        return Err(Failure::say(Exit::Usage, sentence));
    }
    Ok(CommandRequest {
        verb: verb.as_str().to_owned(),
        args,
        idempotency_key: act.idempotency_key.unwrap_or_else(id::fresh),
        timeout: act.timeout.map(whole_seconds),
        expires: act.expires.map(whole_seconds),
        ..CommandRequest::default()
    })
}

/// The supervisor counts in seconds; half a second is one, not none.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn answer_args<const N: usize>(request: Option<String>, rest: [(&str, Value); N]) -> Map<String, Value> {
    let request = request.map(|request| ("request_id".to_owned(), Value::from(request)));
    rest.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(request).collect()
}

/// The prompt itself, or what comes on standard input when it is `-`.
async fn read_prompt(text: String) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text);
    }
    let mut text = String::new();
    let read = tokio::io::stdin().take(MAX_PROMPT_BYTES + 1).read_to_string(&mut text).await;
    read.map_err(|error| {
        Failure::new(
            Exit::Failed,
            anyhow::Error::new(error).context("cannot read the prompt from standard input"),
        )
    })?;
    if text.len() as u64 > MAX_PROMPT_BYTES {
        let sentence = format!("the prompt on standard input is larger than {MAX_PROMPT_BYTES} bytes");
        return Err(Failure::say(Exit::Usage, sentence));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io;

    use clap::Parser;
    use tokio::sync::watch;

    use super::*;
    use crate::cli::Cli;

    /// Where a screen writes, and whoever waits for its words.
    #[derive(Clone)]
    struct Paper(watch::Sender<String>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send_modify(|text| text.push_str(&String::from_utf8_lossy(bytes)));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_a_start_is_told_why_and_a_pipe_is_not() {
        let step = Duration::from_millis(1);
        for is_person in [true, false] {
            let cli = Cli::try_parse_from(["halctl", "nodes", "list"]).unwrap();
            let (out, aside) = (Paper(watch::Sender::default()), Paper(watch::Sender::default()));
            let mut said = aside.0.subscribe();
            let mut screen =
                Screen::to(&cli.global, is_person, false, Box::new(out), Box::new(aside.clone()));
            // The answer comes once it was explained twice, or after a while to nobody.
            let asked = async {
                match is_person {
                    true => drop(said.wait_for(|text| text.lines().count() >= 2).await),
                    false => tokio::time::sleep(10 * step).await,
                }
                7
            };
            assert_eq!(patiently(&mut screen, (step, step), "it is there", asked).await, 7);
            let said = aside.0.borrow().clone();
            assert_eq!(said.contains("Waiting until it is there (0 s) .."), is_person, "{said}");
        }
    }
}
