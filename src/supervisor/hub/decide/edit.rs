//! What an operator changed with SQL: nodes and sessions change here, as all else follows from them; rows that only
//! the store holds change in its transaction.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Work;
use crate::hub::effect::Effect;
use crate::hub::live::{NodeRef, NodeState};
use crate::hub::pulse::{Pulse, Vitals};
use hal_base::clock::Time;
use hal_protocol::alert::Alert;
use hal_protocol::command::Command;
use hal_rules::node::MAX_SEQ;
use hal_store::change::RowKind;
use hal_store::kept::{self, Kept};
use hal_store::session::SessionRecord;
use hal_store::sqlite::edit::{Edit, EditAction, Edits, OPERATOR};

impl Work {
    pub(super) fn edits(&mut self, edits: Edits, reply: oneshot::Sender<Result<(), String>>, at: Time) {
        self.batch.edits.upto = edits.done;
        self.batch.edits.at = at;
        for edit in edits.list {
            if let Some(why) = edit.fault() {
                self.batch.edits.done.push(edit.outcome(Err(why)));
                continue;
            }
            let result = match edit.kind {
                RowKind::Node => self.edit_node(&edit),
                RowKind::Session => self.edit_session(&edit),
                RowKind::Alert => self.edit_alert(&edit),
                kind if RowKind::KEPT.contains(&kind) => self.edit_state(&edit, at),
                RowKind::Command if self.view.stored.commands.contains_key(edit.key.as_str()) => {
                    self.edit_command(&edit)
                }
                RowKind::Event if matches!(edit.action, EditAction::Add(_)) => match self.add_event(&edit) {
                    Ok(()) => continue,
                    refused => refused,
                },
                _ => {
                    self.batch.edits.list.push(edit);
                    continue;
                }
            };
            self.batch.edits.done.push(edit.outcome(result));
        }
        self.effects.push(Effect::reply(reply, Ok(())));
    }

    /// Old rows leave, archived ones come back, damaged ones are written again: those that are in memory as they are
    /// there.
    pub(super) fn move_rows(
        &mut self,
        by: &'static str,
        list: Vec<Edit>,
        reply: oneshot::Sender<Result<(), String>>,
        at: Time,
    ) {
        for edit in list {
            if !self.write_again(&edit) {
                self.batch.moved.list.push(edit);
            }
        }
        (self.batch.moved.by, self.batch.moved.at) = (Some(by), at);
        self.effects.push(Effect::reply(reply, Ok(())));
    }

    /// Writes a row again that is in memory. False when it is not.
    fn write_again(&mut self, edit: &Edit) -> bool {
        match edit.kind {
            RowKind::Node => {
                let known = self.view.find_node(edit.key.as_str()).map(|state| state.record.clone());
                self.batch.nodes.extend(known.map(|record| (edit.key.clone(), record)));
                true
            }
            RowKind::Session => {
                let known = self
                    .view
                    .stored
                    .sessions
                    .get(edit.key.as_str())
                    .map(|record| SessionRecord::clone(record));
                self.batch.sessions.extend(known.map(|record| (edit.key.clone(), record)));
                true
            }
            RowKind::Command => {
                let known =
                    self.view.stored.commands.get(edit.key.as_str()).map(|command| Command::clone(command));
                let is_open = known.is_some();
                self.batch.commands.extend(known.map(|command| (edit.key.clone(), command)));
                is_open
            }
            RowKind::Alert => {
                let known =
                    edit.key.parse().ok().and_then(|id: u64| self.view.stored.alerts.get(&id).cloned());
                self.batch.alerts.extend(known.map(|alert| (alert.id, Some(Alert::clone(&alert)))));
                true
            }
            kind if RowKind::KEPT.contains(&kind) => {
                let known = self.kept_row(edit).map(|(name, kept)| (name, Some(kept)));
                self.batch.state.extend(known);
                true
            }
            _ => false,
        }
    }

    fn edit_node(&mut self, edit: &Edit) -> Result<(), String> {
        let known = self.view.find_node(edit.key.as_str()).map(NodeRef::to_state);
        match (edit.of_node(known.as_ref().map(|state| &state.record))?, known) {
            (None, Some(known)) if known.link.online => {
                return Err("the node is online; end its agent first".into());
            }
            (None, Some(known)) => {
                self.view.remove_node(&known.record.id);
                self.view.stored.gone_nodes.insert(known.record.id.clone(), known.record.clone());
                self.batch.nodes.remove(edit.key.as_str());
                self.batch.edits.gone.push((RowKind::Node, edit.key.clone()));
            }
            (None, None) => {}
            (Some(record), None)
                if [record.epoch, record.confirmed, record.committed].iter().any(|no| *no >= MAX_SEQ) =>
            {
                return Err("its numbers (epoch, confirmed, committed) make no sense: leave them out".into());
            }
            (Some(record), None) => self.put_node(NodeState::offline(record)),
            (Some(record), Some(known)) => {
                let mut link = known.link;
                if !link.online {
                    link.pulse = Pulse::still(Vitals { heard: record.last_heard, ..link.vitals() });
                }
                self.put_node(NodeState { record, link });
            }
        }
        Ok(())
    }

    fn edit_session(&mut self, edit: &Edit) -> Result<(), String> {
        let known = self.view.stored.sessions.get(edit.key.as_str()).cloned();
        let no = known.as_ref().map_or(self.view.stored.next_session_no, |known| known.no);
        match (edit.of_session(known.as_deref(), no)?, known) {
            (None, Some(known)) => {
                self.view.stored.remove_session(&known.session.id);
                self.view.stored.gone_sessions.insert(known.session.id.clone(), known.no);
                self.forget_session(&known.session.id);
                self.batch.sessions.remove(edit.key.as_str());
                self.batch.edits.gone.push((RowKind::Session, edit.key.clone()));
            }
            (None, None) => {}
            (Some(record), None) => {
                let no = self.session_no(&record.session.id);
                self.put_session(SessionRecord { no, ..record });
            }
            (Some(record), Some(_)) => self.put_session(record),
        }
        Ok(())
    }

    fn edit_command(&mut self, edit: &Edit) -> Result<(), String> {
        let Some(known) = self.view.stored.commands.get(edit.key.as_str()) else { return Ok(()) };
        match edit.of_command(known)? {
            None => return Err("the command has not ended yet".into()),
            Some(command) => self.put_command(command),
        }
        Ok(())
    }

    fn edit_alert(&mut self, edit: &Edit) -> Result<(), String> {
        let known = edit.key.parse().ok().and_then(|id: u64| self.view.stored.alerts.get(&id).cloned());
        if matches!(edit.action, EditAction::Put(_) | EditAction::Add(_)) {
            return Err("alerts are raised by the supervisor alone".into());
        }
        match edit.of_alert(known.as_deref())? {
            Some(alert) => self.put_alert(alert),
            None => known.map_or((), |known| self.drop_alert(known.id)),
        }
        Ok(())
    }

    fn edit_state(&mut self, edit: &Edit, at: Time) -> Result<(), String> {
        let known = self.kept_row(edit);
        let fresh = edit.of_state(known.as_ref().map(|(_, kept)| &**kept))?;
        if let Some((name, _)) = known
            && fresh.as_ref().is_none_or(|(fresh, _)| *fresh != name)
        {
            self.put_edited(name, None, at);
        }
        if let Some((name, kept)) = fresh {
            self.put_edited(name, Some(kept), at);
        }
        Ok(())
    }

    fn put_edited(&mut self, name: String, kept: Option<Kept>, at: Time) {
        self.put_state(name.clone(), kept);
        self.view.draw_from(&name);
        match kept::place(&name) {
            (RowKind::Halt, key) => self.halt_changed(key, OPERATOR, at),
            (RowKind::Budget, _) => self.renew_budgets(),
            _ => {}
        }
    }

    /// The row of kept state that an edit is about, under its name.
    fn kept_row(&self, edit: &Edit) -> Option<(String, Arc<Kept>)> {
        let names = kept::names(edit.kind, &edit.key).into_iter();
        names.filter_map(|name| Some((name.clone(), self.view.stored.state.get(&name)?.clone()))).next()
    }

    /// It keeps its own time, so it is none of the events whose times run with their numbers.
    fn add_event(&mut self, edit: &Edit) -> Result<(), String> {
        let EditAction::Add(columns) = &edit.action else { return Ok(()) };
        let seq = self.view.stored.last_seq + 1;
        edit.of_event(seq)?;
        self.view.stored.last_seq = seq;
        let (key, action) = (seq.to_string(), EditAction::Put(columns.clone()));
        self.batch.edits.list.push(Edit { kind: RowKind::Event, key, action });
        self.batch.edits.renumbered.push(edit.key.clone());
        Ok(())
    }
}
