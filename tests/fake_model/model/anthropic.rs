//! The same model behind Anthropic's Messages API, as Claude Code asks it.
//!
//! What the script calls by opencode's names of tools is called by Claude Code's. Of `usage INPUT OUTPUT CACHED WRITTEN`
//! the fourth number is written to the cache here.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::ledger::{Account, Ledger, Usage};
use super::script::{Answer, Conversation, Step};
use super::sse;

/// `POST /v1/messages`.
pub async fn complete(State(ledger): State<Ledger>, headers: HeaderMap, body: Bytes) -> Response {
    let session =
        headers.get("x-claude-code-session-id").and_then(|value| value.to_str().ok()).unwrap_or("none");
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request_error", "the body is no JSON");
    };
    let conversation = Conversation::of_messages(&request);
    let size = u64::try_from(body.len()).unwrap_or(u64::MAX) / 4;
    match conversation.step(|line, times| ledger.fails(session, line, times)) {
        Step::Error { code } => {
            let kind = match code {
                401 => "authentication_error",
                429 => "rate_limit_error",
                529 => "overloaded_error",
                _ => "api_error",
            };
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            refuse(status, kind, &format!("the fake model was told to say {code}"))
        }
        Step::Overflow => {
            let message = "prompt is too long: 250000 tokens > 200000 maximum";
            refuse(StatusCode::BAD_REQUEST, "invalid_request_error", message)
        }
        Step::Hang => std::future::pending().await,
        Step::Answer(answer) => {
            let model = request["model"].as_str().unwrap_or_default().to_owned();
            respond(answer, &model, size, ledger.account(session, false, size))
        }
    }
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({"type": "error", "error": {"type": kind, "message": message}});
    (status, axum::Json(body)).into_response()
}

fn respond(answer: Answer, model: &str, size: u64, account: Account) -> Response {
    let written = u64::try_from(answer.pieces.len()).unwrap_or(u64::MAX) + 5;
    let usage = answer.usage.unwrap_or(Usage { input: size, output: written, cached: 0, reasoning: 0 });
    let (delay, stop) = (answer.delay, if answer.call.is_some() { "tool_use" } else { "end_turn" });
    let delta = json!({"stop_reason": stop, "stop_sequence": null});
    let ended = json!({"type": "message_delta", "delta": delta, "usage": told(usage, usage.output)});
    let last = vec![ended, json!({"type": "message_stop"})];
    sse::stream(pieces(answer, model, usage), delay, usage, account, last)
}

/// The events up to the end, each with whether it is waited for.
fn pieces(answer: Answer, model: &str, usage: Usage) -> Vec<(Value, bool)> {
    let id = format!("msg_{}", uuid::Uuid::new_v4().simple());
    let message = json!({"id": id, "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": told(usage, 1)});
    let mut out = vec![(json!({"type": "message_start", "message": message}), false)];
    let mut index = 0;
    let mut block = |content: Value, deltas: Vec<Value>, is_slow: bool| {
        out.push((json!({"type": "content_block_start", "index": index, "content_block": content}), false));
        for delta in deltas {
            out.push((json!({"type": "content_block_delta", "index": index, "delta": delta}), is_slow));
        }
        out.push((json!({"type": "content_block_stop", "index": index}), false));
        index += 1;
    };
    if !answer.thought.is_empty() {
        let deltas = vec![
            json!({"type": "thinking_delta", "thinking": answer.thought}),
            json!({"type": "signature_delta", "signature": "c2lnbmVk"}),
        ];
        block(json!({"type": "thinking", "thinking": "", "signature": ""}), deltas, false);
    }
    if !answer.pieces.is_empty() {
        let deltas = answer.pieces.iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect();
        block(json!({"type": "text", "text": ""}), deltas, true);
    }
    if let Some((name, arguments)) = answer.call {
        let (name, arguments) = as_claude_code_calls_it(&name, arguments);
        let id = format!("toolu_{}", uuid::Uuid::new_v4().simple());
        let delta = json!({"type": "input_json_delta", "partial_json": arguments.to_string()});
        block(json!({"type": "tool_use", "id": id, "name": name, "input": {}}), vec![delta], false);
    }
    out
}

fn as_claude_code_calls_it(name: &str, mut arguments: Value) -> (String, Value) {
    let name = match name {
        "bash" => "Bash",
        "write" => {
            arguments = json!({"file_path": arguments["filePath"], "content": arguments["content"]});
            "Write"
        }
        "question" => {
            arguments["questions"][0]["multiSelect"] = json!(false);
            "AskUserQuestion"
        }
        "task" => {
            arguments["subagent_type"] = json!("general-purpose");
            "Agent"
        }
        other => other,
    };
    (name.to_owned(), arguments)
}

fn told(usage: Usage, output: u64) -> Value {
    json!({"input_tokens": usage.input, "output_tokens": output, "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": usage.reasoning})
}
