//! Discord's HTTP side: one call at a time, within its limits.
//!
//! What Discord says of its limits is kept: a bucket that is used up is left alone until it is full again, and a 429 holds
//! up its bucket, or everything when it is global. A caller waits a little; beyond that the notice waits in its queue.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::hub::notice::AttemptOutcome;
use crate::outbound::http;
use hal_base::secret::Secret;

/// A call waits so long for its bucket; longer, and it is tried again later.
const LONGEST_WAIT: Duration = Duration::from_secs(6);

/// A 429 that does not say how long.
const UNSAID: Duration = Duration::from_secs(5);

/// Buckets that are remembered; more than there are routes and channels in use.
const MOST_BUCKETS: usize = 512;

/// Characters of an answer that a reason quotes.
const QUOTED: usize = 200;

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiscordFailure {
    /// It may go well later.
    Later {
        /// No earlier than after this.
        after: Option<Duration>,
        /// What Discord answered, in a sentence.
        why: String,
    },
    /// It will not go well.
    Refused {
        /// Discord's number for the reason; 0: it gives none.
        code: u64,
        /// What Discord answered, in a sentence.
        why: String,
    },
}

impl DiscordFailure {
    /// Discord's number for the reason.
    pub fn code(&self) -> u64 {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Later { .. } => 0,
        }
    }
}

impl From<DiscordFailure> for AttemptOutcome {
    fn from(trouble: DiscordFailure) -> Self {
        match trouble {
            DiscordFailure::Later { after, why } => Self::Later { after, why },
            DiscordFailure::Refused { why, .. } => Self::Refused { why },
        }
    }
}

/// Discord's word for what went wrong.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    code: u64,
    message: String,
    global: bool,
    retry_after: Option<f64>,
}

/// The way to Discord's API.
#[derive(Debug)]
pub struct Rest {
    http: reqwest::Client,
    base: Url,
    token: Secret,
    /// Until when a bucket is left alone; the empty one stands for all.
    closed: Mutex<HashMap<String, Instant>>,
}

impl Rest {
    /// With this token, at this address.
    pub fn new(base: &Url, token: &Secret) -> Result<Self, String> {
        let http = http::client().build().map_err(|error| http::short(&error))?;
        Ok(Self { http, base: base.clone(), token: token.clone(), closed: Mutex::default() })
    }

    /// Calls a path as the bot. Calls of one `bucket` share a limit.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        bucket: &str,
        body: &Value,
    ) -> Result<Value, DiscordFailure> {
        self.wait_for(bucket).await?;
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let request =
            self.http.request(method, url).header("Authorization", format!("Bot {}", self.token.reveal()));
        self.exchange(request.json(body), bucket).await
    }

    /// Answers an interaction: its own token is all it takes, and no limit of the bot's counts.
    pub async fn answer(&self, method: Method, path: &str, body: &Value) -> Result<Value, DiscordFailure> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        self.exchange(self.http.request(method, url).json(body), path).await
    }

    async fn exchange(
        &self,
        request: reqwest::RequestBuilder,
        bucket: &str,
    ) -> Result<Value, DiscordFailure> {
        let later = |error: reqwest::Error| DiscordFailure::Later {
            after: None,
            why: http::short(&error.without_url()),
        };
        let response = request.send().await.map_err(later)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.map_err(later)?;
        if header(&headers, "x-ratelimit-remaining") == Some(0.0)
            && let Some(after) = seconds(header(&headers, "x-ratelimit-reset-after"))
        {
            self.close(bucket, after);
        }
        if status.is_success() {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        let said: ErrorBody = serde_json::from_str(&text).unwrap_or_default();
        let words = if said.message.is_empty() { text } else { said.message };
        let quoted: String = words.chars().filter(|c| !c.is_control()).take(QUOTED).collect();
        let why = format!("Discord answered {status}: {quoted} (code {})", said.code);
        if status == StatusCode::TOO_MANY_REQUESTS {
            let after = seconds(said.retry_after).or_else(|| http::retry_after(&headers)).unwrap_or(UNSAID);
            self.close(if said.global { "" } else { bucket }, after);
            return Err(DiscordFailure::Later { after: Some(after), why });
        }
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            return Err(DiscordFailure::Later { after: http::retry_after(&headers), why });
        }
        Err(DiscordFailure::Refused { code: said.code, why })
    }

    async fn wait_for(&self, bucket: &str) -> Result<(), DiscordFailure> {
        let until = {
            let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            ["", bucket].iter().filter_map(|one| closed.get(*one)).max().copied()
        };
        let Some(until) = until else { return Ok(()) };
        let wait = until.saturating_duration_since(Instant::now());
        if wait > LONGEST_WAIT {
            let why = format!("Discord's limit holds for {} s more", wait.as_secs());
            return Err(DiscordFailure::Later { after: Some(wait), why });
        }
        sleep_until(until).await;
        Ok(())
    }

    fn close(&self, bucket: &str, after: Duration) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if closed.len() >= MOST_BUCKETS {
            let now = Instant::now();
            closed.retain(|_, until| *until > now);
        }
        closed.insert(bucket.to_owned(), Instant::now() + after);
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<f64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn seconds(number: Option<f64>) -> Option<Duration> {
    number.and_then(|number| Duration::try_from_secs_f64(number).ok())
}
