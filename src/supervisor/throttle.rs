//! Slows down wrong tokens: the refusal of one waits its turn, and each address has few turns a second. A right token never
//! waits, whatever else came from its address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hal_base::clock::Stopwatch;

/// Wrong tokens of one address that are refused at once: somebody who mistypes, or machines with an old configuration.
const AT_ONCE: u32 = 20;

/// Beyond that they are refused one in this time, however many connections they come over.
const TURN: Duration = Duration::from_millis(100);

/// Addresses that are known by themselves; the rest take turns together.
const ADDRESSES: usize = 1024;

/// Bits of an IPv6 address that name a network: whoever has one has all addresses in it.
const NETWORK: u32 = 64;

/// When whose next turn is. Times are since the start.
#[derive(Debug)]
pub struct Throttle {
    start: Stopwatch,
    turns: Mutex<HashMap<IpAddr, Duration>>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self { start: Stopwatch::start(), turns: Mutex::default() }
    }
}

impl Throttle {
    /// Waits until a wrong token of this address may be refused.
    pub async fn wait(&self, source: IpAddr) {
        let wait = self.turn(source, self.start.elapsed());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long from now the next turn of an address is. It is taken.
    fn turn(&self, source: IpAddr, now: Duration) -> Duration {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= ADDRESSES {
            turns.retain(|_, last| *last > now);
        }
        let mut source = network(source);
        if turns.len() >= ADDRESSES && !turns.contains_key(&source) {
            source = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        }
        let last = turns.entry(source).or_insert(now);
        *last = (*last).max(now) + TURN;
        last.saturating_sub(now + TURN * AT_ONCE)
    }
}

/// Whose addresses count as one: what is slowed down, and told of, together.
pub fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> NETWORK))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_refused_a_few_times_at_once_and_then_in_turns() {
        let (throttle, now) = (Throttle::default(), Duration::from_secs(5));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let waits: Vec<Duration> = (0..120).map(|_| throttle.turn(address("10.0.0.1"), now)).collect();
        assert!(waits[..20].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[119], TURN * 100, "a hundred connections at once are no faster than one");
        assert!(throttle.turn(address("10.0.0.2"), now).is_zero(), "another is not slowed down");
        assert!(throttle.turn(address("::ffff:10.0.0.1"), now) > TURN * 100, "it is the same one");
        assert!(throttle.turn(address("10.0.0.1"), now + TURN * 200).is_zero(), "it is forgotten in time");
        let v6: Vec<_> = (0..30).map(|n| throttle.turn(address(&format!("2001:db8::{n}")), now)).collect();
        assert!(!v6[29].is_zero() && throttle.turn(address("2001:db8:0:1::1"), now).is_zero());
    }

    #[test]
    fn the_memory_of_addresses_is_bounded() {
        let (throttle, now) = (Throttle::default(), Duration::from_secs(5));
        let address = |n: u32| IpAddr::V4(n.into());
        let late = (0..5000).filter(|n| !throttle.turn(address(*n), now).is_zero()).count();
        assert!(late > 3900, "those beyond take turns together: {late}");
        assert!(throttle.turns.lock().unwrap().len() <= ADDRESSES + 1);
        assert!(throttle.turn(address(9999), now + TURN * 5000).is_zero());
    }
}
