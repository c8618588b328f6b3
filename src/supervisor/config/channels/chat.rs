//! `channels.discord` and `channels.slack`: the bots, and who may do what there.

use std::collections::BTreeMap;

use reqwest::Url;

use super::secret;
use hal_base::config::{Section, Value};
use hal_base::secret::Secret;

/// Where Discord's API is.
const DISCORD: &str = "https://discord.com/api/v10";

/// Where Slack's API is.
const SLACK: &str = "https://slack.com/api";

/// What somebody may do, from little to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChatRole {
    /// Look: status, sessions, nodes, cost, logs.
    View,
    /// And answer: approve, deny, ack, resume, inject.
    Answer,
    /// And begin and end things: start, restart, kill.
    Manage,
}

impl ChatRole {
    /// Every right, least first.
    const ALL: [Self; 3] = [Self::View, Self::Answer, Self::Manage];

    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Answer => "answer",
            Self::Manage => "manage",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|power| power.as_str() == word)
    }
}

/// Who may do what: by the identity of a person, and by that of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Of persons.
    pub users: BTreeMap<String, ChatRole>,
    /// Of roles; Slack has none.
    pub roles: BTreeMap<String, ChatRole>,
}

impl Rights {
    /// The most that somebody may do who has these roles.
    pub fn of<'a>(&self, user: &str, roles: impl Iterator<Item = &'a str>) -> Option<ChatRole> {
        let own = self.users.get(user).copied();
        roles.filter_map(|role| self.roles.get(role).copied()).chain(own).max()
    }
}

/// How Discord is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discord {
    /// The bot's token.
    pub token: Secret,
    /// The server ("guild") that the bot serves; presses and commands from others are refused.
    pub guild: String,
    /// The channel that alerts go to.
    pub alerts: String,
    /// Who may do what.
    pub rights: Rights,
    /// Where the API is.
    pub url: Url,
}

/// How Slack is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slack {
    /// The bot's token.
    pub token: Secret,
    /// The token of the app, for Socket Mode; without it nothing that is pressed arrives.
    pub app_token: Option<Secret>,
    /// The channel that alerts go to.
    pub alerts: String,
    /// Who may do what.
    pub rights: Rights,
    /// Where the API is.
    pub url: Url,
}

pub(super) fn discord(section: &Section<'_>) -> Option<Discord> {
    let token = secret(section, "bot_token", "bot_token_file", "discord_bot_token");
    let guild = section.text("guild_id");
    let alerts = places(section, &["dev-log", "build-log"]);
    let rights = rights(section, true);
    let url = url(section, DISCORD);
    let (token, url) = (token.filter(|token| !token.is_empty())?, url?);
    let guild = guild.filter(|text| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()));
    let guild =
        guild.or_else(|| unused(section, "guild_id", "the id of the Discord server, a number in quotes"));
    let alerts = alerts.or_else(|| unused(section, "channels", NO_PLACE));
    Some(Discord { token, guild: guild?, alerts: alerts?, rights, url })
}

pub(super) fn slack(section: &Section<'_>) -> Option<Slack> {
    let token = secret(section, "bot_token", "bot_token_file", "slack_bot_token");
    let app_token = secret(section, "app_token", "app_token_file", "slack_app_token");
    let alerts = places(section, &["dev-log"]);
    let rights = rights(section, false);
    let url = url(section, SLACK);
    let (token, url) = (token.filter(|token| !token.is_empty())?, url?);
    if app_token.is_none() {
        let sentence =
            "is not given: cards go to Slack, but buttons and commands there do not work; see CHANNELS.md";
        section.warn("app_token", sentence);
    }
    let alerts = alerts.or_else(|| unused(section, "channels", NO_PLACE));
    Some(Slack { token, app_token, alerts: alerts?, rights, url })
}

/// What is to stand in `channels`.
const NO_PLACE: &str = "alerts in it: the id of the channel that alerts go to";

/// A file of the predecessor may lack it, and is no reason not to start.
fn unused<T>(section: &Section<'_>, key: &'static str, expected: &str) -> Option<T> {
    section.warn(key, format!("without it nobody is notified here: expected {expected}"));
    None
}

/// The channel for alerts. Others are known, and nothing goes there yet.
fn places(section: &Section<'_>, others: &[&'static str]) -> Option<String> {
    section.section("channels", |names| {
        for other in others {
            if names.text(other).is_some_and(|name| !name.is_empty()) {
                names.warn(other, "not used by this version: everything goes to channels.alerts");
            }
        }
        names.text("alerts").filter(|name| !name.is_empty())
    })
}

fn rights(section: &Section<'_>, has_roles: bool) -> Rights {
    let read = |key: &'static str| -> BTreeMap<String, ChatRole> {
        let entries = section.value(key).map(|value| value.entries()).unwrap_or_default();
        entries.into_iter().filter_map(|(who, value)| Some((who, power(&value)?))).collect()
    };
    Rights { users: read("users"), roles: if has_roles { read("roles") } else { BTreeMap::new() } }
}

fn power(value: &Value<'_>) -> Option<ChatRole> {
    value.choice(&ChatRole::ALL.map(ChatRole::as_str)).and_then(ChatRole::parse)
}

/// Another address is for a stand-in; without TLS it gets the token only when it is on this machine.
fn url(section: &Section<'_>, usual: &str) -> Option<Url> {
    let text = section.text("api_url").unwrap_or_else(|| usual.to_owned());
    let url = Url::parse(text.trim_end_matches('/')).ok().filter(Url::has_host);
    let is_local = |url: &Url| matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    let url = url.filter(|url| url.scheme() == "https" || (url.scheme() == "http" && is_local(url)));
    if url.is_none() {
        section.problem(
            "api_url",
            format!("expected an https address such as {usual}, or http on this machine"),
        );
    }
    url
}
