//! What a mirror has to catch up with, written in the same transaction as the data.

use serde::{Deserialize, Serialize};

use super::row::Row;

/// Changes kept for a mirror. One that is further behind rebuilds itself instead.
pub const KEPT: u64 = 65_536;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Events were added: from, to, both included.
    Events(u64, u64),
    /// A row was written: look at it for what it says now.
    Put(Kind, String),
}

/// The tables whose rows change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A node's row.
    Node,
    /// A session's row.
    Session,
    /// A command's row.
    Command,
}

impl Row for Change {
    const TABLE: &'static str = "changes";
    const VERSION: u8 = 1;
}
