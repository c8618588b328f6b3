//! Actors: people, programs and machines that a supervisor knows by name, what each may do, and what each shows for it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use hal_base::clock::Time;
use hal_base::secret::Secret;

use crate::mark::Attribution;

/// How a token begins that belongs to an actor: whoever finds one in a file knows what it is.
pub const TOKEN_PREFIX: &str = "hal_";

/// What an actor may do. From [`Role::Metrics`] on, each may do what those before it may.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A machine with a hal-agent: comes in by the agents' door as the node of its own name, and nowhere else.
    Agent,
    /// Reads counters.
    Metrics,
    /// Reads everything but what administrators see.
    #[default]
    Viewer,
    /// Answers permissions and questions, acknowledges alerts, and stops: halt, abort, kill, pause.
    Approver,
    /// Starts and prompts sessions, silences alerts, labels.
    Operator,
    /// Changes budgets, people, nodes and the store; releases a halt; reads the audit record.
    Admin,
}

impl Role {
    /// Every role, the least one first.
    pub const ALL: [Self; 6] =
        [Self::Agent, Self::Metrics, Self::Viewer, Self::Approver, Self::Operator, Self::Admin];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Metrics => "metrics",
            Self::Viewer => "viewer",
            Self::Approver => "approver",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// True when whoever has this role may do what takes the role `least`.
    pub fn may(self, least: Self) -> bool {
        match (self, least) {
            (Self::Agent, _) | (_, Self::Agent) => self == least,
            _ => self >= least,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.pad(self.as_str())
    }
}

/// Somebody the supervisor knows. A field that is left out is no row: who was shut out is not let in by an omission.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The name; for the role `agent` that of the node.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether it is a program and not a person; machines are neither.
    pub is_program: bool,
    /// Who has added them, and when.
    #[serde(deserialize_with = "Option::deserialize")]
    pub created: Option<Attribution>,
    /// Of the role `agent`: since when the node has come in by a token of its own. From then on it is let in by no other.
    #[serde(deserialize_with = "Option::deserialize")]
    pub pinned_at: Option<Time>,
}

/// The part that names a token which belongs to an actor. `None`: the text is no such token.
pub fn token_id(token: &str) -> Option<&str> {
    let (id, secret) = token.strip_prefix(TOKEN_PREFIX)?.split_once('_')?;
    (!id.is_empty() && !secret.is_empty()).then_some(id)
}

/// What an actor shows to be let in: a token that is kept only as its hash. No field may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The part of the token that names it.
    pub id: String,
    /// Whose it is.
    pub actor: String,
    /// What it is for, in their words.
    pub label: String,
    /// What it is compared with, as [`CredentialKind`] reads it: SHA-256 of the whole token, in hexadecimal digits, or
    /// one of the kinds that begin with their word and a colon. A release that does not know a kind lets nobody in by it.
    pub hash: String,
    /// Who has made it, and when.
    #[serde(deserialize_with = "Option::deserialize")]
    pub created: Option<Attribution>,
    /// Until when it is good; `None`: until it is revoked.
    #[serde(deserialize_with = "Option::deserialize")]
    pub expires_at: Option<Time>,
    /// Who has ended it, and when.
    #[serde(deserialize_with = "Option::deserialize")]
    pub revoked: Option<Attribution>,
}

/// The kinds of credentials, by the beginning of their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind<'a> {
    /// A token: SHA-256 of it.
    Token(&'a str),
    /// The key of a node's machine: its public half (Ed25519).
    Key(&'a str),
    /// A token by which machines join: SHA-256 of it.
    Join {
        /// Whether the first one that joins ends it.
        is_once: bool,
        /// Of the whole token.
        hash: &'a str,
    },
    /// A browser that somebody has logged in: SHA-256 of its cookie and of what that was begun with.
    Browser(&'a str),
    /// Of a later release.
    Other,
}

/// How the hash of a kind begins.
const KEY: &str = "ed25519:";
const JOIN: &str = "join:";
const JOIN_ONCE: &str = "join-once:";
const COOKIE: &str = "cookie:";

/// How the name of a machine's key begins.
const KEY_ID: &str = "k";

/// Digits of a key that name it.
const KEY_DIGITS: usize = 20;

/// The name of the credential for a machine's key, by its public half.
pub fn key_id(public: &str) -> String {
    let digits = public.chars().filter(char::is_ascii_hexdigit).take(KEY_DIGITS);
    format!("{KEY_ID}{}", digits.collect::<String>())
}

/// How a credential stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialState {
    /// It is good.
    #[default]
    Active,
    /// Its time is over.
    Expired,
    /// Somebody has ended it.
    Revoked,
}

impl CredentialState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Credential {
    /// The hash of a machine's key.
    pub fn hash_of_key(public: &str) -> String {
        format!("{KEY}{public}")
    }

    /// The hash of a token by which machines join.
    pub fn hash_of_join(hash: &str, is_once: bool) -> String {
        format!("{}{hash}", if is_once { JOIN_ONCE } else { JOIN })
    }

    /// What is kept of a browser session, from the hash of its secret.
    pub fn hash_of_browser(hash: &str) -> String {
        format!("{COOKIE}{hash}")
    }

    /// What it is.
    pub fn kind(&self) -> CredentialKind<'_> {
        let hash = self.hash.as_str();
        if let Some(public) = hash.strip_prefix(KEY) {
            return CredentialKind::Key(public);
        }
        if let Some(hash) = hash.strip_prefix(COOKIE) {
            return CredentialKind::Browser(hash);
        }
        for (word, is_once) in [(JOIN, false), (JOIN_ONCE, true)] {
            if let Some(hash) = hash.strip_prefix(word) {
                return CredentialKind::Join { is_once, hash };
            }
        }
        if hash.contains(':') { CredentialKind::Other } else { CredentialKind::Token(hash) }
    }

    /// The word for what it is.
    pub fn kind_word(&self) -> &'static str {
        match self.kind() {
            CredentialKind::Token(_) => "token",
            CredentialKind::Key(_) => "key",
            CredentialKind::Join { is_once: false, .. } => "join",
            CredentialKind::Join { is_once: true, .. } => "join-once",
            CredentialKind::Browser(_) => "browser session",
            CredentialKind::Other => "other",
        }
    }

    /// The public half of a machine's key, when it is one.
    pub fn key(&self) -> Option<&str> {
        match self.kind() {
            CredentialKind::Key(public) => Some(public),
            CredentialKind::Token(_)
            | CredentialKind::Join { .. }
            | CredentialKind::Browser(_)
            | CredentialKind::Other => None,
        }
    }

    /// How it stands at a time.
    pub fn state(&self, at: Time) -> CredentialState {
        match (&self.revoked, self.expires_at) {
            (Some(_), _) => CredentialState::Revoked,
            (None, Some(end)) if end <= at => CredentialState::Expired,
            _ => CredentialState::Active,
        }
    }
}

/// An actor, as the API shows one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ActorView {
    /// The name; for the role `agent` that of the node.
    pub name: String,
    /// `person`, `program` or `machine`.
    pub kind: String,
    /// What they may do.
    pub role: Role,
    /// How many of their tokens are good.
    pub tokens: u64,
    /// Who has added them.
    pub created_by: String,
    /// When they were added (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

/// What an actor is added or changed with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActorRequest {
    /// What they may do: `viewer`, `approver`, `operator`, `admin`, `agent` or `metrics`.
    pub role: String,
    /// Whether it is a program and not a person.
    #[serde(default)]
    pub is_program: bool,
}

/// A token, as the API shows one: never the secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TokenView {
    /// The part of the token that names it.
    pub id: String,
    /// Whose it is.
    pub actor: String,
    /// What they may do.
    pub role: Role,
    /// What it is: `token`, `key` (of a node's machine), `join` or `join-once` (by which machines join), `browser
    /// session`, or `other` (of a later release).
    pub kind: String,
    /// How it stands.
    pub state: CredentialState,
    /// What it is for.
    pub label: String,
    /// Who has made it.
    pub created_by: String,
    /// When it was made (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Until when it is good (RFC 3339); `0001-01-01T00:00:00Z`: until it is revoked.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
    /// When it was shown last since the supervisor has started (RFC 3339); `0001-01-01T00:00:00Z`: not since then.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub used_at: Time,
    /// From which address that was.
    pub used_from: String,
    /// Who has revoked it; empty: nobody.
    pub revoked_by: String,
}

/// What a token is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TokenRequest {
    /// What it is for, at most 100 characters.
    pub label: String,
    /// For how many seconds it is good; 0: until it is revoked.
    pub seconds: u64,
}

/// A token that was just made. Only this answer ever holds its secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// The token itself.
    pub token: String,
    /// What is known of it.
    pub about: TokenView,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("NewToken").field("about", &self.about).finish_non_exhaustive()
    }
}

/// What a browser is logged in with: one of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub struct LoginRequest {
    /// A token.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub token: Secret,
    /// A code that `halctl dashboard` or `hal up` has printed; it is good once.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub code: Secret,
}

/// A code that logs a browser in, once.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LoginCode {
    /// The code. It goes behind `#code=` in the address of the dashboard.
    pub code: String,
    /// Until when it is good (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
}

impl std::fmt::Debug for LoginCode {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("LoginCode").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Who asks, as the supervisor sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct WhoAmI {
    /// The name that stands on the record.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What was shown for it, such as `shared token` or `token 3f9a2c`.
    pub credential: String,
    /// The part that names the token or browser session that was shown; empty: it has none.
    pub credential_id: String,
    /// From where.
    pub from: String,
    /// Until when the credential is good (RFC 3339); `0001-01-01T00:00:00Z`: until it is revoked.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_those_before_it_may_and_a_machine_only_its_own() {
        for (index, role) in Role::ALL.into_iter().enumerate() {
            for (least, needed) in Role::ALL.into_iter().enumerate() {
                let expected = if role == Role::Agent || needed == Role::Agent {
                    role == needed
                } else {
                    index >= least
                };
                assert_eq!(role.may(needed), expected, "{role} {needed}");
            }
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }

    #[test]
    fn a_new_token_does_not_print_itself() {
        let new = NewToken { token: "hal_1_secret".into(), about: TokenView::default() };
        assert!(!format!("{new:?}").contains("secret"));
    }

    #[test]
    fn revoked_goes_before_expired() {
        let by = Attribution { by: "ada".into(), at: Time(1) };
        let mut one = Credential { expires_at: Some(Time(5)), ..Credential::default() };
        assert_eq!(one.state(Time(4)), CredentialState::Active);
        assert_eq!(one.state(Time(5)), CredentialState::Expired);
        one.revoked = Some(by);
        assert_eq!(one.state(Time(5)), CredentialState::Revoked);
    }

    #[test]
    fn a_browser_session_is_no_token_to_whoever_knows_tokens_only() {
        let hash = hal_base::secret::hash_of("secret");
        let session = Credential { hash: Credential::hash_of_browser(&hash), ..Credential::default() };
        assert_eq!(session.kind(), CredentialKind::Browser(&hash));
        assert!(!hal_base::secret::is_hash_of(&session.hash, "secret"));
        assert_eq!(session.kind_word(), "browser session");
    }
}
