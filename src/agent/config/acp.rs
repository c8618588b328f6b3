//! Programs that speak the Agent Client Protocol: how each is started.

use crate::backend::acp::name::{AcpName, MOST_NAME, is_name};
use crate::backend::{BackendKind, Launch};
use hal_base::config::{Section, Value};

/// Reads `backends`.
pub(super) fn read(backends: &Section<'_>) -> Vec<(BackendKind, Launch)> {
    let named = backends.value("acp").map(|all| all.entries()).unwrap_or_default();
    named.into_iter().filter_map(|(name, value)| one(&name, &value)).collect()
}

fn one(name: &str, value: &Value<'_>) -> Option<(BackendKind, Launch)> {
    // So is the pattern called by which all keys are listed.
    if name == "<name>" {
        value.section(launch);
        return None;
    }
    if !is_name(name) {
        value.problem(format!(
            "expected a name of lower-case letters, digits and '-', at most {MOST_NAME}, for \"backend\": \"acp:NAME\""
        ));
        return None;
    }
    let launch = value.section(launch)?;
    let known = AcpName::register(name);
    if known.is_none() {
        value.problem("too many names were configured since the start: start the agent again");
    }
    Some((BackendKind::Acp(known?), launch))
}

fn launch(section: &Section<'_>) -> Option<Launch> {
    const EXPECTED: &str = "the program and its arguments, such as [\"gemini\", \"--acp\"]";
    section.require("command", EXPECTED);
    let command: Vec<String> = match section.value("command") {
        Some(value) if value.is_list() => value.items().iter().filter_map(Value::text).collect(),
        Some(value) => value.text().into_iter().collect(),
        None => Vec::new(),
    };
    let variables = section.value("env").map(|env| env.entries()).unwrap_or_default();
    let env = variables.into_iter().filter_map(|(name, value)| Some((name, value.secret()?))).collect();
    // From where it is started there may be another program of that name: the checkout's.
    if command.first().is_some_and(|program| program.contains('/') && !program.starts_with('/')) {
        section.problem(
            "command",
            "expected the name of a program on PATH, or an absolute path, and not a relative one",
        );
        return None;
    }
    if command.first().is_none_or(String::is_empty) {
        if section.value("command").is_some() {
            section.problem("command", format!("expected {EXPECTED}"));
        }
        return None;
    }
    Some(Launch { command, env })
}
