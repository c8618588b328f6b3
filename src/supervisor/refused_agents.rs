//! Agents that knock and are not let in: from which address, since when and why, however seldom they try. Bounded, whoever
//! knocks from how many addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::throttle::network;
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

/// Addresses that are remembered because their agent was refused and came in: a fleet has no more.
const PUT_RIGHT: usize = 10_000;

/// Names of nodes that one address has used and that are remembered.
const NAMES: usize = 4;

/// What stands behind an IPv6 address, since those of one network count together.
const V6_NETWORK: &str = "/64";

/// What the rest is told under.
pub const OTHERS: &str = "other addresses";

/// Who is refused.
#[derive(Debug, Default)]
pub struct RefusedAgents(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by: BTreeMap<IpAddr, Refused>,
    others: Option<Refused>,
    /// Addresses whose refused agent came in since.
    put_right: BTreeSet<IpAddr>,
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
        let source = network(source);
        let new = || Refused {
            since: at,
            last: Stopwatch::start(),
            tries: 0,
            names: BTreeSet::new(),
            why: String::new(),
        };
        known.put_right.remove(&source);
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
        let source = network(source);
        let Some(refused) = known.by.get_mut(&source) else { return };
        if refused.names.remove(node) && refused.names.is_empty() {
            known.by.remove(&source);
            if known.put_right.len() < PUT_RIGHT {
                known.put_right.insert(source);
            }
        }
    }

    /// True when an agent of this address was refused since the start, and came in afterwards. That one came in is not
    /// enough: of those that an earlier process has refused it may be another one.
    pub fn was_put_right(&self, source: &str) -> bool {
        let address = source.strip_suffix(V6_NETWORK).unwrap_or(source);
        address.parse::<IpAddr>().is_ok_and(|source| self.known().put_right.contains(&network(source)))
    }

    /// What is to be said, by the address.
    pub fn findings(&self) -> BTreeMap<String, WatchFinding> {
        let mut known = self.known();
        known.by.retain(|_, refused| refused.last.elapsed() < QUIET);
        if known.others.as_ref().is_some_and(|others| others.last.elapsed() >= QUIET) {
            known.others = None;
        }
        let named = known.by.iter().map(|(source, refused)| (shown(*source), refused));
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

fn shown(source: IpAddr) -> String {
    match source {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(network) => format!("{network}{V6_NETWORK}"),
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
        assert!(!refused.was_put_right("10.0.0.1"), "it is not the one that was refused");
        refused.welcomed(from(1), &web);
        assert!(refused.findings().is_empty() && refused.was_put_right("10.0.0.1"));
        refused.note(from(1), Some(&web), "wrong token", Time(120_000));
        assert!(!refused.was_put_right("10.0.0.1"), "it is refused again");
    }

    #[test]
    fn the_addresses_of_one_network_are_one() {
        let refused = RefusedAgents::default();
        let (one, other) = ("2001:db8::1".parse().unwrap(), "2001:db8::2:1".parse().unwrap());
        refused.note(one, Some(&NodeId::from("web-1")), "wrong token", Time(0));
        refused.note(other, None, "wrong token", Time(1));
        let found = refused.findings();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["2001:db8::/64"]);
        refused.welcomed(other, &NodeId::from("web-1"));
        assert!(refused.was_put_right("2001:db8::/64") && refused.was_put_right("2001:db8::1"));
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
