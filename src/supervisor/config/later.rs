//! Keys that are accepted and checked, though nothing acts on them yet. A file that asks for something by them gets
//! a warning, so that nobody believes in an alert or a limit that does not exist.

use crate::base::config::{Section, Value};

/// The most seconds, minutes, tries or tokens any of these keys may name: no real setting comes near it.
const MOST: u32 = 1_000_000_000;

/// `channels.discord` and `channels.slack`.
pub(super) fn chat(channels: &Section<'_>) {
    channels.section("discord", |discord| {
        let _ = discord.text("guild_id");
        discord.section("channels", |names| texts(names, &["alerts", "dev-log", "build-log"]));
        unused_secret(discord, "bot_token", "no message goes to Discord");
    });
    channels.section("slack", |slack| {
        slack.section("channels", |names| texts(names, &["alerts", "dev-log"]));
        unused_secret(slack, "bot_token", "no message goes to Slack");
    });
}

/// `policies`: rules that step in by themselves.
pub(super) fn policies(root: &Section<'_>) {
    root.section("policies", |policies| {
        wholes(policies, &["check_interval_seconds"]);
        policies.section("resume_on_idle", |policy| {
            wholes(policy, &["idle_threshold_seconds"]);
            self::policy(policy, "no idle session is resumed");
        });
        policies.section("restart_on_compaction", |policy| {
            wholes(policy, &["token_threshold"]);
            self::policy(policy, "no session is restarted");
        });
        policies.section("kill_on_cost", |policy| {
            policy.value("cost_threshold_usd").and_then(|threshold| threshold.amount());
            self::policy(policy, "no session is stopped for its cost");
        });
    });
}

fn policy(section: &Section<'_>, consequence: &str) {
    wholes(section, &["max_retries", "retry_reset_seconds"]);
    unused_flag(section, consequence);
}

/// `security.audit` and `security.token_rotation`.
pub(super) fn security(section: &Section<'_>) {
    section.section("token_rotation", |rotation| {
        wholes(rotation, &["check_interval_seconds"]);
        unused_flag(rotation, "the token stays as it is");
    });
    section.section("audit", |audit| {
        wholes(audit, &["retention_days"]);
        unused_flag(audit, "audit records are always written, and kept");
    });
}

/// `credentials`: variables handed to the agents.
pub(super) fn credentials(root: &Section<'_>) {
    root.section("credentials", |section| {
        wholes(section, &["version"]);
        section.section("defaults", env);
        for (_, agent) in section.value("agents").map(|agents| agents.entries()).unwrap_or_default() {
            agent.section(env);
        }
    });
}

fn env(section: &Section<'_>) {
    let variables = section.value("env").map(|env| env.entries()).unwrap_or_default();
    for (_, variable) in &variables {
        if variable.secret().is_some_and(|secret| secret.is_empty()) {
            variable.problem("is empty; give it a value or leave it out");
        }
    }
    if section.value("env").is_some_and(|env| env.asks_for_something()) {
        unused(section, "env", "no variable is handed to an agent");
    }
}

/// `dependencies`, whatever it holds.
pub(super) fn others(root: &Section<'_>) {
    if root.value("dependencies").is_some_and(|value| value.asks_for_something()) {
        unused(root, "dependencies", "sessions do not wait for one another");
    }
}

fn wholes(section: &Section<'_>, keys: &[&'static str]) {
    for key in keys {
        let _ = section.whole(key, 0..=MOST);
    }
}

fn texts(section: &Section<'_>, keys: &[&'static str]) {
    for key in keys {
        let _ = section.text(key);
    }
}

fn unused_flag(section: &Section<'_>, consequence: &str) {
    if section.flag("enabled") {
        unused(section, "enabled", consequence);
    }
}

fn unused_secret(section: &Section<'_>, key: &'static str, consequence: &str) {
    if section.secret(key).is_some() {
        unused(section, key, consequence);
    }
}

fn unused(section: &Section<'_>, key: &'static str, consequence: &str) {
    section.value(key).iter().for_each(|value: &Value<'_>| {
        value.warn(format!("not used by this version: {consequence}"));
    });
}
