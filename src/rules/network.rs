//! Networks: what whoever comes from one may do that others may not.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// What may be done from a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayFrom {
    /// Speak without TLS.
    Plain,
    /// Read metrics without a token.
    Metrics,
    /// Say for whom it speaks: a reverse proxy (`X-Forwarded-For`).
    Proxy,
}

impl MayFrom {
    /// The words that a configuration knows.
    pub const WORDS: [&str; 3] = ["plain", "metrics", "proxy"];

    /// What a word says.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "plain" => Some(Self::Plain),
            "metrics" => Some(Self::Metrics),
            "proxy" => Some(Self::Proxy),
            _ => None,
        }
    }
}

/// A network, and what may be done from there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its addresses.
    pub range: IpNet,
    /// What may be done.
    pub may: Vec<MayFrom>,
}

/// All networks that a configuration lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

impl Networks {
    /// True when it may be done from this address.
    pub fn may(&self, address: IpAddr, what: MayFrom) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.range.contains(&address) && network.may.contains(&what))
    }

    /// Who is behind a connection: its other end, or, where that is a proxy, the last one whom the proxies did not list as one
    /// of themselves. `forwarded`: what `X-Forwarded-For` says, the last hop at the end. What cannot be read ends the chain:
    /// whoever is in front of it has said it.
    pub fn behind(&self, other_end: IpAddr, forwarded: &[&str]) -> IpAddr {
        let mut known = other_end.to_canonical();
        for hop in forwarded.iter().rev() {
            if !self.may(known, MayFrom::Proxy) {
                break;
            }
            let Some(address) = hop_of(hop) else { break };
            known = address.to_canonical();
        }
        known
    }
}

/// Of an address, one with a port, or one in brackets.
fn hop_of(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || std::net::SocketAddr::from_str(text).ok().map(|socket| socket.ip());
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(with_port)
}

/// A network as it is written: an address with the number of bits that count, or one address. `None`: it is none; bits beyond
/// those that count are a slip, as in `10.0.0.7/8`, and so are IPv4 addresses as IPv6 writes them.
pub fn range(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    let range = text.parse::<IpNet>().ok().filter(|range| range.addr() == range.network())?;
    let is_mapped = range.addr() != range.addr().to_canonical();
    (!is_mapped).then_some(range)
}

/// True for more addresses than a few proxies have.
pub fn is_wide(range: &IpNet) -> bool {
    let few = if range.addr().is_ipv4() { 24 } else { 64 };
    range.prefix_len() < few
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(all: &[(&str, MayFrom)]) -> Networks {
        let one = |(text, may): &(&str, MayFrom)| Network { range: range(text).unwrap(), may: vec![*may] };
        Networks(all.iter().map(one).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_may_be_done_is_of_the_network() {
        let all = networks(&[("10.0.0.0/8", MayFrom::Plain), ("fd00::/8", MayFrom::Metrics)]);
        assert!(all.may(ip("10.1.2.3"), MayFrom::Plain) && all.may(ip("::ffff:10.1.2.3"), MayFrom::Plain));
        assert!(!all.may(ip("10.1.2.3"), MayFrom::Metrics) && !all.may(ip("11.0.0.1"), MayFrom::Plain));
        assert!(all.may(ip("fd12::1"), MayFrom::Metrics));
    }

    #[test]
    fn whoever_is_behind_proxies_is_the_last_that_is_none_of_them() {
        let all = networks(&[("10.0.0.0/8", MayFrom::Proxy)]);
        let behind = |end: &str, hops: &[&str]| all.behind(ip(end), hops).to_string();
        assert_eq!(behind("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(behind("10.0.0.1", &["198.51.100.1", "203.0.113.9", "10.0.0.2"]), "203.0.113.9");
        assert_eq!(behind("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(
            behind("192.0.2.1", &["203.0.113.9"]),
            "192.0.2.1",
            "whoever is no proxy speaks for itself"
        );
        assert_eq!(behind("10.0.0.1", &["203.0.113.9", "unknown"]), "10.0.0.1");
        assert_eq!(behind("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_network_is_an_address_or_one_with_the_bits_that_count() {
        assert_eq!(range("10.0.0.7").unwrap().to_string(), "10.0.0.7/32");
        assert_eq!(range("fd00::/8").unwrap().to_string(), "fd00::/8");
        for wrong in ["::ffff:10.0.0.0/104", "10.0.0.7/8", "10.0.0.0/33", "corp", "", "10.0.0.0/"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
