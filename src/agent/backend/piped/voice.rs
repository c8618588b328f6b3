//! Speaks to the session manager, for a session and its helpers.

use crate::backend::{BackendEvent, Report, Reports};
use hal_base::clock;
use hal_protocol::event::kind::Kind;
use hal_protocol::event::part::{Content, MessagePart, Words};
use hal_protocol::event::what::{Delta, MessageTold, Role, What};
use hal_protocol::event::write;
use hal_protocol::session::SessionId;

/// Speaks for sessions of one directory.
#[derive(Clone, Debug)]
pub struct Voice {
    reports: Reports,
    directory: String,
}

impl Voice {
    /// Of this directory, as it is configured.
    pub fn new(reports: Reports, directory: &str) -> Self {
        Self { reports, directory: directory.to_owned() }
    }

    /// Where the sessions work.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// Reports an event; waits while the session manager is busy storing.
    pub async fn say(&self, session: &SessionId, what: &What) {
        self.say_marked(session, what, None).await;
    }

    async fn say_marked(&self, session: &SessionId, what: &What, mark: Option<u64>) {
        let event = BackendEvent {
            id: None,
            kind: what.kind().map_or("", Kind::as_str).to_owned(),
            session_id: Some(session.clone()),
            directory: Some(self.directory.clone()),
            occurred_at: clock::now(),
            data: write::of_session(what, session),
            mark,
        };
        // The session manager is gone only when the agent ends; then nothing is to be kept.
        let _ended = self.reports.send(Report::Event(event)).await;
    }

    /// Reports what a person, or who speaks for one, has said.
    pub async fn heard(&self, session: &SessionId, message: &str, text: &str, mark: Option<u64>) {
        let told = MessageTold {
            id: message.to_owned(),
            role: Role::User,
            created: Some(clock::now()),
            ..MessageTold::default()
        };
        self.say_marked(session, &What::Message(Box::new(told)), mark).await;
        let words = Words { text: text.to_owned(), ..Words::default() };
        self.part(session, message, format!("{message}_0"), Content::Text(words)).await;
    }

    /// Reports a piece of a message.
    pub async fn part(&self, session: &SessionId, message: &str, id: String, content: Content) {
        let part = MessagePart { id, message_id: message.to_owned(), content };
        self.say(session, &What::Part(part)).await;
    }

    /// Shows words to whoever watches.
    pub async fn delta(&self, session: &SessionId, message: &str, part_id: String, text: String) {
        let told = What::Delta(Delta { part_id, message_id: message.to_owned(), text });
        let data = write::of_session(&told, session);
        let kind = Kind::PartDelta.as_str().to_owned();
        let _ended = self.reports.send(Report::Live { session_id: session.clone(), kind, data }).await;
    }
}
