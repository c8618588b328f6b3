//! The same model behind OpenAI's Responses API, as Codex asks it.
//!
//! What the script calls by opencode's names of tools is called by Codex's. Newer models call them out of a script of their
//! own, which is told by the tools that come with the conversation.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::ledger::{Account, Ledger, Usage};
use super::script::{Answer, Conversation, Step};
use super::sse;

/// How long a command is waited for before its call is answered, as long as Codex takes.
const COMMAND_MS: u64 = 30_000;

/// `POST /v1/responses`.
pub async fn complete(State(ledger): State<Ledger>, headers: HeaderMap, body: Bytes) -> Response {
    let session = headers.get("session-id").and_then(|value| value.to_str().ok()).unwrap_or("none");
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "the body is no JSON");
    };
    let conversation = Conversation::of_responses(&request);
    let size = u64::try_from(body.len()).unwrap_or(u64::MAX) / 4;
    let account = || ledger.account(session, false, size);
    match conversation.step(|line, times| ledger.fails(session, line, times)) {
        Step::Error { code } => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            refuse(status, &format!("the fake model was told to say {code}"))
        }
        Step::Overflow => {
            let error =
                json!({"code": "context_length_exceeded", "message": "the input exceeds the context window"});
            let response = json!({"id": "resp_fake", "status": "failed", "error": error});
            let failed = json!({"type": "response.failed", "response": response});
            sse::stream(Vec::new(), std::time::Duration::ZERO, Usage::default(), account(), vec![failed])
        }
        Step::Hang => std::future::pending().await,
        Step::Answer(answer) => {
            let items = request["input"].as_array().map(Vec::as_slice).unwrap_or_default();
            let by_script = items.iter().any(|item| item["type"] == "additional_tools");
            respond(answer, size, account(), by_script)
        }
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": "fake_model", "code": null}});
    (status, axum::Json(body)).into_response()
}

fn respond(answer: Answer, size: u64, account: Account, by_script: bool) -> Response {
    let written = u64::try_from(answer.pieces.len()).unwrap_or(u64::MAX) + 5;
    let usage = answer.usage.unwrap_or(Usage { input: size, output: written, cached: 0, reasoning: 0 });
    let delay = answer.delay;
    let response = json!({"id": name("resp"), "status": "completed", "usage": told(usage)});
    let completed = json!({"type": "response.completed", "response": response});
    sse::stream(pieces(answer, by_script), delay, usage, account, vec![completed])
}

fn told(usage: Usage) -> Value {
    let (input, output) = (usage.input + usage.cached, usage.output + usage.reasoning);
    json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": usage.cached}, "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning}, "total_tokens": input + output})
}

fn name(kind: &str) -> String {
    format!("{kind}_{}", uuid::Uuid::new_v4().simple())
}

/// The events up to the end, each with whether it is waited for.
fn pieces(answer: Answer, by_script: bool) -> Vec<(Value, bool)> {
    let mut out = vec![(json!({"type": "response.created", "response": {"id": "resp_fake"}}), false)];
    let mut index = 0;
    let mut item = |blank: Value, deltas: Vec<Value>, whole: Value| {
        out.push((
            json!({"type": "response.output_item.added", "output_index": index, "item": blank}),
            false,
        ));
        out.extend(deltas.into_iter().map(|delta| (delta, true)));
        out.push((json!({"type": "response.output_item.done", "output_index": index, "item": whole}), false));
        index += 1;
    };
    if !answer.thought.is_empty() {
        let id = name("rs");
        let summary = json!([{"type": "summary_text", "text": answer.thought}]);
        item(
            json!({"type": "reasoning", "id": id, "summary": []}),
            Vec::new(),
            json!({"type": "reasoning", "id": id, "summary": summary, "encrypted_content": "c2VhbGVk"}),
        );
    }
    if !answer.pieces.is_empty() {
        let id = name("msg");
        let message =
            |content: Value| json!({"type": "message", "id": id, "role": "assistant", "content": content});
        let delta = |text: &String| {
            json!({"type": "response.output_text.delta", "item_id": id, "output_index": 0, "content_index": 0,
                "delta": text})
        };
        let whole = json!([{"type": "output_text", "text": answer.pieces.concat(), "annotations": []}]);
        item(message(json!([])), answer.pieces.iter().map(delta).collect(), message(whole));
    }
    if let Some((tool, arguments)) = answer.call {
        let call = match by_script {
            true => by_a_script(&tool, &arguments),
            false => as_codex_calls_it(&tool, &arguments),
        };
        item(call.clone(), Vec::new(), call);
    }
    out
}

fn as_codex_calls_it(tool: &str, arguments: &Value) -> Value {
    let (id, call) = (name("fc"), name("call"));
    let function = |name: &str, arguments: Value| json!({"type": "function_call", "id": id, "call_id": call, "name": name, "arguments": arguments.to_string()});
    match tool {
        "bash" => function("exec_command", json!({"cmd": arguments["command"], "yield_time_ms": COMMAND_MS})),
        "write" => {
            let path = arguments["filePath"].as_str().unwrap_or_default();
            let text = arguments["content"].as_str().unwrap_or_default();
            let patch = format!("*** Begin Patch\n*** Add File: {path}\n+{text}\n*** End Patch");
            json!({"type": "custom_tool_call", "id": id, "call_id": call, "name": "apply_patch", "input": patch})
        }
        "question" => {
            let mut asked = arguments.clone();
            asked["questions"][0]["id"] = json!("colour");
            function("request_user_input", asked)
        }
        other => function(other, arguments.clone()),
    }
}

fn by_a_script(tool: &str, arguments: &Value) -> Value {
    let (id, call) = (name("fc"), name("call"));
    if tool == "task" {
        let task = json!({"task_name": name("part"), "message": arguments["prompt"], "fork_turns": "none"});
        return json!({"type": "function_call", "id": id, "call_id": call, "namespace": "collaboration",
            "name": "spawn_agent", "arguments": task.to_string()});
    }
    let plain = as_codex_calls_it(tool, arguments);
    let (method, given) = match plain["input"].as_str() {
        Some(patch) => ("apply_patch", json!(patch).to_string()),
        None => ("exec_command", plain["arguments"].as_str().unwrap_or_default().to_owned()),
    };
    let script = format!("text(await tools.{method}({given}))");
    json!({"type": "custom_tool_call", "id": id, "call_id": call, "namespace": "functions", "name": "exec",
        "input": script})
}
