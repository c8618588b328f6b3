//! Events that were missed while the stream was down. opencode stores the events of sessions and messages, numbered
//! by session, and gives them again with the identities they had; the rest is made good by the snapshot.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::classify_event::{Fate, classify, plain_kind};
use super::client::{Call, Client};
use super::tracker::Tracker;
use super::words::{SessionInfo, StoredEvent};
use super::{Directories, classify_event};
use crate::backend::BackendError;
use hal_base::clock::Time;
use hal_protocol::session::SessionId;

/// Sessions that one question can name: opencode makes one expression of them, and its database takes no deeper one
/// than a thousand. A session that is not named is given whole, so they must all be named.
const NAMED_MAX: usize = 950;

/// A number beyond all others: nothing of this session is wanted.
const NOTHING: u64 = (1 << 53) - 1;

/// Sessions asked for to find out which to name; more than can be named.
const LIST_MAX: usize = NAMED_MAX + 1;

/// A session's times are written a little after its events are made.
const SLACK_MS: i64 = 60_000;

/// A missed event.
#[derive(Debug)]
pub struct Missed {
    /// The event as opencode stored it.
    pub event: StoredEvent,
    /// The real path of its session's directory.
    pub directory: Option<String>,
}

/// The stored events that were not reported yet, oldest first; live ones are left out. `now` is the present.
pub async fn missed(
    client: &Client,
    directories: &Directories,
    tracker: &Tracker,
    now: Time,
) -> Result<Vec<Missed>, BackendError> {
    if tracker.marks.is_empty() && tracker.last_id.is_empty() {
        return Ok(Vec::new());
    }
    let sessions = all_sessions(client).await?;
    let since =
        if tracker.last_id.is_empty() { None } else { Some(classify_event::time_of(&tracker.last_id, now)) };
    let wanted = wanted(&sessions, &directories.existing(), tracker, since);
    let is_news = |event: &StoredEvent| match tracker.marks.get(event.aggregate_id.as_str()) {
        Some(mark) => event.seq > *mark,
        None => event.id.as_str() > tracker.last_id.as_str(),
    };
    stored(client, &sessions, wanted, is_news).await
}

/// What another opencode has stored of these sessions and was not reported yet, oldest first.
pub async fn unheard(
    client: &Client,
    tracker: &Tracker,
    of: &BTreeSet<SessionId>,
    now: Time,
) -> Result<Vec<Missed>, BackendError> {
    let sessions = all_sessions(client).await?;
    let mut wanted = Map::new();
    for info in &sessions {
        match (of.contains(info.id.as_str()), tracker.marks.get(info.id.as_str())) {
            (false, _) => drop(wanted.insert(info.id.clone(), NOTHING.into())),
            (true, Some(mark)) => drop(wanted.insert(info.id.clone(), (*mark).into())),
            (true, None) => {}
        }
    }
    let is_news = |event: &StoredEvent| {
        let id = event.aggregate_id.as_str();
        let is_new = match (tracker.marks.get(id), tracker.updated.get(id)) {
            (Some(mark), _) => event.seq > *mark,
            // A session that was there before our time: what it did then is not news.
            (None, Some(known)) => classify_event::time_of(&event.id, now).0 > *known,
            (None, None) => true,
        };
        is_new && of.contains(id)
    };
    stored(client, &sessions, wanted, is_news).await
}

async fn all_sessions(client: &Client) -> Result<Vec<SessionInfo>, BackendError> {
    let limit = LIST_MAX.to_string();
    let query = [("limit", limit.as_str()), ("archived", "true")];
    let listing = Call::new("/experimental/session", "listing all sessions").with(&query);
    let sessions: Vec<SessionInfo> = client.list(listing).await?;
    if sessions.len() >= LIST_MAX {
        return Err(BackendError::Refused(format!(
            "opencode holds more than {NAMED_MAX} sessions, too many to ask it for missed events; delete old ones"
        )));
    }
    Ok(sessions)
}

/// The stored events that are news, oldest first.
async fn stored(
    client: &Client,
    sessions: &[SessionInfo],
    wanted: Map<String, Value>,
    is_news: impl Fn(&StoredEvent) -> bool,
) -> Result<Vec<Missed>, BackendError> {
    let asking = Call::new("/sync/history", "asking for missed events");
    let mut events: Vec<StoredEvent> = client.post_for_list(asking, &Value::Object(wanted)).await?;
    // Identities sort by time; in the history of one session the numbers do too.
    events.sort_by(|one, other| one.id.cmp(&other.id).then(one.seq.cmp(&other.seq)));
    let place =
        |session: &str| sessions.iter().find(|info| info.id == session).map(|info| info.directory.clone());
    Ok(events
        .into_iter()
        .filter(is_news)
        .filter(|event| classify(plain_kind(&event.kind), &event.data) == Fate::Durable)
        .map(|event| Missed { directory: place(&event.aggregate_id), event })
        .collect())
}

/// The question: for each session the number after which its events are wanted. One that is left out comes whole: it
/// is new, or it was quiet since before the first event that was ever heard, and those that were not are sorted out.
fn wanted(
    sessions: &[SessionInfo],
    directories: &[String],
    tracker: &Tracker,
    since: Option<Time>,
) -> Map<String, Value> {
    let mut out = Map::new();
    for info in sessions {
        let ours = directories.contains(&info.directory);
        match tracker.marks.get(info.id.as_str()) {
            Some(mark) if ours => drop(out.insert(info.id.clone(), (*mark).into())),
            None if ours && since.is_some_and(|since| info.time.updated + SLACK_MS >= since.0) => {}
            _ => drop(out.insert(info.id.clone(), NOTHING.into())),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_new_is_asked_for() {
        let session = |id: &str, directory: &str, updated: i64| -> SessionInfo {
            serde_json::from_value(
                json!({"id": id, "directory": directory, "time": {"created": 1, "updated": updated}}),
            )
            .unwrap()
        };
        let sessions = [
            session("ses_known", "/p", 900_000),
            session("ses_new", "/p", 900_000),
            session("ses_old", "/p", 1),
            session("ses_foreign", "/elsewhere", 900_000),
        ];
        let mut tracker = Tracker::default();
        tracker.marks.insert("ses_known".into(), 7);
        let asked = wanted(&sessions, &["/p".into()], &tracker, Some(Time(800_000)));
        assert_eq!(Value::Object(asked), json!({"ses_known": 7, "ses_old": NOTHING, "ses_foreign": NOTHING}));
        let asked = wanted(&sessions, &["/p".into()], &tracker, None);
        assert_eq!(asked.get("ses_new"), Some(&json!(NOTHING)));
    }
}
