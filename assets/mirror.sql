-- The tables of supervisor.db, as operators query them. Times are UTC text, comparable with datetime('now', ...).
-- The supervisor keeps them in step with its store, in both directions. `extra` holds what has no column.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    session_id TEXT NOT NULL DEFAULT '',
    node_id TEXT NOT NULL DEFAULT '',
    type TEXT NOT NULL,
    data TEXT NOT NULL DEFAULT '{}',
    timestamp TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    ts_us INTEGER,
    occurred_at TEXT,
    project TEXT NOT NULL DEFAULT '',
    node_seq INTEGER NOT NULL DEFAULT 0,
    extra TEXT
);
CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    node_id TEXT NOT NULL DEFAULT '',
    project TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'idle',
    tokens INTEGER NOT NULL DEFAULT 0,
    cost REAL,
    started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    timestamp TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    extra TEXT
);
CREATE TABLE nodes (
    id TEXT PRIMARY KEY NOT NULL,
    hostname TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'offline',
    last_heartbeat TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    connected_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    timestamp TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    extra TEXT
);
CREATE TABLE costs (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    provider TEXT NOT NULL DEFAULT '',
    model TEXT NOT NULL DEFAULT '',
    date TEXT NOT NULL DEFAULT (date('now')),
    tokens INTEGER NOT NULL DEFAULT 0,
    cost_usd REAL,
    project TEXT NOT NULL DEFAULT '',
    session_id TEXT NOT NULL DEFAULT '',
    node_id TEXT NOT NULL DEFAULT '',
    extra TEXT
);
CREATE TABLE audit_log (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    timestamp TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    actor TEXT NOT NULL DEFAULT '',
    action TEXT NOT NULL DEFAULT '',
    target TEXT NOT NULL DEFAULT '',
    args TEXT NOT NULL DEFAULT '{}',
    result TEXT NOT NULL DEFAULT '',
    error TEXT,
    duration_ms INTEGER,
    ip_address TEXT NOT NULL DEFAULT '',
    extra TEXT
);
CREATE TABLE commands (
    id TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    session_id TEXT,
    node_id TEXT NOT NULL DEFAULT '',
    type TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'done',
    args TEXT NOT NULL DEFAULT '{}',
    result TEXT NOT NULL DEFAULT '',
    idempotency_key TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    expires_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    timestamp TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    extra TEXT
);
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    about TEXT NOT NULL DEFAULT '',
    severity TEXT NOT NULL DEFAULT 'medium',
    status TEXT NOT NULL DEFAULT 'firing',
    text TEXT NOT NULL DEFAULT '',
    count INTEGER NOT NULL DEFAULT 1,
    started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    timestamp TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    acknowledged_by TEXT NOT NULL DEFAULT '',
    extra TEXT
);
-- What the supervisor keeps for itself between starts, each as JSON under "kind/key".
CREATE TABLE state (
    id TEXT PRIMARY KEY NOT NULL,
    data TEXT NOT NULL DEFAULT 'null',
    timestamp TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    extra TEXT
);
CREATE TABLE _hal_meta (key TEXT PRIMARY KEY NOT NULL, value) WITHOUT ROWID;
-- What operators changed, until the supervisor has taken it over: one row for each row (op I, D) or value (op U).
CREATE TABLE _hal_oplog (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tbl TEXT NOT NULL,
    op TEXT NOT NULL,
    pk NOT NULL,
    col TEXT,
    val
);
-- Idempotency keys are no operator's business, but a store that is rebuilt from here must still know them.
CREATE TABLE _hal_keys (key TEXT PRIMARY KEY NOT NULL, command TEXT NOT NULL, meaning TEXT NOT NULL) WITHOUT ROWID;
-- Nodes and sessions that were deleted here, as the store remembers them should they come back.
CREATE TABLE _hal_gone (key TEXT PRIMARY KEY NOT NULL, row BLOB NOT NULL) WITHOUT ROWID;
CREATE VIEW audit_logs AS SELECT * FROM audit_log;
