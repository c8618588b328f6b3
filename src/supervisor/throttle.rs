//! Slows down wrong tokens: the refusal of one waits its turn, and each address has few turns a second. A right token never
//! waits, whatever else came from its address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hal_base::clock::Stopwatch;

/// Wrong tokens of one address, or under one name, that are refused at once: somebody who mistypes, or machines with an
/// old configuration.
const AT_ONCE: u32 = 10;

/// Beyond that they are refused one in this time, however many connections they come over.
const TURN: Duration = Duration::from_secs(1);

/// And once so much waits, one in this time.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(10));

/// Addresses that are known by themselves; the rest take turns together.
const ADDRESSES: usize = 1024;

/// Bits of an IPv6 address that name a network: whoever has one has all addresses in it.
const NETWORK: u32 = 64;

/// When whose next turn is. Times are since the start.
#[derive(Debug)]
pub struct Throttle {
    start: Stopwatch,
    turns: Mutex<HashMap<Guessed, Duration>>,
}

/// What is slowed down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Guessed {
    /// From one network.
    From(IpAddr),
    /// One token, by the part that names it, from wherever.
    Token(String),
}

impl Default for Throttle {
    fn default() -> Self {
        Self { start: Stopwatch::start(), turns: Mutex::default() }
    }
}

impl Throttle {
    /// Waits until a wrong token of this address may be refused; `name` is that of a token which there is.
    pub async fn wait(&self, source: IpAddr, name: Option<&str>) {
        let now = self.start.elapsed();
        let by_name = name.map(|name| self.turn(Guessed::Token(name.to_owned()), now));
        let wait = self.turn(Guessed::From(network(source)), now).max(by_name.unwrap_or_default());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// How long from now the next turn of an address is. It is taken.
    fn turn(&self, mut source: Guessed, now: Duration) -> Duration {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() >= ADDRESSES {
            turns.retain(|_, last| *last > now);
        }
        if turns.len() >= ADDRESSES && !turns.contains_key(&source) {
            source = Guessed::From(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        }
        let last = turns.entry(source).or_insert(now);
        let waits = last.saturating_sub(now + TURN * AT_ONCE);
        *last = (*last).max(now) + if waits > PATIENCE.0 { PATIENCE.1 } else { TURN };
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

    fn turn(throttle: &Throttle, text: &str, now: Duration) -> Duration {
        throttle.turn(Guessed::From(network(text.parse().unwrap())), now)
    }

    #[test]
    fn an_address_is_refused_a_few_times_at_once_and_then_in_turns() {
        let (throttle, now) = (Throttle::default(), Duration::from_secs(5));
        let waits: Vec<Duration> = (0..120).map(|_| turn(&throttle, "10.0.0.1", now)).collect();
        assert!(waits[..10].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[59], TURN * 50, "a hundred connections at once are no faster than one");
        assert!(waits[119] > TURN * 400, "and whoever goes on waits longer: {:?}", waits[119]);
        assert!(turn(&throttle, "10.0.0.2", now).is_zero(), "another is not slowed down");
        assert!(turn(&throttle, "::ffff:10.0.0.1", now) > TURN * 100, "it is the same one");
        assert!(turn(&throttle, "10.0.0.1", now + TURN * 1000).is_zero(), "it is forgotten in time");
        let v6: Vec<_> = (0..30).map(|n| turn(&throttle, &format!("2001:db8::{n}"), now)).collect();
        assert!(!v6[29].is_zero() && turn(&throttle, "2001:db8:0:1::1", now).is_zero());
        let named = |name: &str| throttle.turn(Guessed::Token(name.into()), now);
        assert!((0..20).map(|_| named("3f9a")).max().unwrap() > TURN * 9, "from wherever they come");
        assert!(named("4b00").is_zero());
    }

    #[test]
    fn the_memory_of_addresses_is_bounded() {
        let (throttle, now) = (Throttle::default(), Duration::from_secs(5));
        let address = |n: u32| Guessed::From(IpAddr::V4(n.into()));
        let late = (0..5000).filter(|n| !throttle.turn(address(*n), now).is_zero()).count();
        assert!(late > 3900, "those beyond take turns together: {late}");
        assert!(throttle.turns.lock().unwrap().len() <= ADDRESSES + 1);
        assert!(throttle.turn(address(9999), now + PATIENCE.1 * 5000).is_zero());
    }
}
