//! Which addresses a webhook may go to: those of the public internet, unless the operator allows others. Whoever can
//! choose a webhook's address must not reach through the supervisor what only the supervisor can reach.
//!
//! Decimal, octal and hexadecimal forms of an address are read as browsers do, by [`Url`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Networks of IPv4 that are not of the public internet: first address and bits, from the registries of special-purpose
/// addresses, and the host of Azure's virtual machines.
const CLOSED_V4: [([u8; 4], u32); 20] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([168, 63, 129, 16], 32),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([192, 175, 48, 0], 24),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    ([255, 255, 255, 255], 32),
];

/// Networks of IPv6 that are not: first 32 bits and how many count. All that is public lies in 2000::/3.
const CLOSED_V6: [(u32, u32); 5] =
    [(0x2001_0000, 23), (0x2001_0db8, 32), (0x2002_0000, 16), (0x3fff_0000, 20), (0x2620_004f, 32)];

/// Ends of names that are of this machine or network by their meaning.
const CLOSED_NAMES: [&str; 6] = ["localhost", "local", "internal", "lan", "home.arpa", "localdomain"];

/// What an operator reads.
pub const ADVICE: &str = "allow it with \"allow_private\": true if that is meant";

/// True for an address of the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let bits = u32::from(ip);
    !CLOSED_V4.iter().any(|(first, length)| {
        let mask = u32::MAX << (32 - length);
        bits & mask == u32::from(Ipv4Addr::from(*first)) & mask
    })
}

/// Forms that hold an address of IPv4 (mapped, translated, 6to4, Teredo) are closed whatever they hold: no public
/// service is reached only by them.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let start = (u32::from(a) << 16) | u32::from(b);
    let is_global = a & 0xe000 == 0x2000;
    is_global && !CLOSED_V6.iter().any(|(first, length)| (start ^ first) >> (32 - length) == 0)
}

/// Refuses what the URL itself shows to be closed.
pub fn check_host(url: &Url) -> Result<(), String> {
    match url.host() {
        None => Err("it names no host".to_owned()),
        Some(Host::Ipv4(ip)) => check(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => check(IpAddr::V6(ip)),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let is_closed = CLOSED_NAMES.iter().any(|end| {
                name.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
            });
            if is_closed {
                Err(format!("{name} is a name of this machine or network; {ADVICE}"))
            } else {
                Ok(())
            }
        }
    }
}

/// Refuses an address that is not public, with the reason.
pub fn check(ip: IpAddr) -> Result<(), String> {
    if is_public(ip) {
        Ok(())
    } else {
        Err(format!("{ip} is not an address of the public internet; {ADVICE}"))
    }
}
