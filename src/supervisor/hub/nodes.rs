//! Nodes in the present state: the row of each, and its link.

use std::ops::Bound;
use std::sync::{Arc, LazyLock};

use super::live::{NodeLink, NodeRef, NodeState};
use super::view::View;
use hal_protocol::node::NodeId;
use hal_store::node::NodeRecord;

/// The link of a node that never had one.
static DOWN: LazyLock<NodeLink> = LazyLock::new(NodeLink::default);

impl View {
    /// A node that is stored.
    pub fn find_node(&self, id: &str) -> Option<NodeRef<'_>> {
        self.stored.nodes.get(id).map(|record| self.with_link(record))
    }

    /// Every node that is stored.
    pub fn every_node(&self) -> impl Iterator<Item = NodeRef<'_>> {
        self.stored.nodes.values().map(|record| self.with_link(record))
    }

    /// Every node behind this one, by name; all when none is named.
    pub fn nodes_after<'v>(&'v self, id: Option<&str>) -> impl Iterator<Item = NodeRef<'v>> + use<'v> {
        let begin = id.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.stored.nodes.range::<_, str>((begin, Bound::Unbounded));
        rest.map(|(_, record)| self.with_link(record))
    }

    fn with_link<'v>(&'v self, record: &'v NodeRecord) -> NodeRef<'v> {
        let link = self.live.links.get(&record.id);
        NodeRef { record, link: link.map_or(&*DOWN, |link| &**link) }
    }

    /// True while a node's link is up.
    pub fn is_online(&self, id: &NodeId) -> bool {
        self.live.links.get(id).is_some_and(|link| link.online)
    }

    /// Puts a node in place of what was known of it.
    pub fn put_node(&mut self, node: NodeState) {
        self.put_link(&node.record.id, node.link);
        self.stored.nodes.insert(node.record.id.clone(), Arc::new(node.record));
    }

    /// Puts a link in place of what was known of it.
    pub fn put_link(&mut self, id: &NodeId, link: NodeLink) {
        self.live.links.insert(id.clone(), Arc::new(link));
    }

    /// Forgets a node.
    pub fn remove_node(&mut self, id: &NodeId) {
        self.stored.nodes.remove(id);
        self.live.links.remove(id);
    }
}
