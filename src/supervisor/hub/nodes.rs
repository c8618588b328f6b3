//! Nodes in the present state: the row of each, and its link.

use std::ops::Bound;
use std::sync::{Arc, LazyLock};

use super::live::{NodeLink, NodeRef, NodeState};
use super::view::View;
use hal_base::clock::Time;
use hal_protocol::node::NodeId;
use hal_store::node::NodeRecord;

/// A node that fell silent, and when it was last heard of.
pub type Silent = (NodeId, Time);

/// The link of a node that never had one.
static DOWN: LazyLock<NodeLink> = LazyLock::new(NodeLink::default);

impl View {
    /// A node that is stored.
    pub fn find_node(&self, id: &str) -> Option<NodeRef<'_>> {
        self.stored.nodes.get(id).map(|record| self.with_link(record))
    }

    /// Every node that is stored, by name.
    pub fn every_node(&self) -> impl Iterator<Item = NodeRef<'_>> {
        // Both maps are in this order, so nothing is looked up.
        let mut links = self.live.links.iter().peekable();
        self.stored.nodes.iter().map(move |(id, record)| {
            while links.next_if(|(other, _)| *other < id).is_some() {}
            let link = links.next_if(|(other, _)| *other == id);
            NodeRef { record, link: link.map_or(&*DOWN, |(_, link)| &**link) }
        })
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

    /// The nodes whose links are up and that were not heard of for too long.
    pub fn silent(&self, at: Time) -> Vec<Silent> {
        let heard = self
            .live
            .links
            .iter()
            .filter(|(_, link)| link.online)
            .map(|(id, link)| (id, link.vitals().heard));
        let gone = heard.filter(|(_, heard)| self.settings.liveness.is_gone(*heard, at));
        gone.map(|(id, heard)| (id.clone(), heard)).collect()
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
        let online = link.online;
        let known = self.live.links.insert(id.clone(), Arc::new(link));
        self.live.comings += u64::from(known.is_none_or(|known| known.online != online));
    }

    /// Forgets a node.
    pub fn remove_node(&mut self, id: &NodeId) {
        self.stored.nodes.remove(id);
        self.live.comings += u64::from(self.live.links.remove(id).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_store::hub::Loaded;

    fn view(names: &[&str]) -> View {
        let mut view = View::of(Loaded { store_id: "s".into(), ..Loaded::default() });
        for name in names {
            view.put_node(NodeState::offline(NodeRecord::new(NodeId::new(*name))));
        }
        view
    }

    #[test]
    fn every_node_comes_with_its_own_link() {
        let mut view = view(&["b", "d", "a", "c"]);
        view.live.links.remove(&NodeId::new("b"));
        view.put_link(&NodeId::new("a0"), NodeLink { command_credit: 9, ..NodeLink::default() });
        for (credit, name) in [(1, "a"), (3, "c"), (4, "d")] {
            view.put_link(&NodeId::new(name), NodeLink { command_credit: credit, ..NodeLink::default() });
        }
        let found: Vec<(&str, u64)> =
            view.every_node().map(|node| (node.record.id.as_str(), node.link.command_credit)).collect();
        assert_eq!(found, [("a", 1), ("b", 0), ("c", 3), ("d", 4)]);
    }

    #[test]
    fn comings_and_goings_are_counted_and_nothing_else() {
        let mut view = view(&["n"]);
        let id = NodeId::new("n");
        let mut was = view.live.comings;
        let up = NodeLink { online: true, ..NodeLink::default() };
        let mut is_counted =
            |view: &View| std::mem::replace(&mut was, view.live.comings) != view.live.comings;
        view.put_link(&id, up.clone());
        assert!(is_counted(&view), "it has come");
        view.put_link(&id, NodeLink { command_credit: 1, ..up.clone() });
        assert!(!is_counted(&view), "it is as before");
        view.put_link(&id, up.cut());
        assert!(is_counted(&view), "it has gone");
        view.remove_node(&id);
        assert!(is_counted(&view), "it is no more");
        let again = view.again(Loaded { store_id: "t".into(), ..Loaded::default() });
        assert!(is_counted(&again), "another store may know others");
    }
}
