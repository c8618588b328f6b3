//! The live part of the present state: what links and this process tell, and no store holds.

use std::sync::Arc;

use imbl::{HashMap, OrdMap};

use super::pulse::{Pulse, Vitals};
use hal_base::clock::Time;
use hal_protocol::backend::NodeBackend;
use hal_protocol::node::{CameIn, Journal, Node, NodeId, NodeStatus};
use hal_protocol::session::SessionId;
use hal_rules::policy::facts::PolicyFacts;
use hal_store::node::NodeRecord;

/// What is only known while links are up and this process runs. A commit that fails takes nothing of it away.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// When this machine began to run, as its clock says; `None` before the first input. It changes when the clock is set.
    pub began: Option<Time>,
    /// The link of every node that is stored.
    pub links: OrdMap<NodeId, Arc<NodeLink>>,
    /// Grows whenever a node comes or goes.
    pub comings: u64,
    /// When policies last looked for what is due.
    pub policies_looked: Time,
    /// What policies know of sessions that have not ended. Their facts are kept, too, where they could be read.
    pub watched: HashMap<SessionId, Arc<Watched>>,
}

/// What policies know of a session.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// What its events told.
    pub facts: PolicyFacts,
    /// When to look at it again if no event comes.
    pub due: Option<Time>,
}

/// What a node's link tells of it.
#[derive(Clone, Debug, Default)]
pub struct NodeLink {
    /// Whether it is up.
    pub online: bool,
    /// What the node last said of itself. While the link is up it changes without the hub.
    pub pulse: Arc<Pulse>,
    /// Bytes of commands it takes before it acknowledges one; 0: it did not say.
    pub command_credit: u64,
    /// Whether its agent asks for leases.
    pub takes_leases: bool,
    /// The kinds of coding agents it has, as it said last.
    pub backends: Arc<[NodeBackend]>,
    /// The host of another agent that claims to be this node, as long as this one is connected.
    pub impostor: Option<String>,
    /// How its agent came in; `None`: it has not since this supervisor started.
    pub came_in: Option<Arc<CameIn>>,
}

impl NodeLink {
    /// A link that is down, of a node as it stands in the store.
    pub fn offline(record: &NodeRecord) -> Self {
        let vitals = Vitals { heard: record.last_heard, held: record.committed, ..Vitals::default() };
        Self { pulse: Pulse::still(vitals), ..Self::default() }
    }

    /// This link once it is down: what its node last said stays as it is now.
    pub fn cut(&self) -> Self {
        Self { online: false, pulse: Pulse::still(self.vitals()), ..self.clone() }
    }

    /// What the node last said of itself.
    pub fn vitals(&self) -> Vitals {
        self.pulse.vitals()
    }
}

/// A node: what is stored of it, and its link.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// What is stored of it.
    pub record: NodeRecord,
    /// What its link tells.
    pub link: NodeLink,
}

impl NodeState {
    /// A node as it stands in the store: not connected.
    pub fn offline(record: NodeRecord) -> Self {
        Self { link: NodeLink::offline(&record), record }
    }

    /// It has spoken over its present connection, and before that it stored the epoch.
    pub fn confirm(&mut self) {
        self.record.confirmed = self.record.epoch;
    }
}

/// A node to look at.
#[derive(Clone, Copy, Debug)]
pub struct NodeRef<'v> {
    /// What is stored of it.
    pub record: &'v NodeRecord,
    /// What its link tells.
    pub link: &'v NodeLink,
}

impl NodeRef<'_> {
    /// True when the agent has shown that it stored the epoch it was given.
    pub fn is_confirmed(self) -> bool {
        self.record.confirmed == self.record.epoch
    }

    /// One of its own, to be changed and put back.
    pub fn to_state(self) -> NodeState {
        NodeState { record: self.record.clone(), link: self.link.clone() }
    }

    /// As the API shows it.
    pub fn show(self, sessions: u64) -> Node {
        let Self { record, link } = self;
        let vitals = link.vitals();
        Node {
            id: record.id.clone(),
            hostname: record.hostname.clone(),
            status: if link.online { NodeStatus::Online } else { NodeStatus::Offline },
            last_heartbeat: vitals.heard,
            connected_at: record.connected_at,
            version: record.version.clone(),
            address: record.address.clone(),
            epoch: record.epoch,
            projects: record.projects.clone(),
            // Known only while the link is up: a node that is away may have others by now.
            backends: if link.online { link.backends.to_vec() } else { Vec::new() },
            came_in: link.came_in.as_deref().cloned(),
            resources: vitals.resources,
            clock_ahead_ms: vitals.clock_ahead_ms,
            journal: Journal {
                incarnation: record.incarnation.clone(),
                held: vitals.held.max(record.committed),
                acknowledged: record.committed,
                lag: vitals.held.saturating_sub(record.committed),
                given_up: record.given_up,
                missing: record.committed.saturating_sub(record.stored + record.given_up),
            },
            sessions,
        }
    }
}
