//! An event: something a session, or the system, did.
//!
//! The vocabulary is opencode's where it has a word, with the same `data` shapes, because that is what people in
//! this field read already; every other backend is mapped to it. `tests/fixtures/events` holds one of each.
//!
//! | type | data (the part we rely on) |
//! |---|---|
//! | `session.created`, `session.updated` | `info: {id, title, directory, parentID?, cost, tokens{input,output,reasoning,cache{read,write}}, model?, time{created}}` |
//! | `session.deleted` | |
//! | `session.status` | `status: {type: busy \| idle \| retry, attempt?, message?, next? (ms)}` |
//! | `session.idle` | the turn is over |
//! | `session.error` | `error: {name, data: {message}}` |
//! | `session.compacted` | |
//! | `message.updated` | `info: {id, role: user \| assistant, parentID?, cost, tokens, modelID, providerID, error?, finish?, time{created, completed?}}` |
//! | `message.part.updated` | `part: {id, messageID, type: text \| reasoning \| tool \| step-finish \| ..}` |
//! | `permission.asked`, `permission.replied` | `id, permission, patterns, metadata` / `requestID, reply` |
//! | `question.asked`, `question.replied`, `question.rejected` | `id, questions` / `requestID, answers` |
//! | `todo.updated` | `todos: [{content, status}]` |
//!
//! Ours, from the agent: `session.ended {reason}`, `session.interrupted {reason}`, `backend.started`,
//! `backend.stopped {reason, output}`, `project.error {error}`, `project.ok`, `gap {from, to, reason}`,
//! `journal.blocked {reason, seconds}`, `agent.restarted {reason}`. From the supervisor: `node.online {address, epoch}`, `node.offline {reason}`,
//! `node.cloned {address, other, epoch}`, `node.removed {by, last_heard, sessions}`, `node.renamed {was, address}`,
//! `clock.jumped {by_ms}`, `gap {incarnation, from, to, count, reason}`,
//! `alert.raised {name, severity, text}`, `alert.resolved {name, text}`,
//! `notice.undelivered {channel, id, name, why}`; of sessions `session.paused {by}`,
//! `session.resumed {by}`, `session.handover {step: begun | over, continued_by?}`, `session.stood {commit, is_dirty,
//! message_id, by}`, `policy.decided {policy, act, situation, why, attempt, dry_run, facts}`, `policy.failed`,
//! `policy.exhausted`, `project.completed`, `project.ready`; and `halt.set {project, by}`, `halt.released`. An event that the agent wrote itself
//! because it found it missing carries `"repaired": true` in its data.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::node::{NodeId, ProjectName};
use super::session::SessionId;
use crate::base::clock::Time;

/// How deep data may be nested: what reads a page of events allows 128 levels for all of it.
const MOST_DEEP: u8 = 100;

/// Characters kept of data that nobody can read.
const MAX_UNREADABLE: usize = 64 * 1024;

/// A durable event as a node reports it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the node's journal: 1, 2, 3 .. without holes within an incarnation.
    pub seq: u64,
    /// Its identity: the backend's where it gives one.
    pub id: String,
    /// What happened; see the table above.
    #[serde(rename = "type")]
    pub kind: String,
    /// The session concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The project concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// When the node saw it, in Unix milliseconds by the node's clock.
    pub occurred_at: Time,
    /// The rest, as JSON text.
    pub data: Box<RawValue>,
}

/// A stored event, as `halctl events` and the API show it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its place in this supervisor's store: the order of all nodes' events.
    pub seq: u64,
    /// Its identity.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// The session concerned; empty when none is.
    #[serde(default)]
    pub session_id: String,
    /// Where it happened.
    #[schema(value_type = String)]
    pub node_id: NodeId,
    /// The project concerned; empty when none is.
    #[serde(default)]
    pub project: String,
    /// The rest.
    #[serde(deserialize_with = "read_data")]
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
    /// When this supervisor stored it (RFC 3339); never runs backwards.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Time,
    /// When it happened by the node's clock (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Time,
    /// Its number in the node's journal; 0 for the supervisor's own.
    #[serde(default)]
    pub node_seq: u64,
}

/// JSON text from anything that can be written as JSON.
///
/// # Panics
/// Never for the types of this program: they have text keys and no failing parts.
pub fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("our words are always writable as JSON")
}

/// Events whose data everybody can read.
pub fn readable(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        if let Err(why) = read_through(&event.data) {
            event.data = unreadable(&event.data, &why);
        }
    }
    events
}

/// Data as it is where everybody can read it, else `{unreadable, text}`: a number that no reader holds, half a letter or
/// a hundred brackets would make the whole page unreadable that the event is shown on, for as long as it is kept.
pub fn readable_data(data: Box<RawValue>) -> Box<RawValue> {
    match read_through(&data) {
        Ok(()) => data,
        Err(why) => unreadable(&data, &why),
    }
}

fn unreadable(data: &RawValue, why: &serde_json::Error) -> Box<RawValue> {
    let text: String = data.get().chars().take(MAX_UNREADABLE).collect();
    raw(&json!({"unreadable": why.to_string(), "text": text}))
}

fn read_data<'de, D: Deserializer<'de>>(input: D) -> Result<Box<RawValue>, D::Error> {
    Box::<RawValue>::deserialize(input).map(readable_data)
}

fn read_through(data: &RawValue) -> Result<(), serde_json::Error> {
    Depth(MOST_DEEP).deserialize(&mut serde_json::Deserializer::from_str(data.get()))
}

/// Reads a value as who keeps it would, and keeps nothing. So many levels may still come.
#[derive(Clone, Copy)]
struct Depth(u8);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl Depth {
    fn below<E: Error>(self) -> Result<Self, E> {
        let less = self.0.checked_sub(1).map(Self);
        less.ok_or_else(|| E::custom(format_args!("it is nested more than {MOST_DEEP} levels deep")))
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while list.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while map.next_key_seed(Depth(0))?.is_some() {
            map.next_value_seed(below)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_would_spoil_its_page_is_shown_as_text_and_all_other_as_it_is() {
        let deep = |levels| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let data = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        for text in [r#"{"a":[1,-2,3.5,null,true,"\u00e4\ud83d\ude00"]}"#, "7", &deep(100)] {
            assert_eq!(readable_data(data(text)).get(), text);
        }
        for (text, why) in [
            (r#"{"a":1e999}"#, "number out of range"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            (r#"{"\ud800":1}"#, "hex escape"),
            (&deep(101), "nested"),
            (&deep(100_000), "nested"),
        ] {
            let shown = readable_data(data(text));
            let value: serde_json::Value = serde_json::from_str(shown.get()).expect("everybody can read it");
            assert!(value["unreadable"].as_str().unwrap().contains(why), "{value}");
            assert!(text.starts_with(value["text"].as_str().unwrap()), "{value}");
        }
    }
}
