//! A session's events as a conversation: who said what, which tools ran with which result, what was asked and
//! answered, what went wrong, what each turn cost. Pure: events in, text out. Unknown kinds of events say nothing.

mod bill;
mod page;
mod tool;

use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use super::todo_line;
use crate::print::text::{clock, one_line, short};
use bill::TurnBill;
use hal_base::clock::Time;
use hal_protocol::event::failure::Failure;
use hal_protocol::event::part::{self, Content, ToolState, ToolUse};
use hal_protocol::event::what::{
    Delta, MessageTold, PermissionAsked, QuestionAsked, Replied, ReplyTold, Role, SessionTold, TurnTold, What,
};
use hal_protocol::event::{EventView, form};
use hal_protocol::session::Todo;
use page::{Ink, Page};

/// Characters of a thought that are shown; thoughts are long and seldom what is looked for.
const MAX_THOUGHT: usize = 300;

/// A conversation being told.
pub struct Conversation {
    page: Page,
    bill: TurnBill,
    /// True: tools are shown when they begin, not only with their result.
    eager: bool,
    /// Messages said by the person.
    by_person: HashSet<String>,
    parts: HashMap<String, TextPart>,
    /// Tools that were not shown yet: part, beginning, name, input.
    running: Vec<(String, Time, String, String)>,
    /// The part that the last line belongs to.
    open: Option<String>,
    error: String,
    todo: String,
    retry: u32,
}

/// A piece of text by one speaker.
#[derive(Debug, Default)]
struct TextPart {
    message: String,
    thought: bool,
    /// What was shown of it.
    shown: String,
    /// The whole as last told, not shown yet because it may grow.
    held: Option<(Time, String)>,
    /// True for a tool that is known to have begun.
    began: bool,
}

impl Conversation {
    /// Nothing said yet. `eager`: somebody watches while it happens.
    pub fn new(color: bool, eager: bool) -> Self {
        Self {
            page: Page::new(color),
            bill: TurnBill::default(),
            eager,
            by_person: HashSet::new(),
            parts: HashMap::new(),
            running: Vec::new(),
            open: None,
            error: String::new(),
            todo: String::new(),
            retry: 0,
        }
    }

    /// Tells an event; gives the text to show, which is empty when there is nothing to say.
    pub fn hear(&mut self, event: &EventView) -> String {
        let at = if event.occurred_at == Time::default() { event.timestamp } else { event.occurred_at };
        self.tell(&event.what(), at);
        self.page.take()
    }

    /// Tells something that is happening right now: words as they are written, tools as they begin.
    pub fn overhear(&mut self, kind: &str, data: &RawValue, at: Time) -> String {
        match form::read(kind, data) {
            What::Delta(told) => self.delta(told, at),
            what @ What::Part(_) => self.tell(&what, at),
            _ => {}
        }
        self.page.take()
    }

    /// What was still held back, at the end of all events.
    pub fn finish(&mut self) -> String {
        self.release(|_| true);
        for (_, at, name, input) in std::mem::take(&mut self.running) {
            self.entry(at, Ink::Tool, &name, &input);
            self.page.below("… still running");
        }
        self.page.end();
        self.page.take()
    }

    /// Says something that is no event of the session.
    pub fn remark(&mut self, at: Time, speaker: &str, text: &str) -> String {
        self.entry(at, Ink::Attention, speaker, text);
        self.page.take()
    }

    fn tell(&mut self, what: &What, at: Time) {
        match what {
            What::SessionCreated(told) => self.created(told, at),
            What::Status(turn) => self.status(turn.as_ref(), at),
            What::Idle => self.turn_over(at),
            What::Failed(failure) => self.failed(&failure.clone().unwrap_or_default(), at),
            What::Interrupted { reason } => {
                self.entry(at, Ink::Wrong, "error", &format!("interrupted: {reason}"));
            }
            What::Ended { reason } => self.entry(at, Ink::Attention, "ended", reason),
            What::SessionDeleted => self.entry(at, Ink::Attention, "ended", "the session was deleted"),
            What::Compacted => {
                self.entry(at, Ink::Aside, "compacted", "the conversation was summarised to make room");
            }
            What::Message(told) => self.message(told, at),
            What::Part(told) => self.part(told, at),
            What::PermissionAsked(asked) => self.permission(asked, at),
            What::PermissionReplied(replied) => self.replied(replied, at),
            What::QuestionAsked(asked) => self.question(asked, at),
            What::QuestionReplied(replied) => {
                self.entry(at, Ink::Person, "answered", &answers(&replied.answers));
            }
            What::QuestionRejected(_) => {
                self.entry(at, Ink::Person, "rejected", "the question was not answered");
            }
            What::Todo(list) => self.todo(list.as_deref().unwrap_or_default(), at),
            What::Gap { reason, .. } => {
                let reason = reason.as_deref().unwrap_or_default();
                self.entry(at, Ink::Wrong, "gap", &format!("events may be missing here: {reason}"));
            }
            What::NodeOffline { reason } => {
                self.entry(at, Ink::Wrong, "node", &format!("offline: {reason}"));
            }
            What::NodeOnline => self.entry(at, Ink::Aside, "node", "online"),
            _ => {}
        }
    }

    fn entry(&mut self, at: Time, ink: Ink, speaker: &str, text: &str) {
        self.open = None;
        self.page.entry(at, ink, speaker, text);
    }

    fn created(&mut self, told: &SessionTold, at: Time) {
        let title = one_line(told.title.as_deref().unwrap_or_default());
        let title = if title.is_empty() { "a new session".to_owned() } else { title };
        let place = told.directory.as_deref().unwrap_or_default();
        let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
        self.entry(at, Ink::Aside, "session", &format!("{title}{place}"));
    }

    fn status(&mut self, turn: Option<&TurnTold>, at: Time) {
        match turn {
            Some(TurnTold::Busy) => {
                self.bill.begin(at);
                self.error.clear();
                self.retry = 0;
            }
            Some(TurnTold::Retry(retry)) => {
                if retry.attempt == 0 || retry.attempt != self.retry {
                    let next = Some(retry.next).filter(|next| *next != Time::default());
                    let next = next.map(|next| format!("; again at {}", clock(next))).unwrap_or_default();
                    let line = format!("attempt {} failed: {}{next}", retry.attempt, retry.message);
                    self.entry(at, Ink::Attention, "retry", &line);
                }
                self.retry = retry.attempt;
            }
            Some(TurnTold::Over) | None => self.turn_over(at),
        }
    }

    fn turn_over(&mut self, at: Time) {
        self.release(|_| true);
        if let Some(line) = self.bill.end(at) {
            self.entry(at, Ink::Aside, "turn", &line);
        }
    }

    fn failed(&mut self, failure: &Failure, at: Time) {
        let line = match failure.is_abort() {
            true => "the turn was aborted".to_owned(),
            false => failure.sentence(),
        };
        // The backend says the same of the turn and of its message.
        if line != self.error {
            let speaker = if failure.is_abort() { "aborted" } else { "error" };
            self.entry(at, Ink::Wrong, speaker, &line);
            self.error = line;
        }
    }

    fn message(&mut self, told: &MessageTold, at: Time) {
        if told.role == Role::User {
            self.by_person.insert(told.id.clone());
            return;
        }
        self.bill.message(told, at);
        if let Some(failure) = &told.failure {
            self.failed(failure, at);
        }
        if told.completed.is_some() {
            self.release(|part| part.message == told.id);
        }
    }

    fn part(&mut self, told: &part::MessagePart, at: Time) {
        match &told.content {
            Content::Text(words) => self.text(told, words, false, at),
            Content::Thought(words) => self.text(told, words, true, at),
            Content::Tool(tool) => self.tool(&told.id, tool, at),
            Content::Changed(files) => self.entry(at, Ink::Aside, "changed", &files.join("\n")),
            Content::File(name) => self.entry(at, Ink::Aside, "file", &short(name, tool::MAX_LINE)),
            Content::Other => {}
        }
    }

    fn text(&mut self, told: &part::MessagePart, words: &part::Words, is_thought: bool, at: Time) {
        if words.is_hidden {
            return;
        }
        let known = self.parts.entry(told.id.clone()).or_default();
        known.message.clone_from(&told.message_id);
        known.thought = is_thought;
        known.held = Some((at, words.text.clone()));
        // A text with a beginning and no end is still being written.
        if !words.is_growing {
            self.show(&told.id);
        }
    }

    /// Shows what was held of a part.
    fn show(&mut self, id: &str) {
        let Some(part) = self.parts.get_mut(id) else { return };
        let Some((at, whole)) = part.held.take() else { return };
        let (whole, thought) = (whole.trim_end().to_owned(), part.thought);
        let shown = std::mem::replace(&mut part.shown, whole.clone());
        let message = part.message.clone();
        let is_open = self.open.as_deref() == Some(id);
        match whole.strip_prefix(shown.trim_end()) {
            Some("") => {}
            Some(rest) if is_open => {
                self.page.go_on(rest.strip_prefix(&shown[shown.trim_end().len()..]).unwrap_or(rest))
            }
            Some(rest) => self.say(at, &message, thought, rest),
            // Some of the words that were overheard got lost on the way, so the whole is said again.
            None => self.say(at, &message, thought, &whole),
        }
        if is_open {
            self.page.end();
            self.open = None;
        }
    }

    fn say(&mut self, at: Time, message: &str, thought: bool, words: &str) {
        let words = words.trim_matches('\n');
        if thought {
            self.entry(at, Ink::Aside, "thinking", &short(&one_line(words), MAX_THOUGHT));
        } else {
            let (ink, speaker) = self.speaker(message);
            self.entry(at, ink, speaker, words);
        }
    }

    fn speaker(&self, message: &str) -> (Ink, &'static str) {
        if self.by_person.contains(message) { (Ink::Person, "user") } else { (Ink::Agent, "assistant") }
    }

    /// Words as they are written.
    fn delta(&mut self, told: Delta, at: Time) {
        let Delta { part_id: id, message_id, text: words } = told;
        if words.is_empty() {
            return;
        }
        let part = self.parts.entry(id.clone()).or_default();
        if part.message.is_empty() {
            part.message = message_id;
        }
        let (message, thought) = (part.message.clone(), part.thought);
        part.shown.push_str(&words);
        if self.open.as_deref() != Some(&id) {
            let (ink, speaker) = if thought { (Ink::Aside, "thinking") } else { self.speaker(&message) };
            self.page.begin(at, ink, speaker);
            self.open = Some(id);
        }
        self.page.go_on(&words);
    }

    /// Shows all texts that were held back and may not grow any more, in the order they came.
    fn release(&mut self, which: impl Fn(&TextPart) -> bool) {
        let mut held: Vec<(Time, String)> = self
            .parts
            .iter()
            .filter(|(_, part)| which(part))
            .filter_map(|(id, part)| Some((part.held.as_ref()?.0, id.clone())))
            .collect();
        held.sort();
        for (_, id) in held {
            self.show(&id);
        }
    }

    fn tool(&mut self, id: &str, told: &ToolUse, at: Time) {
        let is_last = self.open.as_deref() == Some(id);
        let known = self.parts.entry(id.to_owned()).or_default();
        match told.state {
            ToolState::Running if !known.began => {
                known.began = true;
                if self.eager {
                    self.entry(at, Ink::Tool, &told.tool, &tool::input(told));
                    self.open = Some(id.to_owned());
                } else {
                    self.running.push((id.to_owned(), at, told.tool.clone(), tool::input(told)));
                }
            }
            ToolState::Completed | ToolState::Error if known.shown.is_empty() => {
                known.shown = "done".to_owned();
                self.running.retain(|(running, ..)| running != id);
                if !is_last {
                    self.entry(at, Ink::Tool, &told.tool, &tool::input(told));
                }
                let result = tool::result(told);
                if !result.is_empty() {
                    self.page.below(&result);
                }
                self.open = None;
            }
            _ => {}
        }
    }

    fn permission(&mut self, asked: &PermissionAsked, at: Time) {
        let line = format!("permission to use {}: {} ({})", asked.tool, asked.what(), asked.id);
        self.entry(at, Ink::Attention, "asks", &line);
    }

    fn replied(&mut self, replied: &Replied, at: Time) {
        let reply = replied.reply.as_ref();
        let word = reply.map_or("", ReplyTold::as_str);
        if replied.is_outside {
            let line = format!("{word} at the coding agent itself, not through the supervisor");
            return self.entry(at, Ink::Wrong, "outside", &line);
        }
        match reply {
            Some(ReplyTold::Reject) => self.entry(at, Ink::Person, "denied", &replied.message),
            Some(ReplyTold::Once | ReplyTold::Always) => self.entry(at, Ink::Person, "allowed", word),
            _ => self.entry(at, Ink::Person, "answered", word),
        }
    }

    fn question(&mut self, asked: &QuestionAsked, at: Time) {
        for question in &asked.questions {
            let labels = question.options.iter().map(|option| option.label.as_str());
            let labels = labels.collect::<Vec<_>>().join(" | ");
            let labels = if labels.is_empty() { labels } else { format!(" [{labels}]") };
            let line = format!("{}{labels} ({})", question.question, asked.id);
            self.entry(at, Ink::Attention, "asks", &line);
        }
    }

    fn todo(&mut self, todos: &[Todo], at: Time) {
        let lines = todos.iter().map(|item| todo_line(&item.status, &item.content));
        let list = lines.collect::<Vec<_>>().join("\n");
        if list != self.todo {
            self.entry(at, Ink::Aside, "todo", &list);
            self.todo = list;
        }
    }
}

fn answers(answers: &[Vec<String>]) -> String {
    answers.iter().map(|chosen| chosen.join(", ")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod tests;
