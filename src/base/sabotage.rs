//! Promises broken on purpose, one build flag each: a test that no sabotage can fail proves nothing.
//!
//! `tests/sabotage` builds each and shows which named test fails. A release build refuses them.

#[cfg(all(
    not(debug_assertions),
    any(
        feature = "sabotage-ack-before-commit",
        feature = "sabotage-drop-when-full",
        feature = "sabotage-no-dedup",
        feature = "sabotage-no-fencing",
        feature = "sabotage-sequence-in-memory",
        feature = "sabotage-check-then-act",
        feature = "sabotage-lease-not-counted",
        feature = "sabotage-apply-before-append",
        feature = "sabotage-ack-before-sync",
        feature = "sabotage-no-replay",
        feature = "sabotage-gap-unnoticed"
    )
))]
compile_error!("a sabotaged program is for tests alone and is never built for release");

/// The supervisor acknowledges events before it has committed them.
pub const ACK_BEFORE_COMMIT: bool = cfg!(feature = "sabotage-ack-before-commit");

/// What a coding agent reports is dropped when the queue to the journal is full.
pub const DROP_WHEN_FULL: bool = cfg!(feature = "sabotage-drop-when-full");

/// The supervisor takes events again that it has committed before.
pub const NO_DEDUP: bool = cfg!(feature = "sabotage-no-dedup");

/// An older connection of a node may still write.
pub const NO_FENCING: bool = cfg!(feature = "sabotage-no-fencing");

/// An agent forgets its journal's numbers when it ends, and counts from 1 again.
pub const SEQUENCE_IN_MEMORY: bool = cfg!(feature = "sabotage-sequence-in-memory");

/// Idempotency keys are looked up in the store alone, not among what is about to be stored.
pub const CHECK_THEN_ACT: bool = cfg!(feature = "sabotage-check-then-act");

/// What is lent to nodes does not count as spent.
pub const LEASE_NOT_COUNTED: bool = cfg!(feature = "sabotage-lease-not-counted");

/// The store takes rows before their record is in the log.
pub const APPLY_BEFORE_APPEND: bool = cfg!(feature = "sabotage-apply-before-append");

/// A record counts as appended before it is synced.
pub const ACK_BEFORE_SYNC: bool = cfg!(feature = "sabotage-ack-before-sync");

/// What the log has and the store has not is not played at a start.
pub const NO_REPLAY: bool = cfg!(feature = "sabotage-no-replay");

/// Records that are missing in the log are passed over in silence.
pub const GAP_UNNOTICED: bool = cfg!(feature = "sabotage-gap-unnoticed");
