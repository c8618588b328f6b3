//! What is seen of the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::lasting::Memory;
use super::{CPU_HIGH, Findings, OOM};
use crate::hub::input::{RaisedAlert, Severity};
use crate::hub::live::NodeRef;
use crate::hub::view::View;
use hal_base::clock::Time;
use hal_protocol::command::Command;
use hal_protocol::node::NodeId;
use hal_rules::presence::{Attendance, Presence};
use hal_rules::slow::Meanwhile;
use hal_rules::stalled::{Stalled, stalled};
use hal_rules::watch::{WatchFinding, WatchLimits};

/// What was found of one node, by the alert and what follows the node's name in what it is about.
type OfNode = BTreeMap<(&'static str, String), WatchFinding>;

/// The node that an alert is about.
pub fn node_of(about: &str) -> &str {
    about.split_once('/').map_or(about, |(node, _)| node)
}

/// Looks at all nodes. What happened once is given back, with its node.
///
/// That a node is well is noted only where it was not: nearly all of them are, all the time.
pub fn look(
    view: &View,
    limits: &WatchLimits,
    seen: &mut Memory,
    now: Time,
    found: &mut Findings,
) -> Vec<(NodeId, RaisedAlert)> {
    let open = view.stored.alerts.values().filter(|alert| alert.is_open());
    let known: BTreeSet<(&str, &str)> = open.map(|it| (it.name.as_str(), it.about.as_str())).collect();
    let mut put = |name: &'static str, about: String, verdict: WatchFinding| {
        if verdict.is_some() || known.contains(&(name, about.as_str())) {
            found.insert((name, about), verdict);
        }
    };
    look_who_is_there(view, limits, seen, now, &mut put);
    let mut slow = slow_commands(view, limits, now);
    let mut killed = Vec::new();
    for node in view.every_node().filter(|node| node.link.online) {
        let id = &node.record.id;
        let mut of_node = look_at_node(node, limits, seen);
        let late = slow.remove(id.as_str()).unwrap_or_default();
        of_node.insert(("command.slow", String::new()), limits.slow_commands(id.as_str(), late));
        // What was said of something on it and was not found any more is over.
        let whole = format!("{id}/");
        for (name, about) in known.iter().filter(|(_, about)| about.starts_with(&whole)) {
            for watched in ["backend.down", "project.down"].into_iter().filter(|watched| watched == name) {
                of_node.entry((watched, about[id.as_str().len()..].to_owned())).or_insert(None);
            }
        }
        of_node.into_iter().for_each(|((name, rest), verdict)| put(name, format!("{id}{rest}"), verdict));
        killed.extend(killed_on(node, seen).map(|alert| (id.clone(), alert)));
    }
    seen.end_of_look();
    killed
}

fn look_who_is_there(
    view: &View,
    limits: &WatchLimits,
    seen: &Memory,
    now: Time,
    put: &mut dyn FnMut(&'static str, String, WatchFinding),
) {
    // While the supervisor was down nobody could be heard. Only being heard of ends it.
    let of_node =
        |NodeRef { record, link }: NodeRef<'_>| (record.id.to_string(), link.online, link.vitals().heard);
    let known: Vec<(String, bool, Time)> = view.every_node().map(of_node).collect();
    let mut nodes: Vec<Presence<'_>> = known
        .iter()
        .map(|(node, online, heard)| Presence {
            node,
            online: *online,
            was_seen: true,
            away: now.since((*heard).max(seen.began)),
            sessions: view.stored.open_of_node(node),
        })
        .collect();
    let never = limits.nodes.keys().filter(|node| !view.stored.nodes.contains_key(node.as_str()));
    nodes.extend(never.map(|node| Presence { node, away: now.since(seen.began), ..Presence::default() }));
    let (each, all) = limits.attendance(&nodes);
    put("nodes.all_offline", String::new(), all);
    for (node, attendance) in nodes.iter().zip(each) {
        match attendance {
            Attendance::Well => put("node.offline", node.node.to_owned(), None),
            Attendance::Missed(severity, text) => {
                put("node.offline", node.node.to_owned(), Some((severity, text)));
            }
            Attendance::Open => {}
        }
    }
}

fn look_at_node(NodeRef { record, link }: NodeRef<'_>, limits: &WatchLimits, seen: &mut Memory) -> OfNode {
    let node = record.id.as_str();
    let vitals = link.vitals();
    let used = &vitals.resources;
    let mut found = OfNode::new();
    let mut put = |name, verdict| drop(found.insert((name, String::new()), verdict));
    let whose = format!("hal-agent on {node}");
    put("node.memory", limits.memory(&whose, used.limited_memory, used.memory_limit));
    put("node.disk", limits.disk(format_args!("node {node}"), used.disk_free, used.disk_total));
    put("node.clock", limits.skew(node, vitals.clock_ahead_ms));
    let percent = f64::from(used.agent_cpu_percent);
    let is_busy = percent > limits.cpu_percent as f64;
    let busy = is_busy.then(|| limits.cpu(&whose, percent, seen.lasts(CPU_HIGH, node)));
    put(CPU_HIGH, busy.flatten());
    for ((which, name), finding) in stalled(node, &record.projects) {
        let alert = match which {
            Stalled::Backend => "backend.down",
            Stalled::Project => "project.down",
        };
        let about = format!("/{name}");
        let lasts = seen.lasts(alert, &format!("{node}{about}"));
        // A coding agent that is started again at once is not worth a word.
        if lasts >= limits.backend_down {
            found.insert((alert, about), finding);
        }
    }
    found
}

/// The commands of each node that take too long.
fn slow_commands<'v>(
    view: &'v View,
    limits: &WatchLimits,
    now: Time,
) -> BTreeMap<&'v str, Vec<(Duration, &'v Command)>> {
    let mut slow: BTreeMap<&str, Vec<(Duration, &Command)>> = BTreeMap::new();
    for command in view.stored.commands.values() {
        let Some(node) = view.find_node(command.node_id.as_str()).filter(|node| node.link.online) else {
            continue;
        };
        let session = command.session_id.as_ref().and_then(|id| view.stored.sessions.get(id));
        let meanwhile = session.map_or_else(Meanwhile::default, |record| Meanwhile {
            is_at_work: record.session.activity.runs(),
            waits_for_person: !record.session.asks.is_empty() || view.stored.is_kept_waiting(&record.session),
        });
        if let Some(took) = limits.is_slow(command, node.record.connected_at, meanwhile, now) {
            slow.entry(command.node_id.as_str()).or_default().push((took, command));
        }
    }
    slow
}

/// What the kernel has ended on a node since the last look.
fn killed_on(NodeRef { record, link }: NodeRef<'_>, seen: &mut Memory) -> Option<RaisedAlert> {
    let now = link.vitals().resources.oom_kills?;
    let more = seen.more_killed(record.id.as_str(), now);
    let text = format!(
        "the kernel ended {more} processes of hal-agent's control group on node {} because memory ran out, most likely a \
         coding agent or what it ran: raise MemoryMax, run fewer sessions there, and see `journalctl -k -g oom` on it",
        record.id
    );
    (more > 0).then_some(RaisedAlert { name: OOM, severity: Severity::High, text })
}
