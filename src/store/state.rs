//! Kept state as text: a row's name, and its JSON as operators and the release before this one have it. What a row says
//! is [`super::kept`]'s.

use serde::{Deserialize, Serialize};

use super::row::Row;

/// What is kept under one name. Version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// JSON.
    pub data: String,
    /// When it last changed, in milliseconds.
    pub changed_at: i64,
}

impl Row for StateRecord {
    const TABLE: &'static str = "state";
    const VERSION: u8 = 1;
}

/// The name of what is kept of a kind under a key, such as `halt/shop`. A kind has no slash.
pub fn name(kind: &str, key: &str) -> String {
    format!("{kind}/{key}")
}
