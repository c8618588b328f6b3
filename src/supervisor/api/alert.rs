//! `GET /api/v1/alerts`, and saying that one knows.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use tokio::sync::oneshot;
use utoipa::IntoParams;

use super::strict::Body;
use super::{Answered, bounded, given, one, page};
use crate::hub::Stopped;
use crate::hub::input::{Input, OfIncident};
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_protocol::alert::{Alert, AlertRequest, AlertState, AlertView, INCIDENT_OPEN, Severity};
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::who::Who;

/// Bytes of an incident's name.
const MOST_ABOUT: usize = 256;

/// Bytes of a sentence on how it stands, as `halctl incident` takes them.
const MOST_TEXT: usize = 33 * 1024;

/// Which alerts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    /// `firing`, `acknowledged`, `resolved`, `open` (not resolved) or `all`; by default `open`.
    status: Option<String>,
    /// At least of this severity: `low`, `medium`, `high` or `critical`.
    severity: Option<String>,
    /// Of this kind, such as `node.offline`.
    name: Option<String>,
    /// At most so many; default 100, at most 1000.
    limit: Option<usize>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// Alerts, newest first.
#[utoipa::path(get, path = "/api/v1/alerts", params(AlertQuery), responses((status = 200, body = Answer<Vec<Alert>>), (status = 400, body = Refusal), (status = 401, body = Refusal)))]
pub async fn list(
    State(shared): State<Shared>,
    query: Result<Query<AlertQuery>, QueryRejection>,
) -> Answered<Vec<Alert>> {
    let query = query?.0;
    let wanted = states(given(query.status).as_deref())?;
    let least = match given(query.severity) {
        None => Severity::Low,
        Some(word) => Severity::parse(&word).ok_or_else(|| {
            ApiError::validation(format!("severity is {word:?}: expected low, medium, high or critical"))
        })?,
    };
    let before = match given(query.cursor) {
        None => u64::MAX,
        Some(text) => text.parse().map_err(|_| {
            ApiError::validation(format!("cursor is {text:?}: expected meta.next_cursor of the page before"))
        })?,
    };
    let (name, limit) = (given(query.name), bounded(query.limit));
    let view = shared.hub.view();
    let is_wanted = |alert: &Alert| {
        wanted.contains(&alert.status)
            && alert.severity >= least
            && name.as_ref().is_none_or(|name| *name == alert.name)
    };
    let found: Vec<&Alert> =
        view.stored.alerts.values().rev().map(|alert| &**alert).filter(|alert| is_wanted(alert)).collect();
    let rest = found.iter().skip_while(|alert| alert.id >= before);
    let alerts: Vec<Alert> = rest.clone().take(limit).map(|alert| Alert::clone(alert)).collect();
    let next_cursor = alerts.last().filter(|_| rest.count() > limit).map(|alert| alert.id.to_string());
    page(alerts, Meta { total: found.len() as u64, limit: Some(limit as u64), next_cursor })
}

fn states(word: Option<&str>) -> Result<Vec<AlertState>, ApiError> {
    match word {
        None | Some("open") => Ok(vec![AlertState::Firing, AlertState::Acknowledged]),
        Some("all") => Ok(AlertState::ALL.to_vec()),
        Some(word) => AlertState::parse(word).map(|state| vec![state]).ok_or_else(|| {
            let expected = "expected firing, acknowledged, resolved, open or all";
            ApiError::validation(format!("status is {word:?}: {expected}"))
        }),
    }
}

/// One alert, with who was told of it, and who is next.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", params(("id" = u64, Path)), responses((status = 200, body = Answer<AlertView>), (status = 404, body = Refusal)))]
pub async fn get(State(shared): State<Shared>, Path(id): Path<String>) -> Answered<AlertView> {
    let id = number(&id)?;
    let view = shared.hub.view();
    match view.stored.alerts.get(&id) {
        Some(alert) => one(view.alert_view(alert)),
        None => Err(ApiError::not_found(format!("no alert {id}"))),
    }
}

/// Acknowledges an alert. A one-off one is resolved by it; a lasting one stays open without further notifications.
/// Repeating it is fine, and the first one counts.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/ack", params(("id" = u64, Path)), responses((status = 200, body = Answer<Alert>), (status = 404, body = Refusal), (status = 503, body = Refusal)))]
pub async fn acknowledge(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Answered<Alert> {
    let (reply, answer) = oneshot::channel();
    shared.hub.send(Input::Acknowledge { id: number(&id)?, who, reply }).await?;
    one(answer.await.map_err(|_| Stopped)??)
}

/// Reports the status of an incident that people work on: it is an alert until it is resolved, raised again
/// every quarter of an hour without a report. Repeating it is fine.
#[utoipa::path(post, path = "/api/v1/alerts", request_body = AlertRequest, responses((status = 200, body = Answer<Alert>), (status = 400, body = Refusal), (status = 404, body = Refusal), (status = 503, body = Refusal)))]
pub async fn report(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Body(request): Body<AlertRequest>,
) -> Answered<Alert> {
    sensible(&request)?;
    let (reply, answer) = oneshot::channel();
    shared.hub.send(Input::Incident(Box::new(OfIncident { request, who, reply }))).await?;
    one(answer.await.map_err(|_| Stopped)??)
}

fn sensible(request: &AlertRequest) -> Result<(), ApiError> {
    if request.name != INCIDENT_OPEN {
        let sentence = format!("name is {:?}: people raise {INCIDENT_OPEN:?} only", request.name);
        return Err(ApiError::validation(sentence));
    }
    for (key, text, most) in [("about", &request.about, MOST_ABOUT), ("text", &request.text, MOST_TEXT)] {
        if text.is_empty() || text.len() > most {
            return Err(ApiError::validation(format!(
                "{key} has {} bytes: expected 1 to {most}",
                text.len()
            )));
        }
    }
    Ok(())
}

fn number(id: &str) -> Result<u64, ApiError> {
    id.parse().map_err(|_| ApiError::not_found(format!("no alert {id:?}: an alert's id is a number")))
}
