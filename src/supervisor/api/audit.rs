//! `GET /api/v1/audit`: who did what.

use std::ops::ControlFlow;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::strict::Body;
use super::{Answered, bounded, given, one, page, reading};
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock::Time;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::audit::{AuditVerdict, AuditView, NumberedRecord, VerifyRequest};
use hal_store::audit::{AuditQuery, AuditRecord};

/// Heads that one walk looks for.
const MOST_ANCHORS: usize = 20_000;

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditParams {
    /// Only those of this user, policy or program.
    actor: Option<String>,
    /// Only those whose action holds this text.
    action: Option<String>,
    /// Only those on this target.
    target: Option<String>,
    /// Only those from then on (RFC 3339).
    since: Option<String>,
    /// At most so many; default 100, at most 1000.
    limit: Option<usize>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// Audit records, newest first. `meta.total` counts those of this page; a page can be short, or empty, and have a next
/// one: 100,000 records are read for each.
#[utoipa::path(get, path = "/api/v1/audit", params(AuditParams), responses((status = 200, body = Answer<Vec<AuditView>>), (status = 400, body = Refusal), (status = 401, body = Refusal), (status = 403, body = Refusal)))]
pub async fn list(
    State(shared): State<Shared>,
    query: Result<Query<AuditParams>, QueryRejection>,
) -> Answered<Vec<AuditView>> {
    let params = query?.0;
    let limit = bounded(params.limit);
    let since = given(params.since).map(|text| {
        let wrong = || ApiError::validation(format!("since is {text:?}: expected an RFC 3339 time"));
        Time::parse(&text).ok_or_else(wrong)
    });
    let before = given(params.cursor).map(|text| number(&text));
    let query = AuditQuery {
        actor: given(params.actor),
        action: given(params.action),
        target: given(params.target),
        since: since.transpose()?,
        before: before.transpose()?,
        limit,
    };
    let found = reading(&shared, move |shared| shared.hub.store().read()?.audit_log(&query)).await?;
    let next_cursor = found.next.map(|seq| seq.to_string());
    let meta = Meta { total: found.records.len() as u64, limit: Some(limit as u64), next_cursor };
    page(found.records.into_iter().map(|(seq, record)| show(seq, record)).collect(), meta)
}

/// Which records are exported.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportParams {
    /// At most so many; default 100, at most 1000.
    limit: Option<usize>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// Audit records as they are stored, oldest first, with their links of the chain. `meta.total` counts those of this page.
#[utoipa::path(get, path = "/api/v1/audit/export", params(ExportParams), responses((status = 200, body = Answer<Vec<NumberedRecord>>), (status = 400, body = Refusal), (status = 403, body = Refusal)))]
pub async fn export(
    State(shared): State<Shared>,
    query: Result<Query<ExportParams>, QueryRejection>,
) -> Answered<Vec<NumberedRecord>> {
    let params = query?.0;
    let limit = bounded(params.limit);
    let place = given(params.cursor).map(|text| place(&text)).transpose()?;
    let (found, next) = reading(&shared, move |shared| {
        let (mut found, mut next, mut damage) = (Vec::new(), None, None);
        let reader = shared.hub.store().read()?;
        // All pages show the chain as it was when the first one was asked for.
        let (from, last) = match place {
            Some(place) => place,
            None => (0, reader.audit_tip()?.no),
        };
        reader.audit_records(from, &mut |seq, record| {
            if found.len() == limit {
                next = Some(format!("{seq}.{last}"));
                return ControlFlow::Break(());
            }
            match record {
                Ok(record) => {
                    found.extend(record.as_of(last).map(|record| NumberedRecord { seq, record }));
                }
                Err(error) => damage = Some(error),
            }
            if damage.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        damage.map_or(Ok((found, next)), Err)
    })
    .await?;
    let meta = Meta { total: found.len() as u64, limit: Some(limit as u64), next_cursor: next };
    page(found, meta)
}

/// Walks along the chain of all audit records and says what is not as it was written, and what records account for.
#[utoipa::path(post, path = "/api/v1/audit/verify", request_body = VerifyRequest, responses((status = 200, body = Answer<AuditVerdict>), (status = 400, body = Refusal), (status = 403, body = Refusal)))]
pub async fn verify(
    State(shared): State<Shared>,
    Body(asked): Body<VerifyRequest>,
) -> Answered<AuditVerdict> {
    if asked.anchors.len() > MOST_ANCHORS {
        return Err(ApiError::validation(format!("anchors has more than {MOST_ANCHORS} heads")));
    }
    one(reading(&shared, move |shared| shared.hub.store().read()?.audit_verdict(asked.anchors)).await?)
}

/// From which record on, and up to which link.
fn place(text: &str) -> Result<(u64, u64), ApiError> {
    let (seq, last) = text.split_once('.').unwrap_or((text, ""));
    Ok((number(seq)?, number(last)?))
}

fn number(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| {
        ApiError::validation(format!("cursor is {text:?}: expected one that this list has given"))
    })
}

/// One audit record, by its id or number.
#[utoipa::path(get, path = "/api/v1/audit/{id}", params(("id" = String, Path)), responses((status = 200, body = Answer<AuditView>), (status = 403, body = Refusal), (status = 404, body = Refusal)))]
pub async fn get(State(shared): State<Shared>, Path(id): Path<String>) -> Answered<AuditView> {
    let asked = id.clone();
    let found = reading(&shared, move |shared| shared.hub.store().read()?.audit_record(&asked)).await?;
    let (seq, record) = found.ok_or_else(|| ApiError::not_found(format!("no audit record {id:?}")))?;
    one(show(seq, record))
}

fn show(seq: u64, record: AuditRecord) -> AuditView {
    AuditView {
        seq,
        id: record.id,
        at: record.at,
        actor: record.actor,
        kind: record.actor_kind.as_str().to_owned(),
        credential: record.credential,
        through: record.through,
        from: record.ip,
        action: record.action,
        target: record.target,
        // Particulars that an operator wrote with SQL may be any text.
        args: serde_json::from_str(&record.args).unwrap_or(serde_json::Value::String(record.args)),
        result: record.result,
        error: record.error,
        duration_ms: record.duration_ms,
    }
}
