//! Every session by what lists are asked for, in order: a page is found without a look at the sessions before it or
//! between them, and a number without counting.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;

use imbl::{HashMap, OrdMap, OrdSet};

use hal_base::clock::Time;
use hal_protocol::node::{NodeId, ProjectName};
use hal_protocol::session::{SessionId, Status};

/// Where a session stands among all: the newest first.
pub type SessionPlace = (Reverse<Time>, SessionId);

/// What lists are asked for. There are few of them, however many sessions there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionClass {
    /// The session's node.
    pub node_id: NodeId,
    /// Its project.
    pub project: ProjectName,
    /// What it was last known to be, its helpers taken into account; whether its node is connected is not.
    pub status: Status,
    /// Whether it was put away.
    pub is_archived: bool,
}

/// Every session by its class. Clones share what is equal.
#[derive(Clone, Debug, Default)]
pub struct SessionIndex {
    present: OrdSet<SessionPlace>,
    by_class: OrdMap<SessionClass, OrdSet<SessionPlace>>,
    classes: HashMap<SessionId, (SessionClass, Time)>,
}

impl SessionIndex {
    /// Sessions that are not archived.
    pub fn present(&self) -> &OrdSet<SessionPlace> {
        &self.present
    }

    /// The classes that there are, with the sessions of each; of one node only, if it is named.
    pub fn classes(
        &self,
        node: Option<&NodeId>,
    ) -> impl Iterator<Item = (&SessionClass, &OrdSet<SessionPlace>)> {
        let first = SessionClass {
            node_id: node.cloned().unwrap_or_default(),
            project: ProjectName::default(),
            status: Status::ALL[0],
            is_archived: false,
        };
        self.by_class
            .range(first..)
            .take_while(move |(class, _)| node.is_none_or(|node| class.node_id == *node))
    }

    /// The class of a session that is known.
    pub fn class_of(&self, id: &SessionId) -> Option<&SessionClass> {
        self.classes.get(id).map(|(class, _)| class)
    }

    /// Puts a session where it belongs now.
    pub fn put(&mut self, id: &SessionId, class: SessionClass, started_at: Time) {
        if self.classes.get(id).is_some_and(|known| *known == (class.clone(), started_at)) {
            return;
        }
        self.remove(id);
        let place = (Reverse(started_at), id.clone());
        if !class.is_archived {
            self.present.insert(place.clone());
        }
        self.by_class.entry(class.clone()).or_default().insert(place);
        self.classes.insert(id.clone(), (class, started_at));
    }

    /// Forgets a session.
    pub fn remove(&mut self, id: &SessionId) {
        let Some((class, started_at)) = self.classes.remove(id) else { return };
        let place = (Reverse(started_at), id.clone());
        if !class.is_archived {
            self.present.remove(&place);
        }
        let is_over = self.by_class.get_mut(&class).is_some_and(|set| {
            set.remove(&place);
            set.is_empty()
        });
        if is_over {
            self.by_class.remove(&class);
        }
    }
}

/// Several sets as one in their order, from the place after another one on. Of each set no more is looked at than comes
/// out, and one.
pub fn merged(
    sets: &[OrdSet<SessionPlace>],
    after: Option<SessionPlace>,
) -> impl Iterator<Item = &SessionPlace> {
    let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest: Vec<_> = sets.iter().map(|set| set.range((begin.clone(), Bound::Unbounded))).collect();
    let first = rest.iter_mut().enumerate().filter_map(|(of, set)| Some(Reverse((set.next()?, of))));
    let mut heads: BinaryHeap<_> = first.collect();
    std::iter::from_fn(move || {
        let Reverse((place, of)) = heads.pop()?;
        heads.extend(rest[of].next().map(|next| Reverse((next, of))));
        Some(place)
    })
}
