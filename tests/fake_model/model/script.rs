//! The words the fake model follows.
//!
//! Each line of the newest user message that begins with one of these words is a step; a step is one answer. A step
//! that calls a tool is followed by the next one when the result comes back; after the last one a sentence is said.
//!
//! | words | what happens |
//! |---|---|
//! | `say TEXT` | answers TEXT |
//! | `think TEXT` | reasons TEXT, then answers |
//! | `slow WORDS DELAY_MS` | streams that many words, waiting before each |
//! | `bash COMMAND`, `write PATH TEXT`, `todo`, `question`, `tool NAME JSON` | calls that tool |
//! | `task PROMPT` | starts a helper session with that prompt, whose words are followed there |
//! | `error CODE [TIMES]` | that HTTP status, always or that many times |
//! | `overflow [TIMES]` | says the context is too long, once or that many times |
//! | `hang` | says nothing at all |
//! | `sees WORDS` | answers whether these, with a dash between them, stand anywhere in what it was sent |
//! | `usage INPUT OUTPUT CACHED REASONING [COMMAND]` | answers, or calls the tool for that command, and bills exactly that |

use std::time::Duration;

use serde_json::{Value, json};

use super::ledger::Usage;

/// What the server does with one call.
pub enum Step {
    /// Answers.
    Answer(Answer),
    /// Refuses with this status.
    Error { code: u16 },
    /// Refuses because the context is too long.
    Overflow,
    /// Never answers.
    Hang,
}

/// An answer to be streamed.
#[derive(Default)]
pub struct Answer {
    /// What is reasoned before.
    pub thought: String,
    /// What is said, in the pieces it is streamed in.
    pub pieces: Vec<String>,
    /// What is waited for before each piece.
    pub delay: Duration,
    /// The tool to call: its name and arguments.
    pub call: Option<(String, Value)>,
    /// What to bill; made from the sizes when absent.
    pub usage: Option<Usage>,
}

/// The parts of a request that the answer depends on.
pub struct Conversation {
    system: String,
    newest: String,
    /// Answers already given to the newest user message.
    answered: usize,
    /// All that was sent.
    whole: String,
}

impl Conversation {
    /// Reads a chat-completions request.
    pub fn of(request: &Value) -> Self {
        let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let role = |message: &Value| message["role"].as_str().unwrap_or_default().to_owned();
        let system =
            messages.iter().filter(|one| role(one) == "system").map(text_of).collect::<Vec<_>>().join("\n");
        let at = messages.iter().rposition(|message| role(message) == "user");
        let newest = at.map(|at| said_last(&messages[at])).unwrap_or_default();
        let after = at.map_or(messages, |at| &messages[at + 1..]);
        let answered = after.iter().filter(|message| role(message) == "assistant").count();
        Self { system, newest, answered, whole: request.to_string() }
    }

    /// Reads a request of Anthropic's Messages API. What was said and never answered is sent again with what is said
    /// next, as parts of one message: the last part counts.
    pub fn of_messages(request: &Value) -> Self {
        let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let last_part = |message: &Value| match &message["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                parts.iter().rev().find_map(|part| part["text"].as_str()).unwrap_or_default().to_owned()
            }
            _ => String::new(),
        };
        let is_asked = |message: &Value| {
            let lines = last_part(message);
            let is_said = lines.lines().any(|line| WORDS.contains(&word(line.trim())));
            message["role"] == "user" && (is_said || lines.contains(SUMMARY))
        };
        let at = messages.iter().rposition(is_asked);
        let newest = at.map(|at| last_part(&messages[at])).unwrap_or_default();
        let newest =
            if newest.contains(SUMMARY) { format!("say {SUMMARY}all is well</summary>") } else { newest };
        let after = at.map_or(messages, |at| &messages[at + 1..]);
        let answered = after.iter().filter(|message| message["role"] == "assistant").count();
        Self { system: String::new(), newest, answered, whole: request.to_string() }
    }

    /// Reads a request of OpenAI's Responses API. An answer is some words, a call of a tool, or words and then a call.
    pub fn of_responses(request: &Value) -> Self {
        let items = request["input"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text_of = |item: &Value| match item["type"] == "agent_message" {
            true => item["content"][1]["encrypted_content"].as_str().unwrap_or_default().to_owned(),
            false => text_of(item),
        };
        let is_said = |item: &Value| {
            let lines = text_of(item);
            (item["role"] == "user" || item["type"] == "agent_message")
                && lines.lines().any(|line| WORDS.contains(&word(line.trim())))
        };
        // What is summarised is not done again.
        if items.last().is_some_and(|last| text_of(last).contains(CHECKPOINT)) {
            let newest = "say all is well".to_owned();
            return Self { system: String::new(), newest, answered: 0, whole: String::new() };
        }
        let at = items.iter().rposition(is_said);
        let newest = at.map(|at| text_of(&items[at])).unwrap_or_default();
        let after: Vec<&Value> = at.map_or(items, |at| &items[at + 1..]).iter().collect();
        let is_call =
            |item: &Value| matches!(item["type"].as_str(), Some("function_call" | "custom_tool_call"));
        let ends = |(at, item): (usize, &&Value)| {
            let is_followed = after.get(at + 1).is_some_and(|next| is_call(next));
            is_call(item) || (item["role"] == "assistant" && !is_followed)
        };
        let answered = after.iter().enumerate().filter(|one| ends(*one)).count();
        Self { system: String::new(), newest, answered, whole: request.to_string() }
    }

    /// True when a title for the conversation is asked for.
    pub fn is_title(&self) -> bool {
        self.system.contains("title generator")
    }

    /// What to do. `fails(line, times)` counts a failure and is true while it is one of the first `times`.
    pub fn step(&self, mut fails: impl FnMut(&str, u32) -> bool) -> Step {
        if self.is_title() {
            return say("A fake title");
        }
        let steps: Vec<&str> =
            self.newest.lines().map(str::trim).filter(|line| WORDS.contains(&word(line))).collect();
        match steps.get(self.answered) {
            Some(line) if word(line) == "sees" => {
                let wanted = line.split_whitespace().skip(1).collect::<Vec<_>>().join("-");
                say(if self.whole.contains(&wanted) { "It is seen." } else { "It is not seen." })
            }
            Some(line) => perform(line, &mut fails),
            None if steps.is_empty() => {
                say("There was nothing to follow, so this is the summary: all is well.")
            }
            None => say("All steps are done."),
        }
    }
}

/// What stands in a request for a summary of the conversation.
const SUMMARY: &str = "<summary>";

/// What stands in Codex's request for one.
const CHECKPOINT: &str = "CHECKPOINT COMPACTION";

const WORDS: [&str; 14] = [
    "say", "think", "slow", "bash", "write", "todo", "question", "tool", "task", "error", "overflow", "hang",
    "usage", "sees",
];

fn perform(line: &str, fails: &mut impl FnMut(&str, u32) -> bool) -> Step {
    let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
    let numbers: Vec<u64> = rest.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let number = |at: usize| numbers.get(at).copied();
    let times = |at, default| number(at).map_or(default, |times| u32::try_from(times).unwrap_or(u32::MAX));
    match word(line) {
        "think" => Step::Answer(Answer {
            thought: rest.into(),
            pieces: vec!["Thought it over.".into()],
            ..Answer::default()
        }),
        "slow" => Step::Answer(Answer {
            pieces: (1..=number(0).unwrap_or(10)).map(|n| format!("word{n} ")).collect(),
            delay: Duration::from_millis(number(1).unwrap_or(100)),
            ..Answer::default()
        }),
        "error" if fails(line, times(1, u32::MAX)) => {
            Step::Error { code: number(0).and_then(|code| u16::try_from(code).ok()).unwrap_or(500) }
        }
        "error" => say("It works now."),
        "overflow" if fails(line, times(0, 1)) => Step::Overflow,
        "overflow" => say("It fits now."),
        "hang" => Step::Hang,
        "usage" => Step::Answer(Answer {
            pieces: vec!["Billed as told.".into()],
            call: rest.splitn(5, ' ').nth(4).map(|command| call("bash", command)),
            usage: Some(Usage {
                input: number(0).unwrap_or(0),
                output: number(1).unwrap_or(0),
                cached: number(2).unwrap_or(0),
                reasoning: number(3).unwrap_or(0),
            }),
            ..Answer::default()
        }),
        "say" => say(rest),
        tool => Step::Answer(Answer { call: Some(call(tool, rest)), ..Answer::default() }),
    }
}

fn call(word: &str, rest: &str) -> (String, Value) {
    let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
    match word {
        "bash" => ("bash".into(), json!({"command": rest, "description": "does what it was told"})),
        "write" => ("write".into(), json!({"filePath": first, "content": more})),
        "todo" => (
            "todowrite".into(),
            json!({"todos": [
                {"content": "first thing", "status": "completed", "priority": "high"},
                {"content": "second thing", "status": "in_progress", "priority": "low"}]}),
        ),
        "question" => (
            "question".into(),
            json!({"questions": [{"question": "Which colour?", "header": "Colour", "options": [
                {"label": "Red", "description": "warm"}, {"label": "Blue", "description": "cold"}]}]}),
        ),
        "task" => (
            "task".into(),
            json!({"description": "a part of the work", "prompt": rest, "subagent_type": "general"}),
        ),
        _ => (first.into(), serde_json::from_str(more).unwrap_or_else(|_| json!({}))),
    }
}

fn say(text: &str) -> Step {
    let pieces = text.split_inclusive(' ').map(str::to_owned).collect();
    Step::Answer(Answer { pieces, ..Answer::default() })
}

fn word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// What was said last in a message: what was said and never answered may be sent again before it, in parts of its own.
fn said_last(message: &Value) -> String {
    let parts = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_said = |text: &&str| text.lines().any(|line| WORDS.contains(&word(line.trim())));
    let last = parts.iter().rev().filter_map(|part| part["text"].as_str()).find(is_said);
    last.map_or_else(|| text_of(message), str::to_owned)
}

/// The text of a message, whose content is a text or a list of parts.
fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
