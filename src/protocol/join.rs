//! Joining: how a new machine becomes a node, by a token that one line holds and a key that it makes for itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::actor::TokenView;
use super::node::NodeId;

/// What a token by which machines join is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct JoinTokenRequest {
    /// What it is for, at most 100 characters.
    pub label: String,
    /// For how many seconds it is good; 0: until it is revoked.
    pub seconds: u64,
    /// Whether the first machine that joins ends it.
    pub is_once: bool,
}

/// A token by which machines join, as it was just made. Only this answer ever holds its secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewJoinToken {
    /// The token itself.
    pub token: String,
    /// The key by which this supervisor is known, as `sha256:DIGITS`; empty: it has no lasting one.
    #[serde(default)]
    pub pin: String,
    /// Whether it speaks TLS.
    #[serde(default)]
    pub is_encrypted: bool,
    /// What is known of the token.
    pub about: TokenView,
}

impl std::fmt::Debug for NewJoinToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("NewJoinToken").field("about", &self.about).finish_non_exhaustive()
    }
}

/// A machine asks to become a node; it shows a token for joining.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinRequest {
    /// What the node is to be called.
    pub node_id: String,
    /// The public half of the machine's key (Ed25519), in hexadecimal digits.
    pub key: String,
    /// The signature of [`super::proof::said_to_join`] by it.
    pub signature: String,
}

/// A machine is a node now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Joined {
    /// The node.
    #[schema(value_type = String)]
    pub node_id: NodeId,
    /// Version of the supervisor.
    pub version: String,
}
