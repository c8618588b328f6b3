//! `alerts.supervisor_lost`: whom to tell that the supervisor cannot be reached, and when.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::lost::SupervisorLost;
use hal_base::config::{Section, token};
use hal_rules::address::check_host;

/// After how long.
const AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// Unless the file says otherwise.
const DEFAULT_AFTER: Duration = Duration::from_secs(300);

pub(super) fn read(section: &Section<'_>) -> Option<SupervisorLost> {
    let after = section.value("after").and_then(|value| value.duration(AFTER)).unwrap_or(DEFAULT_AFTER);
    let allow_private = section.flag("allow_private");
    let (inline, file) = (section.secret("webhook_url"), section.path("webhook_url_file"));
    if inline.is_some() && file.is_some() {
        section.problem("webhook_url_file", "is given beside webhook_url; keep one of the two");
    }
    let from_file = |file: PathBuf| token::secret_in(section, "webhook_url_file", &file);
    let webhook_url = inline.or_else(|| file.and_then(from_file))?;
    let url = reqwest::Url::parse(webhook_url.reveal()).ok().filter(|it| {
        let is_allowed = it.scheme() == "https" || (it.scheme() == "http" && allow_private);
        is_allowed && it.has_host() && it.username().is_empty() && it.password().is_none()
    });
    let Some(url) = url else {
        section.problem(
            "webhook_url",
            "expected an address such as https://hooks.example.org/hal, without a user's name in it (http:// only with \
             \"allow_private\": true)",
        );
        return None;
    };
    if !allow_private && let Err(why) = check_host(&url) {
        section.problem("webhook_url", why);
        return None;
    }
    Some(SupervisorLost { webhook_url, after, allow_private })
}
