//! `/api/v1/archives`.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, bounded, one, page};
use crate::auth::did;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock::Stopwatch;
use hal_base::nearest::no_such;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::archive::{Archive, ArchivedRow};
use hal_protocol::who::Who;
use hal_store::archive::{Archive as Stored, read};
use hal_store::sqlite::schema::Table;

/// What to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchParams {
    /// A text that a row contains anywhere.
    text: String,
    /// At most so many rows; default 100, at most 1000.
    limit: Option<usize>,
}

/// Every archive, newest first.
#[utoipa::path(get, path = "/api/v1/archives", responses((status = 200, body = Answer<Vec<Archive>>), (status = 401, body = Refusal)))]
pub async fn list(State(shared): State<Shared>) -> Answered<Vec<Archive>> {
    let all: Vec<Archive> = shared.archive.list().iter().map(show).collect();
    let total = all.len() as u64;
    page(all, Meta { total, ..Meta::default() })
}

/// Archived rows that contain a text, the newest archive first.
#[utoipa::path(get, path = "/api/v1/archives/search", params(SearchParams), responses((status = 200, body = Answer<Vec<ArchivedRow>>), (status = 401, body = Refusal)))]
pub async fn search(
    State(shared): State<Shared>,
    query: Result<Query<SearchParams>, QueryRejection>,
) -> Answered<Vec<ArchivedRow>> {
    let SearchParams { text, limit } = query?.0;
    let limit = bounded(limit);
    let look = move || {
        let mut found = Vec::new();
        for archive in shared.archive.list() {
            let name = name_of(&archive);
            read(&archive.path, |row| {
                if row.values().any(|value| holds(value, &text)) {
                    found.push(ArchivedRow { archive: name.clone(), row });
                }
                found.len() < limit
            })
            .map_err(|error| format!("{name}: {error}"))?;
            if found.len() >= limit {
                break;
            }
        }
        Ok::<_, String>(found)
    };
    let found = tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string());
    let found = found.and_then(|found| found).map_err(|why| ApiError::internal(&why))?;
    let meta = Meta { total: found.len() as u64, limit: Some(limit as u64), ..Meta::default() };
    page(found, meta)
}

/// Restores an archive's rows into the store for a week. Repeating it does no harm.
#[utoipa::path(post, path = "/api/v1/archives/{name}/restore", params(("name" = String, Path)), responses((status = 200, body = Answer<Archive>), (status = 404, body = Refusal)))]
pub async fn restore(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Answered<Archive> {
    let all = shared.archive.list();
    let Some(archive) = all.iter().find(|one| name_of(one) == name).cloned() else {
        let names: Vec<String> = all.iter().map(name_of).collect();
        return Err(ApiError::not_found(no_such("archive", &name, names.iter().map(String::as_str))));
    };
    let shown = show(&archive);
    let (began, hub) = (Stopwatch::start(), shared.hub.clone());
    let working = shared.progress.begin("archive restore");
    let work = move || shared.archive.restore(&shared.hub, &archive, &working.progress);
    let done = match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| format!("{error:#}")),
        Err(error) => Err(error.to_string()),
    };
    let target = done.as_ref().map(|_| name).map_err(String::clone);
    hub.audit(did(&who, "restore_archive", target, began.elapsed()));
    let rows = done.map_err(|why| ApiError::internal(&why))?;
    one(Archive { restored: true, rows: Some(rows), ..shown })
}

fn holds(value: &serde_json::Value, text: &str) -> bool {
    match value.as_str() {
        Some(said) => said.contains(text),
        None => value.to_string().contains(text),
    }
}

fn name_of(archive: &Stored) -> String {
    archive.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn show(archive: &Stored) -> Archive {
    Archive {
        name: name_of(archive),
        table: Table::of(archive.kind).name.to_owned(),
        from: archive.times.0,
        to: archive.times.1,
        bytes: archive.bytes,
        restored: archive.is_restored,
        rows: None,
    }
}
