//! An answer as a stream of events that have a type, billed before its usage is told.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use serde_json::Value;
use tokio::time::interval;

use super::ledger::{Account, Usage};

/// Streams events, each with whether it is waited for, and those at the end.
pub fn stream(
    events: Vec<(Value, bool)>,
    delay: Duration,
    usage: Usage,
    mut account: Account,
    last: Vec<Value>,
) -> Response {
    let beat = (delay > Duration::ZERO).then(|| interval(delay));
    let begun = unfold((events.into_iter(), beat), |(mut events, mut beat)| async move {
        let (event, is_slow) = events.next()?;
        if let Some(beat) = beat.as_mut().filter(|_| is_slow) {
            beat.tick().await;
        }
        Some((Ok::<_, Infallible>(line(&event)), (events, beat)))
    });
    let last = futures_util::stream::once(async move {
        account.charge(usage);
        Ok(Bytes::from(last.iter().map(line).collect::<Vec<Bytes>>().concat()))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(begun.chain(last))).into_response()
}

fn line(event: &Value) -> Bytes {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()).into()
}
