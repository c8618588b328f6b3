//! The verbs of a session's life beyond its turns: restart, pause, unpause, archive, label, halt.

use std::time::Duration;

use serde_json::{Map, Value};

use super::act::{request, start, tell};
use crate::cli::session::{ActArgs, LifeVerb, WaitArgs};
use crate::client::Client;
use crate::command::outcome;
use crate::print::Screen;
use hal_base::exit::Failure;
use hal_protocol::command::Verb;

/// How long a restart is waited for: the session has a minute to write down where it stands.
const RESTART_TIMEOUT: Duration = Duration::from_secs(150);

/// How long it is waited for turns to stop: those that do not are killed after a while, and that is waited for too.
const STOP_TIMEOUT: Duration = Duration::from_secs(90);

/// Carries out one of these verbs.
pub async fn run(verb: LifeVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        LifeVerb::Restart { id, no_handover, act, text } => {
            let mut args = Map::from_iter([("handover".to_owned(), Value::from(!no_handover))]);
            args.extend(text.map(|text| ("prompt".to_owned(), Value::from(text))));
            let act = ActArgs { timeout: act.timeout.or(Some(RESTART_TIMEOUT)), ..act };
            let mut request = request(Verb::RestartSession, args, act)?;
            request.session_id = id;
            start(client, screen, request, WaitArgs::default()).await
        }
        LifeVerb::Pause { id, act } => {
            let act = ActArgs { timeout: act.timeout.or(Some(STOP_TIMEOUT)), ..act };
            tell(client, screen, Verb::PauseSession, &id, Map::new(), act, "Session {} is paused").await
        }
        LifeVerb::Unpause { id, act } => {
            tell(client, screen, Verb::ReleaseSession, &id, Map::new(), act, "Session {} is no longer paused")
                .await
        }
        LifeVerb::Archive { id, undo, act } => {
            let args = Map::from_iter([("undo".to_owned(), Value::from(undo))]);
            let done = if undo { "Session {} is shown in lists again" } else { "Session {} is archived" };
            tell(client, screen, Verb::ArchiveSession, &id, args, act, done).await
        }
        LifeVerb::Label { id, remove, act, add } => {
            let args = Map::from_iter([
                ("add".to_owned(), Value::from(add)),
                ("remove".to_owned(), Value::from(remove)),
            ]);
            tell(client, screen, Verb::LabelSession, &id, args, act, "Session {} is labelled").await
        }
        LifeVerb::Halt { all: _, project, release, act } => {
            let args = Map::from_iter([("release".to_owned(), Value::from(release))]);
            let act = ActArgs { timeout: act.timeout.or(Some(STOP_TIMEOUT)), ..act };
            let mut request = request(Verb::HaltWork, args, act)?;
            request.project = project.unwrap_or_default();
            let command = outcome(client.command(&request).await?)?;
            screen.say(&format!("{}.", command.output));
            if screen.is_structured() { screen.one(&command) } else { Ok(()) }
        }
    }
}
