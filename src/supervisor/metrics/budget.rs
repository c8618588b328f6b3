//! What is left of budgets, in Prometheus' words. A budget for each session is one sum of all.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::hub::view::View;
use hal_base::clock;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    budget: String,
}

type Dollars = Family<Of, Gauge<f64, AtomicU64>>;

/// The gauges.
#[derive(Clone, Debug, Default)]
pub(super) struct Budgets {
    limit: Dollars,
    spent: Dollars,
    lent: Dollars,
    free: Dollars,
    leases: Gauge,
}

impl Budgets {
    /// Registers the metrics under their names.
    pub(super) fn name(&self, of: &mut Registry) {
        of.register("budget_limit_dollars", "What may be spent in this period", self.limit.clone());
        of.register("budget_spent_dollars", "Spent in this period", self.spent.clone());
        of.register("budget_lent_dollars", "Lent and not accounted for yet", self.lent.clone());
        of.register("budget_free_dollars", "What can still be lent", self.free.clone());
        of.register("budget_leases", "Sessions that run on lent money", self.leases.clone());
    }

    /// As it is now.
    pub(super) fn look_at(&self, view: &View) {
        let gauges = [&self.limit, &self.spent, &self.lent, &self.free];
        for gauge in gauges {
            gauge.clear();
        }
        for one in &view.all_budgets(clock::now()) {
            let sums = [one.limit_micros, one.spent_micros, one.outstanding_micros, one.free_micros];
            for (gauge, micros) in gauges.into_iter().zip(sums) {
                gauge.get_or_create(&Of { budget: one.name.clone() }).inc_by(micros as f64 / 1e6);
            }
        }
        self.leases.set(i64::try_from(view.stored.loans.len()).unwrap_or(i64::MAX));
    }
}
