//! What people say about a session: paused, put away, labelled. And the big red button: a halt, which lasts until it is
//! released.

use serde_json::json;

use super::Work;
use super::policy::ACTOR;
use super::stop::{HALTED, HALTER, what_is_halted};
use super::{dependency, handover};
use crate::base::clock::Time;
use crate::protocol::alert::Severity;
use crate::protocol::command::{Command, CommandState, Verb};
use crate::protocol::frame::{Cancel, ToAgent};
use crate::protocol::mark::Said;
use crate::protocol::node::NodeId;
use crate::rules::alert::Seen;
use crate::rules::command::Refused;
use crate::rules::stop::Cause;
use crate::store::kept::{HALT, HALT_ALL, MARKS};
use crate::store::session::SessionRecord;
use crate::supervisor::hub::effect::Effect;
use crate::supervisor::hub::input::NotAccepted;

/// Labels of a session at most.
const MOST_LABELS: usize = 32;

impl Work {
    /// Carries out what only the supervisor has to know. The outcome, or `None`: it goes on for a while.
    pub(super) fn carry_out_here(&mut self, command: &Command, at: Time) -> Option<Result<String, String>> {
        if command.verb == Verb::HaltWork {
            return self.halt(command, at);
        }
        let id = command.session_id.as_ref()?;
        let Some(record) = self.view.sessions.get(id).cloned() else {
            return Some(Err(format!("session {id} is gone")));
        };
        match command.verb {
            Verb::PauseSession => self.pause(&record, command, at),
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

    /// No policy touches the session until a person goes on with it, and its turn is stopped. The outcome, or `None`: it
    /// is not known yet whether the turn stops.
    fn pause(
        &mut self,
        record: &SessionRecord,
        command: &Command,
        at: Time,
    ) -> Option<Result<String, String>> {
        let (id, actor) = (&record.session.id, &command.actor);
        let mut marks = self.marks(id);
        if marks.paused.is_none() {
            marks.paused = Some(Said { by: actor.clone(), at });
            self.keep(MARKS, id.as_str(), &marks, at);
            self.note_session(record, "session.paused", &json!({"by": actor}), at);
        }
        self.try_stops_again(|session| session.id == *id, at);
        self.stop_session(id, &Cause::Pause(id.clone()), at);
        self.look_again(id);
        self.go_on_with_stops(at);
        self.stop_outcome(command, at)
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
        } else if record.session.activity.runs() {
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

    /// Halts a project or everything, or lets it go on. The outcome, or `None`: it is not known yet whether all turns
    /// stop.
    fn halt(&mut self, command: &Command, at: Time) -> Option<Result<String, String>> {
        let key = if command.project.is_empty() { HALT_ALL } else { &command.project };
        let release = command.args.get("release").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let (by, project) = (&command.actor, command.project.as_str());
        if release {
            self.forget(HALT, key);
        } else {
            let said = self.view.halt(key).unwrap_or(Said { by: by.clone(), at });
            self.keep(HALT, key, &said, at);
        }
        self.halt_changed(key, by, at);
        match release {
            true => Some(Ok(format!("{} goes on", what_is_halted(project)))),
            false => self.stop_outcome(command, at),
        }
    }

    /// What follows from a halt that somebody has set or taken away, by whichever way.
    pub(super) fn halt_changed(&mut self, key: &str, by: &str, at: Time) {
        let project = if key == HALT_ALL { "" } else { key };
        let data = json!({"project": project, "by": by});
        if let Some(said) = self.view.halt(key) {
            let text = self.halt_text(project, &said);
            let (name, about, severity) = (HALTED, project, Severity::Medium);
            self.see(&Seen { name, about, severity, text: &text, lasting: true }, at);
            self.note(&NodeId::new(""), "halt.set", &data, at);
            self.cancel_halted(at);
            self.try_stops_again(|one| project.is_empty() || one.project.as_str() == project, at);
        } else {
            self.well_again(HALTED, project, at);
            self.note(&NodeId::new(""), "halt.released", &data, at);
        }
        self.look_at_all_again();
        self.go_on_with_stops(at);
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

    /// What was asked for and has not gone out is not begun any more; a node that has it drops it unless it has begun.
    fn cancel_halted(&mut self, at: Time) {
        let open: Vec<Command> = self
            .view
            .commands
            .values()
            .filter(|one| !one.verb.stays_here() && self.check_halt(one).is_err())
            .map(|one| Command::clone(one))
            .collect();
        for mut command in open {
            if command.state == CommandState::Queued {
                command.state = CommandState::Failed;
                command.error = Some("halted before it was sent; it had no effect".to_owned());
            } else {
                command.expires_at = command.expires_at.min(at);
                let cancel = ToAgent::Cancel(Cancel { command_id: command.id.clone() });
                self.effects.push(Effect::Tell(command.node_id.clone(), cancel));
            }
            self.put_command(Command { changed_at: at, ..command });
        }
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
