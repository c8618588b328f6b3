//! Folds a session's events into the entries of its conversation: each part once, as it was told last.

use std::collections::{BTreeMap, HashMap};

use hal_base::clock::Time;
use hal_protocol::conversation::{Entry, EntryKind, MessageUsage, ToolCard};
use hal_protocol::event::EventView;
use hal_protocol::event::part::{Content, MessagePart, ToolUse};
use hal_protocol::event::what::{MessageTold, Replied, ReplyTold, Role, TurnTold, What};

/// Characters of a text, and of what a tool was given or gave, that are shown.
const MOST_TEXT: usize = 32 * 1024;
const MOST_TOOL: usize = 16 * 1024;

/// Characters of a line.
const MOST_LINE: usize = 300;

/// A conversation, as far as its events were told.
#[derive(Debug, Default)]
pub struct Folding {
    entries: Vec<Entry>,
    by_id: HashMap<String, usize>,
    roles: BTreeMap<String, String>,
    failure: String,
    attempt: u32,
}

impl Folding {
    /// Takes in the next event.
    pub fn tell(&mut self, event: &EventView) {
        let at = if event.occurred_at == Time::default() { event.timestamp } else { event.occurred_at };
        let what = event.what();
        match &what {
            What::Message(told) => self.message(told, event.seq, at),
            What::Part(part) => {
                if let Some(entry) = of_part(part) {
                    self.put(Entry { seq: event.seq, place: event.seq, at, ..entry });
                }
            }
            What::Failed(failure) => {
                let failure = failure.clone().unwrap_or_default();
                self.failed(failure.is_abort(), failure.sentence(), event.seq, at);
            }
            What::Status(Some(TurnTold::Busy)) => (self.failure, self.attempt) = (String::new(), 0),
            What::Status(Some(TurnTold::Retry(retry))) if retry.attempt != self.attempt => {
                self.attempt = retry.attempt;
                let text = format!("attempt {} failed: {}", retry.attempt, retry.message);
                self.line(EntryKind::Retry, &text, event.seq, at);
            }
            _ => {
                if let Some((kind, text)) = line_of(&what) {
                    self.line(kind, &text, event.seq, at);
                }
            }
        }
    }

    /// What there is of it, in order, and who says which message.
    pub fn end(mut self) -> (Vec<Entry>, BTreeMap<String, String>) {
        self.entries.sort_by_key(|entry| entry.place);
        (self.entries, self.roles)
    }

    fn message(&mut self, told: &MessageTold, seq: u64, at: Time) {
        let role = match told.role {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Unknown => return,
        };
        self.roles.insert(told.id.clone(), role.to_owned());
        if let Some(failure) = &told.failure {
            self.failed(failure.is_abort(), failure.sentence(), seq, at);
        }
        if told.role == Role::Assistant && (told.completed.is_some() || told.has_ended) {
            let seconds = told.created.zip(told.completed).map(|(from, to)| to.since(from).as_secs_f64());
            let model = [told.provider.as_str(), told.model.as_str()];
            let usage = MessageUsage {
                model: model.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("/"),
                tokens: told.tokens,
                cost: told.cost,
                seconds,
            };
            if usage.tokens.total() > 0 || usage.cost.is_some() {
                let id = format!("usage/{}", told.id);
                let (message_id, usage, kind) = (told.id.clone(), Some(usage), EntryKind::Usage);
                self.put(Entry { id: id.clone(), seq, at, kind, message_id, usage, ..Entry::default() });
                // It stands below what the message says: at its last telling.
                if let Some(known) = self.by_id.get(&id) {
                    self.entries[*known].place = seq;
                }
            }
        }
    }

    fn failed(&mut self, is_abort: bool, sentence: String, seq: u64, at: Time) {
        let text = if is_abort { "the turn was aborted".to_owned() } else { sentence };
        // Coding agents say the same of the turn and of its message.
        if text != self.failure {
            self.line(EntryKind::Failed, &text, seq, at);
            self.failure = text;
        }
    }

    fn line(&mut self, kind: EntryKind, text: &str, seq: u64, at: Time) {
        let (text, cut) = shown(text, MOST_TEXT);
        let id = format!("event/{seq}");
        self.put(Entry { id, seq, place: seq, at, kind, text, cut, ..Entry::default() });
    }

    /// Puts an entry in place of what was told of it before.
    fn put(&mut self, entry: Entry) {
        match self.by_id.get(&entry.id) {
            Some(known) => {
                let known = &mut self.entries[*known];
                *known = Entry { place: known.place, at: known.at, ..entry };
            }
            None => {
                self.by_id.insert(entry.id.clone(), self.entries.len());
                self.entries.push(entry);
            }
        }
    }
}

/// A piece of a message; `None` where it says nothing to people.
pub fn of_part(part: &MessagePart) -> Option<Entry> {
    let entry =
        Entry { id: format!("part/{}", part.id), message_id: part.message_id.clone(), ..Entry::default() };
    match &part.content {
        Content::Text(words) | Content::Thought(words) => {
            if words.is_hidden || words.text.trim().is_empty() {
                return None;
            }
            let is_thought = matches!(part.content, Content::Thought(_));
            let kind = if is_thought { EntryKind::Thought } else { EntryKind::Text };
            let (text, cut) = shown(words.text.trim_end(), MOST_TEXT);
            Some(Entry { kind, text, cut, is_growing: words.is_growing, ..entry })
        }
        Content::Tool(tool) => Some(of_tool(tool, entry)),
        Content::Changed(files) => {
            let (text, cut) = shown(&files.join("\n"), MOST_TOOL);
            Some(Entry { kind: EntryKind::Files, text, cut, ..entry })
        }
        Content::File(name) => {
            let (text, cut) = shown(name, MOST_LINE);
            Some(Entry { kind: EntryKind::Files, text, cut, ..entry })
        }
        Content::Other => None,
    }
}

fn of_tool(tool: &ToolUse, entry: Entry) -> Entry {
    let telling = tool.input.telling();
    let command = tool.input.command();
    let given = match (command, tool.input.is_empty()) {
        (_, true) => String::new(),
        ("", false) => serde_json::to_string_pretty(&tool.input.0).unwrap_or_default(),
        (command, false) => command.to_owned(),
    };
    let title = telling.map_or_else(|| tool.title.clone(), str::to_owned);
    let first = title.trim().lines().next().unwrap_or_default();
    let (input, cut_input) = shown(&given, MOST_TOOL);
    let (output, cut_output) = shown(tool.output.trim_end(), MOST_TOOL);
    let (error, cut_error) = shown(tool.error.trim_end(), MOST_TOOL);
    let card = ToolCard {
        name: shown(&tool.tool, MOST_LINE).0,
        state: tool.state.as_str().to_owned(),
        title: shown(first, MOST_LINE).0,
        input,
        output,
        error,
        exit: tool.exit,
    };
    let cut = cut_input + cut_output + cut_error;
    Entry { kind: EntryKind::Tool, cut, is_growing: !tool.state.is_over(), tool: Some(card), ..entry }
}

/// What is worth a line of its own.
fn line_of(what: &What) -> Option<(EntryKind, String)> {
    use EntryKind::{Answered, Asked, Failed, Gap, Note};
    Some(match what {
        What::SessionCreated(told) => match told.directory.as_deref().unwrap_or_default() {
            "" => (Note, "session started".to_owned()),
            place => (Note, format!("session started in {place}")),
        },
        What::SessionDeleted => (Note, "session deleted".to_owned()),
        What::Ended { reason } => (Note, format!("ended: {reason}")),
        What::Interrupted { reason } => (Failed, format!("interrupted: {reason}")),
        What::Paused { by } => (Note, format!("paused by {by}")),
        What::Resumed => (Note, "resumed".to_owned()),
        What::Compacted => (Note, "compacted: the conversation was summarised to make room".to_owned()),
        What::Handover { begins: true } => (Note, "writes a handover".to_owned()),
        What::PermissionAsked(asked) => {
            (Asked, format!("permission to use {}: {}", asked.tool, asked.what()))
        }
        What::QuestionAsked(asked) => {
            let all: Vec<&str> = asked.questions.iter().map(|one| one.question.as_str()).collect();
            (Asked, all.join("\n"))
        }
        What::PermissionReplied(replied) => (Answered, replied_in_words(replied)),
        What::QuestionReplied(replied) => {
            let all: Vec<String> = replied.answers.iter().map(|chosen| chosen.join(", ")).collect();
            (Answered, all.join("; "))
        }
        What::QuestionRejected(_) => (Answered, "the question was turned down".to_owned()),
        What::Gap { reason, .. } => {
            (Gap, format!("events may be missing here: {}", reason.as_deref().unwrap_or("no reason known")))
        }
        What::PolicyDecided(told) => (
            Note,
            format!(
                "policy {} stepped in: {}",
                told.policy.as_deref().unwrap_or("(unknown)"),
                told.situation.as_deref().unwrap_or_default()
            ),
        ),
        What::NodeOffline { reason } => (Gap, format!("node offline: {reason}")),
        What::NodeOnline => (Note, "node online".to_owned()),
        _ => return None,
    })
}

fn replied_in_words(replied: &Replied) -> String {
    let word = match &replied.reply {
        Some(ReplyTold::Once) => "allowed once",
        Some(ReplyTold::Always) => "always allowed",
        Some(ReplyTold::Reject) => "denied",
        Some(ReplyTold::Other(word)) => word,
        None => "answered",
    };
    let outside = if replied.is_outside { ", at the coding agent itself" } else { "" };
    let message = if replied.message.is_empty() { String::new() } else { format!(": {}", replied.message) };
    format!("{word}{outside}{message}")
}

/// So much of a text as is shown, and how many characters are left out.
fn shown(text: &str, most: usize) -> (String, u64) {
    match text.char_indices().nth(most) {
        None => (text.to_owned(), 0),
        Some((end, _)) => (text[..end].to_owned(), text[end..].chars().count() as u64),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use hal_protocol::event::raw;

    fn event(seq: u64, kind: &str, data: &Value) -> EventView {
        EventView {
            seq,
            id: format!("e{seq}"),
            kind: kind.to_owned(),
            session_id: "s".to_owned(),
            node_id: "n".into(),
            project: "p".to_owned(),
            data: raw(data),
            timestamp: Time(seq as i64),
            occurred_at: Time(seq as i64),
            node_seq: seq,
        }
    }

    fn fold(events: &[EventView]) -> (Vec<Entry>, BTreeMap<String, String>) {
        let mut folding = Folding::default();
        events.iter().for_each(|event| folding.tell(event));
        folding.end()
    }

    fn gap(seq: u64, reason: &str) -> EventView {
        event(seq, "gap", &json!({ "reason": reason }))
    }

    #[test]
    fn a_text_that_is_too_long_says_by_how_much() {
        assert_eq!(shown("abc", 3), ("abc".to_owned(), 0));
        assert_eq!(shown("äöüß", 3), ("äöü".to_owned(), 1));
    }

    #[test]
    fn what_is_told_again_stays_where_it_began() {
        let tool = |seq, state: &str| Entry {
            id: "part/t".into(),
            seq,
            place: seq,
            at: Time(seq as i64),
            kind: EntryKind::Tool,
            tool: Some(ToolCard { state: state.into(), ..ToolCard::default() }),
            ..Entry::default()
        };
        let mut folding = Folding::default();
        folding.put(tool(3, "running"));
        folding.tell(&gap(4, "a test"));
        folding.put(tool(7, "completed"));
        let (entries, _) = folding.end();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].place, entries[0].seq, entries[0].at), (3, 7, Time(3)));
        assert_eq!(entries[0].tool.as_ref().unwrap().state, "completed");
    }

    #[test]
    fn an_unknown_kind_of_event_says_nothing() {
        let (entries, roles) = fold(&[event(1, "of.tomorrow", &json!({"x": 1}))]);
        assert!(entries.is_empty() && roles.is_empty());
    }
}
