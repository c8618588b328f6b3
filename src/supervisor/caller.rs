//! The caller: who came in, by what, and what they may do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};

use super::browser::{self, BrowserSession, Owner};
use super::codes::Issuer;
use super::shared::Shared;
use hal_base::clock::{self, Time};
use hal_base::secret::{SecretDigest, is_hash_of};
use hal_protocol::actor::{Actor, Credential, CredentialKind, CredentialState, Role, token_id};
use hal_protocol::who::{Who, WhoKind};
use hal_rules::actor::{joined_as, why_not};
use hal_rules::right;

use super::refusal::ApiError;

/// What a request shows of itself.
#[derive(Clone, Debug)]
pub enum Shown {
    /// No token.
    Nothing,
    /// A token that lets nobody in.
    Wrong(WrongToken),
    /// A token that does.
    Good(Pass),
}

/// Somebody of this machine, as they stand on the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPeer {
    /// Their login name, or their number where they have none.
    pub login: String,
    /// By what they are known.
    pub credential: String,
}

/// By what somebody came in.
#[derive(Clone, Debug)]
pub enum Pass {
    /// The one token of this supervisor's configuration, as it was when it was shown, and what it then let do.
    Shared(SecretDigest, Role),
    /// A token of an actor.
    Token(Arc<Credential>, Arc<Actor>),
    /// A token by which machines join: good for that and nothing else.
    Join(Arc<Credential>),
    /// No token: the kernel says which user of this machine it is.
    Local(LocalPeer),
    /// The cookie of a browser that somebody has logged in.
    Browser(BrowserSession),
    /// Nothing: metrics are read, from a network that may.
    Scraper,
}

/// A token that lets nobody in.
#[derive(Clone, Debug)]
pub struct WrongToken {
    /// A sentence for whoever shows it.
    pub why: &'static str,
    /// The part that names it, where there is such a token.
    pub id: Option<String>,
    /// Whose it was, when all of it was shown.
    pub was_of: Option<Arc<Credential>>,
}

impl WrongToken {
    fn of_nobody() -> Self {
        Self { why: WRONG, id: None, was_of: None }
    }
}

/// Who came in. Handlers get it beside the [`Who`] that stands on the record.
#[derive(Clone, Debug)]
pub struct Caller {
    /// By what.
    pub pass: Pass,
    /// What they may do.
    pub role: Role,
    /// As they stand on the record.
    pub who: Who,
}

/// Whoever is shut out is out within this time, also where nothing happens that would wake a stream.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// As whoever shows the token of that file stands on the record.
const CTL_TOKEN: &str = "ctl.token";

/// What is said of the shared token where it does not do.
const SHARED: &str = "the shared auth_token opens the agents' door alone (server.auth_token_opens): on the supervisor's machine \
                      halctl needs no token, elsewhere a person has one (halctl users create, halctl tokens create)";

/// Whoever has joined by a token that was good once may ask again for so long.
const ASKED_AGAIN: Duration = Duration::from_secs(3600);

/// The way of whoever comes in by a browser session.
pub const DASHBOARD: &str = "dashboard";

/// What is said of a token that nobody has.
pub const WRONG: &str = "the token is not this supervisor's: compare auth_token on both machines";

/// What is said of a browser session that is over.
const LOGGED_OUT: &str = "this browser is not logged in any more: log in again";

/// Looks for the token in the header, else in the query as the predecessor's agents may send it.
pub fn shown(shared: &Shared, headers: &HeaderMap, query_token: Option<&str>) -> Shown {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = header.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    match bearer.or(query_token) {
        Some(token) => of_token(shared, token),
        None if header.is_some() => Shown::Wrong(WrongToken::of_nobody()),
        None => Shown::Nothing,
    }
}

/// Whose token this is: the shared one, that of this machine, or an actor's.
pub fn of_token(shared: &Shared, token: &str) -> Shown {
    let doors = shared.doors.load();
    if doors.token.matches(token) {
        return Shown::Good(Pass::Shared(doors.token, doors.token_role));
    }
    if shared.ctl_digest.matches(token) {
        let (login, credential) = (CTL_TOKEN.to_owned(), CTL_TOKEN.to_owned());
        return Shown::Good(Pass::Local(LocalPeer { login, credential }));
    }
    of_actor(shared, token)
}

/// Looks for the cookie of a browser that is logged in. Only pages of the supervisor itself come in by it.
pub fn shown_by_browser(shared: &Shared, headers: &HeaderMap) -> Shown {
    let Some(cookie) = browser::cookie_of(headers) else { return Shown::Nothing };
    match BrowserSession::of_cookie(shared, cookie) {
        Ok(session) => Shown::Good(Pass::Browser(session)),
        Err(None) => Shown::Wrong(WrongToken { why: LOGGED_OUT, id: None, was_of: None }),
        Err(Some((credential, is_whole))) => Shown::Wrong(WrongToken {
            why: LOGGED_OUT,
            id: Some(credential.id.clone()),
            was_of: is_whole.then_some(credential),
        }),
    }
}

/// Whose token it is. Whoever cannot show all of one learns nothing of whether there is such a one.
fn of_actor(shared: &Shared, token: &str) -> Shown {
    let view = shared.hub.view();
    let Some((credential, actor)) = token_id(token).and_then(|id| view.credential(id)) else {
        return Shown::Wrong(WrongToken::of_nobody());
    };
    let id = Some(credential.id.clone());
    if let CredentialKind::Join { hash, .. } = credential.kind()
        && is_hash_of(hash, token)
    {
        return by_join_token(credential);
    }
    if !is_hash_of(&credential.hash, token) {
        return Shown::Wrong(WrongToken { id, ..WrongToken::of_nobody() });
    }
    match (why_not(credential, actor.map(|actor| &**actor), clock::now()), actor) {
        (None, Some(actor)) => Shown::Good(Pass::Token(credential.clone(), actor.clone())),
        (why, _) => {
            Shown::Wrong(WrongToken { why: why.unwrap_or(WRONG), id, was_of: Some(credential.clone()) })
        }
    }
}

/// A token for joining is whoever's has made it, and good without them. One that has done its work is known to whoever it
/// has let in: the answer may have been lost.
fn by_join_token(credential: &Arc<Credential>) -> Shown {
    let used = credential.revoked.as_ref().filter(|revoked| joined_as(&revoked.by).is_some());
    let is_used = used.is_some();
    let is_long_ago = used.is_some_and(|used| clock::now().since(used.at) > ASKED_AGAIN);
    match credential.state(clock::now()) {
        CredentialState::Active => Shown::Good(Pass::Join(credential.clone())),
        CredentialState::Revoked if is_used && !is_long_ago => Shown::Good(Pass::Join(credential.clone())),
        CredentialState::Revoked | CredentialState::Expired => Shown::Wrong(WrongToken {
            why: "this token for joining was revoked or has expired: make another one (halctl join-token create)",
            id: Some(credential.id.clone()),
            was_of: Some(credential.clone()),
        }),
    }
}

impl Pass {
    /// True while it still lets in.
    pub fn is_good(&self, shared: &Shared) -> bool {
        match self {
            Self::Shared(digest, role) => {
                let doors = shared.doors.load();
                doors.token.is(digest) && doors.token_role == *role
            }
            Self::Join(credential) => shared.hub.view().credential(&credential.id).is_some(),
            // As long as the connection is there, it is theirs.
            Self::Local(_) | Self::Scraper => true,
            Self::Token(credential, actor) => {
                shared.hub.view().still_admits(&credential.id, &credential.hash, actor.role, clock::now())
            }
            Self::Browser(session) => session.is_good(shared),
        }
    }

    /// Resolves when it is good no more: streams and links live longer than the request that opened them.
    pub async fn is_over(&self, shared: &Shared) {
        while self.is_good(shared) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// It was shown, from this address.
    pub fn note_use(&self, shared: &Shared, from: IpAddr) {
        if let Some(credential) = self.credential() {
            shared.last_uses.note(&credential.id, from.to_canonical());
        }
    }

    /// What is kept of it, where something is.
    pub fn credential(&self) -> Option<&Arc<Credential>> {
        match self {
            Self::Shared(..) | Self::Local(_) | Self::Scraper => None,
            Self::Token(credential, _) | Self::Join(credential) => Some(credential),
            Self::Browser(session) => Some(&session.credential),
        }
    }

    /// Who begins a browser session with it.
    pub fn issuer(&self) -> Issuer {
        let of = |actor: &str, by: &str, name: &str| Issuer {
            actor: actor.to_owned(),
            by: by.to_owned(),
            name: name.to_owned(),
            made_with: None,
        };
        match self {
            Self::Shared(..) => of(browser::BY_TOKEN, browser::BY_TOKEN, browser::BY_TOKEN),
            // They open nothing, and begin nothing.
            Self::Scraper => of("", "", ""),
            Self::Join(credential) => of("", &credential.id, ""),
            Self::Local(peer) => of(browser::BY_LOCAL, browser::BY_LOCAL, &peer.login),
            Self::Token(credential, actor) => of(&actor.name, &credential.id, &actor.name),
            Self::Browser(session) => {
                let name = match &session.owner {
                    Owner::Local(login) => login,
                    Owner::Actor(_) | Owner::SharedToken(_) => &session.credential.actor,
                };
                of(&session.credential.actor, &session.by, name)
            }
        }
    }
}

impl Caller {
    /// Whoever has shown this, by this way and from this address.
    pub fn of(pass: Pass, through: &str, from: &str) -> Self {
        let (role, who) = match &pass {
            Pass::Shared(_, role) => (*role, Who::with_token(through, from)),
            Pass::Local(peer) => (Role::Admin, Who::on_this_machine(&peer.login, &peer.credential, through)),
            Pass::Token(credential, actor) => {
                let who = Who {
                    kind: kind_of(actor),
                    name: actor.name.clone(),
                    credential: format!("{} {}", credential.kind_word(), credential.id),
                    through: through.to_owned(),
                    from: from.to_owned(),
                };
                (actor.role, who)
            }
            Pass::Join(credential) => {
                let who = Who {
                    kind: WhoKind::Machine,
                    name: "unknown".to_owned(),
                    credential: format!("join token {}", credential.id),
                    through: through.to_owned(),
                    from: from.to_owned(),
                };
                (Role::Agent, who)
            }
            Pass::Browser(session) => (session.owner.role(), who_browses(session, from)),
            Pass::Scraper => (Role::Metrics, Who { name: "scraper".to_owned(), ..Who::unknown(from) }),
        };
        Self { pass, role, who }
    }

    /// True for whoever came in by the token of this name.
    pub fn has_shown(&self, id: &str) -> bool {
        self.pass.credential().is_some_and(|credential| credential.id == id)
    }

    /// True for a token or browser session of the same actor.
    pub fn is_own(&self, credential: &Credential) -> bool {
        match &self.pass {
            // Those of this machine are several people.
            Pass::Shared(..) | Pass::Local(_) | Pass::Join(_) | Pass::Scraper => false,
            Pass::Browser(BrowserSession { owner: Owner::Local(login), .. }) => {
                let made_by = credential.created.as_ref().map(|made| made.by.as_str());
                credential.actor == browser::BY_LOCAL && made_by == Some(login)
            }
            Pass::Token(own, _) => own.actor == credential.actor,
            Pass::Browser(session) => session.credential.actor == credential.actor,
        }
    }

    /// Refuses what takes another role.
    pub fn demand(&self, least: Role) -> Result<(), ApiError> {
        if self.role.may(least) {
            return Ok(());
        }
        if matches!(self.pass, Pass::Shared(_, Role::Agent)) {
            return Err(ApiError::forbidden(SHARED));
        }
        Err(ApiError::forbidden(right::lacks(&self.who.name, self.role, least)))
    }

    /// True while what was shown still lets in: it may be long since the head of a request came.
    pub fn is_good(&self, shared: &Shared) -> bool {
        self.pass.is_good(shared)
    }

    /// When what was shown ends by itself.
    pub fn ends_at(&self) -> Option<Time> {
        self.pass.credential()?.expires_at
    }
}

fn kind_of(actor: &Actor) -> WhoKind {
    match actor.role {
        Role::Agent => WhoKind::Machine,
        _ if actor.is_program => WhoKind::Program,
        _ => WhoKind::Person,
    }
}

fn who_browses(session: &BrowserSession, from: &str) -> Who {
    let (kind, name) = match &session.owner {
        Owner::Actor(actor) => (kind_of(actor), &actor.name),
        Owner::SharedToken(_) => (WhoKind::Program, &session.credential.actor),
        Owner::Local(login) => (WhoKind::Person, login),
    };
    Who {
        kind,
        name: name.clone(),
        credential: format!("browser session {}", session.credential.id),
        through: DASHBOARD.to_owned(),
        from: from.to_owned(),
    }
}
