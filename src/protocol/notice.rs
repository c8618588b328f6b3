//! A notice: what is to be told people, through a channel such as e-mail, and how far it has come.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::alert::Severity;
use hal_base::clock::Time;

/// What a notification is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoticeKind {
    /// An alert was raised, or has grown worse.
    #[default]
    Raised,
    /// An alert was acknowledged.
    Acknowledged,
    /// An alert is over.
    Resolved,
    /// A session asks for a permission or an answer.
    Asked,
    /// It has its answer, or does not wait any more.
    Answered,
    /// What happened over a time.
    Digest,
    /// A test of the channel.
    Test,
}

impl NoticeKind {
    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Asked => "asked",
            Self::Answered => "answered",
            Self::Digest => "digest",
            Self::Test => "test",
        }
    }

    /// True for what begins something that a later notice may end.
    pub fn is_first(self) -> bool {
        matches!(self, Self::Raised | Self::Asked)
    }
}

/// A notification for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Notice {
    /// Its identity: the same however often it is sent, so that the far side can tell a repetition.
    pub id: String,
    /// What it is about.
    pub kind: NoticeKind,
    /// The name of the alert, or of what else it is, such as `node.offline` or `session.waiting`.
    pub name: String,
    /// How much it matters.
    pub severity: Severity,
    /// A title of a few words, for a subject or a heading.
    pub title: String,
    /// A sentence or more.
    pub text: String,
    /// What the alert is about; empty: the supervisor itself.
    pub about: String,
    /// The node concerned; empty: none.
    pub node: String,
    /// The session concerned; empty: none.
    pub session: String,
    /// The project concerned; empty: none.
    pub project: String,
    /// The same for all notices about one alert or one question: what belongs together at the far side.
    pub subject: String,
    /// The number of the alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<u64>,
    /// The identity of the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Who has acknowledged or answered; empty: nobody.
    pub by: String,
    /// How many of the same name it stands for.
    pub count: u64,
    /// When it came to be.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

/// How far a notice has come on its way to one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoticeState {
    /// It is sent as soon as it may.
    #[default]
    Waiting,
    /// It was not delivered, and is no longer retried.
    Undelivered,
}

/// One of the things that a notice stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = Part)]
pub struct NoticePart {
    /// What belongs together at the far side.
    pub subject: String,
    /// The number of the alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<u64>,
    /// What the alert is about.
    pub about: String,
    /// A title of a few words, for a subject or a heading.
    pub title: String,
    /// One sentence for people.
    pub text: String,
}

/// A notice in the queue of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Queued {
    /// Its place: lower ones are sent first.
    pub no: u64,
    /// The channel's name.
    pub channel: String,
    /// The notification itself.
    pub notice: Notice,
    /// How far it is.
    pub state: NoticeState,
    /// What it stands for when it is more than one thing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<NoticePart>,
    /// Not before this, such as the end of the quiet hours.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub not_before: Time,
    /// Why it waits, or was not delivered; empty: it was not tried yet.
    pub why: String,
    /// How often it was tried.
    pub tries: u32,
}

impl Queued {
    /// The subjects of all it stands for.
    pub fn subjects(&self) -> Vec<&str> {
        match self.parts.as_slice() {
            [] => vec![&self.notice.subject],
            parts => parts.iter().map(|part| part.subject.as_str()).collect(),
        }
    }

    /// True when it stands for this, among others.
    pub fn is_about(&self, subject: &str) -> bool {
        self.subjects().contains(&subject)
    }
}
