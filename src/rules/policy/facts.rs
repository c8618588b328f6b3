//! What a policy needs to know of a session beyond what the session itself tells: folded from its events, by the times
//! at which the supervisor stored them, so that a wrong clock on a node makes nothing old.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::base::clock::Time;
use crate::protocol::session::{Activity, Session};

/// Commands whose failures are counted side by side; a loop goes round few.
const MAX_FAILING: usize = 4;

/// Characters kept of a command, a file's name and an error.
const MAX_WORDS: usize = 200;

/// Characters kept of what the session said last: a later session begins with it.
const MAX_SAID: usize = 600;

/// Tools that change files.
const CHANGING: [&str; 6] = ["edit", "write", "patch", "apply_patch", "multiedit", "notebookedit"];

/// Words by which providers say that there were too many requests.
const LIMITED: [&str; 8] = [
    "rate limit",
    "rate_limit",
    "ratelimit",
    "too many requests",
    "overloaded",
    "quota",
    "usage limit",
    "429",
];

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
pub struct Facts {
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

impl Facts {
    /// Adds an event; false when it told nothing new. `session` is what the event has made of it already.
    pub fn fold(&mut self, session: &Session, kind: &str, data: &RawValue, at: Time) -> bool {
        if self.first == Time::default() {
            self.first = at;
        }
        let tells = match kind {
            "message.part.updated" => self.on_part(session, data, at),
            _ => self.hear(session, kind, data, at),
        };
        self.follow(session, kind, at) || tells
    }

    fn hear(&mut self, session: &Session, kind: &str, data: &RawValue, at: Time) -> bool {
        match kind {
            "session.error" => self.on_error(session, data),
            "session.interrupted" => self.stopped = true,
            "message.updated" => self.on_message(data),
            "file.edited" => {
                let file = read(data).get("file").and_then(Value::as_str).map(str::to_owned);
                self.file_changed(session, &file.unwrap_or_default(), at);
            }
            "todo.updated" => self.on_todo(session, at),
            "session.paused" => self.paused = Some(words(text(&read(data), &["by"]), MAX_WORDS)),
            "session.resumed" => self.paused = None,
            "session.handover" => self.hands_over = read(data)["step"] == "begun",
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
            "state": crate::rules::session::status(session).as_str(), "since": self.since.to_string(),
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

    fn follow(&mut self, session: &Session, kind: &str, at: Time) -> bool {
        let (now, was) = (doing(&session.activity), self.doing);
        if let Activity::Retry(retry) = &session.activity {
            self.opens = Some(retry.next);
        }
        // A session that was made has said nothing of a turn yet, but none runs.
        if now == was || (was == Doing::Unknown && now == Doing::Idle && !tells_of_turn(kind)) {
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

    fn on_error(&mut self, session: &Session, data: &RawValue) {
        let data = read(data);
        if data["error"]["name"] == "MessageAbortedError" {
            self.stopped = true;
            return;
        }
        let said = session.error.as_deref().unwrap_or_default().to_lowercase();
        self.limited = LIMITED.iter().any(|word| said.contains(word));
        if !std::mem::replace(&mut self.failed, true) {
            self.errors = self.errors.saturating_add(1);
        }
    }

    fn on_message(&mut self, data: &RawValue) {
        let data = read(data);
        if data["info"]["role"] == "assistant" {
            self.message = words(text(&data["info"], &["id"]), MAX_WORDS);
        }
    }

    fn on_part(&mut self, session: &Session, data: &RawValue, at: Time) -> bool {
        let Ok(Told { part }) = serde_json::from_str(data.get()) else { return false };
        match part.kind.as_str() {
            "text" if part.message_id == self.message => self.said = words(&part.text, MAX_SAID),
            "patch" => self.file_changed(session, part.files.first().map_or("", String::as_str), at),
            "tool" if part.state.status == "completed" || part.state.status == "error" => {
                self.on_tool(session, part, at);
            }
            _ => return false,
        }
        true
    }

    fn on_tool(&mut self, session: &Session, part: Part, at: Time) {
        let given = &part.state.input;
        let what = match text(given, &["command", "filePath", "pattern", "path", "url"]) {
            "" => given.to_string(),
            text => text.to_owned(),
        };
        let command = words(&format!("{} {what}", part.tool), MAX_WORDS);
        let exit = part.state.metadata.get("exit").and_then(Value::as_i64).unwrap_or(0);
        let has_failed = part.state.status == "error" || exit != 0;
        // What a person has refused or stopped is no failure of the command.
        let by_person = ["The user rejected", "Tool execution aborted"]
            .iter()
            .any(|begin| part.state.error.starts_with(begin));
        if by_person {
            return;
        }
        if !has_failed {
            self.failing.retain(|one| one.command != command);
            if CHANGING.contains(&part.tool.as_str()) {
                self.file_changed(session, &what, at);
            }
            return;
        }
        if let Some(known) = self.failing.iter_mut().find(|one| one.command == command) {
            if known.call != part.call_id {
                known.times = known.times.saturating_add(1);
                known.call = part.call_id;
            }
            return;
        }
        if self.failing.len() == MAX_FAILING {
            self.failing.remove(0);
        }
        self.failing.push(Failing { command, times: 1, since: at, call: part.call_id });
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

fn tells_of_turn(kind: &str) -> bool {
    matches!(kind, "session.idle" | "session.status" | "session.interrupted")
}

fn doing(activity: &Activity) -> Doing {
    match activity {
        Activity::Idle => Doing::Idle,
        Activity::Busy => Doing::Busy,
        Activity::Retry(_) => Doing::Retrying,
        Activity::Ended(_) => Doing::Ended,
    }
}

fn read(data: &RawValue) -> Value {
    serde_json::from_str(data.get()).unwrap_or_default()
}

/// The first of these that is a text.
fn text<'a>(value: &'a Value, keys: &[&str]) -> &'a str {
    keys.iter().find_map(|key| value.get(key)?.as_str()).unwrap_or_default()
}

fn words(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[derive(Deserialize)]
struct Told {
    part: Part,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, rename = "messageID")]
    message_id: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    tool: String,
    #[serde(default, rename = "callID")]
    call_id: String,
    #[serde(default)]
    files: Vec<String>,
    #[serde(default)]
    state: ToolState,
}

#[derive(Default, Deserialize)]
struct ToolState {
    #[serde(default)]
    status: String,
    #[serde(default)]
    input: Value,
    #[serde(default)]
    error: String,
    #[serde(default)]
    metadata: Value,
}
