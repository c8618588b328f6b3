//! Calls to a running opencode, each with a time limit. What goes wrong becomes one sentence.

use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::causes::Causes;
use super::dialect::Dialect;
use super::gate::Gate;
use super::memo::Memo;
use crate::backend::BackendError;
use crate::backend::hold::Interrupt;
use hal_base::secret::Secret;

/// The name used in errors.
pub const NAME: &str = "opencode";

/// How long a plain call may take. The first one in a directory makes opencode load it, which takes seconds on a
/// busy machine.
pub const CALL_LIMIT: Duration = Duration::from_secs(30);

/// How long its stream of events may take to open: it loads nothing for that, and one that hangs is to be noticed.
const STREAM_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of an answer; the longest are histories and lists of sessions.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// Characters kept of what opencode says about an error.
const ERROR_MAX: usize = 500;

/// The name that goes with the password.
const USER: &str = "opencode";

/// Who can be called, and with what password.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    password: Secret,
    /// What its log says of failures.
    pub causes: Causes,
    gate: Gate,
    /// What it speaks.
    pub dialect: Dialect,
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The path, without the query.
    pub path: &'a str,
    /// The directory it is about; many calls need none.
    pub directory: Option<&'a str>,
    /// The rest of the query.
    pub query: &'a [(&'a str, &'a str)],
    /// What is being done, for errors: "answering a permission".
    pub doing: &'static str,
    /// How long it may take.
    pub limit: Duration,
}

impl<'a> Call<'a> {
    /// A call with the usual time limit.
    pub fn new(path: &'a str, doing: &'static str) -> Self {
        Self { path, directory: None, query: &[], doing, limit: CALL_LIMIT }
    }

    /// About a directory.
    pub fn about(self, directory: &'a str) -> Self {
        Self { directory: Some(directory), ..self }
    }

    /// With more in the query.
    pub fn with(self, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { query, ..self }
    }

    /// With its own time limit.
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

impl Client {
    /// A client of the server at `base`, for example `http://127.0.0.1:4096`.
    pub fn new(
        base: String,
        password: Secret,
        causes: Causes,
        gate: Gate,
        dialect: Dialect,
    ) -> Result<Self, reqwest::Error> {
        // Whoever comes first decides for the process, and every part of this program decides the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5)).build()?;
        Ok(Self { http, base, password, causes, gate, dialect })
    }

    /// What the agent after us needs to go on with this opencode, and the words that end its turns.
    pub fn memo(&self, version: &str) -> (String, Interrupt) {
        let (passed, _) = self.gate.passed();
        let (base, password) = (self.base.clone(), self.password.reveal().to_owned());
        let memo = Memo { base, password, version: version.to_owned(), passed };
        let memo = serde_json::to_string(&memo).unwrap_or_default();
        (memo, self.dispose_words().unwrap_or_default())
    }

    /// The request that has it abort its turns and end their tools, as it goes over the wire.
    fn dispose_words(&self) -> Option<Interrupt> {
        let call = Call::new("/global/dispose", "ending its turns");
        let request = self.request(Method::POST, call).build().ok()?;
        let key = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
        let port = request.url().port()?;
        let text = format!(
            "POST {} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {key}\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
            call.path
        );
        Some(Interrupt::port(port, text))
    }

    /// What tells that it has read more directories.
    pub fn more_passed(&self) -> watch::Receiver<usize> {
        self.gate.passed().1
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, BackendError> {
        self.read(call, self.request(Method::GET, call)).await
    }

    /// Reads a list, each entry for itself: one that is damaged is no reason to do without the others.
    pub async fn list<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<Vec<T>, BackendError> {
        Ok(each(self.get(call).await?, call))
    }

    /// Has something done and reads the list that is the answer, each entry for itself.
    pub async fn post_for_list<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        body: &Value,
    ) -> Result<Vec<T>, BackendError> {
        Ok(each(self.post(call, body).await?, call))
    }

    /// Has something done and reads the answer.
    pub async fn post<T: DeserializeOwned>(&self, call: Call<'_>, body: &Value) -> Result<T, BackendError> {
        self.read(call, self.request(Method::POST, call).json(body)).await
    }

    /// Has something done whose answer does not matter.
    pub async fn tell(&self, call: Call<'_>, body: &Value) -> Result<(), BackendError> {
        let request = self.request(Method::POST, call).json(body);
        within(call, async { self.accepted(call, self.sent(request, call).await?).await.map(drop) }).await
    }

    /// Has something removed.
    pub async fn delete(&self, call: Call<'_>) -> Result<(), BackendError> {
        let request = self.request(Method::DELETE, call);
        within(call, async { self.accepted(call, self.sent(request, call).await?).await.map(drop) }).await
    }

    /// Reads something whose body holds secrets beside it: nothing of it is repeated when it cannot be read.
    pub async fn get_guarded<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, BackendError> {
        self.get(call).await.map_err(|error| match error {
            BackendError::Refused(_) => {
                BackendError::Refused(format!("opencode's answer while {} cannot be read", call.doing))
            }
            other => other,
        })
    }

    /// Refuses a directory whose checkout nobody has said to trust.
    pub fn pass(&self, directory: &str) -> Result<(), BackendError> {
        self.gate.pass(directory)
    }

    /// Opens the stream of events of all directories.
    pub async fn events(&self) -> Result<Response, BackendError> {
        let call = Call::new(self.dialect.events_path(), "opening its event stream").within(STREAM_LIMIT);
        let request = self.request(Method::GET, call);
        within(call, async { self.accepted(call, self.sent(request, call).await?).await }).await
    }

    fn request(&self, method: Method, call: Call<'_>) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{}", self.base, call.path))
            .basic_auth(USER, Some(self.password.reveal()))
            .query(call.query);
        match call.directory {
            Some(directory) => request.query(&[(self.dialect.directory_key(), directory)]),
            None => request,
        }
    }

    async fn read<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        request: RequestBuilder,
    ) -> Result<T, BackendError> {
        within(call, async {
            let answer = self.accepted(call, self.sent(request, call).await?).await?;
            let is_json = answer
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|kind| kind.to_str().ok())
                .is_some_and(|kind| kind.starts_with("application/json"));
            if !is_json {
                // An unknown path is answered with the page of its web interface.
                return Err(BackendError::Refused(format!(
                    "this opencode has no {} ({}): {}",
                    call.path,
                    call.doing,
                    self.dialect.needed()
                )));
            }
            serde_json::from_slice(&body(answer, call).await?).map_err(|error| {
                BackendError::Refused(format!(
                    "opencode's answer while {} cannot be read: {error}",
                    call.doing
                ))
            })
        })
        .await
    }

    async fn sent(&self, request: RequestBuilder, call: Call<'_>) -> Result<Response, BackendError> {
        if let Some(directory) = call.directory {
            self.gate.pass(directory)?;
        }
        let began = Instant::now();
        request.send().await.map_err(|error| match error.is_connect() {
            true => BackendError::Down { backend: NAME, why: "it cannot be connected to".into() },
            false => broken(call, began),
        })
    }

    async fn accepted(&self, call: Call<'_>, answer: Response) -> Result<Response, BackendError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = body(answer, call).await.unwrap_or_default();
        if let Some(error) = unreadable(&body) {
            return Err(error);
        }
        let mut said = reason(&body).unwrap_or_else(|| status.to_string());
        if let Some(reference) = reference(&body)
            && let Some(cause) = self.causes.of(&reference).await
        {
            said = cause;
        }
        Err(match status {
            StatusCode::NOT_FOUND => BackendError::NoSuch(format!("opencode found no such thing: {said}")),
            _ => BackendError::Refused(format!("opencode refused while {}: {said}", call.doing)),
        })
    }
}

async fn within<T>(
    call: Call<'_>,
    work: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    timeout(call.limit, work).await.unwrap_or(Err(BackendError::Silent {
        backend: NAME,
        seconds: call.limit.as_secs(),
        doing: call.doing,
    }))
}

/// An answer that did not come to its end says nothing about what was done.
fn broken(call: Call<'_>, began: Instant) -> BackendError {
    BackendError::Silent { backend: NAME, seconds: began.elapsed().as_secs(), doing: call.doing }
}

async fn body(mut answer: Response, call: Call<'_>) -> Result<BytesMut, BackendError> {
    let (mut out, began) = (BytesMut::new(), Instant::now());
    while let Some(chunk) = answer.chunk().await.map_err(|_| broken(call, began))? {
        if out.len() + chunk.len() > BODY_MAX {
            return Err(BackendError::Refused(format!(
                "opencode's answer while {} is longer than {} MiB",
                call.doing,
                BODY_MAX >> 20
            )));
        }
        out.extend_from_slice(&chunk);
    }
    Ok(out)
}

/// The entries that can be read.
fn each<T: DeserializeOwned>(entries: Vec<Box<RawValue>>, call: Call<'_>) -> Vec<T> {
    let all = entries.len();
    let mut why = None;
    let read =
        |entry: Box<RawValue>| serde_json::from_str(entry.get()).map_err(|error| why = Some(error)).ok();
    let out: Vec<T> = entries.into_iter().filter_map(read).collect();
    if let Some(why) = why {
        let count = all - out.len();
        tracing::warn!("{count} of {all} entries of opencode cannot be read while {}: {why}", call.doing);
    }
    out
}

/// An error body that names a file which a person has to mend.
fn unreadable(body: &[u8]) -> Option<BackendError> {
    #[derive(Deserialize)]
    struct Failure {
        name: String,
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        path: PathBuf,
        message: Option<String>,
        #[serde(default)]
        issues: Vec<Issue>,
    }
    #[derive(Deserialize)]
    struct Issue {
        #[serde(default)]
        path: Vec<Value>,
        #[serde(default)]
        message: String,
    }
    let Failure { name, data } = serde_json::from_slice(body).ok()?;
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let issue = |issue: &Issue| {
        format!("{}: {}", issue.path.iter().map(word).collect::<Vec<_>>().join("."), issue.message)
    };
    let why = match (data.issues.as_slice(), &data.message) {
        // The message repeats the whole file, and names the errors at its end.
        ([], Some(message)) => {
            let errors = message.rsplit_once("--- Errors ---").map_or(message.as_str(), |(_, errors)| errors);
            // Below each error the line is shown, indented.
            let is_error = |line: &&str| !line.is_empty() && !line.starts_with([' ', '-']);
            errors.lines().filter(is_error).collect::<Vec<_>>().join("; ")
        }
        ([], None) => name,
        (issues, _) => issues.iter().map(issue).collect::<Vec<_>>().join("; "),
    };
    Some(BackendError::Unreadable { file: data.path, why: why.chars().take(ERROR_MAX).collect() })
}

/// The name of the line in opencode's log that says more.
fn reference(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(body.get("data")?.get("ref")?.as_str()?.to_owned())
}

/// What an error body says.
fn reason(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Failure {
        name: Option<String>,
        message: Option<String>,
        data: Option<Data>,
    }
    #[derive(Deserialize)]
    struct Data {
        message: Option<String>,
    }
    let failure: Failure = serde_json::from_slice(body).ok()?;
    let text = failure.data.and_then(|data| data.message).or(failure.message).or(failure.name)?;
    Some(text.chars().take(ERROR_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_what_is_wrong() {
        let text = |body: &[u8]| unreadable(body).unwrap().to_string();
        let json = br#"{"name":"ConfigJsonError","data":{"path":"/p/opencode.json","message":"\n--- JSONC Input ---\n{ \"model\": \n\n--- Errors ---\nValueExpected at line 2, column 1\nCloseBraceExpected at line 2, column 1\n--- End ---"}}"#;
        assert_eq!(
            text(json),
            "/p/opencode.json cannot be read by the coding agent: ValueExpected at line 2, column 1; \
             CloseBraceExpected at line 2, column 1"
        );
        let kind = br#"{"name":"ConfigInvalidError","data":{"path":"/p/opencode.json","issues":[{"path":["model"],"message":"Expected string, got 7"}]}}"#;
        assert!(text(kind).ends_with(": model: Expected string, got 7"));
        assert!(unreadable(br#"{"name":"NotFoundError","data":{"message":"Session not found"}}"#).is_none());
    }

    #[test]
    fn the_reason_is_found_in_the_shapes_of_errors() {
        let found = br#"{"name":"NotFoundError","data":{"message":"Session not found: ses_1"}}"#;
        assert_eq!(reason(found).as_deref(), Some("Session not found: ses_1"));
        assert_eq!(reason(br#"{"name":"BadRequest"}"#).as_deref(), Some("BadRequest"));
        assert_eq!(reason(b"<html>"), None);
    }
}
