//! The fake model: follows the words of the newest user message, by OpenAI's chat completions or responses, or Anthropic's
//! messages.

mod answer;
mod anthropic;
mod ledger;
mod responses;
mod script;
mod sse;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

pub use ledger::Ledger;
use script::{Conversation, Step};

/// The server's routes: `POST` to `/v1/chat/completions`, `/v1/responses` and `/v1/messages`, and `GET /ledger`.
pub fn router(ledger: Ledger) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/v1/responses", post(responses::complete))
        .route("/v1/messages", post(anthropic::complete))
        .route("/ledger", get(|State(ledger): State<Ledger>| async move { axum::Json(ledger.read()) }))
        .with_state(ledger)
}

async fn complete(State(ledger): State<Ledger>, headers: HeaderMap, body: Bytes) -> Response {
    let session = headers.get("x-session-id").and_then(|value| value.to_str().ok()).unwrap_or("none");
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "the body is no JSON", "invalid_request");
    };
    let conversation = Conversation::of(&request);
    let size = u64::try_from(body.len()).unwrap_or(u64::MAX) / 4;
    match conversation.step(|line, times| ledger.fails(session, line, times)) {
        Step::Error { code } => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            refuse(status, &format!("the fake model was told to say {code}"), "told_to_fail")
        }
        Step::Overflow => {
            refuse(StatusCode::BAD_REQUEST, "maximum context length exceeded", "context_length_exceeded")
        }
        Step::Hang => std::future::pending().await,
        Step::Answer(mut answer) => {
            if is_qwen(&request) {
                answer.call = answer.call.map(|(name, arguments)| as_qwen_calls_it(&name, arguments));
            }
            let bill = ledger.account(session, conversation.is_title(), size);
            answer::respond(answer, size, bill)
        }
    }
}

/// True for a request of Qwen Code, which offers a tool that nobody else calls so.
fn is_qwen(request: &Value) -> bool {
    let tools = request["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    tools.iter().any(|tool| tool["function"]["name"] == "run_shell_command")
}

fn as_qwen_calls_it(name: &str, arguments: Value) -> (String, Value) {
    match name {
        "bash" => {
            ("run_shell_command".to_owned(), json!({"command": arguments["command"], "is_background": false}))
        }
        "write" => (
            "write_file".to_owned(),
            json!({"file_path": arguments["filePath"], "content": arguments["content"]}),
        ),
        other => (other.to_owned(), arguments),
    }
}

fn refuse(status: StatusCode, message: &str, code: &str) -> Response {
    let body = json!({"error": {"message": message, "type": "fake_model", "code": code}});
    (status, axum::Json(body)).into_response()
}
