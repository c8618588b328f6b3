//! What the channels that speak HTTP have in common: one client's settings, and what an answer means.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{ClientBuilder, Response, StatusCode};

use crate::hub::notice::AttemptOutcome;
use hal_base::cause::chain;
use hal_base::clock;

/// An answer takes no longer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of an answer that are read: more says nothing to us.
const MOST_BODY: usize = 64 * 1024;

/// Characters of an answer that a reason quotes.
const QUOTED: usize = 200;

/// A client that goes straight to where it is told, and nowhere else.
pub fn client() -> ClientBuilder {
    reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("hal-supervisor/", env!("CARGO_PKG_VERSION")))
}

/// An error without the address, which may hold a key.
pub fn short(error: &reqwest::Error) -> String {
    let text = chain(error);
    match error.url() {
        Some(url) => text.replace(url.as_str(), "the address"),
        None => text,
    }
}

/// What an answer means: 2xx is delivered; what may pass is tried again; all else is refused.
pub async fn outcome(
    sent: reqwest::Result<Response>,
    reference: impl FnOnce(&str) -> String,
) -> AttemptOutcome {
    let response = match sent {
        Ok(response) => response,
        Err(error) => return AttemptOutcome::Later { after: None, why: short(&error.without_url()) },
    };
    let (status, after) = (response.status(), retry_after(response.headers()));
    let body = start_of(response).await;
    if status.is_success() {
        return AttemptOutcome::Delivered { reference: reference(&body) };
    }
    let quoted: String = body.chars().filter(|c| !c.is_control()).take(QUOTED).collect();
    let why = if quoted.is_empty() {
        format!("it answered {status}")
    } else {
        format!("it answered {status}: {quoted}")
    };
    let may_pass = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if may_pass { AttemptOutcome::Later { after, why } } else { AttemptOutcome::Refused { why } }
}

/// How long the far side asks us to wait, in seconds or until a time.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?;
    let wait = until.timestamp().as_millisecond() - clock::now().0;
    u64::try_from(wait).ok().map(Duration::from_millis)
}

async fn start_of(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
        if body.len() >= MOST_BODY {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}
