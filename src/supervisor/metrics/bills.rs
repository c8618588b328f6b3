//! What of the providers' bills is measured: whether they come, and what the last day with one costs.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::hub::view::View;
use hal_base::clock::Time;
use hal_protocol::provider::Provider;
use hal_rules::provider::{day_of, total};
use hal_store::bill;
use hal_store::kept::{BILL, PROVIDER};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    provider: &'static str,
}

/// The gauges of bills.
#[derive(Debug, Default)]
pub struct Bills {
    last_success: Family<Of, Gauge<f64, AtomicU64>>,
    failures: Family<Of, Gauge>,
    today: Family<Of, Gauge<f64, AtomicU64>>,
}

impl Bills {
    /// Puts them under their names.
    pub fn name(&self, of: &mut Registry) {
        let last = "When the bills of a provider were last fetched";
        of.register("provider_last_success_timestamp_seconds", last, self.last_success.clone());
        of.register("provider_failures", "Failures since the last success", self.failures.clone());
        of.register("provider_billed_today_dollars", "What it bills for today so far", self.today.clone());
    }

    /// Looks at the providers that were tried.
    pub fn look_at(&self, view: &View, now: Time) {
        for provider in Provider::ALL.map(Provider::as_str) {
            let Some(tries) = view.kept(PROVIDER, provider) else { continue };
            let of = Of { provider };
            self.last_success.get_or_create(&of).set(tries.last_success.0 as f64 / 1e3);
            self.failures.get_or_create(&of).set(i64::from(tries.failures));
            let today = view.kept(BILL, &bill::key(provider, &day_of(now)));
            self.today.get_or_create(&of).set(today.map_or(0.0, |bill| total(&bill).micros() as f64 / 1e6));
        }
    }
}
