//! `/api/v1/store` and `/api/v1/progress`.

use axum::Extension;
use axum::extract::State;

use super::strict::Body;
use super::{Answered, one, page};
use crate::quarantine::{self, Wanted};
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::cause::chain;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::store::{Doing, StoreDiff, StoreMerge, StoreRequest};
use hal_protocol::who::Who;
use hal_store::StoreError;

/// Compares a store that was set aside with the present one.
#[utoipa::path(post, path = "/api/v1/store/diff", request_body = StoreRequest, responses((status = 200, body = Answer<StoreDiff>), (status = 400, body = Refusal), (status = 404, body = Refusal)))]
pub async fn diff(State(shared): State<Shared>, Body(request): Body<StoreRequest>) -> Answered<StoreDiff> {
    let wanted = find(&shared, request)?;
    let working = shared.progress.begin("store diff");
    let work = move || quarantine::diff(shared.hub.store(), &wanted, &working.progress);
    one(blocking(work).await?)
}

/// Brings back rows that only a store that was set aside has. Repeating it does no harm.
#[utoipa::path(post, path = "/api/v1/store/merge", request_body = StoreRequest, responses((status = 200, body = Answer<StoreMerge>), (status = 400, body = Refusal), (status = 404, body = Refusal)))]
pub async fn merge(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Body(request): Body<StoreRequest>,
) -> Answered<StoreMerge> {
    let wanted = find(&shared, request)?;
    let working = shared.progress.begin("store merge");
    let work = move || {
        let _one_at_a_time = shared.merging.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        quarantine::merge(&shared.hub, &wanted, &who, &working.progress)
    };
    one(blocking(work).await?)
}

/// Progress of long-running work.
#[utoipa::path(get, path = "/api/v1/progress", responses((status = 200, body = Answer<Vec<Doing>>), (status = 401, body = Refusal)))]
pub async fn progress(State(shared): State<Shared>) -> Answered<Vec<Doing>> {
    let all: Vec<Doing> = shared
        .progress
        .now()
        .into_iter()
        .map(|(what, (done, total))| Doing { what: what.to_owned(), done, total })
        .collect();
    let total = all.len() as u64;
    page(all, Meta { total, ..Meta::default() })
}

fn find(shared: &Shared, request: StoreRequest) -> Result<Wanted, ApiError> {
    quarantine::find(shared.hub.store().path(), request).map_err(ApiError::not_found)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| ApiError::internal(&chain(&error))),
        Err(error) => Err(ApiError::internal(&error.to_string())),
    }
}
