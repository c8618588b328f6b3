//! `/api/v1/backups`.

use axum::Extension;
use axum::extract::{Path, State};

use super::{Answered, one, page};
use crate::auth::did;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::cause::chain;
use hal_base::clock::Stopwatch;
use hal_base::nearest::no_such;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::backup::{Backup, Rehearsal};
use hal_protocol::who::Who;
use hal_store::mirror::backup::{Saved, verify as look_through};

/// Every backup, newest first.
#[utoipa::path(get, path = "/api/v1/backups", responses((status = 200, body = Answer<Vec<Backup>>), (status = 401, body = Refusal)))]
pub async fn list(State(shared): State<Shared>) -> Answered<Vec<Backup>> {
    let all = shared.backups.list();
    let shown: Vec<Backup> = all.iter().enumerate().map(|(nth, saved)| show(saved, nth == 0)).collect();
    let total = shown.len() as u64;
    page(shown, Meta { total, ..Meta::default() })
}

/// Makes a backup, verifies it, and answers when it is there.
#[utoipa::path(post, path = "/api/v1/backups", responses((status = 200, body = Answer<Backup>), (status = 500, body = Refusal)))]
pub async fn make(State(shared): State<Shared>, Extension(who): Extension<Who>) -> Answered<Backup> {
    let began = Stopwatch::start();
    let made = crate::backup::make(&shared).await;
    let target = made.as_ref().map(|made| name_of(&made.saved)).map_err(|error| chain(error));
    shared.hub.audit(did(&who, "make_backup", target, began.elapsed()));
    match made {
        Ok(made) => {
            one(Backup { events: Some(made.events), problem: made.strange, ..show(&made.saved, true) })
        }
        Err(error) => Err(ApiError::internal(&chain(&error))),
    }
}

/// Rehearses a recovery: restores the newest backup into a supervisor of its own, beside this one, and compares. `problem` says
/// what is wrong.
#[utoipa::path(post, path = "/api/v1/backups/rehearse", responses((status = 200, body = Answer<Rehearsal>), (status = 403, body = Refusal)))]
pub async fn rehearse(State(shared): State<Shared>, Extension(who): Extension<Who>) -> Answered<Rehearsal> {
    one(crate::rehearsal::rehearse(&shared, &who).await)
}

/// Verifies a backup; `problem` says what is wrong with it. `newest` is a name, too.
#[utoipa::path(post, path = "/api/v1/backups/{name}/verify", params(("name" = String, Path)), responses((status = 200, body = Answer<Backup>), (status = 404, body = Refusal)))]
pub async fn verify(State(shared): State<Shared>, Path(name): Path<String>) -> Answered<Backup> {
    let all = shared.backups.list();
    let names: Vec<String> = all.iter().map(name_of).collect();
    let nth =
        if name == "newest" { 0 } else { names.iter().position(|one| *one == name).unwrap_or(all.len()) };
    let Some(saved) = all.get(nth).cloned() else {
        return Err(ApiError::not_found(no_such("backup", &name, names.iter().map(String::as_str))));
    };
    let path = saved.path.clone();
    let looked = tokio::task::spawn_blocking(move || look_through(&path)).await;
    let looked = looked.map_err(|_| ApiError::internal("the backup could not be verified"))?;
    let shown = show(&saved, nth == 0);
    one(match looked {
        Ok(standing) => Backup { events: Some(standing.events()), ..shown },
        Err(error) => Backup { problem: Some(chain(&error)), ..shown },
    })
}

fn name_of(saved: &Saved) -> String {
    saved.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn show(saved: &Saved, newest: bool) -> Backup {
    let Saved { at, bytes, .. } = *saved;
    Backup { name: name_of(saved), made_at: at, bytes, newest, events: None, problem: None }
}
