//! Answers that nobody here gave. Whoever knows opencode's password can answer what it asks, and its own tools inherit
//! the password: one script that was allowed could allow everything that follows.
//!
//! An answer of ours is noted before it is sent. opencode answers more with it by itself: a `reject` all that the
//! session still asks, an `always` all that it covers; these follow at once, say the same, and are of what was asked
//! before. What a person answers in an opencode of their own is never heard of here: each opencode has its own
//! requests. Somebody who has attached to ours by its password cannot be told from a tool, and counts as one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::classify_event::time_of;
use super::client::{Call, Client};
use super::halt::family;
use super::snapshot;
use super::words::{SessionInfo, StatusInfo};
use crate::backend::BackendError;
use hal_base::clock::Time;
use hal_protocol::event::raw;
use hal_protocol::session::SessionId;

/// Answers of ours that opencode has not told of; more are forgotten, the oldest first.
const MOST: usize = 256;

/// How long after an answer of ours opencode gives those that follow from it.
const FOLLOWS_WITHIN_MS: i64 = 2_000;

/// How far up helpers of helpers are followed; further is a loop.
const MAX_DEPTH: usize = 16;

/// What was answered here and not told by opencode yet: the request and the reply.
#[derive(Debug, Default)]
pub struct Answers(Mutex<VecDeque<(String, String)>>);

impl Answers {
    /// About to be given.
    pub fn note(&self, request: &str, reply: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back((request.to_owned(), reply.to_owned()));
    }

    /// Was refused.
    pub fn forget(&self, request: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != request);
    }

    /// True when it was given here; it is told once.
    fn take(&self, request: &str, reply: &str) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().position(|(known, said)| known == request && said == reply);
        found.and_then(|at| all.remove(at)).is_some()
    }
}

/// An answer as opencode tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replied {
    /// The session that had asked.
    pub session_id: SessionId,
    /// The request.
    pub request_id: String,
    /// `once`, `always`, `reject`; `answered` or `rejected` for a question.
    pub reply: String,
}

/// Sees whose answers are told.
#[derive(Debug, Default)]
pub struct Witness {
    /// The last one of ours that others may follow from, and when it was told.
    last: Option<(Replied, Time)>,
}

impl Witness {
    /// The answer that an event tells of, if nobody here gave it.
    pub fn outside(&mut self, answers: &Answers, kind: &str, data: &RawValue, at: Time) -> Option<Replied> {
        let replied = replied(kind, data)?;
        if answers.take(&replied.request_id, &replied.reply) {
            self.last = Some((replied, at));
            return None;
        }
        let follows = self.last.as_ref().is_some_and(|(ours, when)| {
            let carries = matches!(ours.reply.as_str(), "always" | "reject") && kind == "permission.replied";
            let is_same = ours.session_id == replied.session_id && ours.reply == replied.reply;
            let was_asked_before = time_of(&replied.request_id, at) <= *when;
            carries && is_same && was_asked_before && (at.0 - when.0).abs() <= FOLLOWS_WITHIN_MS
        });
        (!follows).then_some(replied)
    }
}

fn replied(kind: &str, data: &RawValue) -> Option<Replied> {
    #[derive(Deserialize)]
    struct ReplyData {
        #[serde(rename = "sessionID")]
        session_id: SessionId,
        #[serde(rename = "requestID")]
        request_id: String,
        #[serde(default)]
        reply: String,
    }
    let word = match kind {
        "permission.replied" => None,
        "question.replied" => Some("answered"),
        "question.rejected" => Some("rejected"),
        _ => return None,
    };
    let ReplyData { session_id, request_id, reply } = serde_json::from_str(data.get()).ok()?;
    Some(Replied { session_id, request_id, reply: word.map_or(reply, str::to_owned) })
}

/// The event says that nobody here gave the answer.
pub fn marked(data: Box<RawValue>) -> Box<RawValue> {
    let Ok(mut value) = serde_json::from_str::<serde_json::Value>(data.get()) else { return data };
    match value.as_object_mut() {
        Some(fields) => fields.insert("outside".into(), true.into()),
        None => return data,
    };
    raw(&value)
}

/// The session that began the turn for which another one asks.
pub async fn root(client: &Client, session: &SessionId) -> Result<SessionInfo, BackendError> {
    let mut info = snapshot::find(client, session).await?;
    for _ in 0..MAX_DEPTH {
        let Some(parent) = info.parent_id.clone() else { break };
        info = snapshot::find(client, &SessionId::new(parent)).await?;
    }
    Ok(info)
}

/// Stops the turn of a session and of its helpers. An `always` is forgotten with the instance of the directory, unless
/// others work there: then it is said that it still holds.
pub async fn stop(client: &Client, root: &SessionInfo, replied: &Replied) -> Result<String, BackendError> {
    let path = format!("/session/{}/abort", root.id);
    let call = Call::new(&path, "stopping the turn after an answer from outside");
    client.tell(call, &json!({})).await?;
    if replied.reply != "always" {
        return Ok("its turn was stopped".into());
    }
    let call = Call::new("/session/status", "looking who else works there").about(&root.directory);
    let statuses: HashMap<String, StatusInfo> = client.get(call).await?;
    let own = family(client, root).await;
    if statuses.iter().any(|(id, status)| status.is_busy() && !own.contains(id)) {
        return Ok("its turn was stopped; what it was always allowed stays allowed in this directory until opencode \
                   is started again, as other sessions work there"
            .into());
    }
    let call = Call::new("/instance/dispose", "forgetting what was always allowed").about(&root.directory);
    client.tell(call, &json!({})).await?;
    Ok("its turn was stopped, and what it was always allowed is forgotten".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(request: &str, reply: &str) -> Box<RawValue> {
        raw(&json!({"sessionID": "ses_1", "requestID": request, "reply": reply}))
    }

    fn request(at: i64) -> String {
        format!("per_{}abc", super::super::classify_event::id_digits(Time(at)))
    }

    #[test]
    fn an_answer_that_was_not_given_here_is_noticed() {
        let (answers, mut witness) = (Answers::default(), Witness::default());
        let at = Time(1_795_450_273_229);
        let mut see = |answers: &Answers, kind: &str, request: &str, reply: &str| {
            witness.outside(answers, kind, &told(request, reply), at).map(|replied| replied.reply)
        };
        assert_eq!(see(&answers, "permission.replied", "per_1", "once").as_deref(), Some("once"));
        answers.note("per_2", "once");
        assert_eq!(see(&answers, "permission.replied", "per_2", "once"), None);
        assert!(see(&answers, "permission.replied", "per_2", "once").is_some(), "ours is told once");
        answers.note("per_3", "reject");
        assert!(
            see(&answers, "permission.replied", "per_3", "always").is_some(),
            "we have said another word"
        );
        answers.note("que_1", "answered");
        assert_eq!(see(&answers, "question.replied", "que_1", ""), None);
        assert_eq!(see(&answers, "question.rejected", "que_2", "").as_deref(), Some("rejected"));
        answers.note("per_4", "once");
        answers.forget("per_4");
        assert!(see(&answers, "permission.replied", "per_4", "once").is_some(), "it was not given after all");
        assert_eq!(see(&answers, "session.idle", "per_5", "once"), None);
    }

    #[test]
    fn what_opencode_answers_by_itself_with_ours_is_not_from_outside() {
        let (answers, mut witness) = (Answers::default(), Witness::default());
        let at = Time(1_795_450_273_229);
        let (first, second) = (request(at.0 - 500), request(at.0 - 400));
        let (later, other) = (request(at.0 + 100), request(at.0 - 300));
        answers.note(&first, "always");
        let mut see = |request: &str, reply: &str, at: i64| {
            witness.outside(&answers, "permission.replied", &told(request, reply), Time(at)).is_some()
        };
        assert!(!see(&first, "always", at.0) && !see(&second, "always", at.0 + 3));
        assert!(see(&other, "once", at.0 + 3), "another word");
        assert!(see(&later, "always", at.0 + 200), "asked only after ours");
        assert!(see(&other, "always", at.0 + 60_000), "long after ours");
    }

    #[test]
    fn the_event_says_so() {
        let data = marked(told("per_1", "always"));
        assert!(data.get().contains(r#""outside":true"#) && data.get().contains("per_1"));
    }
}
