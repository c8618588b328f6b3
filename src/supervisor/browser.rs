//! Browser sessions: what a cookie is worth, and how one begins.
//!
//! A cookie is `ID.BY.SECRET`: the credential that is kept of it, what it was begun with (the id of a token, `token` for
//! the shared one, `local` for a user of this machine), and 256 random bits. Its hash is kept together with a seal of
//! what it was begun with, so that it ends with that: a token that is revoked or replaced takes its browsers along.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};

use super::codes::{Issuer, MadeWith};
use super::hub::view::View;
use super::shared::Shared;
use hal_base::clock::{self, Time};
use hal_base::id;
use hal_base::secret::{hash_of, is_same_hash};
use hal_protocol::actor::{Actor, Credential, CredentialKind, CredentialState, Role};

/// Whose browser sessions are that were begun with the shared token, and what stands in their cookies.
pub const BY_TOKEN: &str = "token";

/// The same for users of this machine.
pub const BY_LOCAL: &str = "local";

/// Digits of the part that names a browser session.
const ID_DIGITS: usize = 12;

/// A browser stays logged in for so long; one of a user of this machine, whom the kernel vouched for only once, for less.
const LASTS: Duration = Duration::from_secs(30 * 86_400);
const LASTS_LOCALLY: Duration = Duration::from_secs(12 * 3_600);

/// How the cookie's name begins where the page came by TLS: no other name of the host, and no page without TLS, can set it.
const SECURE: &str = "__Host-";

/// The name that it had in the release before.
const OLD_SECURE_COOKIE: &str = "__Host-hal";

/// Whose a browser session is.
#[derive(Clone, Debug)]
pub enum Owner {
    /// Somebody the supervisor knows.
    Actor(Arc<Actor>),
    /// Whoever has shown the shared token, and what that opens.
    SharedToken(Role),
    /// A user of this machine, by this name.
    Local(String),
}

/// A cookie that lets in.
#[derive(Clone, Debug)]
pub struct BrowserSession {
    /// What is kept of it.
    pub credential: Arc<Credential>,
    /// Whose it is.
    pub owner: Owner,
    /// What it was begun with, as it stands in the cookie.
    pub by: String,
    seal: String,
}

/// A browser session that is to begin.
#[derive(Debug)]
pub struct NewSession {
    /// What is kept.
    pub credential: Credential,
    /// What the browser keeps.
    pub cookie: String,
}

impl Owner {
    /// What they may do.
    pub fn role(&self) -> Role {
        match self {
            Self::Actor(actor) => actor.role,
            Self::SharedToken(role) => *role,
            Self::Local(_) => Role::Admin,
        }
    }
}

impl BrowserSession {
    /// Whose cookie this is. The error: the credential that it names, where there is one, and whether all of it was shown.
    pub fn of_cookie(shared: &Shared, cookie: &str) -> Result<Self, Option<(Arc<Credential>, bool)>> {
        let view = shared.hub.view();
        let mut parts = cookie.splitn(3, '.');
        let (Some(id), Some(by), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(None);
        };
        let Some((credential, _)) = view.credential(id) else { return Err(None) };
        let wrong = |is_whole| Err(Some((credential.clone(), is_whole)));
        let Some(seal) = seal(shared, &view, &credential.actor, by) else { return wrong(false) };
        if !is_same_hash(&credential.hash, &kept_hash(cookie, &seal)) {
            return wrong(false);
        }
        match owner(shared, &view, credential) {
            Some(owner) => Ok(Self { credential: credential.clone(), owner, by: by.to_owned(), seal }),
            None => wrong(true),
        }
    }

    /// True while it still lets in.
    pub fn is_good(&self, shared: &Shared) -> bool {
        let view = shared.hub.view();
        let Some((credential, _)) = view.credential(&self.credential.id) else { return false };
        credential.hash == self.credential.hash
            && owner(shared, &view, credential).is_some_and(|owner| owner.role() == self.owner.role())
            && seal(shared, &view, &credential.actor, &self.by).as_deref() == Some(&self.seal)
    }

    /// The same issuer for a code, which is good no longer than what it is made with. `None`: that is good no more.
    pub fn of_code(shared: &Shared, issuer: Issuer, session: Option<&Self>) -> Option<Issuer> {
        let seal = seal(shared, &shared.hub.view(), &issuer.actor, &issuer.by)?;
        let session =
            session.map(|one| (one.credential.id.clone(), one.credential.expires_at.unwrap_or_default()));
        Some(Issuer { made_with: Some(MadeWith { seal, session }), ..issuer })
    }

    /// A session that is begun now. `None`: what it would be begun with is good no more.
    pub fn begin(shared: &Shared, issuer: &Issuer, label: String) -> Option<NewSession> {
        let view = shared.hub.view();
        let seal = seal(shared, &view, &issuer.actor, &issuer.by)?;
        let parent = match &issuer.made_with {
            Some(made_with) if made_with.seal != seal => return None,
            Some(MadeWith { session: Some((id, ends)), .. }) => {
                let (session, _) = view.credential(id)?;
                (session.state(clock::now()) == CredentialState::Active).then_some(Some(*ends))?
            }
            Some(_) | None => None,
        };
        let id = id::fresh_secret()[..ID_DIGITS].to_owned();
        let cookie = format!("{id}.{}.{}", issuer.by, id::fresh_secret());
        let lasts = if issuer.by == BY_LOCAL { LASTS_LOCALLY } else { LASTS };
        let mut end = clock::now().plus(lasts);
        if let Some((parent, _)) = view.credential(&issuer.by) {
            end = parent.expires_at.map_or(end, |its| its.min(end));
        }
        let end = parent.map_or(end, |its| its.min(end));
        let credential = Credential {
            hash: kept_hash(&cookie, &seal),
            id,
            actor: issuer.actor.clone(),
            label,
            expires_at: Some(end),
            ..Credential::default()
        };
        Some(NewSession { credential, cookie })
    }
}

fn kept_hash(cookie: &str, seal: &str) -> String {
    Credential::hash_of_browser(&hash_of(&format!("{cookie} {seal}")))
}

/// What changes when a session's beginning is good no more; `None`: it is not good now.
fn seal(shared: &Shared, view: &View, actor: &str, by: &str) -> Option<String> {
    match by {
        BY_TOKEN => (actor == BY_TOKEN).then(|| shared.doors.load().token.seal()),
        BY_LOCAL => (actor == BY_LOCAL).then(String::new),
        id => {
            let (token, _) = view.credential(id)?;
            let is_good = matches!(token.kind(), CredentialKind::Token(_))
                && token.actor == actor
                && token.state(clock::now()) == CredentialState::Active;
            is_good.then(|| token.hash.clone())
        }
    }
}

/// Whose a credential is, while it lets in.
fn owner(shared: &Shared, view: &View, credential: &Credential) -> Option<Owner> {
    if credential.state(clock::now()) != CredentialState::Active {
        return None;
    }
    match credential.actor.as_str() {
        BY_TOKEN => {
            let role = shared.doors.load().token_role;
            // Where it opens the agents' door alone, it opens no page.
            (role != Role::Agent).then_some(Owner::SharedToken(role))
        }
        BY_LOCAL => {
            Some(Owner::Local(credential.created.as_ref().map(|made| made.by.clone()).unwrap_or_default()))
        }
        name => view.actor(name).map(|actor| Owner::Actor(actor.clone())),
    }
}

/// The cookie of a request.
pub fn cookie_of(headers: &HeaderMap) -> Option<&str> {
    let plain = name(headers);
    let secure = format!("{SECURE}{plain}");
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = None;
    for (name, value) in pairs {
        if name == secure {
            return Some(value);
        }
        // Of the release before, whose cookie by TLS had no port in its name.
        if name == plain || (name == OLD_SECURE_COOKIE && found.is_none()) {
            found = Some(value);
        }
    }
    found
}

/// The header that sets the cookie, or takes it away.
pub fn set_cookie(headers: &HeaderMap, is_secure: bool, cookie: &str, until: Option<Time>) -> String {
    let name = name(headers);
    let (prefix, secure) = if is_secure { (SECURE, " Secure;") } else { ("", "") };
    let seconds = until.map_or(0, |until| until.since(clock::now()).as_secs());
    format!("{prefix}{name}={cookie}; Path=/;{secure} HttpOnly; SameSite=Strict; Max-Age={seconds}")
}

/// The cookie's name. Browsers keep one set of cookies for all ports of a host: the port is in the name, so
/// that two supervisors of one machine do not log each other's people out.
fn name(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match host.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok()) {
        Some(port) => format!("hal-{port}"),
        None => "hal".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_of_this_port_is_found_and_one_by_tls_goes_before() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost:8420".parse().unwrap());
        headers.insert(header::COOKIE, "a=b; hal-8421=other; hal-8420=mine; hal=x".parse().unwrap());
        assert_eq!(cookie_of(&headers), Some("mine"));
        headers.append(header::COOKIE, "__Host-hal-8421=others; __Host-hal-8420=safe".parse().unwrap());
        assert_eq!(cookie_of(&headers), Some("safe"));
        let set = set_cookie(&headers, false, "v", None);
        assert_eq!(set, "hal-8420=v; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
        let set = set_cookie(&headers, true, "v", Some(clock::now().plus(LASTS)));
        assert!(
            set.starts_with("__Host-hal-8420=v; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=25"),
            "{set}"
        );
    }
}
