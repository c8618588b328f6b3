//! The shape of the mirror: its tables and columns, and the triggers that note what operators change.

use std::collections::BTreeMap;
use std::fmt::Write;

use rusqlite::Connection;

use crate::store::change::Kind;

/// Tables and views. The columns below are the same, in the same order: a test holds them together.
const TABLES_SQL: &str = include_str!("../../../assets/mirror.sql");

/// Indexes; made last when a mirror is built.
pub const INDEXES_SQL: &str = "
CREATE INDEX IF NOT EXISTS events_by_session ON events (session_id, timestamp);
CREATE INDEX IF NOT EXISTS costs_by_date ON costs (date);
CREATE INDEX IF NOT EXISTS sessions_by_status ON sessions (status);";

/// Written into the head of the file, so that `file` and we know it: \"HALO\".
pub const APPLICATION_ID: i64 = 0x4841_4c4f;

/// The shape's version, in `user_version`.
pub const VERSION: i64 = 3;

/// A table that mirrors one of the store's.
#[derive(Debug)]
pub struct Table {
    /// Whose rows.
    pub kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// Its columns; the first one is the key.
    pub columns: &'static [&'static str],
}

/// All of them.
pub const TABLES: [Table; 8] = [
    Table {
        kind: Kind::Event,
        name: "events",
        columns: &[
            "seq",
            "id",
            "session_id",
            "node_id",
            "type",
            "data",
            "timestamp",
            "ts_us",
            "occurred_at",
            "project",
            "node_seq",
            "extra",
        ],
    },
    Table {
        kind: Kind::Session,
        name: "sessions",
        columns: &[
            "id",
            "node_id",
            "project",
            "status",
            "tokens",
            "cost",
            "started_at",
            "timestamp",
            "extra",
        ],
    },
    Table {
        kind: Kind::Node,
        name: "nodes",
        columns: &["id", "hostname", "status", "last_heartbeat", "connected_at", "timestamp", "extra"],
    },
    Table {
        kind: Kind::Cost,
        name: "costs",
        columns: &[
            "id",
            "provider",
            "model",
            "date",
            "tokens",
            "cost_usd",
            "project",
            "session_id",
            "node_id",
            "extra",
        ],
    },
    Table {
        kind: Kind::Audit,
        name: "audit_log",
        columns: &[
            "seq",
            "id",
            "timestamp",
            "actor",
            "action",
            "target",
            "args",
            "result",
            "error",
            "duration_ms",
            "ip_address",
            "extra",
        ],
    },
    Table {
        kind: Kind::Command,
        name: "commands",
        columns: &[
            "id",
            "session_id",
            "node_id",
            "type",
            "status",
            "args",
            "result",
            "idempotency_key",
            "created_at",
            "expires_at",
            "timestamp",
            "extra",
        ],
    },
    Table {
        kind: Kind::Alert,
        name: "alerts",
        columns: &[
            "id",
            "name",
            "about",
            "severity",
            "status",
            "text",
            "count",
            "started_at",
            "timestamp",
            "acknowledged_by",
            "extra",
        ],
    },
    Table { kind: Kind::State, name: "state", columns: &["id", "data", "timestamp", "extra"] },
];

impl Table {
    /// The table of a kind of rows.
    pub fn of(kind: Kind) -> &'static Self {
        TABLES.iter().find(|table| table.kind == kind).unwrap_or(&TABLES[0])
    }

    /// The table with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// The first version that has it.
    fn since(&self) -> i64 {
        match self.kind {
            Kind::State => 3,
            Kind::Alert => 2,
            _ => 1,
        }
    }

    /// True when a file has it: one of an earlier day has those of then.
    pub fn is_in(&self, connection: &Connection) -> rusqlite::Result<bool> {
        connection.query_row(
            "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?",
            [self.name],
            |row| Ok(row.get::<_, i64>(0)? > 0),
        )
    }

    /// The column that names a row.
    pub fn key(&self) -> &'static str {
        self.columns[0]
    }

    /// Writes a whole row, in place of one with the same key.
    pub fn put_sql(&self) -> String {
        let places = vec!["?"; self.columns.len()].join(",");
        format!("INSERT OR REPLACE INTO {} ({}) VALUES ({places})", self.name, self.columns.join(","))
    }

    /// Reads whole rows.
    pub fn select_sql(&self, rest: &str) -> String {
        format!("SELECT {} FROM {} {rest}", self.columns.join(","), self.name)
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
        for column in &self.columns[1..] {
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
    connection.execute_batch(TABLES_SQL)
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
    let later = TABLES.iter().filter(|table| table.since() > version);
    differs(connection, &[COLUMNS], &later.map(|table| format!("{}.", table.name)).collect::<Vec<_>>())
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
    fn the_columns_in_sql_are_the_columns_in_code() {
        let connection = Connection::open_in_memory().unwrap();
        make_tables(&connection).unwrap();
        finish(&connection).unwrap();
        for table in &TABLES {
            let mut info = connection.prepare(&format!("PRAGMA table_info({})", table.name)).unwrap();
            let names = info.query_map([], |row| row.get::<_, String>(1)).unwrap();
            let names: Vec<String> = names.collect::<Result<_, _>>().unwrap();
            assert_eq!(names, table.columns);
        }
    }

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
