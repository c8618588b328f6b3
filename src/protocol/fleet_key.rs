//! The fleet's keys: those by which agents and halctl know their supervisor, whatever machine it runs on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use hal_base::clock::Time;

use crate::mark::Attribution;

/// The fleet's keys as they are kept: sealed, so that they may lie in the store and in every copy of it. No field may be
/// left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetKeys {
    /// The authority's key as others know it: `sha256:DIGITS`.
    pub pin: String,
    /// The authority's certificate (PEM).
    pub authority: String,
    /// Its private key (PEM), sealed under the fleet key, which lies in a file of its own.
    pub sealed: String,
    /// The fleet key, sealed under the recovery key; empty: there is none.
    pub for_recovery: String,
    /// Who has made that recovery key, and when.
    #[serde(deserialize_with = "Option::deserialize")]
    pub recovery_made: Option<Attribution>,
}

/// Asks for a recovery key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RecoveryKeyRequest {
    /// Whether it takes the place of one that there is, which opens nothing any more then.
    pub replace: bool,
}

/// Whether there is a recovery key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RecoveryKeyView {
    /// The key by which this supervisor is known, as `sha256:DIGITS`; empty: it has none of its own.
    pub pin: String,
    /// Who has made the recovery key; empty: there is none.
    pub made_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Time,
}

/// A recovery key, as it was just made. Only this answer ever holds it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewRecoveryKey {
    /// The recovery key itself.
    pub recovery_key: String,
    /// What is known of it.
    pub about: RecoveryKeyView,
}

impl std::fmt::Debug for NewRecoveryKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("NewRecoveryKey").field("about", &self.about).finish_non_exhaustive()
    }
}

impl FleetKeys {
    /// What is told of the recovery key.
    pub fn view(&self) -> RecoveryKeyView {
        let (made_by, made_at) =
            self.recovery_made.as_ref().map(|made| (made.by.clone(), made.at)).unwrap_or_default();
        RecoveryKeyView { pin: self.pin.clone(), made_by, made_at }
    }
}
