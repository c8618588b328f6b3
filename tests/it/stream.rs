//! A reader of the live stream, as the dashboard is one.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

/// How long the stream may be silent when something is expected of it.
const SILENCE: Duration = Duration::from_secs(30);

/// Something the stream said.
pub struct Said {
    /// `verdict`, `event` or `live`.
    pub kind: String,
    /// Its place; empty where it has none.
    pub cursor: String,
    /// What it said.
    pub data: Value,
}

/// An open stream.
pub struct Stream {
    response: Response,
    text: String,
    ready: VecDeque<Said>,
}

impl Stream {
    /// Opens it.
    pub async fn open(url: &str, token: &str) -> Self {
        let request = reqwest::Client::new().get(url).bearer_auth(token);
        let response = request.send().await.unwrap_or_else(|e| panic!("{url}: {e:?}"));
        assert_eq!(response.status(), StatusCode::OK, "{url}");
        Self { response, text: String::new(), ready: VecDeque::new() }
    }

    /// The next thing it says. Cutting it loses nothing.
    pub async fn next(&mut self) -> Said {
        loop {
            if let Some(said) = self.ready.pop_front() {
                return said;
            }
            let chunk = timeout(SILENCE, self.response.chunk()).await.expect("the stream says something");
            let chunk = chunk.expect("the stream can be read").expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).expect("chunks end where events end"));
            let Some(end) = self.text.rfind("\n\n") else { continue };
            self.ready.extend(self.text[..end].split("\n\n").filter_map(said));
            self.text.drain(..end + 2);
        }
    }
}

/// Reads a block of lines; one without data is there to keep the connection alive.
fn said(block: &str) -> Option<Said> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
    let data = serde_json::from_str(field("data:")).ok()?;
    Some(Said { kind: field("event:").to_owned(), cursor: field("id:").to_owned(), data })
}
