//! `/api/v1/budgets` and `GET /api/v1/cost/exposure`.

use axum::Extension;
use axum::extract::{Path, State};
use tokio::sync::oneshot;

use super::strict::Body;
use super::{Answered, one, page};
use crate::hub::Stopped;
use crate::hub::input::Input;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::budget::{
    AtLimit, Budget, BudgetChange, BudgetRequest, BudgetView, Exposure, Period, RaiseRequest, Scope,
};
use hal_protocol::session::SessionId;
use hal_protocol::who::Who;

/// Every budget with its status; a budget for each session has an entry for each that has used something.
#[utoipa::path(get, path = "/api/v1/budgets", responses((status = 200, body = Answer<Vec<BudgetView>>), (status = 401, body = Refusal)))]
pub async fn list(State(shared): State<Shared>) -> Answered<Vec<BudgetView>> {
    let all = shared.hub.view().all_budgets(clock::now());
    let total = all.len() as u64;
    page(all, Meta { total, ..Meta::default() })
}

/// One budget; a budget for each session has an entry for each that has used something.
#[utoipa::path(get, path = "/api/v1/budgets/{name}", params(("name" = String, Path)), responses((status = 200, body = Answer<Vec<BudgetView>>), (status = 404, body = Refusal)))]
pub async fn get(State(shared): State<Shared>, Path(name): Path<String>) -> Answered<Vec<BudgetView>> {
    let view = shared.hub.view();
    view.find_budget(&name).map_err(|refused| ApiError::not_found(refused.to_string()))?;
    let mut its = view.all_budgets(clock::now());
    its.retain(|budget| budget.name == name);
    let total = its.len() as u64;
    page(its, Meta { total, ..Meta::default() })
}

/// Creates a budget, or changes one that was created here.
#[utoipa::path(put, path = "/api/v1/budgets/{name}", params(("name" = String, Path)), request_body = BudgetRequest, responses((status = 200, body = Answer<Budget>), (status = 400, body = Refusal), (status = 503, body = Refusal)))]
pub async fn set(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    Body(body): Body<BudgetRequest>,
) -> Answered<Budget> {
    let default = Budget::default();
    let word = |given: &str, expected: &str, key: &str| {
        ApiError::validation(format!("{key} is {given:?}: expected {expected}"))
    };
    let scope = match body.scope.as_str() {
        "" => default.scope,
        text => Scope::try_from(text.to_owned()).map_err(ApiError::validation)?,
    };
    let period = match body.period.as_str() {
        "" => default.period,
        text => Period::parse(text).ok_or_else(|| word(text, "session, day, week or month", "period"))?,
    };
    let at_limit = match body.at_limit.as_str() {
        "" => default.at_limit,
        text => AtLimit::parse(text)
            .ok_or_else(|| word(text, "notify, finish_turn, pause or stop", "at_limit"))?,
    };
    let budget = Budget {
        name,
        scope,
        limit_micros: body.limit_micros,
        period,
        warn_percent: body.warn_percent,
        at_limit,
    };
    change(&shared, who, BudgetChange::Set(budget)).await
}

/// Removes a budget. One that is set in the configuration can only be removed there.
#[utoipa::path(delete, path = "/api/v1/budgets/{name}", params(("name" = String, Path)), responses((status = 200, body = Answer<Budget>), (status = 400, body = Refusal), (status = 404, body = Refusal)))]
pub async fn remove(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Answered<Budget> {
    change(&shared, who, BudgetChange::Remove(name)).await
}

/// Raises a budget until the end of its period.
#[utoipa::path(post, path = "/api/v1/budgets/{name}/raise", params(("name" = String, Path)), request_body = RaiseRequest, responses((status = 200, body = Answer<Budget>), (status = 400, body = Refusal), (status = 404, body = Refusal)))]
pub async fn raise(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    Body(body): Body<RaiseRequest>,
) -> Answered<Budget> {
    let session = Some(body.session_id).filter(|id| !id.is_empty()).map(SessionId::new);
    change(&shared, who, BudgetChange::Raise { name, by_micros: body.by_micros, session }).await
}

/// The most that can still be spent right now, and why.
#[utoipa::path(get, path = "/api/v1/cost/exposure", responses((status = 200, body = Answer<Exposure>), (status = 401, body = Refusal)))]
pub async fn exposure(State(shared): State<Shared>) -> Answered<Exposure> {
    one(shared.hub.view().exposure(clock::now()))
}

async fn change(shared: &Shared, who: Who, change: BudgetChange) -> Answered<Budget> {
    let (reply, answer) = oneshot::channel();
    shared.hub.send(Input::Budget { change, by: who, reply }).await?;
    one(answer.await.map_err(|_| Stopped)??)
}
