//! One event, by its number or its identity.

use redb::ReadableTable;

use super::StoreError;
use super::event;
use super::reader::Reader;
use super::tables::EVENTS;
use hal_protocol::event::EventView;

/// Events that are looked through for an identity, newest first: there is no index of identities, and a person asks for
/// what has just happened.
const MOST_LOOKED: usize = 200_000;

impl Reader<'_> {
    /// The event of this number or this identity.
    pub fn event_called(&self, word: &str) -> Result<Option<EventView>, StoreError> {
        let table = self.txn().open_table(EVENTS)?;
        if let Ok(seq) = word.parse::<u64>() {
            return table.get(seq)?.map(|bytes| event::view(bytes.value(), seq)).transpose();
        }
        for entry in table.iter()?.rev().take(MOST_LOOKED) {
            let (seq, bytes) = entry?;
            if event::id_of(bytes.value(), seq.value())? == word {
                return event::view(bytes.value(), seq.value()).map(Some);
            }
        }
        Ok(None)
    }
}
