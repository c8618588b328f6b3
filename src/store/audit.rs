//! The rows of the audit log: who did what, and what came of it.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reader::Reader;
use super::row::Row;
use super::tables::AUDIT;
use super::{StoreError, row};
use hal_base::clock::Time;
use hal_base::id;
use hal_protocol::command::Command;
use hal_protocol::who::{Who, WhoKind};

/// One record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The record's id; that of a command for a command.
    pub id: String,
    /// When it was asked for.
    pub at: Time,
    /// Who: the name.
    pub actor: String,
    /// Who: what acts.
    #[serde(default)]
    pub actor_kind: WhoKind,
    /// What was shown for it.
    #[serde(default)]
    pub credential: String,
    /// The way in: `halctl`, `api`, `discord`, `supervisor.db`.
    #[serde(default)]
    pub through: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub target: String,
    /// The particulars, as JSON text.
    pub args: String,
    /// What came of it.
    pub result: String,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took, where that is known.
    pub duration_ms: Option<u64>,
    /// From where; empty when that is not known.
    pub ip: String,
}

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
}

impl Row for AuditRow {
    const TABLE: &'static str = "audit";
    const VERSION: u8 = 1;
}

impl AuditRecord {
    /// That somebody has done something, to what, with which particulars.
    pub fn new(who: &Who, action: &str, target: impl Into<String>, args: &Value, at: Time) -> Self {
        Self {
            id: id::fresh(),
            at,
            actor: who.name.clone(),
            actor_kind: who.kind,
            credential: who.credential.clone(),
            through: who.through.clone(),
            action: action.to_owned(),
            target: target.into(),
            args: args.to_string(),
            result: "done".to_owned(),
            error: None,
            duration_ms: None,
            ip: who.from.clone(),
        }
    }

    /// Opens a stored record.
    pub(super) fn open(bytes: &[u8], seq: u64) -> Result<Self, StoreError> {
        let AuditRow { id, at, actor, action, target, args, result, error, duration_ms, ip } =
            row::open(bytes, seq)?;
        let (args, More { kind: actor_kind, credential, through }) = apart(args);
        Ok(Self {
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
        })
    }

    /// Seals it for the store.
    pub(super) fn seal(&self, seq: u64) -> Vec<u8> {
        let one = self.clone();
        let more = More { kind: one.actor_kind, credential: one.credential, through: one.through };
        let row = AuditRow {
            id: one.id,
            at: one.at,
            actor: one.actor,
            action: one.action,
            target: one.target,
            args: together(one.args, &more),
            result: one.result,
            error: one.error,
            duration_ms: one.duration_ms,
            ip: one.ip,
        };
        row::seal(&row, seq)
    }
}

/// The particulars with what else is stored among them, where there is such a thing and they are an object.
fn together(args: String, more: &More) -> String {
    match serde_json::from_str(&args) {
        Ok(Value::Object(mut object)) if *more != More::default() => {
            object.insert(WHO.to_owned(), serde_json::to_value(more).unwrap_or_default());
            Value::Object(object).to_string()
        }
        _ => args,
    }
}

fn apart(args: String) -> (String, More) {
    if !args.contains(WHO) {
        return (args, More::default());
    }
    let Ok(Value::Object(mut object)) = serde_json::from_str(&args) else { return (args, More::default()) };
    match object.remove(WHO).map(serde_json::from_value) {
        Some(Ok(more)) => (Value::Object(object).to_string(), more),
        _ => (args, More::default()),
    }
}

impl AuditRecord {
    /// The same, with what came of its command.
    pub(super) fn ended_as(self, command: &Command) -> Self {
        let took = command.changed_at.since(command.created_at).as_millis();
        Self {
            result: command.state.as_str().to_owned(),
            error: command.error.clone(),
            duration_ms: Some(u64::try_from(took).unwrap_or(u64::MAX)),
            ..self
        }
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
            let record = AuditRecord::open(bytes.value(), seq.value())?;
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
            return row.map(|bytes| Ok((seq, AuditRecord::open(bytes.value(), seq)?))).transpose();
        }
        for entry in table.iter()?.rev().take(MOST_READ) {
            let (seq, bytes) = entry?;
            let record = AuditRecord::open(bytes.value(), seq.value())?;
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
            let bytes = record.seal(7);
            assert_eq!(AuditRecord::open(&bytes, 7).unwrap(), record);
            let before: AuditRow = row::open(&bytes, 7).unwrap();
            assert_eq!((before.actor, before.ip), (who.name, who.from));
        }
    }

    #[test]
    fn particulars_that_are_no_object_or_speak_of_who_themselves_stay_as_they_are() {
        for args in ["", "17", "no JSON", r#"{"_who":7}"#, r#"{"a": 1}"#] {
            let record = AuditRecord { args: args.to_owned(), ..AuditRecord::default() };
            assert_eq!(AuditRecord::open(&record.seal(1), 1).unwrap(), record, "{args}");
        }
    }
}
