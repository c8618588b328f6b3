//! A session's events as a conversation: who said what, which tools ran with which result, what was asked and
//! answered, what went wrong, what each turn cost. Pure: events in, text out. Unknown kinds of events say nothing.

mod bill;
mod page;
mod tool;

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use serde_json::value::RawValue;

use super::todo_line;
use crate::base::clock::Time;
use crate::ctl::print::text::{clock, one_line, short};
use crate::protocol::event::EventView;
use bill::Bill;
use page::{Ink, Page};

/// Characters of a thought that are shown; thoughts are long and seldom what is looked for.
const MAX_THOUGHT: usize = 300;

/// A conversation being told.
pub struct Conversation {
    page: Page,
    bill: Bill,
    /// True: tools are shown when they begin, not only with their result.
    eager: bool,
    /// Messages said by the person.
    by_person: HashSet<String>,
    parts: HashMap<String, Part>,
    /// Tools that were not shown yet: part, beginning, name, input.
    running: Vec<(String, Time, String, String)>,
    /// The part that the last line belongs to.
    open: Option<String>,
    error: String,
    todo: String,
    retry: u64,
}

/// A piece of text by one speaker.
#[derive(Debug, Default)]
struct Part {
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
            bill: Bill::default(),
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
        self.tell(&event.kind, &event.data, at);
        self.page.take()
    }

    /// Tells something that is happening right now: words as they are written, tools as they begin.
    pub fn overhear(&mut self, kind: &str, data: &RawValue, at: Time) -> String {
        match kind {
            "message.part.delta" => self.delta(&value(data), at),
            "message.part.updated" => self.tell(kind, data, at),
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

    fn tell(&mut self, kind: &str, data: &RawValue, at: Time) {
        let data = value(data);
        let data = &data;
        match kind {
            "session.created" => self.created(data, at),
            "session.status" => self.status(data, at),
            "session.idle" => self.turn_over(at),
            "session.error" => self.error(&data["error"], at),
            "session.interrupted" => {
                self.entry(at, Ink::Wrong, "error", &format!("interrupted: {}", text(&data["reason"])))
            }
            "session.ended" => self.entry(at, Ink::Attention, "ended", text(&data["reason"])),
            "session.deleted" => self.entry(at, Ink::Attention, "ended", "the session was deleted"),
            "session.compacted" => {
                self.entry(at, Ink::Aside, "compacted", "the conversation was summarised to make room");
            }
            "message.updated" => self.message(&data["info"], at),
            "message.part.updated" => self.part(&data["part"], at),
            "permission.asked" => self.permission(data, at),
            "permission.replied" => self.replied(data, at),
            "question.asked" => self.question(data, at),
            "question.replied" => self.entry(at, Ink::Person, "answered", &answers(&data["answers"])),
            "question.rejected" => self.entry(at, Ink::Person, "rejected", "the question was not answered"),
            "todo.updated" => self.todo(&data["todos"], at),
            "gap" => self.entry(
                at,
                Ink::Wrong,
                "gap",
                &format!("events may be missing here: {}", text(&data["reason"])),
            ),
            "node.offline" => {
                self.entry(at, Ink::Wrong, "node", &format!("offline: {}", text(&data["reason"])))
            }
            "node.online" => self.entry(at, Ink::Aside, "node", "online"),
            _ => {}
        }
    }

    fn entry(&mut self, at: Time, ink: Ink, speaker: &str, text: &str) {
        self.open = None;
        self.page.entry(at, ink, speaker, text);
    }

    fn created(&mut self, data: &Value, at: Time) {
        let info = &data["info"];
        let title = one_line(text(&info["title"]));
        let title = if title.is_empty() { "a new session".to_owned() } else { title };
        let place = text(&info["directory"]);
        let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
        self.entry(at, Ink::Aside, "session", &format!("{title}{place}"));
    }

    fn status(&mut self, data: &Value, at: Time) {
        let status = &data["status"];
        match text(&status["type"]) {
            "busy" => {
                self.bill.begin(at);
                self.error.clear();
                self.retry = 0;
            }
            "retry" => {
                let attempt = status["attempt"].as_u64().unwrap_or(0);
                if attempt == 0 || attempt != self.retry {
                    let next =
                        status["next"].as_i64().map(|next| format!("; again at {}", clock(Time(next))));
                    let said = text(&status["message"]);
                    let line = format!("attempt {attempt} failed: {said}{}", next.unwrap_or_default());
                    self.entry(at, Ink::Attention, "retry", &line);
                }
                self.retry = attempt;
            }
            _ => self.turn_over(at),
        }
    }

    fn turn_over(&mut self, at: Time) {
        self.release(|_| true);
        if let Some(line) = self.bill.end(at) {
            self.entry(at, Ink::Aside, "turn", &line);
        }
    }

    fn error(&mut self, error: &Value, at: Time) {
        let (name, message) = (text(&error["name"]), text(&error["data"]["message"]));
        let line = match (name, message) {
            ("MessageAbortedError", _) => "the turn was aborted".to_owned(),
            ("", message) => message.to_owned(),
            (name, "") => name.to_owned(),
            (name, message) => format!("{name}: {message}"),
        };
        // The backend says the same of the turn and of its message.
        if line != self.error {
            let speaker = if name == "MessageAbortedError" { "aborted" } else { "error" };
            self.entry(at, Ink::Wrong, speaker, &line);
            self.error = line;
        }
    }

    fn message(&mut self, info: &Value, at: Time) {
        let id = text(&info["id"]);
        if text(&info["role"]) == "user" {
            self.by_person.insert(id.to_owned());
            return;
        }
        self.bill.message(id, info, at);
        if !info["error"].is_null() {
            self.error(&info["error"], at);
        }
        if !info["time"]["completed"].is_null() {
            self.release(|part| part.message == id);
        }
    }

    fn part(&mut self, part: &Value, at: Time) {
        match text(&part["type"]) {
            "text" | "reasoning" => self.text(part, at),
            "tool" => self.tool(part, at),
            "patch" => {
                let files: Vec<_> = part["files"].as_array().into_iter().flatten().map(text).collect();
                self.entry(at, Ink::Aside, "changed", &files.join("\n"));
            }
            "file" => {
                let name =
                    [&part["filename"], &part["url"]].map(text).into_iter().find(|name| !name.is_empty());
                self.entry(at, Ink::Aside, "file", &short(name.unwrap_or_default(), tool::MAX_LINE));
            }
            _ => {}
        }
    }

    fn text(&mut self, part: &Value, at: Time) {
        if part["synthetic"] == true || part["ignored"] == true {
            return;
        }
        let id = text(&part["id"]).to_owned();
        let known = self.parts.entry(id.clone()).or_default();
        known.message = text(&part["messageID"]).to_owned();
        known.thought = part["type"] == "reasoning";
        known.held = Some((at, text(&part["text"]).to_owned()));
        // A text with a beginning and no end is still being written.
        let growing = !part["time"]["start"].is_null() && part["time"]["end"].is_null();
        if !growing {
            self.show(&id);
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
    fn delta(&mut self, data: &Value, at: Time) {
        let (id, words) = (text(&data["partID"]).to_owned(), text(&data["delta"]));
        if words.is_empty() || text(&data["field"]) != "text" {
            return;
        }
        let part = self.parts.entry(id.clone()).or_default();
        if part.message.is_empty() {
            part.message = text(&data["messageID"]).to_owned();
        }
        let (message, thought) = (part.message.clone(), part.thought);
        part.shown.push_str(words);
        if self.open.as_deref() != Some(&id) {
            let (ink, speaker) = if thought { (Ink::Aside, "thinking") } else { self.speaker(&message) };
            self.page.begin(at, ink, speaker);
            self.open = Some(id);
        }
        self.page.go_on(words);
    }

    /// Shows all texts that were held back and may not grow any more, in the order they came.
    fn release(&mut self, which: impl Fn(&Part) -> bool) {
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

    fn tool(&mut self, part: &Value, at: Time) {
        let (id, name) = (text(&part["id"]).to_owned(), text(&part["tool"]));
        let state = &part["state"];
        let is_last = self.open.as_deref() == Some(&id);
        let known = self.parts.entry(id.clone()).or_default();
        match text(&state["status"]) {
            "running" if !known.began => {
                known.began = true;
                if self.eager {
                    self.entry(at, Ink::Tool, name, &tool::input(state));
                    self.open = Some(id);
                } else {
                    self.running.push((id, at, name.to_owned(), tool::input(state)));
                }
            }
            "completed" | "error" if known.shown.is_empty() => {
                known.shown = "done".to_owned();
                self.running.retain(|(running, ..)| *running != id);
                if !is_last {
                    self.entry(at, Ink::Tool, name, &tool::input(state));
                }
                let result = tool::result(state);
                if !result.is_empty() {
                    self.page.below(&result);
                }
                self.open = None;
            }
            _ => {}
        }
    }

    fn permission(&mut self, data: &Value, at: Time) {
        let metadata = &data["metadata"];
        let patterns =
            || data["patterns"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(" ");
        let what =
            [&metadata["command"], &metadata["filepath"]].map(text).into_iter().find(|what| !what.is_empty());
        let what = what.map_or_else(patterns, str::to_owned);
        let line =
            format!("permission to use {}: {} ({})", text(&data["permission"]), what, text(&data["id"]));
        self.entry(at, Ink::Attention, "asks", &line);
    }

    fn replied(&mut self, data: &Value, at: Time) {
        match text(&data["reply"]) {
            reply if data["outside"] == true => {
                let line = format!("{reply} at the coding agent itself, not through the supervisor");
                self.entry(at, Ink::Wrong, "outside", &line);
            }
            "reject" => self.entry(at, Ink::Person, "denied", text(&data["message"])),
            reply @ ("once" | "always") => self.entry(at, Ink::Person, "allowed", reply),
            reply => self.entry(at, Ink::Person, "answered", reply),
        }
    }

    fn question(&mut self, data: &Value, at: Time) {
        for question in data["questions"].as_array().into_iter().flatten() {
            let labels = question["options"].as_array().into_iter().flatten();
            let labels = labels.map(|option| text(&option["label"])).collect::<Vec<_>>().join(" | ");
            let labels = if labels.is_empty() { labels } else { format!(" [{labels}]") };
            let line = format!("{}{labels} ({})", text(&question["question"]), text(&data["id"]));
            self.entry(at, Ink::Attention, "asks", &line);
        }
    }

    fn todo(&mut self, todos: &Value, at: Time) {
        let lines = todos.as_array().into_iter().flatten();
        let lines = lines.map(|item| todo_line(text(&item["status"]), text(&item["content"])));
        let list = lines.collect::<Vec<_>>().join("\n");
        if list != self.todo {
            self.entry(at, Ink::Aside, "todo", &list);
            self.todo = list;
        }
    }
}

fn value(data: &RawValue) -> Value {
    serde_json::from_str(data.get()).unwrap_or_default()
}

/// The text of a value; empty when it is none.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn answers(answers: &Value) -> String {
    let lists = answers.as_array().into_iter().flatten();
    let lists =
        lists.map(|list| list.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", "));
    lists.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
