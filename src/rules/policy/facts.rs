//! What a policy needs to know of a session beyond what the session itself tells: folded from its events, by the times
//! at which the supervisor stored them, so that a wrong clock on a node makes nothing old.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use hal_base::clock::Time;
use hal_protocol::event::failure::{Failure, FailureKind};
use hal_protocol::event::part::{Content, MessagePart, ToolKind, ToolUse};
use hal_protocol::event::what::{MessageTold, Role, What};
use hal_protocol::session::{Activity, Session};

/// Commands whose failures are counted side by side; a loop goes round few.
const MAX_FAILING: usize = 4;

/// Characters kept of a command, a file's name and an error.
const MAX_WORDS: usize = 200;

/// Characters kept of what the session said last: a later session begins with it.
const MAX_SAID: usize = 600;

/// What was last seen of the turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// No event has told yet.
    #[default]
    Unknown,
    /// No turn runs.
    Idle,
    /// A turn runs.
    Busy,
    /// A turn waits for the provider.
    Retrying,
    /// It was killed or deleted.
    Ended,
}

/// A command that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The tool and what it was given.
    pub command: String,
    /// How often in a row, no file being changed in between.
    pub times: u32,
    /// The first time.
    pub since: Time,
    /// The last call, which may be told of several times.
    call: String,
}

/// The facts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyFacts {
    /// What the turn does.
    pub doing: Doing,
    /// Since when `doing` is what it is.
    pub since: Time,
    /// When the first event came.
    pub first: Time,
    /// Turns that have begun.
    pub turns: u32,
    /// Turns in a row that failed.
    pub errors: u32,
    /// True when the present or last turn has failed.
    pub failed: bool,
    /// True when the last turn was stopped from outside: whoever did it does not want it to go on.
    pub stopped: bool,
    /// True when it failed because the provider had enough.
    pub limited: bool,
    /// When the provider takes requests again, as it last said.
    pub opens: Option<Time>,
    /// Commands that fail.
    pub failing: Vec<Failing>,
    /// When a file was last changed, and its name.
    pub changed: Option<(Time, String)>,
    /// What was last of use: a file changed, a thing to do done.
    pub useful: Option<(Time, String)>,
    /// Tokens used when a file was last changed.
    tokens_then: u64,
    /// Things to do that were done.
    done: usize,
    /// The last message.
    pub message: String,
    /// What the session said last.
    pub said: String,
    /// When a policy has stepped in whose effect has not shown yet.
    pub acted: Option<Time>,
    /// Who has paused it.
    pub paused: Option<String>,
    /// True while it hands its work over to another session.
    pub hands_over: bool,
}

impl PolicyFacts {
    /// Adds an event; false when it told nothing new. `session` is what the event has made of it already.
    pub fn fold(&mut self, session: &Session, what: &What, at: Time) -> bool {
        if self.first == Time::default() {
            self.first = at;
        }
        let tells = self.hear(session, what, at);
        self.follow(session, what, at) || tells
    }

    fn hear(&mut self, session: &Session, what: &What, at: Time) -> bool {
        match what {
            What::Part(part) => return self.on_part(session, part, at),
            What::Failed(failure) => self.on_failure(failure.as_ref()),
            What::Interrupted { .. } => self.stopped = true,
            What::Message(told) => self.on_message(told),
            What::FileEdited(file) => self.file_changed(session, file, at),
            What::Todo(_) => self.on_todo(session, at),
            What::Paused { by } => self.paused = Some(words(by, MAX_WORDS)),
            What::Resumed => self.paused = None,
            What::Handover { begins } => self.hands_over = *begins,
            _ => return false,
        }
        true
    }

    /// The clock was set by so many milliseconds: what is measured in time moves along.
    pub fn move_by(&mut self, by: i64) {
        let moved = |time: &mut Time| time.0 = time.0.saturating_add(by);
        moved(&mut self.since);
        moved(&mut self.first);
        self.failing.iter_mut().for_each(|one| moved(&mut one.since));
        let marked = [&mut self.changed, &mut self.useful];
        marked.into_iter().flatten().for_each(|(at, _)| moved(at));
        self.acted.iter_mut().for_each(moved);
    }

    /// A policy has stepped in.
    pub fn acted(&mut self, at: Time) {
        self.acted = Some(at);
    }

    /// What is left of a session that has ended: the next turn begins anew.
    pub fn of_ended() -> Self {
        Self { doing: Doing::Ended, ..Self::default() }
    }

    /// True when the session does what its events told last.
    pub fn agree(&self, session: &Session) -> bool {
        self.doing == doing(&session.activity)
    }

    /// Tokens used since a file was last changed, or since the beginning.
    pub fn tokens_since_change(&self, session: &Session) -> u64 {
        session.tokens.total().saturating_sub(self.tokens_then)
    }

    /// The command that fails most, with how often.
    pub fn worst(&self) -> Option<&Failing> {
        self.failing.iter().max_by_key(|one| one.times)
    }

    /// All of it as a table for people.
    pub fn table(&self, session: &Session) -> Value {
        let worst = self.worst();
        let open = session.todo.iter().filter(|one| !is_done(&one.status)).count();
        json!({
            "state": crate::session::status(session).as_str(), "since": self.since.to_string(),
            "turns": self.turns, "errors_in_a_row": self.errors, "error": session.error,
            "stopped_from_outside": self.stopped, "paused_by": self.paused,
            "compactions": session.compactions, "context_tokens": session.context.map(|context| context.used),
            "cost_micros": session.cost_micros, "tokens": session.tokens.total(),
            "tokens_since_change": self.tokens_since_change(session),
            "failing_command": worst.map(|one| &one.command), "failed_times": worst.map(|one| one.times),
            "file_changed": self.changed.as_ref().map(|(at, _)| at.to_string()),
            "last_useful_change": self.useful.as_ref().map(|(at, what)| format!("{at} {what}")),
            "provider_opens": self.opens.map(|at| at.to_string()), "things_to_do_open": open,
            "waits_for": session.asks.len(), "last_message": self.message,
        })
    }

    fn follow(&mut self, session: &Session, what: &What, at: Time) -> bool {
        let (now, was) = (doing(&session.activity), self.doing);
        if let Activity::Retry(retry) = &session.activity {
            self.opens = Some(retry.next);
        }
        // A session that was made has said nothing of a turn yet, but none runs.
        if now == was || (was == Doing::Unknown && now == Doing::Idle && !tells_of_turn(what)) {
            return false;
        }
        let began = now == Doing::Busy && was != Doing::Retrying;
        if began {
            self.turns += 1;
            (self.failed, self.stopped, self.limited) = (false, false, false);
        }
        if now == Doing::Idle && !self.failed && !self.stopped {
            self.errors = 0;
            self.opens = None;
        }
        (self.doing, self.since, self.acted) = (now, at, None);
        true
    }

    fn on_failure(&mut self, failure: Option<&Failure>) {
        let kind = failure.map(|failure| failure.kind).unwrap_or_default();
        if kind == FailureKind::Aborted {
            self.stopped = true;
            return;
        }
        self.limited = kind == FailureKind::RateLimited;
        if !std::mem::replace(&mut self.failed, true) {
            self.errors = self.errors.saturating_add(1);
        }
    }

    fn on_message(&mut self, told: &MessageTold) {
        if told.role == Role::Assistant {
            self.message = words(&told.id, MAX_WORDS);
        }
    }

    fn on_part(&mut self, session: &Session, part: &MessagePart, at: Time) -> bool {
        match &part.content {
            Content::Text(said) if part.message_id == self.message => self.said = words(&said.text, MAX_SAID),
            Content::Changed(files) => {
                self.file_changed(session, files.first().map_or("", String::as_str), at);
            }
            Content::Tool(tool) if tool.state.is_over() => self.on_tool(session, tool, at),
            _ => return false,
        }
        true
    }

    fn on_tool(&mut self, session: &Session, tool: &ToolUse, at: Time) {
        // What a person has refused or stopped is no failure of the command.
        if tool.cause.is_some() {
            return;
        }
        let subject = tool.input.subject();
        let command = words(&format!("{} {subject}", tool.tool), MAX_WORDS);
        if !tool.has_failed() {
            self.failing.retain(|one| one.command != command);
            if tool.kind == ToolKind::Edit {
                self.file_changed(session, &subject, at);
            }
            return;
        }
        if let Some(known) = self.failing.iter_mut().find(|one| one.command == command) {
            if known.call != tool.call {
                known.times = known.times.saturating_add(1);
                known.call.clone_from(&tool.call);
            }
            return;
        }
        if self.failing.len() == MAX_FAILING {
            self.failing.remove(0);
        }
        self.failing.push(Failing { command, times: 1, since: at, call: tool.call.clone() });
    }

    fn file_changed(&mut self, session: &Session, file: &str, at: Time) {
        let file = words(file, MAX_WORDS);
        self.failing.clear();
        self.tokens_then = session.tokens.total();
        self.useful = Some((at, format!("changed {file}")));
        self.changed = Some((at, file));
    }

    fn on_todo(&mut self, session: &Session, at: Time) {
        let done = session.todo.iter().filter(|one| is_done(&one.status)).count();
        if done > self.done {
            self.useful = Some((at, format!("{done} of {} todos done", session.todo.len())));
        }
        self.done = done;
    }
}

/// True for a thing that needs nothing more.
pub fn is_done(status: &str) -> bool {
    matches!(status, "completed" | "cancelled")
}

fn tells_of_turn(what: &What) -> bool {
    matches!(what, What::Idle | What::Status(_) | What::Interrupted { .. })
}

fn doing(activity: &Activity) -> Doing {
    match activity {
        Activity::Idle => Doing::Idle,
        Activity::Busy => Doing::Busy,
        Activity::Retry(_) => Doing::Retrying,
        Activity::Ended(_) => Doing::Ended,
    }
}

fn words(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
