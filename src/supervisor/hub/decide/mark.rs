//! What people say about a session: paused, put away, labelled.

use serde_json::json;

use super::Work;
use hal_base::clock::Time;
use hal_protocol::command::Command;
use hal_protocol::mark::Attribution;
use hal_protocol::session::SessionId;
use hal_rules::stop::Cause;
use hal_store::kept::MARKS;
use hal_store::session::SessionRecord;

/// Labels of a session at most.
const MOST_LABELS: usize = 32;

impl Work {
    /// No policy touches the session until a person goes on with it, and its turn is stopped. The outcome, or `None`: it
    /// is not known yet whether the turn stops.
    pub(super) fn pause(
        &mut self,
        record: &SessionRecord,
        command: &Command,
        at: Time,
    ) -> Option<Result<String, String>> {
        let (id, actor) = (&record.session.id, &command.actor);
        let mut marks = self.marks(id);
        if marks.paused.is_none() {
            marks.paused = Some(Attribution { by: actor.clone(), at });
            self.put_kept(MARKS, id.as_str(), &marks, at);
            self.note_session(record, "session.paused", &json!({"by": actor}), at);
        }
        self.try_stops_again(|session| session.id == *id, at);
        self.stop_session(id, &Cause::Pause(id.clone()), at);
        self.look_again(id);
        self.go_on_with_stops(at);
        self.stop_outcome(command, at)
    }

    /// A person goes on with a session.
    pub(super) fn release(&mut self, id: &SessionId, actor: &str, at: Time) {
        let Some(record) = self.view.stored.sessions.get(id).cloned() else { return };
        self.renew_unreadable(id);
        let mut marks = self.marks(id);
        if marks.paused.take().is_some() {
            self.keep_marks(id, &marks, at);
            self.note_session(&record, "session.resumed", &json!({"by": actor}), at);
            self.look_again(id);
        }
    }

    /// Puts a session that is not at work away, or takes it back.
    pub(super) fn archive(
        &mut self,
        record: &SessionRecord,
        command: &Command,
        at: Time,
    ) -> Result<String, String> {
        let id = &record.session.id;
        let mut marks = self.marks(id);
        let undo = command.args.get("undo").and_then(serde_json::Value::as_bool).unwrap_or(false);
        if undo {
            marks.archived = None;
        } else if record.session.activity.runs() {
            return Err(format!("session {id} is at work; end it first: halctl sessions kill {id}"));
        } else if marks.archived.is_none() {
            marks.archived = Some(Attribution { by: command.actor.clone(), at });
        }
        self.keep_marks(id, &marks, at);
        Ok(String::new())
    }

    /// Gives a session labels and takes some away; the outcome is those it has then.
    pub(super) fn label(
        &mut self,
        record: &SessionRecord,
        command: &Command,
        at: Time,
    ) -> Result<String, String> {
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
}
