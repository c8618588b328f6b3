//! An approval: one permission or question that a session waits with, from its first moment to its receipt.
//!
//! ```text
//!   waiting --> answered --> reached --> settled     the session moved on with the answer
//!    |  ^           |           |
//!    |  '- undelivered <--------'                    the answer did not arrive; it can be given again
//!    '-----> lapsed                                  the session does not wait any more: nobody here answered
//! ```

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::CommandId;
use super::node::{NodeId, ProjectName};
use super::session::{AskKind, SessionId};
use super::who::Who;
use hal_base::clock::Time;
use hal_base::text_id;

text_id! {
    /// The identity of an approval: the backend's name of the request, or `NAME@NODE` where that is taken.
    ApprovalId
}

/// Where an approval is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalState {
    /// Nobody has answered.
    #[default]
    Waiting,
    /// Somebody has; the answer was sent to the node.
    Answered,
    /// The node has the answer.
    Reached,
    /// The session moved on with it.
    Settled,
    /// The answer did not arrive, and the session is still waiting.
    Undelivered,
    /// The session no longer waits, and no answer from here caused it.
    Lapsed,
}

impl ApprovalState {
    /// Every state, in the order of declaration.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Answered, Self::Reached, Self::Settled, Self::Undelivered, Self::Lapsed];

    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Answered => "answered",
            Self::Reached => "reached",
            Self::Settled => "settled",
            Self::Undelivered => "undelivered",
            Self::Lapsed => "lapsed",
        }
    }

    /// The state of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// True while an answer is still wanted.
    pub fn wants_answer(self) -> bool {
        matches!(self, Self::Waiting | Self::Undelivered)
    }
}

/// An answer to a permission or a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "reply", rename_all = "lowercase", try_from = "Said")]
pub enum Reply {
    /// It may, this time.
    Once,
    /// It may, now and in the same case again.
    Always,
    /// It may not, or the question is not answered.
    Reject {
        /// A message to the session with it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    },
    /// The answer to each question.
    Answers {
        /// A list of chosen labels, or own words, for each question.
        answers: Vec<Vec<String>>,
    },
}

impl Reply {
    /// In a few words, for people.
    pub fn words(&self) -> String {
        match self {
            Self::Once => "allowed".to_owned(),
            Self::Always => "allowed always".to_owned(),
            Self::Reject { message } if message.is_empty() => "denied".to_owned(),
            Self::Reject { message } => format!("denied ({message})"),
            Self::Answers { answers } => {
                let each: Vec<String> = answers.iter().map(|chosen| chosen.join(", ")).collect();
                format!("answered {:?}", each.join(" / "))
            }
        }
    }

    /// True when it decides the same: what is said beside a denial changes nothing.
    pub fn is_same(&self, other: &Self) -> bool {
        self == other || matches!((self, other), (Self::Reject { .. }, Self::Reject { .. }))
    }
}

/// An answer that somebody gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Given {
    /// The answer.
    #[serde(flatten)]
    pub reply: Reply,
    /// The name of the person who answered.
    pub by: String,
    /// By which way: `halctl`, `api`, `discord`, `slack`, `time limit`.
    pub over: String,
    /// The same with all that is known of it; absent: an earlier release has stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// When it happened (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// The command that carries it to the node.
    #[schema(value_type = String)]
    pub command_id: CommandId,
    /// True when that command has ended.
    #[serde(default)]
    pub has_ended: bool,
}

/// What is written on a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The session asked.
    Asked,
    /// Somebody was told.
    Seen,
    /// Nobody is notified of it for a while.
    Snoozed,
    /// Somebody answered.
    Answered,
    /// The node took the answer.
    Reached,
    /// The answer did not arrive.
    Undelivered,
    /// The session does not wait any more.
    MovedOn,
}

impl Stage {
    /// The words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Seen => "seen",
            Self::Snoozed => "snoozed",
            Self::Answered => "answered",
            Self::Reached => "reached the node",
            Self::Undelivered => "did not arrive",
            Self::MovedOn => "the session moved on",
        }
    }
}

/// One line of a receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Step)]
pub struct ReceiptLine {
    /// What happened at this step.
    pub stage: Stage,
    /// When it happened (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who, or where; empty when it goes without saying.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Where it came from: `halctl`, `api`, `discord`, `slack`, `time limit`; empty: from the session itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub over: String,
    /// The same with all that is known of it; absent: a session or a node did it, or an earlier release has stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<Who>,
    /// More about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A permission or a question that a session waits for, or has waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Approval {
    /// The approval's id: the backend's id of the request, or `ID@NODE` where that is taken.
    #[schema(value_type = String)]
    pub id: ApprovalId,
    /// A permission or a question.
    pub kind: AskKind,
    /// Where it is in its life.
    pub state: ApprovalState,
    /// Which session waits.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// The node that the session runs on.
    #[schema(value_type = String)]
    pub node_id: NodeId,
    /// The project that the session works in.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// The folder it works in.
    pub directory: String,
    /// The backend's name of the request.
    pub request_id: String,
    /// The tool or permission concerned, for example `bash`.
    pub about: String,
    /// What is asked: the command, the file, the question.
    pub what: String,
    /// When the session asked.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub asked_at: Time,
    /// When the time limit is over; unknown: there is none.
    #[serde(with = "super::api::rfc3339", default, skip_serializing_if = "is_never")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Time,
    /// Until when nobody is notified again; unknown: it is not snoozed.
    #[serde(with = "super::api::rfc3339", default, skip_serializing_if = "is_never")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub snoozed_until: Time,
    /// The answer that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Given>,
    /// What became of it, in the order of time.
    pub receipt: Vec<ReceiptLine>,
}

/// True for the time that means: never.
fn is_never(at: &Time) -> bool {
    *at == Time::default()
}

impl Approval {
    /// True while something may still become of it.
    pub fn is_open(&self) -> bool {
        match self.state {
            ApprovalState::Lapsed => false,
            ApprovalState::Settled => self.answer.as_ref().is_some_and(|answer| !answer.has_ended),
            _ => true,
        }
    }
}

/// One question and what may be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Question {
    /// The question, as the coding agent asked it.
    pub question: String,
    /// What may be chosen; free text is possible, too.
    pub options: Vec<Choice>,
}

/// What may be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Choice {
    /// The word that is answered.
    pub label: String,
    /// What it means.
    pub description: String,
}

/// An approval as `halctl approvals` and the API show it: with what its session has said, as far as that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalView {
    /// The approval; what is asked is whole here.
    #[serde(flatten)]
    pub approval: Approval,
    /// The session's last reasoning before it asked, or else its last words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// The questions, each with what may be chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// True when the event that asked is not among those that are stored: `what` may be the beginning of it only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
}

/// The word of a reply. It is read as a word alone: an enum that is told by its tag would take a number for its place in
/// the list, and 0 would allow.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReplyWord {
    Once,
    Always,
    Reject,
    Answers,
}

/// A reply as it is written.
#[derive(Deserialize)]
struct Said {
    reply: ReplyWord,
    message: Option<String>,
    answers: Option<Vec<Vec<String>>>,
}

impl TryFrom<Said> for Reply {
    type Error = &'static str;

    fn try_from(said: Said) -> Result<Self, Self::Error> {
        Ok(match said.reply {
            ReplyWord::Once => Self::Once,
            ReplyWord::Always => Self::Always,
            ReplyWord::Reject => Self::Reject { message: said.message.unwrap_or_default() },
            ReplyWord::Answers => {
                let missing = "answers is missing: expected a list of chosen labels for each question";
                Self::Answers { answers: said.answers.ok_or(missing)? }
            }
        })
    }
}

/// The body of an answer as it is written.
#[derive(Deserialize)]
struct SaidAnswer {
    reply: ReplyWord,
    message: Option<String>,
    answers: Option<Vec<Vec<String>>>,
    timeout: Option<u64>,
}

impl TryFrom<SaidAnswer> for AnswerRequest {
    type Error = &'static str;

    fn try_from(said: SaidAnswer) -> Result<Self, Self::Error> {
        let SaidAnswer { reply, message, answers, timeout } = said;
        if message.is_some() && !matches!(reply, ReplyWord::Reject) {
            return Err("message is allowed with the reply reject only");
        }
        if answers.is_some() && !matches!(reply, ReplyWord::Answers) {
            return Err("answers is allowed with the reply answers only");
        }
        Ok(Self { reply: Said { reply, message, answers }.try_into()?, timeout })
    }
}

/// The body of `POST /api/v1/approvals/{id}/answer`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "SaidAnswer")]
pub struct AnswerRequest {
    /// The answer.
    #[serde(flatten)]
    pub reply: Reply,
    /// Seconds to wait for the node's confirmation; default 30, at most 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

/// The body of `POST /api/v1/approvals/{id}/snooze`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SnoozeRequest {
    /// For how many seconds nobody is notified of it; 0: notify now.
    pub seconds: u64,
}

/// The body of `POST /api/v1/approvals/seen`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SeenRequest {
    /// Approvals that somebody really had before their eyes, at most 100.
    pub ids: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SeenAnswer {
    /// How many of them are known.
    pub known: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_reply_is_a_word_and_never_its_place_in_the_list() {
        let body = |body: Value| serde_json::from_value::<AnswerRequest>(body).map(|read| read.reply);
        for place in
            [json!(0), json!(1), json!(2), json!(3), json!(0.0), json!(true), json!(null), json!("0")]
        {
            assert!(body(json!({"reply": place})).is_err(), "{place}");
            let given = json!({"reply": place, "by": "ada", "over": "api", "at": "2026-11-26T00:00:00Z",
                "command_id": "c"});
            assert!(serde_json::from_value::<Given>(given).is_err(), "{place}");
        }
        assert_eq!(body(json!({"reply": "once"})).unwrap(), Reply::Once);
        assert_eq!(body(json!({"reply": "reject"})).unwrap(), Reply::Reject { message: String::new() });
        let answers = vec![vec!["Yes".to_owned()]];
        assert_eq!(
            body(json!({"reply": "answers", "answers": [["Yes"]]})).unwrap(),
            Reply::Answers { answers }
        );
        assert!(body(json!({"reply": "answers"})).unwrap_err().to_string().contains("answers is missing"));
        assert!(
            body(json!({"reply": "once", "message": "but"})).unwrap_err().to_string().contains("reject only")
        );
    }

    #[test]
    fn what_is_written_of_an_answer_is_read_again() {
        let reject = || Reply::Reject { message: "no".to_owned() };
        let chosen = || Reply::Answers { answers: vec![vec!["a".to_owned()], Vec::new()] };
        for reply in [Reply::Once, Reply::Always, reject(), chosen()] {
            let given = Given {
                reply: reply.clone(),
                by: "ada".into(),
                over: "api".into(),
                who: Some(Who::in_chat("ada", "discord", "813")),
                at: Time(1_795_450_273_000),
                command_id: "c".into(),
                has_ended: true,
            };
            let text = serde_json::to_string(&given).unwrap();
            assert_eq!(serde_json::from_str::<Given>(&text).unwrap(), given, "{text}");
            let text =
                serde_json::to_string(&AnswerRequest { reply: reply.clone(), timeout: Some(3) }).unwrap();
            assert_eq!(serde_json::from_str::<AnswerRequest>(&text).unwrap().reply, reply, "{text}");
        }
    }
}
