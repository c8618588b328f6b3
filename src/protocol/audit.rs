//! The audit record: who did what, by which credential, from where, what came of it, and its place in the chain.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use hal_base::clock::Time;
use hal_base::id;

use crate::command::Command;
use crate::who::{Who, WhoKind};

/// One record, as it is stored and exported: a chain of hashes goes over what is here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AuditRecord {
    /// The record's id; that of a command for a command.
    pub id: String,
    /// When it was asked for, in milliseconds since 1970.
    #[schema(value_type = i64)]
    pub at: Time,
    /// Who: the name.
    pub actor: String,
    /// Who: what acts, `person`, `program`, `machine` or `policy`.
    #[schema(value_type = String)]
    pub actor_kind: WhoKind,
    /// What was shown for it.
    pub credential: String,
    /// The way in: `halctl`, `api`, `discord`, `supervisor.db`.
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
    /// Its place in the chain; `None`: it was written by a release without one, and not yet taken in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chained>,
}

/// Where a record is in the chain. Each time a record was written is a link: once as it was asked for, and a second time for
/// a command that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Chained {
    /// As it was asked for.
    pub asked: Link,
    /// As it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// Its number, from 1 without holes.
    pub no: u64,
    /// The hash of the link before it, in hexadecimal digits.
    pub before: String,
}

/// The second link of a record, and what the first one said in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ended {
    /// The link.
    pub link: Link,
    /// The result as it was asked for.
    pub result: String,
    /// The error as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it had taken as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// A link by its number and its own hash: what is known of a chain at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Head {
    /// The number of the last link; 0: there is none.
    pub link: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
}

/// The last line of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportEnd {
    /// The last link of what was exported.
    pub head: Head,
    /// How many records stand before this line.
    pub records: u64,
}

/// A record with its number, as it is exported: one line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NumberedRecord {
    /// Its number.
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub record: AuditRecord,
}

/// A head that a node has kept, and when it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Anchor {
    /// The number of the link.
    pub link: u64,
    /// Its hash, in hexadecimal digits.
    pub hash: String,
    /// When (RFC 3339); left out: nobody knows.
    #[serde(default, with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
}

/// What an agent says in its hello when it keeps heads of the chain.
pub const KEEPS_ANCHORS: &str = "audit_anchors";

/// What a walk along the chain is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct VerifyRequest {
    /// Heads that nodes have kept, to be found in the chain; at most 20,000.
    pub anchors: Vec<Anchor>,
}

/// Action of the record that says which records were taken into the chain that were written without it.
pub const TAKEN_IN: &str = "chain_audit";

/// Action of the record that says what of the chain a restored or lost store does not have.
pub const STORE_REPLACED: &str = "replace_store";

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
            chain: None,
        }
    }

    /// The same, with what came of its command. What it said before stays in the chain.
    pub fn ended_as(self, command: &Command) -> Self {
        let took = command.changed_at.since(command.created_at).as_millis();
        Self {
            result: command.state.as_str().to_owned(),
            error: command.error.clone(),
            duration_ms: Some(u64::try_from(took).unwrap_or(u64::MAX)),
            ..self
        }
    }

    /// The record as it was when this was the last link; `None`: it was not there, or it is in no chain.
    pub fn as_of(self, last: u64) -> Option<Self> {
        let chain = self.chain.as_ref().filter(|chain| chain.asked.no <= last)?;
        match &chain.ended {
            Some(ended) if ended.link.no > last => {
                let asked = chain.asked.clone();
                Some(Self { chain: Some(Chained { asked, ended: None }), ..self.as_asked() })
            }
            _ => Some(self),
        }
    }

    /// The record as its first link has it.
    pub fn as_asked(&self) -> Self {
        let Some(ended) = self.chain.as_ref().and_then(|chain| chain.ended.as_ref()) else {
            return self.clone();
        };
        let Ended { result, error, duration_ms, .. } = ended.clone();
        Self { result, error, duration_ms, ..self.clone() }
    }
}

/// What a walk along the chain has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AuditVerdict {
    /// True when nothing was found that no record accounts for.
    pub is_whole: bool,
    /// Records that were walked along.
    pub records: u64,
    /// Their links.
    pub links: u64,
    /// The number of the first record in the chain.
    pub first: u64,
    /// The last link.
    pub head: Head,
    /// Links that are not there any more.
    pub missing: u64,
    /// How many links may be missing, as records say.
    pub accounted: u64,
    /// Heads that nodes have kept and that are in the chain.
    pub anchors: u64,
    /// Heads that nodes have kept of a store that another one has replaced, as a record says.
    pub replaced_anchors: u64,
    /// Heads that nodes have kept of links that are not there any more, and that records account for.
    pub cut_anchors: u64,
    /// Records that say what is not there any more: retention, restored backups, older releases; at most 100.
    pub explained: Vec<Explained>,
    /// How much was found.
    pub found: u64,
    /// What was found; at most 100.
    pub findings: Vec<AuditFinding>,
}

/// A record that says what is not there any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    /// Its number.
    pub seq: u64,
    /// When (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who has cut it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// The particulars, as JSON text.
    pub args: String,
}

/// What no record accounts for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditFinding {
    /// The number of the record where it was seen; 0: no record.
    pub seq: u64,
    /// What is wrong there.
    pub what: String,
}

/// One record, as the API shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AuditView {
    /// Its number: records have them without holes, until retention takes the oldest.
    pub seq: u64,
    /// The record's id; that of a command for a command.
    pub id: String,
    /// When it was asked for (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who: the name.
    pub actor: String,
    /// `person`, `program`, `machine` or `policy`.
    pub kind: String,
    /// What was shown for it, such as `token 3f9a2c` or `shared token`; empty where nothing had to be.
    pub credential: String,
    /// The way in: `halctl`, `api`, `discord`, `supervisor.db`.
    pub through: String,
    /// From where: an address, or an account of a chat.
    pub from: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub target: String,
    /// The particulars.
    #[schema(value_type = Object)]
    pub args: serde_json::Value,
    /// What came of it: `done`, `failed`, `denied`, or the state of a command.
    pub result: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in milliseconds, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}
