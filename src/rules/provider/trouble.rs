//! What a failed request to a provider means: whether to try again, when, and what a person is told. Never a key.

use std::time::Duration;

use serde_json::Value;

use hal_protocol::provider::Provider;

/// Characters of what a provider says that are shown.
const SHOWN: usize = 300;

/// The beginnings of keys. Providers repeat pieces of a key when they refuse it.
const KEYS: [&str; 3] = ["sk-", "ya29.", "AIza"];

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFailure {
    /// What went wrong, in one sentence without keys.
    pub text: String,
    /// Whether trying again may help.
    pub again: Again,
}

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Not before somebody has changed something: a key, a permission.
    Never,
    /// After a pause.
    Soon,
    /// Not before so much time has passed.
    After(Duration),
    /// From the first page: the provider has lost the place.
    FromTheStart,
}

impl RequestFailure {
    /// What was answered cannot be used.
    pub fn unreadable(text: String) -> Self {
        Self { text, again: Again::Never }
    }

    /// No answer came.
    pub fn unreachable(provider: Provider, why: &str) -> Self {
        let text = format!("{} cannot be reached: {why}", provider.as_str());
        Self { text, again: Again::Soon }
    }

    /// An answer came, and it says no. `is_later_page`: a page before it was answered.
    pub fn refused(
        provider: Provider,
        status: u16,
        retry_after: Option<&str>,
        body: &str,
        is_later_page: bool,
    ) -> Self {
        let pause = retry_after.and_then(|text| text.trim().parse::<u64>().ok()).map(Duration::from_secs);
        let reason = body_reason(body);
        let again = match status {
            429 | 503 | 529 => pause.map_or(Again::Soon, Again::After),
            403 if reason == "rateLimitExceeded" => Again::Soon,
            408 | 500..=599 => Again::Soon,
            400 if is_later_page => Again::FromTheStart,
            _ => Again::Never,
        };
        let help = match (provider, status) {
            (Provider::Anthropic, 401 | 403) => "; it requires an admin key, which begins with sk-ant-admin",
            (Provider::OpenAi, 401 | 403) => {
                "; it requires an admin key, which begins with sk-admin, or one with the scope api.usage.read"
            }
            (Provider::Google, 400 | 401 | 403) => {
                "; the service account needs bigquery.jobUser on its project and bigquery.dataViewer on the data set"
            }
            _ => "",
        };
        let said = body_message(body);
        let said = if said.is_empty() { String::new() } else { format!(": {}", without_keys(&said)) };
        Self { text: format!("{} has answered {status}{said}{help}", provider.as_str()), again }
    }
}

/// The sentence in an error's body: Anthropic, OpenAI and Google have `error.message`, Google's tokens a description.
fn body_message(body: &str) -> String {
    let Ok(body) = serde_json::from_str::<Value>(body) else { return String::new() };
    let places = [&body["error"]["message"], &body["error_description"], &body["error"]];
    places.into_iter().find_map(Value::as_str).unwrap_or_default().to_owned()
}

fn body_reason(body: &str) -> String {
    let body = serde_json::from_str::<Value>(body).unwrap_or_default();
    body["error"]["errors"][0]["reason"].as_str().unwrap_or_default().to_owned()
}

/// The text without what may be a piece of a key, and not longer than anybody reads.
pub fn without_keys(text: &str) -> String {
    let word = |word: &str| match KEYS.iter().filter_map(|key| word.find(key)).min() {
        Some(at) => format!("{}<key>", &word[..at]),
        None => word.to_owned(),
    };
    let text = text.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
