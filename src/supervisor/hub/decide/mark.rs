//! What people say about a session: paused, put away, labelled. And the big red button: a halt, which lasts until it is
//! released.

use std::collections::HashSet;

use serde_json::json;

use super::Work;
use super::policy::ACTOR;
use super::{dependency, handover};
use crate::base::clock::Time;
use crate::base::id;
use crate::protocol::alert::Severity;
use crate::protocol::command::{Command, CommandId, CommandRequest, CommandState, Verb};
use crate::protocol::mark::{Marks, Said};
use crate::protocol::node::NodeId;
use crate::protocol::session::{Activity, SessionId};
use crate::rules::alert::Seen;
use crate::rules::command::Refused;
use crate::store::session::SessionRecord;
use crate::supervisor::hub::input::NotAccepted;
use crate::supervisor::hub::kept::{HALT, HALT_ALL, MARKS};

/// The name of the alert that work is halted.
const HALTED: &str = "work.halted";

/// Labels of a session at most.
const MOST_LABELS: usize = 32;

/// Who orders what a halt needs.
pub const HALTER: &str = "halt";

impl Work {
    /// Carries out what only the supervisor has to know. The outcome, or `None`: it goes on for a while.
    pub(super) fn carry_out_here(&mut self, command: &Command, at: Time) -> Option<Result<String, String>> {
        if command.verb == Verb::HaltWork {
            return Some(Ok(self.halt(command, at)));
        }
        let id = command.session_id.as_ref()?;
        let Some(record) = self.view.sessions.get(id).cloned() else {
            return Some(Err(format!("session {id} is gone")));
        };
        match command.verb {
            Verb::PauseSession => Some(Ok(self.pause(&record, &command.actor, at))),
            Verb::ReleaseSession => {
                self.release(&record, &command.actor, at);
                Some(Ok(String::new()))
            }
            Verb::ArchiveSession => Some(self.archive(&record, command, at)),
            Verb::LabelSession => Some(self.label(&record, command, at)),
            _ => {
                self.begin_handover(&record, command, at);
                None
            }
        }
    }

    /// The turn is stopped, and no policy touches the session until a person goes on with it.
    fn pause(&mut self, record: &SessionRecord, actor: &str, at: Time) -> String {
        let id = &record.session.id;
        let mut marks = self.marks(id);
        if marks.paused.is_none() {
            marks.paused = Some(Said { by: actor.to_owned(), at });
            self.keep(MARKS, id.as_str(), &marks, at);
            self.note_session(record, "session.paused", &json!({"by": actor}), at);
        }
        self.stop_turn(record, actor, &format!("{id}/pause@{}", at.0), at);
        self.look_again(id);
        marks.paused.map_or_else(String::new, |said| format!("paused by {} at {}", said.by, said.at))
    }

    /// A person goes on with a session.
    pub(super) fn release(&mut self, record: &SessionRecord, actor: &str, at: Time) {
        let id = &record.session.id;
        self.renew_unreadable(id);
        let mut marks = self.marks(id);
        if marks.paused.take().is_some() {
            self.keep_marks(id, &marks, at);
            self.note_session(record, "session.resumed", &json!({"by": actor}), at);
            self.look_again(id);
        }
    }

    fn archive(&mut self, record: &SessionRecord, command: &Command, at: Time) -> Result<String, String> {
        let id = &record.session.id;
        let mut marks = self.marks(id);
        let undo = command.args.get("undo").and_then(serde_json::Value::as_bool).unwrap_or(false);
        if undo {
            marks.archived = None;
        } else if matches!(record.session.activity, Activity::Busy | Activity::Retry(_)) {
            return Err(format!("session {id} is at work; end it first: halctl sessions kill {id}"));
        } else if marks.archived.is_none() {
            marks.archived = Some(Said { by: command.actor.clone(), at });
        }
        self.keep_marks(id, &marks, at);
        Ok(String::new())
    }

    fn label(&mut self, record: &SessionRecord, command: &Command, at: Time) -> Result<String, String> {
        let id = &record.session.id;
        let words = |key: &str| -> Vec<String> {
            let list = command.args.get(key).and_then(serde_json::Value::as_array);
            list.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        let mut marks = self.marks(id);
        let (add, remove) = (words("add"), words("remove"));
        marks.labels.retain(|one| !remove.contains(one));
        marks.labels.extend(add.into_iter().filter(|one| !one.trim().is_empty()));
        marks.labels.sort();
        marks.labels.dedup();
        if marks.labels.len() > MOST_LABELS {
            return Err(format!("session {id} would have more than {MOST_LABELS} labels"));
        }
        self.keep_marks(id, &marks, at);
        self.look_again(id);
        Ok(marks.labels.join(" "))
    }

    pub(super) fn keep_marks(&mut self, id: &SessionId, marks: &Marks, at: Time) {
        match marks.is_empty() {
            true => self.forget(MARKS, id.as_str()),
            false => self.keep(MARKS, id.as_str(), marks, at),
        }
    }

    /// Stops a turn that runs.
    fn stop_turn(&mut self, record: &SessionRecord, actor: &str, key: &str, at: Time) {
        if !matches!(record.session.activity, Activity::Busy | Activity::Retry(_)) {
            return;
        }
        let request = CommandRequest {
            verb: Verb::AbortSession.as_str().to_owned(),
            session_id: record.session.id.to_string(),
            idempotency_key: key.to_owned(),
            ..CommandRequest::default()
        };
        // One that is refused finds too many before it; the turn is looked at again while a halt lasts.
        let _ = self.order(&request, actor, CommandId::from(id::fresh()), at);
    }

    /// Halts a project or everything, or lets it go on.
    fn halt(&mut self, command: &Command, at: Time) -> String {
        let key = if command.project.is_empty() { HALT_ALL } else { &command.project };
        let release = command.args.get("release").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let by = &command.actor;
        let data = json!({"project": command.project, "by": by});
        let what = if command.project.is_empty() { "everything" } else { key };
        if release {
            self.forget(HALT, key);
            self.well_again(HALTED, &command.project, at);
            self.note(&NodeId::new(""), "halt.released", &data, at);
        } else {
            let said = self.view.halt(key).unwrap_or(Said { by: by.clone(), at });
            self.keep(HALT, key, &said, at);
            let text = format!("{what} is halted by {} since {}: no turn runs or begins", said.by, said.at);
            let (name, about, severity) = (HALTED, command.project.as_str(), Severity::Medium);
            self.see(&Seen { name, about, severity, text: &text, lasting: true }, at);
            self.note(&NodeId::new(""), "halt.set", &data, at);
            self.cancel_halted(at);
            self.stop_halted(at);
        }
        let all: Vec<SessionId> = self.view.watched.keys().cloned().collect();
        all.iter().for_each(|id| self.look_again(id));
        format!("{what} {}", if release { "goes on" } else { "is halted" })
    }

    /// Why a command is refused while work is halted.
    pub(super) fn check_halt(&self, command: &Command) -> Result<(), NotAccepted> {
        let begins = matches!(command.verb, Verb::CreateSession | Verb::PromptSession | Verb::RestartSession);
        let Some((what, said)) = self.view.halt_of(&command.project).filter(|_| begins) else {
            return Ok(());
        };
        let (way, what) = match what.as_str() {
            HALT_ALL => ("--all".to_owned(), "everything".to_owned()),
            project => (format!("--project {project}"), format!("project {project}")),
        };
        Err(NotAccepted::Refused(Refused::Halted(format!(
            "{what} is halted by {} since {}; `halctl sessions halt {way} --release` lets it go on",
            said.by, said.at
        ))))
    }

    /// What was asked for and has not gone out is not begun any more.
    fn cancel_halted(&mut self, at: Time) {
        let waiting: Vec<Command> = self
            .view
            .commands
            .values()
            .filter(|one| one.state == CommandState::Queued && self.check_halt(one).is_err())
            .map(|one| Command::clone(one))
            .collect();
        for command in waiting {
            let error = Some("halted before it was sent; it had no effect".to_owned());
            self.put_command(Command { state: CommandState::Failed, error, changed_at: at, ..command });
        }
    }

    /// Stops turns that run though their project is halted: those of now, and those that a node comes back with.
    pub(super) fn stop_halted(&mut self, at: Time) {
        if !self.view.any_kept(HALT) {
            return;
        }
        let asked: HashSet<SessionId> = (self.view.commands.values())
            .filter(|one| one.verb == Verb::AbortSession && one.actor == HALTER)
            .filter_map(|one| one.session_id.clone())
            .collect();
        let running: Vec<_> = (self.view.sessions.values())
            .filter(|one| matches!(one.session.activity, Activity::Busy | Activity::Retry(_)))
            .filter(|one| self.view.halt_of(one.session.project.as_str()).is_some())
            .filter(|one| !asked.contains(&one.session.id) && self.is_connected(&one.session.node_id))
            .cloned()
            .collect();
        for record in running {
            let key = format!("{}/halt@{}", record.session.id, at.0);
            self.stop_turn(&record, HALTER, &key, at);
        }
    }

    fn is_connected(&self, node: &NodeId) -> bool {
        self.view.nodes.get(node).is_some_and(|node| node.online)
    }

    /// A person who says something to a paused session goes on with it.
    pub(super) fn note_person(&mut self, command: &Command, at: Time) {
        let is_person = !command.actor.starts_with(ACTOR)
            && ![HALTER, handover::ACTOR, dependency::ACTOR].contains(&command.actor.as_str());
        if command.verb != Verb::PromptSession || !is_person {
            return;
        }
        let record = command.session_id.as_ref().and_then(|id| self.view.sessions.get(id).cloned());
        if let Some(record) = record {
            self.release(&record, &command.actor, at);
        }
    }
}
