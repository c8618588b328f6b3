//! `/api/v1/actors`, `/api/v1/tokens` and `GET /api/v1/whoami`: who is known, and what they show for it.

use std::collections::HashMap;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use tokio::sync::oneshot;

use super::strict::Body;
use super::{Answered, one, page};
use crate::caller::Caller;
use crate::hub::Stopped;
use crate::hub::actor::{ActorAnswer, ActorChange};
use crate::hub::input::Input;
use crate::hub::view::View;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_base::clock::{self, Time};
use hal_base::id;
use hal_base::nearest::nearest;
use hal_base::secret::hash_of;
use hal_protocol::actor::{
    Actor, ActorRequest, ActorView, Credential, CredentialKind, CredentialState, NewToken, Role,
    TOKEN_PREFIX, TokenRequest, TokenView, WhoAmI,
};
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::mark::Attribution;
use hal_protocol::who::Who;
use hal_rules::actor::MOST_LABEL;
use hal_store::kept::{ACTOR, CREDENTIAL};

/// Digits of the part of a token that names it: nobody has so many tokens that two of them meet.
const ID_DIGITS: usize = 12;

/// The longest life of a token that has one.
const LONGEST: u64 = 10 * 365 * 86_400;

/// Who is known.
#[utoipa::path(get, path = "/api/v1/actors", responses((status = 200, body = Answer<Vec<ActorView>>), (status = 401, body = Refusal), (status = 403, body = Refusal)))]
pub async fn list(State(shared): State<Shared>) -> Answered<Vec<ActorView>> {
    let view = shared.hub.view();
    let now = clock::now();
    let mut good: HashMap<&str, u64> = HashMap::new();
    for (_, token) in view.all_kept(CREDENTIAL) {
        if token.state(now) == CredentialState::Active && is_token(token) {
            *good.entry(&token.actor).or_default() += 1;
        }
    }
    let tokens = |actor: &Actor| good.get(actor.name.as_str()).copied().unwrap_or_default();
    let all: Vec<ActorView> = view.all_kept(ACTOR).map(|(_, actor)| show(actor, tokens(actor))).collect();
    let total = all.len() as u64;
    page(all, Meta { total, ..Meta::default() })
}

/// Adds somebody, or gives them another role.
#[utoipa::path(put, path = "/api/v1/actors/{name}", params(("name" = String, Path)), request_body = ActorRequest, responses((status = 200, body = Answer<ActorView>), (status = 400, body = Refusal), (status = 403, body = Refusal)))]
pub async fn set(
    State(shared): State<Shared>,
    Extension(by): Extension<Who>,
    Path(name): Path<String>,
    Body(body): Body<ActorRequest>,
) -> Answered<ActorView> {
    let role = role_of(&body.role)?;
    change_actor(&shared, by, ActorChange::Set { name, role, is_program: body.is_program }).await
}

/// Removes somebody, and revokes all their tokens. What they have done stays on the record.
#[utoipa::path(delete, path = "/api/v1/actors/{name}", params(("name" = String, Path)), responses((status = 200, body = Answer<ActorView>), (status = 400, body = Refusal), (status = 403, body = Refusal), (status = 404, body = Refusal)))]
pub async fn remove(
    State(shared): State<Shared>,
    Extension(by): Extension<Who>,
    Path(name): Path<String>,
) -> Answered<ActorView> {
    change_actor(&shared, by, ActorChange::Remove { name }).await
}

/// Every token that is not forgotten: those that ended are listed for 90 days.
#[utoipa::path(get, path = "/api/v1/tokens", responses((status = 200, body = Answer<Vec<TokenView>>), (status = 401, body = Refusal), (status = 403, body = Refusal)))]
pub async fn tokens(State(shared): State<Shared>) -> Answered<Vec<TokenView>> {
    page_of_tokens(&shared, |_| true)
}

/// The tokens and browser sessions of whoever asks.
#[utoipa::path(get, path = "/api/v1/whoami/tokens", responses((status = 200, body = Answer<Vec<TokenView>>), (status = 401, body = Refusal)))]
pub async fn own_tokens(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
) -> Answered<Vec<TokenView>> {
    page_of_tokens(&shared, |token| caller.is_own(token))
}

fn page_of_tokens(shared: &Shared, is_wanted: impl Fn(&Credential) -> bool) -> Answered<Vec<TokenView>> {
    let view = shared.hub.view();
    shared.last_uses.keep(|id| view.is_kept(CREDENTIAL, id));
    let wanted = view.all_kept(CREDENTIAL).filter(|(_, token)| is_wanted(token));
    let all: Vec<TokenView> =
        wanted.map(|(_, token)| show_token(shared, role_by(&view, token), token)).collect();
    let total = all.len() as u64;
    page(all, Meta { total, ..Meta::default() })
}

/// What somebody may do by a credential. A browser session that was begun with the shared token, or on this machine, is
/// an administrator's.
fn role_by(view: &View, token: &Credential) -> Role {
    match (token.kind(), view.actor(&token.actor)) {
        (CredentialKind::Join { .. }, _) => Role::Agent,
        (_, Some(actor)) => actor.role,
        (CredentialKind::Browser(_), None) => Role::Admin,
        (_, None) => Role::default(),
    }
}

/// Makes a token. Only this answer holds it.
#[utoipa::path(post, path = "/api/v1/actors/{name}/tokens", params(("name" = String, Path)), request_body = TokenRequest, responses((status = 200, body = Answer<NewToken>), (status = 400, body = Refusal), (status = 403, body = Refusal), (status = 404, body = Refusal)))]
pub async fn new_token(
    State(shared): State<Shared>,
    Extension(by): Extension<Who>,
    Path(name): Path<String>,
    Body(body): Body<TokenRequest>,
) -> Answered<NewToken> {
    let (token, made) = make_token(body.label, body.seconds)?;
    let made = Credential { actor: name, ..made };
    let about = change_token(&shared, by, ActorChange::NewToken(made)).await?;
    one(NewToken { token, about })
}

/// A new token, and what is kept of it. It is nobody's yet.
pub fn make_token(label: String, seconds: u64) -> Result<(String, Credential), ApiError> {
    if label.chars().count() > MOST_LABEL || label.chars().any(char::is_control) {
        return Err(ApiError::validation(format!(
            "label: expected at most {MOST_LABEL} characters on one line"
        )));
    }
    if seconds > LONGEST {
        return Err(ApiError::validation(format!("seconds is {seconds}: expected at most {LONGEST}")));
    }
    let id = id::fresh_secret()[..ID_DIGITS].to_owned();
    let token = fresh(&id);
    let expires_at = (seconds > 0).then(|| clock::now().plus(Duration::from_secs(seconds)));
    let made = Credential { hash: hash_of(&token), id, label, expires_at, ..Credential::default() };
    Ok((token, made))
}

/// Gives a token another secret; the one before is good no more. Only this answer holds it.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/rotate", params(("id" = String, Path)), responses((status = 200, body = Answer<NewToken>), (status = 400, body = Refusal), (status = 403, body = Refusal), (status = 404, body = Refusal)))]
pub async fn rotate(
    State(shared): State<Shared>,
    Extension(by): Extension<Who>,
    Path(id): Path<String>,
) -> Answered<NewToken> {
    let token = fresh(&id);
    let about = change_token(&shared, by, ActorChange::Rotate { id, hash: hash_of(&token) }).await?;
    one(NewToken { token, about })
}

/// Revokes a token, or logs a browser out: whoever came in by it is out. Everybody may revoke their own.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", params(("id" = String, Path)), responses((status = 200, body = Answer<TokenView>), (status = 403, body = Refusal), (status = 404, body = Refusal)))]
pub async fn revoke(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answered<TokenView> {
    let view = shared.hub.view();
    let is_own = view.credential(&id).is_some_and(|(token, _)| caller.is_own(token));
    if !is_own && !caller.has_shown(&id) {
        caller.demand(Role::Admin)?;
    }
    one(change_token(&shared, caller.who, ActorChange::Revoke { id }).await?)
}

/// Who asks.
#[utoipa::path(get, path = "/api/v1/whoami", responses((status = 200, body = Answer<WhoAmI>), (status = 401, body = Refusal)))]
pub async fn whoami(Extension(caller): Extension<Caller>) -> Answered<WhoAmI> {
    one(show_caller(caller))
}

/// Somebody as they are told who they are.
pub fn show_caller(caller: Caller) -> WhoAmI {
    WhoAmI {
        role: caller.role,
        expires_at: caller.ends_at().unwrap_or_default(),
        credential_id: caller.pass.credential().map(|credential| credential.id.clone()).unwrap_or_default(),
        name: caller.who.name,
        credential: caller.who.credential,
        from: caller.who.from,
    }
}

/// All of a new token.
fn fresh(id: &str) -> String {
    format!("{TOKEN_PREFIX}{id}_{}", id::fresh_secret())
}

fn role_of(word: &str) -> Result<Role, ApiError> {
    Role::parse(word).ok_or_else(|| {
        let meant = nearest(word, Role::ALL.map(Role::as_str));
        let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        let all = Role::ALL.map(Role::as_str).join(", ");
        ApiError::validation(format!("role is {word:?}: expected one of {all}{meant}"))
    })
}

/// Asks the hub for a change of who is known.
pub async fn change(shared: &Shared, by: Who, change: ActorChange) -> Result<ActorAnswer, ApiError> {
    let (reply, answer) = oneshot::channel();
    shared.hub.send(Input::Actors { change, by, reply }).await?;
    Ok(answer.await.map_err(|_| Stopped)??)
}

pub async fn change_actor(shared: &Shared, by: Who, asked: ActorChange) -> Answered<ActorView> {
    match change(shared, by, asked).await? {
        ActorAnswer::Actor(actor) => one(show(&actor, tokens_of(shared, &actor.name))),
        _ => Err(ApiError::internal("this was about a user, and something else was answered")),
    }
}

pub async fn change_token(shared: &Shared, by: Who, asked: ActorChange) -> Result<TokenView, ApiError> {
    match change(shared, by, asked).await? {
        ActorAnswer::Token(role, token) => Ok(show_token(shared, role, &token)),
        _ => Err(ApiError::internal("this was about a token, and something else was answered")),
    }
}

fn said(created: Option<&Attribution>) -> (String, Time) {
    created.map(|created| (created.by.clone(), created.at)).unwrap_or_default()
}

fn tokens_of(shared: &Shared, name: &str) -> u64 {
    let (view, now) = (shared.hub.view(), clock::now());
    let is_good = |token: &Credential| {
        token.actor == name && is_token(token) && token.state(now) == CredentialState::Active
    };
    view.all_kept(CREDENTIAL).filter(|(_, token)| is_good(token)).count() as u64
}

fn show(actor: &Actor, tokens: u64) -> ActorView {
    let kind = match actor.role {
        Role::Agent => "machine",
        _ if actor.is_program => "program",
        _ => "person",
    };
    let (created_by, created_at) = said(actor.created.as_ref());
    ActorView {
        name: actor.name.clone(),
        kind: kind.to_owned(),
        role: actor.role,
        tokens,
        created_by,
        created_at,
    }
}

fn show_token(shared: &Shared, role: Role, token: &Credential) -> TokenView {
    let used = shared.last_uses.of(&token.id);
    let (created_by, created_at) = said(token.created.as_ref());
    TokenView {
        id: token.id.clone(),
        actor: token.actor.clone(),
        role,
        kind: token.kind_word().to_owned(),
        state: token.state(clock::now()),
        label: token.label.clone(),
        created_by,
        created_at,
        expires_at: token.expires_at.unwrap_or_default(),
        used_at: used.map(|(at, _)| at).unwrap_or_default(),
        used_from: used.map(|(_, from)| from.to_string()).unwrap_or_default(),
        revoked_by: token.revoked.as_ref().map(|revoked| revoked.by.clone()).unwrap_or_default(),
    }
}

/// A browser session that somebody has begun with a token is none.
fn is_token(one: &Credential) -> bool {
    !matches!(one.kind(), CredentialKind::Browser(_))
}
