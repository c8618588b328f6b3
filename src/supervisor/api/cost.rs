//! `/api/v1/cost`: what sessions have used, and what tokens cost.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, given, one, page, reading};
use crate::hub::live::NodeRef;
use crate::refusal::ApiError;
use crate::shared::Shared;
use crate::spent::add_up;
use hal_base::clock;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::cost::{CostReport, Freshness, ModelPrice};
use hal_protocol::provider::{ProviderStatus, Standing};
use hal_rules::price::{Price, dollars_per_million};
use hal_rules::report::Period;

/// The periods that have a name.
const PERIODS: &str = "today, week (7 days) or month (30 days)";

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CostQuery {
    /// `today` (default), `week` (7 days) or `month` (30 days).
    period: Option<String>,
    /// The first day in UTC, `YYYY-MM-DD`, instead of a period.
    from: Option<String>,
    /// The last day; by default today.
    to: Option<String>,
}

/// What sessions have used: by provider, model, project, session and node, by day, against the period before, and what
/// it will come to.
#[utoipa::path(get, path = "/api/v1/cost", params(CostQuery), responses((status = 200, body = Answer<CostReport>), (status = 400, body = Refusal)))]
pub async fn of_days(
    State(shared): State<Shared>,
    query: Result<Query<CostQuery>, QueryRejection>,
) -> Answered<CostReport> {
    let query = query?.0;
    let now = clock::now();
    let period = match (given(query.from), given(query.to)) {
        (None, None) => named(&given(query.period).unwrap_or_else(|| "today".to_owned()))?,
        (Some(from), to) => {
            let to = to.unwrap_or_else(|| hal_rules::ledger::day_of(now));
            Period::between(&from, &to).map_err(ApiError::validation)?
        }
        (None, Some(_)) => return Err(ApiError::validation("to needs from, such as from=2026-11-01")),
    };
    report(&shared, period).await
}

/// The same for a period by its name: `today`, `week` (7 days) or `month` (30 days).
#[utoipa::path(get, path = "/api/v1/cost/{period}", params(("period" = String, Path)), responses((status = 200, body = Answer<CostReport>), (status = 400, body = Refusal)))]
pub async fn of_period(State(shared): State<Shared>, Path(period): Path<String>) -> Answered<CostReport> {
    report(&shared, named(&period)?).await
}

/// What tokens cost: the configuration's prices first, then the built-in ones.
#[utoipa::path(get, path = "/api/v1/cost/prices", responses((status = 200, body = Answer<Vec<ModelPrice>>), (status = 401, body = Refusal)))]
pub async fn prices(State(shared): State<Shared>) -> Answered<Vec<ModelPrice>> {
    let view = shared.hub.view();
    let show = |price| show_price(price, view.settings.prices.is_subscribed(&price.provider));
    let prices: Vec<ModelPrice> = view.settings.prices.all().map(show).collect();
    let total = prices.len() as u64;
    page(prices, Meta { total, ..Meta::default() })
}

fn named(name: &str) -> Result<Period, ApiError> {
    Period::named(name, clock::now())
        .ok_or_else(|| ApiError::validation(format!("period is {name:?}: expected {PERIODS}")))
}

async fn report(shared: &Shared, period: Period) -> Answered<CostReport> {
    let mut report = reading(shared, move |shared| add_up(shared.hub.store(), period)).await?;
    let view = shared.hub.view();
    report.freshness = view.every_node().map(of_node).collect();
    let bills = shared.providers.statuses(&view, clock::now());
    let failing = |status: &&ProviderStatus| status.status == Standing::Failing;
    report.degraded_providers =
        bills.iter().filter(failing).map(|status| status.provider.as_str().to_owned()).collect();
    let fetched = bills.into_iter().filter(|status| status.status != Standing::Off);
    report.freshness.extend(fetched.map(of_bill));
    one(report)
}

/// What a node has used is known as far as its events have come.
fn of_node(state: NodeRef<'_>) -> Freshness {
    let vitals = state.link.vitals();
    let waiting = vitals.held.saturating_sub(state.record.committed);
    let (word, note) = match (state.link.online, waiting) {
        (true, 0) => ("live", String::new()),
        (true, waiting) => ("behind", format!("{waiting} events are on their way")),
        (false, _) => ("offline", "what it has used since is not known yet".to_owned()),
    };
    let source = format!("node {}", state.record.id);
    Freshness { source, state: word.to_owned(), as_of: vitals.heard, note }
}

fn of_bill(status: ProviderStatus) -> Freshness {
    Freshness {
        source: format!("bill of {}", status.provider.as_str()),
        state: status.status.as_str().to_owned(),
        as_of: status.tries.last_success,
        note: status.tries.error,
    }
}

fn show_price(price: &Price, is_subscribed: bool) -> ModelPrice {
    let dollars = dollars_per_million;
    ModelPrice {
        provider: price.provider.clone(),
        model: price.model.clone(),
        from: price.from.clone(),
        input: dollars(price.rates.input),
        output: dollars(price.rates.output),
        cache_read: dollars(price.rates.cache_read),
        cache_write: dollars(price.rates.cache_write),
        above_tokens: price.above.map(|(tokens, _)| tokens),
        above_input: price.above.map(|(_, rates)| dollars(rates.input)),
        above_output: price.above.map(|(_, rates)| dollars(rates.output)),
        is_subscribed,
        source: price.source.clone(),
    }
}
