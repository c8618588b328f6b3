//! A batch: what is to be written in one commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::audit::AuditRecord;
use super::command::KeyRecord;
use super::cost::CostChange;
use super::kept::Kept;
use super::node::NodeRecord;
use super::session::SessionRecord;
use super::sqlite::edit;
use hal_protocol::alert::Alert;
use hal_protocol::command::Command;
use hal_protocol::event::EventView;
use hal_rules::audit::Account;

/// How far audit records are linked.
#[derive(Clone, Copy, Debug)]
pub struct Chaining {
    /// True when every one of them has a link.
    pub is_done: bool,
    /// What of the chain is not there any more.
    pub account: Account,
}

/// What is to be written in one commit.
#[derive(Debug, Default)]
pub struct Batch {
    /// New events, in the order of their sequence numbers.
    pub events: Vec<EventView>,
    /// Nodes as they are now.
    pub nodes: BTreeMap<String, NodeRecord>,
    /// Sessions as they are now.
    pub sessions: BTreeMap<String, SessionRecord>,
    /// Commands as they are now.
    pub commands: BTreeMap<String, Command>,
    /// Idempotency keys of new commands.
    pub keys: Vec<(String, KeyRecord)>,
    /// Entries to merge into the index of events by session, sorted.
    pub index: Vec<(u32, u64)>,
    /// What changes in the ledger of costs.
    pub costs: BTreeMap<String, CostChange>,
    /// Alerts as they are now; `None`: it is not kept any more.
    pub alerts: BTreeMap<u64, Option<Alert>>,
    /// What the supervisor keeps for itself, by name; `None`: it is not kept any more.
    pub state: BTreeMap<String, Option<Arc<Kept>>>,
    /// Who did what.
    pub audit: Vec<AuditRecord>,
    /// Records of the audit log, by their numbers, that no link of the chain has yet.
    pub unlinked: Vec<(u64, AuditRecord)>,
    /// How far they are linked, and how much of the chain is found to be missing.
    pub chained: Option<Chaining>,
    /// Events that came back from a store that was set aside, as `returned::name` names them.
    pub returned: Vec<String>,
    /// What operators changed with SQL.
    pub edits: edit::Decided,
    /// Rows that the supervisor itself removes or brings back.
    pub moved: edit::Decided,
    /// Nothing follows: the store is left as the release before this one can read it.
    pub is_last: bool,
}

impl Batch {
    /// True when there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.nodes.is_empty()
            && self.sessions.is_empty()
            && self.commands.is_empty()
            && self.keys.is_empty()
            && self.index.is_empty()
            && self.costs.is_empty()
            && self.alerts.is_empty()
            && self.state.is_empty()
            && self.audit.is_empty()
            && self.unlinked.is_empty()
            && self.chained.is_none()
            && self.returned.is_empty()
            && self.edits.is_empty()
            && self.moved.is_empty()
            && !self.is_last
    }

    /// True when what it says depends on rows that only the store holds.
    pub(super) fn asks_the_store(&self) -> bool {
        !self.edits.is_empty() || !self.moved.is_empty() || self.is_last
    }
}
