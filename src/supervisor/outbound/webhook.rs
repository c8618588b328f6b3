//! A web address that takes a body signed as standardwebhooks.com says; n8n among others.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::json;
use sha2::Sha256;

use super::guard::{Guarded, Refused};
use super::http;
use crate::config::channels;
use crate::hub::notice::{AttemptOutcome, Delivery};
use hal_base::clock;
use hal_base::secret::Secret;
use hal_protocol::notice::Notice;
use hal_rules::address::check_host;

/// How a key that is written in base64 begins.
const KEY_PREFIX: &str = "whsec_";

/// The way to a web address.
#[derive(Debug)]
pub struct Webhook {
    client: reqwest::Client,
    url: Url,
    key: Option<Key>,
    header: Option<(HeaderName, HeaderValue)>,
    allow_private: bool,
}

struct Key(Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("<secret>")
    }
}

impl Webhook {
    /// Makes the channel from its configuration; `Err` says why it cannot be used.
    pub fn new(config: &channels::Webhook) -> Result<Self, String> {
        let client = http::client();
        let client = if config.allow_private { client } else { client.dns_resolver(Guarded) };
        let header = config.header.as_ref().map(|(name, value)| {
            let name =
                HeaderName::try_from(name.as_str()).map_err(|_| "header_name is not a valid header name")?;
            let mut value = HeaderValue::try_from(value.reveal())
                .map_err(|_| "header_value is not a valid header value")?;
            value.set_sensitive(true);
            Ok::<_, &str>((name, value))
        });
        Ok(Self {
            client: client.build().map_err(|error| http::short(&error))?,
            url: Url::parse(config.url.reveal()).map_err(|error| error.to_string())?,
            key: config.secret.as_ref().map(key).transpose()?,
            header: header.transpose()?,
            allow_private: config.allow_private,
        })
    }

    /// Tries to deliver a notice, once.
    pub async fn deliver(&self, delivery: &Delivery) -> AttemptOutcome {
        if !self.allow_private
            && let Err(why) = check_host(&self.url)
        {
            return AttemptOutcome::Refused { why };
        }
        let body = body(&delivery.notice);
        let sent_at = clock::now().seconds().to_string();
        let id = &delivery.notice.id;
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", &sent_at);
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", signature(key, id, &sent_at, &body));
        }
        if let Some((name, value)) = &self.header {
            request = request.header(name, value);
        }
        let sent = request.body(body).send().await;
        if let Err(error) = &sent
            && let Some(why) = Refused::within(error)
        {
            return AttemptOutcome::Refused { why };
        }
        http::outcome(sent, |_| id.clone()).await
    }
}

fn body(notice: &Notice) -> String {
    let what = match notice.question {
        Some(_) => "question",
        None if notice.alert.is_some() => "alert",
        None => "notice",
    };
    let kind = format!("{what}.{}", notice.kind.as_str());
    json!({"type": kind, "timestamp": notice.created_at.to_string(), "data": notice}).to_string()
}

fn key(secret: &Secret) -> Result<Key, String> {
    match secret.reveal().strip_prefix(KEY_PREFIX) {
        None => Ok(Key(secret.reveal().as_bytes().to_vec())),
        Some(text) => {
            let bytes = STANDARD
                .decode(text)
                .map_err(|_| format!("what follows {KEY_PREFIX} in the secret is not base64"))?;
            Ok(Key(bytes))
        }
    }
}

fn signature(key: &Key, id: &str, sent_at: &str, body: &str) -> String {
    // A key of any length is fine for HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else { return String::new() };
    mac.update(format!("{id}.{sent_at}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_shows() {
        let key = key(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
