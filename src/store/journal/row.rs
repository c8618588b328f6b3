//! The rows of the journal as bytes: `[version u8][crc32 u32, little-endian][postcard]`.
//!
//! The checksum covers the table's name, the key and the body, so that a row that was damaged, or that ended up in
//! another place, is noticed when it is read. Words that grow by optional fields (sessions, frames) are kept as the
//! JSON that crosses the wire; only what surrounds them is postcard. Bytes of every released version lie in
//! `tests/fixtures/rows` and must load for ever.

use serde::{Deserialize, Serialize};

use super::JournalError;
use hal_base::clock::Time;
use hal_protocol::command::CommandState;
use hal_protocol::event::Event;
use hal_protocol::frame::CommandFrame;
use hal_protocol::node::ProjectName;
use hal_protocol::session::{Session, SessionId};

/// The version that is written of most rows.
const VERSION: u8 = 1;

/// The version of [`MetaRow`] that is written; version 1 had no epoch.
const META_VERSION: u8 = 2;

/// Bytes before the body.
const HEAD: usize = 5;

/// What the journal knows of itself; one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MetaRow {
    /// Made new whenever the journal is new.
    pub incarnation: String,
    /// The number of the next event.
    pub next_seq: u64,
    /// Everything up to here is committed by the supervisor.
    pub acked: u64,
    /// Bytes of all event rows.
    pub bytes: u64,
    /// Transactions so far: tells after a failed commit whether it took effect nevertheless.
    pub commits: u64,
    /// The epoch of the supervisor's last welcome.
    pub epoch: u64,
}

/// Version 1 of [`MetaRow`].
#[derive(Serialize, Deserialize)]
struct MetaRow1 {
    incarnation: String,
    next_seq: u64,
    acked: u64,
    bytes: u64,
    commits: u64,
}

/// An event; its number is the key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventRow<'a> {
    pub id: &'a str,
    pub kind: &'a str,
    pub session_id: Option<&'a str>,
    pub project: Option<&'a str>,
    pub occurred_at: i64,
    pub stored_at: i64,
    pub data: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
struct SessionRow<'a> {
    mark: Option<u64>,
    session: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
struct CommandRow<'a> {
    frame: &'a str,
    received_at: i64,
    changed_at: i64,
    state: &'a str,
    output: &'a str,
    error: Option<&'a str>,
}

/// A session as the journal keeps it: the sum of its events, and the backend's own place in its history.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRecord {
    /// The sum of its events.
    pub session: Session,
    /// The backend's last mark.
    pub mark: Option<u64>,
}

/// A command as the journal keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandRecord {
    /// As it came.
    pub frame: CommandFrame,
    /// When it came.
    pub received_at: Time,
    /// When its state last changed.
    pub changed_at: Time,
    /// `running` until it is one of the final ones.
    pub state: CommandState,
    /// What came of it.
    pub output: String,
    /// Why it failed.
    pub error: Option<String>,
}

/// A row's place, for its checksum and for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowKey<'a> {
    pub table: &'static str,
    pub key: &'a [u8],
}

impl RowKey<'_> {
    fn damaged(&self, why: impl Into<String>) -> JournalError {
        let key = match <[u8; 8]>::try_from(self.key) {
            Ok(number) if self.table == "events" => u64::from_le_bytes(number).to_string(),
            _ => String::from_utf8_lossy(self.key).into_owned(),
        };
        JournalError::Row { table: self.table, key, why: why.into() }
    }

    fn checksum(&self, version: u8, body: &[u8]) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(self.table.as_bytes());
        sum.update(self.key);
        sum.update(&[version]);
        sum.update(body);
        sum.finalize()
    }

    /// Writes a row of the version that most have.
    fn seal(&self, row: &impl Serialize) -> Result<Vec<u8>, JournalError> {
        self.seal_as(VERSION, row)
    }

    fn seal_as(&self, version: u8, row: &impl Serialize) -> Result<Vec<u8>, JournalError> {
        let mut out = vec![0; HEAD];
        out = postcard::to_extend(row, out).map_err(|error| self.damaged(error.to_string()))?;
        let sum = self.checksum(version, &out[HEAD..]);
        out[0] = version;
        out[1..HEAD].copy_from_slice(&sum.to_le_bytes());
        Ok(out)
    }

    /// Reads a row of the version that most have.
    fn open<'b, T: Deserialize<'b>>(&self, bytes: &'b [u8]) -> Result<T, JournalError> {
        match self.unseal(bytes)? {
            (VERSION, body) => self.body(body),
            (version, _) => Err(JournalError::Newer { table: self.table, version }),
        }
    }

    /// Checks a row and gives its version and its body.
    fn unseal<'b>(&self, bytes: &'b [u8]) -> Result<(u8, &'b [u8]), JournalError> {
        let (Some(head), Some(body)) = (bytes.get(..HEAD), bytes.get(HEAD..)) else {
            return Err(self.damaged("it is too short"));
        };
        if head[1..] != self.checksum(head[0], body).to_le_bytes() {
            return Err(self.damaged("its checksum does not match"));
        }
        Ok((head[0], body))
    }

    fn body<'b, T: Deserialize<'b>>(&self, body: &'b [u8]) -> Result<T, JournalError> {
        postcard::from_bytes(body).map_err(|error| self.damaged(error.to_string()))
    }

    fn json<'b, T: Deserialize<'b>>(&self, text: &'b str) -> Result<T, JournalError> {
        serde_json::from_str(text).map_err(|error| self.damaged(error.to_string()))
    }
}

/// The one row of META.
pub(super) const META_PLACE: RowKey<'static> = RowKey { table: "meta", key: b"state" };

impl MetaRow {
    pub(super) fn encode(&self) -> Result<Vec<u8>, JournalError> {
        META_PLACE.seal_as(META_VERSION, self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        match META_PLACE.unseal(bytes)? {
            (META_VERSION, body) => META_PLACE.body(body),
            (1, body) => {
                let MetaRow1 { incarnation, next_seq, acked, bytes, commits } = META_PLACE.body(body)?;
                Ok(Self { incarnation, next_seq, acked, bytes, commits, epoch: 0 })
            }
            (version, _) => Err(JournalError::Newer { table: META_PLACE.table, version }),
        }
    }
}

impl<'a> EventRow<'a> {
    pub(super) fn encode(&self, seq: u64) -> Result<Vec<u8>, JournalError> {
        RowKey { table: "events", key: &seq.to_le_bytes() }.seal(self)
    }

    pub(super) fn decode(seq: u64, bytes: &'a [u8]) -> Result<Self, JournalError> {
        RowKey { table: "events", key: &seq.to_le_bytes() }.open(bytes)
    }

    /// The word for the wire.
    pub(super) fn event(&self, seq: u64) -> Result<Event, JournalError> {
        let key = seq.to_le_bytes();
        let place = RowKey { table: "events", key: &key };
        Ok(Event {
            seq,
            id: self.id.to_owned(),
            kind: self.kind.to_owned(),
            session_id: self.session_id.map(SessionId::new),
            project: self.project.map(ProjectName::new),
            occurred_at: Time(self.occurred_at),
            data: place.json(self.data)?,
        })
    }
}

impl SessionRecord {
    pub(super) fn encode(&self) -> Result<Vec<u8>, JournalError> {
        let place = RowKey { table: "sessions", key: self.session.id.as_str().as_bytes() };
        let session =
            serde_json::to_string(&self.session).map_err(|error| place.damaged(error.to_string()))?;
        place.seal(&SessionRow { mark: self.mark, session: &session })
    }

    pub(super) fn decode(key: &str, bytes: &[u8]) -> Result<Self, JournalError> {
        let place = RowKey { table: "sessions", key: key.as_bytes() };
        let row: SessionRow<'_> = place.open(bytes)?;
        Ok(Self { session: place.json(row.session)?, mark: row.mark })
    }
}

impl CommandRecord {
    pub(super) fn encode(&self) -> Result<Vec<u8>, JournalError> {
        let place = RowKey { table: "commands", key: self.frame.command_id.as_str().as_bytes() };
        let frame = serde_json::to_string(&self.frame).map_err(|error| place.damaged(error.to_string()))?;
        place.seal(&CommandRow {
            frame: &frame,
            received_at: self.received_at.0,
            changed_at: self.changed_at.0,
            state: self.state.as_str(),
            output: &self.output,
            error: self.error.as_deref(),
        })
    }

    pub(super) fn decode(key: &str, bytes: &[u8]) -> Result<Self, JournalError> {
        let place = RowKey { table: "commands", key: key.as_bytes() };
        let row: CommandRow<'_> = place.open(bytes)?;
        let state = serde_json::from_value(serde_json::Value::String(row.state.to_owned()))
            .map_err(|error| place.damaged(error.to_string()))?;
        Ok(Self {
            frame: place.json(row.frame)?,
            received_at: Time(row.received_at),
            changed_at: Time(row.changed_at),
            state,
            output: row.output.to_owned(),
            error: row.error.map(str::to_owned),
        })
    }
}

/// A lease, or for whom one is needed: JSON.
pub(super) fn seal_lease(name: &str, json: &str) -> Result<Vec<u8>, JournalError> {
    RowKey { table: "leases", key: name.as_bytes() }.seal(&json)
}

pub(super) fn open_lease(name: &str, bytes: &[u8]) -> Result<String, JournalError> {
    RowKey { table: "leases", key: name.as_bytes() }.open::<String>(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use hal_protocol::node::NodeId;

    fn meta() -> MetaRow {
        MetaRow { incarnation: "0199".into(), next_seq: 43, acked: 40, bytes: 9_000, commits: 17, epoch: 5 }
    }

    fn event() -> EventRow<'static> {
        EventRow {
            id: "evt_1",
            kind: "session.status",
            session_id: Some("ses_1"),
            project: Some("shop"),
            occurred_at: 1_795_450_273_000,
            stored_at: 1_795_450_273_001,
            data: r#"{"status":{"type":"busy"}}"#,
        }
    }

    fn session() -> SessionRecord {
        let at = Time(1_795_450_273_000);
        let session = hal_protocol::session::Session::new(
            "ses_1".into(),
            NodeId::new("web-1"),
            ProjectName::new("shop"),
            at,
        );
        SessionRecord { session, mark: Some(7) }
    }

    fn command() -> CommandRecord {
        CommandRecord {
            frame: serde_json::from_value(
                serde_json::json!({"command_id": "cmd_1", "type": "prompt_session",
                "target": {"session_id": "ses_1"}, "args": {"message": "go on"}, "ttl_ms": 5000}),
            )
            .unwrap(),
            received_at: Time(1_795_450_273_000),
            changed_at: Time(1_795_450_274_000),
            state: CommandState::Failed,
            output: String::new(),
            error: Some("no such session".into()),
        }
    }

    /// Bytes as they were once stored: never to be changed.
    fn stored(name: &str) -> Vec<u8> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rows").join(name);
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn bytes_of_every_version_still_load() {
        let bytes = stored("journal-meta.1");
        assert_eq!(MetaRow::decode(&bytes).unwrap(), MetaRow { epoch: 0, ..meta() });
        assert_eq!(MetaRow::decode(&stored("journal-meta.2")).unwrap(), meta());
        let bytes = stored("journal-event.1");
        let read = EventRow::decode(42, &bytes).unwrap().event(42).unwrap();
        assert_eq!(
            (read.seq, read.kind.as_str(), read.data.get()),
            (42, "session.status", r#"{"status":{"type":"busy"}}"#)
        );
        let bytes = stored("journal-session.1");
        assert_eq!(SessionRecord::decode("ses_1", &bytes).unwrap(), session());
        let bytes = stored("journal-command.1");
        assert_eq!(CommandRecord::decode("cmd_1", &bytes).unwrap(), command());
        let lease = r#"{"session":"ses_1","project":"shop","granted":true}"#;
        assert_eq!(open_lease("0199", &stored("journal-lease.1")).unwrap(), lease);
        assert_eq!(seal_lease("0199", lease).unwrap(), stored("journal-lease.1"));
    }

    #[test]
    fn a_damaged_row_is_named_and_never_read() {
        let good = event().encode(42).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(EventRow::decode(42, &bad).is_err(), "byte {at}");
        }
        let elsewhere = EventRow::decode(43, &good).unwrap_err().to_string();
        assert_eq!(elsewhere, "row 43 of events is damaged: its checksum does not match");
    }

    #[test]
    fn a_row_of_the_future_is_refused_with_its_version() {
        let mut bytes = meta().encode().unwrap();
        bytes[0] = 9;
        let sum = META_PLACE.checksum(9, &bytes[HEAD..]);
        bytes[1..HEAD].copy_from_slice(&sum.to_le_bytes());
        assert!(matches!(MetaRow::decode(&bytes), Err(JournalError::Newer { version: 9, .. })));
    }
}
