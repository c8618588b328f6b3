//! The HTTP API: a file for each noun. Handlers check parameters, ask the view or the store, and convert; nothing else.

pub mod command;
pub mod event;
pub mod health;
pub mod node;
pub mod session;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::hub::Stopped;
use super::hub::input::NotAccepted;
use super::shared::Shared;
use super::stream;
use crate::protocol::api::{Answer, Code, Meta, Refusal};
use crate::rules::command::Refused;
use crate::store::StoreError;

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
        .routes(routes!(node::get))
        .routes(routes!(session::list))
        .routes(routes!(session::get))
        .routes(routes!(event::list))
        .routes(routes!(command::list, command::ask))
        .routes(routes!(command::get))
        .routes(routes!(stream::open))
        .routes(routes!(health::api))
        .split_for_parts()
}

/// An answer that says no.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    refusal: Refusal,
}

impl ApiError {
    fn new(status: StatusCode, code: Code, error: impl Into<String>) -> Self {
        Self { status, refusal: Refusal { error: error.into(), code } }
    }

    /// 401.
    pub fn unauthorized(error: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::AuthRequired, error)
    }

    /// 400: it can be read but makes no sense.
    pub fn validation(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::ValidationError, error)
    }

    /// 404.
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.refusal)).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %anyhow::Error::new(error), "cannot read the store");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::InternalError,
            "the store cannot be read; the supervisor's log says why",
        )
    }
}

impl From<Stopped> for ApiError {
    fn from(stopped: Stopped) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::ServiceUnavailable, stopped.to_string())
    }
}

impl From<NotAccepted> for ApiError {
    fn from(why: NotAccepted) -> Self {
        let text = why.to_string();
        match why {
            NotAccepted::Refused(Refused::Invalid(_)) => Self::validation(text),
            NotAccepted::Refused(Refused::NoSuch(_)) => Self::not_found(text),
            NotAccepted::KeyTaken(_) => Self::new(StatusCode::CONFLICT, Code::Conflict, text),
            NotAccepted::TooMany { .. } | NotAccepted::NotStored(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::ServiceUnavailable, text)
            }
        }
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadRequest, rejection.body_text())
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let code = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            _ => Code::BadRequest,
        };
        Self::new(rejection.status(), code, rejection.body_text())
    }
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
    let shared = shared.clone();
    match tokio::task::spawn_blocking(move || read(&shared)).await {
        Ok(answer) => Ok(answer?),
        Err(panicked) => {
            tracing::error!(%panicked, "reading the store panicked: its file is damaged");
            Err(ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                Code::InternalError,
                "the store is damaged here; see the supervisor's log",
            ))
        }
    }
}

/// An empty parameter is the same as none.
pub fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
