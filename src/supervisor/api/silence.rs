//! `/api/v1/silences`: alerts that nobody is told of for a while.

use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use tokio::sync::oneshot;

use super::strict::Body;
use super::{Answered, one, page};
use crate::hub::input::Input;
use crate::hub::notice::NoticeEvent;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock;
use hal_base::id;
use hal_base::nearest::no_such;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::silence::{Silence, SilenceRequest};
use hal_protocol::who::Who;
use hal_rules::route::silence::check;
use hal_store::kept::SILENCE;

/// Nobody should be silent for ever.
const LONGEST: u64 = 30 * 86_400;

/// Characters of a reason.
const MOST_REASON: usize = 500;

/// Active silences.
#[utoipa::path(get, path = "/api/v1/silences", responses((status = 200, body = Answer<Vec<Silence>>), (status = 401, body = Refusal)))]
pub async fn list(State(shared): State<Shared>) -> Answered<Vec<Silence>> {
    let all = all(&shared);
    let total = all.len() as u64;
    page(all, Meta { total, ..Meta::default() })
}

/// Silences some alerts for a while. They are still raised and listed, and notified when it ends if they are
/// still open.
#[utoipa::path(post, path = "/api/v1/silences", request_body = SilenceRequest, responses((status = 200, body = Answer<Silence>), (status = 400, body = Refusal)))]
pub async fn begin(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Body(asked): Body<SilenceRequest>,
) -> Answered<Silence> {
    if let Err(mistake) = check(&asked.matches) {
        let at = asked.matches.get(mistake.range).unwrap_or(&asked.matches);
        let meant = mistake.meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        return Err(ApiError::validation(format!("{at:?}: {}{meant}", mistake.sentence)));
    }
    if asked.seconds == 0 || asked.seconds > LONGEST {
        return Err(ApiError::validation(format!("seconds is {}: expected 1 to {LONGEST}", asked.seconds)));
    }
    if asked.reason.chars().count() > MOST_REASON {
        return Err(ApiError::validation(format!("reason is longer than {MOST_REASON} characters")));
    }
    let at = clock::now();
    let silence = Silence {
        id: id::fresh(),
        matches: asked.matches,
        reason: asked.reason,
        by: who.name.clone(),
        created_at: at,
        until: at.plus(Duration::from_secs(asked.seconds)),
    };
    let (reply, answer) = oneshot::channel();
    let event = NoticeEvent::Silence((silence.clone(), who), reply);
    shared.hub.send(Input::Notice(event)).await?;
    match answer.await {
        Ok(true) => one(silence),
        Ok(false) => {
            Err(ApiError::validation("there are too many silences; end some: halctl alerts silence list"))
        }
        Err(_) => Err(ApiError::internal("the silence could not be stored")),
    }
}

/// Ends a silence early.
#[utoipa::path(post, path = "/api/v1/silences/{id}/expire", params(("id" = String, Path)), responses((status = 200, body = Answer<Silence>), (status = 404, body = Refusal)))]
pub async fn expire(
    State(shared): State<Shared>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
) -> Answered<Silence> {
    let all = all(&shared);
    let Some(silence) = all.iter().find(|silence| silence.id == id).cloned() else {
        return Err(ApiError::not_found(no_such("silence", &id, all.iter().map(|it| it.id.as_str()))));
    };
    let (reply, answer) = oneshot::channel();
    shared.hub.send(Input::Notice(NoticeEvent::Unsilence { id, who, reply })).await?;
    match answer.await {
        Ok(_) => one(silence),
        Err(_) => Err(ApiError::internal("the end of the silence could not be stored")),
    }
}

/// Those that hold.
pub(super) fn all(shared: &Shared) -> Vec<Silence> {
    shared.hub.view().all_kept(SILENCE).map(|(_, silence)| Silence::clone(silence)).collect()
}
