//! `/api/v1/store` and what is below it, and `/api/v1/progress`.

use axum::Extension;
use axum::extract::State;

use super::strict::Body;
use super::{Answered, one, page, reading};
use crate::quarantine::{self, Wanted};
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::cause::chain;
use hal_base::clock::{self, Time};
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::store::{Doing, StoreDiff, StoreMerge, StoreRequest, StoreStatus};
use hal_protocol::who::Who;
use hal_rules::growth::SpaceKind;
use hal_store::StoreError;
use hal_store::usage::Usage;

/// What the store takes on the disk, how fast that grows, and when there is no more room for it.
#[utoipa::path(get, path = "/api/v1/store", responses((status = 200, body = Answer<StoreStatus>), (status = 401, body = Refusal)))]
pub async fn status(State(shared): State<Shared>) -> Answered<StoreStatus> {
    one(reading(&shared, |shared| Ok(look(shared, clock::now()))).await?)
}

fn look(shared: &Shared, now: Time) -> StoreStatus {
    let measured = shared.growing.measure();
    let Usage { store, mirror, backups, archive, used, free } = measured.usage;
    let mut status = StoreStatus {
        folder: shared.hub.store().path().parent().map(|it| it.display().to_string()).unwrap_or_default(),
        store,
        mirror,
        backups,
        archive,
        events: measured.weight.map_or(0, |weight| weight.events),
        bytes_per_event: measured.per_event,
        kept: measured.kept,
        max_size: shared.archive.max_size().unwrap_or(0),
        kept_per_day: shared.growing.kept_per_day(&measured, now),
        disk_used: used,
        disk_size: used.saturating_add(free),
        ..StoreStatus::default()
    };
    for space in shared.growing.spaces(&measured, now) {
        let full_at = space.full_at(now).unwrap_or_default();
        match space.kind {
            SpaceKind::Disk(_) => (status.disk_per_day, status.disk_full_at) = (space.per_day, full_at),
            SpaceKind::Bound => status.max_size_at = full_at,
        }
    }
    status
}

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
