//! `halctl commands`, and what a command's state means for whoever asked.

use super::cli::CommandVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::watch::{self, Source};
use hal_base::exit::{Exit, Failure};
use hal_protocol::command::{CommandState, CommandView};

/// Commands in one page of the list.
const PAGE: usize = 1000;

/// Carries out one of the verbs.
pub async fn run(verb: CommandVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        CommandVerb::List { status, node_id, session, limit, how } => {
            let query = vec![
                ("state", status.unwrap_or_default()),
                ("node_id", node_id.unwrap_or_default()),
                ("session_id", session.unwrap_or_default()),
            ];
            let limit = Some(limit).filter(|limit| *limit > 0);
            let source = Source { path: "commands", query, limit, page: PAGE };
            watch::list::<CommandView>(client, screen, &how, "No commands.", source).await
        }
        CommandVerb::Get { id } => {
            screen.one(&client.get::<CommandView>(&["commands", &id], &Query::new()).await?.data)
        }
        CommandVerb::Cancel { id } => {
            let command = client.post::<CommandView>(&["commands", &id, "cancel"]).await?.data;
            match command.state {
                CommandState::Failed | CommandState::Expired => {
                    screen.write(&format!("Command {id} was cancelled; it had no effect.\n"))
                }
                CommandState::Done => Err(Failure::say(
                    Exit::Failed,
                    format!("command {id} was done before it could be cancelled"),
                )),
                _ => {
                    let node = &command.node_id;
                    Err(Failure::say(
                        Exit::TimedOut,
                        format!(
                            "node {node} may have started command {id}; if not, it drops it. See `halctl commands get {id}`"
                        ),
                    ))
                }
            }
        }
    }
}

/// The command when it is done; else the failure that says what became of it and what to do next.
pub fn outcome(command: CommandView) -> Result<CommandView, Failure> {
    let CommandView { command_id: id, verb, node_id, error, .. } = &command;
    let verb = verb.as_str();
    let because = error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    let (exit, sentence) = match command.state {
        CommandState::Done => return Ok(command),
        // The supervisor itself has done it, and for no one node.
        CommandState::Failed if node_id.as_str().is_empty() => {
            (Exit::Failed, format!("{verb} failed{because}"))
        }
        CommandState::Failed => (Exit::Failed, format!("{verb} failed on node {node_id}{because}")),
        CommandState::Expired => (
            Exit::Failed,
            format!(
                "{verb} expired before node {node_id} started it, so it had no effect{because}. Is the node online? See `halctl nodes get {node_id}`"
            ),
        ),
        CommandState::Unknown => (
            Exit::Failed,
            format!(
                "node {node_id} was interrupted during {verb} and cannot tell whether it was done{because}. Check the session before you retry"
            ),
        ),
        state @ (CommandState::Queued | CommandState::Sent | CommandState::Running) => {
            let where_it_is = match state {
                CommandState::Queued => format!("is queued until node {node_id} is online"),
                _ if node_id.as_str().is_empty() => "has no outcome yet".to_owned(),
                CommandState::Sent => format!("was sent to node {node_id}, which has not started it"),
                _ => format!("is running on node {node_id}"),
            };
            (Exit::TimedOut, format!("{verb} {where_it_is}. See `halctl commands get {id}`"))
        }
    };
    Err(Failure::say(exit, sentence))
}

impl Record for CommandView {
    fn fields(&self) -> Vec<Field> {
        let tone = match self.state {
            CommandState::Done => Tone::Good,
            CommandState::Queued | CommandState::Sent | CommandState::Running => Tone::Busy,
            CommandState::Failed | CommandState::Unknown => Tone::Bad,
            CommandState::Expired => Tone::Quiet,
        };
        let session = self.session_id.as_ref().map(ToString::to_string).unwrap_or_default();
        vec![
            Field::id("id", &self.command_id),
            Field::id("session_id", session).weight(70),
            Field::new("node_id", &self.node_id).weight(40),
            Field::new("project", &self.project).weight(45),
            Field::new("type", self.verb.as_str()).weight(85),
            Field::new("status", self.state.as_str()).tone(tone).weight(95),
            Field::moment("created_at", self.created_at).weight(60),
            Field::moment("timestamp", self.timestamp).wide(),
            Field::moment("expires_at", self.expires_at).detail(),
            Field::new("actor", &self.actor).wide(),
            Field::new("error", self.error.clone().unwrap_or_default()).tone(Tone::Bad).long().weight(80),
            Field::new("output", &self.output).wide().long(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_base::clock::Time;
    use hal_protocol::command::Verb;

    fn command(state: CommandState) -> CommandView {
        CommandView {
            command_id: "c1".into(),
            verb: Verb::PromptSession,
            state,
            status: state.legacy_word().into(),
            node_id: "web-1".into(),
            project: "shop".into(),
            session_id: Some("s1".into()),
            output: String::new(),
            error: (state == CommandState::Failed).then(|| "no such model".into()),
            actor: "token".into(),
            who: None,
            created_at: Time(1),
            expires_at: Time(2),
            timestamp: Time(3),
        }
    }

    #[test]
    fn what_no_one_node_does_names_none() {
        let of_all = |state| CommandView { verb: Verb::HaltWork, node_id: "".into(), ..command(state) };
        let failed = outcome(of_all(CommandState::Failed)).unwrap_err().to_string();
        assert_eq!(failed, "halt_work failed: no such model");
        let runs = outcome(of_all(CommandState::Running)).unwrap_err();
        assert_eq!(runs.exit, Exit::TimedOut);
        assert_eq!(runs.to_string(), "halt_work has no outcome yet. See `halctl commands get c1`");
    }

    #[test]
    fn every_state_has_its_exit_and_says_what_to_do() {
        assert!(outcome(command(CommandState::Done)).is_ok());
        for (state, exit, words) in [
            (CommandState::Failed, Exit::Failed, "no such model"),
            (CommandState::Expired, Exit::Failed, "no effect"),
            (CommandState::Unknown, Exit::Failed, "Check the session"),
            (CommandState::Queued, Exit::TimedOut, "halctl commands get c1"),
            (CommandState::Running, Exit::TimedOut, "halctl commands get c1"),
        ] {
            let failure = outcome(command(state)).unwrap_err();
            assert_eq!(failure.exit, exit);
            assert!(failure.to_string().contains(words), "{failure}");
        }
    }
}
