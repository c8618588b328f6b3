//! Fetches what the providers bill: every hour, and whenever somebody asks. What came of it goes to the hub.
//!
//! - `fetch`: all pages of one provider, tried again as far as it makes sense. `google`: the way to the billing export.
//! - `compare`: what was billed against what sessions have used.

pub mod compare;
mod fetch;
mod google;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use self::fetch::{Failed, Fetcher};
use super::config::CostConfig;
use super::hub::billed::Billed;
use super::hub::input::{Input, Severity, Symptom};
use super::hub::view::View;
use super::hub::{Hub, Stopped};
use hal_base::backoff::Backoff;
use hal_base::clock::{self, Time};
use hal_base::task::Tasks;
use hal_protocol::provider::{DayBill, Provider, ProviderStatus, Standing};
use hal_rules::provider::trouble::RequestFailure;
use hal_rules::provider::{DISCREPANCY, UPDATE_FAILED, day_of, window};
use hal_rules::reconcile;
use hal_store::bill;
use hal_store::kept::{BILL, PROVIDER};

/// After a failure it is tried again after this at first, and never later than the next time anyway.
const AGAIN: Duration = Duration::from_secs(60);

/// All of a try, pauses and pages together.
const WHOLE: Duration = Duration::from_secs(600);

/// People who wait for an update of one provider at the same time.
const WAITING: usize = 64;

/// Days before today that are compared for the alert.
pub const COMPARED_DAYS: u64 = 7;

/// The way to those who fetch. Clones share it.
#[derive(Clone, Debug)]
pub struct Providers {
    settings: watch::Sender<Arc<CostConfig>>,
    asked: BTreeMap<Provider, mpsc::Sender<oneshot::Sender<()>>>,
    queues: Arc<std::sync::Mutex<Queues>>,
}

/// What those who fetch will take, until they are started.
type Queues = BTreeMap<Provider, mpsc::Receiver<oneshot::Sender<()>>>;

impl Default for Providers {
    fn default() -> Self {
        let (mut asked, mut queues) = (BTreeMap::new(), BTreeMap::new());
        for provider in Provider::ALL {
            let (asks, queue) = mpsc::channel(WAITING);
            asked.insert(provider, asks);
            queues.insert(provider, queue);
        }
        Self { settings: watch::Sender::new(Arc::default()), asked, queues: Arc::new(queues.into()) }
    }
}

impl Providers {
    /// Starts to fetch.
    pub fn start(&self, hub: &Hub, tasks: &Tasks, config: &CostConfig) {
        self.set(config);
        let queues =
            std::mem::take(&mut *self.queues.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for (provider, queue) in queues {
            let one = One { provider, hub: hub.clone(), settings: self.settings.subscribe(), asked: queue };
            tasks.spawn_cuttable(one.run());
        }
    }

    /// Takes over other settings.
    pub fn set(&self, config: &CostConfig) {
        self.settings.send_if_modified(|known| {
            let is_new = **known != *config;
            if is_new {
                *known = Arc::new(config.clone());
            }
            is_new
        });
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<CostConfig> {
        self.settings.borrow().clone()
    }

    /// Fetches everything now. True when all of it was tried within the limit; what was not goes on.
    pub async fn update(&self, limit: Duration) -> bool {
        let on = self.settings();
        let mut answers = Vec::new();
        for (_, asks) in self.asked.iter().filter(|(provider, _)| on.bills.providers.contains_key(provider)) {
            let (reply, answer) = oneshot::channel();
            if asks.send(reply).await.is_ok() {
                answers.push(answer);
            }
        }
        tokio::time::timeout(limit, futures_util::future::join_all(answers)).await.is_ok()
    }

    /// How every provider stands.
    pub fn statuses(&self, view: &View, now: Time) -> Vec<ProviderStatus> {
        let on = self.settings();
        let status = |provider: Provider| {
            let tries = view.kept(PROVIDER, provider.as_str());
            let days = bills_of(view, provider, "", "~");
            let status = match &tries {
                _ if !on.bills.providers.contains_key(&provider) => Standing::Off,
                None => Standing::Waiting,
                Some(tries) if tries.failures > 0 => Standing::Failing,
                Some(_) => Standing::Ok,
            };
            let tries = tries.unwrap_or_default();
            let has_come = tries.last_success != Time::default();
            ProviderStatus {
                provider,
                status,
                lag_seconds: has_come.then(|| now.since(tries.last_success).as_secs()),
                tries,
                newest_day: days.keys().next_back().cloned().unwrap_or_default(),
                days: days.len() as u64,
            }
        };
        Provider::ALL.into_iter().map(status).collect()
    }
}

/// The bills of a provider from a day to a day, both included.
pub fn bills_of(view: &View, provider: Provider, from: &str, to: &str) -> BTreeMap<String, DayBill> {
    let begin = bill::key(provider.as_str(), "");
    let all = view.all_kept(BILL);
    let own =
        all.filter_map(|(key, bill)| Some((key.strip_prefix(&begin)?.to_owned(), DayBill::clone(bill))));
    own.filter(|(date, _)| from <= date.as_str() && date.as_str() <= to).collect()
}

/// Fetches from one provider.
struct One {
    provider: Provider,
    hub: Hub,
    settings: watch::Receiver<Arc<CostConfig>>,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
}

impl One {
    async fn run(mut self) {
        let mut backoff = Backoff::new(AGAIN, AGAIN);
        let mut next = Instant::now();
        loop {
            let settings = self.settings.borrow_and_update().clone();
            if !settings.bills.providers.contains_key(&self.provider) {
                if self.settle().await.is_err() || self.wait_until_on().await.is_err() {
                    return;
                }
                next = Instant::now();
                continue;
            }
            let mut waiting = Vec::new();
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                one = self.asked.recv() => waiting.extend(one),
                changed = self.settings.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    next = Instant::now();
                    continue;
                }
            }
            while let Ok(one) = self.asked.try_recv() {
                waiting.push(one);
            }
            let Ok(fault) = self.fetch(&settings).await else { return };
            let pause = match fault {
                None => {
                    backoff = Backoff::new(AGAIN, settings.bills.every);
                    settings.bills.every
                }
                Some(least) => backoff.next_delay().min(settings.bills.every).max(least),
            };
            next = Instant::now() + pause;
            for one in waiting {
                let _ = one.send(());
            }
        }
    }

    /// Fetches once and tells the hub. `None`: it went well; else what the provider wants us to wait at least.
    async fn fetch(&self, settings: &CostConfig) -> Result<Option<Duration>, Stopped> {
        let view = self.hub.view();
        let tries = view.kept(PROVIDER, self.provider.as_str()).unwrap_or_default();
        let now = clock::now();
        let fetched = match Fetcher::new(self.provider, &settings.bills) {
            Some(fetcher) => all(&fetcher, window(self.provider, tries.last_success, now), now).await,
            None => return Ok(None),
        };
        let (least, outcome) = match fetched {
            Ok(bills) => (None, Ok(bills)),
            Err(Failed { text, wait, for_ever }) => {
                tracing::warn!(provider = self.provider.as_str(), "cost update failed: {text}");
                let severity = if for_ever { Severity::High } else { Severity::Medium };
                (Some(wait), Err((severity, text)))
            }
        };
        let (reply, stored) = oneshot::channel();
        let billed = Billed { provider: self.provider, outcome, reply };
        self.hub.send(Input::Billed(Box::new(billed))).await?;
        if !matches!(stored.await, Ok(Ok(()))) {
            tracing::warn!(provider = self.provider.as_str(), "what the provider bills could not be stored");
            return Ok(Some(Duration::ZERO));
        }
        self.compare(settings, now).await?;
        Ok(least)
    }

    /// Raises or resolves the alert of a difference.
    async fn compare(&self, settings: &CostConfig, now: Time) -> Result<(), Stopped> {
        let from = now.minus(Duration::from_secs(COMPARED_DAYS * 86_400));
        let days = (day_of(from), day_of(now));
        let compared = compare::compare(&self.hub, settings, &[self.provider], days).await;
        match compared {
            Ok(lines) => self.symptom(DISCREPANCY, reconcile::alarm(self.provider, &lines)).await,
            Err(error) => {
                let error = anyhow::Error::new(error);
                tracing::warn!(error = format!("{error:#}"), "costs cannot be compared with bills");
                Ok(())
            }
        }
    }

    /// There is nothing to be worried about in a provider that is switched off.
    async fn settle(&self) -> Result<(), Stopped> {
        self.symptom(UPDATE_FAILED, None).await?;
        self.symptom(DISCREPANCY, None).await
    }

    async fn symptom(&self, name: &'static str, text: Option<String>) -> Result<(), Stopped> {
        let about = self.provider.as_str().to_owned();
        if text.is_none() && self.hub.view().stored.open_alert(name, &about).is_none() {
            return Ok(());
        }
        let name = name.to_owned();
        self.hub.send(Input::Symptom(Symptom { name, about, severity: Severity::Medium, text })).await
    }

    async fn wait_until_on(&mut self) -> Result<(), watch::error::RecvError> {
        let provider = self.provider;
        self.settings.wait_for(|settings| settings.bills.providers.contains_key(&provider)).await.map(drop)
    }
}

/// Everything the provider tells of these days.
async fn all(
    fetcher: &Fetcher<'_>,
    days: (Time, Time),
    now: Time,
) -> Result<BTreeMap<String, DayBill>, Failed> {
    let sum = async {
        match fetcher.provider {
            Provider::Google => google::rows(fetcher, days, now).await,
            Provider::Anthropic | Provider::OpenAi => fetcher.reports(days).await,
        }
    };
    let late =
        || RequestFailure::unreachable(fetcher.provider, "it has not answered everything within ten minutes");
    let sum = tokio::time::timeout(WHOLE, sum).await.unwrap_or_else(|_| Err(late()))?;
    Ok(sum.bills(fetcher.provider, now))
}
