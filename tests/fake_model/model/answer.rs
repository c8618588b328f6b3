//! An answer as a stream of chat-completion chunks.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::time::interval;

use super::ledger::{Account, Usage};
use super::script::Answer;

/// Streams the answer and bills it at its end; a call whose reader has gone is not billed. `size` is about how many
/// tokens the request has.
pub fn respond(answer: Answer, size: u64, mut account: Account) -> Response {
    let written = u64::try_from(answer.pieces.len()).unwrap_or(u64::MAX) + 5;
    let reasoned = u64::try_from(answer.thought.split_whitespace().count()).unwrap_or(u64::MAX);
    let usage =
        answer.usage.unwrap_or(Usage { input: size, output: written, cached: 0, reasoning: reasoned });
    let beat = (answer.delay > Duration::ZERO).then(|| interval(answer.delay));
    let stream = unfold((chunks(answer).into_iter(), beat), |(mut chunks, mut beat)| async move {
        let chunk = chunks.next()?;
        if let Some(beat) = beat.as_mut().filter(|_| chunk.is_slow) {
            beat.tick().await;
        }
        Some((Ok::<_, Infallible>(line(&chunk.body)), (chunks, beat)))
    });
    let last = futures_util::stream::once(async move {
        account.charge(usage);
        let mut text = line(&closing(usage)).to_vec();
        text.extend_from_slice(b"data: [DONE]\n\n");
        Ok(Bytes::from(text))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream.chain(last))).into_response()
}

struct Chunk {
    body: Value,
    is_slow: bool,
}

fn chunks(answer: Answer) -> Vec<Chunk> {
    let mut out =
        vec![Chunk { body: delta(json!({"role": "assistant", "content": ""}), None), is_slow: false }];
    if !answer.thought.is_empty() {
        let body = delta(json!({"reasoning_content": answer.thought}), None);
        out.push(Chunk { body, is_slow: false });
    }
    for piece in answer.pieces {
        out.push(Chunk { body: delta(json!({"content": piece}), None), is_slow: true });
    }
    let finish = if let Some((name, arguments)) = answer.call {
        let id = format!("call_{}", uuid::Uuid::new_v4().simple());
        let call = json!({"tool_calls": [{"index": 0, "id": id, "type": "function",
            "function": {"name": name, "arguments": arguments.to_string()}}]});
        out.push(Chunk { body: delta(call, None), is_slow: false });
        "tool_calls"
    } else {
        "stop"
    };
    out.push(Chunk { body: delta(json!({}), Some(finish)), is_slow: false });
    out
}

fn delta(delta: Value, finish: Option<&str>) -> Value {
    json!({"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 0, "model": "fake-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

fn closing(usage: Usage) -> Value {
    let prompt = usage.input + usage.cached;
    let completion = usage.output + usage.reasoning;
    json!({"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 0, "model": "fake-1", "choices": [],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": usage.cached},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning}}})
}

fn line(body: &Value) -> Bytes {
    format!("data: {body}\n\n").into()
}
