//! A far side that speaks HTTP: a web address, or PagerDuty.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Base;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path.
    pub path: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Value,
    /// The body as it came.
    pub raw: String,
    /// When.
    pub at: Instant,
    /// Whether it was taken.
    pub taken: bool,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It answers this, with this header.
    Answer(u16, Option<(&'static str, &'static str)>),
    /// The connection is cut before the request is read.
    Cut,
    /// The request is taken, and the connection cut before the answer.
    TakenAndCut,
}

/// How such a far side answers a request that it reads: a status and a body.
type Judge = dyn Fn(&Request) -> (u16, Value) + Send + Sync;

/// A far side that speaks HTTP.
pub struct HttpStandIn {
    /// Its port on loopback.
    pub port: u16,
    /// What it was told, and what goes wrong.
    pub base: Arc<Base<Request, Fault>>,
    limit: Arc<Mutex<Option<(usize, Duration)>>>,
}

impl HttpStandIn {
    /// One that takes everything.
    pub fn webhook() -> Self {
        Self::judging(|_| (200, json!({"ok": true})))
    }

    /// One that takes what PagerDuty takes.
    pub fn pagerduty() -> Self {
        Self::judging(pagerduty)
    }

    fn judging(judge: impl Fn(&Request) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let judge: Arc<Judge> = Arc::new(judge);
        let limit: Arc<Mutex<Option<(usize, Duration)>>> = Arc::default();
        let of_server = limit.clone();
        let (base, port) = Base::listen(move |stream, base| {
            let limit = *super::lock(&of_server);
            let _ = serve(stream, base, &judge, limit);
        });
        Self { port, base, limit }
    }

    /// From now on so many requests are taken within a time; more are answered 429 with `Retry-After: 1`.
    pub fn set_limit(&self, count: usize, within: Duration) {
        *super::lock(&self.limit) = Some((count, within));
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// The requests that it has taken, in order.
    pub fn taken(&self) -> Vec<Request> {
        self.base.heard().into_iter().filter(|request| request.taken).collect()
    }

    /// The same, each once however often it came: what a far side that knows repetitions has in the end.
    pub fn kept(&self) -> Vec<Request> {
        let mut kept: Vec<Request> = Vec::new();
        for request in self.taken() {
            if !kept.iter().any(|known| known.header("webhook-id") == request.header("webhook-id")) {
                kept.push(request);
            }
        }
        kept
    }
}

fn serve(
    mut stream: TcpStream,
    base: &Base<Request, Fault>,
    judge: &Arc<Judge>,
    limit: Option<(usize, Duration)>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(mut request) = read(&mut reader)? {
        let fault = base.next_fault();
        let (mut status, mut body, mut header) = (200, json!({}), None);
        match fault {
            Some(Fault::Cut) => return Ok(()),
            Some(Fault::TakenAndCut) => {
                request.taken = true;
                base.hear(request);
                return Ok(());
            }
            Some(Fault::Answer(wrong, with)) => {
                status = wrong;
                header = with;
            }
            None if is_too_many(base, limit) => {
                status = 429;
                header = Some(("retry-after", "1"));
            }
            None => (status, body) = judge(&request),
        }
        request.taken = (200..300).contains(&status);
        base.hear(request);
        let text = body.to_string();
        let extra = header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
        write!(
            stream,
            "HTTP/1.1 {status} it\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{extra}\r\n{text}",
            text.len()
        )?;
    }
    Ok(())
}

fn is_too_many(base: &Base<Request, Fault>, limit: Option<(usize, Duration)>) -> bool {
    let Some((count, within)) = limit else { return false };
    let heard = base.heard();
    heard.iter().filter(|one| one.taken && one.at.elapsed() < within).count() >= count
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().unwrap());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let raw = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_str(&raw).unwrap_or_default();
    Ok(Some(Request { path, headers, body, raw, at: Instant::now(), taken: false }))
}

/// What PagerDuty's documentation asks of an event.
fn pagerduty(request: &Request) -> (u16, Value) {
    let body = &request.body;
    let mut errors = Vec::new();
    if request.path != "/v2/enqueue" {
        return (404, json!({}));
    }
    if body["routing_key"].as_str().map(str::len) != Some(32) {
        errors.push("Length of 'routing_key' is incorrect (should be 32 characters)");
    }
    let action = body["event_action"].as_str().unwrap_or_default();
    if !["trigger", "acknowledge", "resolve"].contains(&action) {
        errors.push("'event_action' is not one of trigger, acknowledge, resolve");
    }
    let payload = &body["payload"];
    if action == "trigger" {
        let summary = payload["summary"].as_str().unwrap_or_default();
        if summary.is_empty() || summary.chars().count() > 1024 {
            errors.push("'payload.summary' is missing or too long");
        }
        if payload["source"].as_str().unwrap_or_default().is_empty() {
            errors.push("'payload.source' is missing or blank");
        }
        if !["critical", "error", "warning", "info"]
            .contains(&payload["severity"].as_str().unwrap_or_default())
        {
            errors.push("'payload.severity' is invalid");
        }
    }
    let key = body["dedup_key"].as_str().unwrap_or_default();
    if key.is_empty() || key.len() > 255 {
        errors.push("'dedup_key' is missing or too long");
    }
    match errors.is_empty() {
        true => (202, json!({"status": "success", "message": "Event processed", "dedup_key": key})),
        false => {
            (400, json!({"status": "invalid event", "message": "Event object is invalid", "errors": errors}))
        }
    }
}
