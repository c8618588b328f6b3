//! What an agent keeps with the holder of an opencode for the agent after it. It goes over the holder's socket only.

use serde::{Deserialize, Serialize};

/// What is needed to go on with it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Memo {
    /// Where it listens.
    pub base: String,
    /// Its password.
    pub password: String,
    /// Its version.
    pub version: String,
    /// Directories that it has read already.
    #[serde(default)]
    pub passed: Vec<String>,
}
