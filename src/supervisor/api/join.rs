//! `/api/v1/join-tokens`, `POST /api/v1/join` and `POST /api/v1/nodes/{id}/revoke`: how machines become nodes, and how that
//! ends.

use axum::Extension;
use axum::extract::{Path, State};

use super::actor::{change_actor, change_token, make_token};
use super::strict::Body;
use super::{Answered, one};
use crate::caller::{Caller, Pass};
use crate::hub::actor::ActorChange;
use crate::refusal::ApiError;
use crate::shared::Shared;
use crate::source::Source;
use hal_base::proof::{is_public_key, is_signed};
use hal_protocol::actor::{ActorView, Credential};
use hal_protocol::api::{Answer, Refusal};
use hal_protocol::join::{JoinRequest, JoinTokenRequest, Joined, NewJoinToken};
use hal_protocol::node::NodeId;
use hal_protocol::proof::said_to_join;
use hal_protocol::who::Who;

/// Makes a token by which machines join. Only this answer holds it. It is revoked like any other: `DELETE /api/v1/tokens/{id}`.
#[utoipa::path(post, path = "/api/v1/join-tokens", request_body = JoinTokenRequest, responses((status = 200, body = Answer<NewJoinToken>), (status = 400, body = Refusal), (status = 403, body = Refusal)))]
pub async fn new_token(
    State(shared): State<Shared>,
    Extension(by): Extension<Who>,
    Body(body): Body<JoinTokenRequest>,
) -> Answered<NewJoinToken> {
    let (token, made) = make_token(body.label, body.seconds)?;
    let made = Credential { hash: Credential::hash_of_join(&made.hash, body.is_once), ..made };
    let about = change_token(&shared, by, ActorChange::NewJoinToken(made)).await?;
    let lasting = shared.certificate.as_ref().filter(|own| own.is_lasting());
    let pin = lasting.map(|own| own.anchor().to_string()).unwrap_or_default();
    one(NewJoinToken { token, pin, is_encrypted: shared.certificate.is_some(), about })
}

/// Makes the machine that asks a node, known by its key. Asked again with the same key it is answered the same.
#[utoipa::path(post, path = "/api/v1/join", request_body = JoinRequest, responses((status = 200, body = Answer<Joined>), (status = 400, body = Refusal), (status = 401, body = Refusal), (status = 403, body = Refusal)))]
pub async fn join(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Extension(source): Extension<Source>,
    Body(body): Body<JoinRequest>,
) -> Answered<Joined> {
    let Pass::Join(token) = &caller.pass else {
        return Err(ApiError::forbidden("machines join by a token made for that: halctl join-token create"));
    };
    let JoinRequest { node_id, key, signature } = body;
    let node = NodeId::new(&node_id);
    let key = key.to_ascii_lowercase();
    if !is_public_key(&key) || !is_signed(&key, &said_to_join(&node, &key), &signature) {
        return Err(ApiError::validation(
            "key or signature: expected the signature of this request by the key in it",
        ));
    }
    let (token, address) = (token.id.clone(), source.ip());
    change_token(&shared, caller.who, ActorChange::Join { token, node: node_id, key, address }).await?;
    one(Joined { node_id: node, version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// Lets a node in no more, by whatever key or token it has, nor by the shared one. Its history stays, and it may join again.
#[utoipa::path(post, path = "/api/v1/nodes/{id}/revoke", params(("id" = String, Path)), responses((status = 200, body = Answer<ActorView>), (status = 400, body = Refusal), (status = 403, body = Refusal), (status = 404, body = Refusal)))]
pub async fn revoke(
    State(shared): State<Shared>,
    Extension(by): Extension<Who>,
    Path(node): Path<String>,
) -> Answered<ActorView> {
    change_actor(&shared, by, ActorChange::ShutOut { node }).await
}
