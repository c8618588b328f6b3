//! What can be asked of the journal. Every answer comes from one transaction of its own and waits for no writer.

use redb::{ReadableTable, TableError};

use super::row::{self, EventRow};
use super::{
    COMMANDS, CommandRecord, EVENTS, Journal, JournalError, LEASES, META, META_KEY, MetaRow, SESSIONS,
    SessionRecord, Span,
};
use hal_protocol::command::CommandId;
use hal_protocol::event::Event;

fn failed(error: impl Into<redb::Error>) -> JournalError {
    JournalError::store("read", error)
}

impl Journal {
    /// Which numbers it holds.
    pub fn span(&self) -> Result<Span, JournalError> {
        let handle = self.handle();
        let transaction = self.begin_read(&handle)?;
        let events = transaction.open_table(EVENTS).map_err(failed)?;
        let meta = transaction.open_table(META).map_err(failed)?;
        let meta = meta.get(META_KEY).map_err(failed)?;
        let meta = meta.map(|row| MetaRow::decode(row.value())).transpose()?;
        let first = events.first().map_err(failed)?.map_or(0, |(seq, _)| seq.value());
        Ok(meta.map_or_else(Span::default, |meta| Span {
            incarnation: meta.incarnation,
            first,
            last: meta.next_seq - 1,
            epoch: meta.epoch,
        }))
    }

    /// Whether something was marked as done once; see [`super::Change::Mark`].
    pub fn is_marked(&self, name: &str) -> Result<bool, JournalError> {
        let handle = self.handle();
        let transaction = self.begin_read(&handle)?;
        let table = match transaction.open_table(META) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(false),
            table => table.map_err(failed)?,
        };
        Ok(table.get(name).map_err(failed)?.is_some())
    }

    /// What was lent to this node and was not given back, and for whom it is needed, by name, as JSON. A row that cannot
    /// be read is empty: that something was lent is all that matters then.
    pub fn leases(&self) -> Result<Vec<(String, String)>, JournalError> {
        let handle = self.handle();
        let transaction = self.begin_read(&handle)?;
        let table = match transaction.open_table(LEASES) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table.map_err(failed)?,
        };
        let entries = table.iter().map_err(failed)?.map(|entry| {
            let (name, bytes) = entry.map_err(failed)?;
            let json = row::open_lease(name.value(), bytes.value()).unwrap_or_default();
            Ok((name.value().to_owned(), json))
        });
        entries.collect()
    }

    /// The events that follow number `seq`, without holes, at most `most` of them and `most_bytes` bytes of stored
    /// rows (but always one, when there is one). A damaged one ends the batch before it; when it would be the first
    /// the answer is [`JournalError::Event`].
    pub fn batch_after(&self, seq: u64, most: usize, most_bytes: usize) -> Result<Vec<Event>, JournalError> {
        let handle = self.handle();
        let transaction = self.begin_read(&handle)?;
        let table = transaction.open_table(EVENTS).map_err(failed)?;
        let mut out: Vec<Event> = Vec::new();
        let mut bytes = 0;
        for entry in table.range(seq.saturating_add(1)..).map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let number = key.value();
            bytes += value.value().len();
            let hole = out.last().is_some_and(|last| last.seq + 1 != number);
            if hole || out.len() >= most || (bytes > most_bytes && !out.is_empty()) {
                break;
            }
            match EventRow::decode(number, value.value()).and_then(|row| row.event(number)) {
                Ok(event) => out.push(event),
                Err(_) if !out.is_empty() => break,
                Err(source) => return Err(JournalError::Event { seq: number, source: Box::new(source) }),
            }
        }
        Ok(out)
    }

    /// Every session.
    pub fn sessions(&self) -> Result<Vec<SessionRecord>, JournalError> {
        let handle = self.handle();
        let transaction = self.begin_read(&handle)?;
        let table = match transaction.open_table(SESSIONS) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table.map_err(failed)?,
        };
        let mut out = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            out.push(SessionRecord::decode(key.value(), value.value())?);
        }
        Ok(out)
    }

    /// A command, when it was ever received.
    pub fn command(&self, id: &CommandId) -> Result<Option<CommandRecord>, JournalError> {
        let handle = self.handle();
        let transaction = self.begin_read(&handle)?;
        let table = transaction.open_table(COMMANDS).map_err(failed)?;
        let row = table.get(id.as_str()).map_err(failed)?;
        row.map(|row| CommandRecord::decode(id.as_str(), row.value())).transpose()
    }

    /// The commands that were received and have no result, oldest first.
    pub fn open_commands(&self) -> Result<Vec<CommandRecord>, JournalError> {
        let handle = self.handle();
        let transaction = self.begin_read(&handle)?;
        let table = transaction.open_table(COMMANDS).map_err(failed)?;
        let mut out = Vec::new();
        for entry in table.iter().map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let record = CommandRecord::decode(key.value(), value.value())?;
            if !record.state.is_final() {
                out.push(record);
            }
        }
        out.sort_by_key(|record| record.received_at);
        Ok(out)
    }
}
