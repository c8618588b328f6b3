//! Providers as they document themselves: pages bound to their query, keys, refusals, and days that grow or are corrected.
//! Amounts are kept in 10^-9 dollars, so that the sums of a test are whole numbers of its own.

pub mod google;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::world::World;

/// The key that every provider wants. It must be found nowhere but in the configuration.
pub const KEY: &str = "sk-a-key-of-the-tests-7f2d9c";

/// The path of Google's table.
pub const TABLE: &str = "p-1.billing.gcp_billing_export_v1_0123AB_CDEF45_678901";

/// What is wrong with the next answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, with a pause to make before the next try.
    Status(u16, Option<u64>),
    /// No answer as long as the stand-in lives.
    Silence,
    /// Something else than the documented answer.
    Garbage(&'static str),
    /// The same page again and again.
    Circle,
}

/// A line of a bill.
#[derive(Clone, Debug)]
pub struct Line {
    /// The model, or what else it is for.
    pub name: &'static str,
    /// 10^-9 dollars.
    pub nanos: i64,
    /// Input, output, read from the cache, written to it.
    pub tokens: [u64; 4],
}

/// What it knows, and what it was asked.
#[derive(Default)]
pub struct Facts {
    /// Bills by day.
    pub days: BTreeMap<String, Vec<Line>>,
    /// What is wrong with the next answers, one each.
    pub faults: VecDeque<Fault>,
    /// What is wrong with every answer.
    pub broken: Option<Fault>,
    /// What is wrong with a later answer.
    later: Option<(usize, Fault)>,
    /// Faults that were shown.
    pub fired: usize,
    /// When it was asked, and what.
    pub asked: Vec<(Instant, String)>,
    /// Answers that were whole.
    pub answered: usize,
    /// Looks at a job of BigQuery before it is done.
    looks: usize,
}

/// A provider. Ends with the world's runtime.
#[derive(Clone)]
pub struct Stand {
    /// Its address.
    pub url: String,
    facts: Arc<Mutex<Facts>>,
}

impl Facts {
    /// The request after so many from now on is answered so.
    pub fn fault_at(&mut self, nth: usize, fault: Fault) {
        self.later = Some((nth, fault));
    }

    fn next_fault(&mut self) -> Option<Fault> {
        match self.later.take() {
            Some((0, fault)) => return Some(fault),
            Some((nth, fault)) => self.later = Some((nth - 1, fault)),
            None => {}
        }
        self.faults.pop_front().or_else(|| self.broken.clone())
    }
}

impl Stand {
    /// Starts one on a free port.
    pub fn start(world: &World) -> Self {
        world.run(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let stand = Self { url, facts: Arc::default() };
            let api = Router::new()
                .route("/v1/organizations/cost_report", get(anthropic_cost))
                .route("/v1/organizations/usage_report/messages", get(anthropic_usage))
                .route("/organization/costs", get(openai_cost))
                .route("/organization/usage/completions", get(openai_usage))
                .route("/token", post(google::token))
                .route("/projects/{project}/queries", post(google::query))
                .route("/projects/{project}/queries/{job}", get(google::look))
                .layer(axum::middleware::from_fn_with_state(stand.clone(), faults))
                .with_state(stand.clone());
            tokio::spawn(async move { axum::serve(listener, api).await.unwrap() });
            stand
        })
    }

    /// Its facts, to look at or to change.
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }
}

/// Writes down what was asked, and answers with what is wrong.
async fn faults(State(stand): State<Stand>, request: Request, next: axum::middleware::Next) -> Response {
    let fault = {
        let mut facts = stand.facts();
        facts.asked.push((Instant::now(), request.uri().to_string()));
        let fault = facts.next_fault();
        facts.fired += usize::from(fault.is_some());
        facts.answered += usize::from(fault.is_none());
        fault
    };
    match fault {
        None => next.run(request).await,
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Garbage(text)) => (StatusCode::OK, text).into_response(),
        Some(Fault::Circle) => {
            let page = json!({"data": [], "has_more": true, "next_page": "page_again"});
            Json(page).into_response()
        }
        Some(Fault::Status(status, pause)) => {
            let body = json!({"type": "error", "error": {"type": "an_error", "message": format!("no: {KEY}")},
                "request_id": "req_018EeWyXxfu5pfWkrYcMdjWG"});
            let mut response = (StatusCode::from_u16(status).unwrap(), Json(body)).into_response();
            if let Some(pause) = pause {
                response.headers_mut().insert("retry-after", pause.to_string().parse().unwrap());
            }
            response
        }
    }
}

/// The parameters of a query; lists come as `name[]` again and again.
fn parameters(query: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://x/?{query}")).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn one(query: &[(String, String)], name: &str) -> Option<String> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

fn many(query: &[(String, String)], name: &str) -> Vec<String> {
    query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
}

fn refusal(status: u16, kind: &str, message: &str) -> Response {
    let body =
        json!({"type": "error", "error": {"type": kind, "message": message, "param": null, "code": null}});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

/// A page of three days at most, oldest first, those without a line too.
fn page(
    stand: &Stand,
    query: &[(String, String)],
    (from, until): (String, String),
    bucket: impl Fn(&str, &[Line]) -> Value,
) -> Response {
    const DAYS: usize = 3;
    let frame: Vec<_> = query.iter().filter(|(name, _)| name != "page").collect();
    let bound =
        format!("{frame:?}").bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let start = match one(query, "page")
        .map(|page| page.split_once('_').map(|(a, b)| (a.to_owned(), b.to_owned())))
    {
        None => 0,
        Some(Some((to, at))) if to == bound.to_string() => at.parse().unwrap(),
        Some(_) => {
            return refusal(400, "invalid_request_error", "cursor does not match current query parameters");
        }
    };
    let facts = stand.facts();
    let first = crate::provider::number(&from);
    let days: Vec<String> = (first..crate::provider::number(&until)).map(crate::provider::name).collect();
    let shown = days.iter().skip(start).take(DAYS);
    let none = Vec::new();
    let data: Vec<Value> = shown.map(|day| bucket(day, facts.days.get(day).unwrap_or(&none))).collect();
    let has_more = start + DAYS < days.len();
    let next = has_more.then(|| format!("{bound}_{}", start + DAYS));
    Json(json!({"object": "page", "data": data, "has_more": has_more, "next_page": next})).into_response()
}

fn anthropic_days(
    headers: &HeaderMap,
    query: &[(String, String)],
) -> Result<(String, String), Box<Response>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if header("x-api-key") != Some(KEY) {
        return Err(Box::new(refusal(401, "authentication_error", "invalid x-api-key")));
    }
    let start = one(query, "starting_at").filter(|_| header("anthropic-version") == Some("2023-06-01"));
    let Some(start) = start.filter(|_| one(query, "bucket_width").as_deref() == Some("1d")) else {
        return Err(Box::new(refusal(400, "invalid_request_error", "starting_at: Field required")));
    };
    let until = one(query, "ending_at").unwrap();
    Ok((start[..10].to_owned(), until[..10].to_owned()))
}

/// A decimal text of so many 10^-`digits`.
fn decimal(value: i64, digits: usize) -> String {
    let one = 10_i64.pow(u32::try_from(digits).unwrap());
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{:0digits$}", value.abs() / one, value.abs() % one)
}

async fn anthropic_cost(
    State(stand): State<Stand>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = parameters(&query.unwrap_or_default());
    let days = match anthropic_days(&headers, &query) {
        Ok(days) => days,
        Err(refusal) => return *refusal,
    };
    assert_eq!(many(&query, "group_by[]"), ["workspace_id", "description"]);
    page(&stand, &query, days, |day, lines| {
        let result = |line: &Line| {
            let model = line.name.starts_with("claude").then_some(line.name);
            json!({"amount": decimal(line.nanos, 7), "currency": "USD", "cost_type": "tokens", "model": model,
                "description": format!("{} Usage", line.name), "token_type": "output_tokens", "service_tier": "standard",
                "context_window": "0-200k", "inference_geo": "a new one", "workspace_id": null})
        };
        let results: Vec<Value> = lines.iter().map(result).collect();
        json!({"starting_at": format!("{day}T00:00:00Z"), "ending_at": "later", "results": results})
    })
}

async fn anthropic_usage(
    State(stand): State<Stand>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = parameters(&query.unwrap_or_default());
    let days = match anthropic_days(&headers, &query) {
        Ok(days) => days,
        Err(refusal) => return *refusal,
    };
    page(&stand, &query, days, |day, lines| {
        let models = lines.iter().filter(|line| line.name.starts_with("claude"));
        let result = |line: &Line| {
            let [input, output, read, write] = line.tokens;
            json!({"uncached_input_tokens": input, "output_tokens": output, "cache_read_input_tokens": read,
                "cache_creation": {"ephemeral_1h_input_tokens": write / 2, "ephemeral_5m_input_tokens": write - write / 2},
                "model": line.name, "workspace_id": null, "api_key_id": "apikey_01", "service_tier": "priority_on_demand",
                "server_tool_use": {"web_search_requests": 10}})
        };
        let results: Vec<Value> = models.map(result).collect();
        json!({"starting_at": format!("{day}T00:00:00Z"), "ending_at": "later", "results": results})
    })
}

fn openai_days(headers: &HeaderMap, query: &[(String, String)]) -> Result<(String, String), Box<Response>> {
    let key = headers.get("authorization").and_then(|value| value.to_str().ok());
    if key != Some(&format!("Bearer {KEY}")) {
        let message = "You have insufficient permissions for this operation. Missing scopes: api.usage.read.";
        return Err(Box::new(refusal(403, "invalid_request_error", message)));
    }
    let day = |name: &str| {
        let seconds: i64 = one(query, name)?.parse().ok()?;
        Some(crate::provider::name(seconds / 86_400))
    };
    match (day("start_time"), day("end_time")) {
        (Some(from), Some(until)) => Ok((from, until)),
        _ => Err(Box::new(refusal(400, "invalid_request_error", "start_time is required"))),
    }
}

fn openai_bucket(day: &str, results: &[Value]) -> Value {
    let start = crate::provider::number(day) * 86_400;
    json!({"object": "bucket", "start_time": start, "end_time": start + 86_400,
        "start_time_iso": format!("{day}T00:00:00"), "results": results})
}

/// Amounts are numbers and texts in turn, as both were seen.
async fn openai_cost(State(stand): State<Stand>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = parameters(&query.unwrap_or_default());
    let days = match openai_days(&headers, &query) {
        Ok(days) => days,
        Err(refusal) => return *refusal,
    };
    assert_eq!(many(&query, "group_by[]"), ["project_id", "line_item", "api_key_id"]);
    page(&stand, &query, days, |day, lines| {
        let result = |(nth, line): (usize, &Line)| {
            let text = decimal(line.nanos, 9);
            let value = match nth % 2 {
                0 => serde_json::from_str(&text).unwrap(),
                _ => Value::String(format!("{text}000000000000000000000")),
            };
            let item =
                if line.name.contains(' ') { line.name.to_owned() } else { format!("{}, input", line.name) };
            json!({"object": "organization.costs.result", "amount": {"value": value, "currency": "usd"},
                "line_item": item, "project_id": "proj_1", "project_name": "extra", "api_key_id": null,
                "quantity": null, "quantity_unit": null})
        };
        let results: Vec<Value> = lines.iter().enumerate().map(result).collect();
        openai_bucket(day, &results)
    })
}

async fn openai_usage(State(stand): State<Stand>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = parameters(&query.unwrap_or_default());
    let days = match openai_days(&headers, &query) {
        Ok(days) => days,
        Err(refusal) => return *refusal,
    };
    page(&stand, &query, days, |day, lines| {
        let models = lines.iter().filter(|line| !line.name.contains(' '));
        let result = |line: &Line| {
            let [input, output, read, write] = line.tokens;
            json!({"object": "organization.usage.completions.result", "input_tokens": input + read + write,
                "input_cached_tokens": read, "input_cache_write_tokens": write, "output_tokens": output,
                "num_model_requests": 5, "project_id": "proj_1", "api_key_id": null, "user_id": null,
                "model": line.name, "batch": null, "service_tier": null})
        };
        let mut results: Vec<Value> = models.map(result).collect();
        results.push(json!({"object": "organization.usage.something_new.result", "num_requests": 2}));
        openai_bucket(day, &results)
    })
}
