//! How the supervisor is: for people, for load balancers, for Prometheus.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::reading;
use crate::metrics::Files;
use crate::shared::Shared;
use crate::spent::add_up;
use hal_base::clock::{self, Time};
use hal_base::panic::contained;
use hal_rules::report::Period;
use hal_store::mirror;

/// A component is overloaded when the hub's queue is this full.
const FULL: f64 = 0.9;

/// How the supervisor is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `healthy` or `degraded`.
    status: &'static str,
    /// By name.
    components: BTreeMap<&'static str, Component>,
    /// Bytes on the disk: `store`, `mirror`, `backups`, `archive`, what is `free`, and what is `kept` of the bound
    /// `retention.max_size`. Only for those with a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<BTreeMap<&'static str, u64>>,
    /// When it was looked at (RFC 3339).
    #[serde(with = "hal_protocol::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    timestamp: Time,
}

/// How one part is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Component {
    /// `ok`, `unavailable`, or `behind`, which keeps the supervisor from nothing.
    status: &'static str,
    /// Seconds by which it is behind; of the mirror alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_seconds: Option<f64>,
    /// Why it is not healthy; absent when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Component {
    fn of(error: Option<String>) -> Self {
        let status = if error.is_none() { "ok" } else { "unavailable" };
        Self { status, lag_seconds: None, error }
    }

    /// The store is whole without its mirror, so a mirror in trouble makes nobody unready.
    fn of_mirror(mirror: mirror::MirrorHealth) -> Self {
        let status = if mirror.trouble.is_none() { "ok" } else { "behind" };
        Self { status, lag_seconds: Some(mirror.lag.as_secs_f64()), error: mirror.trouble }
    }
}

fn look(shared: &Shared) -> Health {
    let busy = shared.hub.pressure() > FULL;
    let stopping = shared.tasks.is_stopping().then(|| "the supervisor is stopping".to_owned());
    let components = BTreeMap::from([
        ("database", Component::of(shared.hub.health().store)),
        ("hub", Component::of(busy.then(|| "its queue is full: it cannot keep up".to_owned()))),
        ("mirror", Component::of_mirror(shared.mirror.now())),
        ("listener", Component::of(stopping.or_else(|| shared.accepting.trouble()))),
    ]);
    let well = components.values().all(|component| component.status != "unavailable");
    Health {
        status: if well { "healthy" } else { "degraded" },
        components,
        disk: None,
        timestamp: clock::now(),
    }
}

/// `GET /healthz`: the process lives. Needs no token and tells nothing else.
pub async fn alive() -> &'static str {
    "{\"status\":\"healthy\"}\n"
}

/// `GET /readyz`: 200 when it can do its work, else 503 and the sick component. Needs no token: load balancers have none.
pub async fn ready(State(shared): State<Shared>) -> Response {
    let health = look(&shared);
    let status = if health.status == "healthy" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

/// The health of each component, and disk use.
#[utoipa::path(get, path = "/api/v1/health", responses((status = 200, body = Health)))]
pub async fn api(State(shared): State<Shared>) -> Json<Health> {
    let files = files(&shared).await;
    let more = [("free", files.usage.free), ("kept", files.kept)];
    let disk = files.usage.parts().into_iter().chain(more).collect();
    Json(Health { disk: Some(disk), ..look(&shared) })
}

/// Looks at the files.
async fn files(shared: &Shared) -> Files {
    let shared = shared.clone();
    let look = move || {
        let (measured, backups) = (shared.growing.measure(), &shared.backups);
        Files {
            usage: measured.usage,
            kept: measured.kept,
            backup: backups.list().into_iter().next(),
            is_good: backups.seen().is_some_and(|seen| seen.problem.is_none()),
        }
    };
    tokio::task::spawn_blocking(move || contained(look).unwrap_or_default()).await.unwrap_or_default()
}

/// What Prometheus says that reads it.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// `GET /metrics`: for Prometheus, which can send the token (`authorization: credentials_file`).
pub async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    shared.scrapes.note(&headers);
    let files = files(&shared).await;
    let today = Period::named("today", clock::now());
    let costs = match today {
        Some(today) => reading(&shared, |shared| add_up(shared.hub.store(), today)).await.ok(),
        None => None,
    };
    let (hub, mirror, metrics) = (&shared.hub, shared.mirror.now(), &shared.metrics);
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, text) = match accepts.contains(OPEN_METRICS) {
        true => (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            metrics.text(hub, &mirror, &files, &costs),
        ),
        false => {
            ("text/plain; version=0.0.4; charset=utf-8", metrics.classic_text(hub, &mirror, &files, &costs))
        }
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
