//! `channels`: notification channels. One file for each kind.

mod chat;
mod email;
mod pagerduty;
mod webhook;

use std::time::Duration;

pub use chat::{ChatRole, Discord, Rights, Slack};
pub use email::{Email, Encryption};
pub use pagerduty::PagerDuty;
pub use webhook::Webhook;

use hal_base::config::{Section, Value, token};
use hal_base::secret::Secret;

/// Notices of the same name within this time are one, unless the file says otherwise.
const GROUP: Duration = Duration::from_secs(30);

/// The longest time in which notices become one: who waits longer is told too late.
const MOST_GROUP: Duration = Duration::from_secs(3600);

/// A notice is tried for so long, unless the file says otherwise; whoever looks at an outage the next morning finds it.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);

/// The shortest and the longest time that a notice is tried.
const GIVE_UP_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30 * 86_400));

/// A channel as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelConfig {
    /// Its name: what routes and `halctl channels` call it.
    pub name: String,
    /// Notices of the same name within this time are one.
    pub group: Duration,
    /// A notice that was not delivered within this time is given up.
    pub give_up: Duration,
    /// Its type and what that needs.
    pub kind: ChannelKind,
}

/// What a channel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// A web address that takes a signed body.
    Webhook(Webhook),
    /// E-mail over SMTP.
    Email(Email),
    /// PagerDuty's events.
    PagerDuty(PagerDuty),
    /// A bot on Discord.
    Discord(Discord),
    /// An app on Slack.
    Slack(Slack),
}

impl ChannelConfig {
    /// Whether it wakes people up.
    pub fn pages(&self) -> bool {
        matches!(self.kind, ChannelKind::PagerDuty(_))
    }

    /// Whether people talk there.
    pub fn is_chat(&self) -> bool {
        matches!(self.kind, ChannelKind::Discord(_) | ChannelKind::Slack(_))
    }
}

impl ChannelKind {
    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
            Self::PagerDuty(_) => "pagerduty",
            Self::Discord(_) => "discord",
            Self::Slack(_) => "slack",
        }
    }
}

/// Reads the section: every channel that is configured and not switched off.
pub fn read(root: &Section<'_>) -> Vec<ChannelConfig> {
    root.section("channels", |channels| {
        let mut found = Vec::new();
        let mut put = |channel: Option<ChannelConfig>| found.extend(channel);
        // What is told here can be answered here, one by one.
        put(channels.section("discord", |section| {
            one(section, "discord", Duration::ZERO, |it| chat::discord(it).map(ChannelKind::Discord))
        }));
        put(channels.section("slack", |section| {
            one(section, "slack", Duration::ZERO, |it| chat::slack(it).map(ChannelKind::Slack))
        }));
        put(channels.section("n8n", |section| {
            one(section, "n8n", GROUP, |it| webhook::read(it).map(ChannelKind::Webhook))
        }));
        put(channels.section("email", |section| {
            one(section, "email", GROUP, |it| email::read(it).map(ChannelKind::Email))
        }));
        // PagerDuty groups by itself, and must hear of each to end each.
        put(channels.section("pagerduty", |section| {
            one(section, "pagerduty", Duration::ZERO, |it| pagerduty::read(it).map(ChannelKind::PagerDuty))
        }));
        let webhooks = channels.value("webhooks").map(|webhooks| webhooks.entries()).unwrap_or_default();
        for (name, value) in webhooks {
            check_name(&name, &value);
            put(value.section(|section| {
                one(section, &name, GROUP, |it| webhook::read(it).map(ChannelKind::Webhook))
            }));
        }
        found
    })
}

/// What all kinds have, around what one has. `None`: it is not configured, switched off, or wrong, which was noted.
fn one(
    section: &Section<'_>,
    name: &str,
    group: Duration,
    kind: impl FnOnce(&Section<'_>) -> Option<ChannelKind>,
) -> Option<ChannelConfig> {
    let long = |key, from, to| section.value(key).and_then(|value: Value<'_>| value.duration(from..=to));
    let is_on = section.value("enabled").and_then(|value| value.flag()).unwrap_or(true);
    let group = long("group", Duration::ZERO, MOST_GROUP).unwrap_or(group);
    let give_up = long("give_up_after", GIVE_UP_RANGE.0, GIVE_UP_RANGE.1).unwrap_or(GIVE_UP);
    let kind = kind(section)?;
    is_on.then(|| ChannelConfig { name: name.to_owned(), group, give_up, kind })
}

/// Names of channels that a free name would hide.
const TAKEN: [&str; 5] = ["discord", "slack", "n8n", "email", "pagerduty"];

fn check_name(name: &str, value: &Value<'_>) {
    // It is part of keys, which end at a slash.
    let is_sound = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.<>".contains(c));
    if !is_sound {
        value.problem("expected a name of letters, digits, '-', '_' and '.'");
    } else if TAKEN.contains(&name) {
        value.problem(format!("{name} is the name of another channel; choose another name"));
    }
}

/// A secret at `key`, in the file at `key_file`, or in the credential of systemd of that name.
fn secret(
    section: &Section<'_>,
    key: &'static str,
    file_key: &'static str,
    credential: &str,
) -> Option<Secret> {
    let (inline, file) = (section.secret(key), section.path(file_key));
    match (inline, file) {
        (Some(_), Some(_)) => {
            section.problem(file_key, format!("is given beside {key}; keep one of the two"));
            None
        }
        (Some(secret), None) => Some(secret),
        (None, Some(file)) => token::secret_in(section, file_key, &file),
        (None, None) => match token::credential(credential) {
            Some(file) => token::secret_in(section, key, &file),
            None => token::unseen(section, key, credential),
        },
    }
}
