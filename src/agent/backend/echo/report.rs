//! What the echo backend says, in the words of `protocol::event`.

use serde_json::json;
use serde_json::value::RawValue;

use super::{Message, Slot, mark_of};
use crate::backend::{BackendEvent, Report, Reports};
use hal_base::clock::Time;
use hal_base::{clock, id, sabotage};
use hal_protocol::event::kind::Kind;
use hal_protocol::event::part::{Content, MessagePart, Words};
use hal_protocol::event::what::{Delta, MessageTold, Role, SessionTold, What};
use hal_protocol::event::{raw, write};
use hal_protocol::session::{Model, SessionId};

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

    /// Reports a durable event; waits while the session manager is busy storing.
    pub(super) async fn tell(&self, event: BackendEvent) {
        if sabotage::DROP_WHEN_FULL && self.reports.capacity() == 0 {
            return;
        }
        // The session manager is gone only when the agent ends; then nothing is to be kept.
        let _ended = self.reports.send(Report::Event(event)).await;
    }

    /// A durable event of this session.
    pub(super) fn event(&self, what: &What) -> BackendEvent {
        self.named(what.kind().map_or("", Kind::as_str), write::of_session(what, &self.id))
    }

    fn named(&self, kind: &str, data: Box<RawValue>) -> BackendEvent {
        BackendEvent {
            id: Some(Self::name("evt")),
            kind: kind.to_owned(),
            session_id: Some(self.id.clone()),
            directory: Some(self.directory.clone()),
            occurred_at: clock::now(),
            data,
            mark: None,
        }
    }

    pub(super) async fn say(&self, what: What) {
        self.tell(self.event(&what)).await;
    }

    /// An event of a type of echo's own, which means nothing to anybody.
    pub(super) async fn tick(&self, n: u64) {
        self.tell(self.named("echo.tick", raw(&json!({ "n": n })))).await;
    }

    /// Reports a person's message.
    pub(super) async fn heard(&self, message: &Message) {
        let said = MessageTold {
            id: message.id.clone(),
            role: Role::User,
            created: Some(clock::now()),
            ..MessageTold::default()
        };
        let mut user = self.event(&What::Message(Box::new(said)));
        user.mark = Some(mark_of(&message.command));
        self.tell(user).await;
        let text = Words { text: message.text.clone(), ..Words::default() };
        self.part(&message.id, &Self::name("prt"), Content::Text(text)).await;
    }

    /// Shows a growing text to whoever watches.
    pub(super) async fn delta(&self, message: &str, part: &str, delta: &str) {
        let (message_id, part_id, text) = (message.to_owned(), part.to_owned(), delta.to_owned());
        let data = write::of_session(&What::Delta(Delta { part_id, message_id, text }), &self.id);
        let kind = Kind::PartDelta.as_str().to_owned();
        let _ended = self.reports.send(Report::Live { session_id: self.id.clone(), kind, data }).await;
    }

    /// What is to be told of the session as a whole.
    pub(super) fn info(&self, slot: &Slot) -> SessionTold {
        SessionTold {
            id: Some(self.id.clone()),
            title: Some(slot.title.clone()),
            directory: Some(slot.directory.clone()),
            parent_id: None,
            cost: Some(dollars(slot.cost_micros)),
            tokens: Some(slot.tokens),
            model: Some(Model { provider: PROVIDER.to_owned(), id: MODEL.to_owned() }),
            created: Some(Time(slot.started_at)),
            is_repaired: false,
        }
    }

    pub(super) async fn part(&self, message: &str, part: &str, content: Content) {
        self.say(What::Part(MessagePart { id: part.to_owned(), message_id: message.to_owned(), content }))
            .await;
    }

    pub(super) async fn ended(&self, reason: &str) {
        self.say(What::Ended { reason: reason.to_owned() }).await;
    }
}

/// Millionths of a dollar as events say money.
pub(super) fn dollars(micros: u64) -> f64 {
    micros as f64 / 1e6
}
