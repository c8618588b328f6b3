//! Requests: what people and programs ask for, taken in once, and what follows for the nouns above commands.

use super::Work;
use super::approval::Claim;
use super::command::{Happened, fingerprint};
use crate::hub::effect::Effect;
use crate::hub::input::{NotAccepted, SubmittedCommand};
use hal_base::clock::Time;
use hal_base::sabotage;
use hal_protocol::command::{Command, CommandId, CommandState, Verb};
use hal_rules::command::accept;
use hal_store::command::scoped_key;

impl Work {
    /// Answers a request: with a new command, or with the one that was taken for it before.
    pub(super) fn request(&mut self, mut asked: SubmittedCommand, at: Time) {
        let meaning = fingerprint(&asked.request);
        let answer = match self.same_key(&asked, &meaning) {
            Some(answer) => answer,
            None => self.take_request(&mut asked, meaning, at),
        };
        self.effects.push(Effect::Answer(asked.reply, answer));
    }

    fn take_request(
        &mut self,
        asked: &mut SubmittedCommand,
        meaning: [u8; 32],
        at: Time,
    ) -> Result<Command, NotAccepted> {
        let claim = match self.claim_answer(&mut asked.request) {
            Claim::Same(command) => return Ok(*command),
            Claim::Late(why) => return Err(NotAccepted::Late(why)),
            Claim::First(approval, reply) => Some((approval, reply)),
            Claim::None => None,
        };
        let command = accept(&asked.request, &asked.who, asked.id.clone(), &self.view, at)?;
        let command = self.take_in(command, meaning, &asked.who, at)?;
        if let Some((approval, reply)) = claim {
            self.give(*approval, reply, &command, at);
        }
        // A person who says something to a paused session goes on with it.
        if command.verb == Verb::PromptSession
            && let Some(id) = &command.session_id
        {
            self.release(id, &command.actor, at);
        }
        self.follow_commands(at);
        Ok(self.command_now(&command.id).unwrap_or(command))
    }

    /// The answer when the key was used before: that command, unless it came to nothing and may be tried again.
    fn same_key(&self, asked: &SubmittedCommand, meaning: &[u8; 32]) -> Option<Result<Command, NotAccepted>> {
        if asked.request.idempotency_key.is_empty() {
            return None;
        }
        let scoped = scoped_key(&asked.who.name, &asked.request.idempotency_key);
        // Two of the same key in one batch: the store does not know the first one yet.
        let mut new = self.batch.keys.iter().rev().filter(|_| !sabotage::CHECK_THEN_ACT);
        let fresh = new.find(|(key, _)| *key == scoped).map(|(_, record)| record);
        let stored = asked.earlier.as_ref();
        let record = fresh.or(stored.map(|(record, _)| record))?;
        let id = CommandId::new(&record.command);
        let ended =
            stored.filter(|(record, _)| record.command == id.as_str()).and_then(|(_, ended)| ended.clone());
        let command = self.command_now(&id).or(ended)?;
        match command.state {
            CommandState::Failed | CommandState::Expired => None,
            _ if record.meaning != *meaning => Some(Err(NotAccepted::KeyTaken(id))),
            _ => Some(Ok(command)),
        }
    }

    /// Tells whoever asked for a command what has happened to it, and carries out what needs no node, until nothing
    /// more happens.
    pub(super) fn follow_commands(&mut self, at: Time) {
        while let Some(happened) = self.happened.pop_front() {
            match happened {
                Happened::Here(command) => {
                    if let Some(outcome) = self.carry_out_here(&command, at) {
                        self.end_here(command, outcome, at);
                    }
                }
                Happened::Stood(command, stood) => self.note_stood(&command, &stood, at),
                Happened::Changed(command) => {
                    self.follow_answer(&command);
                    if command.state.is_final() {
                        self.policy_command_ended(&command, command.changed_at);
                        self.handover_part_ended(&command, command.changed_at);
                        self.stop_part_ended(&command, command.changed_at);
                    }
                }
            }
        }
    }

    /// Carries out what only the supervisor has to know. The outcome, or `None`: it goes on for a while.
    fn carry_out_here(&mut self, command: &Command, at: Time) -> Option<Result<String, String>> {
        if command.verb == Verb::HaltWork {
            return self.halt(command, at);
        }
        let id = command.session_id.as_ref()?;
        let Some(record) = self.view.stored.sessions.get(id).cloned() else {
            return Some(Err(format!("session {id} is gone")));
        };
        match command.verb {
            Verb::PauseSession => self.pause(&record, command, at),
            Verb::ReleaseSession => {
                self.release(id, &command.actor, at);
                Some(Ok(String::new()))
            }
            Verb::ArchiveSession => Some(self.archive(&record, command, at)),
            Verb::LabelSession => Some(self.label(&record, command, at)),
            _ => self.begin_handover(&record, command, at).err().map(Err),
        }
    }
}
