//! The kinds of coding agents of a node, and the alert about one that cannot be used.

use super::Work;
use crate::hub::input::Severity;
use crate::hub::live::{NodeLink, NodeRef};
use hal_base::clock::Time;
use hal_protocol::backend::NodeBackend;
use hal_protocol::node::NodeId;
use hal_rules::alert::AlertRaised;
use hal_rules::node::{kept_backends, unfit};

/// The name of the alert.
const UNFIT: &str = "backend.unfit";

impl Work {
    /// A node tells which kinds of coding agents it has. An agent that says none is an older one: it has not looked.
    pub(super) fn note_backends(&mut self, node: &NodeId, backends: Vec<NodeBackend>, at: Time) {
        let backends = kept_backends(backends);
        let Some(link) = self.view.find_node(node.as_str()).map(|node: NodeRef<'_>| node.link.clone()) else {
            return;
        };
        if backends.is_empty() || *link.backends == *backends {
            return;
        }
        match unfit(&backends) {
            Some(text) => {
                let seen = AlertRaised {
                    name: UNFIT,
                    about: node.as_str(),
                    severity: Severity::High,
                    text: &text,
                    lasting: true,
                };
                self.raise(&seen, at);
            }
            None => self.resolve(UNFIT, node.as_str(), at),
        }
        self.view.put_link(node, NodeLink { backends: backends.into(), ..link });
    }
}
