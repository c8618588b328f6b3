//! What is done with strange bytes, by the fuzzers without end and by the test binary a little each time. None of it
//! may panic, and what is said for each may not be broken.

#![allow(clippy::allow_attributes, dead_code, reason = "each target uses one of these")]

use std::path::Path;

use hal_o_swarm::base::clock::Time;
use hal_o_swarm::base::config::{Purpose, Source};
use hal_o_swarm::protocol::event::form;
use hal_o_swarm::protocol::frame::{FromAgent, ToAgent};
use hal_o_swarm::protocol::session::Session;
use hal_o_swarm::rules::session::{apply, repairs, status};
use hal_o_swarm::store::check::{TABLES, row_of};
use hal_o_swarm::{agent, supervisor};
use serde_json::value::RawValue;

const NOW: Time = Time(1_795_451_095_000);

/// The kinds of events that mean something to a session.
const KINDS: [&str; 17] = [
    "session.created",
    "session.updated",
    "session.status",
    "session.idle",
    "session.error",
    "session.interrupted",
    "session.compacted",
    "session.deleted",
    "session.ended",
    "message.updated",
    "permission.asked",
    "question.asked",
    "permission.replied",
    "question.replied",
    "question.rejected",
    "todo.updated",
    "message.part.updated",
];

/// What a session may weigh at most, in bytes of JSON: it is written with each of its events.
const MOST_OF_A_SESSION: usize = 2 * 1024 * 1024;

/// A frame is read or refused; one that was read says the same when it is written and read again.
pub fn frame(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok((_, frame)) = FromAgent::decode(text) {
        let again = frame.encode(NOW);
        let (_, frame) = FromAgent::decode(&again).unwrap_or_else(|broken| panic!("{broken}: {again}"));
        assert_eq!(frame.encode(NOW), again);
    }
    if let Ok(frame) = ToAgent::decode(text) {
        let again = frame.encode(NOW);
        let frame = ToAgent::decode(&again).unwrap_or_else(|broken| panic!("{broken}: {again}"));
        assert_eq!(frame.encode(NOW), again);
    }
}

/// A configuration is taken, or everything wrong with it is said in some words.
pub fn config(bytes: &[u8]) {
    let file = Source { path: Path::new("fuzz.json"), bytes, is_open_to_all: false };
    if let Err(report) = agent::config::parse(&file, Purpose::Run) {
        assert!(!report.text().is_empty());
    }
    if let Err(report) = supervisor::config::parse(&file, Purpose::Run) {
        assert!(!report.text().is_empty());
    }
}

/// Events add up to a session of bounded size, and a picture is told apart from it without end.
pub fn events(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut session = Session::new("s".into(), "n".into(), "p".into(), NOW);
    if let Ok((_, FromAgent::Events(batch))) = FromAgent::decode(text) {
        for event in &batch.events {
            apply(&mut session, &event.what(), event.occurred_at);
        }
    }
    // The same text as the data of an event, or several texts one after the other.
    for line in text.split('\n').take(64) {
        let Ok(data) = serde_json::from_str::<&RawValue>(line) else { continue };
        for kind in KINDS {
            apply(&mut session, &form::read(kind, data), NOW);
        }
    }
    let _ = status(&session);
    let weight = serde_json::to_string(&session).expect("a session is JSON").len();
    assert!(weight < MOST_OF_A_SESSION, "a session of {weight} bytes");
    let blank = Session::new("s".into(), "n".into(), "p".into(), NOW);
    let mut mended = blank.clone();
    for (kind, data) in repairs(Some(&blank), &session) {
        apply(&mut mended, &form::read(kind, &data), NOW);
    }
    if let Ok((_, FromAgent::Snapshot(snapshot))) = FromAgent::decode(text) {
        for seen in &snapshot.sessions {
            let _ = repairs(Some(&session), seen);
        }
    }
}

/// A row is read or called damaged, with a checksum that fits, so that what is behind it is reached.
pub fn rows(bytes: &[u8]) {
    for table in TABLES {
        let _ = row_of(table, 7, &sealed(table, bytes));
    }
}

/// The bytes as a row of a table at the key 7.
fn sealed(table: &str, bytes: &[u8]) -> Vec<u8> {
    let (version, body) = match bytes {
        [] => (1, bytes),
        // The old checksum of a stored row is left out.
        [version, _, _, _, _, body @ ..] => (*version, body),
        [version, body @ ..] => (*version, body),
    };
    let mut sum = crc32fast::Hasher::new();
    sum.update(format!("{table}\0{}\0", 7).as_bytes());
    sum.update(&[version]);
    sum.update(body);
    let mut row = vec![version];
    row.extend_from_slice(&sum.finalize().to_le_bytes());
    row.extend_from_slice(body);
    row
}
