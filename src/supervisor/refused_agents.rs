//! Agents that knock and are not let in: from which address, since when and why, however seldom they try. Bounded, whoever
//! knocks from how many addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hal_base::clock::{Stopwatch, Time};
use hal_protocol::alert::Severity;
use hal_protocol::node::NodeId;
use hal_rules::watch::WatchFinding;

/// Whoever has not tried for so long has given up, or was put right.
pub const QUIET: Duration = Duration::from_secs(600);

/// A single try may be a slip; an agent tries again.
const TRIES: u64 = 2;

/// Addresses that are told by themselves; the rest are told together.
const ADDRESSES: usize = 16;

/// Addresses that are remembered because an agent came in from them: a fleet has no more.
const WELCOMED: usize = 10_000;

/// Names of nodes that one address has used and that are remembered.
const NAMES: usize = 4;

/// What the rest is told under.
pub const OTHERS: &str = "other addresses";

/// Who is refused.
#[derive(Debug, Default)]
pub struct RefusedAgents(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by: BTreeMap<IpAddr, Refused>,
    others: Option<Refused>,
    /// Addresses that some agent came in from lately.
    welcomed: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Refused {
    since: Time,
    last: Stopwatch,
    tries: u64,
    names: BTreeSet<NodeId>,
    why: String,
}

impl RefusedAgents {
    /// An agent was refused.
    pub fn note(&self, source: IpAddr, node: Option<&NodeId>, why: &str, at: Time) {
        let mut known = self.known();
        let source = source.to_canonical();
        let new = || Refused {
            since: at,
            last: Stopwatch::start(),
            tries: 0,
            names: BTreeSet::new(),
            why: String::new(),
        };
        let has_room = known.by.len() < ADDRESSES || known.by.contains_key(&source);
        let refused = match has_room {
            true => known.by.entry(source).or_insert_with(new),
            false => known.others.get_or_insert_with(new),
        };
        refused.tries = refused.tries.saturating_add(1);
        refused.last = Stopwatch::start();
        why.clone_into(&mut refused.why);
        if refused.names.len() < NAMES {
            refused.names.extend(node.cloned());
        }
    }

    /// An agent was let in: of its address, it is none of those that are refused.
    pub fn welcomed(&self, source: IpAddr, node: &NodeId) {
        let mut known = self.known();
        let source = source.to_canonical();
        if known.welcomed.len() < WELCOMED {
            known.welcomed.insert(source);
        }
        let Some(refused) = known.by.get_mut(&source) else { return };
        if refused.names.remove(node) && refused.names.is_empty() {
            known.by.remove(&source);
        }
    }

    /// True when an agent came in from this address since the start.
    pub fn was_welcomed(&self, source: &str) -> bool {
        source.parse::<IpAddr>().is_ok_and(|source| self.known().welcomed.contains(&source))
    }

    /// What is to be said, by the address.
    pub fn findings(&self) -> BTreeMap<String, WatchFinding> {
        let mut known = self.known();
        known.by.retain(|_, refused| refused.last.elapsed() < QUIET);
        if known.others.as_ref().is_some_and(|others| others.last.elapsed() >= QUIET) {
            known.others = None;
        }
        let named = known.by.iter().map(|(source, refused)| (source.to_string(), refused));
        let others = known.others.iter().map(|others| (OTHERS.to_owned(), others));
        let told = named.chain(others).filter(|(_, refused)| refused.tries >= TRIES);
        told.map(|(source, refused)| {
            let text = sentence(&source, refused);
            (source, Some((Severity::High, text)))
        })
        .collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sentence(source: &str, Refused { since, names, why, .. }: &Refused) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let who = match names.as_slice() {
        [] => "an agent".to_owned(),
        names => format!("an agent that calls itself {}", names.join(", ")),
    };
    format!("{who} at {source} is refused since {since}: {why}")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn from(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    #[test]
    fn an_address_is_told_once_it_tries_again_and_until_its_agent_comes_in() {
        let (refused, web) = (RefusedAgents::default(), NodeId::from("web-1"));
        refused.note(from(1), Some(&web), "wrong token", Time(0));
        assert!(refused.findings().is_empty(), "it may have been a slip");
        refused.note(from(1), Some(&web), "wrong token", Time(60_000));
        let text = refused.findings()["10.0.0.1"].clone().unwrap().1;
        assert!(
            text.starts_with("an agent that calls itself web-1 at 10.0.0.1 is refused since 1970-"),
            "{text}"
        );
        refused.welcomed(from(1), &NodeId::from("web-2"));
        assert_eq!(refused.findings().len(), 1, "another one of that address came in");
        refused.welcomed(from(1), &web);
        assert!(refused.findings().is_empty());
    }

    #[test]
    fn however_many_addresses_there_are_few_are_told() {
        let refused = RefusedAgents::default();
        for _ in 0..2 {
            for last in 0..=255 {
                refused.note(from(last), None, "wrong token", Time(0));
            }
        }
        let found = refused.findings();
        assert_eq!(found.len(), ADDRESSES + 1);
        assert!(found.contains_key(OTHERS));
    }
}
