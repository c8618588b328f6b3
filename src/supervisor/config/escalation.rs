//! `escalation`: who is told next of an alert that nobody acknowledges.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::channels::ChannelConfig;
use super::routes;
use hal_base::config::{Section, Value};
use hal_protocol::alert::Severity;
use hal_rules::escalation::{EscalationStep, MOST_STEPS};

/// Of a step's wait.
const WAIT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// Reads the list, each step against the channels that there are.
pub(super) fn read(root: &Section<'_>, channels: &[ChannelConfig]) -> Vec<EscalationStep> {
    let items = root.items("escalation");
    if let Some(beyond) = items.get(MOST_STEPS) {
        beyond.problem(format!("there are more than {MOST_STEPS} steps; leave some out"));
    }
    items.iter().take(MOST_STEPS).filter_map(|item| item.section(|section| step(section, channels))).collect()
}

fn step(section: &Section<'_>, channels: &[ChannelConfig]) -> Option<EscalationStep> {
    let severity = section.value("severity").and_then(|it| it.choice(&routes::SEVERITIES));
    section.require("wait", "how long nobody has acknowledged the alert, such as \"15m\"");
    section.require("channels", "who is told then, such as [\"pagerduty\"]");
    let wait = section.value("wait").and_then(|value: Value<'_>| value.duration(WAIT));
    let named = section.items("channels");
    let to: Vec<String> = named.iter().filter_map(|value| routes::channel(value, channels)).collect();
    if section.value("channels").is_some() && named.is_empty() {
        section.problem("channels", "is empty; expected the names of channels");
    }
    let severity = severity.and_then(Severity::parse).unwrap_or(Severity::High);
    Some(EscalationStep { severity, wait: wait?, channels: to })
}
