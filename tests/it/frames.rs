//! The frames between agent and supervisor are what the files under `tests/fixtures/frames` say they are.

use serde_json::Value;

use hal_o_swarm::base::clock::Time;
use hal_o_swarm::protocol::frame::{Broken, FromAgent, Greeting, ToAgent};

use crate::fixture;

/// Frames that a supervisor sends; all others come from an agent.
const FROM_SUPERVISOR: [&str; 10] =
    ["welcome", "ack", "command", "cancel", "watch", "cover", "lease", "anchor", "challenge", "proved"];

/// Each type that this version speaks must have a file.
const OUR_TYPES: [&str; 20] = [
    "hello",
    "welcome",
    "events",
    "ack",
    "command",
    "cancel",
    "command_ack",
    "command_result",
    "heartbeat",
    "snapshot",
    "live",
    "watch",
    "cover",
    "lease_request",
    "lease",
    "greeting",
    "anchor",
    "challenge",
    "proof",
    "proved",
];

/// Reads a frame and writes it again at the same moment.
fn said_again(frame: &Value) -> Result<Value, Broken> {
    let text = frame.to_string();
    let at = Time(frame["timestamp"].as_i64().expect("a fixture has a time") * 1000);
    let kind = frame["type"].as_str().expect("a fixture has a type");
    let again = if FROM_SUPERVISOR.contains(&kind) {
        ToAgent::decode(&text)?.encode(at)
    } else {
        FromAgent::decode(&text)?.1.encode(at)
    };
    Ok(serde_json::from_str(&again).expect("we write JSON"))
}

#[test]
fn every_type_has_a_file() {
    let names: Vec<String> = fixture::all("frames").into_iter().map(|file| file.name).collect();
    for kind in OUR_TYPES {
        assert!(names.iter().any(|name| name == kind), "tests/fixtures/frames/{kind}.json is missing");
    }
}

#[test]
fn ours_are_read_and_written_without_loss() {
    let ours = |name: &str| !name.starts_with("predecessor_") && !name.starts_with("future_");
    for file in fixture::all("frames").iter().filter(|file| ours(&file.name)) {
        if file.name == "greeting" {
            let greeting: Greeting = serde_json::from_value(file.value.clone()).unwrap();
            assert_eq!(serde_json::to_value(greeting).unwrap(), file.value);
            continue;
        }
        assert_eq!(said_again(&file.value).as_ref(), Ok(&file.value), "{}", file.name);
    }
}

#[test]
fn those_of_the_past_and_the_future_are_understood_as_far_as_they_go() {
    let foreign = |name: &str| name.starts_with("predecessor_") || name.starts_with("future_");
    for file in fixture::all("frames").iter().filter(|file| foreign(&file.name)) {
        let again = said_again(&file.value).unwrap_or_else(|broken| panic!("{}: {broken}", file.name));
        assert_eq!(again["type"], file.value["type"], "{}", file.name);
        contradicts_nothing(&file.name, &again["payload"], &file.value["payload"]);
    }
}

/// What both say must be the same; what only one says is a default or a word we do not know.
fn contradicts_nothing(place: &str, again: &Value, said: &Value) {
    match (again, said) {
        (Value::Object(again), Value::Object(said)) => {
            for (key, value) in again {
                if let Some(said) = said.get(key) {
                    contradicts_nothing(&format!("{place}.{key}"), value, said);
                }
            }
        }
        (Value::Array(again), Value::Array(said)) if again.len() == said.len() => {
            for (at, (again, said)) in again.iter().zip(said).enumerate() {
                contradicts_nothing(&format!("{place}[{at}]"), again, said);
            }
        }
        // Types we do not know are kept by name only, and a payload of null is a payload of defaults.
        (Value::Null, _) | (Value::Object(_), Value::Null) => {}
        _ => assert_eq!(again, said, "{place}"),
    }
}

#[test]
fn unknown_types_are_kept_by_name() {
    for name in ["auth_state", "credential_sync", "register", "event", "hologram"] {
        let file = fixture::all("frames").into_iter().find(|file| file.value["type"] == name);
        let text = file.unwrap_or_else(|| panic!("no fixture of type {name}")).value.to_string();
        assert!(
            matches!(FromAgent::decode(&text), Ok((_, FromAgent::Other(kind))) if kind == name),
            "{name}"
        );
        assert!(matches!(ToAgent::decode(&text), Ok(ToAgent::Other(kind)) if kind == name), "{name}");
    }
}

#[test]
fn a_result_without_an_id_is_known_by_its_request() {
    let files = fixture::all("frames");
    let file = files.iter().find(|file| file.name == "predecessor_command_result_by_request").unwrap();
    let (request_id, frame) = FromAgent::decode(&file.value.to_string()).unwrap();
    let FromAgent::CommandResult(result) = frame else { panic!("read as {frame:?}") };
    assert_eq!(
        (request_id.as_str(), result.command_id, result.state),
        (file.value["request_id"].as_str().unwrap(), None, None)
    );
}

#[test]
fn broken_ones_are_refused_with_their_reason() {
    let files = fixture::all("frames/broken");
    assert!(files.len() > 10, "the broken frames are gone");
    for file in files {
        let text = match &file.value["text"] {
            Value::String(text) => text.clone(),
            _ => file.value["frame"].to_string(),
        };
        let refused = match file.value["from"].as_str() {
            Some("supervisor") => ToAgent::decode(&text).err(),
            _ => FromAgent::decode(&text).err(),
        };
        let refused = refused.unwrap_or_else(|| panic!("{} was accepted", file.name));
        assert_eq!(refused.label(), file.value["label"], "{}", file.name);
        // The column depends on how this test happens to order the keys.
        let reason = refused.to_string();
        let reason = reason.split(" at line ").next().unwrap();
        assert_eq!(reason, file.value["reason"].as_str().unwrap(), "{}", file.name);
    }
}
