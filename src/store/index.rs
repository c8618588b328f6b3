//! The index of events by session, looked at for what is missing in it and what does not belong there: its entries are
//! names alone, without a checksum, so nothing else shows a bit that has changed in one.

use std::collections::HashMap;
use std::ops::Bound;

use super::reader::Reader;
use super::session::SessionRow;
use super::tables::{EVENTS, EVENTS_BY_SESSION, GONE, SESSIONS};
use super::{StoreError, event, row};

/// A session's number and an event's.
pub type IndexEntry = (u32, u64);

/// The numbers of sessions that were asked for.
type Numbers = HashMap<String, Option<u32>>;

impl Reader<'_> {
    /// Entries that the index should have for the events between two numbers, both included and so many at most, and
    /// has not.
    pub fn unindexed(&self, from: u64, to: u64, most: usize) -> Result<Vec<IndexEntry>, StoreError> {
        let to = to.min(self.meta("index_watermark")?);
        let mut numbers = Numbers::new();
        let mut missing = Vec::new();
        if from > to {
            return Ok(missing);
        }
        let index = self.txn().open_table(EVENTS_BY_SESSION)?;
        for found in self.txn().open_table(EVENTS)?.range(from..=to)?.take(most) {
            let (seq, bytes) = found?;
            // What cannot be read is found by comparing rows.
            let Some(session) = readable(event::session_of(bytes.value(), seq.value()))? else { continue };
            if let Some(Some(no)) = readable(self.number_of(&session, &mut numbers))?
                && index.get((no, seq.value()))?.is_none()
            {
                missing.push((no, seq.value()));
            }
        }
        Ok(missing)
    }

    /// Looks at so many entries after one. Gives the last one it has looked at, `None` at the end, and those that lead to
    /// no event of their session.
    pub fn misindexed(
        &self,
        after: Option<IndexEntry>,
        most: usize,
    ) -> Result<(Option<IndexEntry>, Vec<IndexEntry>), StoreError> {
        let events = self.txn().open_table(EVENTS)?;
        let index = self.txn().open_table(EVENTS_BY_SESSION)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut last, mut wrong, mut numbers) = (after, Vec::new(), Numbers::new());
        for found in index.range::<IndexEntry>((from, Bound::Unbounded))?.take(most) {
            let (no, seq) = found?.0.value();
            // Entries that are out of order are wrong as well, and must not lead in a circle.
            if last.is_some_and(|last| last >= (no, seq)) {
                wrong.push((no, seq));
                continue;
            }
            last = Some((no, seq));
            let session = match events.get(seq)? {
                Some(bytes) => readable(event::session_of(bytes.value(), seq))?,
                None => Some(String::new()),
            };
            let Some(session) = session else { continue };
            if readable(self.number_of(&session, &mut numbers))?.is_some_and(|its| its != Some(no)) {
                wrong.push((no, seq));
            }
        }
        Ok((last.filter(|last| Some(*last) != after), wrong))
    }

    /// A session's number, should an operator have deleted it, too.
    fn number_of(&self, session: &str, known: &mut Numbers) -> Result<Option<u32>, StoreError> {
        if session.is_empty() {
            return Ok(None);
        }
        if let Some(no) = known.get(session) {
            return Ok(*no);
        }
        let read = |table, key: &str| -> Result<Option<u32>, StoreError> {
            let table: redb::ReadOnlyTable<&str, &[u8]> = self.txn().open_table(table)?;
            let bytes = table.get(key)?;
            let row = bytes.map(|bytes| row::open::<SessionRow>(bytes.value(), session)).transpose()?;
            Ok(row.map(|row| row.into_record(session).no))
        };
        let no = match read(SESSIONS, session)? {
            Some(no) => Some(no),
            None => read(GONE, &format!("session\0{session}"))?,
        };
        known.insert(session.to_owned(), no);
        Ok(no)
    }
}

/// `None` for a row that is damaged.
fn readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(StoreError::Damaged { .. }) => Ok(None),
        read => read.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::change::RowKind;
    use crate::hub::Store;
    use crate::session::SessionRecord;
    use crate::sqlite::edit::{Decided, Edit, EditAction};
    use hal_base::clock::Time;
    use hal_protocol::event::{EventView, raw};
    use hal_protocol::session::Session;

    fn event(seq: u64) -> EventView {
        EventView {
            seq,
            id: format!("e{seq}"),
            kind: "x".into(),
            session_id: if seq % 2 == 1 { "odd" } else { "even" }.into(),
            node_id: "n1".into(),
            project: String::new(),
            data: raw(&serde_json::json!({})),
            timestamp: Time(5),
            occurred_at: Time(5),
            node_seq: seq,
        }
    }

    fn record(no: u32, id: &str) -> (String, SessionRecord) {
        let session = Session::new(id.into(), "n1".into(), "p".into(), Time(1));
        (id.to_owned(), SessionRecord { no, session })
    }

    fn wrong(store: &Store) -> (Vec<IndexEntry>, Vec<IndexEntry>) {
        let reader = store.read().unwrap();
        (reader.unindexed(1, u64::MAX, 1000).unwrap(), reader.misindexed(None, 1000).unwrap().1)
    }

    #[test]
    fn what_is_missing_in_the_index_and_what_does_not_belong_there_is_found_and_made_right() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&dir.path().join("s.redb")).unwrap();
        let index = vec![(1, 1), (1, 3), (1, 5), (2, 2), (2, 4), (2, 6)];
        let sessions = [record(1, "odd"), record(2, "even")].into();
        store
            .commit(&Batch { events: (1..=6).map(event).collect(), sessions, index, ..Batch::default() })
            .unwrap();
        assert_eq!(wrong(&store), (vec![], vec![]));
        store
            .transaction(|txn| {
                let mut table = txn.open_table(EVENTS_BY_SESSION)?;
                table.remove((1, 3))?;
                table.insert((2, 5), ())?;
                table.insert((7, 9), ())?;
                Ok(())
            })
            .unwrap();
        let (missing, strange) = wrong(&store);
        assert_eq!((&missing[..], &strange[..]), (&[(1, 3)][..], &[(2, 5), (7, 9)][..]));
        let edit = |(no, seq): IndexEntry| Edit {
            kind: RowKind::Event,
            key: seq.to_string(),
            action: EditAction::Index(no),
        };
        let list = missing.into_iter().chain(strange).map(edit).collect();
        store.commit(&Batch { moved: Decided { list, ..Decided::default() }, ..Batch::default() }).unwrap();
        assert_eq!(wrong(&store), (vec![], vec![]));
        let (last, _) = store.read().unwrap().misindexed(Some((1, 5)), 2).unwrap();
        assert_eq!(last, Some((2, 4)));
        assert_eq!(store.read().unwrap().misindexed(Some((2, 6)), 2).unwrap(), (None, vec![]));
    }
}
