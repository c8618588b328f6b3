//! Rows of the mirror: turns a row of the store into one of SQLite, and back; nothing is lost on the way.
//!
//! A row is taken as its named fields. Those that have a column of their own leave; the rest goes into `extra` as
//! JSON. Backwards, `extra` (or a blank row) is filled with what the columns say. A column that follows from several
//! fields, such as `status`, changes them only when it says something else than they do. What each column holds is
//! said in [`super::schema`].

use rusqlite::types::{Value as Cell, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::schema::{Column, Holds, Table};
use super::timestamp;
use crate::alert::AlertRow;
use crate::audit::AuditRecord;
use crate::change::RowKind;
use crate::cost::CostRecord;
use crate::node::{NodeRecord, NodeRow};
use crate::session::{SessionRecord, SessionRow};
use crate::state::StateRecord;
use hal_base::clock::Time;
use hal_base::money;
use hal_protocol::event::EventView;
use hal_protocol::node::NodeId;
use hal_protocol::session::Session;

/// Characters of a wrong value that are shown.
const SHOWN: usize = 60;

/// More of anything than there is: tokens, dollars.
const TOO_MANY: f64 = 1e18;

/// The field that holds the JSON of a kept row that has no columns, since it cannot be read.
const UNREAD: &str = "unread";

/// The values of a line, in the order of its table's columns.
pub type SqlRow = Vec<Cell>;

/// A row's fields by name.
pub type Fields = Map<String, Value>;

/// Columns and their new values.
pub type Columns = [(String, Cell)];

/// A value of a line. SQLite does not see to it that text is text: what is not is taken as the bytes it is.
pub fn cell(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Cell> {
    Ok(match row.get_ref(at)? {
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => Cell::Blob(bytes.to_owned()),
        },
        _ => row.get(at)?,
    })
}

/// Bytes of a value, about.
pub fn size(cell: &Cell) -> usize {
    match cell {
        Cell::Text(text) => text.len(),
        Cell::Blob(bytes) => bytes.len(),
        Cell::Null | Cell::Integer(_) | Cell::Real(_) => 8,
    }
}

/// A whole line of a table.
pub fn cells(row: &rusqlite::Row<'_>, table: &Table) -> rusqlite::Result<SqlRow> {
    (0..table.columns.len()).map(|at| cell(row, at)).collect()
}

/// The name of a row, from the first cell of its line; `None`: no row of ours has such a one.
pub fn key(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(text.clone()),
        Cell::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A line of events.
pub fn of_event(event: &EventView) -> SqlRow {
    vec![
        whole(event.seq),
        text(&event.id),
        text(&event.session_id),
        text(event.node_id.as_str()),
        text(&event.kind),
        text(event.data.get()),
        Cell::Text(timestamp::text(event.timestamp)),
        Cell::Integer(event.timestamp.0.saturating_mul(1000)),
        Cell::Text(timestamp::text(event.occurred_at)),
        text(&event.project),
        whole(event.node_seq),
        Cell::Null,
    ]
}

/// A line of a row of which every column is a field.
pub fn of(kind: RowKind, key: &str, row: &impl Serialize) -> SqlRow {
    of_fields(kind, key, fields(row), &[])
}

/// A line of sessions. `known` is the word for what it does, `shown` the same with its node's absence counted in.
pub fn of_session(record: &SessionRecord, known: &str, shown: &str) -> SqlRow {
    let mut row = fields(&SessionRow::from(record));
    row.insert("status".into(), known.into());
    of_fields(RowKind::Session, record.session.id.as_str(), row, &[("status", text(shown))])
}

/// A line of nodes, with its status word and when it was last heard of, which is seldom worth a write to the store.
pub fn of_node(record: &NodeRecord, status: &str, heard: Time) -> SqlRow {
    let heard = Cell::Text(timestamp::text(heard));
    let shown = [("status", text(status)), ("last_heartbeat", heard.clone()), ("timestamp", heard)];
    of_fields(RowKind::Node, record.id.as_str(), fields(&NodeRow::from(record)), &shown)
}

/// A line of what the supervisor keeps for itself.
pub fn of_state(kind: RowKind, key: &str, record: &StateRecord) -> SqlRow {
    of_fields(kind, key, state_fields(kind, record), &[])
}

/// A line: some cells are given, each other one takes its field away, and the rest of the fields is `extra`.
fn of_fields(kind: RowKind, key: &str, mut rest: Fields, given: &[(&str, Cell)]) -> SqlRow {
    let cell = |column: &Column| {
        let given = given.iter().find(|(name, _)| *name == column.name);
        given.map_or_else(|| cell_of(column, key, &mut rest), |(_, cell)| cell.clone())
    };
    Table::of(kind).columns.iter().map(cell).collect()
}

/// What a column shows. The last one shows what the others have left.
fn cell_of(column: &Column, key: &str, rest: &mut Fields) -> Cell {
    let said = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let field = column.field;
    match column.holds {
        Holds::Name => {
            if said(rest.get(field)).as_deref() == Some(key) {
                rest.remove(field);
            }
            text(key)
        }
        Holds::Number => Cell::Integer(key.parse().unwrap_or_default()),
        Holds::Text | Holds::Maybe => said(rest.remove(field).as_ref()).map_or(Cell::Null, Cell::Text),
        Holds::Count | Holds::MaybeCount => {
            rest.remove(field).and_then(|count| count.as_u64()).map_or(Cell::Null, whole)
        }
        Holds::Moment | Holds::MaybeMoment => {
            let at = rest.remove(field).and_then(|at| at.as_i64()).unwrap_or_default();
            Cell::Text(timestamp::text(Time(at)))
        }
        Holds::Stamp => said(rest.remove(field).as_ref())
            .map_or(Cell::Null, |said| Cell::Text(Time::parse(&said).map_or(said, timestamp::text))),
        Holds::Json => rest.remove(field).map_or(Cell::Null, |value| Cell::Text(value.to_string())),
        // What is kept exactly stays among the rest.
        Holds::Dollars => dollars(rest.get(field).and_then(Value::as_u64)),
        Holds::ExactDollars => exact_dollars(rest.get(field).and_then(Value::as_u64)),
        Holds::Tokens => whole(sum(rest.get(field))),
        Holds::Micros | Holds::Activity | Holds::Shown | Holds::Heard => Cell::Null,
        Holds::Extra if rest.is_empty() => Cell::Null,
        Holds::Extra => Cell::Text(Value::Object(std::mem::take(rest)).to_string()),
    }
}

/// The fields of what the supervisor keeps for itself. Rows of tables with columns have those of what they say.
pub fn state_fields(kind: RowKind, record: &StateRecord) -> Fields {
    if kind == RowKind::State {
        return fields(record);
    }
    let mut said = match serde_json::from_str(&record.data) {
        Ok(Value::Object(said)) if !said.contains_key(UNREAD) => said,
        _ => Fields::from_iter([(UNREAD.to_owned(), record.data.clone().into())]),
    };
    said.insert("changed_at".into(), record.changed_at.into());
    said
}

/// What the supervisor keeps for itself, from its fields.
pub fn state(kind: RowKind, mut said: Fields) -> Result<StateRecord, String> {
    if kind == RowKind::State {
        return row(said);
    }
    let changed_at = said.remove("changed_at").and_then(|at| at.as_i64()).unwrap_or_default();
    let data = match said.remove(UNREAD) {
        Some(Value::String(data)) => data,
        _ => {
            said.retain(|_, value| !value.is_null());
            Value::Object(said).to_string()
        }
    };
    Ok(StateRecord { data, changed_at })
}

/// The fields of a row.
pub fn fields(row: &impl Serialize) -> Fields {
    match serde_json::to_value(row) {
        Ok(Value::Object(fields)) => fields,
        _ => Fields::new(),
    }
}

/// The fields that a whole line of a table says.
pub fn read(table: &Table, line: &[Cell]) -> Result<Fields, String> {
    let mut into = blank(table.kind);
    let cells = || table.columns.iter().zip(line);
    let extra = cells().find(|(column, _)| column.holds == Holds::Extra).map(|(_, cell)| cell);
    extra.map(|cell| set_extra(&mut into, cell)).transpose()?;
    let had_extra = !matches!(extra, Some(Cell::Null) | None);
    for (column, cell) in cells().filter(|(column, _)| column.holds != Holds::Extra) {
        // A file of an earlier release does not have it.
        let is_absent = column.since > 1 && *cell == Cell::Null;
        if is_absent || (had_extra && already_says(column, &into, cell)) {
            continue;
        }
        set(column, &mut into, cell)?;
    }
    forget_words(table, &mut into);
    Ok(into)
}

/// What is wrong with the times among new values, as a sentence. Rows that an older version has stored may hold such
/// times, and come back as they are; nobody may write new ones.
pub fn fault(kind: RowKind, columns: &Columns) -> Option<String> {
    columns.iter().find_map(|(name, cell)| {
        let at = match (Table::of(kind).column(name)?.holds, cell) {
            (Holds::Micros, Cell::Integer(micros)) => Time(micros.div_euclid(1000)),
            (Holds::Moment | Holds::MaybeMoment | Holds::Heard | Holds::Stamp, Cell::Text(said)) => {
                timestamp::parse(said)?
            }
            _ => return None,
        };
        let said = cell_text(cell).unwrap_or_default();
        (!at.is_in_calendar()).then(|| {
            let said = short(&said);
            format!("{name} is {said:?}, which is not a date: expected a time such as 2026-01-31 12:00:00")
        })
    })
}

/// Puts changed columns into the fields of a row.
pub fn change(kind: RowKind, into: &mut Fields, columns: &Columns) -> Result<(), String> {
    let table = Table::of(kind);
    for (name, cell) in columns {
        let column = table.column(name).ok_or_else(|| format!("{} has no column {name}", table.name))?;
        set(column, into, cell)?;
    }
    forget_words(table, into);
    Ok(())
}

/// Sessions and nodes are only shown with a status: it follows from the rest.
fn forget_words(table: &Table, fields: &mut Fields) {
    let shown = table.columns.iter().filter(|column| matches!(column.holds, Holds::Activity | Holds::Shown));
    shown.for_each(|column| drop(fields.remove(column.name)));
}

/// A row from its fields.
pub fn row<R: DeserializeOwned>(fields: Fields) -> Result<R, String> {
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

/// An event from its number and its fields.
pub fn event(seq: u64, mut fields: Fields) -> Result<EventView, String> {
    let mut word = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (id, kind, session_id, node_id) = (word("id"), word("type"), word("session_id"), word("node_id"));
    let (project, data) = (word("project"), word("data"));
    let number = |name: &str| fields.get(name).and_then(Value::as_i64);
    let timestamp = Time(number("timestamp").ok_or("it has no timestamp")?);
    Ok(EventView {
        seq,
        id,
        kind,
        session_id,
        node_id: NodeId::new(node_id),
        project,
        data: serde_json::value::RawValue::from_string(data)
            .map_err(|error| format!("data is not JSON: {error}"))?,
        timestamp,
        occurred_at: number("occurred_at").map_or(timestamp, Time),
        node_seq: fields.get("node_seq").and_then(Value::as_u64).unwrap_or(0),
    })
}

/// The fields of an event.
pub fn event_fields(event: &EventView) -> Fields {
    let fields = json!({
        "id": event.id, "type": event.kind, "session_id": event.session_id, "node_id": event.node_id,
        "project": event.project, "data": event.data.get(), "timestamp": event.timestamp.0,
        "occurred_at": event.occurred_at.0, "node_seq": event.node_seq,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}

/// What a row is before anything is said of it.
fn blank(kind: RowKind) -> Fields {
    match kind {
        RowKind::Node => fields(&NodeRow::from(&NodeRecord::new("".into()))),
        RowKind::Session => fields(&SessionRow::from(&SessionRecord {
            no: 0,
            session: Session::new("".into(), "".into(), "".into(), Time(0)),
        })),
        RowKind::Cost => fields(&CostRecord::default()),
        RowKind::Audit => fields(&AuditRecord::default()),
        RowKind::Command => fields(&json!({"project": "", "actor": "", "error": null})),
        RowKind::Alert => fields(&AlertRow::default()),
        RowKind::State => fields(&StateRecord::default()),
        RowKind::Event | RowKind::Key | RowKind::Gone => Fields::new(),
        RowKind::Halt | RowKind::Budget | RowKind::Silence | RowKind::Approval => Fields::new(),
    }
}

/// True when a column that follows from several fields says what they say.
fn already_says(column: &Column, fields: &Fields, cell: &Cell) -> bool {
    let number = fields.get(column.field).and_then(Value::as_u64);
    match column.holds {
        Holds::Activity => {
            let word = cell_text(cell).unwrap_or_default();
            word == "unreachable" || fields.get("status").and_then(Value::as_str) == Some(&word)
        }
        Holds::Tokens => *cell == whole(sum(fields.get(column.field))),
        Holds::Dollars => *cell == dollars(number),
        // As it was written, or as an older version wrote the same money.
        Holds::ExactDollars => *cell == exact_dollars(number) || *cell == dollars(number.map(money::micros)),
        Holds::Heard => true,
        _ => false,
    }
}

/// Puts one column into the fields of a row.
fn set(column: &Column, into: &mut Fields, cell: &Cell) -> Result<(), String> {
    let wrong = |why: String| format!("{} {why}", column.name);
    let value = match column.holds {
        Holds::Extra => return set_extra(into, cell).map_err(wrong),
        Holds::Activity => return set_status(into, &cell_text(cell)?).map_err(wrong),
        Holds::Number | Holds::Shown => return Ok(()),
        Holds::Name if column.field.is_empty() || into.contains_key(column.field) => return Ok(()),
        Holds::Micros if into.contains_key(column.field) => return Ok(()),
        Holds::MaybeMoment if *cell == Cell::Null => return Ok(()),
        Holds::Stamp | Holds::Json if *cell == Cell::Null => {
            into.remove(column.field);
            return Ok(());
        }
        Holds::Maybe | Holds::MaybeCount if *cell == Cell::Null => Ok(Value::Null),
        Holds::Name | Holds::Text | Holds::Maybe => cell_text(cell).map(Value::from),
        Holds::Count | Holds::MaybeCount => whole_of(cell).map(Value::from),
        Holds::Moment | Holds::MaybeMoment | Holds::Heard => timestamp_of(cell).map(|at| at.0.into()),
        Holds::Stamp => timestamp_of(cell).map(|at| at.to_string().into()),
        Holds::Micros => match cell {
            Cell::Integer(micros) => Ok(micros.div_euclid(1000).into()),
            _ => return Ok(()),
        },
        Holds::Json => cell_text(cell).and_then(|said| {
            serde_json::from_str(&said).map_err(|_| format!("is {:?}: expected JSON", short(&said)))
        }),
        Holds::Dollars => micros_of(cell),
        Holds::ExactDollars => picos_of(cell),
        Holds::Tokens => whole_of(cell).map(|sum| json!([sum, 0, 0, 0, 0])),
    };
    into.insert(column.field.to_owned(), value.map_err(wrong)?);
    Ok(())
}

/// All kinds of tokens together.
fn sum(tokens: Option<&Value>) -> u64 {
    let kinds = tokens.and_then(Value::as_array).into_iter().flatten();
    kinds.fold(0, |sum: u64, kind| sum.saturating_add(kind.as_u64().unwrap_or(0)))
}

fn set_extra(into: &mut Fields, cell: &Cell) -> Result<(), String> {
    if *cell == Cell::Null {
        return Ok(());
    }
    match serde_json::from_str(&cell_text(cell)?) {
        Ok(Value::Object(rest)) => {
            into.extend(rest);
            Ok(())
        }
        _ => Err("is not a JSON object".into()),
    }
}

/// Status follows from what a session does; where an operator says another word, it does that.
fn set_status(into: &mut Fields, word: &str) -> Result<(), String> {
    let activity = match word {
        "idle" | "error" => "Idle".into(),
        "running" => "Busy".into(),
        "ended" => json!({"Ended": "ended by an operator"}),
        other => {
            return Err(format!(
                "is {:?}: that follows from what happens; expected idle, running, error or ended",
                short(other)
            ));
        }
    };
    let error = if word == "error" { "said by an operator".into() } else { Value::Null };
    into.insert("activity".into(), activity);
    into.insert("error".into(), error);
    into.insert("asks".into(), json!([]));
    Ok(())
}

fn timestamp_of(cell: &Cell) -> Result<Time, String> {
    let said = cell_text(cell)?;
    timestamp::parse(&said)
        .ok_or_else(|| format!("is {:?}: expected a time such as 2026-01-31 12:00:00", short(&said)))
}

/// As much of what an operator has written as an error should show.
fn short(said: &str) -> &str {
    said.char_indices().nth(SHOWN).map_or(said, |(end, _)| &said[..end])
}

fn whole_of(cell: &Cell) -> Result<u64, String> {
    match cell {
        Cell::Integer(number) if *number >= 0 => Ok(number.cast_unsigned()),
        Cell::Real(number) if (0.0..TOO_MANY).contains(number) && number.fract() == 0.0 => Ok(*number as u64),
        _ => Err("is not a count: expected a whole number of at least 0".into()),
    }
}

fn micros_of(cell: &Cell) -> Result<Value, String> {
    match cell {
        Cell::Null => Ok(Value::Null),
        Cell::Integer(dollars) if *dollars >= 0 => Ok(dollars.saturating_mul(1_000_000).into()),
        Cell::Real(dollars) if (0.0..TOO_MANY).contains(&(dollars * 1e6)) => {
            Ok(((dollars * 1e6).round() as u64).into())
        }
        _ => Err("is not an amount of dollars".into()),
    }
}

fn picos_of(cell: &Cell) -> Result<Value, String> {
    match cell {
        Cell::Null => Ok(Value::Null),
        Cell::Integer(dollars) if *dollars >= 0 => Ok(money::picos(*dollars as f64).into()),
        Cell::Real(dollars) if money::picos(*dollars).is_some() => Ok(money::picos(*dollars).into()),
        _ => Err("is not an amount of dollars".into()),
    }
}

fn cell_text(cell: &Cell) -> Result<String, String> {
    match cell {
        Cell::Text(text) => Ok(text.clone()),
        Cell::Integer(number) => Ok(number.to_string()),
        Cell::Real(number) => Ok(number.to_string()),
        Cell::Null => Ok(String::new()),
        Cell::Blob(_) => Err("is a blob: expected text".into()),
    }
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// SQLite's numbers have a sign; none of ours comes near it.
fn whole(number: u64) -> Cell {
    Cell::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Dollars of a ledger that counts in smaller parts than millionths.
fn exact_dollars(picos: Option<u64>) -> Cell {
    picos.map_or(Cell::Null, |picos| Cell::Real(picos as f64 / money::DOLLAR as f64))
}

fn dollars(micros: Option<u64>) -> Cell {
    micros.map_or(Cell::Null, |micros| Cell::Real(micros as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_protocol::session::{Activity, Ask, AskKind, Retry, Tokens};

    fn session() -> SessionRecord {
        let mut session = Session::new("s\u{0}1".into(), "n".into(), "p".into(), Time(1_795_450_273_001));
        session.activity =
            Activity::Retry(Retry { attempt: 3, message: "\"quoted\"".into(), next: Time(-1) });
        session.asks.push(Ask {
            id: "a".into(),
            kind: AskKind::Question,
            what: "why?".into(),
            about: "bash".into(),
            since: Time(i64::MAX),
        });
        session.tokens = Tokens { input: u64::MAX, output: 1, ..Tokens::default() };
        session.cost_micros = Some(123_456_789_012_345_677);
        SessionRecord { no: 7, session }
    }

    #[test]
    fn a_session_comes_back_as_it_was_whatever_its_node_does() {
        for shown in ["retrying", "unreachable"] {
            let line = of_session(&session(), "retrying", shown);
            let fields = read(Table::of(RowKind::Session), &line).unwrap();
            let back = row::<SessionRow>(fields).unwrap().into_record(session().session.id.as_str());
            assert_eq!(back, session());
        }
    }

    #[test]
    fn what_an_operator_says_in_a_column_counts_more_than_what_follows_from_the_rest() {
        let mut line = of_session(&session(), "retrying", "retrying");
        line[3] = Cell::Text("ended".into());
        line[4] = Cell::Integer(5);
        line[5] = Cell::Real(1.25);
        let fields = read(Table::of(RowKind::Session), &line).unwrap();
        let back = row::<SessionRow>(fields).unwrap().into_record("s").session;
        assert_eq!((back.tokens.total(), back.cost_micros), (5, Some(1_250_000)));
        assert!(matches!(back.activity, Activity::Ended(_)) && back.asks.is_empty());
        line[3] = Cell::Text("dancing".into());
        assert!(read(Table::of(RowKind::Session), &line).unwrap_err().contains("expected idle"));
    }
}
