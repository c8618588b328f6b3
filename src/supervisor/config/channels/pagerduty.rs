//! `channels.pagerduty`: the events of PagerDuty, version 2.

use reqwest::Url;

use super::secret;
use hal_base::config::Section;
use hal_base::secret::Secret;

/// Where PagerDuty listens.
const URL: &str = "https://events.pagerduty.com";

/// Characters of an integration key.
const KEY_CHARS: usize = 32;

/// How PagerDuty is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagerDuty {
    /// The integration key.
    pub routing_key: Secret,
    /// Where it listens.
    pub url: Url,
}

pub(super) fn read(section: &Section<'_>) -> Option<PagerDuty> {
    let url = section.text("base_url").unwrap_or_else(|| URL.to_owned());
    let routing_key = secret(section, "routing_key", "routing_key_file", "pagerduty_routing_key")?;
    if routing_key.reveal().len() != KEY_CHARS {
        section.problem(
            "routing_key",
            format!("expected the {KEY_CHARS} characters of an Events API v2 integration key"),
        );
        return None;
    }
    match Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host()) {
        Some(url) => Some(PagerDuty { routing_key, url }),
        None => {
            section.problem("base_url", format!("expected an address such as {URL}"));
            None
        }
    }
}
