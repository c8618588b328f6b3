//! The chain of the audit record: what each link's hash goes over, and what a walk along the chain finds.
//!
//! ```text
//! link no   = a record as it was asked for, or as its command has ended
//! hash(no)  = SHA-256("hal-audit-1", no, hash(no - 1), the record's number, every field of the record)
//! ```
//! A record carries the numbers of its links and the hash before each; the hash of the last link, the head, is what the
//! supervisor tells its nodes. Whoever can write the store can write another chain, but not one with the heads that lie
//! with the nodes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::iter::once;

use serde_json::Value;
use sha2::{Digest, Sha256};

use hal_base::clock::Time;
use hal_base::hex;
use hal_protocol::audit::{
    Anchor, AuditFinding, AuditRecord, AuditVerdict, Chained, Ended, Explained, Head, Link, STORE_REPLACED,
    TAKEN_IN,
};

/// Actions of the records by which rows leave and come back.
const REMOVED: &str = "delete audit_log";
const RETURNED: &str = "insert audit_log";

/// Findings that are listed; all are counted.
const LISTED: usize = 100;

/// Hashes that one record of removal keeps.
const HOLDS: usize = 200;

/// What stands before the first link, and where the hash before cannot be known.
pub const NOTHING: [u8; 32] = [0; 32];

/// The last link of a chain that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its number.
    pub no: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl Default for Tip {
    fn default() -> Self {
        Self { no: 0, hash: NOTHING }
    }
}

impl Tip {
    /// For others to keep.
    pub fn head(&self) -> Head {
        Head { link: self.no, hash: hex::write(&self.hash) }
    }

    /// A record as it was asked for, linked; the tip is its link then.
    pub fn ask(&mut self, seq: u64, record: &AuditRecord) -> AuditRecord {
        let asked = self.go_on(seq, record);
        AuditRecord { chain: Some(Chained { asked, ended: None }), ..record.clone() }
    }

    /// A record that says how its command has ended, with what it said before; the tip is its link then. One that was
    /// never linked is linked as it is now.
    pub fn end(&mut self, seq: u64, before: &AuditRecord, now: AuditRecord) -> AuditRecord {
        let Some(chain) = &before.chain else { return self.ask(seq, &now) };
        let ended = Ended {
            link: self.go_on(seq, &now),
            result: before.result.clone(),
            error: before.error.clone(),
            duration_ms: before.duration_ms,
        };
        AuditRecord { chain: Some(Chained { asked: chain.asked.clone(), ended: Some(ended) }), ..now }
    }

    /// The next link, for a record as it is now; the tip is that then.
    fn go_on(&mut self, seq: u64, record: &AuditRecord) -> Link {
        let link = Link { no: self.no + 1, before: hex::write(&self.hash) };
        *self = Self { no: link.no, hash: hash(&link, seq, record) };
        link
    }

    /// The tip that a record's links say; `None` where none of them has this number.
    pub fn of(record: &AuditRecord, seq: u64, no: u64) -> Option<Self> {
        links(record, seq).into_iter().find(|(link, _)| link.no == no).map(|(_, hash)| Self { no, hash })
    }
}

/// The links of a record, in their order.
fn links_of(record: &AuditRecord) -> impl Iterator<Item = &Link> {
    let chain = record.chain.iter();
    chain.flat_map(|chain| once(&chain.asked).chain(chain.ended.iter().map(|ended| &ended.link)))
}

/// The last link of a record, if it has one.
pub fn last_link(record: &AuditRecord) -> Option<u64> {
    links_of(record).last().map(|link| link.no)
}

/// How many links a record has.
pub fn link_count(record: &AuditRecord) -> u64 {
    links_of(record).count() as u64
}

/// Of links that are cut together, the hash before each whose own predecessor stays: by the number of the link.
pub fn held_by<'a>(gone: impl IntoIterator<Item = &'a AuditRecord>) -> BTreeMap<String, String> {
    let cut: BTreeMap<u64, &String> =
        gone.into_iter().flat_map(links_of).map(|link| (link.no, &link.before)).collect();
    let stays = |no: &u64| *no > 1 && !cut.contains_key(&(no - 1));
    cut.iter()
        .filter(|(no, _)| stays(no))
        .take(HOLDS)
        .map(|(no, before)| (no.to_string(), (*before).clone()))
        .collect()
}

fn links(record: &AuditRecord, seq: u64) -> Vec<(&Link, [u8; 32])> {
    let Some(chain) = &record.chain else { return Vec::new() };
    let mut found = vec![(&chain.asked, hash(&chain.asked, seq, &record.as_asked()))];
    if let Some(ended) = &chain.ended {
        found.push((&ended.link, hash(&ended.link, seq, record)));
    }
    found
}

/// The hash of a link. Each text is preceded by its length, so that no two records are the same bytes.
fn hash(link: &Link, seq: u64, record: &AuditRecord) -> [u8; 32] {
    let mut sum = Sha256::new();
    let mut text = |text: &str| {
        sum.update((text.len() as u64).to_be_bytes());
        sum.update(text.as_bytes());
    };
    text("hal-audit-1");
    text(&link.no.to_string());
    text(&link.before);
    text(&seq.to_string());
    text(&record.at.0.to_string());
    text(record.actor_kind.as_str());
    let said = [
        &record.id,
        &record.actor,
        &record.credential,
        &record.through,
        &record.action,
        &record.target,
        &record.args,
        &record.result,
        &record.ip,
    ];
    said.into_iter().for_each(|said| text(said));
    text(record.error.as_ref().map_or("", |_| "error"));
    text(record.error.as_deref().unwrap_or_default());
    text(&record.duration_ms.map_or_else(String::new, |took| took.to_string()));
    sum.finalize().into()
}

/// Links that are not there any more, all together: each record that says so says it anew, since those before leave, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// How many of those up to `through`.
    pub links: u64,
    /// The last of them.
    pub through: u64,
}

impl Account {
    /// What a record says that only the supervisor itself writes.
    pub fn of(record: &AuditRecord) -> Option<Self> {
        Self::said(&own_words(record)?)
    }

    fn said(args: &Value) -> Option<Self> {
        let number = |key: &str| args.get(key).and_then(Value::as_u64);
        Some(Self { links: number("all_links")?, through: number("all_through")? })
    }

    /// The same with more that is not there any more.
    pub fn and(self, links: u64, through: u64) -> Self {
        let through = if links > 0 { self.through.max(through) } else { self.through };
        Self { links: self.links.saturating_add(links), through }
    }

    /// The same with what has come back.
    pub fn but(self, links: u64) -> Self {
        Self { links: self.links.saturating_sub(links), ..self }
    }

    /// Says it among the particulars of a record.
    pub fn say(&self, args: &mut Value) {
        args["all_links"] = self.links.into();
        args["all_through"] = self.through.into();
    }
}

/// The particulars of a record by which the supervisor itself says something of the chain. It has no credential and comes by
/// no door.
fn own_words(record: &AuditRecord) -> Option<Value> {
    let is_own = record.through == "supervisor" && record.credential.is_empty();
    let is_of_chain = [REMOVED, RETURNED, TAKEN_IN, STORE_REPLACED].contains(&record.action.as_str());
    if !is_own || !is_of_chain {
        return None;
    }
    serde_json::from_str(&record.args).ok()
}

/// Links that were in a store which another one has replaced.
#[derive(Clone, Debug)]
struct Fork {
    /// The last link that both have.
    kept: u64,
    /// The last link of the store before, when that could be read.
    lost: Option<u64>,
    at: Time,
}

impl Fork {
    /// True for a head of the store before.
    fn excuses(&self, anchor: &Anchor) -> bool {
        anchor.link > self.kept && self.lost.map_or(anchor.at < self.at, |lost| anchor.link <= lost)
    }
}

/// A gap in the chain.
#[derive(Debug)]
struct Gap {
    /// The last link before it, and its hash.
    after: Tip,
    /// The first one behind it.
    before: u64,
    /// The record where it was seen.
    seq: u64,
}

/// A link that waits for those before it: number, record, hash before it, its own.
type Waiting = Reverse<(u64, u64, String, [u8; 32])>;

/// Links that wait for one that may be in a later record. Where more do, it is missing.
const HELD: usize = 100_000;

/// Walks along a chain: takes the records in the order of their numbers.
#[derive(Debug, Default)]
pub struct Walk {
    verdict: AuditVerdict,
    waiting: BinaryHeap<Waiting>,
    tip: Tip,
    last_seq: u64,
    gaps: Vec<Gap>,
    account: Account,
    /// Of links that were cut: the hash of the link before, where that was left.
    held: BTreeMap<u64, String>,
    forks: Vec<Fork>,
    /// By their links: all that nodes say of each.
    anchors: BTreeMap<u64, Vec<Anchor>>,
    contradicted: Vec<Anchor>,
}

impl Walk {
    /// A walk that looks for the heads of these links besides.
    pub fn with_anchors(all: impl IntoIterator<Item = Anchor>) -> Self {
        let mut anchors: BTreeMap<u64, Vec<Anchor>> = BTreeMap::new();
        for one in all.into_iter().filter(|anchor| anchor.link > 0) {
            anchors.entry(one.link).or_default().push(one);
        }
        Self { anchors, ..Self::default() }
    }

    /// Takes the next record.
    pub fn take(&mut self, seq: u64, record: &AuditRecord) {
        self.verdict.records += 1;
        if seq <= self.last_seq {
            self.find(seq, "it stands behind one with a higher number".to_owned());
        }
        self.last_seq = self.last_seq.max(seq);
        if record.chain.is_none() {
            return self.find(seq, "it is not in the chain".to_owned());
        }
        if self.verdict.first == 0 {
            self.verdict.first = seq;
        }
        for (link, hash) in links(record, seq) {
            self.waiting.push(Reverse((link.no, seq, link.before.clone(), hash)));
        }
        self.follow(HELD);
        self.note(seq, record);
    }

    /// Takes the next record, which cannot be read.
    pub fn cannot_read(&mut self, seq: u64, why: &str) {
        self.verdict.records += 1;
        self.last_seq = self.last_seq.max(seq);
        self.find(seq, format!("it cannot be read: {why}"));
    }

    /// The end: what was found. `head` is what the store says of the last link; an export says nothing.
    pub fn end(mut self, head: Option<&Head>) -> AuditVerdict {
        self.follow(0);
        self.weigh_gaps();
        let known = self.tip.head();
        let behind = head.map_or(0, |head| head.link.saturating_sub(known.link));
        self.verdict.missing += behind;
        if let Some(head) = head.filter(|head| **head != known && head.link > 0) {
            let (link, last) = (head.link, known.link);
            self.find(
                self.last_seq,
                format!("the chain ends with link {last}; the store says that it is {link}"),
            );
        }
        self.weigh_anchors();
        self.verdict.head = known;
        self.verdict.is_whole = self.verdict.found == 0;
        self.verdict
    }

    /// Follows the chain as far as it goes without a gap; over gaps while more links than these wait behind them.
    fn follow(&mut self, most: usize) {
        loop {
            let Some(Reverse((no, ..))) = self.waiting.peek() else { return };
            let is_gap = *no > self.tip.no + 1;
            if is_gap && self.waiting.len() <= most {
                return;
            }
            let Some(Reverse((no, seq, before, hash))) = self.waiting.pop() else { return };
            self.verdict.links += 1;
            if is_gap {
                // What stood before it is not here to be compared.
                self.gaps.push(Gap { after: self.tip, before: no, seq });
            } else if no <= self.tip.no {
                self.find(seq, format!("another record has its link {no}"));
            } else if before != hex::write(&self.tip.hash) {
                self.find(seq, format!("what stands before its link {no} is not what was there"));
            }
            self.tip = Tip { no, hash };
            self.compare(no, &hash);
        }
    }

    /// Compares a link with what nodes know of it.
    fn compare(&mut self, no: u64, hash: &[u8; 32]) {
        for anchor in self.anchors.remove(&no).unwrap_or_default() {
            if anchor.hash == hex::write(hash) {
                self.verdict.anchors += 1;
            } else {
                self.contradicted.push(anchor);
            }
        }
    }

    /// What a record says of the chain itself.
    fn note(&mut self, seq: u64, record: &AuditRecord) {
        let Some(args) = own_words(record) else { return };
        if let Some(account) = Account::said(&args) {
            self.account = account;
        }
        let held = args.get("held").and_then(Value::as_object);
        for (no, before) in held.into_iter().flatten() {
            if let (Ok(no), Some(before)) = (no.parse(), before.as_str()) {
                self.held.insert(no, before.to_owned());
            }
        }
        if record.action == STORE_REPLACED {
            let number = |key: &str| args.get(key).and_then(Value::as_u64);
            let kept = number("kept_link").unwrap_or(u64::MAX);
            self.forks.push(Fork { kept, lost: number("lost_link"), at: record.at });
        }
        if [REMOVED, RETURNED].contains(&record.action.as_str()) && args.get("links").is_none() {
            return;
        }
        if self.verdict.explained.len() < LISTED {
            self.verdict.explained.push(Explained {
                seq,
                at: record.at,
                actor: record.actor.clone(),
                action: record.action.clone(),
                args: record.args.clone(),
            });
        }
    }

    /// Links may be missing as far as records say so: up to that link, and not more than so many.
    fn weigh_gaps(&mut self) {
        let Account { links, through } = self.account;
        self.verdict.accounted = links;
        for Gap { after, before, seq } in std::mem::take(&mut self.gaps) {
            self.verdict.missing += before - after.no - 1;
            let last = before - 1;
            if last > through {
                self.find(seq, format!("links {} to {last} before it are missing", after.no + 1));
            } else if self.verdict.missing > links {
                let missing = self.verdict.missing;
                let said =
                    format!("{missing} links up to {last} are missing; records account for {links} of them");
                self.find(seq, said);
            }
            let held = self.held.get(&(after.no + 1));
            if held.is_some_and(|held| *held != hex::write(&after.hash)) {
                self.find(
                    seq,
                    format!("link {} is not what was there when the one behind it was cut", after.no),
                );
            }
        }
    }

    /// What nodes know and the chain does not say.
    fn weigh_anchors(&mut self) {
        let absent: Vec<Anchor> = std::mem::take(&mut self.anchors).into_values().flatten().collect();
        for anchor in std::mem::take(&mut self.contradicted) {
            if !self.is_of_another_store(&anchor) {
                self.find(0, format!("link {} is not the one that a node knows of", anchor.link));
            }
        }
        for anchor in absent {
            let (link, last) = (anchor.link, self.tip.no);
            if link <= self.account.through {
                self.verdict.cut_anchors += 1;
            } else if !self.is_of_another_store(&anchor) {
                self.find(
                    0,
                    format!("a node knows of link {link}, which is not in the chain; its last one is {last}"),
                );
            }
        }
    }

    fn is_of_another_store(&mut self, anchor: &Anchor) -> bool {
        let is_replaced = self.forks.iter().any(|fork| fork.excuses(anchor));
        self.verdict.replaced_anchors += u64::from(is_replaced);
        is_replaced
    }

    fn find(&mut self, seq: u64, what: String) {
        self.verdict.found += 1;
        if self.verdict.findings.len() < LISTED {
            self.verdict.findings.push(AuditFinding { seq, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use hal_protocol::who::Who;
    use serde_json::json;

    use super::*;
    use hal_base::clock::Time;

    /// A chain of so many records; every third one is of a command that ends two records later.
    fn chain(count: u64) -> (Vec<(u64, AuditRecord)>, Tip) {
        let (mut tip, mut all): (Tip, Vec<(u64, AuditRecord)>) = Default::default();
        for seq in 1..=count {
            let who = Who::with_token("halctl", "10.0.0.7");
            let said = json!({ "text": format!("prompt {seq}") });
            let record = AuditRecord::new(&who, "prompt_session", "ses_1", &said, Time(seq.cast_signed()));
            all.push((seq, tip.ask(seq, &record)));
            if seq > 2 && seq % 3 == 0 {
                let (of, before) = all[seq as usize - 3].clone();
                let now = AuditRecord { result: "failed".into(), error: Some("no".into()), ..before.clone() };
                all[seq as usize - 3].1 = tip.end(of, &before, now);
            }
        }
        (all, tip)
    }

    fn anchor(tip: &Tip) -> Anchor {
        let Head { link, hash } = tip.head();
        Anchor { link, hash, at: Time(1) }
    }

    fn walk(all: &[(u64, AuditRecord)], head: &Tip, anchors: &[Anchor]) -> AuditVerdict {
        let mut walk = Walk::with_anchors(anchors.iter().cloned());
        all.iter().for_each(|(seq, record)| walk.take(*seq, record));
        walk.end(Some(&head.head()))
    }

    #[test]
    fn an_honest_record_is_whole() {
        for count in [0, 1, 2, 3, 4, 100] {
            let (all, tip) = chain(count);
            let verdict = walk(&all, &tip, &[anchor(&tip)]);
            assert!(verdict.is_whole, "{count}: {:?}", verdict.findings);
            assert_eq!((verdict.records, verdict.links), (count, tip.no));
        }
    }

    /// Records of the chain that is changed, unless `HAL_SOAK` names more: `HAL_SOAK=tampered=600` makes 10,200 changes.
    const TAMPERED: u64 = 30;

    fn tampered() -> u64 {
        let asked = std::env::var("HAL_SOAK").unwrap_or_default();
        let named = asked.split(',').find_map(|word| word.strip_prefix("tampered=")?.parse().ok());
        named.unwrap_or(TAMPERED)
    }

    #[test]
    fn each_change_of_one_thing_is_found() {
        let (all, tip) = chain(tampered());
        let mut changes = 0;
        let mut fails = |what: &str, all: &[(u64, AuditRecord)]| {
            assert!(!walk(all, &tip, &[]).is_whole, "{what}");
            changes += 1;
        };
        for at in 0..all.len() {
            let mut deleted = all.clone();
            deleted.remove(at);
            fails("deleted", &deleted);
            let mut twice = all.clone();
            twice.insert(at, all[at].clone());
            fails("twice", &twice);
            let mut swapped = all.clone();
            let other = (at + 7) % all.len();
            (swapped[at].1, swapped[other].1) = (all[other].1.clone(), all[at].1.clone());
            fails("swapped", &swapped);
            fails("truncated", &all[..at]);
            fails("begins later", &all[at + 1..]);
            let edits: [fn(&mut AuditRecord); 12] = [
                |record| record.actor.push('x'),
                |record| record.at.0 += 1,
                |record| record.action = "kill_session".into(),
                |record| record.target.clear(),
                |record| record.args = "{}".into(),
                |record| record.result = "done ".into(),
                |record| record.error = Some(String::new()),
                |record| record.ip = "10.0.0.8".into(),
                |record| record.credential = "token 1".into(),
                |record| record.through = "api".into(),
                |record| record.duration_ms = Some(1),
                |record| record.chain = None,
            ];
            for (nth, edit) in edits.iter().enumerate() {
                let mut edited = all.clone();
                edit(&mut edited[at].1);
                fails(&format!("edit {nth} of {at}"), &edited);
            }
        }
        println!("{changes} changes, each found");
    }

    #[test]
    fn another_chain_that_is_whole_is_found_by_what_a_node_knows() {
        let (all, tip) = chain(30);
        let anchor = anchor(&tip);
        let mut forged = Tip::default();
        let rewritten: Vec<(u64, AuditRecord)> = all
            .iter()
            .filter(|(seq, _)| *seq != 11)
            .map(|(seq, record)| (*seq, forged.ask(*seq, record)))
            .collect();
        assert!(walk(&rewritten, &forged, &[]).is_whole);
        let verdict = walk(&rewritten, &forged, std::slice::from_ref(&anchor));
        assert!(!verdict.is_whole && verdict.findings[0].what.contains("a node knows"), "{verdict:?}");
    }

    /// What retention says of the records that it removes.
    fn removal(gone: &[(u64, AuditRecord)], account: &mut Account) -> Value {
        let links: u64 = gone.iter().map(|(_, record)| link_count(record)).sum();
        let through = gone.iter().filter_map(|(_, record)| last_link(record)).max().unwrap_or(0);
        *account = account.and(links, through);
        let mut said = json!({ "rows": gone.len(), "links": links, "held": held_by(gone.iter().map(|(_, record)| record)) });
        account.say(&mut said);
        said
    }

    #[test]
    fn what_retention_has_cut_is_accounted_for_and_not_one_more_however_often_it_cuts() {
        let (mut all, mut tip) = chain(30);
        let mut account = Account::default();
        let first = anchor(&Tip::of(&all[4].1, 5, last_link(&all[4].1).unwrap()).unwrap());
        for round in 0..5 {
            let cut = all.split_off(10);
            let gone = std::mem::replace(&mut all, cut);
            let said = removal(&gone, &mut account);
            let seq = all.last().unwrap().0 + 1;
            let record =
                AuditRecord::new(&Who::itself("retention"), "delete audit_log", "rows", &said, Time(99));
            all.push((seq, tip.ask(seq, &record)));
            for more in 0..9 {
                let record =
                    AuditRecord::new(&Who::unknown("10.0.0.1"), "log in", "api door", &json!({}), Time(99));
                all.push((seq + 1 + more, tip.ask(seq + 1 + more, &record)));
            }
            let verdict = walk(&all, &tip, std::slice::from_ref(&first));
            assert!(verdict.is_whole, "round {round}: {:?}", verdict.findings);
            assert_eq!((verdict.cut_anchors, verdict.replaced_anchors), (1, 0));
            assert!(!walk(&all[1..], &tip, &[]).is_whole, "one more is found");
            let mut both = gone.clone();
            both.extend(all.iter().cloned());
            assert!(walk(&both, &tip, &[]).found == 0, "what was archived may come back");
        }
    }

    #[test]
    fn a_record_before_a_link_that_was_cut_is_held_by_what_was_kept_of_it() {
        let (all, mut tip) = chain(30);
        // The fourth record ends behind the sixth: its second link is cut from the midst of those that stay.
        let (gone, stays) = (all[..4].to_vec(), all[4..].to_vec());
        let mut account = Account::default();
        let said = removal(&gone, &mut account);
        assert!(!said["held"].as_object().unwrap().is_empty(), "{said}");
        let record = AuditRecord::new(&Who::itself("retention"), "delete audit_log", "rows", &said, Time(99));
        let mut stays: Vec<_> = stays;
        stays.push((31, tip.ask(31, &record)));
        assert!(walk(&stays, &tip, &[]).is_whole);
        for at in 0..stays.len() - 1 {
            let mut edited = stays.clone();
            edited[at].1.actor.push('x');
            assert!(!walk(&edited, &tip, &[]).is_whole, "edited {at}");
        }
    }

    #[test]
    fn a_store_that_took_the_place_of_another_excuses_what_was_told_before_and_nothing_else() {
        let known = chain(30).1;
        let (mut all, kept) = chain(10);
        let mut tip = kept;
        let args = json!({ "kept_link": kept.no, "lost_link": known.no });
        let record = AuditRecord::new(&Who::itself("supervisor"), STORE_REPLACED, "made", &args, Time(50));
        for seq in 11..60 {
            all.push((seq, tip.ask(seq, &record)));
        }
        let verdict = walk(&all, &tip, &[anchor(&known), anchor(&kept)]);
        assert!(verdict.is_whole, "{:?}", verdict.findings);
        assert_eq!((verdict.anchors, verdict.replaced_anchors), (1, 1));
        let late = Anchor { link: known.no + 1, hash: "00".repeat(32), at: Time(99) };
        assert!(!walk(&all, &tip, std::slice::from_ref(&late)).is_whole, "it was told by the new one");
        let early = Anchor { link: kept.no - 1, ..late };
        assert!(!walk(&all, &tip, &[early]).is_whole, "both have that one");
    }

    #[test]
    fn two_nodes_that_know_different_things_of_one_link_are_heard_both() {
        let (all, tip) = chain(30);
        let other = Anchor { hash: "00".repeat(32), ..anchor(&tip) };
        for anchors in [[anchor(&tip), other.clone()], [other, anchor(&tip)]] {
            let verdict = walk(&all, &tip, &anchors);
            assert_eq!((verdict.is_whole, verdict.anchors, verdict.found), (false, 1, 1));
        }
    }
}
