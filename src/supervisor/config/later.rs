//! Keys that are accepted and checked, though nothing acts on them yet. A file that asks for something by them gets
//! a warning, so that nobody believes in an alert or a limit that does not exist.

use hal_base::config::{Section, Value};

/// The most seconds, minutes, tries or tokens any of these keys may name: no real setting comes near it.
const MOST: u32 = 1_000_000_000;

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

fn wholes(section: &Section<'_>, keys: &[&'static str]) {
    for key in keys {
        let _ = section.whole(key, 0..=MOST);
    }
}

fn unused_flag(section: &Section<'_>, consequence: &str) {
    if section.flag("enabled") {
        unused(section, "enabled", consequence);
    }
}

fn unused(section: &Section<'_>, key: &'static str, consequence: &str) {
    section.value(key).iter().for_each(|value: &Value<'_>| {
        value.warn(format!("not used by this version: {consequence}"));
    });
}
