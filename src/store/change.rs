//! What a mirror has to catch up with, written in the same transaction as the data.

use serde::{Deserialize, Serialize};

use super::row::Row;

/// Changes kept for a mirror that does not take them, as while an operator's shell holds it: some 60 MB. One that is
/// further behind looks at every row again instead.
pub const KEPT: u64 = 1_000_000;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Events were added, rewritten or removed between these numbers, both included: look at what is there now.
    Events(u64, u64),
    /// A row was written or removed: look at it for what it says now.
    Put(RowKind, String),
}

/// The tables whose rows change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RowKind {
    /// A node's row.
    Node,
    /// A session's row.
    Session,
    /// A command's row.
    Command,
    /// A row of costs.
    Cost,
    /// An audit record; its key is its number.
    Audit,
    /// An idempotency key.
    Key,
    /// A row that an operator has deleted.
    Gone,
    /// An event; its key is its number. Written in [`Change::Events`] instead.
    Event,
    /// An alert; its key is its number.
    Alert,
    /// Something that the supervisor keeps for itself. In the store it is the kind of all of those; in the mirror the
    /// kinds that follow have tables of their own: see [`super::kept::place`].
    State,
    /// A halt.
    Halt,
    /// A budget that a person has set.
    Budget,
    /// A silence.
    Silence,
    /// An approval, open or over.
    Approval,
}

impl RowKind {
    /// The kinds of what the supervisor keeps for itself.
    pub const KEPT: [Self; 5] = [Self::State, Self::Halt, Self::Budget, Self::Silence, Self::Approval];
}

impl Row for Change {
    const TABLE: &'static str = "changes";
    const VERSION: u8 = 1;
}
