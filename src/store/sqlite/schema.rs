//! SQLite schema of the mirror: one description of each table, from which all else follows. A new column is one line here.
//!
//! From it follow the SQL that makes the tables, the triggers that note what operators change, and in
//! [`super::sql_row`] how a row is written and read back. Files of an earlier release lack what came since.

use std::collections::BTreeMap;
use std::fmt::Write;

use rusqlite::Connection;

use crate::change::RowKind;

/// Indexes; made last when a mirror is built.
pub const INDEXES_SQL: &str = "
CREATE INDEX IF NOT EXISTS events_by_session ON events (session_id, timestamp);
CREATE INDEX IF NOT EXISTS costs_by_date ON costs (date);
CREATE INDEX IF NOT EXISTS sessions_by_status ON sessions (status);";

/// Written into the head of the file, so that `file` and we know it: \"HALO\".
pub const APPLICATION_ID: i64 = 0x4841_4c4f;

/// The shape's version, in `user_version`.
pub const VERSION: i64 = 4;

/// What is not a row of the store. `_hal_oplog` holds what operators have changed, until the supervisor has taken it
/// over: one row for each row (op I, D) or value (op U). Idempotency keys are no operator's business, but a store that
/// is rebuilt from here must still know them. `_hal_gone` holds nodes and sessions that were deleted here, as the store
/// remembers them should they come back; its second column was `row` until version 3, and has another name since so
/// that releases which do not know the tables of version 4 find that this file is none of theirs: they would leave
/// halts out.
const OWN_SQL: &str = "
CREATE TABLE _hal_meta (key TEXT PRIMARY KEY NOT NULL, value) WITHOUT ROWID;
CREATE TABLE _hal_oplog (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tbl TEXT NOT NULL,
    op TEXT NOT NULL,
    pk NOT NULL,
    col TEXT,
    val
);
CREATE TABLE _hal_keys (key TEXT PRIMARY KEY NOT NULL, command TEXT NOT NULL, meaning TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE _hal_gone (key TEXT PRIMARY KEY NOT NULL, bytes BLOB NOT NULL) WITHOUT ROWID;
CREATE VIEW audit_logs AS SELECT * FROM audit_log;";

/// An identity that nobody has chosen.
const ANY_ID: &str = "TEXT NOT NULL DEFAULT (lower(hex(randomblob(16))))";

/// A time that nobody has told.
const NOW: &str = "TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))";

/// The same where a row that cannot be read has none.
const SOON: &str = "TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))";

/// A word that may be left out.
const WORD: &str = "TEXT NOT NULL DEFAULT ''";

/// What a column holds: how its value is made of a row's fields, and what a new value changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The row's name, its primary key as text.
    Name,
    /// The row's number.
    Number,
    /// Text; nothing is the empty one.
    Text,
    /// Text, or nothing.
    Maybe,
    /// A number of things.
    Count,
    /// A number of things, or nothing.
    MaybeCount,
    /// A time, in milliseconds in the row.
    Moment,
    /// The same, and nothing leaves it as it is.
    MaybeMoment,
    /// The same in microseconds, beside a column with it as text.
    Micros,
    /// A time, as RFC 3339 in the row; nothing: it has none.
    Stamp,
    /// Dollars, millionths of them in the row.
    Dollars,
    /// Dollars, 10^-12 of them in the row.
    ExactDollars,
    /// The sum of a row's five kinds of tokens.
    Tokens,
    /// JSON of a field; nothing: the row does not have it.
    Json,
    /// A session's word for what it does: a new one changes what it does.
    Activity,
    /// A word that is only shown.
    Shown,
    /// When a node was last heard of, which is seldom worth a write to the store.
    Heard,
    /// All fields that have no column, as JSON.
    Extra,
}

/// A column.
#[derive(Debug)]
pub struct Column {
    /// Its name in supervisor.db.
    pub name: &'static str,
    /// The row's field that it shows; empty where it is no single one.
    pub field: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// Its type and its default in SQL.
    sql: &'static str,
    /// The first version that has it, if that is a later one than its table's.
    pub since: i64,
}

/// A table that mirrors one of the store's.
#[derive(Debug)]
pub struct Table {
    /// Whose rows.
    pub kind: RowKind,
    /// Its name in supervisor.db.
    pub name: &'static str,
    /// The first version that has it.
    since: i64,
    /// Its columns; the first one is the key.
    pub columns: &'static [Column],
}

const fn column(name: &'static str, field: &'static str, holds: Holds, sql: &'static str) -> Column {
    Column { name, field, holds, sql, since: 1 }
}

/// A column whose field has the same name.
const fn same(name: &'static str, holds: Holds, sql: &'static str) -> Column {
    column(name, name, holds, sql)
}

const EXTRA: Column = column("extra", "", Holds::Extra, "TEXT");

/// Every table of supervisor.db, in the order in which they are written.
pub static TABLES: [Table; 12] = [
    Table {
        kind: RowKind::Event,
        name: "events",
        since: 1,
        columns: &[
            column("seq", "", Holds::Number, "INTEGER PRIMARY KEY"),
            same("id", Holds::Text, ANY_ID),
            same("session_id", Holds::Text, WORD),
            same("node_id", Holds::Text, WORD),
            same("type", Holds::Text, "TEXT NOT NULL"),
            same("data", Holds::Text, "TEXT NOT NULL DEFAULT '{}'"),
            same("timestamp", Holds::Moment, NOW),
            column("ts_us", "timestamp", Holds::Micros, "INTEGER"),
            same("occurred_at", Holds::MaybeMoment, "TEXT"),
            same("project", Holds::Text, WORD),
            same("node_seq", Holds::Count, "INTEGER NOT NULL DEFAULT 0"),
            EXTRA,
        ],
    },
    Table {
        kind: RowKind::Session,
        name: "sessions",
        since: 1,
        columns: &[
            column("id", "", Holds::Name, "TEXT PRIMARY KEY NOT NULL"),
            same("node_id", Holds::Text, WORD),
            same("project", Holds::Text, WORD),
            same("status", Holds::Activity, "TEXT NOT NULL DEFAULT 'idle'"),
            same("tokens", Holds::Tokens, "INTEGER NOT NULL DEFAULT 0"),
            column("cost", "cost_micros", Holds::Dollars, "REAL"),
            same("started_at", Holds::Moment, NOW),
            column("timestamp", "active_at", Holds::Moment, NOW),
            EXTRA,
        ],
    },
    Table {
        kind: RowKind::Node,
        name: "nodes",
        since: 1,
        columns: &[
            column("id", "", Holds::Name, "TEXT PRIMARY KEY NOT NULL"),
            same("hostname", Holds::Text, WORD),
            same("status", Holds::Shown, "TEXT NOT NULL DEFAULT 'offline'"),
            column("last_heartbeat", "last_heard", Holds::Heard, NOW),
            same("connected_at", Holds::Moment, NOW),
            column("timestamp", "last_heard", Holds::Heard, NOW),
            EXTRA,
        ],
    },
    Table {
        kind: RowKind::Cost,
        name: "costs",
        since: 1,
        columns: &[
            column("id", "", Holds::Name, "TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(16))))"),
            same("provider", Holds::Text, WORD),
            same("model", Holds::Text, WORD),
            same("date", Holds::Text, "TEXT NOT NULL DEFAULT (date('now'))"),
            same("tokens", Holds::Tokens, "INTEGER NOT NULL DEFAULT 0"),
            column("cost_usd", "picos", Holds::ExactDollars, "REAL"),
            same("project", Holds::Text, WORD),
            same("session_id", Holds::Text, WORD),
            same("node_id", Holds::Text, WORD),
            EXTRA,
        ],
    },
    Table {
        kind: RowKind::Audit,
        name: "audit_log",
        since: 1,
        columns: &[
            column("seq", "", Holds::Number, "INTEGER PRIMARY KEY"),
            same("id", Holds::Text, ANY_ID),
            column("timestamp", "at", Holds::Moment, NOW),
            same("actor", Holds::Text, WORD),
            Column { since: 4, ..same("actor_kind", Holds::Text, "TEXT NOT NULL DEFAULT 'program'") },
            Column { since: 4, ..same("credential", Holds::Text, WORD) },
            Column { since: 4, ..same("through", Holds::Text, WORD) },
            same("action", Holds::Text, WORD),
            same("target", Holds::Text, WORD),
            same("args", Holds::Text, "TEXT NOT NULL DEFAULT '{}'"),
            same("result", Holds::Text, WORD),
            same("error", Holds::Maybe, "TEXT"),
            same("duration_ms", Holds::MaybeCount, "INTEGER"),
            column("ip_address", "ip", Holds::Text, WORD),
            EXTRA,
        ],
    },
    Table {
        kind: RowKind::Command,
        name: "commands",
        since: 1,
        columns: &[
            column("id", "", Holds::Name, "TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(16))))"),
            same("session_id", Holds::Maybe, "TEXT"),
            same("node_id", Holds::Text, WORD),
            column("type", "verb", Holds::Text, "TEXT NOT NULL"),
            column("status", "state", Holds::Text, "TEXT NOT NULL DEFAULT 'done'"),
            same("args", Holds::Text, "TEXT NOT NULL DEFAULT '{}'"),
            column("result", "output", Holds::Text, WORD),
            same("idempotency_key", Holds::Maybe, "TEXT"),
            same("created_at", Holds::Moment, NOW),
            same("expires_at", Holds::Moment, NOW),
            column("timestamp", "changed_at", Holds::Moment, NOW),
            EXTRA,
        ],
    },
    Table {
        kind: RowKind::Alert,
        name: "alerts",
        since: 2,
        columns: &[
            column("id", "", Holds::Number, "INTEGER PRIMARY KEY"),
            same("name", Holds::Text, "TEXT NOT NULL"),
            same("about", Holds::Text, WORD),
            same("severity", Holds::Text, "TEXT NOT NULL DEFAULT 'medium'"),
            same("status", Holds::Text, "TEXT NOT NULL DEFAULT 'firing'"),
            same("text", Holds::Text, WORD),
            same("count", Holds::Count, "INTEGER NOT NULL DEFAULT 1"),
            same("started_at", Holds::Moment, NOW),
            column("timestamp", "changed_at", Holds::Moment, NOW),
            same("acknowledged_by", Holds::Text, WORD),
            EXTRA,
        ],
    },
    Table {
        kind: RowKind::Halt,
        name: "halts",
        since: 4,
        columns: &[
            // `*` for everything, or a project.
            column("id", "", Holds::Name, "TEXT PRIMARY KEY NOT NULL"),
            column("halted_by", "by", Holds::Maybe, "TEXT DEFAULT ''"),
            column("halted_at", "at", Holds::Stamp, SOON),
            column("timestamp", "changed_at", Holds::Moment, NOW),
            EXTRA,
        ],
    },
    Table {
        kind: RowKind::Budget,
        name: "budgets",
        since: 4,
        columns: &[
            column("id", "name", Holds::Name, "TEXT PRIMARY KEY NOT NULL"),
            same("scope", Holds::Maybe, "TEXT DEFAULT 'fleet'"),
            column("limit_usd", "limit_micros", Holds::Dollars, "REAL"),
            same("period", Holds::Maybe, "TEXT DEFAULT 'day'"),
            same("at_limit", Holds::Maybe, "TEXT DEFAULT 'pause'"),
            same("warn_percent", Holds::Json, "TEXT DEFAULT '[80]'"),
            column("timestamp", "changed_at", Holds::Moment, NOW),
            EXTRA,
        ],
    },
    Table {
        kind: RowKind::Silence,
        name: "silences",
        since: 4,
        columns: &[
            column("id", "id", Holds::Name, "TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(16))))"),
            same("matches", Holds::Maybe, "TEXT"),
            same("reason", Holds::Maybe, "TEXT DEFAULT ''"),
            column("created_by", "by", Holds::Maybe, "TEXT DEFAULT ''"),
            same("created_at", Holds::Stamp, SOON),
            same("until", Holds::Stamp, "TEXT"),
            column("timestamp", "changed_at", Holds::Moment, NOW),
            EXTRA,
        ],
    },
    Table {
        kind: RowKind::Approval,
        name: "approvals",
        since: 4,
        columns: &[
            column("id", "id", Holds::Name, "TEXT PRIMARY KEY NOT NULL"),
            same("kind", Holds::Maybe, "TEXT"),
            column("status", "state", Holds::Maybe, "TEXT"),
            same("session_id", Holds::Maybe, "TEXT"),
            same("node_id", Holds::Maybe, "TEXT"),
            same("project", Holds::Maybe, "TEXT"),
            same("about", Holds::Maybe, "TEXT"),
            same("what", Holds::Maybe, "TEXT"),
            same("asked_at", Holds::Stamp, "TEXT"),
            same("deadline", Holds::Stamp, "TEXT"),
            same("snoozed_until", Holds::Stamp, "TEXT"),
            same("answer", Holds::Json, "TEXT"),
            column("timestamp", "changed_at", Holds::Moment, NOW),
            EXTRA,
        ],
    },
    Table {
        // What the supervisor keeps for itself beside these, each as JSON under "kind/key".
        kind: RowKind::State,
        name: "state",
        since: 3,
        columns: &[
            column("id", "", Holds::Name, "TEXT PRIMARY KEY NOT NULL"),
            same("data", Holds::Text, "TEXT NOT NULL DEFAULT 'null'"),
            column("timestamp", "changed_at", Holds::Moment, NOW),
            EXTRA,
        ],
    },
];

impl Table {
    /// The table of a kind of rows.
    pub fn of(kind: RowKind) -> &'static Self {
        TABLES.iter().find(|table| table.kind == kind).unwrap_or(&TABLES[0])
    }

    /// The table with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// The column with this name.
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// True when a file has it: one of an earlier day has those of then.
    pub fn is_in(&self, connection: &Connection) -> rusqlite::Result<bool> {
        connection.table_exists(None, self.name)
    }

    /// The column that names a row.
    pub fn key(&self) -> &'static str {
        self.columns[0].name
    }

    /// The values of a line by the names of their columns.
    pub fn named_row(&self, line: Vec<rusqlite::types::Value>) -> Vec<(String, rusqlite::types::Value)> {
        self.columns.iter().map(|column| column.name.to_owned()).zip(line).collect()
    }

    fn make_sql(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("\n    {} {}", column.name, column.sql)).collect();
        format!("CREATE TABLE {} ({}\n);\n", self.name, columns.join(","))
    }

    /// Writes a whole row, in place of one with the same key.
    pub fn put_sql(&self) -> String {
        let places = vec!["?"; self.columns.len()].join(",");
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        format!("INSERT OR REPLACE INTO {} ({}) VALUES ({places})", self.name, names.join(","))
    }

    /// Reads whole rows of a file. Columns that an earlier release did not have hold nothing there.
    pub fn select_sql(&self, connection: &Connection, rest: &str) -> rusqlite::Result<String> {
        let mut there = connection.prepare_cached("SELECT name FROM pragma_table_info(?)")?;
        let there = there.query_map([self.name], |row| row.get::<_, String>(0))?;
        let there = there.collect::<Result<Vec<_>, _>>()?;
        let read = |column: &Column| match there.iter().any(|name| name == column.name) {
            true => column.name.to_owned(),
            false => format!("NULL AS {}", column.name),
        };
        let columns: Vec<String> = self.columns.iter().map(read).collect();
        Ok(format!("SELECT {} FROM {} {rest}", columns.join(","), self.name))
    }

    /// A trigger for rows that come, one for rows that go, one for names that change, one for each value that does.
    fn triggers(&self) -> String {
        let (name, key) = (self.name, self.key());
        let note = |op: &str, of: &str| {
            format!("INSERT INTO _hal_oplog (tbl, op, pk) VALUES ('{name}', '{op}', {of}.{key});")
        };
        let mut sql = format!(
            "CREATE TRIGGER _hal_{name}_i AFTER INSERT ON {name} BEGIN {} END;\n\
             CREATE TRIGGER _hal_{name}_d AFTER DELETE ON {name} BEGIN {} END;\n\
             CREATE TRIGGER _hal_{name}_k AFTER UPDATE OF {key} ON {name} WHEN OLD.{key} IS NOT NEW.{key} \
             BEGIN {} {} END;\n",
            note("I", "NEW"),
            note("D", "OLD"),
            note("D", "OLD"),
            note("I", "NEW"),
        );
        for Column { name: column, .. } in &self.columns[1..] {
            // A row that gets a new name is taken over whole.
            let _ = writeln!(
                sql,
                "CREATE TRIGGER _hal_{name}_u_{column} AFTER UPDATE OF {column} ON {name} \
                 WHEN OLD.{column} IS NOT NEW.{column} AND OLD.{key} IS NEW.{key} BEGIN \
                 INSERT INTO _hal_oplog (tbl, op, pk, col, val) \
                 VALUES ('{name}', 'U', NEW.{key}, '{column}', NEW.{column}); END;"
            );
        }
        sql
    }
}

/// Makes the tables of an empty file.
pub fn make_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    let tables: String = TABLES.iter().map(Table::make_sql).collect();
    connection.execute_batch(&format!("{tables}{OWN_SQL}"))
}

/// Makes indexes and triggers, once the rows are there.
pub fn finish(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(INDEXES_SQL)?;
    let triggers: String = TABLES.iter().map(Table::triggers).collect();
    connection.execute_batch(&triggers)
}

/// Every column of every table.
const COLUMNS: &str = "SELECT t.name || '.' || c.name, '' FROM sqlite_master t, pragma_table_info(t.name) c \
                       WHERE t.type = 'table'";

/// Every trigger.
const TRIGGERS: &str = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'";

/// Which column a file lacks of those that there were when it was made.
pub fn lacks(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let mut later = Vec::new();
    for table in &TABLES {
        if table.since > version {
            later.push(format!("{}.", table.name));
        }
        let new = table.columns.iter().filter(|column| column.since > version);
        later.extend(new.map(|column| format!("{}.{}", table.name, column.name)));
    }
    if version < 4 {
        later.push("_hal_gone.bytes".to_owned());
    }
    differs(connection, &[COLUMNS], &later)
}

/// True when a file is as an earlier release has made it.
pub fn is_earlier(connection: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok((1..VERSION).contains(&version) && lacks(connection)?.is_none())
}

/// What is missing of the tables, columns and triggers of a mirror, or is not as it was made.
pub fn amiss(connection: &Connection) -> rusqlite::Result<Option<String>> {
    differs(connection, &[COLUMNS, TRIGGERS], &[])
}

/// The first name that is not there, or says something else than in a new file; but none that begins as one of `without`.
fn differs(connection: &Connection, of: &[&str], without: &[String]) -> rusqlite::Result<Option<String>> {
    let made = Connection::open_in_memory()?;
    make_tables(&made)?;
    finish(&made)?;
    for sql in of {
        let all = |of: &Connection| -> rusqlite::Result<BTreeMap<String, String>> {
            of.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        let there = all(connection)?;
        let is_other = |(name, sql): &(String, String)| {
            !without.iter().any(|begin| name.starts_with(begin)) && there.get(name) != Some(sql)
        };
        if let Some((name, _)) = all(&made)?.into_iter().find(is_other) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_changes_is_noted_value_by_value() {
        let connection = Connection::open_in_memory().unwrap();
        make_tables(&connection).unwrap();
        finish(&connection).unwrap();
        connection
            .execute_batch(
                "INSERT INTO costs (id, provider) VALUES ('a', 'x');
                 UPDATE costs SET provider = 'y', model = '' WHERE id = 'a';
                 UPDATE costs SET id = 'b', model = 'm' WHERE id = 'a';
                 DELETE FROM costs;",
            )
            .unwrap();
        let mut log =
            connection.prepare("SELECT op || pk || ifnull(col || val, '') FROM _hal_oplog").unwrap();
        let ops = log.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let ops: Vec<String> = ops.collect::<Result<_, _>>().unwrap();
        assert_eq!(ops, ["Ia", "Uaprovidery", "Da", "Ib", "Db"]);
    }
}
