//! The rows of nodes.

use serde::{Deserialize, Serialize};

use super::row::Row;
use crate::base::clock::Time;
use crate::protocol::node::{NodeId, Project};

/// What is kept of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its name.
    pub id: NodeId,
    /// What the machine calls itself.
    pub hostname: String,
    /// Its agent's version.
    pub version: String,
    /// The address of its present or last connection.
    pub address: String,
    /// Counts its connections.
    pub epoch: u64,
    /// The incarnation of its journal; empty before the first event.
    pub incarnation: String,
    /// The last committed number of that incarnation.
    pub committed: u64,
    /// Earlier incarnations and where they stood, newest last: a journal that comes back is not taken twice.
    pub past: Vec<(String, u64)>,
    /// Its projects as last announced.
    pub projects: Vec<Project>,
    /// When its present or last connection began.
    pub connected_at: Time,
    /// When it was last heard of, as far as that was worth a write.
    pub last_heard: Time,
}

/// Earlier incarnations remembered.
const PAST: usize = 16;

impl NodeRecord {
    /// Turns to an incarnation of the node's journal: remembers where the present one stood, and where that one
    /// stood if it was seen before.
    pub fn turn_to(&mut self, incarnation: &str) {
        if self.incarnation == incarnation {
            return;
        }
        let before =
            self.past.iter().position(|(name, _)| name == incarnation).map(|at| self.past.remove(at).1);
        if !self.incarnation.is_empty() {
            self.past.push((std::mem::take(&mut self.incarnation), self.committed));
            self.past.drain(..self.past.len().saturating_sub(PAST));
        }
        incarnation.clone_into(&mut self.incarnation);
        self.committed = before.unwrap_or(0);
    }

    /// A node that was never seen before.
    pub fn new(id: NodeId) -> Self {
        Self {
            id,
            hostname: String::new(),
            version: String::new(),
            address: String::new(),
            epoch: 0,
            incarnation: String::new(),
            committed: 0,
            past: Vec::new(),
            projects: Vec::new(),
            connected_at: Time::default(),
            last_heard: Time::default(),
        }
    }
}

/// Version 1.
#[derive(Serialize, Deserialize)]
pub(super) struct NodeRow {
    hostname: String,
    version: String,
    address: String,
    epoch: u64,
    incarnation: String,
    committed: u64,
    past: Vec<(String, u64)>,
    projects: Vec<(String, String, String, Option<String>)>,
    connected_at: i64,
    last_heard: i64,
}

impl Row for NodeRow {
    const TABLE: &'static str = "nodes";
    const VERSION: u8 = 1;
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
            incarnation: node.incarnation.clone(),
            committed: node.committed,
            past: node.past.clone(),
            projects: node.projects.iter().map(project).collect(),
            connected_at: node.connected_at.0,
            last_heard: node.last_heard.0,
        }
    }
}

impl NodeRow {
    pub(super) fn into_record(self, id: &str) -> NodeRecord {
        let project = |(name, directory, backend, error): (String, String, String, Option<String>)| Project {
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
            incarnation: self.incarnation,
            committed: self.committed,
            past: self.past,
            projects: self.projects.into_iter().map(project).collect(),
            connected_at: Time(self.connected_at),
            last_heard: Time(self.last_heard),
        }
    }
}
