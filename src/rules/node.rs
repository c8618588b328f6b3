//! When a node counts as gone, what its journal's numbers mean to the supervisor, and how much it may say of itself.

use std::time::Duration;

use hal_base::clock::Time;
use hal_base::sabotage;
use hal_protocol::backend::NodeBackend;
use hal_protocol::frame::{Hello, PROTOCOL};
use hal_protocol::node::{NodeId, Project, Resources};

/// The longest name of a node, in bytes: that of a host.
const MAX_NAME: usize = 253;

/// The longest version, host name or incarnation, in bytes.
const MAX_WORD: usize = 512;

/// The projects of one node at most. They are written with every change of the node.
const MAX_PROJECTS: usize = 1024;

/// The longest name, directory or backend of a project, in bytes: as long as Linux lets a path be.
const MAX_PATH: usize = 4096;

/// Characters kept of why a project is in error.
const MAX_ERROR: usize = 2_000;

/// Journal numbers stay below this: nobody counts so far, and sums do not overflow.
pub const MAX_SEQ: u64 = 1 << 62;

/// Epochs that a supervisor may have given without knowing it, since it was restored: a connection each minute for two years.
const MOST_UNKNOWN: u64 = 1 << 20;

/// Heartbeats and how many of them may be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// One heartbeat is sent this often.
    pub interval: Duration,
    /// This many may be missed.
    pub missed: u32,
}

impl Liveness {
    /// True when a node that was last seen at `heard` counts as gone.
    pub fn is_gone(&self, heard: Time, now: Time) -> bool {
        now.since(heard) > self.interval * self.missed
    }
}

/// How the supervisor's place in a node's journal fits what the node says it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The next number is there: go on.
    Continue,
    /// The node no longer holds what comes next: these numbers will never come.
    Hole {
        /// The first number that is missing.
        from: u64,
        /// The last sequence number of the range.
        to: u64,
    },
    /// The node holds less than is committed here: its journal was rolled back or is a copy. Its numbers would be
    /// taken for old ones, so it must begin a new incarnation.
    RolledBack,
}

/// Compares the last number committed here with what a node holds of the same incarnation.
pub fn fit(committed: u64, hello: &Hello) -> Fit {
    let oldest = if hello.first_seq == 0 { hello.last_seq.saturating_add(1) } else { hello.first_seq };
    if hello.last_seq < committed {
        Fit::RolledBack
    } else if oldest > committed + 1 {
        Fit::Hole { from: committed + 1, to: oldest - 1 }
    } else {
        Fit::Continue
    }
}

/// Who an agent that says hello is, by the epoch that its journal holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The agent that this node is.
    Owner,
    /// Another one was this node after it: a copied identity, a second machine of the same name, or a journal that
    /// was lost or restored.
    Stale,
}

/// Weighs an agent's claim to be the node whose newest stored epoch is `confirmed`. The predecessor's agents store
/// none, and cannot be told apart.
pub fn claim(confirmed: u64, hello: &Hello) -> Claim {
    let is_stale = hello.protocol >= PROTOCOL && hello.epoch < confirmed && !sabotage::NO_FENCING;
    if is_stale { Claim::Stale } else { Claim::Owner }
}

/// The epoch that an agent holds, as far as it can have been given: 0, none, where it cannot. A supervisor that was restored
/// has given more than it knows, but not by so many: who claims more would be the node for ever, and nobody else.
pub fn believed(given: u64, said: u64) -> u64 {
    if said <= given.saturating_add(MOST_UNKNOWN) { said } else { 0 }
}

/// What is wrong with what a node says of itself, as a sentence; `None` when all is well.
pub fn fault(hello: &Hello) -> Option<String> {
    if let Some(fault) = fault_of_name(&hello.node_id) {
        return Some(fault);
    }
    let words =
        [("hostname", &hello.hostname), ("version", &hello.version), ("incarnation", &hello.incarnation)];
    if let Some((what, _)) = words.iter().find(|(_, word)| word.len() > MAX_WORD) {
        return Some(format!("the node's {what} is longer than {MAX_WORD} bytes"));
    }
    if hello.first_seq > hello.last_seq || hello.last_seq >= MAX_SEQ {
        return Some("the numbers of the node's journal make no sense".into());
    }
    fault_of_projects(&hello.projects)
}

/// Names are shown on terminals, and stand behind an `@` where two nodes have a session of the same name.
pub fn fault_of_name(name: &NodeId) -> Option<String> {
    let text = name.as_str();
    if text.is_empty() || text.len() > MAX_NAME {
        return Some(format!("the node's name is empty or longer than {MAX_NAME} bytes"));
    }
    let strange = |c: char| c.is_control() || c.is_whitespace() || c == '@';
    text.contains(strange).then(|| "the node's name holds a space, a control character or an @".into())
}

/// What is wrong with a node's list of projects, as a sentence.
pub fn fault_of_projects(projects: &[Project]) -> Option<String> {
    if projects.len() > MAX_PROJECTS {
        return Some(format!("the node has more than {MAX_PROJECTS} projects"));
    }
    let is_long = |one: &Project| {
        [one.name.as_str(), &one.directory, &one.backend].iter().any(|text| text.len() > MAX_PATH)
    };
    projects
        .iter()
        .any(is_long)
        .then(|| format!("one of the node's projects has a name or directory of over {MAX_PATH} bytes"))
}

/// The kinds of coding agents of one node at most, and bytes of each of the texts that come with one.
const MAX_BACKENDS: usize = 32;
const MAX_BACKEND_TEXT: usize = 4096;

/// The node's kinds of coding agents as they are kept: more and longer ones are not said by any agent of ours.
pub fn kept_backends(mut backends: Vec<NodeBackend>) -> Vec<NodeBackend> {
    let is_short = |text: &str| text.len() <= MAX_BACKEND_TEXT;
    backends.retain(|one| {
        [&one.kind, &one.version, &one.path, &one.tested, &one.login].into_iter().all(|text| is_short(text))
            && one.fault.as_deref().is_none_or(is_short)
            && [&one.projects, &one.unguarded, &one.unasked]
                .into_iter()
                .all(|names| names.len() <= MAX_PROJECTS && names.iter().all(|name| is_short(name)))
    });
    backends.truncate(MAX_BACKENDS);
    backends
}

/// Why projects of a node cannot be worked in by the coding agent that they name: a sentence for each. It is not there, or of
/// another version; a program that is there and has not said its version may only have been too slow.
pub fn unfit(backends: &[NodeBackend]) -> Option<String> {
    let used = backends.iter().filter(|one| !one.projects.is_empty());
    let sentences: Vec<String> = used
        .filter(|one| one.path.is_empty() || !one.version.is_empty())
        .filter_map(|one| {
            Some(format!("{} ({}): {}", one.kind, one.projects.join(", "), one.fault.as_ref()?))
        })
        .collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

/// True when nothing is wrong with any coding agent that projects of a node use.
pub fn is_fit(backends: &[NodeBackend]) -> bool {
    backends.iter().all(|one| one.projects.is_empty() || one.fault.is_none())
}

/// What a node measures of its machine as it is kept: a share that is no number could not be written as one.
pub fn measured(said: Resources) -> Resources {
    let cpu_percent = if said.cpu_percent.is_finite() { said.cpu_percent.clamp(0.0, 100.0) } else { 0.0 };
    let own = said.agent_cpu_percent;
    let agent_cpu_percent = if own.is_finite() { own.max(0.0) } else { 0.0 };
    Resources { cpu_percent, agent_cpu_percent, ..said }
}

/// The projects as they are kept: why one is in error may hold a program's output, and is cut.
pub fn kept(mut projects: Vec<Project>) -> Vec<Project> {
    for error in projects.iter_mut().filter_map(|project| project.error.as_mut()) {
        if let Some((end, _)) = error.char_indices().nth(MAX_ERROR) {
            error.truncate(end);
            error.push('…');
        }
    }
    projects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(first_seq: u64, last_seq: u64) -> Hello {
        Hello {
            protocol: 2,
            node_id: "n".into(),
            hostname: String::new(),
            version: String::new(),
            capabilities: Vec::new(),
            incarnation: "a".into(),
            first_seq,
            last_seq,
            epoch: 0,
            credit_bytes: 0,
            projects: Vec::new(),
            backends: Vec::new(),
        }
    }

    #[test]
    fn a_known_journal_goes_on_where_it_was() {
        assert_eq!(fit(7, &hello(1, 9)), Fit::Continue);
        assert_eq!(fit(9, &hello(1, 9)), Fit::Continue);
        assert_eq!(fit(9, &hello(0, 9)), Fit::Continue);
        assert_eq!(fit(0, &hello(0, 0)), Fit::Continue);
    }

    #[test]
    fn what_a_node_no_longer_holds_is_a_hole_and_a_rolled_back_journal_is_refused() {
        assert_eq!(fit(7, &hello(12, 20)), Fit::Hole { from: 8, to: 11 });
        assert_eq!(fit(0, &hello(0, 4)), Fit::Hole { from: 1, to: 4 });
        assert_eq!(fit(7, &hello(1, 3)), Fit::RolledBack);
    }

    #[test]
    fn who_holds_an_older_epoch_is_not_the_node() {
        let holding = |epoch| Hello { epoch, ..hello(1, 9) };
        assert_eq!(claim(0, &holding(0)), Claim::Owner, "the first one");
        assert_eq!(claim(5, &holding(5)), Claim::Owner);
        assert_eq!(claim(5, &holding(7)), Claim::Owner, "this supervisor knows less than before");
        assert_eq!(claim(5, &holding(4)), Claim::Stale);
        assert_eq!(claim(5, &Hello { protocol: 1, ..holding(0) }), Claim::Owner);
    }

    #[test]
    fn an_epoch_is_believed_only_within_what_can_have_been_given() {
        assert_eq!(believed(5, 5), 5);
        assert_eq!(believed(5, 41), 41, "a supervisor that was restored");
        assert_eq!(believed(0, MOST_UNKNOWN + 1), 0);
        assert_eq!(believed(5, 1 << 61), 0);
        assert_eq!(believed((1 << 62) + 3, (1 << 62) + 3), (1 << 62) + 3, "an older version has given it");
        assert_eq!(believed(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_node_is_gone_after_the_missed_heartbeats_and_not_before() {
        let liveness = Liveness { interval: Duration::from_secs(10), missed: 3 };
        assert!(!liveness.is_gone(Time(0), Time(30_000)));
        assert!(liveness.is_gone(Time(0), Time(30_001)));
        assert!(!liveness.is_gone(Time(50_000), Time(10)), "a clock that jumps back harms nobody");
    }

    #[test]
    fn what_a_node_says_of_itself_is_bounded() {
        let named = |name: &str| Hello { node_id: name.into(), ..hello(1, 9) };
        assert_eq!(fault(&named("web-1.example.org")), None);
        for name in ["", "a@b", "a b", "a\u{1b}[2J", &"n".repeat(254)] {
            assert!(fault(&named(name)).is_some(), "{name:?}");
        }
        assert_eq!(fault(&hello(0, 9)), None);
        assert!(fault(&hello(9, 1)).is_some());
        assert!(fault(&hello(0, u64::MAX)).is_some());
        assert_eq!(
            fault(&Hello { epoch: u64::MAX, ..hello(0, 9) }),
            None,
            "it is not believed, which is enough"
        );
        let project = |error: &str| Project {
            name: "p".into(),
            directory: "/p".into(),
            backend: "echo".into(),
            error: Some(error.to_owned()),
        };
        assert!(fault_of_projects(&vec![project(""); MAX_PROJECTS + 1]).is_some());
        let kept = kept(vec![project(&"ä".repeat(10_000))]);
        assert_eq!(kept[0].error.as_ref().unwrap().chars().count(), MAX_ERROR + 1);
    }

    #[test]
    fn what_no_project_uses_is_no_alarm_and_what_is_too_long_is_not_kept() {
        let one = |kind: &str, project: &str| NodeBackend {
            kind: kind.into(),
            fault: Some("it is of another version".into()),
            projects: vec![project.to_owned()].into_iter().filter(|name| !name.is_empty()).collect(),
            ..NodeBackend::default()
        };
        assert_eq!(unfit(&[one("a", "")]), None);
        let said = unfit(&[one("a", ""), one("b", "shop")]);
        assert_eq!(said.as_deref(), Some("b (shop): it is of another version"));
        let mut mute = [NodeBackend { path: "/bin/b".into(), ..one("b", "shop") }];
        assert_eq!((unfit(&mute), is_fit(&mute)), (None, false), "it did not answer");
        mute[0].version = "9.0.0".into();
        assert!(unfit(&mute).is_some());
        let crowd = NodeBackend { unguarded: vec![String::new(); MAX_PROJECTS + 1], ..one("c", "") };
        assert_eq!(kept_backends(vec![crowd, one("a", "")]), [one("a", "")]);
        let long = one(&"x".repeat(MAX_BACKEND_TEXT + 1), "");
        assert_eq!(kept_backends(vec![long, one("a", "")]), [one("a", "")]);
    }
}
