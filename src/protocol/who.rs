//! Who does something: one value for whoever acts, in the audit log and in what is asked of the supervisor.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The kind of whoever acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhoKind {
    /// A person who is known as one: by their account in a chat, or as an operator of the supervisor's machine.
    Person,
    /// A program, or whoever holds its token.
    #[default]
    Program,
    /// A machine with a hal-agent.
    Machine,
    /// A policy, or another rule that steps in by itself.
    Policy,
}

impl WhoKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Program => "program",
            Self::Machine => "machine",
            Self::Policy => "policy",
        }
    }
}

/// Who does something. Its fields are stored in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Who {
    /// Whether a person, a program, this machine or a policy acts.
    pub kind: WhoKind,
    /// The name, such as `token` or `discord:ada`.
    pub name: String,
    /// What was shown for it, such as `shared token`; empty where nothing had to be.
    pub credential: String,
    /// By which way: `halctl`, `api`, `discord`, `supervisor.db`.
    pub through: String,
    /// The other end of the connection, or the account over there, which cannot be chosen; empty where there is none.
    pub from: String,
}

impl Who {
    /// This, as long as it is about whoever has that name: an operator may have put another one in its place.
    pub fn if_named(self, name: &str) -> Option<Self> {
        (self.name == name).then_some(self)
    }

    /// Whoever shows the one token of this supervisor, by this way and from this address.
    pub fn with_token(through: &str, from: &str) -> Self {
        Self {
            kind: WhoKind::Program,
            name: "token".into(),
            credential: "shared token".into(),
            through: through.into(),
            from: from.into(),
        }
    }

    /// A user of the supervisor's own machine, by their login name and what the kernel says of them.
    pub fn on_this_machine(login: &str, credential: &str, through: &str) -> Self {
        Self {
            kind: WhoKind::Person,
            name: login.into(),
            credential: credential.into(),
            through: through.into(),
            from: "this machine".into(),
        }
    }

    /// Somebody in a chat, by the name and the account there.
    pub fn in_chat(name: &str, chat: &str, account: &str) -> Self {
        Self {
            kind: WhoKind::Person,
            name: name.into(),
            credential: format!("account of {chat}"),
            through: chat.into(),
            from: account.into(),
        }
    }

    /// An operator with SQL: the kernel lets nobody else write to the file.
    pub fn with_sql(name: &str) -> Self {
        Self {
            kind: WhoKind::Person,
            name: name.into(),
            credential: "the file's permissions".into(),
            through: "supervisor.db".into(),
            from: String::new(),
        }
    }

    /// Somebody whose token is wrong, from this address.
    pub fn unknown(from: impl Into<String>) -> Self {
        Self {
            name: "unknown".into(),
            credential: "a wrong token".into(),
            from: from.into(),
            ..Self::default()
        }
    }

    /// A notification channel that has delivered something, over this service.
    pub fn channel(name: &str, over: &str) -> Self {
        Self { name: name.into(), through: over.into(), ..Self::default() }
    }

    /// A policy, or another rule of the supervisor's own.
    pub fn policy(name: &str) -> Self {
        Self { kind: WhoKind::Policy, name: name.into(), through: "supervisor".into(), ..Self::default() }
    }

    /// The supervisor itself, at some duty.
    pub fn itself(duty: &str) -> Self {
        Self { name: duty.into(), through: "supervisor".into(), ..Self::default() }
    }
}
