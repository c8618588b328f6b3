//! What is set of each policy: the section `policies` of the supervisor's configuration, read and checked.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Name;
use crate::session::micros;
use hal_base::config::{Section, Value};
use hal_protocol::session::Session;

/// The longest time and the largest number any key may name: no real setting comes near it.
const MOST: u64 = 1_000_000_000;

/// How often policies look when nothing is said.
const CHECK_SECONDS: u64 = 30;

/// A person who asks `halctl policies` may read this, and so may a policy's session.
const GO_ON: &str = "Go on with your task from where you stopped. If it is done, say so and stop.";

const TRY_ELSE: &str = "The same command keeps failing and nothing was changed meanwhile. Stop repeating it: write down \
     what you know, find out why it fails, and try another way; if a person must decide, ask.";

/// All policies, in the order in which they are asked: what stops comes before what resumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Policies {
    /// How often they look, in seconds; what an event causes is looked at with it.
    pub check_interval_seconds: u64,
    /// Each of them.
    pub rules: Vec<Rule>,
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    /// The policy's name.
    pub name: Name,
    /// Whether it looks at all.
    pub enabled: bool,
    /// It decides and writes down, and does nothing.
    pub dry_run: bool,
    /// Whom it is for.
    pub scope: Scope,
    /// How often it acts on one session until the count begins again; 0: no bound.
    pub max_retries: u32,
    /// When the count begins again after the last time, in seconds.
    pub retry_reset_seconds: u64,
    /// Between two acts on one session, in seconds.
    pub cooldown_seconds: u64,
    /// From where on it acts.
    pub limits: Limits,
    /// What it does.
    pub act: Act,
    /// What it says when it prompts.
    pub message: String,
}

/// Whom a policy is for. A list that is empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Scope {
    /// These nodes.
    pub nodes: Vec<String>,
    /// These projects.
    pub projects: Vec<String>,
    /// Sessions with one of these labels.
    pub labels: Vec<String>,
}

/// From where on a policy acts; 0: not by this. Each policy knows its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Limits {
    /// No turn for so long, in seconds.
    pub idle_seconds: u64,
    /// The session is so old, in seconds.
    pub total_seconds: u64,
    /// The context holds so many tokens.
    pub context_tokens: u64,
    /// So many compactions.
    pub compactions: u32,
    /// So many millionths of a US dollar.
    pub cost_micros: u64,
    /// So many failures in a row: of turns, or of the same command.
    pub failures: u32,
    /// No file was changed for so long, in seconds.
    pub unchanged_seconds: u64,
    /// So many tokens were used since a file was changed.
    pub tokens_since_change: u64,
    /// How long to wait for a provider that does not say when it takes requests again, in seconds.
    pub window_seconds: u64,
    /// Only sessions with something left on their list of things to do.
    pub only_with_open_todo: bool,
}

/// What a policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Says something to the session.
    Prompt,
    /// Stops its turn.
    Abort,
    /// Leaves it to a person: its turn is stopped and no policy touches it.
    Pause,
    /// Ends it; the conversation is kept.
    Kill,
    /// Ends it and begins another that goes on with its work.
    Restart,
}

impl Act {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Kill => "kill",
            Self::Restart => "restart",
        }
    }
}

impl Scope {
    /// True when the policy is for this session.
    pub fn holds(&self, session: &Session, labels: &[String]) -> bool {
        let within = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
        within(&self.nodes, session.node_id.as_str())
            && within(&self.projects, session.project.as_str())
            && (self.labels.is_empty() || self.labels.iter().any(|one| labels.contains(one)))
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self { check_interval_seconds: CHECK_SECONDS, rules: Name::ALL.map(Rule::of).to_vec() }
    }
}

impl Policies {
    /// How often they look.
    pub fn check_interval(&self) -> Duration {
        Duration::from_secs(self.check_interval_seconds)
    }

    /// True when any may decide something.
    pub fn any(&self) -> bool {
        self.rules.iter().any(|rule| rule.enabled)
    }
}

impl Rule {
    /// A policy as it is when nothing is said: off.
    pub fn of(name: Name) -> Self {
        let (limits, act, message) = match name {
            Name::KillOnCost => (Limits { cost_micros: 10_000_000, ..Limits::default() }, Act::Kill, ""),
            Name::SessionTimeout => (Limits::default(), Act::Kill, ""),
            Name::ErrorLoop => (Limits { failures: 3, ..Limits::default() }, Act::Pause, ""),
            Name::RestartOnCompaction => {
                (Limits { context_tokens: 180_000, compactions: 3, ..Limits::default() }, Act::Restart, "")
            }
            Name::Stuck => {
                let limits = Limits {
                    failures: 5,
                    unchanged_seconds: 600,
                    tokens_since_change: 20_000,
                    ..Limits::default()
                };
                (limits, Act::Prompt, TRY_ELSE)
            }
            Name::RateLimited => (Limits { window_seconds: 300, ..Limits::default() }, Act::Prompt, GO_ON),
            Name::ResumeOnIdle => (Limits { idle_seconds: 300, ..Limits::default() }, Act::Prompt, GO_ON),
        };
        let (max_retries, retry_reset_seconds) = match name {
            Name::KillOnCost | Name::SessionTimeout => (1, 86_400),
            Name::RestartOnCompaction => (2, 3_600),
            _ => (3, 3_600),
        };
        Self {
            name,
            enabled: false,
            dry_run: false,
            scope: Scope::default(),
            max_retries,
            retry_reset_seconds,
            cooldown_seconds: 60,
            limits,
            act,
            message: message.to_owned(),
        }
    }
}

/// Reads the section.
pub fn read(root: &Section<'_>) -> Policies {
    let mut policies = Policies::default();
    root.section("policies", |section| {
        let seconds = section.whole("check_interval_seconds", 1..=MOST);
        policies.check_interval_seconds = seconds.unwrap_or(CHECK_SECONDS);
        for rule in &mut policies.rules {
            section.section(rule.name.as_str(), |section| one(section, rule));
        }
    });
    policies
}

fn one(section: &Section<'_>, rule: &mut Rule) {
    rule.enabled = section.flag("enabled");
    rule.dry_run = section.flag("dry_run");
    rule.scope = section.section("scope", |scope| Scope {
        nodes: names(scope, "nodes"),
        projects: names(scope, "projects"),
        labels: names(scope, "labels"),
    });
    set(&mut rule.max_retries, section.whole("max_retries", 0..=u32::MAX));
    set(&mut rule.retry_reset_seconds, section.whole("retry_reset_seconds", 1..=MOST));
    set(&mut rule.cooldown_seconds, section.whole("cooldown_seconds", 0..=MOST));
    let limits = &mut rule.limits;
    match rule.name {
        Name::ResumeOnIdle => {
            set(&mut limits.idle_seconds, section.whole("idle_threshold_seconds", 1..=MOST));
            limits.only_with_open_todo = section.flag("only_with_open_todo");
        }
        Name::RestartOnCompaction => {
            set(&mut limits.context_tokens, section.whole("token_threshold", 0..=MOST));
            set(&mut limits.compactions, section.whole("compaction_count", 0..=1_000_000));
            if rule.enabled && limits.context_tokens == 0 && limits.compactions == 0 {
                let both =
                    "is enabled, and token_threshold and compaction_count are both 0: it would never act";
                section.problem("enabled", both);
            }
        }
        Name::KillOnCost => {
            let dollars = section.value("cost_threshold_usd").and_then(|value| value.amount());
            set(&mut limits.cost_micros, dollars.and_then(micros));
            if rule.enabled && limits.cost_micros == 0 {
                section.problem("cost_threshold_usd", "expected more than 0, such as 10.0");
            }
        }
        Name::SessionTimeout => {
            set(&mut limits.idle_seconds, section.whole("idle_seconds", 0..=MOST));
            set(&mut limits.total_seconds, section.whole("total_seconds", 0..=MOST));
            if rule.enabled && limits.idle_seconds == 0 && limits.total_seconds == 0 {
                section.problem("enabled", "is enabled without idle_seconds or total_seconds");
            }
        }
        Name::ErrorLoop => set(&mut limits.failures, section.whole("errors", 1..=1_000)),
        Name::Stuck => {
            set(&mut limits.failures, section.whole("same_failure", 2..=1_000));
            set(&mut limits.unchanged_seconds, section.whole("unchanged_seconds", 1..=MOST));
            set(&mut limits.tokens_since_change, section.whole("tokens", 0..=MOST));
        }
        Name::RateLimited => set(&mut limits.window_seconds, section.whole("window_seconds", 1..=MOST)),
    }
    if matches!(rule.name, Name::Stuck | Name::ErrorLoop) {
        set(&mut rule.act, section.value("action").and_then(|value| action(&value, rule.name)));
    }
    if matches!(rule.name, Name::Stuck | Name::RateLimited | Name::ResumeOnIdle) {
        set(&mut rule.message, section.text("message"));
        if rule.act == Act::Prompt && rule.message.trim().is_empty() {
            section.problem("message", "is empty; give the message for the session, or leave it out");
        }
    }
}

fn action(value: &Value<'_>, name: Name) -> Option<Act> {
    let all = [Act::Pause, Act::Kill, Act::Restart, Act::Abort, Act::Prompt];
    // A session whose turns fail has none to stop, and saying something to it is what failed.
    let known = if name == Name::ErrorLoop { &all[..3] } else { &all[..] };
    let word = value.choice(&known.iter().map(|act| act.as_str()).collect::<Vec<_>>())?;
    known.iter().copied().find(|act| act.as_str() == word)
}

fn names(section: &Section<'_>, key: &'static str) -> Vec<String> {
    section.items(key).iter().filter_map(Value::text).collect()
}

fn set<T>(place: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *place = given;
    }
}
