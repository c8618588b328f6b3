//! A recording of opencode's own stream, made beside the program: what its record is compared with.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use serde_json::Value;

/// What opencode's stream has said since the recording began.
#[derive(Clone, Default)]
pub struct Recording(Arc<Mutex<Vec<Value>>>);

impl Recording {
    /// Begins to record; returns when the stream speaks.
    pub async fn begin(port: u16, password: &str) -> Self {
        let out = Self::default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://127.0.0.1:{port}/global/event");
        let answer = client.get(url).basic_auth("opencode", Some(password)).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        let mut bytes = answer.bytes_stream();
        let lines = out.0.clone();
        let (tell, told) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let (mut pending, mut tell) = (String::new(), Some(tell));
            while let Some(Ok(chunk)) = bytes.next().await {
                pending.push_str(std::str::from_utf8(&chunk).unwrap());
                while let Some((event, rest)) = pending.split_once("\n\n") {
                    let event = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
                    lines.lock().unwrap().push(event);
                    pending = rest.to_owned();
                    tell.take().map(|tell| tell.send(()));
                }
            }
        });
        told.await.unwrap();
        out
    }

    /// Identities of the events that are to be kept, written down here once more and apart from the program's rule.
    pub fn durable(&self) -> BTreeSet<String> {
        let events = self.0.lock().unwrap();
        let kept = events.iter().map(|event| &event["payload"]).filter(|payload| {
            let kind = payload["type"].as_str().unwrap();
            let state = &payload["properties"]["part"]["state"];
            let grows = state["status"] == "running"
                && state["metadata"]["output"].as_str().is_some_and(|it| !it.is_empty());
            let family = ["session.", "message.", "permission.", "question.", "todo."];
            kind == "file.edited"
                || (family.iter().any(|one| kind.starts_with(one)) && kind != "message.part.delta" && !grows)
        });
        kept.map(|payload| payload["id"].as_str().unwrap().to_owned()).collect()
    }
}
