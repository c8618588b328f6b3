//! What was said while nobody listened, read from the messages themselves: the server keeps no log of its events.

use serde_json::Value;

use super::super::client::{Call, Client};
use super::failure::failure;
use super::state::{Fold, Step, Told};
use super::steps::{kind_of, part, refusal, said, words_at};
use super::wire::{self, Page, SessionRecord, first, model_of, text};
use crate::backend::BackendError;
use hal_base::clock::Time;
use hal_protocol::event::part::{Content, ToolInput, ToolState, ToolUse, Words};
use hal_protocol::event::what::{MessageTold, Role, What};
use hal_protocol::session::SessionId;

/// Messages read back at most.
const MESSAGES: &str = "100";

/// A message that was missed: when it was complete, and what it tells.
#[derive(Debug)]
pub struct Missed {
    /// Its name.
    pub message: String,
    /// When it was complete, in Unix milliseconds.
    pub at: i64,
    /// What it tells.
    pub told: Vec<Told>,
}

/// The messages of a session that are younger than what was heard last. What is still being written is told by the stream:
/// the fold learns what it belongs to.
pub async fn missed(
    client: &Client,
    record: &SessionRecord,
    since: i64,
    fold: &tokio::sync::Mutex<Fold>,
) -> Result<Vec<Missed>, BackendError> {
    let path = format!("/api/session/{}/message", record.id);
    let call = Call::new(&path, "looking for what was missed").with(&[("limit", MESSAGES)]);
    let mut messages = client.get::<Page<Value>>(call).await?.data;
    messages.reverse();
    let id = SessionId::new(&record.id);
    let mut fold = fold.lock().await;
    let limits = fold.limits.clone();
    let known = fold.known(&id);
    let mut out = Vec::new();
    for message in &messages {
        let name = text(message, "id").to_owned();
        let created = message["time"]["created"].as_i64().unwrap_or_default();
        if text(message, "type") == "user" {
            known.prompt.clone_from(&name);
            known.inputs.remove(&name);
            if created > since {
                let told = said(&name, words(message), false, created);
                let told = told.map(|what| Told::Event(id.clone(), what)).into();
                out.push(Missed { message: name, at: created, told });
            }
            continue;
        }
        if text(message, "type") != "assistant" {
            continue;
        }
        let model = model_of(&message["model"]).unwrap_or_default();
        let Some(completed) = message["time"]["completed"].as_i64() else {
            known.step = Step {
                message: name,
                provider: model.provider,
                model: model.id,
                created: Some(Time::said(created)),
            };
            continue;
        };
        if completed <= since {
            continue;
        }
        let tokens = wire::tokens(&message["tokens"]);
        let limit = limits.get(&(model.provider.clone(), model.id.clone())).copied();
        let error = Some(&message["error"]).filter(|error| !error.is_null());
        let answer = MessageTold {
            id: name.clone(),
            parent_id: known.prompt.clone(),
            role: Role::Assistant,
            provider: model.provider,
            model: model.id,
            cost: message["cost"].as_f64(),
            context: tokens.total(),
            tokens,
            context_limit: limit,
            failure: error.map(failure),
            has_ended: true,
            finish: text(message, "finish").to_owned(),
            created: Some(Time::said(created)),
            completed: Some(Time::said(completed)),
        };
        let mut told = vec![Told::Event(id.clone(), What::Message(Box::new(answer)))];
        told.extend(pieces(&name, &message["content"]).map(|what| Told::Event(id.clone(), what)));
        out.push(Missed { message: name, at: completed, told });
    }
    Ok(out)
}

/// The words of a prompt.
fn words(message: &Value) -> String {
    let own = text(message, "text");
    if own.is_empty() { wire::words_of(&message["content"]) } else { own.to_owned() }
}

fn pieces<'v>(message: &'v str, content: &'v Value) -> impl Iterator<Item = What> + 'v {
    let mut places = [0u64; 2];
    content.as_array().into_iter().flatten().filter_map(move |piece| match text(piece, "type") {
        kind @ ("text" | "reasoning") => {
            let is_thought = kind == "reasoning";
            let place = &mut places[usize::from(is_thought)];
            let id = words_at(message, *place, is_thought);
            *place += 1;
            let words = Words { text: text(piece, "text").to_owned(), ..Words::default() };
            let content = if is_thought { Content::Thought(words) } else { Content::Text(words) };
            Some(part(message.to_owned(), id, content))
        }
        "tool" => Some(tool(message, piece)),
        _ => None,
    })
}

fn tool(message: &str, piece: &Value) -> What {
    let state = if piece["state"].is_object() { &piece["state"] } else { piece };
    let (call, name) =
        (first(piece, &["id", "callID"]).to_owned(), first(piece, &["name", "tool"]).to_owned());
    let result = if state["metadata"].is_object() { &state["metadata"] } else { &state["structured"] };
    let (error, cause) = match state["error"].is_object() {
        true => refusal(&state["error"], false),
        false => (text(state, "error").to_owned(), None),
    };
    let told = ToolUse {
        kind: kind_of(&name),
        tool: name,
        call: call.clone(),
        state: ToolState::of_word(text(state, "status")),
        input: ToolInput(state["input"].clone()),
        output: wire::words_of(&state["content"]),
        error,
        cause,
        exit: result["exit"].as_i64(),
        ..ToolUse::default()
    };
    part(message.to_owned(), call, Content::Tool(Box::new(told)))
}
