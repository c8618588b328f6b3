//! Talking to the supervisor: questions, commands, and opening its live stream.

mod failure;
mod patient;
pub mod tls;

use std::marker::PhantomData;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::discover::{Origin, Target, is_loopback};
use hal_base::exit::{Exit, Failure};
use hal_protocol::api::{Answer, Code};
use hal_protocol::command::{CommandRequest, CommandView};
use hal_protocol::ctl_file::LOGIN_HEADER;

/// A connection that is not there after this long will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a far side has to say takes no longer, and the supervisor says so before.
const SLOW_TIMEOUT: Duration = Duration::from_secs(90);

/// How long an answer to a question may take: the largest pages come from the supervisor's disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What a command's answer may take beyond the time it was asked to wait for the outcome.
const COMMAND_SLACK: Duration = Duration::from_secs(15);

/// How long the supervisor waits for a command's outcome when nobody says.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// A live stream that says nothing for this long is dead: the supervisor says something every 15 s.
const STREAM_SILENCE: Duration = Duration::from_secs(45);

/// The largest answer, in bytes: a page of a thousand events, most of them small.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// Characters of an answer that is not ours shown in a sentence.
const MAX_FOREIGN_TEXT: usize = 120;

/// What is said of a supervisor that does not know a path by a method.
const OLDER: &str =
    concat!("is it of an earlier release than this halctl (", env!("CARGO_PKG_VERSION"), ")?");

/// Words of what a supervisor says of a token that it knows and does not accept.
const KNOWN: [&str; 3] = ["revoked", "expired", "removed"];

/// Whom root acts for, at the socket of this machine.
const LOGIN: HeaderName = HeaderName::from_static(LOGIN_HEADER);

/// Parameters of a question; empty values are left out.
pub type Query = Vec<(&'static str, String)>;

/// A supervisor that can be asked.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    streams: reqwest::Client,
    target: Target,
}

impl Client {
    /// Prepares to talk; connects to nothing yet.
    pub fn new(target: Target) -> Result<Self, Failure> {
        let target = tls::tried_first(through_socket(target));
        let http = builder(&target)?.build().map_err(|error| unprepared(&error))?;
        let streams =
            builder(&target)?.read_timeout(STREAM_SILENCE).build().map_err(|error| unprepared(&error))?;
        Ok(Self { http, streams, target })
    }

    /// Asks for `path` (segments below `/api/v1`).
    pub async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &Query) -> Result<Answer<T>, Failure> {
        let request = self.request(&self.http, Method::GET, path, query).timeout(ANSWER_TIMEOUT);
        self.answer(exchange(request).await)
    }

    /// Asks for a list that comes in one piece.
    pub async fn list<T: DeserializeOwned>(&self, path: &[&str], query: &Query) -> Result<Vec<T>, Failure> {
        let answer: Answer<Rows<T>> = self.get(path, query).await?;
        Ok(answer.data.told(path))
    }

    /// Asks for a path outside of `/api/v1`, whatever the status of the answer is. The error says why there is none.
    pub async fn outside(
        &self,
        path: &str,
        with_token: bool,
        limit: Duration,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        let url = self.target.url.join(path).map_err(|error| error.to_string())?;
        let request = self.http.get(url).timeout(limit);
        let request = match &self.target.token {
            Some((token, _)) if with_token => request.bearer_auth(token.reveal()),
            _ => request,
        };
        exchange(request).await.map_err(|broken| match broken {
            Broken::Connection(error) => failure::diagnose(&error, &self.target.url).0,
            Broken::TooLarge => format!("the answer is larger than {MAX_ANSWER_BYTES} bytes"),
        })
    }

    /// A list, page by page, until there were `limit` items (`None`: all of them).
    pub fn pages<T: DeserializeOwned>(
        &self,
        path: &'static str,
        query: Query,
        limit: Option<usize>,
        page: usize,
    ) -> Pages<'_, T> {
        let left = limit.unwrap_or(usize::MAX);
        Pages { client: self, path, query, left, page, cursor: Some(String::new()), items: PhantomData }
    }

    /// Asks for a change that does no harm when it is asked for twice.
    pub async fn post<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Answer<T>, Failure> {
        let request = self.request(&self.http, Method::POST, path, &Query::new()).timeout(ANSWER_TIMEOUT);
        self.answer(exchange(request).await)
    }

    /// The same, with something to say.
    pub async fn post_with<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl serde::Serialize,
    ) -> Result<Answer<T>, Failure> {
        let request = self.request(&self.http, Method::POST, path, &Query::new()).timeout(ANSWER_TIMEOUT);
        self.answer(exchange(request.json(body)).await)
    }

    /// The same, of what takes as long as a far side does.
    pub async fn post_slow<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Answer<T>, Failure> {
        let request = self.request(&self.http, Method::POST, path, &Query::new()).timeout(SLOW_TIMEOUT);
        self.answer(exchange(request).await)
    }

    /// Asks for a change with a body; twice does no harm. `wait` is how long the supervisor may take over it.
    pub async fn put_to<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        wait: Option<Duration>,
    ) -> Result<Answer<T>, Failure> {
        let limit = wait.unwrap_or(COMMAND_TIMEOUT) + COMMAND_SLACK;
        let request = self.request(&self.http, Method::POST, path, &Query::new()).timeout(limit);
        self.answer(exchange(request.json(body)).await)
    }

    /// Asks for a change with a body.
    pub async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<Answer<T>, Failure> {
        let request = self.request(&self.http, method, path, &Query::new()).timeout(ANSWER_TIMEOUT);
        self.answer(exchange(request.json(body)).await)
    }

    /// Asks a node for something and gives the command as it stands after the outcome or `request.timeout`.
    /// Sent once more, with the same key, when the connection broke: then it may or may not have arrived.
    pub async fn command(&self, request: &CommandRequest) -> Result<CommandView, Failure> {
        let wait = request.timeout.map_or(COMMAND_TIMEOUT, Duration::from_secs);
        let ask = || {
            let post = self.request(&self.http, Method::POST, &["commands"], &Query::new());
            let post = post.header("Idempotency-Key", &request.idempotency_key);
            exchange(post.timeout(wait + COMMAND_SLACK).json(request))
        };
        let mut got = ask().await;
        if let Err(Broken::Connection(error)) = &got
            && !error.is_connect()
            && !error.is_timeout()
        {
            got = ask().await;
        }
        Ok(self.answer::<CommandView>(got)?.data)
    }

    /// Opens the live stream.
    pub async fn stream(&self, query: &Query) -> Result<Response, Failure> {
        let request = self
            .request(&self.streams, Method::GET, &["stream"], query)
            .header("Accept", "text/event-stream");
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        match body(response).await {
            Ok(body) => Err(self.refused(status, &body)),
            Err(broken) => Err(self.broken(&broken)),
        }
    }

    fn request(
        &self,
        http: &reqwest::Client,
        method: Method,
        path: &[&str],
        query: &Query,
    ) -> RequestBuilder {
        let mut url = self.target.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let query: Vec<_> = query.iter().filter(|(_, value)| !value.is_empty()).collect();
        let request = http.request(method, url).query(&query);
        match &self.target.token {
            Some((token, _)) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    fn answer<T: DeserializeOwned>(
        &self,
        got: Result<(StatusCode, Vec<u8>), Broken>,
    ) -> Result<Answer<T>, Failure> {
        let (status, body) = got.map_err(|broken| self.broken(&broken))?;
        if status != StatusCode::OK {
            return Err(self.refused(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| {
            let sentence = format!(
                "an answer of {} cannot be read; is halctl of the supervisor's version?",
                self.target.url
            );
            Failure::new(Exit::Failed, anyhow::Error::new(error).context(sentence))
        })
    }

    fn broken(&self, broken: &Broken) -> Failure {
        match broken {
            Broken::Connection(error) => self.unreachable(error),
            Broken::TooLarge => Failure::say(
                Exit::Failed,
                format!("the answer is larger than {MAX_ANSWER_BYTES} bytes; ask for less with --limit"),
            ),
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let url = &self.target.url;
            return Failure::say(
                Exit::Failed,
                format!("the supervisor at {url} does not know this yet: {OLDER}"),
            );
        }
        let refused = serde_json::from_slice(body);
        if status == StatusCode::UNAUTHORIZED {
            return self.not_allowed(refused.ok().map(|refused: Refused| refused.error).as_deref());
        }
        let Ok(Refused { error, code }) = refused else {
            let text = String::from_utf8_lossy(body);
            let text = super::print::text::short(text.trim(), MAX_FOREIGN_TEXT);
            let sentence = format!(
                "{} answered {status} {text:?}, which is not an answer of a HAL-O-SWARM supervisor; check the URL (from {})",
                self.target.url, self.target.url_from
            );
            return Failure::say(Exit::Failed, sentence);
        };
        match serde_json::from_value(code).ok() {
            Some(Code::AuthRequired) => self.not_allowed(Some(&error)),
            Some(Code::Forbidden) => Failure::say(Exit::NotAllowed, error),
            Some(Code::NotFound) => Failure::say(Exit::NotFound, error),
            Some(Code::ServiceUnavailable) => {
                Failure::say(Exit::Unreachable, format!("the supervisor cannot answer now: {error}"))
            }
            _ => Failure::say(Exit::Failed, error),
        }
    }

    /// `why`: what the supervisor says of the token, which is worth telling when it knows the token.
    fn not_allowed(&self, why: Option<&str>) -> Failure {
        let Target { url, token, notes, .. } = &self.target;
        let mut sentence = match token {
            Some((_, from)) => format!(
                "{url} does not accept the token from {from}. Give another one with --token-file, or see `halctl config get`."
            ),
            None => format!(
                "{url} requires a token and none was found. Give one with --token-file FILE, or remember it with \
                 `halctl config set --url {url} --token-file FILE`."
            ),
        };
        if let Some(why) = why.filter(|why| token.is_some() && KNOWN.iter().any(|known| why.contains(known)))
        {
            sentence = format!("{url}: {why}");
        }
        for note in notes {
            sentence.push(' ');
            sentence.push_str(note);
        }
        Failure::say(Exit::NotAllowed, sentence)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let Target { url, url_from, notes, .. } = &self.target;
        let (why, help) = failure::diagnose(error, url);
        let (place, notes) = match url_from {
            Origin::Default => ("no other was configured".to_owned(), notes.as_slice()),
            from => (format!("from {from}"), &[][..]),
        };
        let sentence = format!("cannot reach the supervisor at {url} ({place}): {why}. {help}");
        Failure::say(Exit::Unreachable, [&[sentence], notes].concat().join(" "))
    }
}

/// A list that is fetched page by page.
pub struct Pages<'a, T> {
    client: &'a Client,
    path: &'static str,
    query: Query,
    left: usize,
    page: usize,
    /// Where the next page begins: empty for the first one, `None` after the last.
    cursor: Option<String>,
    items: PhantomData<T>,
}

impl<T: DeserializeOwned> Pages<'_, T> {
    /// The next page; `None` when there are no more.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, Failure> {
        let Some(cursor) = self.cursor.take().filter(|_| self.left > 0) else { return Ok(None) };
        let mut query = self.query.clone();
        query.push(("limit", self.left.min(self.page).to_string()));
        query.push(("cursor", cursor.clone()));
        let answer: Answer<Rows<T>> = self.client.get(&[self.path], &query).await?;
        let mut rows = answer.data.told(&[self.path]);
        rows.truncate(self.left);
        self.left -= rows.len();
        let next = answer.meta.and_then(|meta| meta.next_cursor).filter(|next| !next.is_empty());
        // A supervisor that gives the same page again would keep us here for ever.
        self.cursor = next.filter(|next| *next != cursor);
        Ok(Some(rows))
    }

    /// All pages together.
    pub async fn all(mut self) -> Result<Vec<T>, Failure> {
        let mut items = Vec::new();
        while let Some(page) = self.next().await? {
            items.extend(page);
        }
        Ok(items)
    }
}

/// The rows of a list. One that cannot be read keeps nobody from the others.
struct Rows<T> {
    read: Vec<T>,
    /// How many could not be read, and why the first one could not.
    unread: Option<(usize, String)>,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let all = Vec::<Box<RawValue>>::deserialize(input)?;
        let mut rows = Self { read: Vec::with_capacity(all.len()), unread: None };
        for row in all {
            match serde_json::from_str(row.get()) {
                Ok(row) => rows.read.push(row),
                Err(why) => rows.unread.get_or_insert_with(|| (0, why.to_string())).0 += 1,
            }
        }
        Ok(rows)
    }
}

impl<T> Rows<T> {
    /// Those that could be read; of the others the person hears.
    fn told(self, path: &[&str]) -> Vec<T> {
        if let Some((count, why)) = &self.unread {
            let (rows, are) = if *count == 1 { ("row", "is") } else { ("rows", "are") };
            let of = path.join("/");
            let why = super::print::text::clean(why);
            anstream::eprintln!(
                "{count} {rows} of {of} cannot be read and {are} left out: {why}. Is halctl of the supervisor's version?"
            );
        }
        self.read
    }
}

/// Why there is no whole answer.
enum Broken {
    Connection(reqwest::Error),
    TooLarge,
}

/// By the socket nothing is encrypted, and no token is shown: nobody but the supervisor of this machine is there.
fn through_socket(mut target: Target) -> Target {
    if target.socket.is_some() {
        // What has a host can have the scheme http.
        let _ = target.url.set_scheme("http");
        (target.token, target.ca_file, target.pin) = (None, None, None);
    }
    target
}

async fn exchange(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Broken> {
    let response = request.send().await.map_err(Broken::Connection)?;
    Ok((response.status(), body(response).await?))
}

async fn body(response: Response) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(Broken::Connection)?);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(Broken::TooLarge);
        }
    }
    Ok(body)
}

/// A refusal; its code may be a word from the future.
#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    code: serde_json::Value,
}

fn builder(target: &Target) -> Result<reqwest::ClientBuilder, Failure> {
    // Another part of the process may have chosen the same provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // A supervisor never redirects; whoever does is not one, and must not be given the token.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("halctl/", env!("CARGO_PKG_VERSION")));
    if is_loopback(&target.url) {
        builder = builder.no_proxy();
    }
    if let Some(socket) = &target.socket {
        builder = builder.unix_socket(socket.path.as_path()).no_proxy();
        let login = socket.login.as_deref().and_then(|login| HeaderValue::from_str(login).ok());
        if let Some(login) = login {
            builder = builder.default_headers(HeaderMap::from_iter([(LOGIN, login)]));
        }
    }
    match tls::trust(target)? {
        Some(config) => builder = builder.tls_backend_preconfigured(config),
        // Without TLS no authorities are needed, and a small machine may have none.
        None if target.url.scheme() == "http" => builder = builder.tls_certs_only([]),
        None => {}
    }
    Ok(builder)
}

fn unprepared(error: &reqwest::Error) -> Failure {
    let causes = failure::causes(error).join(": ");
    Failure::say(
        Exit::Failed,
        format!(
            "cannot prepare the connection: {causes}. Does this machine have certificate authorities (ca-certificates), or is --ca-file needed?"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_cannot_be_read_keeps_nobody_from_the_others() {
        let text = r#"{"data": [{"seq": 1}, {"seq": "one"}, {"seq": 3}, 4], "meta": {"total": 4}}"#;
        #[derive(Deserialize)]
        struct Row {
            seq: u64,
        }
        let answer: Answer<Rows<Row>> = serde_json::from_str(text).unwrap();
        let (count, why) = answer.data.unread.clone().unwrap();
        assert!(count == 2 && why.contains("invalid type"), "{count} {why}");
        let read: Vec<u64> = answer.data.told(&["things"]).iter().map(|row| row.seq).collect();
        assert_eq!((read, answer.meta.unwrap().total), (vec![1, 3], 4));
    }
}
