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

use serde_json::Value;
use sha2::{Digest, Sha256};

use hal_protocol::audit::{
    AuditFinding, AuditRecord, AuditVerdict, Chained, Ended, Explained, Head, Link, STORE_REPLACED, TAKEN_IN,
};

/// Findings that are listed; all are counted.
const LISTED: usize = 100;

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
        Head { link: self.no, hash: hex(&self.hash) }
    }

    /// A record as it was asked for, linked; the tip is its link then.
    pub fn ask(&mut self, seq: u64, record: &AuditRecord) -> AuditRecord {
        let link = Link { no: self.no + 1, before: hex(&self.hash) };
        *self = Self { no: link.no, hash: hash(&link, seq, record) };
        AuditRecord { chain: Some(Chained { asked: link, ended: None }), ..record.clone() }
    }

    /// A record that says how its command has ended, with what it said before; the tip is its link then. One that was
    /// never linked is linked as it is now.
    pub fn end(&mut self, seq: u64, before: &AuditRecord, now: AuditRecord) -> AuditRecord {
        let Some(chain) = &before.chain else { return self.ask(seq, &now) };
        let link = Link { no: self.no + 1, before: hex(&self.hash) };
        *self = Self { no: link.no, hash: hash(&link, seq, &now) };
        let ended = Ended {
            link,
            result: before.result.clone(),
            error: before.error.clone(),
            duration_ms: before.duration_ms,
        };
        AuditRecord { chain: Some(Chained { asked: chain.asked.clone(), ended: Some(ended) }), ..now }
    }

    /// The tip that a record's links say; `None` where none of them has this number.
    pub fn of(record: &AuditRecord, seq: u64, no: u64) -> Option<Self> {
        links(record, seq).into_iter().find(|(link, _)| link.no == no).map(|(_, hash)| Self { no, hash })
    }
}

/// The last link of a record, if it has one.
pub fn last_link(record: &AuditRecord) -> Option<u64> {
    let chain = record.chain.as_ref()?;
    Some(chain.ended.as_ref().map_or(chain.asked.no, |ended| ended.link.no))
}

/// How many links a record has.
pub fn link_count(record: &AuditRecord) -> u64 {
    record.chain.as_ref().map_or(0, |chain| 1 + u64::from(chain.ended.is_some()))
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

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Links that a record says are not there any more.
#[derive(Clone, Debug, Default)]
struct Cut {
    /// How many of those up to `through`.
    links: u64,
    /// The last of them.
    through: u64,
}

/// Links that were in a store which another one has replaced.
#[derive(Clone, Debug)]
struct Fork {
    /// The last link that both have.
    kept: u64,
    /// The last link of the store before, when that could be read.
    lost: Option<u64>,
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
    has_jumped: bool,
    last_seq: u64,
    /// Gaps: after which link, up to before which, and where that was seen.
    gaps: Vec<(u64, u64, u64)>,
    cuts: Vec<Cut>,
    returned: u64,
    forks: Vec<Fork>,
    anchors: BTreeMap<u64, String>,
}

impl Walk {
    /// A walk that looks for the heads of these links besides.
    pub fn with_anchors(anchors: impl IntoIterator<Item = Head>) -> Self {
        let anchors = anchors.into_iter().filter(|head| head.link > 0);
        Self { anchors: anchors.map(|head| (head.link, head.hash)).collect(), ..Self::default() }
    }

    /// Takes the next record.
    pub fn take(&mut self, seq: u64, record: &AuditRecord) {
        self.verdict.records += 1;
        if seq <= self.last_seq {
            self.find(seq, "it stands behind one with a higher number".to_owned());
        }
        self.last_seq = self.last_seq.max(seq);
        let Some(chain) = &record.chain else {
            return self.find(seq, "it is not in the chain".to_owned());
        };
        if self.verdict.first == 0 {
            self.verdict.first = seq;
            // What has a lower link was asked for earlier, and is not here.
            self.jump(chain.asked.no, seq);
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

    /// Goes on at this link, whatever came before it.
    fn jump(&mut self, no: u64, seq: u64) {
        if no > self.tip.no + 1 {
            self.gaps.push((self.tip.no, no, seq));
            self.tip = Tip { no: no - 1, hash: NOTHING };
            self.has_jumped = true;
        }
    }

    /// Follows the chain as far as it goes without a gap; over gaps while more links than these wait behind them.
    fn follow(&mut self, most: usize) {
        loop {
            let Some(Reverse((no, ..))) = self.waiting.peek() else { return };
            if *no > self.tip.no + 1 && self.waiting.len() <= most {
                return;
            }
            let Some(Reverse((no, seq, before, hash))) = self.waiting.pop() else { return };
            self.verdict.links += 1;
            self.jump(no, seq);
            if no <= self.tip.no {
                self.find(seq, format!("another record has its link {no}"));
            } else if std::mem::take(&mut self.has_jumped) {
                // What stood before it is not here to be compared.
            } else if before != hex(&self.tip.hash) {
                self.find(seq, format!("what stands before its link {no} is not what was there"));
            }
            self.tip = Tip { no, hash };
            if self.anchors.get(&no) == Some(&hex(&hash)) {
                self.anchors.remove(&no);
                self.verdict.anchors += 1;
            }
        }
    }

    /// What a record says of the chain itself.
    fn note(&mut self, seq: u64, record: &AuditRecord) {
        let args: Value = serde_json::from_str(&record.args).unwrap_or_default();
        let number = |key: &str| args.get(key).and_then(Value::as_u64);
        // Only the supervisor itself has no credential and comes by no door.
        if record.through != "supervisor" || !record.credential.is_empty() {
            return;
        }
        match record.action.as_str() {
            "delete audit_log" | TAKEN_IN => {
                let cut =
                    Cut { links: number("links").unwrap_or(0), through: number("through").unwrap_or(0) };
                if cut.links > 0 {
                    self.cuts.push(cut);
                }
                self.explain(seq, record);
            }
            "insert audit_log" => {
                self.returned += number("links").unwrap_or(0);
                self.explain(seq, record);
            }
            STORE_REPLACED => {
                let kept = number("kept_link").unwrap_or(0);
                self.forks.push(Fork { kept, lost: number("lost_link") });
                self.cuts.push(Cut { links: number("links").unwrap_or(0), through: kept });
                self.explain(seq, record);
            }
            _ => {}
        }
    }

    fn explain(&mut self, seq: u64, record: &AuditRecord) {
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
        let through = self.cuts.iter().map(|cut| cut.through).max().unwrap_or(0);
        let cut: u64 = self.cuts.iter().map(|cut| cut.links).sum();
        let may_miss = cut.saturating_sub(self.returned);
        self.verdict.accounted = may_miss;
        let mut missing = 0;
        for (after, before, seq) in std::mem::take(&mut self.gaps) {
            if before - 1 > through {
                self.verdict.missing += before - after - 1;
                self.find(seq, format!("links {} to {} before it are missing", after + 1, before - 1));
                continue;
            }
            missing += before - after - 1;
            self.verdict.missing += before - after - 1;
            if missing > may_miss {
                let said = format!(
                    "{missing} links up to {} are missing; records account for {may_miss} of them",
                    before - 1
                );
                self.find(seq, said);
            }
        }
    }

    /// Whatever is left of the anchors is in no link.
    fn weigh_anchors(&mut self) {
        let through = self.cuts.iter().map(|cut| cut.through).max().unwrap_or(0);
        for (link, _) in std::mem::take(&mut self.anchors) {
            let is_replaced = |fork: &Fork| link > fork.kept && fork.lost.is_none_or(|lost| link <= lost);
            if self.forks.iter().any(is_replaced) {
                self.verdict.replaced_anchors += 1;
            } else if link > self.tip.no {
                let last = self.tip.no;
                self.find(0, format!("a node knows of link {link}, and the chain ends with {last}"));
            } else if link > through {
                self.find(0, format!("link {link} is not the one that a node knows of"));
            }
        }
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

    fn walk(all: &[(u64, AuditRecord)], head: &Tip, anchors: &[Head]) -> AuditVerdict {
        let mut walk = Walk::with_anchors(anchors.iter().cloned());
        all.iter().for_each(|(seq, record)| walk.take(*seq, record));
        walk.end(Some(&head.head()))
    }

    #[test]
    fn an_honest_record_is_whole() {
        for count in [0, 1, 2, 3, 4, 100] {
            let (all, tip) = chain(count);
            let verdict = walk(&all, &tip, &[tip.head()]);
            assert!(verdict.is_whole, "{count}: {:?}", verdict.findings);
            assert_eq!((verdict.records, verdict.links), (count, tip.no));
        }
    }

    #[test]
    fn each_change_of_one_thing_is_found() {
        let (all, tip) = chain(30);
        let fails = |what: &str, all: &[(u64, AuditRecord)]| {
            assert!(!walk(all, &tip, &[]).is_whole, "{what}");
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
    }

    #[test]
    fn another_chain_that_is_whole_is_found_by_what_a_node_knows() {
        let (all, tip) = chain(30);
        let anchor = tip.head();
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

    #[test]
    fn what_retention_has_cut_is_accounted_for_and_not_one_more() {
        let (mut all, mut tip) = chain(30);
        let cut = |all: &[(u64, AuditRecord)]| {
            let links: u64 = all.iter().map(|(_, record)| link_count(record)).sum();
            let through = all.iter().filter_map(|(_, record)| last_link(record)).max();
            json!({ "rows": all.len(), "links": links, "through": through })
        };
        let said = cut(&all[..10]);
        let anchor = Tip::of(&all[4].1, 5, last_link(&all[4].1).unwrap()).unwrap().head();
        let record =
            AuditRecord::new(&Who::itself("retention"), "delete audit_log", "1 .. 10", &said, Time(99));
        all.push((31, tip.ask(31, &record)));
        let verdict = walk(&all[10..], &tip, std::slice::from_ref(&anchor));
        assert!(verdict.is_whole, "{:?}", verdict.findings);
        assert!(verdict.missing >= 10 && verdict.explained.len() == 1, "{verdict:?}");
        assert!(!walk(&all[11..], &tip, &[]).is_whole, "one more is found");
        assert!(walk(&all, &tip, &[anchor]).is_whole, "what was archived may come back");
    }
}
