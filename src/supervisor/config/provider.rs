//! `cost.providers` and what goes with it: whose bills are fetched, with which keys, how often.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;

use hal_base::config::{Section, load, token};
use hal_base::money::Money;
use hal_base::secret::Secret;
use hal_protocol::provider::Provider;
use hal_rules::price::Price;
use hal_rules::provider::google;
use hal_rules::reconcile::Threshold;

/// The most that any whole number here may name; what is beyond the bounds below is brought within them.
const MOST: u64 = 1_000_000_000;

/// The keys that hold a key, the first that is given counts.
const KEYS: [&str; 3] = ["api_key", "admin_api_key", "org_api_key"];

/// Whose bills are fetched, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bills {
    /// Between two tries.
    pub every: Duration,
    /// How long a request may take.
    pub timeout: Duration,
    /// How often a request is tried again.
    pub retries: u32,
    /// The first pause before that.
    pub backoff: Duration,
    /// The way to each provider that is switched on.
    pub providers: BTreeMap<Provider, Access>,
    /// From where on a difference is worth an alert.
    pub threshold: Threshold,
}

impl Default for Bills {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(3600),
            timeout: Duration::from_secs(15),
            retries: 3,
            backoff: Duration::from_millis(500),
            providers: BTreeMap::new(),
            threshold: Threshold::default(),
        }
    }
}

/// The way to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// What the paths of requests are put behind.
    pub base: String,
    /// The key; for Google the text of the service account's file.
    pub secret: Secret,
    /// Google's table of the export.
    pub table: String,
    /// Where Google's data set is, unless Google finds it by itself.
    pub location: Option<String>,
}

/// Reads the keys; the prices that the predecessor's files name among them are given back.
pub(super) fn read(
    cost: &Section<'_>,
    rates: impl Fn(&str, &Section<'_>) -> Vec<Price>,
) -> (Bills, Vec<Price>) {
    let default = Bills::default();
    let whole = |key, least: u64, most: u64| {
        let given = cost.whole(key, 0..=MOST).filter(|number| *number > 0 || least == 0);
        given.map(|number| number.clamp(least, most))
    };
    let mut bills = Bills {
        every: whole("poll_interval_minutes", 1, 1440)
            .map_or(default.every, |minutes| Duration::from_secs(minutes * 60)),
        timeout: whole("request_timeout_seconds", 1, 300).map_or(default.timeout, Duration::from_secs),
        retries: whole("max_retries", 0, 20).map_or(default.retries, |tries| tries as u32),
        backoff: whole("backoff_base_ms", 1, 60_000).map_or(default.backoff, Duration::from_millis),
        threshold: cost.section("reconcile", threshold),
        providers: BTreeMap::new(),
    };
    let mut prices = Vec::new();
    cost.section("providers", |providers| {
        for provider in Provider::ALL {
            let access = providers.section(provider.as_str(), |section| {
                prices.extend(rates(provider.as_str(), section));
                access(provider, section)
            });
            bills.providers.extend(access.map(|access| (provider, access)));
        }
    });
    (bills, prices)
}

fn threshold(section: &Section<'_>) -> Threshold {
    let default = Threshold::default();
    let usd = section.value("threshold_usd").and_then(|value| value.amount());
    let usd = usd.and_then(|usd| Money::dollars(&usd.to_string())).map(Money::micros);
    Threshold {
        micros: usd.unwrap_or(default.micros),
        percent: section.whole("threshold_percent", 0..=100).unwrap_or(default.percent),
    }
}

fn access(provider: Provider, section: &Section<'_>) -> Option<Access> {
    let enabled = section.value("enabled").and_then(|value| value.flag());
    let base = base(provider, section);
    let google = (provider == Provider::Google).then(|| (table(section), section.text("location")));
    let secret = secret(provider, section);
    if enabled == Some(false) {
        return None;
    }
    let Some(secret) = secret else {
        if enabled == Some(true) {
            section.problem("enabled", expectation(provider));
        }
        return None;
    };
    let (table, location) = google.unwrap_or_default();
    if provider == Provider::Google && table.is_empty() {
        section.require(
            "table",
            "the export's table, such as project.dataset.gcp_billing_export_v1_0123AB_CDEF45_678901",
        );
        return None;
    }
    Some(Access { base, secret, table, location: location.filter(|location| !location.is_empty()) })
}

fn expectation(provider: Provider) -> &'static str {
    match provider {
        Provider::Google => "expected credentials_file beside it",
        _ => "expected api_key, admin_api_key or org_api_key beside it",
    }
}

/// The key: in the file, in a file of its own, or a credential of systemd.
fn secret(provider: Provider, section: &Section<'_>) -> Option<Secret> {
    let file_key = if provider == Provider::Google { "credentials_file" } else { "api_key_file" };
    let file = section.path(file_key);
    // All are read before one is chosen: every key must be known.
    let given: Vec<Secret> = match provider {
        Provider::Google => Vec::new(),
        _ => KEYS.into_iter().filter_map(|key| section.secret(key)).collect(),
    };
    if let Some(key) = given.into_iter().next() {
        return visible(section, KEYS[0], key);
    }
    let credential = format!(
        "{}_{}",
        provider.as_str(),
        if file_key == "api_key_file" { "api_key" } else { "credentials" }
    );
    let Some(file) = file.or_else(|| token::credential(&credential)) else {
        return token::unseen(section, file_key, &credential);
    };
    match load(&file) {
        Ok((bytes, _)) => {
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            match provider {
                Provider::Google => account(section, text),
                _ => visible(section, file_key, Secret::new(text)),
            }
        }
        Err(sentence) => {
            section.problem(file_key, sentence);
            None
        }
    }
}

fn account(section: &Section<'_>, text: String) -> Option<Secret> {
    if serde_json::from_str::<google::Account>(&text).is_err() {
        section
            .problem("credentials_file", "is not the key of a service account in Google Cloud's JSON format");
        return None;
    }
    Some(Secret::new(text))
}

/// A key travels in an HTTP header.
fn visible(section: &Section<'_>, place: &'static str, key: Secret) -> Option<Secret> {
    if key.is_empty() || !key.reveal().chars().all(|c| c.is_ascii_graphic()) {
        section.problem(place, "holds no key: expected visible ASCII characters without spaces");
        return None;
    }
    Some(key)
}

fn table(section: &Section<'_>) -> String {
    let table = section.text("table").unwrap_or_default();
    if !table.is_empty() && !google::is_table(&table) {
        section.problem("table", "expected a table with its project and data set: project.dataset.table");
    }
    table
}

/// Keys go to this address, so nobody on the way may read along.
fn base(provider: Provider, section: &Section<'_>) -> String {
    let default = match provider {
        Provider::Anthropic => "https://api.anthropic.com",
        Provider::OpenAi => "https://api.openai.com/v1",
        Provider::Google => "https://bigquery.googleapis.com/bigquery/v2",
    };
    let Some(text) = section.text("base_url").filter(|text| !text.is_empty()) else {
        return default.to_owned();
    };
    let is_good = Url::parse(&text).is_ok_and(|url| {
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        url.query().is_none() && (url.scheme() == "https" || (url.scheme() == "http" && is_here))
    });
    if !is_good {
        section.problem(
            "base_url",
            "expected an https:// address without a query; http:// only for this machine",
        );
    }
    text.trim_end_matches('/').to_owned()
}
