//! Policies: the facts follow each event, the rules decide on them, and what they decide is an event, a memory and a
//! command of the same transaction.

use std::sync::Arc;

use serde_json::json;

use super::Work;
use super::command::object;
use crate::hub::input::NotAccepted;
use crate::hub::live::Watched;
use hal_base::clock::Time;
use hal_base::id;
use hal_protocol::alert::Severity;
use hal_protocol::command::{Command, CommandId, CommandRequest, CommandState, Verb};
use hal_protocol::mark::Marks;
use hal_protocol::session::SessionId;
use hal_protocol::who::Who;
use hal_rules::alert::AlertRaised;
use hal_rules::policy::facts::{Doing, PolicyFacts};
use hal_rules::policy::settings::Act;
use hal_rules::policy::{
    Beside, Decision, Memories, Name, PolicyAction, PolicyMemory, Subject, look, remember,
};
use hal_store::kept::{FACTS, MEMORY};
use hal_store::session::SessionRecord;

/// How the actor of a policy's commands begins.
pub const ACTOR: &str = "policy:";

impl Work {
    /// Keeps what events have told, and lets the policies look at their sessions.
    pub(super) fn consider_told(&mut self, at: Time) {
        for id in std::mem::take(&mut self.told) {
            let Some(watched) = self.view.live.watched.get(&id).cloned() else { continue };
            if watched.facts.doing == Doing::Ended {
                // A new turn begins with new facts.
                self.view.live.watched.remove(&id);
                self.delete_kept(FACTS, id.as_str());
                continue;
            }
            if !self.view.is_unreadable(FACTS, id.as_str()) {
                self.put_kept(FACTS, id.as_str(), &watched.facts, at);
            }
            self.note_completion(&id, at);
            self.consider(&id, at);
        }
    }

    /// Lets the policies look at what is due.
    pub(super) fn consider_due(&mut self, at: Time) {
        let policies = &self.view.settings.clone().policies;
        if !policies.any() || at < self.view.live.policies_looked.plus(policies.check_interval()) {
            return;
        }
        self.view.live.policies_looked = at;
        let is_due = |watched: &Watched| watched.due.is_some_and(|due| due <= at);
        let due: Vec<SessionId> =
            self.view.live.watched.iter().filter(|(_, one)| is_due(one)).map(|(id, _)| id.clone()).collect();
        due.iter().for_each(|id| self.consider(id, at));
    }

    fn consider(&mut self, id: &SessionId, at: Time) {
        let policies = &self.view.settings.clone().policies;
        let Some(record) = self.view.stored.sessions.get(id).cloned().filter(|_| policies.any()) else {
            return;
        };
        let Some(watched) = self.view.live.watched.get(id).cloned() else { return };
        // What they did before, and how often, is not known.
        if self.view.is_unreadable(MEMORY, id.as_str()) || self.view.is_unreadable(FACTS, id.as_str()) {
            return;
        }
        let marks: Marks = self.view.marks_of(&record.session);
        let memories = self.view.kept(MEMORY, id.as_str()).unwrap_or_default();
        let beside = self.view.beside(&record.session, &marks);
        let subject = Subject { session: &record.session, facts: &watched.facts, beside };
        let look = look(policies, &subject, &memories, at);
        if let Some(watched) = self.view.live.watched.get_mut(id) {
            Arc::make_mut(watched).due = look.next;
        }
        for (name, decision) in look.decisions {
            match decision {
                Decision::Act(step) => self.step_in(&record, &watched.facts, &step, at),
                Decision::Exhausted { situation, why, .. } => {
                    self.exhausted(&record, name, (&situation, &why), at);
                }
                Decision::None { .. } => {}
            }
        }
    }

    /// What a policy has decided: the event, the memory and the command belong to one transaction.
    fn step_in(&mut self, record: &SessionRecord, facts: &PolicyFacts, step: &PolicyAction, at: Time) {
        let id = &record.session.id;
        let asked = (!step.dry_run).then(|| self.ask_for(id, step, at));
        let (command, refused) = match asked {
            Some(Ok(command)) => (Some(command), None),
            Some(Err(why)) => (None, Some(why.to_string())),
            None => (None, None),
        };
        let data = json!({
            "policy": step.policy.as_str(), "act": step.act.as_str(), "situation": step.situation, "why": step.why,
            "attempt": step.attempt, "dry_run": step.dry_run, "command_id": command.map(|command| command.id),
            "refused": refused, "message_id": facts.message, "facts": facts.table(&record.session),
        });
        self.note_session(record, "policy.decided", &data, at);
        let failed = data["refused"].is_string();
        self.memorize(id, step.policy, at, |memory| *memory = PolicyMemory { failed, ..remember(step, at) });
        if let Some(watched) = self.view.live.watched.get_mut(id).filter(|_| !step.dry_run) {
            let watched = Arc::make_mut(watched);
            watched.facts.acted(at);
            watched.due = Some(at);
            let facts = watched.facts.clone();
            self.put_kept(FACTS, id.as_str(), &facts, at);
        }
    }

    fn ask_for(&mut self, id: &SessionId, step: &PolicyAction, at: Time) -> Result<Command, NotAccepted> {
        let (verb, args) = match step.act {
            Act::Prompt => (Verb::PromptSession, json!({"message": step.message, "note_stood": true})),
            Act::Abort => (Verb::AbortSession, json!({})),
            Act::Pause => (Verb::PauseSession, json!({})),
            Act::Kill => (Verb::KillSession, json!({})),
            Act::Restart => (Verb::RestartSession, json!({"reason": step.why})),
        };
        let request = CommandRequest {
            verb: verb.as_str().to_owned(),
            session_id: id.to_string(),
            args: object(args),
            idempotency_key: format!("{id}/{}", step.situation),
            ..CommandRequest::default()
        };
        let actor = format!("{ACTOR}{}", step.policy.as_str());
        self.order(&request, &Who::policy(&actor), CommandId::from(id::fresh()), at)
    }

    /// A policy may not act any more, though it would: a person should know.
    fn exhausted(&mut self, record: &SessionRecord, name: Name, (situation, why): (&str, &str), at: Time) {
        let id = &record.session.id;
        let data = json!({"policy": name.as_str(), "situation": situation, "why": why});
        self.note_session(record, "policy.exhausted", &data, at);
        self.memorize(id, name, at, |memory| memory.told = true);
        let text = format!(
            "policy {} leaves session {id} to a person, as it has reached its max_retries: {why}",
            name.as_str()
        );
        let seen = AlertRaised {
            name: "policy.exhausted",
            about: id.as_str(),
            severity: Severity::Medium,
            text: &text,
            lasting: false,
        };
        self.raise(&seen, at);
    }

    /// What a policy asked for has ended. What came to nothing may be tried again; what may have been done may not.
    pub(super) fn policy_command_ended(&mut self, command: &Command, at: Time) {
        let word = command.actor.strip_prefix(ACTOR);
        let name = word.and_then(|word| Name::ALL.into_iter().find(|name| name.as_str() == word));
        let (Some(name), Some(id)) = (name, &command.session_id) else { return };
        if !matches!(command.state, CommandState::Failed | CommandState::Expired) {
            return;
        }
        let Some(record) = self.view.stored.sessions.get(id).cloned() else { return };
        let situation = command.idempotency_key.as_deref().and_then(|key| key.split_once('/'));
        let data = json!({"policy": name.as_str(), "situation": situation.map(|(_, situation)| situation),
            "command_id": command.id, "error": command.error});
        self.note_session(&record, "policy.failed", &data, at);
        self.memorize(id, name, at, |memory| memory.failed = true);
        let why = command.error.as_deref().unwrap_or("it came to nothing");
        let text = format!(
            "policy {} could not act on session {id}: {} {}: {why}. It tries again when it is due; see `halctl policies explain \
             {id}`",
            name.as_str(),
            command.verb.as_str(),
            command.state.as_str()
        );
        let (about, severity) = (id.as_str(), Severity::Medium);
        self.raise(&AlertRaised { name: "policy.failed", about, severity, text: &text, lasting: false }, at);
        self.look_again(id);
    }

    fn memorize(&mut self, id: &SessionId, name: Name, at: Time, change: impl FnOnce(&mut PolicyMemory)) {
        let mut memories = self.view.kept(MEMORY, id.as_str()).unwrap_or_default();
        change(memories.entry(name).or_default());
        self.put_kept(MEMORY, id.as_str(), &memories, at);
    }

    /// The clock was set: what policies measure in time moves along.
    pub(super) fn move_policies(&mut self, by: i64, at: Time) {
        let watched: Vec<(SessionId, Watched)> =
            self.view.live.watched.iter().map(|(id, one)| (id.clone(), Watched::clone(one))).collect();
        for (id, mut one) in watched {
            one.facts.move_by(by);
            one.due = Some(Time::default());
            self.put_kept(FACTS, id.as_str(), &one.facts, at);
            self.view.live.watched.insert(id, Arc::new(one));
        }
        let memories: Vec<(String, Memories)> =
            self.view.all_kept(MEMORY).map(|(id, known)| (id.to_owned(), Memories::clone(known))).collect();
        for (id, mut memories) in memories {
            memories.values_mut().for_each(|memory| memory.at.0 = memory.at.0.saturating_add(by));
            self.put_kept(MEMORY, &id, &memories, at);
        }
        self.view.live.policies_looked = Time::default();
    }
}

impl crate::hub::view::View {
    /// What a policy knows of a session beside its events.
    pub fn beside<'a>(&self, session: &hal_protocol::session::Session, marks: &'a Marks) -> Beside<'a> {
        let node = self.find_node(session.node_id.as_str()).filter(|node| node.link.online);
        let shown = self.show_session(session);
        let own = session.cost_micros.unwrap_or(0);
        Beside {
            online: node.map(|node| node.record.connected_at),
            is_behind: node.is_some_and(|node| node.link.vitals().held > node.record.committed),
            labels: &marks.labels,
            helper_waits: !shown.helper_asks.is_empty(),
            helpers_micros: shown.cost_micros.unwrap_or(0).saturating_sub(own),
            halted: marks.halted.as_ref().map(|said| said.by.as_str()),
        }
    }
}
