//! The rows of the audit log: who did what, and what came of it.

use std::ops::ControlFlow;

use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::reader::Reader;
use super::row::Row;
use super::tables::{AUDIT, AUDIT_CUT, AUDIT_HASH, AUDIT_LINK};
use super::{StoreError, row};
use hal_base::cause::chain;
use hal_base::clock::Time;
pub use hal_protocol::audit::AuditRecord;
use hal_protocol::audit::{Anchor, AuditVerdict, Chained};
use hal_protocol::who::WhoKind;
use hal_rules::audit::{Account, Tip, Walk};

/// A record as it is stored. Version 1: what it has no field for travels in `args`, under [`WHO`], so that the release
/// before this one can read it.
#[derive(Serialize, Deserialize)]
struct AuditRow {
    id: String,
    at: Time,
    actor: String,
    action: String,
    target: String,
    args: String,
    result: String,
    error: Option<String>,
    duration_ms: Option<u64>,
    ip: String,
}

/// The key in `args` of what version 1 has no field for.
const WHO: &str = "_who";

/// What that is.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct More {
    kind: WhoKind,
    credential: String,
    through: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<Chained>,
    /// Particulars that are not what this program writes of an object: byte for byte, since they are in the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl Row for AuditRow {
    const TABLE: &'static str = "audit";
    const VERSION: u8 = 1;
}

/// Opens a stored record.
pub(super) fn open(bytes: &[u8], seq: u64) -> Result<AuditRecord, StoreError> {
    let AuditRow { id, at, actor, action, target, args, result, error, duration_ms, ip } =
        row::open(bytes, seq)?;
    let (args, More { kind: actor_kind, credential, through, chain, .. }) = apart(args);
    Ok(AuditRecord {
        id,
        at,
        actor,
        actor_kind,
        credential,
        through,
        action,
        target,
        args,
        result,
        error,
        duration_ms,
        ip,
        chain,
    })
}

/// Seals a record for the store.
pub(super) fn seal(record: &AuditRecord, seq: u64) -> Vec<u8> {
    let one = record.clone();
    let more = More {
        kind: one.actor_kind,
        credential: one.credential,
        through: one.through,
        chain: one.chain,
        text: None,
    };
    let row = AuditRow {
        id: one.id,
        at: one.at,
        actor: one.actor,
        action: one.action,
        target: one.target,
        args: together(one.args, more),
        result: one.result,
        error: one.error,
        duration_ms: one.duration_ms,
        ip: one.ip,
    };
    row::seal(&row, seq)
}

/// The last link of the chain as numbers of the store, with their names.
pub(super) fn tip_numbers(tip: &Tip) -> [(&'static str, u64); 5] {
    let part =
        |at: usize| tip.hash[8 * at..8 * at + 8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let [one, two, three, four] = AUDIT_HASH;
    [(AUDIT_LINK, tip.no), (one, part(0)), (two, part(1)), (three, part(2)), (four, part(3))]
}

/// What of it is not there any more, as numbers of the store.
pub(super) fn account_numbers(account: &Account) -> [(&'static str, u64); 2] {
    let [links, through] = AUDIT_CUT;
    [(links, account.links), (through, account.through)]
}

/// The particulars with what else is stored among them, where there is such a thing.
fn together(args: String, mut more: More) -> String {
    if more == More::default() {
        return args;
    }
    let parsed = serde_json::from_str(&args).ok();
    let mut object = match parsed {
        Some(Value::Object(object)) if !object.contains_key(WHO) && is_ours(&object, &args) => object,
        _ => {
            more.text = Some(args);
            Map::new()
        }
    };
    object.insert(WHO.to_owned(), serde_json::to_value(more).unwrap_or_default());
    Value::Object(object).to_string()
}

/// True when this is how the object is written here.
fn is_ours(object: &Map<String, Value>, text: &str) -> bool {
    serde_json::to_string(object).is_ok_and(|ours| ours == text)
}

fn apart(args: String) -> (String, More) {
    if !args.contains(WHO) {
        return (args, More::default());
    }
    let Ok(Value::Object(mut object)) = serde_json::from_str(&args) else { return (args, More::default()) };
    match object.remove(WHO).map(serde_json::from_value::<More>) {
        Some(Ok(mut more)) => (more.text.take().unwrap_or_else(|| Value::Object(object).to_string()), more),
        _ => (args, More::default()),
    }
}

/// Which records.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only those of this actor.
    pub actor: Option<String>,
    /// Only those whose action holds this text.
    pub action: Option<String>,
    /// Only those on this target.
    pub target: Option<String>,
    /// Only those from then on.
    pub since: Option<Time>,
    /// Only those with a lower number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

impl AuditQuery {
    fn matches(&self, record: &AuditRecord) -> bool {
        self.actor.as_ref().is_none_or(|actor| record.actor == *actor)
            && self.action.as_ref().is_none_or(|action| record.action.contains(action.as_str()))
            && self.target.as_ref().is_none_or(|target| record.target == *target)
            && self.since.is_none_or(|since| record.at >= since)
    }
}

/// Records that are read for one page: what is not found among so many is looked for from there on by the next.
const MOST_READ: usize = 100_000;

/// A page of the audit log.
#[derive(Debug, Default)]
pub struct AuditPage {
    /// The records with their numbers, the newest first.
    pub records: Vec<(u64, AuditRecord)>,
    /// Before which number the next page begins; `None`: there is none.
    pub next: Option<u64>,
}

impl Reader<'_> {
    /// The last link of the chain.
    pub fn audit_tip(&self) -> Result<Tip, StoreError> {
        let mut tip = Tip { no: self.meta(AUDIT_LINK)?, ..Tip::default() };
        for (key, bytes) in AUDIT_HASH.iter().zip(tip.hash.chunks_mut(8)) {
            bytes.copy_from_slice(&self.meta(key)?.to_be_bytes());
        }
        Ok(tip)
    }

    /// What of the chain is not there any more.
    pub fn audit_account(&self) -> Result<Account, StoreError> {
        let [links, through] = AUDIT_CUT;
        Ok(Account { links: self.meta(links)?, through: self.meta(through)? })
    }

    /// Shows all records from this number on, in their order, until one of them is enough. One that is damaged is shown as
    /// what is wrong with it.
    pub fn audit_records(
        &self,
        from: u64,
        see: &mut dyn FnMut(u64, Result<AuditRecord, StoreError>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        for entry in self.txn().open_table(AUDIT)?.range(from..)? {
            let (seq, bytes) = entry?;
            if see(seq.value(), open(bytes.value(), seq.value())).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Walks along the whole chain, and looks for these heads in it.
    pub fn audit_verdict(&self, anchors: Vec<Anchor>) -> Result<AuditVerdict, StoreError> {
        let mut walk = Walk::with_anchors(anchors);
        self.audit_records(0, &mut |seq, record| {
            match record {
                Ok(record) => walk.take(seq, &record),
                Err(damage) => walk.cannot_read(seq, &chain(&damage)),
            }
            ControlFlow::Continue(())
        })?;
        Ok(walk.end(Some(&self.audit_tip()?.head())))
    }

    /// A page of the audit log, the newest first.
    pub fn audit_log(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let table = self.txn().open_table(AUDIT)?;
        let mut page = AuditPage::default();
        let end = query.before.unwrap_or(u64::MAX);
        let mut last = None;
        for (nth, entry) in table.range(..end)?.rev().enumerate() {
            let (seq, bytes) = entry?;
            if page.records.len() >= query.limit || nth >= MOST_READ {
                page.next = last;
                break;
            }
            let record = open(bytes.value(), seq.value())?;
            if query.matches(&record) {
                page.records.push((seq.value(), record));
            }
            last = Some(seq.value());
        }
        Ok(page)
    }

    /// The record of this number or id, with its number. An id is looked for among the newest.
    pub fn audit_record(&self, id: &str) -> Result<Option<(u64, AuditRecord)>, StoreError> {
        let table = self.txn().open_table(AUDIT)?;
        if let Ok(seq) = id.parse::<u64>() {
            let row = table.get(seq)?;
            return row.map(|bytes| Ok((seq, open(bytes.value(), seq)?))).transpose();
        }
        for entry in table.iter()?.rev().take(MOST_READ) {
            let (seq, bytes) = entry?;
            let record = open(bytes.value(), seq.value())?;
            if record.id == id {
                return Ok(Some((seq.value(), record)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use hal_protocol::audit::Link;
    use hal_protocol::who::Who;

    #[test]
    fn who_it_was_is_stored_whole_in_a_shape_that_the_release_before_reads() {
        let all = [
            Who::with_token("halctl", "10.0.0.7"),
            Who::in_chat("discord:ada", "discord", "81384788765712384"),
            Who::with_sql("operator via supervisor.db"),
            Who::policy("policy:stuck"),
            Who::itself("retention"),
            Who::unknown("10.0.0.8"),
        ];
        for who in all {
            let record = AuditRecord::new(&who, "kill_session", "ses_1", &json!({"why": "x"}), Time(5));
            let bytes = seal(&record, 7);
            assert_eq!(open(&bytes, 7).unwrap(), record);
            let before: AuditRow = row::open(&bytes, 7).unwrap();
            assert_eq!((before.actor, before.ip), (who.name, who.from));
        }
    }

    #[test]
    fn particulars_that_are_no_object_or_speak_of_who_themselves_stay_as_they_are() {
        for args in ["", "17", "no JSON", r#"{"_who":7}"#, r#"{"a": 1}"#] {
            let chain = Chained { asked: Link { no: 3, before: "00".into() }, ended: None };
            for chain in [None, Some(chain)] {
                let record = AuditRecord { args: args.to_owned(), chain, ..AuditRecord::default() };
                assert_eq!(open(&seal(&record, 1), 1).unwrap(), record, "{args}");
            }
        }
    }
}
