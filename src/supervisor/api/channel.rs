//! `/api/v1/channels`: notification channels, what waits on them, and trying one out.

use axum::Extension;
use axum::extract::{Path, State};
use tokio::sync::oneshot;

use super::{Answered, one, page};
use crate::hub::Stopped;
use crate::hub::input::Input;
use crate::hub::notice::{AttemptOutcome, NoticeEvent};
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock::{self, Stopwatch};
use hal_base::id;
use hal_base::nearest::no_such;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::channel::{Channel, Trial};
use hal_protocol::notice::{Notice, NoticeKind, Queued};
use hal_protocol::who::Who;

/// Every channel.
#[utoipa::path(get, path = "/api/v1/channels", responses((status = 200, body = Answer<Vec<Channel>>), (status = 401, body = Refusal)))]
pub async fn list(State(shared): State<Shared>) -> Answered<Vec<Channel>> {
    let view = shared.hub.view();
    let kinds = shared.outbound.kinds();
    let all: Vec<Channel> =
        kinds.iter().map(|(name, kind)| Channel::of(name, kind, view.queue(name))).collect();
    let total = all.len() as u64;
    page(all, Meta { total, ..Meta::default() })
}

/// What waits on a channel or could not be delivered, oldest first.
#[utoipa::path(get, path = "/api/v1/channels/{name}/queue", params(("name" = String, Path)), responses((status = 200, body = Answer<Vec<Queued>>), (status = 404, body = Refusal)))]
pub async fn queue(State(shared): State<Shared>, Path(name): Path<String>) -> Answered<Vec<Queued>> {
    known(&shared, &name)?;
    let rows: Vec<Queued> = shared.hub.view().queue(&name).collect();
    let total = rows.len() as u64;
    page(rows, Meta { total, ..Meta::default() })
}

/// Sends a test notification through a channel, past its queue, and returns the result.
#[utoipa::path(post, path = "/api/v1/channels/{name}/test", params(("name" = String, Path)), responses((status = 200, body = Answer<Trial>), (status = 404, body = Refusal)))]
pub async fn test(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Answered<Trial> {
    known(&shared, &name)?;
    let began = Stopwatch::start();
    let id = id::fresh();
    let notice = Notice {
        kind: NoticeKind::Test,
        name: "test".to_owned(),
        title: "Test notification from HAL-O-SWARM".to_owned(),
        text: format!("Test notification for channel {name}, sent by {}", who.name),
        subject: format!("test-{id}"),
        id,
        count: 1,
        created_at: clock::now(),
        ..Notice::default()
    };
    let Some(outcome) = shared.outbound.test(&name, notice).await else {
        return Err(ApiError::not_found(format!("no channel {name}")));
    };
    let problem = match outcome {
        AttemptOutcome::Delivered { .. } => String::new(),
        AttemptOutcome::Later { why, .. } | AttemptOutcome::Refused { why } => why,
    };
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    one(Trial { channel: name, delivered: problem.is_empty(), problem, took_ms })
}

/// Retries what was given up on a channel.
#[utoipa::path(post, path = "/api/v1/channels/{name}/retry", params(("name" = String, Path)), responses((status = 200, body = Answer<Channel>), (status = 404, body = Refusal)))]
pub async fn retry(State(shared): State<Shared>, Path(name): Path<String>) -> Answered<Channel> {
    let kind = known(&shared, &name)?;
    let (reply, answer) = oneshot::channel();
    shared.hub.send(Input::Notice(NoticeEvent::Retry(name.clone(), reply))).await?;
    answer.await.map_err(|_| Stopped)?;
    one(Channel::of(&name, kind, shared.hub.view().queue(&name)))
}

fn known(shared: &Shared, name: &str) -> Result<&'static str, ApiError> {
    let kinds = shared.outbound.kinds();
    let found = kinds.iter().find(|(known, _)| known == name);
    let names = kinds.iter().map(|(name, _)| name.as_str());
    found.map(|(_, kind)| *kind).ok_or_else(|| ApiError::not_found(no_such("channel", name, names)))
}
