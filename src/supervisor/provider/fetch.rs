//! All pages of one provider's answers. What may help is tried again, after the pause that the provider asks for.

use std::time::Duration;

use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder};

use crate::config::provider::{Access, Bills};
use hal_base::backoff::Backoff;
use hal_base::cause::chain;
use hal_base::clock::Time;
use hal_protocol::provider::Provider;
use hal_rules::provider::trouble::{Again, RequestFailure};
use hal_rules::provider::{Days, Page, anthropic, openai};

/// What providers are told who asks.
const AGENT: &str = concat!("hal-o-swarm/", env!("CARGO_PKG_VERSION"));

/// Bytes of a page at most: a day of a thousand models and keys takes a tenth of it.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// Pages at most. A sum of some of them would be wrong, so more are a failure.
const MOST_PAGES: usize = 500;

/// How often the sequence of pages is begun again when the provider has lost the place.
const MOST_STARTS: u32 = 3;

/// A pause that is waited for with the request; a longer one ends the try.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A try that has failed.
#[derive(Debug)]
pub struct Failed {
    /// What went wrong, in one sentence.
    pub text: String,
    /// How long the provider wants us to wait.
    pub wait: Duration,
    /// True when somebody has to change something.
    pub for_ever: bool,
}

impl From<RequestFailure> for Failed {
    fn from(RequestFailure { text, again }: RequestFailure) -> Self {
        let wait = if let Again::After(pause) = again { pause } else { Duration::ZERO };
        Self { text, wait, for_ever: again == Again::Never }
    }
}

/// Asks one provider.
pub struct Fetcher<'a> {
    /// The provider whose bills are fetched.
    pub provider: Provider,
    /// The way to it.
    pub access: &'a Access,
    bills: &'a Bills,
    /// The HTTP client.
    pub http: Client,
}

impl<'a> Fetcher<'a> {
    /// `None`: the provider is switched off.
    pub fn new(provider: Provider, bills: &'a Bills) -> Option<Self> {
        let access = bills.providers.get(&provider)?;
        // A key goes to nobody that the answer names.
        let http = Client::builder().timeout(bills.timeout).redirect(reqwest::redirect::Policy::none());
        let http = http.user_agent(AGENT).build().ok()?;
        Some(Self { provider, access, bills, http })
    }

    /// Everything that the reports tell of these days.
    pub async fn reports(&self, days: (Time, Time)) -> Result<Days, RequestFailure> {
        let reports: [(&str, PageReader); 2] = match self.provider {
            Provider::OpenAi => [(openai::COST, openai::costs), (openai::USAGE, openai::usage)],
            _ => [(anthropic::COST, anthropic::costs), (anthropic::USAGE, anthropic::usage)],
        };
        let mut sum = Days::default();
        for (path, read) in reports {
            let mut starts = 1;
            let pages = loop {
                match self.pages(path, days, read).await {
                    Err(RequestFailure { again: Again::FromTheStart, .. }) if starts < MOST_STARTS => {
                        starts += 1
                    }
                    done => break done?,
                }
            };
            pages.into_iter().for_each(|page| sum.add(page));
        }
        Ok(sum)
    }

    async fn pages(
        &self,
        path: &str,
        days: (Time, Time),
        read: PageReader,
    ) -> Result<Vec<Page>, RequestFailure> {
        let mut pages: Vec<Page> = Vec::new();
        loop {
            let next = pages.last().and_then(|page| page.next.clone());
            if pages.len() >= MOST_PAGES {
                return Err(self.endless());
            }
            let query = match self.provider {
                Provider::OpenAi => openai::query(path, days, next.as_deref()),
                _ => anthropic::query(path, days, next.as_deref()),
            };
            let request =
                || self.with_key(self.http.get(format!("{}{path}", self.access.base)).query(&query));
            let page = read(&self.ask(request, next.is_some()).await?).map_err(RequestFailure::unreadable)?;
            let (is_last, is_same) = (page.next.is_none(), next.is_some() && page.next == next);
            if is_same {
                return Err(self.endless());
            }
            pages.push(page);
            if is_last {
                return Ok(pages);
            }
        }
    }

    /// What is said of an answer without an end.
    pub fn endless(&self) -> RequestFailure {
        let provider = self.provider.as_str();
        RequestFailure::unreadable(format!("{provider} gives endless pages; none of them is stored"))
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        let secret = |text: String| {
            let value = HeaderValue::from_str(&text);
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        };
        let key = self.access.secret.reveal();
        let header = match self.provider {
            Provider::Anthropic => secret(key.to_owned()).map(|key| ("x-api-key", key)),
            _ => secret(format!("Bearer {key}")).map(|key| ("authorization", key)),
        };
        let request = request.header("anthropic-version", "2023-06-01");
        match header {
            Ok((name, value)) => request.header(name, value),
            Err(_) => request,
        }
    }

    /// Asks until there is an answer, or trying again does not help.
    pub async fn ask(
        &self,
        request: impl Fn() -> RequestBuilder,
        is_later_page: bool,
    ) -> Result<String, RequestFailure> {
        let mut backoff = Backoff::new(self.bills.backoff, LONGEST_PAUSE);
        loop {
            let trouble = match self.once(request(), is_later_page).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            let pause = match trouble.again {
                Again::Soon => backoff.next_delay(),
                Again::After(pause) if pause <= LONGEST_PAUSE => backoff.next_delay().max(pause),
                Again::After(_) | Again::Never | Again::FromTheStart => return Err(trouble),
            };
            if backoff.tries() > self.bills.retries {
                return Err(trouble);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn once(&self, request: RequestBuilder, is_later_page: bool) -> Result<String, RequestFailure> {
        let lost = |error: reqwest::Error| {
            let why = if error.is_timeout() {
                format!("no answer within {} s", self.bills.timeout.as_secs())
            } else {
                chain(&error.without_url())
            };
            RequestFailure::unreachable(self.provider, &why)
        };
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let pause =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(lost)? {
            body.extend_from_slice(&piece);
            if body.len() > MOST_BYTES {
                let text = format!("{} answers more than {MOST_BYTES} bytes", self.provider.as_str());
                return Err(RequestFailure::unreadable(text));
            }
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            return Ok(body);
        }
        Err(RequestFailure::refused(self.provider, status.as_u16(), pause.as_deref(), &body, is_later_page))
    }
}

type PageReader = fn(&str) -> Result<Page, String>;
