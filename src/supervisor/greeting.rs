//! What is said at the agents' door to those who are no agents: what this is, and that the way is open.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::dashboard;
use hal_protocol::event::raw;
use hal_protocol::frame::Greeting;

/// Whoever only looks whether the way is open answers a close within this time, or not at all, as curl does not: it shall
/// not wait longer than a person likes to.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// The greeting is taken by the network within this time, else nobody is there.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Who asks for no WebSocket is told what this is; one that looks as if it had asked, until somebody in between took the
/// header away, is told that.
pub fn no_upgrade(headers: &HeaderMap) -> Response {
    let is_agent = headers.contains_key("x-node-id") || headers.contains_key(header::SEC_WEBSOCKET_KEY);
    if !is_agent && dashboard::is_wanted(headers) {
        return dashboard::shell(headers);
    }
    if !is_agent {
        let text =
            concat!("hal-o-swarm ", env!("CARGO_PKG_VERSION"), ": agents connect here, the API is /api/v1\n");
        return text.into_response();
    }
    let text = concat!(
        "hal-o-swarm ",
        env!("CARGO_PKG_VERSION"),
        ": this request came without the headers Upgrade and Connection that ask for a WebSocket; a proxy in between \
         must pass them on\n"
    );
    let asks = [(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")];
    (StatusCode::UPGRADE_REQUIRED, asks, text).into_response()
}

/// Whoever shows no token learns that the way is open, and nothing else.
pub async fn greet(mut socket: WebSocket) {
    let greeting = Greeting {
        service: "hal-o-swarm".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        auth: "required".into(),
    };
    let said = async {
        socket.send(Message::text(raw(&greeting).get())).await?;
        socket.send(close_frame(1000, "a token is required beyond this point")).await
    };
    if let Ok(Ok(())) = timeout(WRITE_LIMIT, said).await {
        // The other side answers the close; without reading it the connection would end in a reset.
        let answered = async { while socket.recv().await.is_some_and(|message| message.is_ok()) {} };
        let _ = timeout(PROBE_LIMIT, answered).await;
    }
}

/// A close frame; its reason may have 123 bytes.
pub fn close_frame(code: u16, reason: &str) -> Message {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    Message::Close(Some(CloseFrame { code, reason: reason[..end].into() }))
}
