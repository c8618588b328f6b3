//! What waits for an answer as the events have said it. An opencode that cannot list its requests has still sent each
//! of them with all that an answer needs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::words::AskInfo;
use hal_protocol::session::AskKind;

/// Requests remembered at most; more than can wait at the same time.
const MOST: usize = 4096;

/// Requests that wait. They go when they are answered, and with the turn that asked.
#[derive(Debug, Default)]
pub struct Asks(Mutex<HashMap<String, (AskKind, AskInfo)>>);

/// The names in an event that ends a request or a turn.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "requestID")]
    request: Option<String>,
    #[serde(rename = "sessionID")]
    session: Option<String>,
}

impl Asks {
    /// Takes note of an event.
    pub fn hear(&self, kind: &str, directory: Option<&str>, data: &RawValue) {
        match kind {
            "permission.asked" => self.add(AskKind::Permission, directory, data),
            "question.asked" => self.add(AskKind::Question, directory, data),
            "permission.replied" | "question.replied" | "question.rejected" => {
                if let Some(request) = named(data).and_then(|named| named.request) {
                    self.all().remove(&request);
                }
            }
            "session.idle" | "session.deleted" => {
                if let Some(session) = named(data).and_then(|named| named.session) {
                    self.all().retain(|_, (_, ask)| ask.session_id != session);
                }
            }
            _ => {}
        }
    }

    /// All of one kind.
    pub fn of(&self, kind: AskKind) -> Vec<AskInfo> {
        self.all().values().filter(|(other, _)| *other == kind).map(|(_, ask)| ask.clone()).collect()
    }

    /// Forgets all: another opencode knows nothing of them.
    pub fn clear(&self) {
        self.all().clear();
    }

    fn add(&self, kind: AskKind, directory: Option<&str>, data: &RawValue) {
        let Some(mut ask) = AskInfo::read(data) else { return };
        ask.directory = directory.map(str::to_owned);
        let mut all = self.all();
        if all.len() < MOST {
            all.insert(ask.id.clone(), (kind, ask));
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, (AskKind, AskInfo)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(data: &RawValue) -> Option<Named> {
    serde_json::from_str(data.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_protocol::event::raw;
    use serde_json::json;

    #[test]
    fn what_was_asked_waits_until_it_is_answered_or_its_turn_is_over() {
        let asks = Asks::default();
        let ids = |kind| {
            let mut ids: Vec<String> = asks.of(kind).into_iter().map(|ask| ask.id).collect();
            ids.sort();
            ids
        };
        for (id, session) in [("per_1", "ses_a"), ("per_2", "ses_a"), ("per_3", "ses_b")] {
            asks.hear("permission.asked", Some("/p"), &raw(&json!({"id": id, "sessionID": session})));
        }
        // What we read of it may be of another form; who asks and its name are enough.
        asks.hear(
            "question.asked",
            Some("/p"),
            &raw(&json!({"id": "que_1", "sessionID": "ses_a", "questions": 7})),
        );
        assert_eq!(ids(AskKind::Permission), ["per_1", "per_2", "per_3"]);
        assert_eq!(ids(AskKind::Question), ["que_1"]);
        asks.hear("permission.replied", None, &raw(&json!({"requestID": "per_1", "sessionID": "ses_a"})));
        assert_eq!(ids(AskKind::Permission), ["per_2", "per_3"]);
        asks.hear("session.idle", None, &raw(&json!({"sessionID": "ses_a"})));
        assert_eq!((ids(AskKind::Permission), ids(AskKind::Question)), (vec!["per_3".into()], vec![]));
    }
}
