//! The typed tables of the supervisor's store.

use redb::TableDefinition;

/// What the store is and where it stands: see `hub`.
pub const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Among those: the position of the last record of the log whose rows are here.
pub const POSITION: &str = "log_position";

/// The number of the last link in the chain of audit records.
pub const AUDIT_LINK: &str = "audit_link";

/// Its hash, eight bytes in each.
pub const AUDIT_HASH: [&str; 4] = ["audit_hash_0", "audit_hash_1", "audit_hash_2", "audit_hash_3"];

/// How much of the chain is not there any more, as `rules::audit::Account` counts it.
pub const AUDIT_CUT: [&str; 2] = ["audit_cut_links", "audit_cut_through"];

/// 1 once every audit record has a link; 2 while they are being linked, or where one of them cannot be read.
pub const AUDIT_CHAINED: &str = "audit_chained";

/// The position of the last record of the log when a clean stop left the chain whole: where the store has another one at
/// the next start, a release without a chain was here.
pub const AUDIT_LEFT_AT: &str = "audit_left_at";

/// The store's name: 16 random bytes under the key `store_id`.
pub const NAME: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("name");

/// Sequence number -> event row. In the order of receipt, so also of time.
pub const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

/// (session's number, sequence number). Merged in large steps: see `tail`.
pub const EVENTS_BY_SESSION: TableDefinition<'_, (u32, u64), ()> = TableDefinition::new("events_by_session");

/// Session id -> session row.
pub const SESSIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sessions");

/// Node id -> node row.
pub const NODES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("nodes");

/// Command id -> command row. Ids sort by the time they were made.
pub const COMMANDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("commands");

/// The ids of commands that have not ended, so that a start need not read the others.
pub const OPEN_COMMANDS: TableDefinition<'_, &str, ()> = TableDefinition::new("open_commands");

/// Actor, a zero byte, idempotency key -> key row.
pub const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("idempotency");

/// `date|provider|model|project|session|node` -> what was used.
pub const COSTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("costs");

/// Number -> who did what.
pub const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");

/// Number -> alert row.
pub const ALERTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("alerts");

/// Kind, a slash, key -> what the supervisor keeps for itself.
pub const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");

/// `node` or `session`, a zero byte, id -> the row as it was when an operator deleted it: should the node come back, its
/// events are not taken twice, and a session's are found by the number they have in the index.
pub const GONE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("gone");

/// Number -> what a mirror has to catch up with.
pub const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");

/// Node, a zero byte, an event's own id: an event that came back from a store that was set aside. Should its node say it
/// again, it is not taken twice. Made when the first one comes back.
pub const RETURNED: TableDefinition<'_, &str, ()> = TableDefinition::new("returned");
