//! The comparison after healing: what those outside were promised against what the API gives.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::ledger::Told;
use super::load::{BURST, PEER, PRICE, Spoken};
use super::report::Report;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// The node whose agent is a true one.
pub const NODE: &str = "web-1";

/// Waits until nothing is on its way any more: nodes online, journals told, commands ended, turns over.
pub fn settled(world: &World) {
    world.wait_for_node(NODE, "online");
    wait_until("every command has ended", PATIENCE * 2, || {
        let commands = world.pages("/api/v1/commands?limit=1000");
        let open = commands.iter().find(|one| !is_final(one));
        open.map_or(Ok(()), |open| Err(open.to_string()))
    });
    wait_until("every turn is over", PATIENCE * 2, || {
        let sessions = world.pages("/api/v1/sessions?limit=1000");
        let busy = sessions.iter().find(|one| !["idle", "error"].contains(&word(one, "status")));
        busy.map_or(Ok(()), |busy| Err(busy.to_string()))
    });
    wait_until("the journal is told to its end", PATIENCE, || {
        let journal = world.data(&format!("/api/v1/nodes/{NODE}"))["journal"].clone();
        let is_told = journal["missing"] == 0 && journal["held"] == journal["acknowledged"];
        if is_told { Ok(()) } else { Err(journal.to_string()) }
    });
}

/// Compares; what is wrong is added to the report.
pub fn compare(world: &World, told: &Told, spoken: &Spoken, agent_lived: bool, report: &mut Report) {
    let events = world.events(&format!("node_id={NODE}"));
    let commands = world.pages("/api/v1/commands?limit=1000");
    let sessions = world.pages("/api/v1/sessions?limit=1000");
    report.promised.0 += told.acknowledged + told.shown.len() as u64 + told.journaled.len() as u64;
    report.promised.1 += told.commands.len() as u64;
    report.lost.extend(spoken.forgotten.iter().cloned());
    order(&events, report);
    promises(&events, told, report);
    peer(world, told, spoken, report);
    effects(&events, &commands, told, report);
    turns(&events, &sessions, agent_lived, report);
}

/// The node's numbers: each once, in order, none given up.
fn order(events: &[Value], report: &mut Report) {
    let numbers: Vec<u64> = events.iter().map(|one| number(one, "node_seq")).filter(|seq| *seq > 0).collect();
    if !numbers.iter().copied().eq(1..=numbers.len() as u64) {
        let at = numbers.iter().zip(1..).position(|(seq, expected)| *seq != expected).unwrap_or_default();
        let from = at.saturating_sub(2);
        report.lost.push(format!("numbers of {NODE}: .. {:?}", &numbers[from..(at + 3).min(numbers.len())]));
    }
    let mut seen = HashMap::new();
    for event in events {
        if word(event, "type") == "gap" {
            report.lost.push(event.to_string());
        }
        if let Some(first) = seen.insert(word(event, "id"), number(event, "seq")) {
            report.twice.push(format!("event {} is there at {first} and {}", event["id"], event["seq"]));
        }
    }
}

/// What was shown or journaled is still there, in its place.
fn promises(events: &[Value], told: &Told, report: &mut Report) {
    let place = |event: &Value| (number(event, "node_seq"), word(event, "id").to_owned());
    let by_seq: BTreeMap<u64, _> = events.iter().map(|event| (number(event, "seq"), place(event))).collect();
    let by_number: BTreeMap<u64, String> = events.iter().map(place).collect();
    for (seq, shown) in &told.shown {
        if by_seq.get(seq) != Some(shown) {
            report.lost.push(format!("{shown:?} was shown at {seq}; there is {:?}", by_seq.get(seq)));
        }
    }
    for (seq, id) in &told.journaled {
        if by_number.get(seq) != Some(id) {
            report.lost.push(format!("{id} was journaled at {seq}; there is {:?}", by_number.get(seq)));
        }
    }
}

/// What the peer said.
fn peer(world: &World, told: &Told, spoken: &Spoken, report: &mut Report) {
    let ticks = world.events(&format!("node_id={PEER}&type=peer.tick"));
    let numbers: Vec<u64> = ticks.iter().map(|event| number(&event["data"], "n")).collect();
    let in_place = ticks.iter().all(|event| event["node_seq"] == event["data"]["n"]);
    if (numbers.len() as u64) < told.acknowledged.max(spoken.last) {
        report.lost.push(format!("the peer said {}, {} are there", spoken.last, numbers.len()));
    }
    if !in_place || !numbers.iter().copied().eq(1..=numbers.len() as u64) {
        report.twice.push("the peer's events are not each there once and in order".to_owned());
    }
}

/// Each command in one final state, which nobody was told otherwise, with the effect that the state says.
fn effects(events: &[Value], commands: &[Value], told: &Told, report: &mut Report) {
    let mut had: HashMap<&str, u64> = HashMap::new();
    for event in events {
        let part = &event["data"]["part"];
        if let Some(effect) = part["text"].as_str().and_then(|text| text.strip_prefix("say effect-")) {
            *had.entry(effect.split(';').next().unwrap_or_default()).or_default() += 1;
        }
    }
    let by_id: HashMap<&str, &Value> = commands.iter().map(|one| (word(one, "command_id"), one)).collect();
    for (effect, (id, states)) in &told.commands {
        let Some(command) = by_id.get(id.as_str()) else {
            report.lost.push(format!("{effect}: command {id} was told and is not there"));
            continue;
        };
        let state = word(command, "state");
        let other = states.iter().find(|one| is_final_word(one) && *one != state);
        if let Some(other) = other {
            report.lost.push(format!("{effect}: {id} was told to be {other} and is {command}"));
        }
        let effects = had.get(effect.trim_start_matches("effect-")).copied().unwrap_or_default();
        match (state, effects) {
            ("done", 1) | ("failed" | "expired", 0) | ("unknown", 0 | 1) => {}
            ("done", 0) => report.lost.push(format!("{effect} is done and had no effect: {command}")),
            _ => report.twice.push(format!("{effect} had {effects} effects: {command}")),
        }
    }
    let count = |state: &str| commands.iter().filter(|one| word(one, "state") == state).count() as u64;
    let (all, done) = (had.values().sum::<u64>(), count("done"));
    if all > done + count("unknown") {
        report.twice.push(format!("{all} effects of {done} commands that are done"));
    }
}

/// Ticks of each burst from the first on without holes, to the last one where its agent lived; and the costs.
fn turns(events: &[Value], sessions: &[Value], agent_lived: bool, report: &mut Report) {
    let mut bursts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut costs: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    // What each message has cost, as it was said last: the ledger is their sum, or the session's own where that is more.
    let mut messages: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for event in events {
        let session = word(event, "session_id");
        let data = &event["data"];
        match word(event, "type") {
            "echo.tick" => {
                let (last, whole) = bursts.entry(session).or_default();
                let n = number(data, "n");
                if n != *last + 1 && !(n == 1 && (!agent_lived || *last == BURST)) {
                    report.lost.push(format!("{session}: tick {n} came after {last}"));
                }
                *whole += u64::from(n == BURST);
                *last = if n == BURST && agent_lived { 0 } else { n };
            }
            "session.created" | "session.updated" => {
                let (said, _) = costs.entry(session).or_default();
                *said = (*said).max(micros(data));
            }
            "message.updated" => {
                messages.entry(session).or_default().insert(word(&data["info"], "id"), micros(data));
            }
            "message.part.updated"
                if data["part"]["text"].as_str().is_some_and(|text| text.contains("; cost")) =>
            {
                costs.entry(session).or_default().1 += PRICE.1;
            }
            _ => {}
        }
    }
    for session in sessions.iter().filter(|one| one["node_id"] == NODE) {
        let id = word(session, "id");
        let (said, spent) = costs.get(id).copied().unwrap_or_default();
        let said = said.max(messages.get(id).map_or(0, |all| all.values().sum()));
        let shown = session["cost_micros"].as_u64().unwrap_or_default();
        if shown != said || (agent_lived && shown != spent) {
            report.lost.push(format!("{id} costs {shown}; its events say {said}, its prompts cost {spent}"));
        }
        if agent_lived && bursts.get(id).is_some_and(|(last, _)| *last != 0) {
            report.lost.push(format!("{id}: its last burst is not whole"));
        }
    }
}

fn is_final(command: &Value) -> bool {
    is_final_word(word(command, "state"))
}

fn is_final_word(state: &str) -> bool {
    ["done", "failed", "expired", "unknown"].contains(&state)
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

/// What the thing that an event tells of has cost.
fn micros(data: &Value) -> u64 {
    (data["info"]["cost"].as_f64().unwrap_or_default() * 1e6).round() as u64
}
