//! A restart: the session is asked to write down where it stands, gets a while for it, is ended, and another one begins
//! with what it wrote. Each step is a command, and where it stands is kept, so that a supervisor that is killed in
//! between goes on from there.
//!
//! ```text
//!   asked --(idle, or its time is over)--> ending --(ended)--> starting --(begun)--> linked
//! ```

use std::time::Duration;

use serde_json::{Value, json};

use super::Work;
use super::command::object;
use hal_base::clock::Time;
use hal_base::id;
use hal_protocol::command::{Command, CommandId, CommandRequest, CommandState, Verb};
use hal_protocol::frame::Checkpoint;
use hal_protocol::session::{Activity, Session, SessionId};
use hal_protocol::who::Who;
use hal_rules::handover::{Handover, RestartStep, Stop};
use hal_rules::policy::facts::{Doing, PolicyFacts, is_done};
use hal_store::kept::{HANDOVER, MARKS};
use hal_store::session::SessionRecord;

/// Who orders the steps.
pub const ACTOR: &str = "handover";

/// How long a session may take to write down where it stands.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a session that was killed may take to be seen to have ended.
const ENDING: Duration = Duration::from_secs(60);

/// A session that is idle for less may be between two turns.
const REST: Duration = Duration::from_secs(1);

const WRITE_DOWN: &str = "Another session will go on with your work. Stop here. Write into .context/PROGRESS.md what is \
     done, what you have learned and which ways lead nowhere, and into CURRENT_TASK.md what you are at and the next \
     steps. Commit both with everything that belongs to your work. Do nothing else.";

impl Work {
    /// Begins a restart, or says why not.
    pub(super) fn begin_handover(
        &mut self,
        record: &SessionRecord,
        command: &Command,
        at: Time,
    ) -> Result<(), String> {
        let session = &record.session;
        let id = &session.id;
        if self.view.is_kept(HANDOVER, id.as_str()) {
            return Err(format!("session {id} is already being handed over"));
        }
        let is_wanted = command.args.get("handover").and_then(Value::as_bool).unwrap_or(true);
        let is_over = matches!(session.activity, Activity::Ended(_));
        let prompt = command.args.get("prompt").and_then(Value::as_str).unwrap_or_default();
        let mut handover = Handover {
            command: command.id.clone(),
            step: RestartStep::Asked,
            until: at,
            part: None,
            prompt: prompt.to_owned(),
            // Whoever waits for a person cannot hear.
            has_asked: is_wanted
                && !is_over
                && session.asks.is_empty()
                && !self.view.stored.is_kept_waiting(session),
            stop: Stop::default(),
        };
        self.note_session(record, "session.handover", &json!({"step": "begun", "by": command.actor}), at);
        if handover.has_asked {
            handover.until = at.plus(PATIENCE);
            let asked = self.part(record, Verb::PromptSession, json!({"message": WRITE_DOWN}), &handover, at);
            handover.part = asked.ok().map(|command| command.id);
        }
        self.put_kept(HANDOVER, id.as_str(), &handover, at);
        Ok(())
    }

    /// Takes the next steps of those that can.
    pub(super) fn go_on_with_handovers(&mut self, at: Time) {
        let all: Vec<(SessionId, Handover)> = self
            .view
            .all_kept(HANDOVER)
            .map(|(id, one)| (SessionId::new(id), Handover::clone(one)))
            .collect();
        for (id, handover) in all {
            let Some(record) = self.view.stored.sessions.get(&id).cloned() else {
                self.delete_kept(HANDOVER, id.as_str());
                continue;
            };
            let is_over = matches!(record.session.activity, Activity::Ended(_));
            match handover.step {
                RestartStep::Asked if is_over || self.has_written(&id, &handover, at) => {
                    self.end_old(&record, handover, at);
                }
                RestartStep::Ending if is_over => self.start_new(&record, handover, at),
                RestartStep::Ending if !self.is_open(handover.part.as_ref()) && at >= handover.until => {
                    let why = format!(
                        "session {id} was killed, but is not known to have ended; no session continues its work"
                    );
                    self.end_handover(&record, &handover, Err(why), at);
                }
                _ => {}
            }
        }
    }

    /// True when the session has written, or had its time.
    fn has_written(&self, id: &SessionId, handover: &Handover, at: Time) -> bool {
        let is_heard = !self.is_open(handover.part.as_ref());
        let rests =
            self.view.live.watched.get(id).is_none_or(|watched| {
                watched.facts.doing == Doing::Idle && at >= watched.facts.since.plus(REST)
            });
        at >= handover.until || (is_heard && rests)
    }

    fn is_open(&self, part: Option<&CommandId>) -> bool {
        part.is_some_and(|part| self.view.stored.commands.contains_key(part))
    }

    fn end_old(&mut self, record: &SessionRecord, mut handover: Handover, at: Time) {
        let facts: PolicyFacts =
            self.view.live.watched.get(&record.session.id).map(|one| one.facts.clone()).unwrap_or_default();
        handover.stop = Stop { message: facts.message, said: facts.said, commit: None };
        (handover.step, handover.until) = (RestartStep::Ending, at.plus(ENDING));
        match self.part(record, Verb::KillSession, json!({}), &handover, at) {
            Ok(command) => handover.part = Some(command.id),
            Err(why) => return self.end_handover(record, &handover, Err(why), at),
        }
        self.put_kept(HANDOVER, record.session.id.as_str(), &handover, at);
    }

    fn start_new(&mut self, record: &SessionRecord, mut handover: Handover, at: Time) {
        let session = &record.session;
        handover.step = RestartStep::Starting;
        let model = session.model.as_ref().map(|model| format!("{}/{}", model.provider, model.id));
        let args = json!({"prompt": first_words(session, &handover), "title": session.title, "model": model});
        match self.part(record, Verb::CreateSession, args, &handover, at) {
            Ok(command) => handover.part = Some(command.id),
            Err(why) => return self.end_handover(record, &handover, Err(why), at),
        }
        self.put_kept(HANDOVER, session.id.as_str(), &handover, at);
    }

    /// Orders a step.
    fn part(
        &mut self,
        record: &SessionRecord,
        verb: Verb,
        args: Value,
        handover: &Handover,
        at: Time,
    ) -> Result<Command, String> {
        let session = &record.session;
        let is_new = verb == Verb::CreateSession;
        let request = CommandRequest {
            verb: verb.as_str().to_owned(),
            project: if is_new { session.project.to_string() } else { String::new() },
            node_id: if is_new { session.node_id.to_string() } else { String::new() },
            session_id: if is_new { String::new() } else { session.id.to_string() },
            args: object(args),
            idempotency_key: format!("{}/{}/{}", session.id, handover.command, verb.as_str()),
            ..CommandRequest::default()
        };
        let ordered = self.order(&request, &Who::policy(ACTOR), CommandId::from(id::fresh()), at);
        ordered.map_err(|why| format!("{} was refused: {why}", verb.as_str()))
    }

    /// A step's command has ended.
    pub(super) fn handover_part_ended(&mut self, command: &Command, at: Time) {
        let key = command.idempotency_key.as_deref().filter(|_| command.actor == ACTOR);
        let Some((id, _)) = key.and_then(|key| key.split_once('/')) else { return };
        let Some(handover) = self.view.kept(HANDOVER, id) else { return };
        let Some(record) = self.view.stored.sessions.get(&SessionId::new(id)).cloned() else { return };
        let why = || {
            let why = command.error.clone().unwrap_or_default();
            format!("{} is {}: {why}", command.verb.as_str(), command.state.as_str())
        };
        match (command.verb, command.state) {
            (Verb::CreateSession, CommandState::Done) => {
                self.link(&record, &SessionId::new(&command.output), at);
                self.end_handover(&record, &handover, Ok(command.output.clone()), at);
            }
            (Verb::CreateSession, _) => {
                let why = format!("session {id} was ended, and no session continues its work: {}", why());
                self.end_handover(&record, &handover, Err(why), at);
            }
            (Verb::KillSession, state) if state != CommandState::Done => {
                self.end_handover(&record, &handover, Err(why()), at);
            }
            _ => {}
        }
    }

    fn link(&mut self, old: &SessionRecord, new: &SessionId, at: Time) {
        let mut marks = self.marks(&old.session.id);
        marks.continued_by = Some(new.to_string());
        self.put_kept(MARKS, old.session.id.as_str(), &marks, at);
        let labels = marks.labels;
        let mut marks = self.marks(new);
        marks.continues = Some(old.session.id.to_string());
        marks.labels = labels;
        self.put_kept(MARKS, new.as_str(), &marks, at);
    }

    fn end_handover(
        &mut self,
        record: &SessionRecord,
        handover: &Handover,
        outcome: Result<String, String>,
        at: Time,
    ) {
        self.delete_kept(HANDOVER, record.session.id.as_str());
        let data = json!({"step": "over", "continued_by": outcome.as_ref().ok(), "error": outcome.as_ref().err(),
            "message_id": handover.stop.message, "commit": handover.stop.commit});
        self.note_session(record, "session.handover", &data, at);
        let asked = self.view.stored.commands.get(&handover.command).map(|command| Command::clone(command));
        if let Some(command) = asked {
            self.end_here(command, outcome, at);
        }
    }

    /// Where a session stood when a command of the supervisor's own stepped in.
    pub(super) fn note_stood(&mut self, command: &Command, stood: &Checkpoint, at: Time) {
        let Some(id) = &command.session_id else { return };
        let Some(record) = self.view.stored.sessions.get(id).cloned() else { return };
        let message = self.view.live.watched.get(id).map(|watched| watched.facts.message.clone());
        let data = json!({"command_id": command.id, "command": command.verb.as_str(), "by": command.actor,
            "commit": stood.commit, "is_dirty": stood.is_dirty, "message_id": message});
        self.note_session(&record, "session.stood", &data, at);
        let kept = self.view.kept(HANDOVER, id.as_str());
        if let Some(mut handover) = kept.filter(|_| command.actor == ACTOR) {
            handover.stop.commit = Some(stood.commit.clone());
            self.put_kept(HANDOVER, id.as_str(), &handover, at);
        }
    }
}

/// What the new session is told first.
fn first_words(session: &Session, handover: &Handover) -> String {
    let stop = &handover.stop;
    let mut words = format!("You go on with the work of session {} in this project.\n", session.id);
    let mut line = |text: String| words.extend([text.as_str(), "\n"]);
    if !session.title.is_empty() {
        line(format!("Its task: {}", session.title));
    }
    if !stop.message.is_empty() {
        line(format!("It stopped at message {}.", stop.message));
    }
    if let Some(commit) = &stop.commit {
        line(format!("The project's directory stood at commit {commit} then."));
    }
    if !stop.said.is_empty() {
        line(format!("The last it said: {}", stop.said));
    }
    let open = session.todo.iter().filter(|one| !is_done(&one.status));
    open.for_each(|one| line(format!("Still to do: {}", one.content)));
    line(match handover.has_asked {
        true => "Read .context/PROGRESS.md and CURRENT_TASK.md first: it was asked to write down there where it \
                 stands. Then go on with the task."
            .to_owned(),
        false => "Read .context/PROGRESS.md and CURRENT_TASK.md first, if they are there; it was not asked to write \
                  down where it stands. Then look at the directory, and go on with the task."
            .to_owned(),
    });
    if !handover.prompt.is_empty() {
        line(handover.prompt.clone());
    }
    words
}
