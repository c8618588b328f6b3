//! The rows of nodes.

use serde::{Deserialize, Serialize};

use super::row::Row;
use hal_base::clock::Time;
use hal_protocol::node::{NodeId, Project};

/// What is kept of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// The node's name.
    pub id: NodeId,
    /// What the machine calls itself.
    pub hostname: String,
    /// Its agent's version.
    pub version: String,
    /// The address of its present or last connection.
    pub address: String,
    /// Counts its connections.
    pub epoch: u64,
    /// The newest epoch whose agent is known to have stored it. An agent with an older one is another, or a copy.
    pub confirmed: u64,
    /// Where its connections began: epoch and the number that was committed then, newest last, one for each number.
    pub begun: Vec<(u64, u64)>,
    /// The incarnation of its journal; empty before the first event.
    pub incarnation: String,
    /// The last committed number of that incarnation.
    pub committed: u64,
    /// The identity of that event; empty when its number was given up. By it a journal that went another way shows.
    pub last_id: String,
    /// How many numbers up to there came as events.
    pub stored: u64,
    /// How many numbers up to there are explained by recorded gaps: they will never come.
    pub given_up: u64,
    /// Earlier incarnations and where they stood, newest last: a journal that comes back is not taken twice.
    pub past: Vec<Past>,
    /// Its projects as last announced.
    pub projects: Vec<Project>,
    /// When its present or last connection began.
    pub connected_at: Time,
    /// When it was last heard of, as far as that was worth a write.
    pub last_heard: Time,
}

/// An earlier incarnation, and where it stood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Id of the journal.
    pub incarnation: String,
    /// As in [`NodeRecord::committed`].
    pub committed: u64,
    /// As in [`NodeRecord::last_id`].
    pub last_id: String,
    /// As in [`NodeRecord::stored`].
    pub stored: u64,
    /// As in [`NodeRecord::given_up`].
    pub given_up: u64,
    /// As in [`NodeRecord::begun`].
    pub begun: Vec<(u64, u64)>,
}

/// Earlier incarnations remembered.
const PAST: usize = 16;

/// Beginnings remembered. A copy that is older than that many connections with news may tell a few events twice.
const BEGUN: usize = 32;

impl NodeRecord {
    /// Notes where a new connection begins; the last one that began there stands for all.
    pub fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
        match self.begun.last_mut() {
            Some((last, committed)) if *committed == self.committed => *last = epoch,
            _ => self.begun.push((epoch, self.committed)),
        }
        self.begun.drain(..self.begun.len().saturating_sub(BEGUN));
    }

    /// Forgets all epochs: whoever comes next is the node, whatever it holds.
    pub fn forget_epochs(&mut self) {
        (self.epoch, self.confirmed) = (0, 0);
        self.begun.clear();
        self.past.iter_mut().for_each(|past| past.begun.clear());
    }

    /// Up to where this node's numbers are also those of an agent that holds an older epoch: what was committed when
    /// the first newer connection began.
    pub fn common_with(&self, epoch: u64) -> u64 {
        let newer = self.begun.iter().find(|(begun, _)| *begun > epoch);
        newer.map_or(self.committed, |(_, committed)| *committed)
    }

    /// True when an incarnation was seen before.
    pub fn knows(&self, incarnation: &str) -> bool {
        self.incarnation == incarnation || self.past.iter().any(|past| past.incarnation == incarnation)
    }

    /// Turns to an incarnation of the node's journal: remembers where the present one stood, and where that one
    /// stood if it was seen before.
    pub fn turn_to(&mut self, incarnation: &str) {
        if self.incarnation == incarnation {
            return;
        }
        let before = self.past.iter().position(|past| past.incarnation == incarnation);
        let now = match before {
            Some(at) => self.past.remove(at),
            None => Past { incarnation: incarnation.to_owned(), ..Past::default() },
        };
        if !self.incarnation.is_empty() {
            self.past.push(Past {
                incarnation: std::mem::take(&mut self.incarnation),
                committed: self.committed,
                last_id: std::mem::take(&mut self.last_id),
                stored: self.stored,
                given_up: self.given_up,
                begun: std::mem::take(&mut self.begun),
            });
            self.past.drain(..self.past.len().saturating_sub(PAST));
        }
        (self.incarnation, self.committed, self.begun) = (now.incarnation, now.committed, now.begun);
        (self.last_id, self.stored, self.given_up) = (now.last_id, now.stored, now.given_up);
    }

    /// A node that was never seen before.
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            hostname: String::new(),
            version: String::new(),
            address: String::new(),
            epoch: 0,
            confirmed: 0,
            begun: Vec::new(),
            incarnation: String::new(),
            committed: 0,
            last_id: String::new(),
            stored: 0,
            given_up: 0,
            past: Vec::new(),
            projects: Vec::new(),
            connected_at: Time::default(),
            last_heard: Time::default(),
        }
    }
}

/// Version 2.
#[derive(Serialize, Deserialize)]
pub(super) struct NodeRow {
    hostname: String,
    version: String,
    address: String,
    epoch: u64,
    confirmed: u64,
    begun: Vec<(u64, u64)>,
    incarnation: String,
    committed: u64,
    last_id: String,
    stored: u64,
    given_up: u64,
    past: Vec<Past>,
    projects: Vec<ProjectRow>,
    connected_at: i64,
    last_heard: i64,
}

/// Name, directory, backend, error.
type ProjectRow = (String, String, String, Option<String>);

/// Version 1: no word of epochs that were stored, nor of what is missing.
#[derive(Deserialize)]
struct NodeRow1 {
    hostname: String,
    version: String,
    address: String,
    epoch: u64,
    incarnation: String,
    committed: u64,
    past: Vec<(String, u64)>,
    projects: Vec<ProjectRow>,
    connected_at: i64,
    last_heard: i64,
}

impl From<NodeRow1> for NodeRow {
    fn from(old: NodeRow1) -> Self {
        let past =
            |(incarnation, committed)| Past { incarnation, committed, stored: committed, ..Past::default() };
        Self {
            hostname: old.hostname,
            version: old.version,
            address: old.address,
            epoch: old.epoch,
            confirmed: 0,
            begun: Vec::new(),
            incarnation: old.incarnation,
            committed: old.committed,
            last_id: String::new(),
            stored: old.committed,
            given_up: 0,
            past: old.past.into_iter().map(past).collect(),
            projects: old.projects,
            connected_at: old.connected_at,
            last_heard: old.last_heard,
        }
    }
}

impl Row for NodeRow {
    const TABLE: &'static str = "nodes";
    const VERSION: u8 = 2;

    fn open_older(version: u8, body: &[u8]) -> Option<Result<Self, postcard::Error>> {
        (version == 1).then(|| postcard::from_bytes::<NodeRow1>(body).map(Self::from))
    }
}

impl From<&NodeRecord> for NodeRow {
    fn from(node: &NodeRecord) -> Self {
        let project = |one: &Project| {
            (one.name.to_string(), one.directory.clone(), one.backend.clone(), one.error.clone())
        };
        Self {
            hostname: node.hostname.clone(),
            version: node.version.clone(),
            address: node.address.clone(),
            epoch: node.epoch,
            confirmed: node.confirmed,
            begun: node.begun.clone(),
            incarnation: node.incarnation.clone(),
            committed: node.committed,
            last_id: node.last_id.clone(),
            stored: node.stored,
            given_up: node.given_up,
            past: node.past.clone(),
            projects: node.projects.iter().map(project).collect(),
            connected_at: node.connected_at.0,
            last_heard: node.last_heard.0,
        }
    }
}

impl NodeRow {
    pub(super) fn into_record(self, id: &str) -> NodeRecord {
        let project = |(name, directory, backend, error): ProjectRow| Project {
            name: name.into(),
            directory,
            backend,
            error,
        };
        NodeRecord {
            id: id.into(),
            hostname: self.hostname,
            version: self.version,
            address: self.address,
            epoch: self.epoch,
            confirmed: self.confirmed,
            begun: self.begun,
            incarnation: self.incarnation,
            committed: self.committed,
            last_id: self.last_id,
            stored: self.stored,
            given_up: self.given_up,
            past: self.past,
            projects: self.projects.into_iter().map(project).collect(),
            connected_at: Time(self.connected_at),
            last_heard: Time(self.last_heard),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_agents_have_in_common_ends_where_the_newer_one_began() {
        let mut node = NodeRecord::new("n".into());
        node.turn_to("a");
        let mut connect = |epoch, committed| {
            node.begin(epoch);
            node.committed = committed;
        };
        // The second and the third began where the first one did nothing; the fourth after ten more.
        for (epoch, committed) in [(1, 10), (2, 10), (3, 20), (4, 25)] {
            connect(epoch, committed);
        }
        assert_eq!([0, 1, 2, 3, 4].map(|epoch| node.common_with(epoch)), [0, 10, 10, 20, 25]);
        node.turn_to("b");
        node.begin(5);
        node.committed = 3;
        node.turn_to("a");
        assert_eq!(
            (node.common_with(2), node.committed),
            (10, 25),
            "a journal that comes back finds it as it was"
        );
    }
}
