//! The topics of the dashboard: what each holds now, and the version of each thing in it. See [`hal_protocol::live`].

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SemaphorePermit};

mod fleet;
mod session;

use super::approvals::whole;
use super::hub::Hub;
use super::hub::live::NodeRef;
use super::hub::view::View;
use hal_protocol::alert::AlertState;
use hal_protocol::approval::Approval;
use hal_protocol::event::raw;
use hal_protocol::live::{Chrome, LiveItem, NodeTurns, RunningTurn, StoppingTurn};
use hal_protocol::policy::Halt;
use hal_protocol::session::{Session, SessionId, Status};
use hal_store::StoreError;
use hal_store::kept::{HALT_ALL, OPEN, OVER, STOPPING};

pub use fleet::FleetQuery;

/// Approvals that are told of, the one that waits longest first; those beyond come as others go.
const MOST_OPEN: usize = 100;

/// Approvals that are over and still told of, so that a receipt is seen to its end.
const MOST_OVER: usize = 20;

/// Nodes that are told of, and turns of each that are named; all are counted.
const MOST_NODES: usize = 500;
const MOST_TURNS: usize = 20;

/// Topics of which the last listing is remembered.
const MOST_LISTED: usize = 64;

/// Lists of the fleet that are made at once, however many pages look for something of their own in it.
const FLEETS_AT_ONCE: usize = 1;

/// Characters of a name or a sentence in a list.
const MOST_TEXT: usize = 200;

/// What a page can follow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// What stands at the head of every page.
    Chrome,
    /// What sessions wait with for a person.
    Approvals,
    /// What a halt stops.
    Halt,
    /// A window of the sessions that match.
    Fleet(FleetQuery),
    /// A session, its helpers, and its open commands.
    Session(SessionId),
}

/// A thing of a topic.
#[derive(Clone, Debug)]
pub struct Thing {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Ready(Box<RawValue>),
    /// Its session's events tell the rest.
    Approval(Box<Approval>),
}

/// All of a topic.
#[derive(Debug, Default)]
pub struct Listing {
    /// What is in it.
    pub things: Vec<Thing>,
    /// How many there are, also those beyond the bound.
    pub total: u64,
}

impl Topic {
    /// The word for it, without its query.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Chrome => "chrome",
            Self::Approvals => "approvals",
            Self::Halt => "halt",
            Self::Fleet(_) => "fleet",
            Self::Session(_) => "session",
        }
    }

    /// The topic of a word and its query: `halt`, `fleet?project=web`.
    pub fn parse(asked: &str) -> Option<Self> {
        let (word, query) = asked.split_once('?').unwrap_or((asked, ""));
        match word {
            "chrome" => Some(Self::Chrome),
            "approvals" => Some(Self::Approvals),
            "halt" => Some(Self::Halt),
            "fleet" => FleetQuery::parse(query).map(Self::Fleet),
            "session" => session::named(query).map(Self::Session),
            _ => None,
        }
    }

    /// True where many things are sorted and searched.
    pub fn takes_long(&self) -> bool {
        matches!(self, Self::Fleet(_))
    }

    fn look(&self, view: &View, trouble: Option<&String>) -> Listing {
        match self {
            Self::Chrome => Listing { things: vec![ready("chrome", &chrome(view, trouble))], total: 1 },
            Self::Approvals => approvals(view),
            Self::Halt => turns(view),
            Self::Fleet(query) => fleet::look(query, view),
            Self::Session(id) => session::look(id, view),
        }
    }
}

/// What was listed last: fifty pages that follow the same are told the same, and it is listed once.
#[derive(Debug)]
pub struct Listings {
    /// All but the fleet, whose lists take longer: nobody who asks for less waits for one.
    short: Mutex<BTreeMap<Topic, Listed>>,
    fleet: Mutex<BTreeMap<Topic, Listed>>,
    turn: Semaphore,
}

impl Default for Listings {
    fn default() -> Self {
        Self { short: Mutex::default(), fleet: Mutex::default(), turn: Semaphore::new(FLEETS_AT_ONCE) }
    }
}

#[derive(Debug)]
struct Listed {
    /// A view never changes: as long as it is the same, so is what is listed of it.
    view: Arc<View>,
    trouble: Option<String>,
    listing: Arc<Listing>,
}

impl Listings {
    /// Whose turn it is to list what takes long: the threads that may block are there for others, too. `None`: the end.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turn.acquire().await.ok()
    }

    /// What a topic holds now.
    pub fn of(&self, topic: &Topic, hub: &Hub) -> Arc<Listing> {
        let (view, trouble) = (hub.view(), hub.health().store);
        let listings = if topic.takes_long() { &self.fleet } else { &self.short };
        let mut known = listings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listed) = known.get(topic)
            && Arc::ptr_eq(&listed.view, &view)
            && listed.trouble == trouble
        {
            return listed.listing.clone();
        }
        let listing = Arc::new(topic.look(&view, trouble.as_ref()));
        if known.len() >= MOST_LISTED {
            // What somebody still follows is listed again with the next commit anyway.
            known.retain(|_, listed| Arc::ptr_eq(&listed.view, &view));
        }
        if known.len() >= MOST_LISTED {
            known.clear();
        }
        known.insert(topic.clone(), Listed { view, trouble, listing: listing.clone() });
        listing
    }
}

impl Thing {
    /// As a page gets it. Reads the store, so on a thread that may block.
    pub fn show(self, hub: &Hub) -> Result<LiveItem, StoreError> {
        let view = match self.content {
            Content::Ready(view) => view,
            Content::Approval(approval) => raw(&whole(hub, *approval)?),
        };
        Ok(LiveItem { id: self.id, v: self.version, view })
    }
}

fn ready(id: &str, value: &impl Serialize) -> Thing {
    let view = raw(value);
    Thing { id: id.to_owned(), version: version(view.get()), content: Content::Ready(view) }
}

/// The beginning of a text.
fn short(text: &str) -> String {
    match text.char_indices().nth(MOST_TEXT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn version(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:x}", hasher.finish())
}

fn chrome(view: &View, trouble: Option<&String>) -> Chrome {
    let waiting = view.all_kept(OPEN).filter(|(_, one)| one.state.wants_answer()).count();
    let mut sessions: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (class, its) in view.stored.session_index.classes(None).filter(|(class, _)| !class.is_archived) {
        let is_known = class.status == Status::Ended || view.is_online(&class.node_id);
        let status = if is_known { class.status } else { Status::Unreachable };
        *sessions.entry(status.as_str()).or_default() += its.len() as u64;
    }
    let firing = view.stored.open_alerts.values().filter_map(|number| view.stored.alerts.get(number));
    let halts = view.halts().map(|(key, said)| {
        let project = if key == HALT_ALL { String::new() } else { key.to_owned() };
        Halt { project, said }
    });
    Chrome {
        needs_you: waiting as u64,
        sessions,
        nodes_online: view.every_node().filter(|node| node.link.online).count() as u64,
        nodes: view.stored.nodes.len() as u64,
        alerts: firing.filter(|alert| alert.status == AlertState::Firing).count() as u64,
        halts: halts.collect(),
        trouble: trouble.cloned(),
    }
}

/// An approval under a name of its own in its topic.
fn of_approval(id: String, approval: Approval) -> Thing {
    Thing { id, version: version(raw(&approval).get()), content: Content::Approval(Box::new(approval)) }
}

fn approvals(view: &View) -> Listing {
    let thing = |approval: Approval| of_approval(approval.id.to_string(), approval);
    let mut open = view.open_approvals();
    let total = open.len() as u64;
    open.truncate(MOST_OPEN);
    let ended = |one: &Approval| one.receipt.last().map(|step| step.at);
    let mut over: Vec<_> = view.all_kept(OVER).map(|(_, one)| one).collect();
    over.sort_by_key(|one| std::cmp::Reverse(ended(one)));
    let over = over.into_iter().take(MOST_OVER).map(|one| Approval::clone(one));
    Listing { things: open.into_iter().chain(over).map(thing).collect(), total }
}

fn turns(view: &View) -> Listing {
    let mut by_node: BTreeMap<&str, Vec<&Session>> = BTreeMap::new();
    let may_run = |status| matches!(status, Status::Running | Status::Waiting | Status::Retrying);
    let classes = view.stored.session_index.classes(None).filter(|(class, _)| may_run(class.status));
    for (_, id) in classes.flat_map(|(_, its)| its) {
        let Some(record) = view.stored.sessions.get(id) else { continue };
        if record.session.activity.runs() {
            by_node.entry(record.session.node_id.as_str()).or_default().push(&record.session);
        }
    }
    let total = view.stored.nodes.len() as u64;
    let nodes = view.every_node().take(MOST_NODES);
    let things = nodes.map(|node| {
        let running = by_node.remove(node.record.id.as_str()).unwrap_or_default();
        ready(node.record.id.as_str(), &turns_of(view, &node, running))
    });
    Listing { things: things.collect(), total }
}

fn turns_of(view: &View, node: &NodeRef<'_>, mut sessions: Vec<&Session>) -> NodeTurns {
    sessions.sort_by_key(|session| (session.since, session.id.clone()));
    let mut turns: BTreeMap<String, u64> = BTreeMap::new();
    for session in &sessions {
        *turns.entry(session.project.to_string()).or_default() += 1;
    }
    let running = sessions.iter().take(MOST_TURNS).map(|session| RunningTurn {
        session_id: session.id.to_string(),
        title: session.title.clone(),
        project: session.project.to_string(),
        since: session.since,
        stopping: view.kept(STOPPING, session.id.as_str()).map(|one| StoppingTurn {
            since: one.since,
            gave_up: one.gave_up,
            why: one.why,
        }),
    });
    NodeTurns {
        node_id: node.record.id.to_string(),
        online: node.link.online,
        projects: node.record.projects.iter().map(|project| project.name.to_string()).collect(),
        turns,
        running: running.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_known_by_its_word_and_a_version_changes_with_the_text() {
        for word in ["chrome", "approvals", "halt", "fleet?project=web&from=200", "session?id=ses_1"] {
            let topic = Topic::parse(word).unwrap();
            assert_eq!(topic.as_str(), word.split('?').next().unwrap());
            assert_eq!(Topic::parse(word), Some(topic), "{word}");
        }
        let far = format!("fleet?q={}", "x".repeat(5_000));
        for word in ["tomorrow", "session", "session?id=", &far] {
            assert_eq!(Topic::parse(word), None, "{word}");
        }
        assert_eq!(ready("a", &1).version, ready("b", &1).version);
        assert_ne!(ready("a", &1).version, ready("a", &2).version);
    }
}
