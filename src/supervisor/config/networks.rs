//! `server.networks`: what may be done from where.

use hal_base::config::{Section, Value};
use hal_rules::network::{MayFrom, Network, Networks, is_wide, range};

/// Networks in a file: each is looked at for every connection.
const MOST_NETWORKS: usize = 100;

pub(super) fn read(server: &Section<'_>) -> Networks {
    let items = server.items("networks");
    if let Some(beyond) = items.get(MOST_NETWORKS) {
        beyond.problem(format!("there are more than {MOST_NETWORKS} networks; join some of them"));
    }
    Networks(items.iter().take(MOST_NETWORKS).filter_map(|item| item.section(network)).collect())
}

fn network(section: &Section<'_>) -> Option<Network> {
    section.require("cidr", "a network such as \"10.0.0.0/8\", or one address");
    section.require("may", "what may be done from there: a list of plain, metrics and proxy");
    let cidr = section.value("cidr");
    let text = cidr.as_ref().and_then(Value::text);
    let range = text.as_deref().and_then(range);
    if let (Some(cidr), None) = (&cidr, &range) {
        cidr.problem(
            "expected a network such as 10.0.0.0/8 or fd00::/8, with no bits beyond those that count, or one address",
        );
    }
    let may: Vec<MayFrom> = section.items("may").iter().filter_map(word).collect();
    let range = range?;
    if section.value("may").is_some() && section.items("may").is_empty() {
        section.problem("may", "is empty; expected some of plain, metrics and proxy");
    }
    if range.prefix_len() == 0 {
        section.warn("cidr", "is every address of its kind: anybody may do what `may` lists");
    } else if may.contains(&MayFrom::Proxy) && is_wide(&range) {
        section.warn(
            "cidr",
            "is wide for proxies: each address in it may say for whom it speaks, and is believed",
        );
    }
    Some(Network { range, may })
}

fn word(value: &Value<'_>) -> Option<MayFrom> {
    value.choice(&MayFrom::WORDS).and_then(MayFrom::parse)
}
