//! `/api/v1/recovery-key`: by what the fleet's keys are opened on another machine.

use axum::Extension;
use axum::extract::State;

use super::actor::change;
use super::strict::Body;
use super::{Answered, one};
use crate::caller::{Caller, Pass};
use crate::fleet_keys::recovery_key;
use crate::hub::actor::{ActorAnswer, ActorChange};
use crate::refusal::ApiError;
use crate::shared::Shared;
use crate::source::Source;
use hal_base::clock;
use hal_base::config::machine::folder_of;
use hal_protocol::api::{Answer, Refusal};
use hal_protocol::fleet_key::{NewRecoveryKey, RecoveryKeyRequest, RecoveryKeyView};
use hal_protocol::mark::Attribution;
use hal_store::kept::{FLEET_KEYS, OWN_KEYS};

/// Whether there is a recovery key, and who has made it.
#[utoipa::path(get, path = "/api/v1/recovery-key", responses((status = 200, body = Answer<RecoveryKeyView>), (status = 403, body = Refusal)))]
pub async fn get(State(shared): State<Shared>) -> Answered<RecoveryKeyView> {
    let kept = shared.hub.view().kept(FLEET_KEYS, OWN_KEYS);
    one(kept.map(|keys| keys.view()).unwrap_or_default())
}

/// Makes a recovery key. Only this answer holds it; the one before opens nothing any more.
#[utoipa::path(post, path = "/api/v1/recovery-key", request_body = RecoveryKeyRequest, responses((status = 200, body = Answer<NewRecoveryKey>), (status = 400, body = Refusal), (status = 403, body = Refusal)))]
pub async fn make(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Extension(source): Extension<Source>,
    Body(asked): Body<RecoveryKeyRequest>,
) -> Answered<NewRecoveryKey> {
    // The shared token lies on every node, where coding agents may read it.
    if matches!(caller.pass, Pass::Shared(..)) {
        return Err(ApiError::forbidden(
            "the shared token makes no recovery key: ask on the supervisor's machine (sudo hal-supervisor recovery-key), or \
             with a token of your own",
        ));
    }
    let is_near = source.connection.ip().to_canonical().is_loopback();
    if !is_near && !shared.entrance.is_encrypted(source.connection) {
        return Err(ApiError::forbidden("a recovery key goes nowhere without TLS: use https://"));
    }
    let by = caller.who;
    let Some(kept) = shared.hub.view().kept(FLEET_KEYS, OWN_KEYS) else {
        return Err(ApiError::validation(
            "no keys of this supervisor are kept: it speaks no TLS, or security.tls names another's certificate; or they could \
             not be kept, and its log says why",
        ));
    };
    if let Some(made) = kept.recovery_made.as_ref().filter(|_| !asked.replace) {
        return Err(ApiError::validation(format!(
            "{} has made a recovery key at {}, which would open nothing any more: ask with --replace",
            made.by, made.at
        )));
    }
    let made = Attribution { by: by.name.clone(), at: clock::now() };
    let data = folder_of(shared.hub.store().path());
    let (key, keys) =
        recovery_key(&data, &kept, made).map_err(|error| ApiError::internal(&format!("{error:#}")))?;
    let before = kept.for_recovery;
    match change(&shared, by, ActorChange::NewRecoveryKey { keys, before }).await? {
        ActorAnswer::Keys(keys) => {
            one(NewRecoveryKey { recovery_key: key.reveal().reveal().to_owned(), about: keys.view() })
        }
        _ => Err(ApiError::internal("this was about keys, and something else was answered")),
    }
}
