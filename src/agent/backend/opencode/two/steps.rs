//! Steps of an execution: what is taken in, what the model says, and the tools that it uses.

use serde_json::Value;

use super::failure::failure;
use super::state::{Fold, Known, Step, Told, tell_busy};
use super::wire::{self, Frame, first, text};
use hal_base::clock::Time;
use hal_protocol::event::failure::Failure;
use hal_protocol::event::part::{
    Content, MessagePart, ToolCause, ToolInput, ToolKind, ToolState, ToolUse, Words,
};
use hal_protocol::event::what::{Delta, MessageTold, Role, What};
use hal_protocol::session::SessionId;

/// Tools that run a command.
const EXECUTING: [&str; 2] = ["shell", "bash"];

/// Tools that change files.
const CHANGING: [&str; 4] = ["edit", "write", "patch", "apply_patch"];

/// Calls that are remembered at most: more are never open at once.
const CALLS: usize = 1024;

/// How the model's answer came to its end.
#[derive(Default)]
struct StepEnd {
    finish: String,
    failure: Option<Failure>,
    has_ended: bool,
}

impl Fold {
    /// Takes in what happens within an execution.
    pub(super) fn on_step(&mut self, session: &SessionId, frame: &Frame, out: &mut Vec<Told>) {
        let data = &frame.data;
        match frame.kind.as_str() {
            "session.inbox.enqueued" | "session.input.admitted" => self.admitted(session, data),
            "session.inbox.delivered" | "session.input.promoted" => self.promoted(session, frame, out),
            "session.inbox.cancelled" => {
                self.known(session).inputs.remove(first(data, &["inboxID", "inputID"]));
            }
            "session.step.started" => self.step_started(session, frame, out),
            "session.step.ended" => {
                let finish = text(data, "finish").to_owned();
                let end = StepEnd { finish, failure: None, has_ended: true };
                self.step_over(session, frame, end, out);
            }
            "session.step.failed" => {
                let failure = Some(failure(&data["error"]));
                self.step_over(
                    session,
                    frame,
                    StepEnd { failure, has_ended: true, ..StepEnd::default() },
                    out,
                );
            }
            "session.text.ended" | "session.reasoning.ended" => {
                let words = Words { text: text(data, "text").to_owned(), ..Words::default() };
                let is_thought = frame.kind == "session.reasoning.ended";
                let content = if is_thought { Content::Thought(words) } else { Content::Text(words) };
                out.push(Told::Event(
                    session.clone(),
                    part(message_of(data), words_id(data, is_thought), content),
                ));
            }
            "session.text.delta" | "session.reasoning.delta" => {
                let is_thought = frame.kind == "session.reasoning.delta";
                let delta = Delta {
                    part_id: words_id(data, is_thought),
                    message_id: message_of(data),
                    text: text(data, "delta").to_owned(),
                };
                out.push(Told::Live(session.clone(), What::Delta(delta)));
            }
            kind if kind.starts_with("session.tool.") => self.on_tool(session, kind, data, out),
            // What is newer than this program, and what means nothing here.
            _ => {}
        }
    }

    fn admitted(&mut self, session: &SessionId, data: &Value) {
        let item = if data["item"].is_object() { &data["item"] } else { &data["input"] };
        let body = if item["payload"].is_object() { &item["payload"] } else { &item["data"] };
        let kind = text(item, "type");
        if !matches!(kind, "user" | "synthetic") {
            return;
        }
        let said = (text(body, "text").to_owned(), kind == "synthetic");
        let id = first(data, &["inboxID", "inputID"]).to_owned();
        self.known(session).inputs.insert(id, said);
    }

    fn promoted(&mut self, session: &SessionId, frame: &Frame, out: &mut Vec<Told>) {
        let id = first(&frame.data, &["inboxID", "inputID"]).to_owned();
        let known = self.known(session);
        let Some((words, is_hidden)) = known.inputs.remove(&id) else { return };
        known.prompt.clone_from(&id);
        out.extend(said(&id, words, is_hidden, frame.created).map(|what| Told::Event(session.clone(), what)));
    }

    fn step_started(&mut self, session: &SessionId, frame: &Frame, out: &mut Vec<Told>) {
        let data = &frame.data;
        let known = self.known(session);
        tell_busy(session, known, out);
        let message = message_of(data);
        if known.step.message == message {
            return;
        }
        known.step = Step {
            message,
            provider: text(&data["model"], "providerID").to_owned(),
            model: text(&data["model"], "id").to_owned(),
            created: Some(Time::said(frame.created)),
        };
        let told = answer(known);
        out.push(Told::Event(session.clone(), What::Message(Box::new(told))));
    }

    fn step_over(&mut self, session: &SessionId, frame: &Frame, end: StepEnd, out: &mut Vec<Told>) {
        let data = &frame.data;
        let limits = std::mem::take(&mut self.limits);
        let known = self.known(session);
        let message = message_of(data);
        if known.step.message != message {
            known.step = Step { message: message.clone(), ..Step::default() };
        }
        let tokens = wire::tokens(&data["tokens"]);
        let model = (known.step.provider.clone(), known.step.model.clone());
        let told = MessageTold {
            cost: data["cost"].as_f64(),
            context: tokens.total(),
            tokens,
            context_limit: limits.get(&model).copied(),
            failure: end.failure,
            has_ended: end.has_ended,
            finish: end.finish,
            completed: Some(Time::said(frame.created)),
            ..answer(known)
        };
        self.limits = limits;
        out.push(Told::Event(session.clone(), What::Message(Box::new(told))));
        let files: Vec<String> =
            data["files"].as_array().into_iter().flatten().filter_map(file_name).collect();
        if !files.is_empty() {
            let id = format!("{message}_files");
            out.push(Told::Event(session.clone(), part(message, id, Content::Changed(files))));
        }
    }

    fn on_tool(&mut self, session: &SessionId, kind: &str, data: &Value, out: &mut Vec<Told>) {
        let id = first(data, &["id", "callID"]).to_owned();
        let known = self.known(session);
        if known.calls.len() >= CALLS {
            known.calls.clear();
        }
        let call = known.calls.entry(id.clone()).or_default();
        let name = first(data, &["name", "tool"]);
        if !name.is_empty() {
            name.clone_into(&mut call.tool);
        }
        if data["input"].is_object() {
            call.input = data["input"].clone();
        }
        let told = ToolUse {
            tool: call.tool.clone(),
            kind: kind_of(&call.tool),
            call: id.clone(),
            state: ToolState::Running,
            input: ToolInput(call.input.clone()),
            ..ToolUse::default()
        };
        let result = if data["metadata"].is_object() { &data["metadata"] } else { &data["structured"] };
        let output = wire::words_of(&data["content"]);
        let told = match kind {
            "session.tool.called" => told,
            "session.tool.progress" => {
                let content = Content::Tool(Box::new(ToolUse { output, ..told }));
                let what = part(message_of(data), id, content);
                return out.push(Told::Live(session.clone(), what));
            }
            "session.tool.success" => {
                let exit = result["exit"].as_i64();
                ToolUse { state: ToolState::Completed, output, exit, ..told }
            }
            "session.tool.failed" => {
                let (error, cause) = refusal(&data["error"], call.is_refused);
                ToolUse { state: ToolState::Error, error, cause, ..told }
            }
            _ => return,
        };
        if told.state.is_over() {
            known.calls.remove(&id);
        }
        out.push(Told::Event(session.clone(), part(message_of(data), id, Content::Tool(Box::new(told)))));
    }
}

/// Why a tool came to nothing, and by whom.
pub fn refusal(error: &Value, is_refused: bool) -> (String, Option<ToolCause>) {
    let cause = match text(error, "type") {
        _ if is_refused => Some(ToolCause::Refused),
        "permission.rejected" => Some(ToolCause::Refused),
        "aborted" => Some(ToolCause::Stopped),
        _ => None,
    };
    (text(error, "message").to_owned(), cause)
}

/// What a tool of this name does.
pub fn kind_of(tool: &str) -> ToolKind {
    match tool {
        name if EXECUTING.contains(&name) => ToolKind::Execute,
        name if CHANGING.contains(&name) => ToolKind::Edit,
        _ => ToolKind::Other,
    }
}

/// What was said to a session, or put in for it.
pub fn said(id: &str, words: String, is_hidden: bool, at: i64) -> [What; 2] {
    let told = MessageTold {
        id: id.to_owned(),
        role: Role::User,
        created: Some(Time::said(at)),
        ..MessageTold::default()
    };
    let words = Words { text: words, is_hidden, is_growing: false };
    [What::Message(Box::new(told)), part(id.to_owned(), format!("{id}_0"), Content::Text(words))]
}

/// A piece of a message.
pub fn part(message: String, id: String, content: Content) -> What {
    What::Part(MessagePart { id, message_id: message, content })
}

fn answer(known: &Known) -> MessageTold {
    MessageTold {
        id: known.step.message.clone(),
        parent_id: known.prompt.clone(),
        role: Role::Assistant,
        provider: known.step.provider.clone(),
        model: known.step.model.clone(),
        created: known.step.created,
        ..MessageTold::default()
    }
}

fn message_of(data: &Value) -> String {
    first(data, &["assistantMessageID", "messageID"]).to_owned()
}

/// The name of a piece of words: its place in the message.
fn words_id(data: &Value, is_thought: bool) -> String {
    words_at(&message_of(data), data["ordinal"].as_u64().unwrap_or_default(), is_thought)
}

/// The same by the place.
pub fn words_at(message: &str, ordinal: u64, is_thought: bool) -> String {
    format!("{message}_{}{ordinal}", if is_thought { "r" } else { "t" })
}

fn file_name(file: &Value) -> Option<String> {
    let name = file.as_str().unwrap_or_else(|| first(file, &["path", "file"]));
    (!name.is_empty()).then(|| name.to_owned())
}
