//! `channels.n8n` and `channels.webhooks`: a web address that takes a signed body.

use reqwest::Url;

use super::secret;
use hal_base::config::Section;
use hal_base::secret::Secret;
use hal_rules::address::check_host;

/// How a webhook is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where. It may hold a key in its path, so it is shown nowhere.
    pub url: Secret,
    /// What the body is signed with; `None`: it is not.
    pub secret: Option<Secret>,
    /// A header of its own, with its value.
    pub header: Option<(String, Secret)>,
    /// Whether the address may be one of this machine or this network.
    pub allow_private: bool,
}

pub(super) fn read(section: &Section<'_>) -> Option<Webhook> {
    let allow_private = section.flag("allow_private");
    let signing = secret(section, "secret", "secret_file", "webhook_secret");
    let name = section.text("header_name").filter(|name| !name.is_empty());
    let value = secret(section, "header_value", "header_value_file", "webhook_header_value");
    let url = secret(section, "webhook_url", "webhook_url_file", "webhook_url")?;
    let is_sound = Url::parse(url.reveal()).is_ok_and(|it| {
        let is_allowed = it.scheme() == "https" || (it.scheme() == "http" && allow_private);
        is_allowed && it.has_host() && it.username().is_empty() && it.password().is_none()
    });
    if !is_sound {
        section.problem(
            "webhook_url",
            "expected an address such as https://n8n.example.org/webhook/hal, without a user's name in it (http:// only \
             with \"allow_private\": true)",
        );
        return None;
    }
    if !allow_private && let Some(Err(why)) = Url::parse(url.reveal()).ok().map(|url| check_host(&url)) {
        section.problem("webhook_url", why);
        return None;
    }
    let header = match (name, value) {
        (Some(name), Some(value)) => Some((name, value)),
        (None, None) => None,
        (Some(_), None) => {
            section.problem("header_name", "expected header_value or header_value_file beside it");
            None
        }
        (None, Some(_)) => {
            section.problem("header_value", "expected header_name beside it");
            None
        }
    };
    Some(Webhook { url, secret: signing, header, allow_private })
}
