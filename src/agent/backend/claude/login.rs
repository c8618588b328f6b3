//! As whom Claude Code is logged in, as far as that can be told without reading a secret.

use std::path::Path;

use serde::Deserialize;

use crate::backend::program::{home_of, login_by_file, login_by_variable};

/// Variables by which it is logged in, in the order in which it looks at them.
const VARIABLES: [&str; 5] = [
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_API_KEY",
    "CLAUDE_CODE_OAUTH_TOKEN",
];

/// Bytes of its state that are read.
const MOST: u64 = 16 * 1024 * 1024;

/// The part of its state that says whose account it is. Its keys are in another file, which is not read.
#[derive(Deserialize)]
struct State {
    #[serde(rename = "oauthAccount")]
    account: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    #[serde(rename = "emailAddress")]
    name: Option<String>,
}

/// As whom or by what; `None`: that cannot be told.
pub fn told() -> Option<String> {
    if let Some(by) = login_by_variable(&VARIABLES) {
        return Some(by);
    }
    let state = home_of("CLAUDE_CONFIG_DIR", "")?.join(".claude.json");
    let keys = home_of("CLAUDE_CONFIG_DIR", ".claude")?.join(".credentials.json");
    let by_file = login_by_file(&keys)?;
    Some(account_in(&state).map_or(by_file, |name| format!("as {name}")))
}

fn account_in(state: &Path) -> Option<String> {
    let is_small = state.metadata().is_ok_and(|found| found.is_file() && found.len() <= MOST);
    let text = is_small.then(|| std::fs::read(state).ok()).flatten()?;
    let name = serde_json::from_slice::<State>(&text).ok()?.account?.name?;
    // A name is shown to people, on one line.
    let is_plain = !name.is_empty() && name.len() <= 256 && !name.chars().any(char::is_control);
    is_plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_named_and_nothing_else_of_its_state() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join(".claude.json");
        assert_eq!(account_in(&state), None);
        for (text, name) in [
            (r#"{"oauthAccount": {"emailAddress": "a@example.com"}, "secret": "x"}"#, Some("a@example.com")),
            (r#"{"oauthAccount": {"emailAddress": "a\n@example.com"}}"#, None),
            (r#"{"oauthAccount": 7}"#, None),
            ("{", None),
        ] {
            std::fs::write(&state, text).unwrap();
            assert_eq!(account_in(&state).as_deref(), name, "{text}");
        }
    }
}
