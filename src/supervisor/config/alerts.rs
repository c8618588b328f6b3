//! `alerts` and `nodes`: from where on things are worth an alert, and which nodes should be there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::MOST_AGE;
use hal_base::config::{Section, Value};
use hal_rules::watch::WatchLimits;

/// Nodes in a file.
const MOST_NODES: usize = 10_000;

/// Reads both.
pub(super) fn read(root: &Section<'_>) -> WatchLimits {
    let nodes = nodes(root);
    WatchLimits { nodes, ..root.section("alerts", alerts) }
}

fn alerts(section: &Section<'_>) -> WatchLimits {
    let default = WatchLimits::default();
    let from = |least: Duration, key| {
        section.value(key).and_then(|value: Value<'_>| value.duration(least..=MOST_AGE))
    };
    let long = |key| from(Duration::from_secs(1), key);
    WatchLimits {
        is_on: section.value("enabled").and_then(|value| value.flag()).unwrap_or(default.is_on),
        node_offline: long("node_offline").unwrap_or(default.node_offline),
        memory_percent: section.whole("memory_percent", 1..=100).unwrap_or(default.memory_percent),
        disk_free_percent: section.whole("disk_free_percent", 0..=99).unwrap_or(default.disk_free_percent),
        disk_used_percent: section.whole("disk_used_percent", 1..=100).unwrap_or(default.disk_used_percent),
        full_within: long("full_within").unwrap_or(default.full_within),
        response: long("response").unwrap_or(default.response),
        clock_skew: long("clock_skew").unwrap_or(default.clock_skew),
        refused_per_minute: section
            .whole("refused_per_minute", 1..=1_000_000)
            .unwrap_or(default.refused_per_minute),
        mirror_lag: long("mirror_lag").unwrap_or(default.mirror_lag),
        reminder: long("reminder").unwrap_or(default.reminder),
        backend_down: from(Duration::ZERO, "backend_down").unwrap_or(default.backend_down),
        command: long("command").unwrap_or(default.command),
        command_start: long("command_start").unwrap_or(default.command_start),
        cpu_percent: section.whole("cpu_percent", 1..=100_000).unwrap_or(default.cpu_percent),
        cpu_for: long("cpu_for").unwrap_or(default.cpu_for),
        metrics_unscraped: from(Duration::ZERO, "metrics_unscraped").unwrap_or(default.metrics_unscraped),
        nodes: BTreeMap::new(),
    }
}

/// Nodes that should be there, whether they were ever seen or not, and those that come and go.
fn nodes(root: &Section<'_>) -> BTreeMap<String, bool> {
    let items = root.items("nodes");
    if let Some(beyond) = items.get(MOST_NODES) {
        beyond.problem(format!("there are more than {MOST_NODES} nodes"));
    }
    let mut nodes = BTreeMap::new();
    for item in items.iter().take(MOST_NODES) {
        let read = item.section(|section| {
            section.require("id", "the name of a node, as its agent has it in node_id");
            let expected = section.value("expected").and_then(|value| value.flag()).unwrap_or(true);
            let id = section.text("id").filter(|id| !id.is_empty())?;
            Some((id, expected))
        });
        let Some((id, expected)) = read else { continue };
        if nodes.insert(id.clone(), expected).is_some() {
            item.problem(format!("{id} is in the list twice; leave one out"));
        }
    }
    nodes
}
