//! The kinds of coding agents of a node, and the alert about one that cannot be used.

use super::Work;
use crate::hub::input::Severity;
use crate::hub::live::{NodeLink, NodeRef};
use hal_base::clock::Time;
use hal_protocol::backend::NodeBackend;
use hal_protocol::node::NodeId;
use hal_rules::alert::AlertRaised;
use hal_rules::node::{is_fit, kept_backends, unfit};

/// The name of the alert; it is about the node.
pub(super) const UNFIT: &str = "backend.unfit";

impl Work {
    /// A node says hello. An agent that tells no kinds of coding agents then is an older one: what a newer one has said of
    /// them is not known any more.
    pub(super) fn note_first_backends(&mut self, node: &NodeId, backends: Vec<NodeBackend>, at: Time) {
        if backends.is_empty() {
            self.resolve(UNFIT, node.as_str(), at);
        }
        self.note_backends(node, backends, at);
    }

    /// A node tells which kinds of coding agents it has. None are told where there is no room for them.
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
            None if is_fit(&backends) => self.resolve(UNFIT, node.as_str(), at),
            // A program that has not answered may be as it was.
            None => {}
        }
        self.view.put_link(node, NodeLink { backends: backends.into(), ..link });
    }
}
