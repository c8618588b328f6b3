//! Answers that say no: one sentence for people, one word for programs.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::hub::Stopped;
use super::hub::input::NotAccepted;
use hal_protocol::api::{Code, Refusal};
use hal_rules::command::Refused;
use hal_store::StoreError;

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

    /// The sentence for people.
    pub fn sentence(&self) -> &str {
        &self.refusal.error
    }

    /// 401.
    pub fn unauthorized(error: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::AuthRequired, error)
    }

    /// 403: the role does not do.
    pub fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::Forbidden, error)
    }

    /// 426: it is said where others can read along.
    pub fn plain(error: impl Into<String>) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, Code::Forbidden, error)
    }

    /// 405: the path knows no such method.
    pub fn method_not_allowed(error: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::BadRequest, error)
    }

    /// 400: it can be read but is not valid.
    pub fn validation(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::ValidationError, error)
    }

    /// 500: our fault; the log says more.
    pub fn internal(error: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::InternalError, error)
    }

    /// 503: not now.
    pub fn unavailable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::ServiceUnavailable, error)
    }

    /// 404.
    pub fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.refusal)).into_response();
        if self.status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of the body is not read, so this connection cannot carry another request.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
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
            NotAccepted::Refused(Refused::Halted(_)) => Self::new(StatusCode::CONFLICT, Code::Conflict, text),
            NotAccepted::KeyTaken(_) | NotAccepted::NotOpen(_) | NotAccepted::Late(_) => {
                Self::new(StatusCode::CONFLICT, Code::Conflict, text)
            }
            NotAccepted::TooMany { .. } | NotAccepted::NotStored(_) | NotAccepted::NotTaken(_) => {
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
