//! What a store held when it was opened: what the supervisor keeps in memory from then on.

use std::collections::{BTreeMap, BTreeSet};

use redb::ReadableTable;

use super::kept::Kept;
use super::node::{NodeRecord, NodeRow};
use super::reader::Reader;
use super::session::{SessionRecord, SessionRow};
use super::tables::{EVENTS, GONE, NAME, NODES, SESSIONS};
use super::tail::Tail;
use super::{StoreError, event, row};
use hal_base::clock::Time;
use hal_protocol::alert::Alert;
use hal_protocol::command::Command;

/// What a store held when it was opened.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The store's name: 32 hexadecimal digits. Another store has another name.
    pub store_id: String,
    /// The last sequence number given to an event; 0 when none was.
    pub last_seq: u64,
    /// When that event was stored.
    pub last_time: Time,
    /// Every node.
    pub nodes: Vec<NodeRecord>,
    /// Every session.
    pub sessions: Vec<SessionRecord>,
    /// Nodes that an operator has deleted.
    pub gone_nodes: Vec<NodeRecord>,
    /// Sessions that an operator has deleted, and their numbers.
    pub gone_sessions: Vec<(String, u32)>,
    /// Alerts, oldest first.
    pub alerts: Vec<Alert>,
    /// What the supervisor keeps for itself.
    pub state: Vec<(String, Kept)>,
    /// Commands that have not ended, oldest first.
    pub open_commands: Vec<Command>,
    /// Nodes of which events came back from a store that was set aside.
    pub returned_nodes: BTreeSet<String>,
    /// Index entries that were not merged yet.
    pub tail: Tail,
}

/// Nodes that operators have deleted, and sessions with their numbers.
type Gone = (Vec<NodeRecord>, Vec<(String, u32)>);

/// Reads all of that.
pub fn load(reader: &Reader<'_>) -> Result<Loaded, StoreError> {
    let sessions = reader.sessions()?;
    let bounds = reader.event_bounds()?;
    let gone = reader.gone()?;
    let last_seq = reader.meta("last_seq")?.max(bounds.map_or(0, |(_, last)| last));
    let last_time = Time(i64::try_from(reader.meta("last_time")?).unwrap_or_default());
    Ok(Loaded {
        store_id: reader.store_id()?,
        last_seq,
        last_time,
        nodes: reader.nodes()?,
        alerts: reader.alerts()?,
        state: reader.state()?,
        gone_nodes: gone.0,
        gone_sessions: gone.1,
        returned_nodes: reader.returned_nodes()?,
        tail: reader.unmerged(&sessions)?,
        sessions,
        open_commands: reader.open_commands()?,
    })
}

impl Reader<'_> {
    /// The store's id, made when the store was made; both files have it.
    pub fn store_id(&self) -> Result<String, StoreError> {
        let name = self.txn().open_table(NAME)?;
        let id = name.get("store_id")?.map(|bytes| String::from_utf8_lossy(bytes.value()).into_owned());
        id.ok_or_else(|| row::damaged("name", &"store_id", "it is missing"))
    }

    fn nodes(&self) -> Result<Vec<NodeRecord>, StoreError> {
        let table = self.txn().open_table(NODES)?;
        let entries = table.iter()?.map(|entry| {
            let (key, bytes) = entry?;
            Ok(row::open::<NodeRow>(bytes.value(), key.value())?.into_record(key.value()))
        });
        entries.collect()
    }

    fn sessions(&self) -> Result<Vec<SessionRecord>, StoreError> {
        let table = self.txn().open_table(SESSIONS)?;
        let entries = table.iter()?.map(|entry| {
            let (key, bytes) = entry?;
            Ok(row::open::<SessionRow>(bytes.value(), key.value())?.into_record(key.value()))
        });
        entries.collect()
    }

    /// What operators have deleted: nodes, and sessions with their numbers.
    fn gone(&self) -> Result<Gone, StoreError> {
        let (mut nodes, mut sessions) = (Vec::new(), Vec::new());
        for entry in self.txn().open_table(GONE)?.iter()? {
            let (key, bytes) = entry?;
            match key.value().split_once('\0') {
                Some(("node", id)) => nodes.push(row::open::<NodeRow>(bytes.value(), id)?.into_record(id)),
                Some((_, id)) => {
                    let record = row::open::<SessionRow>(bytes.value(), id)?.into_record(id);
                    sessions.push((id.to_owned(), record.no));
                }
                None => {}
            }
        }
        Ok((nodes, sessions))
    }

    /// Finds the index entries again that a crash kept from being merged: those of events after the watermark.
    fn unmerged(&self, sessions: &[SessionRecord]) -> Result<Tail, StoreError> {
        let numbers: BTreeMap<&str, u32> =
            sessions.iter().map(|record| (record.session.id.as_str(), record.no)).collect();
        let table = self.txn().open_table(EVENTS)?;
        let mut tail = Tail::default();
        for entry in table.range(self.index_watermark()? + 1..)? {
            let (seq, bytes) = entry?;
            let session = event::session_of(bytes.value(), seq.value())?;
            if let Some(no) = numbers.get(session.as_str()) {
                tail.push(*no, seq.value());
            }
        }
        Ok(tail)
    }
}
