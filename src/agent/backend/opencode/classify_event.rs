//! Classifies the events of opencode's stream. The rule is a pure function of the event, so that a recording of
//! the stream can be compared with the record:
//!
//! | type | |
//! |---|---|
//! | `message.part.delta` | live |
//! | `message.part.updated` of a tool in state `running` that has output | live |
//! | `session.next.*` | dropped: opencode's preview of another protocol, of sessions nobody can make here |
//! | other `session.*`, `message.*`, `permission.*`, `question.*`, `todo.*`, and `file.edited` | durable |
//! | all others, `sync` and `server.*` among them | dropped |
//!
//! A durable event keeps opencode's id, its type, and its `properties` as they are. Added are what opencode's words mean
//! in ours (`classify`), `outside` to an answer that nobody here gave, and to an assistant's `message.updated`
//! `info.contextLimit` where the model's is known.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use hal_base::clock::Time;
use hal_protocol::event::raw;
use hal_protocol::session::SessionId;

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Kept.
    Durable,
    /// Forwarded while somebody looks.
    Live,
    /// Not of interest.
    Dropped,
}

/// A frame of `/global/event`.
#[derive(Debug, Deserialize)]
pub struct Frame {
    /// The directory concerned; absent or `global` when there is none.
    pub directory: Option<String>,
    /// The event itself, with its type and properties.
    pub payload: Payload,
}

/// An event on the stream.
#[derive(Debug, Deserialize)]
pub struct Payload {
    /// Its identity; sorts by time.
    #[serde(default)]
    pub id: String,
    /// The event's type, such as `session.idle`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The rest; absent in a `sync`.
    pub properties: Option<Box<RawValue>>,
    /// Only in a `sync`: the twin of an event that opencode has stored.
    #[serde(rename = "syncEvent")]
    pub twin: Option<Twin>,
}

/// What a `sync` says about the event with the same identity.
#[derive(Debug, Deserialize)]
pub struct Twin {
    /// The event's identity.
    pub id: String,
    /// Its number in its session's history.
    pub seq: u64,
    /// Id of the session.
    #[serde(rename = "aggregateID")]
    pub session_id: SessionId,
}

/// The rule.
pub fn classify(kind: &str, properties: &RawValue) -> Fate {
    match kind {
        "message.part.delta" => Fate::Live,
        "message.part.updated" if is_growing_output(properties) => Fate::Live,
        "file.edited" => Fate::Durable,
        _ if kind.starts_with("session.next.") => Fate::Dropped,
        _ => match kind.split_once('.') {
            Some(("session" | "message" | "permission" | "question" | "todo", _)) => Fate::Durable,
            _ => Fate::Dropped,
        },
    }
}

/// True for the types that opencode stores, and whose `sync` follows with the number.
pub fn has_twin(kind: &str) -> bool {
    matches!(
        kind,
        "session.created"
            | "session.updated"
            | "session.deleted"
            | "message.updated"
            | "message.removed"
            | "message.part.updated"
            | "message.part.removed"
    )
}

/// The session an event is about.
pub fn session_of(properties: &RawValue) -> Option<SessionId> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "sessionID")]
        session_id: Option<SessionId>,
    }
    serde_json::from_str::<Named>(properties.get()).ok()?.session_id
}

/// The type without the version that stored events carry: `message.updated.1` is `message.updated`.
pub fn plain_kind(stored: &str) -> &str {
    match stored.rsplit_once('.') {
        Some((kind, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => kind,
        _ => stored,
    }
}

/// Bits of an identity's number that count events within a millisecond.
const COUNTER_BITS: u32 = 12;

/// Bits of an identity's number that are milliseconds; the higher ones of the time are not in it.
const MILLIS_BITS: u32 = 36;

/// When an event happened: its identity begins with the time. `now` gives the part of the time that is not in it, and
/// is the answer for an identity of another kind.
pub fn time_of(id: &str, now: Time) -> Time {
    let digits = id.split_once('_').and_then(|(_, rest)| rest.get(..12));
    let Some(number) = digits.and_then(|digits| i64::from_str_radix(digits, 16).ok()) else { return now };
    let era = 1i64 << MILLIS_BITS;
    let low = number >> COUNTER_BITS;
    let at = now.0 - now.0.rem_euclid(era) + low;
    // The nearest moment with these low bits.
    let at = if at - now.0 > era / 2 { at - era } else { at };
    let at = if now.0 - at > era / 2 { at + era } else { at };
    Time(at)
}

/// The beginning of an identity made at `time`.
pub fn id_digits(time: Time) -> String {
    let number = (time.0.rem_euclid(1 << MILLIS_BITS)) << COUNTER_BITS;
    format!("{number:012x}")
}

/// The model of an assistant's message: who serves it and what it is called.
pub fn model_of(kind: &str, properties: &RawValue) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Properties {
        info: Info,
    }
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "providerID")]
        provider_id: String,
        #[serde(rename = "modelID")]
        model_id: String,
    }
    if kind != "message.updated" {
        return None;
    }
    let Properties { info } = serde_json::from_str(properties.get()).ok()?;
    Some((info.provider_id, info.model_id))
}

/// Adds what the model can hold to an assistant's message.
pub fn with_context_limit(properties: Box<RawValue>, limit: u64) -> Box<RawValue> {
    let Ok(mut value) = serde_json::from_str::<Value>(properties.get()) else { return properties };
    match value.get_mut("info").and_then(Value::as_object_mut) {
        Some(info) => info.insert("contextLimit".into(), limit.into()),
        None => return properties,
    };
    raw(&value)
}

/// True for a tool that runs and has said something: there is a new one for every few bytes, and the last holds all.
fn is_growing_output(properties: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Properties {
        part: Part,
    }
    #[derive(Deserialize)]
    struct Part {
        state: State,
    }
    #[derive(Deserialize)]
    struct State {
        status: String,
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        output: String,
    }
    serde_json::from_str::<Properties>(properties.get()).is_ok_and(|Properties { part: Part { state } }| {
        state.status == "running" && !state.metadata.output.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fate_of(kind: &str, properties: Value) -> Fate {
        classify(kind, &raw(&properties))
    }

    #[test]
    fn what_a_session_does_is_kept_and_noise_is_not() {
        for kind in [
            "session.idle",
            "session.status",
            "message.updated",
            "permission.asked",
            "question.rejected",
            "todo.updated",
            "file.edited",
            "session.diff",
            "message.part.removed",
        ] {
            assert_eq!(fate_of(kind, json!({})), Fate::Durable, "{kind}");
        }
        for kind in [
            "sync",
            "server.heartbeat",
            "plugin.added",
            "catalog.updated",
            "file.watcher.updated",
            "session.next.text.delta",
            "models-dev.refreshed",
            "global.disposed",
        ] {
            assert_eq!(fate_of(kind, json!({})), Fate::Dropped, "{kind}");
        }
        assert_eq!(fate_of("message.part.delta", json!({})), Fate::Live);
    }

    #[test]
    fn output_that_grows_is_live_and_its_beginning_and_end_are_kept() {
        let tool = |status: &str, output: Option<&str>| {
            let metadata = output.map_or_else(|| json!({}), |output| json!({"output": output}));
            json!({"part": {"type": "tool", "state": {"status": status, "metadata": metadata}}})
        };
        let kind = "message.part.updated";
        assert_eq!(fate_of(kind, tool("pending", None)), Fate::Durable);
        assert_eq!(fate_of(kind, tool("running", None)), Fate::Durable);
        assert_eq!(fate_of(kind, tool("running", Some(""))), Fate::Durable);
        assert_eq!(fate_of(kind, tool("running", Some("hi"))), Fate::Live);
        assert_eq!(fate_of(kind, tool("completed", Some("hi"))), Fate::Durable);
    }

    #[test]
    fn an_identity_tells_its_time() {
        let made = Time(1_795_450_273_229);
        assert_eq!(time_of("evt_2092cfdcd001RpUHt4XB1Z4Mdm", made), made);
        for now in [made, Time(made.0 + 86_400_000), Time(made.0 - 5)] {
            assert_eq!(time_of(&format!("evt_{}abc", id_digits(made)), now), made);
        }
        assert_eq!(time_of("something", made), made);
    }

    #[test]
    fn stored_types_lose_their_version() {
        assert_eq!(plain_kind("message.part.updated.1"), "message.part.updated");
        assert_eq!(plain_kind("session.idle"), "session.idle");
    }

    #[test]
    fn the_limit_is_added_beside_what_was_there() {
        let properties =
            raw(&json!({"sessionID": "s", "info": {"role": "assistant", "providerID": "p", "modelID": "m"}}));
        assert_eq!(model_of("message.updated", &properties), Some(("p".into(), "m".into())));
        let with = with_context_limit(properties, 1000);
        assert!(with.get().contains(r#""contextLimit":1000"#) && with.get().contains(r#""sessionID":"s""#));
    }
}
