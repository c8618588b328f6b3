//! What providers bill against what sessions have used: bills from the view, usage from the store.

use std::collections::BTreeMap;

use super::bills_of;
use crate::config::CostConfig;
use crate::hub::Hub;
use hal_protocol::provider::{Compared, Provider};
use hal_rules::provider::plain_model;
use hal_rules::reconcile::{self, Key, Ours};
use hal_store::StoreError;
use hal_store::cost::CostRecord;

/// Compares the days of these providers, both days included; newest first.
pub async fn compare(
    hub: &Hub,
    settings: &CostConfig,
    providers: &[Provider],
    (from, to): (String, String),
) -> Result<Vec<Compared>, StoreError> {
    let store = hub.store().clone();
    let days = (from.clone(), to.clone());
    let read = move || {
        let mut records = Vec::new();
        store.read()?.each_cost(&days.0, &days.1, &mut |record| records.push(record.clone()))?;
        Ok(records)
    };
    let read = tokio::task::spawn_blocking(read).await;
    let records: Vec<CostRecord> =
        read.unwrap_or_else(|_| Err(StoreError::Refused("the costs could not be read".to_owned())))?;
    let view = hub.view();
    let mut lines = Vec::new();
    for provider in providers {
        let mut ours: BTreeMap<Key, Ours> = BTreeMap::new();
        for record in records.iter().filter(|record| billed_by(&record.provider) == Some(*provider)) {
            let key = (record.date.clone(), plain_model(&record.model).to_owned());
            ours.entry(key).or_default().add(&used(record));
        }
        let bills = bills_of(&view, *provider, &from, &to);
        lines.extend(reconcile::compare(*provider, &ours, &bills, settings.bills.threshold));
    }
    lines.sort_by(|a, b| {
        b.date.cmp(&a.date).then_with(|| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)))
    });
    Ok(lines)
}

/// On whose bill the usage of a provider is, as coding agents name it.
fn billed_by(provider: &str) -> Option<Provider> {
    match provider {
        "google-vertex" | "gemini" => Some(Provider::Google),
        name => Provider::parse(name),
    }
}

fn used(record: &CostRecord) -> Ours {
    let tokens = record.tokens.iter().fold(0_u64, |sum, tokens| sum.saturating_add(*tokens));
    // A row that an operator has added tells only that its money is not known.
    let is_free = record.picos.is_none() && record.equivalent == 0 && record.unpriced == 0;
    Ours {
        picos: record.picos.unwrap_or(0),
        subscribed: record.equivalent,
        tokens,
        unpriced: if is_free { tokens } else { record.unpriced },
        unreported: record.unreported,
    }
}
