//! `alerts` and `nodes`: from where on things are worth an alert, and which nodes should be there.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::Url;

use super::MOST_AGE;
use hal_base::config::{Section, Value, token};
use hal_base::secret::Secret;
use hal_rules::address::check_host;
use hal_rules::watch::WatchLimits;

/// Nodes in a file.
const MOST_NODES: usize = 10_000;

/// Between two signs of life.
const EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Where signs of life go (`alerts.heartbeat`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// Where. It may hold a key in its path, so it is shown nowhere.
    pub url: Secret,
    /// How often.
    pub every: Duration,
    /// Whether the address may be one of this machine or this network.
    pub allow_private: bool,
}

/// Reads both.
pub(super) fn read(root: &Section<'_>) -> (WatchLimits, Option<HeartbeatConfig>) {
    let nodes = nodes(root);
    let (limits, heartbeat) =
        root.section("alerts", |section| (alerts(section), section.section("heartbeat", heartbeat)));
    (WatchLimits { nodes, ..limits }, heartbeat)
}

fn heartbeat(section: &Section<'_>) -> Option<HeartbeatConfig> {
    let every =
        section.value("every").and_then(|value| value.duration(EVERY)).unwrap_or(Duration::from_secs(60));
    let allow_private = section.flag("allow_private");
    let (inline, file) = (section.secret("url"), section.path("url_file"));
    if inline.is_some() && file.is_some() {
        section.problem("url_file", "is given beside url; keep one of the two");
    }
    let url = inline.or_else(|| file.and_then(|file| token::secret_in(section, "url_file", &file)))?;
    let parsed = Url::parse(url.reveal()).ok().filter(|it| {
        let is_allowed = it.scheme() == "https" || (it.scheme() == "http" && allow_private);
        is_allowed && it.has_host() && it.username().is_empty() && it.password().is_none()
    });
    let Some(parsed) = parsed else {
        section.problem(
            "url",
            "expected an address such as https://hc.example.org/ping/ID, without a user's name in it (http:// only with \
             \"allow_private\": true)",
        );
        return None;
    };
    if !allow_private && let Err(why) = check_host(&parsed) {
        section.problem("url", why);
        return None;
    }
    Some(HeartbeatConfig { url, every, allow_private })
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
