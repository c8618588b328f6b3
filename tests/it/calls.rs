//! Calls between the nouns of the hub go down. No import shows them, since all are methods of one type: this reads them.

use std::collections::{BTreeMap, BTreeSet};

use crate::source;

/// Where the nouns are, one file each.
const NOUNS: &str = "src/supervisor/hub/decide";

/// Which file calls which other one.
type Calls = BTreeMap<String, BTreeSet<String>>;

/// The calls between files, by what methods each one has.
fn calls(files: &BTreeMap<String, String>) -> Calls {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, code) in files {
        for (at, _) in code.match_indices("fn ") {
            let (method, rest) = word(&code[at + 3..]);
            let takes = rest.split_once('(').map_or("", |(_, takes)| takes.trim_start());
            if takes.starts_with("&mut self") || takes.starts_with("&self") {
                owners.entry(method).or_insert(name);
            }
        }
    }
    let of = |(name, code): (&String, &String)| {
        let called = code.match_indices("self").filter_map(|(at, me)| {
            let (method, rest) = word(code[at + me.len()..].trim_start().strip_prefix('.')?);
            let owner = owners.get(method).filter(|_| rest.starts_with('('))?;
            (*owner != name.as_str()).then(|| (*owner).to_owned())
        });
        (name.clone(), called.collect())
    };
    files.iter().map(of).collect()
}

fn word(code: &str) -> (&str, &str) {
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
    code.split_at(end)
}

/// Everything that is called from a file, by whatever way.
fn reached<'c>(calls: &'c Calls, from: &'c str) -> BTreeSet<&'c str> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(at) = open.pop() {
        for next in calls.get(at).into_iter().flatten() {
            if found.insert(next.as_str()) {
                open.push(next);
            }
        }
    }
    found
}

/// The files that call one another, ring by ring.
fn rings(calls: &Calls) -> BTreeSet<Vec<&str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        calls.keys().map(|name| (name.as_str(), reached(calls, name))).collect();
    let ring = |name: &&str| -> Option<Vec<&str>> {
        let there = &reach[*name];
        let both = there.iter().copied().filter(|other| reach.get(other).is_some_and(|it| it.contains(name)));
        let ring: Vec<&str> = both.collect();
        (!ring.is_empty()).then_some(ring)
    };
    reach.keys().filter_map(ring).collect()
}

#[test]
fn calls_between_the_nouns_of_the_hub_go_down() {
    let files: BTreeMap<String, String> = (source::below(NOUNS).into_iter())
        .filter(|file| !file.path.contains("/tests"))
        .map(|file| (file.path.rsplit('/').next().unwrap_or_default().to_owned(), file.code))
        .collect();
    let calls = calls(&files);
    let rings = rings(&calls);
    assert!(
        rings.is_empty(),
        "these call one another; what has to go up is a list that the driver looks at: {rings:?}"
    );
    let below = reached(&calls, "transaction.rs");
    assert!(below.is_empty(), "the transaction is below all, and calls {below:?}");
}

#[test]
fn a_ring_is_named_when_there_is_one() {
    let of = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, code)| ((*name).to_owned(), (*code).to_owned())).collect();
        let calls = calls(&files);
        rings(&calls).into_iter().map(|ring| ring.join(" ")).collect::<Vec<_>>()
    };
    let down = [("a", "fn one(&mut self) { self.two(1); }"), ("b", "fn two(&self, of: u8) { self.two(of) }")];
    assert_eq!(of(&down), [""; 0]);
    let ring = [
        ("a", "fn one(\n &mut self) { self\n.two(); }"),
        ("b", "fn two<T>(&self) { self.three() }"),
        ("c", "fn three(&self) { self.one(); }"),
        ("d", "fn four(&self) { self.one(); self.field.two; }"),
    ];
    assert_eq!(of(&ring), ["a b c"]);
}
