//! What the echo backend says, in the shapes of `protocol::event`.

use serde_json::{Value, json};

use super::{Message, Slot, mark_of};
use crate::agent::backend::{Happening, Heard, Reports};
use crate::base::{clock, id, sabotage};
use crate::protocol::event::raw;
use crate::protocol::session::{SessionId, Tokens};

/// The model that is said to answer.
pub(super) const MODEL: &str = "echo-1";
/// Who is said to serve it.
pub(super) const PROVIDER: &str = "echo";
/// Tokens that its context is said to hold.
pub(super) const CONTEXT_LIMIT: u64 = 200_000;

/// Speaks for one session.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    reports: Reports,
    id: SessionId,
    directory: String,
}

impl Voice {
    pub(super) fn new(reports: &Reports, id: &SessionId, directory: &str) -> Self {
        Self { reports: reports.clone(), id: id.clone(), directory: directory.to_owned() }
    }

    /// A fresh name such as `msg_..`, sorted by time.
    pub(super) fn name(prefix: &str) -> String {
        format!("{prefix}_{}", id::fresh().replace('-', ""))
    }

    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    /// Reports a durable event; waits while the desk is busy storing.
    pub(super) async fn tell(&self, happening: Happening) {
        if sabotage::DROP_WHEN_FULL && self.reports.capacity() == 0 {
            return;
        }
        // The desk is gone only when the agent ends; then nothing is to be kept.
        let _ended = self.reports.send(Heard::Event(happening)).await;
    }

    /// A durable event of this session. `data` gets the session's name.
    pub(super) fn event(&self, kind: &str, mut data: Value) -> Happening {
        data["sessionID"] = json!(self.id);
        Happening {
            id: Some(Self::name("evt")),
            kind: kind.to_owned(),
            session_id: Some(self.id.clone()),
            directory: Some(self.directory.clone()),
            occurred_at: clock::now(),
            data: raw(&data),
            mark: None,
        }
    }

    pub(super) async fn say(&self, kind: &str, data: Value) {
        self.tell(self.event(kind, data)).await;
    }

    /// Reports a person's message.
    pub(super) async fn heard(&self, message: &Message) {
        let info = json!({"id": message.id, "role": "user", "sessionID": self.id, "agent": "echo",
            "model": {"providerID": PROVIDER, "modelID": MODEL}, "time": {"created": clock::now().0}});
        let mut user = self.event("message.updated", json!({ "info": info }));
        user.mark = Some(mark_of(&message.command));
        self.tell(user).await;
        let text = json!({"type": "text", "text": message.text});
        self.part(&message.id, &Self::name("prt"), text).await;
    }

    /// Shows a growing text to whoever watches.
    pub(super) async fn delta(&self, message: &str, part: &str, delta: &str) {
        let data = json!({"sessionID": self.id, "messageID": message, "partID": part, "field": "text",
            "delta": delta});
        let live =
            Heard::Live { session_id: self.id.clone(), kind: "message.part.delta".into(), data: raw(&data) };
        let _ended = self.reports.send(live).await;
    }

    pub(super) fn info(&self, kind: &str, slot: &Slot) -> Happening {
        self.event(
            kind,
            json!({"info": {
                "id": self.id, "title": slot.title, "directory": slot.directory, "version": "echo",
                "cost": dollars(slot.cost_micros), "tokens": tokens(&slot.tokens),
                "model": {"id": MODEL, "providerID": PROVIDER},
                "time": {"created": slot.started_at, "updated": clock::now().0},
            }}),
        )
    }

    pub(super) async fn part(&self, message: &str, part: &str, mut body: Value) {
        body["id"] = json!(part);
        body["messageID"] = json!(message);
        body["sessionID"] = json!(self.id);
        self.say("message.part.updated", json!({"part": body, "time": clock::now().0})).await;
    }

    pub(super) async fn status(&self, word: &str) {
        self.say("session.status", json!({"status": {"type": word}})).await;
    }

    pub(super) async fn error(&self, name: &str, message: &str) {
        self.say("session.error", json!({"error": {"name": name, "data": {"message": message}}})).await;
    }

    pub(super) async fn ended(&self, reason: &str) {
        self.say("session.ended", json!({ "reason": reason })).await;
    }
}

/// Millionths of a dollar as the vocabulary says money.
pub(super) fn dollars(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// Tokens as the vocabulary says them.
pub(super) fn tokens(tokens: &Tokens) -> Value {
    json!({"input": tokens.input, "output": tokens.output, "reasoning": tokens.reasoning,
        "cache": {"read": tokens.cache_read, "write": tokens.cache_write}})
}
