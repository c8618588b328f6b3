//! What versions up to 0.1 made of events, and what this one makes of them: printed to the byte, folded, decided on.
//!
//! Of the files under `tests/fixtures/stored` the version of commit cd3cb78 has written what was `made`: of events in the
//! form that it stored, and of newer ones that a later agent has sent.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex};

use clap::Parser;

use super::Conversation;
use crate::cli::Cli;
use crate::print::Screen;
use hal_base::clock::Time;
use hal_protocol::event::EventView;
use hal_rules::policy::Name;
use hal_rules::policy::replay::Replay;
use hal_rules::policy::settings::{Act, Limits, Policies, Rule};
use hal_rules::route::facts::{EventFacts, RouteFacts};
use hal_rules::route::matcher::Matcher;

/// Events in the form of those versions, and what was made of them.
const FORMER: [&str; 2] = [
    include_str!("../../../../tests/fixtures/stored/former.jsonl"),
    include_str!("../../../../tests/fixtures/stored/former.made.txt"),
];

/// Events as agents have sent them since, and what a supervisor of those versions made of them.
const NEWER: [&str; 2] = [
    include_str!("../../../../tests/fixtures/stored/newer.jsonl"),
    include_str!("../../../../tests/fixtures/stored/newer.made.txt"),
];

/// Rules as people have them in their configurations.
const RULES: [&str; 6] = [
    r#"event.data.error.name == "APIError""#,
    r#"event.data.error.data.statusCode >= 429"#,
    r#"event.data.part.tool == "bash" && event.data.part.state.status == "error""#,
    r#"event.data.info.role == "assistant" && event.data.info.cost > 1.0"#,
    r#"event.data.status.type == "retry""#,
    "session.error",
];

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `events list` in the shapes that say no ages.
fn listed(events: &[EventView]) -> String {
    let mut out = String::new();
    for shape in ["json", "csv"] {
        let cli = Cli::try_parse_from(["halctl", "events", "list", "-o", shape]).unwrap();
        let paper = Paper::default();
        let mut screen = Screen::to(&cli.global, false, false, Box::new(paper.clone()), Box::new(io::sink()));
        screen.list(events, "No events.").unwrap();
        screen.flush().unwrap();
        writeln!(out, "== events list, {shape}").unwrap();
        out += std::str::from_utf8(&paper.0.lock().unwrap()).unwrap();
    }
    out
}

/// `sessions logs` of each session.
fn logs(events: &[EventView]) -> String {
    let mut sessions: BTreeMap<&str, String> = BTreeMap::new();
    for id in events.iter().map(|event| event.session_id.as_str()).filter(|id| !id.is_empty()) {
        sessions.entry(id).or_default();
    }
    let mut out = String::new();
    for id in sessions.keys() {
        let mut conversation = Conversation::new(true, false);
        writeln!(out, "== sessions logs {id}").unwrap();
        for event in events.iter().filter(|event| event.session_id.is_empty() || event.session_id == *id) {
            out += &conversation.hear(event);
        }
        out += &conversation.finish();
    }
    out
}

/// What the policies would have done, with the facts they would have seen.
fn decided(events: &[EventView]) -> String {
    let rule = |name: Name| {
        let on = Limits {
            idle_seconds: 60,
            total_seconds: 7_200,
            context_tokens: 90_000,
            compactions: 3,
            cost_micros: 2_000_000,
            ..Rule::of(name).limits
        };
        Rule { enabled: true, limits: on, act: Act::Abort, cooldown_seconds: 0, ..Rule::of(name) }
    };
    let policies = Policies { check_interval_seconds: 1, rules: Name::ALL.map(rule).to_vec() };
    let mut replay = Replay::new(&policies, HashMap::new());
    events.iter().for_each(|event| replay.take(event));
    let end = events.last().map_or(Time::default(), |event| Time(event.timestamp.0 + 3_600_000));
    let mut out = "== policies\n".to_owned();
    for would in replay.end(end) {
        writeln!(out, "{}", serde_json::to_string(&would).unwrap()).unwrap();
    }
    out
}

/// Which events each rule fits.
fn routed(events: &[EventView]) -> String {
    let mut out = String::new();
    for text in RULES {
        let rule = Matcher::parse(text).unwrap();
        let fits = |event: &&EventView| {
            let facts = EventFacts {
                kind: event.kind.clone(),
                session: event.session_id.clone(),
                node: event.node_id.to_string(),
                project: event.project.clone(),
                data: serde_json::from_str(event.data.get()).unwrap(),
            };
            rule.is_so(&RouteFacts { event: Some(facts), ..RouteFacts::default() }) == Ok(true)
        };
        let found: Vec<String> = events.iter().filter(fits).map(|event| event.seq.to_string()).collect();
        writeln!(out, "== route {text}\n{}", found.join(" ")).unwrap();
    }
    out
}

fn made_of(events: &str) -> String {
    let events: Vec<EventView> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    [listed(&events), logs(&events), decided(&events), routed(&events)].concat()
}

#[test]
fn events_are_printed_to_the_byte_and_decided_on_as_by_former_versions() {
    for [events, before] in [FORMER, NEWER] {
        let now = made_of(events);
        for (now, before) in now.lines().zip(before.lines()) {
            assert_eq!(now, before);
        }
        assert_eq!(now.len(), before.len());
    }
}
