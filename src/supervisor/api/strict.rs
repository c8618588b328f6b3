//! Bodies and parameters that people write: what is not known is refused, and the nearest is named.
//!
//! Frames between programs tolerate what they do not know, since one of them may be newer. A person who misspells a field
//! would be told that all is done.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;
use tokio::time::timeout;
use url::form_urlencoded;

use crate::caller::Caller;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::nearest::no_such;
use hal_protocol::actor::{ActorRequest, LoginRequest, TokenRequest};
use hal_protocol::alert::AlertRequest;
use hal_protocol::approval::{AnswerRequest, SeenRequest, SnoozeRequest};
use hal_protocol::audit::VerifyRequest;
use hal_protocol::budget::{BudgetRequest, RaiseRequest};
use hal_protocol::command::CommandRequest;
use hal_protocol::fleet_key::RecoveryKeyRequest;
use hal_protocol::join::{JoinRequest, JoinTokenRequest};
use hal_protocol::silence::SilenceRequest;
use hal_protocol::store::StoreRequest;
use hal_rules::command::is_argument;

/// Bytes of a name that are shown.
const MOST_SHOWN: usize = 256;

/// What people write as the body of a request.
pub trait Written: DeserializeOwned {
    /// Where a field belongs that has no place here.
    fn elsewhere(field: &str) -> Option<String> {
        let _ = field;
        None
    }
}

impl Written for ActorRequest {}
impl Written for AlertRequest {}
impl Written for JoinRequest {}
impl Written for JoinTokenRequest {}
impl Written for RecoveryKeyRequest {}
impl Written for AnswerRequest {}
impl Written for BudgetRequest {}
impl Written for LoginRequest {}
impl Written for RaiseRequest {}
impl Written for SeenRequest {}
impl Written for SilenceRequest {}
impl Written for SnoozeRequest {}
impl Written for StoreRequest {}
impl Written for TokenRequest {}
impl Written for VerifyRequest {}
impl Written for CommandRequest {
    fn elsewhere(field: &str) -> Option<String> {
        is_argument(field).then(|| format!("{field:?} belongs in args: {{\"args\": {{{field:?}: ..}}}}"))
    }
}

/// A body is whole within this time: 4 MiB at 35 KB/s.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

/// The body of a request.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: Written> FromRequest<Shared> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, ApiError> {
        let caller = request.extensions().get::<Caller>().cloned();
        let whole = Json::<Box<RawValue>>::from_request(request, shared);
        let Json(raw) = timeout(WHOLE_WITHIN, whole).await.map_err(|_| {
            ApiError::validation(format!("the body was not whole within {} s", WHOLE_WITHIN.as_secs()))
        })??;
        // A body can be held back for long after its head: what let the head in is asked for again.
        if caller.is_some_and(|caller| !caller.is_good(shared)) {
            return Err(ApiError::unauthorized("what this request was begun with is good no more"));
        }
        if let Some(sentence) = stranger::<T>(raw.get()) {
            return Err(ApiError::validation(sentence));
        }
        let Json(body) = Json::<T>::from_bytes(raw.get().as_bytes())?;
        Ok(Self(body))
    }
}

/// The sentence for a body with a field that is not known.
fn stranger<T: Written>(body: &str) -> Option<String> {
    let known = fields_of::<T>()?;
    // What is no object is refused when it is read.
    let given: BTreeMap<String, IgnoredAny> = serde_json::from_str(body).ok()?;
    let field = given.into_keys().find(|field| !known.contains(&field.as_str()))?;
    Some(T::elsewhere(&field).unwrap_or_else(|| no_such("field", &field, known.iter().copied())))
}

/// The fields of a shape, as its reader asks for them.
fn fields_of<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    let asked = Cell::new(None);
    // It ends in an error, as there is nothing to read.
    let _ = T::deserialize(Probe(&asked));
    asked.get()
}

/// Hears which fields a reader asks for, and gives nothing.
struct Probe<'a>(&'a Cell<Option<&'static [&'static str]>>);

/// There is nothing.
#[derive(Debug)]
struct Nothing;

impl fmt::Display for Nothing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("there is nothing to read")
    }
}

impl std::error::Error for Nothing {}

impl Error for Nothing {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Nothing;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Nothing> {
        Err(Nothing)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Nothing> {
        self.0.set(Some(fields));
        Err(Nothing)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The parameters of each path and method, by what the document of the API says.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Arc<Vec<Operation>>);

#[derive(Debug)]
struct Operation {
    path: String,
    method: String,
    parameters: Vec<String>,
}

impl Operation {
    /// How many parts of a path stand for any, where it is one of these.
    fn open_parts(&self, path: &str) -> Option<usize> {
        let (own, asked) = (self.path.split('/'), path.split('/'));
        let is_open = |part: &str| part.starts_with('{');
        let fits = own.clone().count() == asked.clone().count()
            && own.clone().zip(asked).all(|(own, asked)| own == asked || is_open(own));
        fits.then(|| own.filter(|part| is_open(part)).count())
    }
}

impl Parameters {
    /// Those that a document names.
    pub fn of(document: &utoipa::openapi::OpenApi) -> Self {
        let document = serde_json::to_value(document).unwrap_or_default();
        let mut all = Vec::new();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let given = operation["parameters"].as_array().into_iter().flatten();
                let names = given.filter(|one| one["in"] == "query").filter_map(|one| one["name"].as_str());
                let parameters = names.map(str::to_owned).collect();
                all.push(Operation { path: path.clone(), method: method.clone(), parameters });
            }
        }
        Self(Arc::new(all))
    }

    /// The sentence for a request with a parameter that is not known. An empty one is the same as none.
    fn stranger(&self, path: &str, method: &str, query: &str) -> Option<String> {
        let of_method = self.0.iter().filter(|one| one.method.eq_ignore_ascii_case(method));
        let fitting = of_method.filter_map(|one| Some((one.open_parts(path)?, one)));
        let (_, Operation { parameters: known, .. }) = fitting.min_by_key(|(open, _)| *open)?;
        let mut given = form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty());
        let (name, _) = given.find(|(name, _)| !known.iter().any(|one| one == name))?;
        if known.is_empty() {
            return Some(format!("no parameter {:?}: this path takes none", short(&name)));
        }
        Some(no_such("parameter", &name, known.iter().map(String::as_str)))
    }
}

/// As much of a name as a sentence should show.
fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(MOST_SHOWN)]
}

/// Lets requests pass whose parameters are all known.
pub async fn parameters(State(known): State<Parameters>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    match known.stranger(request.uri().path(), request.method().as_str(), query) {
        Some(sentence) => ApiError::validation(sentence).into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_not_known_is_refused_naming_the_nearest() {
        let said = |body: &str| stranger::<AnswerRequest>(body);
        assert_eq!(said(r#"{"reply": "once", "timeout": 3}"#), None);
        assert_eq!(
            said(r#"{"reply": "once", "timout": 3}"#).as_deref(),
            Some("no field \"timout\"; did you mean \"timeout\"?")
        );
        let misplaced = stranger::<CommandRequest>(r#"{"type": "create_session", "prompt": "go"}"#).unwrap();
        assert!(misplaced.contains(r#"{"args": {"prompt": ..}}"#), "{misplaced}");
        for fields in [
            fields_of::<AlertRequest>(),
            fields_of::<AnswerRequest>(),
            fields_of::<ActorRequest>(),
            fields_of::<TokenRequest>(),
            fields_of::<JoinRequest>(),
            fields_of::<JoinTokenRequest>(),
            fields_of::<RecoveryKeyRequest>(),
            fields_of::<BudgetRequest>(),
            fields_of::<CommandRequest>(),
            fields_of::<LoginRequest>(),
            fields_of::<RaiseRequest>(),
            fields_of::<SeenRequest>(),
            fields_of::<SilenceRequest>(),
            fields_of::<SnoozeRequest>(),
            fields_of::<StoreRequest>(),
        ] {
            assert!(fields.is_some_and(|fields| !fields.is_empty()), "a body whose fields nobody knows");
        }
    }

    #[test]
    fn a_parameter_that_is_not_known_is_refused_naming_the_nearest() {
        let (_, document) = crate::api::routes();
        let known = Parameters::of(&document);
        let said = |path: &str, query: &str| known.stranger(path, "GET", query);
        assert_eq!(said("/api/v1/sessions", "status=idle&limit=3&cursor="), None);
        assert_eq!(said("/api/v1/sessions", "x="), None, "an empty one is none");
        assert_eq!(
            said("/api/v1/sessions", "statsu=idle").as_deref(),
            Some("no parameter \"statsu\"; did you mean \"status\"?")
        );
        assert_eq!(said("/api/v1/cost/prices", "from=1").map(|said| said.contains("\"from\"")), Some(true));
        assert_eq!(said("/api/v1/cost", "from=2026-01-01"), None);
        assert_eq!(said("/api/v1/stream", "live=true&type=a&cursor=b"), None);
        assert_eq!(
            said("/api/v1/nodes/web-1", "all=1").as_deref(),
            Some("no parameter \"all\": this path takes none")
        );
    }
}
