//! One row of the store as one line of the mirror, and back: nothing is lost on the way.
//!
//! A row is taken as its named fields. Those that have a column of their own leave; the rest goes into `extra` as
//! JSON. Backwards, `extra` (or a blank row) is filled with what the columns say. A column that follows from several
//! fields, such as `status`, changes them only when it says something else than they do.

use rusqlite::types::{Value as Cell, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::moment;
use super::schema::Table;
use crate::base::clock::Time;
use crate::base::money;
use crate::protocol::event::EventView;
use crate::protocol::node::NodeId;
use crate::protocol::session::Session;
use crate::store::alert::AlertRow;
use crate::store::audit::AuditRecord;
use crate::store::change::Kind;
use crate::store::command::CommandRow;
use crate::store::cost::CostRecord;
use crate::store::node::{NodeRecord, NodeRow};
use crate::store::session::{SessionRecord, SessionRow};
use crate::store::state::StateRecord;

/// Characters of a wrong value that are shown.
const SHOWN: usize = 60;

/// Columns that are times.
const TIMES: [&str; 7] =
    ["timestamp", "occurred_at", "started_at", "connected_at", "last_heartbeat", "created_at", "expires_at"];

/// More of anything than there is: tokens, dollars.
const TOO_MANY: f64 = 1e18;

/// The values of a line, in the order of its table's columns.
pub type Line = Vec<Cell>;

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
pub fn cells(row: &rusqlite::Row<'_>, table: &Table) -> rusqlite::Result<Line> {
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
pub fn of_event(event: &EventView) -> Line {
    vec![
        whole(event.seq),
        text(&event.id),
        text(&event.session_id),
        text(event.node_id.as_str()),
        text(&event.kind),
        text(event.data.get()),
        Cell::Text(moment::text(event.timestamp)),
        Cell::Integer(event.timestamp.0.saturating_mul(1000)),
        Cell::Text(moment::text(event.occurred_at)),
        text(&event.project),
        whole(event.node_seq),
        Cell::Null,
    ]
}

/// A line of sessions. `known` is the word for what it does, `shown` the same with its node's absence counted in.
pub fn of_session(record: &SessionRecord, known: &str, shown: &str) -> Line {
    let session = &record.session;
    let mut rest = fields(&SessionRow::from(record));
    for column in ["node_id", "project", "started_at", "active_at"] {
        rest.remove(column);
    }
    rest.insert("status".into(), known.into());
    vec![
        text(session.id.as_str()),
        text(session.node_id.as_str()),
        text(session.project.as_str()),
        text(shown),
        whole(session.tokens.total()),
        dollars(session.cost_micros),
        Cell::Text(moment::text(session.started_at)),
        Cell::Text(moment::text(session.active_at)),
        Cell::Text(Value::Object(rest).to_string()),
    ]
}

/// A line of nodes, with its status word and when it was last heard of, which is seldom worth a write to the store.
pub fn of_node(record: &NodeRecord, status: &str, heard: Time) -> Line {
    let mut rest = fields(&NodeRow::from(record));
    for column in ["hostname", "connected_at"] {
        rest.remove(column);
    }
    vec![
        text(record.id.as_str()),
        text(&record.hostname),
        text(status),
        Cell::Text(moment::text(heard)),
        Cell::Text(moment::text(record.connected_at)),
        Cell::Text(moment::text(heard)),
        Cell::Text(Value::Object(rest).to_string()),
    ]
}

/// A line of costs.
pub fn of_cost(key: &str, cost: &CostRecord) -> Line {
    vec![
        text(key),
        text(&cost.provider),
        text(&cost.model),
        text(&cost.date),
        whole(cost.tokens.iter().fold(0, |sum, kind| sum.saturating_add(*kind))),
        exact_dollars(cost.picos),
        text(&cost.project),
        text(&cost.session_id),
        text(&cost.node_id),
        Cell::Text(
            json!({"tokens": cost.tokens, "picos": cost.picos, "estimated": cost.estimated,
                "equivalent": cost.equivalent, "unpriced": cost.unpriced, "unreported": cost.unreported})
            .to_string(),
        ),
    ]
}

/// A line of the audit log.
pub fn of_audit(seq: u64, record: &AuditRecord) -> Line {
    vec![
        whole(seq),
        text(&record.id),
        Cell::Text(moment::text(record.at)),
        text(&record.actor),
        text(&record.action),
        text(&record.target),
        text(&record.args),
        text(&record.result),
        record.error.clone().map_or(Cell::Null, Cell::Text),
        record.duration_ms.map_or(Cell::Null, whole),
        text(&record.ip),
        Cell::Null,
    ]
}

/// A line of alerts.
pub(in crate::store) fn of_alert(id: u64, row: &AlertRow) -> Line {
    let mut rest = fields(row);
    let mut take = |name: &str| rest.remove(name).unwrap_or_default();
    let mut line = vec![whole(id)];
    for name in ["name", "about", "severity", "status", "text"] {
        line.push(take(name).as_str().map_or(Cell::Null, text));
    }
    line.push(whole(take("count").as_u64().unwrap_or_default()));
    for name in ["started_at", "changed_at"] {
        line.push(Cell::Text(moment::text(Time(take(name).as_i64().unwrap_or_default()))));
    }
    line.push(take("acknowledged_by").as_str().map_or(Cell::Null, text));
    line.push(Cell::Text(Value::Object(rest).to_string()));
    line
}

/// A line of what the supervisor keeps for itself.
pub fn of_state(name: &str, record: &StateRecord) -> Line {
    let at = Cell::Text(moment::text(Time(record.changed_at)));
    vec![text(name), text(&record.data), at, Cell::Null]
}

/// A line of commands.
pub(in crate::store) fn of_command(id: &str, row: &CommandRow) -> Line {
    let mut rest = fields(row);
    let mut take = |name: &str| rest.remove(name).unwrap_or_default();
    let mut line = vec![text(id)];
    for name in ["session_id", "node_id", "verb", "state", "args", "output", "idempotency_key"] {
        line.push(take(name).as_str().map_or(Cell::Null, text));
    }
    for name in ["created_at", "expires_at", "changed_at"] {
        line.push(Cell::Text(moment::text(Time(take(name).as_i64().unwrap_or_default()))));
    }
    line.push(Cell::Text(Value::Object(rest).to_string()));
    line
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
    let named = || table.columns.iter().zip(line).skip(1);
    let extra = named().find(|(name, _)| **name == "extra").map(|(_, cell)| cell);
    let rest = extra.map(|cell| set(table.kind, &mut into, "extra", cell)).transpose()?;
    let had_extra = rest.is_some() && !matches!(extra, Some(Cell::Null) | None);
    for (name, cell) in named().filter(|(name, _)| **name != "extra") {
        if had_extra && already_says(table.kind, &into, name, cell) {
            continue;
        }
        set(table.kind, &mut into, name, cell).map_err(|why| format!("{name} {why}"))?;
    }
    forget_status(table.kind, &mut into);
    Ok(into)
}

/// What is wrong with the times among new values, as a sentence. Rows that an older version has stored may hold such
/// times, and come back as they are; nobody may write new ones.
pub fn fault(columns: &Columns) -> Option<String> {
    columns.iter().find_map(|(name, cell)| {
        let at = match (name.as_str(), cell) {
            ("ts_us", Cell::Integer(micros)) => Time(micros.div_euclid(1000)),
            (name, Cell::Text(said)) if TIMES.contains(&name) => moment::parse(said)?,
            _ => return None,
        };
        let said = cell_text(cell).unwrap_or_default();
        (!at.is_in_calendar()).then(|| {
            let said = short(&said);
            format!(
                "{name} is {said:?}, which no calendar holds: expected a time such as 2026-01-31 12:00:00"
            )
        })
    })
}

/// Puts changed columns into the fields of a row.
pub fn change(kind: Kind, into: &mut Fields, columns: &Columns) -> Result<(), String> {
    for (name, cell) in columns {
        set(kind, into, name, cell).map_err(|why| format!("{name} {why}"))?;
    }
    forget_status(kind, into);
    Ok(())
}

/// Sessions and nodes are only shown with a status: it follows from the rest.
fn forget_status(kind: Kind, fields: &mut Fields) {
    if kind != Kind::Alert {
        fields.remove("status");
    }
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
            .map_err(|error| format!("data is no JSON: {error}"))?,
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
fn blank(kind: Kind) -> Fields {
    match kind {
        Kind::Node => fields(&NodeRow::from(&NodeRecord::new("".into()))),
        Kind::Session => fields(&SessionRow::from(&SessionRecord {
            no: 0,
            session: Session::new("".into(), "".into(), "".into(), Time(0)),
        })),
        Kind::Cost => fields(&CostRecord::default()),
        Kind::Audit => fields(&AuditRecord::default()),
        Kind::Command => fields(&json!({"project": "", "actor": "", "error": null})),
        Kind::Alert => fields(&AlertRow::default()),
        Kind::State => fields(&StateRecord::default()),
        Kind::Event | Kind::Key | Kind::Gone => Fields::new(),
    }
}

/// True when a column that follows from several fields says what they say.
fn already_says(kind: Kind, fields: &Fields, column: &str, cell: &Cell) -> bool {
    match (kind, column) {
        (Kind::Session, "status") => {
            let word = cell_text(cell).unwrap_or_default();
            word == "unreachable" || fields.get("status").and_then(Value::as_str) == Some(&word)
        }
        (Kind::Session | Kind::Cost, "tokens") => {
            let kinds = fields.get("tokens").and_then(Value::as_array).into_iter().flatten();
            let sum = kinds.fold(0, |sum: u64, kind| sum.saturating_add(kind.as_u64().unwrap_or(0)));
            *cell == whole(sum)
        }
        (Kind::Session, "cost") => *cell == dollars(fields.get("cost_micros").and_then(Value::as_u64)),
        (Kind::Cost, "cost_usd") => {
            let picos = fields.get("picos").and_then(Value::as_u64);
            // As it was written, or as an older version wrote the same money.
            *cell == exact_dollars(picos) || *cell == dollars(picos.map(money::micros))
        }
        (Kind::Node, "last_heartbeat" | "timestamp") => true,
        _ => false,
    }
}

/// Puts one column into the fields of a row.
fn set(kind: Kind, into: &mut Fields, column: &str, cell: &Cell) -> Result<(), String> {
    let (field, value) = match (kind, column) {
        (_, "extra") => return set_extra(into, cell),
        (Kind::Session, "status") => return set_status(into, &cell_text(cell)?),
        (Kind::Node, "status") => return Ok(()),
        (Kind::Node, "last_heartbeat" | "timestamp") => ("last_heard", moment_of(cell)?),
        (Kind::Session | Kind::Cost, "tokens") => ("tokens", json!([whole_of(cell)?, 0, 0, 0, 0])),
        (Kind::Session, "cost") => ("cost_micros", micros_of(cell)?),
        (Kind::Cost, "cost_usd") => ("picos", picos_of(cell)?),
        (Kind::Session, "timestamp") => ("active_at", moment_of(cell)?),
        (Kind::Command | Kind::Alert | Kind::State, "timestamp") => ("changed_at", moment_of(cell)?),
        (Kind::Alert, "count") => (column, whole_of(cell)?.into()),
        (Kind::Audit, "timestamp") => ("at", moment_of(cell)?),
        (Kind::Event, "ts_us") => match cell {
            Cell::Integer(micros) if !into.contains_key("timestamp") => {
                ("timestamp", micros.div_euclid(1000).into())
            }
            _ => return Ok(()),
        },
        (Kind::Event, "occurred_at") if *cell == Cell::Null => return Ok(()),
        (_, "timestamp" | "occurred_at" | "started_at" | "connected_at" | "created_at" | "expires_at") => {
            (column, moment_of(cell)?)
        }
        (Kind::Event, "node_seq") => (column, whole_of(cell)?.into()),
        (Kind::Audit, "duration_ms") if *cell == Cell::Null => (column, Value::Null),
        (Kind::Audit, "duration_ms") => (column, whole_of(cell)?.into()),
        (Kind::Audit, "ip_address") => ("ip", cell_text(cell)?.into()),
        (Kind::Audit, "error") | (Kind::Command, "session_id" | "idempotency_key") => match cell {
            Cell::Null => (column, Value::Null),
            cell => (column, cell_text(cell)?.into()),
        },
        (Kind::Command, "type") => ("verb", cell_text(cell)?.into()),
        (Kind::Command, "status") => ("state", cell_text(cell)?.into()),
        (Kind::Command, "result") => ("output", cell_text(cell)?.into()),
        _ => (column, cell_text(cell)?.into()),
    };
    into.insert(field.to_owned(), value);
    Ok(())
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
        _ => Err("is no JSON object".into()),
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

fn moment_of(cell: &Cell) -> Result<Value, String> {
    let said = cell_text(cell)?;
    moment::parse(&said)
        .map(|at| at.0.into())
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
        _ => Err("is no number of things: expected 0 or more".into()),
    }
}

fn micros_of(cell: &Cell) -> Result<Value, String> {
    match cell {
        Cell::Null => Ok(Value::Null),
        Cell::Integer(dollars) if *dollars >= 0 => Ok(dollars.saturating_mul(1_000_000).into()),
        Cell::Real(dollars) if (0.0..TOO_MANY).contains(&(dollars * 1e6)) => {
            Ok(((dollars * 1e6).round() as u64).into())
        }
        _ => Err("is no amount of dollars".into()),
    }
}

fn picos_of(cell: &Cell) -> Result<Value, String> {
    match cell {
        Cell::Null => Ok(Value::Null),
        Cell::Integer(dollars) if *dollars >= 0 => Ok(money::picos(*dollars as f64).into()),
        Cell::Real(dollars) if money::picos(*dollars).is_some() => Ok(money::picos(*dollars).into()),
        _ => Err("is no amount of dollars".into()),
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
    use crate::protocol::session::{Activity, Ask, AskKind, Retry, Tokens};

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
            let fields = read(Table::of(Kind::Session), &line).unwrap();
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
        let fields = read(Table::of(Kind::Session), &line).unwrap();
        let back = row::<SessionRow>(fields).unwrap().into_record("s").session;
        assert_eq!((back.tokens.total(), back.cost_micros), (5, Some(1_250_000)));
        assert!(matches!(back.activity, Activity::Ended(_)) && back.asks.is_empty());
        line[3] = Cell::Text("dancing".into());
        assert!(read(Table::of(Kind::Session), &line).unwrap_err().contains("expected idle"));
    }
}
