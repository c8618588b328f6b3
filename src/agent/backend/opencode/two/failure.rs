//! Why something failed, in our words.

use serde_json::Value;

use super::wire::text;
use hal_protocol::event::failure::{Failure, FailureKind, says_limited};

/// The class of what was stopped.
const ABORTED: &str = "aborted";

/// Words by which providers say that a conversation does not fit.
const TOO_LONG: [&str; 4] = ["context_length", "context length", "maximum context", "prompt is too long"];

/// How a provider's status is told within a sentence.
const STATUS: &str = "HTTP ";

/// An error as it is told, in our words.
pub fn failure(error: &Value) -> Failure {
    let (class, message) = (text(error, "type"), text(error, "message"));
    let http_status = error["status"].as_u64().or_else(|| status_in(message));
    let lower = message.to_lowercase();
    let kind = match class {
        ABORTED => FailureKind::Aborted,
        "provider.auth" => FailureKind::Auth,
        "provider.rate-limit" | "provider.quota" => FailureKind::RateLimited,
        "provider.content-filter" => FailureKind::ContentFilter,
        "provider.internal" | "provider.unknown" if says_limited(message) => FailureKind::RateLimited,
        _ if class.starts_with("provider.") && TOO_LONG.iter().any(|words| lower.contains(words)) => {
            FailureKind::Overflow
        }
        _ => FailureKind::Other,
    };
    Failure { kind, name: class.to_owned(), message: message.to_owned(), http_status }
}

/// A turn that was stopped, which is no failure.
pub fn stopped() -> Failure {
    Failure { kind: FailureKind::Aborted, message: "the turn was stopped".into(), ..Failure::default() }
}

fn status_in(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once(STATUS)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|status| (100..600).contains(status))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_class_has_its_kind() {
        let kind = |class: &str, message: &str| failure(&json!({"type": class, "message": message})).kind;
        assert_eq!(kind("aborted", "Step interrupted"), FailureKind::Aborted);
        assert_eq!(kind("provider.auth", ""), FailureKind::Auth);
        assert_eq!(kind("provider.quota", ""), FailureKind::RateLimited);
        assert_eq!(kind("provider.internal", "overloaded"), FailureKind::RateLimited);
        assert_eq!(kind("provider.invalid-request", "context_length_exceeded"), FailureKind::Overflow);
        assert_eq!(kind("unknown", "Agent not found: nope"), FailureKind::Other);
        let told =
            failure(&json!({"type": "x", "message": "Provider request failed with HTTP 429: slow down"}));
        assert_eq!(told.http_status, Some(429));
    }
}
