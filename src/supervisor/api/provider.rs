//! `/api/v1/cost/status`, `update`, `bills` and `reconcile`: what the providers bill.

use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, given, one, page};
use crate::auth::did;
use crate::provider::compare::compare;
use crate::provider::{COMPARED_DAYS, bills_of};
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock::{self, Stopwatch, Time};
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::provider::{Bill, Provider, ProviderStatus, Reconciliation};
use hal_protocol::who::Who;
use hal_rules::provider::{day_of, start_of, total};
use hal_rules::reconcile::steps;

/// An update is waited for so long; clients wait half a minute at most.
const LONGEST: Duration = Duration::from_secs(25);

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DaysQuery {
    /// The first day in UTC, `YYYY-MM-DD`; by default a week before the last.
    from: Option<String>,
    /// The last day; by default today.
    to: Option<String>,
    /// Only of this provider: `anthropic`, `openai` or `google`.
    provider: Option<String>,
}

/// The status of fetching the bills of each provider.
#[utoipa::path(get, path = "/api/v1/cost/status", responses((status = 200, body = Answer<Vec<ProviderStatus>>), (status = 401, body = Refusal)))]
pub async fn status(State(shared): State<Shared>) -> Answered<Vec<ProviderStatus>> {
    all(&shared)
}

/// Fetches the bills of all providers now, waits for it up to 25 seconds, and answers with their status.
#[utoipa::path(post, path = "/api/v1/cost/update", responses((status = 200, body = Answer<Vec<ProviderStatus>>), (status = 401, body = Refusal)))]
pub async fn update(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
) -> Answered<Vec<ProviderStatus>> {
    let began = Stopwatch::start();
    let is_done = shared.providers.update(LONGEST).await;
    let outcome = if is_done { Ok("all".to_owned()) } else { Err("it is still running".to_owned()) };
    shared.hub.audit(did(&who, "update_costs", outcome, began.elapsed()));
    all(&shared)
}

fn all(shared: &Shared) -> Answered<Vec<ProviderStatus>> {
    let statuses = shared.providers.statuses(&shared.hub.view(), clock::now());
    let total = statuses.len() as u64;
    page(statuses, Meta { total, ..Meta::default() })
}

/// What the providers bill, by day, newest first.
#[utoipa::path(get, path = "/api/v1/cost/bills", params(DaysQuery), responses((status = 200, body = Answer<Vec<Bill>>), (status = 400, body = Refusal)))]
pub async fn bills(
    State(shared): State<Shared>,
    query: Result<Query<DaysQuery>, QueryRejection>,
) -> Answered<Vec<Bill>> {
    let (providers, (from, to)) = asked(query?.0)?;
    let view = shared.hub.view();
    let of = |provider: Provider| {
        let bills = bills_of(&view, provider, &from, &to).into_iter();
        bills.map(move |(date, bill)| Bill { date, provider, total_micros: total(&bill).micros(), bill })
    };
    let mut bills: Vec<Bill> = providers.into_iter().flat_map(of).collect();
    bills.sort_by(|a, b| b.date.cmp(&a.date).then(a.provider.cmp(&b.provider)));
    let total = bills.len() as u64;
    page(bills, Meta { total, ..Meta::default() })
}

/// What providers bill against what sessions have used: each day and model, what explains the difference, and what to do.
#[utoipa::path(get, path = "/api/v1/cost/reconcile", params(DaysQuery), responses((status = 200, body = Answer<Reconciliation>), (status = 400, body = Refusal)))]
pub async fn reconcile(
    State(shared): State<Shared>,
    query: Result<Query<DaysQuery>, QueryRejection>,
) -> Answered<Reconciliation> {
    let (providers, (from, to)) = asked(query?.0)?;
    let settings = shared.providers.settings();
    let lines = compare(&shared.hub, &settings, &providers, (from.clone(), to.clone())).await?;
    let mut statuses = shared.providers.statuses(&shared.hub.view(), clock::now());
    statuses.retain(|status| providers.contains(&status.provider));
    let steps = steps(&statuses, &lines);
    one(Reconciliation { from, to, lines, steps })
}

/// The providers and days that are asked for.
fn asked(query: DaysQuery) -> Result<(Vec<Provider>, (String, String)), ApiError> {
    let providers = match given(query.provider) {
        None => Provider::ALL.to_vec(),
        Some(word) => vec![Provider::parse(&word).ok_or_else(|| {
            ApiError::validation(format!("provider is {word:?}: expected anthropic, openai or google"))
        })?],
    };
    let to = day("to", given(query.to))?.unwrap_or_else(clock::now);
    let week = Duration::from_secs((COMPARED_DAYS - 1) * 86_400);
    let from = day("from", given(query.from))?.unwrap_or_else(|| to.minus(week));
    if day_of(from) > day_of(to) {
        return Err(ApiError::validation(format!("from is {}, which is after {}", day_of(from), day_of(to))));
    }
    Ok((providers, (day_of(from), day_of(to))))
}

fn day(name: &str, text: Option<String>) -> Result<Option<Time>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let at = Some(&text).filter(|text| text.len() == 10).and_then(|text| start_of(text));
    let wrong = || ApiError::validation(format!("{name} is {text:?}: expected a day such as 2026-11-26"));
    at.map(Some).ok_or_else(wrong)
}
