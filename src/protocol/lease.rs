//! Leases: money that the supervisor lends to a node for a turn, for a short time.
//!
//! ```text
//!   agent                                supervisor
//!   lease_request (new) ->               commits what it lends, then
//!                            <- lease    granted, wait, or refused with the budget that is spent
//!   .. the turn runs; what it uses is debited; it runs low, or the time is nearly over ..
//!   lease_request (the same lease) ->    more, or a longer time
//!   event lease.ended                    after all events of what was used: the rest is free again
//! ```
//! Asking again for the same lease is always safe: the agent says how much it has, and gets no more than one answer's worth.

use serde::{Deserialize, Serialize};

use super::budget::AtLimit;
use super::event::kind::Kind;
use super::node::ProjectName;
use super::session::{Model, SessionId};

/// The word in [`super::frame::Hello::capabilities`] of an agent that asks for leases.
pub const CAPABILITY: &str = "leases";

/// The event by which a node gives a lease back: [`LeaseEnd`].
pub const ENDED: &str = "lease.ended";

/// The event by which a node says that it has interrupted a turn for want of money: [`Interrupted`].
pub const INTERRUPTED: &str = Kind::BudgetInterrupted.as_str();

/// Which sessions of a node need a lease before a turn begins. Said after every welcome and when it changes; the node
/// stores it, since it holds when the supervisor is away, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cover {
    /// True: every session of the node.
    pub all: bool,
    /// Else those of these projects.
    pub projects: Vec<ProjectName>,
    /// What a million tokens are taken to cost where nobody knows, in micro-dollars.
    pub unknown_micros: u64,
}

impl Cover {
    /// True when a session of this project needs a lease.
    pub fn holds_for(&self, project: &ProjectName) -> bool {
        self.all || self.projects.contains(project)
    }

    /// True when none does.
    pub fn is_empty(&self) -> bool {
        !self.all && self.projects.is_empty()
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The node asks for money, for more of it, or for more time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeaseRequest {
    /// The node's own name for the lease: a new one for each turn.
    pub lease_id: String,
    /// For which session: that of the person, not of a helper. Absent as long as it is to be created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The project that the session works in.
    pub project: ProjectName,
    /// What it was lent so far, as far as it knows.
    pub lent_micros: u64,
    /// What it has used so far.
    pub used_micros: u64,
    /// What its dearest step has cost so far: less than that is of no use.
    pub step_micros: u64,
    /// True when more money is asked for, not only more time.
    pub more: bool,
    /// The model that the turn is likely to ask first, as far as the node knows; only before the turn has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// About how many tokens that call will read; 0: the node does not know.
    #[serde(skip_serializing_if = "is_zero")]
    pub first_tokens: u64,
    /// The node's own clock; comes back with the answer, so that the time is counted from when it asked.
    pub asked_ms: u64,
}

/// What the supervisor says to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseVerdict {
    /// Here it is.
    #[default]
    Granted,
    /// All that is left is lent to others: ask again soon.
    Wait,
    /// A budget is spent.
    Refused,
}

/// The answer to a [`LeaseRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// Id of the lease.
    pub lease_id: String,
    /// What came of it.
    pub verdict: LeaseVerdict,
    /// All that was lent under this name.
    pub micros: u64,
    /// What was used of it as far as the supervisor knows, which may know prices that the node does not.
    pub used_micros: u64,
    /// What is lent at a time, in micro-dollars.
    pub size_micros: u64,
    /// For how long, counted from `asked_ms`.
    pub ttl_ms: u64,
    /// As it was asked; 0: nobody has asked, and only `used_micros` is news.
    pub asked_ms: u64,
    /// What the node does when the lease is spent, over, or refused.
    pub at_limit: AtLimit,
    /// The budget that is the tightest, or spent.
    pub budget: String,
    /// Why not, in a sentence for a person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// The data of [`ENDED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeaseEnd {
    /// Id of the lease.
    pub lease_id: String,
    /// What the node was lent.
    pub lent_micros: u64,
    /// What it has seen being used.
    pub used_micros: u64,
    /// The agent died while the turn ran, so more may have been used than anybody has seen: the rest counts as spent.
    pub lost: bool,
}

/// The data of [`INTERRUPTED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interrupted {
    /// Whose lease it was.
    pub lease_id: String,
    /// Id of the session whose turn was interrupted.
    pub session_id: SessionId,
    /// The budget, as far as it is known.
    pub budget: String,
    /// What was lent, in micro-dollars.
    pub lent_micros: u64,
    /// What was used, in micro-dollars.
    pub used_micros: u64,
    /// What was done: `pause` or `stop`.
    pub action: String,
    /// Why, in a sentence.
    pub why: String,
}
