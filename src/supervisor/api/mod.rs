//! The HTTP API: a file for each noun. Handlers check parameters, ask the view or the store, and convert; nothing else.

pub mod actor;
pub mod alert;
pub mod approval;
pub mod archive;
pub mod audit;
pub mod backend;
pub mod backup;
pub mod budget;
pub mod channel;
pub mod command;
pub mod conversation;
pub mod cost;
pub mod event;
pub mod health;
pub mod join;
pub mod live;
pub mod login;
mod name;
pub mod node;
pub mod policy;
pub mod provider;
pub mod recovery_key;
pub mod route;
pub mod session;
pub mod silence;
pub mod store;
pub mod stream;
pub mod strict;

use axum::Json;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::queries;
use super::refusal::ApiError;
use super::shared::Shared;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_store::StoreError;

/// Records on a page when the caller does not say.
pub const DEFAULT_LIMIT: usize = 100;

/// Records on a page at most.
pub const MAX_LIMIT: usize = 1000;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "HAL-O-SWARM",
        description = "Watch and steer coding agents on many machines. Send the token as `Authorization: Bearer TOKEN`.",
        license(name = "MIT OR Apache-2.0")
    ),
    components(schemas(Refusal, Meta))
)]
struct Document;

/// All routes that need the token, and the document made from them.
pub fn routes() -> (axum::Router<Shared>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(node::list))
        .routes(routes!(node::get, node::remove))
        .routes(routes!(node::forget_epoch))
        .routes(routes!(name::list))
        .routes(routes!(backend::list))
        .routes(routes!(session::list))
        .routes(routes!(session::get))
        .routes(routes!(conversation::page))
        .routes(routes!(policy::list))
        .routes(routes!(policy::explain))
        .routes(routes!(policy::halts))
        .routes(routes!(event::list))
        .routes(routes!(command::list, command::ask))
        .routes(routes!(command::get))
        .routes(routes!(command::cancel))
        .routes(routes!(alert::list, alert::report))
        .routes(routes!(alert::get))
        .routes(routes!(alert::acknowledge))
        .routes(routes!(silence::list, silence::begin))
        .routes(routes!(silence::expire))
        .routes(routes!(channel::list))
        .routes(routes!(channel::queue))
        .routes(routes!(channel::test))
        .routes(routes!(channel::retry))
        .routes(routes!(route::list))
        .routes(routes!(route::test))
        .routes(routes!(approval::list))
        .routes(routes!(approval::get))
        .routes(routes!(approval::seen))
        .routes(routes!(approval::answer))
        .routes(routes!(approval::snooze))
        .routes(routes!(budget::list))
        .routes(routes!(budget::get, budget::set, budget::remove))
        .routes(routes!(budget::raise))
        .routes(routes!(budget::exposure))
        .routes(routes!(archive::list))
        .routes(routes!(archive::search))
        .routes(routes!(archive::restore))
        .routes(routes!(backup::list, backup::make))
        .routes(routes!(backup::verify))
        .routes(routes!(backup::rehearse))
        .routes(routes!(cost::of_days))
        .routes(routes!(cost::of_period))
        .routes(routes!(cost::prices))
        .routes(routes!(provider::status))
        .routes(routes!(provider::update))
        .routes(routes!(provider::bills))
        .routes(routes!(provider::reconcile))
        .routes(routes!(store::status))
        .routes(routes!(store::diff))
        .routes(routes!(store::merge))
        .routes(routes!(store::progress))
        .routes(routes!(stream::open))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(audit::verify))
        .routes(routes!(audit::get))
        .merge(of_people())
        .routes(routes!(health::api))
        .split_for_parts()
}

/// Those about who is known, and how each comes in.
fn of_people() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(live::open))
        .routes(routes!(actor::whoami))
        .routes(routes!(actor::own_tokens))
        .routes(routes!(login::code))
        .routes(routes!(login::logout))
        .routes(routes!(actor::list))
        .routes(routes!(actor::set, actor::remove))
        .routes(routes!(actor::new_token))
        .routes(routes!(actor::tokens))
        .routes(routes!(actor::rotate))
        .routes(routes!(actor::revoke))
        .routes(routes!(join::new_token))
        .routes(routes!(join::join))
        .routes(routes!(join::revoke))
        .routes(routes!(recovery_key::get, recovery_key::make))
}

/// The routes that anybody may use who has nothing to show yet.
pub fn open_routes() -> (axum::Router<Shared>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Document::openapi()).routes(routes!(login::login)).split_for_parts()
}

/// What a handler answers.
pub type Answered<T> = Result<Json<Answer<T>>, ApiError>;

/// One thing.
pub fn one<T>(data: T) -> Answered<T> {
    Ok(Json(Answer { data, meta: None }))
}

/// A page of things.
pub fn page<T>(data: Vec<T>, meta: Meta) -> Answered<Vec<T>> {
    Ok(Json(Answer { data, meta: Some(meta) }))
}

/// The size of a page: as asked, bounded.
pub fn bounded(limit: Option<usize>) -> usize {
    limit.filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT)
}

/// Reads the store on a thread that may block.
pub async fn reading<T: Send + 'static>(
    shared: &Shared,
    read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let all = shared.clone();
    queries::read(&shared.hub, move |_| read(&all)).await
}

/// An empty parameter is the same as none.
pub fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
