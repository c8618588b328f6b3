//! What an operator changed with SQL, carried out on the store in the hub's transaction, and audited there.

use std::collections::HashMap;

use redb::ReadableTable;

pub use super::edit_audit::Outcome;
use super::edit_audit::{EditAudit, Moved};
use super::schema::Table;
use super::sql_row::{self, Columns, Fields};
use crate::alert::AlertRow;
use crate::audit::{self, AuditRecord};
use crate::change::RowKind;
use crate::command::CommandRow;
use crate::cost::CostRecord;
use crate::kept::{self, Kept};
use crate::log::record::{NameSet, NamedTable, NumberedTable};
use crate::node::{NodeRecord, NodeRow};
use crate::recorder::Recorder;
use crate::row;
use crate::session::{SessionRecord, SessionRow};
use crate::tables::{EVENTS, META};
use crate::{StoreError, event};
use hal_base::clock::Time;
use hal_protocol::alert::Alert;
use hal_protocol::command::Command;
use hal_protocol::event::EventView;
use hal_protocol::who::Who;
use hal_rules::audit::Account;

/// What an operator is told who changes the audit log.
const RECORD: &str =
    "is a record of what was done, and stays as it is; retention.audit says how long it is kept";

/// Who is named in the audit log.
pub const OPERATOR: &str = "operator via supervisor.db";

/// One row's change.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The table of the row.
    pub kind: RowKind,
    /// The row's primary key, as text.
    pub key: String,
    /// What became of it.
    pub action: EditAction,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum EditAction {
    /// It was deleted.
    Drop,
    /// It was inserted, as it stands now.
    Put(Vec<(String, rusqlite::types::Value)>),
    /// An event or an audit record was inserted under a number that may be taken: it gets the next one.
    Add(Vec<(String, rusqlite::types::Value)>),
    /// The entry of this event in the index, under this number of a session, is looked at again.
    Index(u32),
    /// Some of its values were changed.
    Set(Vec<(String, rusqlite::types::Value)>),
}

impl EditAction {
    fn word(&self) -> &'static str {
        match self {
            Self::Drop => "delete",
            Self::Put(_) | Self::Add(_) => "insert",
            Self::Set(_) => "update",
            Self::Index(_) => "index",
        }
    }
}

/// What an operator changed in one go.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// The changes, oldest first.
    pub list: Vec<Edit>,
    /// The number of the last one in the mirror's own list: none of them is carried out twice.
    pub done: u64,
}

/// Edits that the hub has decided on, for its transaction.
#[derive(Debug, Default)]
pub struct Decided {
    /// Still to be carried out on rows that only the store holds.
    pub list: Vec<Edit>,
    /// Rows to remove: nodes and sessions.
    pub gone: Vec<(RowKind, String)>,
    /// Under what names of the mirror events were inserted that have other numbers here.
    pub renumbered: Vec<String>,
    /// For the audit log: what was done to which row, or why not.
    pub done: Vec<Outcome>,
    /// The number of the last one in the mirror's own list; 0 when they do not come from there.
    pub upto: u64,
    /// When it was decided.
    pub at: Time,
    /// By whom, when not by an operator with SQL.
    pub by: Option<&'static str>,
}

impl Decided {
    /// A node or a session has come back since it was deleted, in the same transaction.
    pub fn is_back(&mut self, kind: RowKind, key: &str) {
        self.gone.retain(|(of, gone)| *of != kind || gone != key);
    }

    /// True when there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.upto == 0 && self.list.is_empty() && self.gone.is_empty()
    }
}

impl Edit {
    /// What came of it.
    pub fn outcome(&self, result: Result<(), String>) -> Outcome {
        Outcome { kind: self.kind, key: self.key.clone(), word: self.action.word(), refused: result.err() }
    }

    /// Why its values make no sense whatever the row is, if they do not: a time that no calendar holds.
    pub fn fault(&self) -> Option<String> {
        match &self.action {
            EditAction::Put(columns) | EditAction::Add(columns) | EditAction::Set(columns) => {
                sql_row::fault(self.kind, columns)
            }
            EditAction::Drop | EditAction::Index(_) => None,
        }
    }

    /// The node as it is after this edit; `None` when it is gone.
    pub fn of_node(&self, known: Option<&NodeRecord>) -> Result<Option<NodeRecord>, String> {
        let Some(fields) = self.fields(known.map(|node| sql_row::fields(&NodeRow::from(node))))? else {
            return Ok(None);
        };
        let mut node = sql_row::row::<NodeRow>(fields)?.into_record(&self.key);
        if let Some(known) = known {
            // Where a node's events stand is between it and the supervisor.
            let NodeRecord { hostname, version, address, projects, connected_at, last_heard, .. } = node;
            node = NodeRecord {
                hostname,
                version,
                address,
                projects,
                connected_at,
                last_heard,
                ..known.clone()
            };
        }
        Ok(Some(node))
    }

    /// The session as it is after this edit, with this number in the index; `None` when it is gone.
    pub fn of_session(
        &self,
        known: Option<&SessionRecord>,
        no: u32,
    ) -> Result<Option<SessionRecord>, String> {
        let Some(fields) = self.fields(known.map(|session| sql_row::fields(&SessionRow::from(session))))?
        else {
            return Ok(None);
        };
        let mut record = sql_row::row::<SessionRow>(fields)?.into_record(&self.key);
        record.no = no;
        Ok(Some(record))
    }

    /// An open command as it is after this edit; `None` when it is gone.
    pub fn of_command(&self, known: &Command) -> Result<Option<Command>, String> {
        let Some(fields) = self.fields(Some(sql_row::fields(&CommandRow::from(known))))? else {
            return Ok(None);
        };
        let row = sql_row::row::<CommandRow>(fields)?;
        row.into_command(&self.key).map(Some).map_err(|error| error.to_string())
    }

    /// An alert as it is after this edit; `None` when it is gone.
    pub fn of_alert(&self, known: Option<&Alert>) -> Result<Option<Alert>, String> {
        let id = self.key.parse().map_err(|_| "its number is not valid".to_owned())?;
        let Some(fields) = self.fields(known.map(|alert| sql_row::fields(&AlertRow::from(alert))))? else {
            return Ok(None);
        };
        let row = sql_row::row::<AlertRow>(fields)?;
        row.into_alert(id).map(Some).map_err(|error| error.to_string())
    }

    /// What is kept after this edit, under its name; `None` when it is gone.
    pub fn of_state(&self, known: Option<&Kept>) -> Result<Option<(String, Kept)>, String> {
        let known = known.map(|kept| sql_row::state_fields(self.kind, &kept.record()));
        let Some(fields) = self.fields(known)? else { return Ok(None) };
        let record = sql_row::state(self.kind, fields)?;
        let name = kept::name_in(self.kind, &self.key, &record);
        let kept = Kept::read(&name, record);
        kept.check()?;
        Ok(Some((name, kept)))
    }

    /// A new event under this number.
    pub fn of_event(&self, seq: u64) -> Result<EventView, String> {
        sql_row::event(seq, self.fields(None)?.unwrap_or_default())
    }

    /// The row's fields after this edit, from those before it; `None` when it is gone.
    fn fields(&self, known: Option<Fields>) -> Result<Option<Fields>, String> {
        match (&self.action, known) {
            (EditAction::Drop, _) => Ok(None),
            (EditAction::Index(_), known) => Ok(known),
            (EditAction::Put(columns) | EditAction::Add(columns), _) => {
                sql_row::read(Table::of(self.kind), &whole(columns)).map(Some)
            }
            (EditAction::Set(_), None) => Ok(None),
            (EditAction::Set(columns), Some(mut fields)) => {
                changed(self.kind, &mut fields, columns)?;
                Ok(Some(fields))
            }
        }
    }
}

fn changed(kind: RowKind, fields: &mut Fields, columns: &Columns) -> Result<(), String> {
    sql_row::change(kind, fields, columns)
}

fn whole(columns: &Columns) -> Vec<rusqlite::types::Value> {
    columns.iter().map(|(_, cell)| cell.clone()).collect()
}

/// Carries out what is decided; gives what the audit log has to say of it.
pub(crate) fn write(
    recorder: &Recorder<'_>,
    decided: &Decided,
    account: &mut Account,
) -> Result<Vec<AuditRecord>, StoreError> {
    if decided.is_empty() {
        return Ok(Vec::new());
    }
    let mut told = EditAudit::default();
    for (kind, key) in &decided.gone {
        let (table, word) = match kind {
            RowKind::Node => (NamedTable::Nodes, "node"),
            _ => (NamedTable::Sessions, "session"),
        };
        let bytes = stored(recorder, table, key)?;
        if bytes.is_some() {
            recorder.named(NamedTable::Gone, &format!("{word}\0{key}"), bytes)?;
        }
        recorder.named(table, key, None)?;
    }
    let mut events = Events { recorder, numbers: HashMap::new(), is_touched: false, added: 0 };
    for edit in &decided.list {
        let result = match edit.kind {
            RowKind::Event => events.edit(edit)?,
            RowKind::Audit => audit(recorder, edit, decided.by)?.map(|moved| told.moved.add(moved)),
            _ => other(recorder, edit)?,
        };
        if result.is_err() {
            recorder.look(edit.kind, edit.key.clone());
        }
        told.add(&edit.outcome(result));
    }
    events.finish()?;
    // What was refused, or got another number, must not stay in the mirror as it is.
    let refused = decided.done.iter().map(|outcome| (outcome.kind, &outcome.key));
    for (kind, key) in refused.chain(decided.renumbered.iter().map(|key| (RowKind::Event, key))) {
        recorder.look(kind, key.clone());
    }
    decided.done.iter().for_each(|outcome| told.add(outcome));
    if decided.upto > 0 {
        recorder.number("mirror_oplog", decided.upto)?;
    }
    let who = decided.by.map_or_else(|| Who::with_sql(OPERATOR), Who::itself);
    Ok(told.records(&who, account, decided.at))
}

fn stored(recorder: &Recorder<'_>, table: NamedTable, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let table = recorder.txn().open_table(table.table())?;
    Ok(table.get(key)?.map(|bytes| bytes.value().to_vec()))
}

fn stored_at(recorder: &Recorder<'_>, table: NumberedTable, key: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let table = recorder.txn().open_table(table.table())?;
    Ok(table.get(key)?.map(|bytes| bytes.value().to_vec()))
}

fn number(recorder: &Recorder<'_>, key: &str) -> Result<u64, StoreError> {
    Ok(recorder.txn().open_table(META)?.get(key)?.map_or(0, |value| value.value()))
}

/// Edits rows of costs and commands.
fn other(recorder: &Recorder<'_>, edit: &Edit) -> Result<Result<(), String>, StoreError> {
    recorder.look(edit.kind, edit.key.clone());
    match edit.kind {
        RowKind::Cost => {
            let key = edit.key.as_str();
            let known = stored(recorder, NamedTable::Costs, key)?;
            let known = known.map(|bytes| row::open::<CostRecord>(&bytes, key));
            let fields = readable(edit, known)?.map(|row| sql_row::fields(&row));
            match fields_after(edit, fields, sql_row::row::<CostRecord>) {
                Ok(fresh) => {
                    recorder.named(NamedTable::Costs, key, fresh.map(|row| row::seal(&row, key))).map(Ok)
                }
                Err(why) => Ok(Err(why)),
            }
        }
        _ => command(recorder, edit),
    }
}

/// Removes an audit record that is old enough, or puts back one that had left; gives what of the chain came or went.
/// Nobody else writes there: what a person has changed in supervisor.db is a record, and never another past.
fn audit(
    recorder: &Recorder<'_>,
    edit: &Edit,
    by: Option<&str>,
) -> Result<Result<Option<Moved>, String>, StoreError> {
    recorder.look(edit.kind, edit.key.clone());
    let Ok(seq) = edit.key.parse::<u64>() else { return Ok(Err("its number is not valid".into())) };
    if by.is_none() {
        return Ok(Err(RECORD.into()));
    }
    let known = stored_at(recorder, NumberedTable::Audit, seq)?;
    let was_there = known.is_some();
    let known = known.map(|bytes| audit::open(&bytes, seq));
    let gone = known.as_ref().and_then(|known| known.as_ref().ok()).cloned();
    let fields = readable(edit, known)?.map(|row| sql_row::fields(&row));
    match fields_after(edit, fields, sql_row::row::<AuditRecord>) {
        Ok(fresh) => {
            let moved = match &fresh {
                Some(record) if !was_there => Some(Moved::Back(record.clone())),
                Some(_) => None,
                None => gone.map(Moved::Gone),
            };
            let bytes = fresh.map(|record| audit::seal(&record, seq));
            recorder.numbered(NumberedTable::Audit, seq, bytes).map(|()| Ok(moved))
        }
        Err(why) => Ok(Err(why)),
    }
}

fn command(recorder: &Recorder<'_>, edit: &Edit) -> Result<Result<(), String>, StoreError> {
    let key = edit.key.as_str();
    let known = stored(recorder, NamedTable::Commands, key)?;
    let known = known.map(|bytes| row::open::<CommandRow>(&bytes, key));
    let known = readable(edit, known)?;
    let fresh = fields_after(edit, known.as_ref().map(sql_row::fields), |fields| {
        let row = sql_row::row::<CommandRow>(fields)?;
        row.clone().into_command(key).map_err(|error| error.to_string())?;
        if known.is_none() && !row.has_ended() {
            return Err("has not ended: it would never be carried out; request it with halctl".into());
        }
        Ok(row)
    });
    match fresh {
        Ok(fresh) => {
            if fresh.as_ref().is_none_or(CommandRow::has_ended) {
                recorder.member(NameSet::OpenCommands, key, false)?;
            }
            recorder.named(NamedTable::Commands, key, fresh.map(|row| row::seal(&row, key))).map(Ok)
        }
        Err(why) => Ok(Err(why)),
    }
}

/// What is there now. A whole row takes its place, damaged or not.
fn readable<R>(edit: &Edit, known: Option<Result<R, StoreError>>) -> Result<Option<R>, StoreError> {
    match edit.action {
        EditAction::Put(_) => Ok(known.and_then(Result::ok)),
        _ => known.transpose(),
    }
}

fn fields_after<R>(
    edit: &Edit,
    known: Option<Fields>,
    read: impl FnOnce(Fields) -> Result<R, String>,
) -> Result<Option<R>, String> {
    edit.fields(known)?.map(read).transpose()
}

/// Edits of events: the row, its place in the index by session, and whether numbers are still in the order of time.
struct Events<'r, 't> {
    recorder: &'r Recorder<'t>,
    numbers: HashMap<String, Option<u32>>,
    is_touched: bool,
    /// The highest number given to an event that was inserted.
    added: u64,
}

impl Events<'_, '_> {
    fn edit(&mut self, edit: &Edit) -> Result<Result<(), String>, StoreError> {
        let Ok(seq) = edit.key.parse::<u64>() else { return Ok(Err("its number is not valid".into())) };
        if let EditAction::Index(no) = edit.action {
            return self.look_again(no, seq).map(Ok);
        }
        self.is_touched = true;
        let known = stored_at(self.recorder, NumberedTable::Events, seq)?;
        let known = known.map(|bytes| event::view(&bytes, seq));
        let known = readable(edit, known)?;
        let fields = known.as_ref().map(sql_row::event_fields);
        let fresh = match edit.fields(fields) {
            Ok(None) => None,
            Ok(Some(fields)) => match sql_row::event(seq, fields) {
                Ok(event) => Some(event),
                Err(why) => return Ok(Err(why)),
            },
            Err(why) => return Ok(Err(why)),
        };
        self.recorder.numbered(NumberedTable::Events, seq, fresh.as_ref().map(event::seal))?;
        if fresh.is_some() {
            self.added = self.added.max(seq);
        }
        let session = |event: &Option<EventView>| event.as_ref().map(|event| event.session_id.clone());
        if session(&known) != session(&fresh) {
            self.index(session(&known), seq, false)?;
            self.index(session(&fresh), seq, true)?;
        }
        let moved =
            fresh.as_ref().filter(|fresh| known.is_none_or(|known| known.timestamp != fresh.timestamp));
        if let Some(event) = moved {
            self.check_order(event)?;
        }
        Ok(Ok(()))
    }

    /// Makes an entry of the index what the event says, which is read here: it may have changed since somebody looked.
    fn look_again(&mut self, no: u32, seq: u64) -> Result<(), StoreError> {
        let bytes = stored_at(self.recorder, NumberedTable::Events, seq)?;
        let session = bytes.map(|bytes| event::session_of(&bytes, seq)).transpose()?;
        self.recorder.indexed(no, seq, false)?;
        self.index(session, seq, true)
    }

    /// Enters an event into the index by session, or takes it out.
    fn index(&mut self, session: Option<String>, seq: u64, enter: bool) -> Result<(), StoreError> {
        let Some(session) = session.filter(|session| !session.is_empty()) else { return Ok(()) };
        let no = match self.numbers.get(&session) {
            Some(no) => *no,
            None => {
                // A session that was deleted comes back with its number, should its node speak of it again.
                let no = match self.number(NamedTable::Sessions, &session, &session)? {
                    Some(no) => Some(no),
                    None => self.number(NamedTable::Gone, &format!("session\0{session}"), &session)?,
                };
                *self.numbers.entry(session).or_insert(no)
            }
        };
        no.map_or(Ok(()), |no| self.recorder.indexed(no, seq, enter))
    }

    fn number(&self, table: NamedTable, key: &str, session: &str) -> Result<Option<u32>, StoreError> {
        let bytes = stored(self.recorder, table, key)?;
        let row = bytes.map(|bytes| row::open::<SessionRow>(&bytes, session)).transpose()?;
        Ok(row.map(|row| row.into_record(session).no))
    }

    /// Once an operator has moved an event in time, times are no longer found by halving.
    fn check_order(&self, event: &EventView) -> Result<(), StoreError> {
        let (before, after) = {
            let table = self.recorder.txn().open_table(EVENTS)?;
            let before = table.range(..event.seq)?.next_back().transpose()?;
            let after = table.range(event.seq + 1..)?.next().transpose()?;
            let time = |entry: Option<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>)>| {
                entry.map(|(seq, bytes)| event::view(bytes.value(), seq.value()).map(|view| view.timestamp))
            };
            (time(before).transpose()?, time(after).transpose()?)
        };
        let is_early = before.is_some_and(|before| before > event.timestamp);
        let is_late = after.is_some_and(|after| after < event.timestamp);
        // What comes next will have the time of then.
        let last = number(self.recorder, "last_time")?;
        if is_early || is_late || (last > 0 && event.timestamp.0 > last.cast_signed()) {
            self.recorder.number("disordered", 1)?;
        }
        Ok(())
    }

    /// The index is whole up to the last event now: the hub has merged its tail in this transaction.
    fn finish(self) -> Result<(), StoreError> {
        if !self.is_touched {
            return Ok(());
        }
        let last = number(self.recorder, "last_seq")?.max(self.added);
        self.recorder.number("last_seq", last)?;
        self.recorder.number("index_watermark", last)
    }
}
