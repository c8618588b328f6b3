//! The file `supervisor.db` of a world, the true `sqlite3`, and a node that talks all the time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::patience::{PATIENCE, wait_until};
use crate::peer::{self, Peer};
use crate::world::{TOKEN, World, text};

/// The tables that hold rows of the store, and how their rows are told apart.
pub const TABLES: [(&str, &str); 12] = [
    ("events", "seq"),
    ("sessions", "id"),
    ("nodes", "id"),
    ("costs", "id"),
    ("audit_log", "seq"),
    ("commands", "id"),
    ("alerts", "id"),
    ("halts", "id"),
    ("budgets", "id"),
    ("silences", "id"),
    ("approvals", "id"),
    ("state", "id"),
];

impl World {
    /// The mirror of this world's supervisor.
    pub fn mirror(&self) -> PathBuf {
        self.path().join("supervisor/supervisor.db")
    }

    /// The store of this world's supervisor.
    pub fn store(&self) -> PathBuf {
        self.path().join("supervisor/supervisor.redb")
    }

    /// What the operator's `sqlite3` prints for this; it must end well.
    pub fn sql(&self, statement: &str) -> String {
        sqlite(&self.mirror(), statement).unwrap_or_else(|e| panic!("{statement}: {e}"))
    }

    /// Waits until the operator reads this.
    pub fn until_sql(&self, statement: &str, expected: &str) {
        wait_until(&format!("{statement} says {expected}"), PATIENCE, || {
            let said = sqlite(&self.mirror(), statement)?;
            if said == expected { Ok(()) } else { Err(said) }
        });
    }

    /// Waits until so many events match in the API.
    pub fn until_events(&self, query: &str, expected: u64) {
        wait_until(&format!("{expected} events match {query:?}"), PATIENCE, || {
            match self.count_events(query) {
                found if found == expected => Ok(()),
                found => Err(found.to_string()),
            }
        });
    }

    /// Waits until the mirror has every event of the store.
    pub fn until_mirrored(&self) {
        self.until_mirrored_upto_now();
        wait_until("the mirror lags no more", PATIENCE, || {
            let lag = self.metric("hal_o_swarm_mirror_lag_seconds ");
            if lag == 0.0 { Ok(()) } else { Err(lag.to_string()) }
        });
    }

    /// Waits until the mirror and the API have as many events. A supervisor says something itself now and then, so that
    /// two numbers read one after the other may differ for a moment.
    pub fn until_counts_agree(&self) {
        wait_until("the mirror and the API have as many events", PATIENCE, || {
            let (mirror, api) = (self.sql("SELECT count(*) FROM events"), self.count_events("").to_string());
            if mirror == api { Ok(()) } else { Err(format!("{mirror} in the mirror, {api} in the API")) }
        });
    }

    /// Waits until the mirror has every event that the store has now, while more come.
    pub fn until_mirrored_upto_now(&self) {
        let last = self.events_newest().unwrap_or(0);
        self.until_sql(&format!("SELECT value >= {last} FROM _hal_meta WHERE key = 'event_watermark'"), "1");
    }

    /// How many sessions the API shows.
    pub fn count_sessions(&self) -> u64 {
        self.pages("/api/v1/sessions?limit=100").len() as u64
    }

    fn events_newest(&self) -> Option<u64> {
        self.get("/api/v1/events?limit=1").body["data"][0]["seq"].as_u64()
    }

    /// Everything the API shows that is stored, for comparison.
    pub fn whole_picture(&self) -> Vec<Vec<Value>> {
        let strip = |mut list: Vec<Value>, volatile: &[&str]| {
            for one in &mut list {
                for key in volatile {
                    one.as_object_mut().unwrap().remove(*key);
                }
            }
            list
        };
        vec![
            strip(
                self.pages("/api/v1/nodes?x="),
                &["last_heartbeat", "resources", "clock_ahead_ms", "journal", "came_in"],
            ),
            self.pages("/api/v1/sessions?limit=100"),
            self.pages("/api/v1/commands?limit=100"),
            self.events(""),
        ]
    }
}

/// What `sqlite3` prints for a statement on a file.
pub fn sqlite(file: &Path, statement: &str) -> Result<String, String> {
    let output = Command::new("sqlite3").arg(file).arg(statement).output().expect("sqlite3 is installed");
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() && complained.is_empty() {
        Ok(said.trim_end().to_owned())
    } else {
        Err(format!("{} {said} {complained}", output.status))
    }
}

/// Every row of every table, as text. How nodes are now is no row of the store.
pub fn dump(file: &Path) -> String {
    let nodes = "id, hostname, connected_at, extra";
    let tables = TABLES.iter().map(|(table, key)| {
        let columns = if *table == "nodes" { nodes } else { "*" };
        sqlite(file, &format!("SELECT '{table}', {columns} FROM {table} ORDER BY {key}"))
    });
    tables
        .map(|rows| rows.unwrap_or_else(|e| panic!("{}: {e}", file.display())))
        .filter(|rows| !rows.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A node that says events all the time, in a thread of its own, and counts what was acknowledged.
pub struct Talker {
    stop: Arc<AtomicBool>,
    said: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

/// Events said at once, and between two times.
const SAID: (u64, Duration) = (20, Duration::from_millis(10));

impl Talker {
    /// Begins to say 2,000 events a second.
    pub fn start(world: &World) -> Self {
        let (stop, said) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (url, ends, counts) = (world.url("ws"), stop.clone(), said.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(talk(&url, &ends, &counts));
        });
        Self { stop, said, thread }
    }

    /// How many were acknowledged so far.
    pub fn said(&self) -> u64 {
        self.said.load(Ordering::SeqCst)
    }

    /// Waits until so many were acknowledged.
    pub fn until_said(&self, many: u64) {
        wait_until(&format!("{many} events are acknowledged"), PATIENCE, || {
            let said = self.said();
            if said >= many { Ok(()) } else { Err(said.to_string()) }
        });
    }

    /// Ends it: how many were acknowledged.
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.join();
        self.said.load(Ordering::SeqCst)
    }
}

async fn talk(url: &str, ends: &AtomicBool, counts: &AtomicU64) {
    let (mut peer, welcome) = Peer::join(url, TOKEN, "talker").await;
    let mut ticks = tokio::time::interval(SAID.1);
    let mut next = welcome.committed_seq + 1;
    counts.store(welcome.committed_seq, Ordering::SeqCst);
    while !ends.load(Ordering::SeqCst) {
        ticks.tick().await;
        let frame = peer::batch(peer.incarnation(), Some("talk"), next..=next + SAID.0 - 1);
        next += SAID.0;
        if peer.send(tokio_tungstenite::tungstenite::Message::text(frame)).await.is_err() {
            return;
        }
        // An end of the link ends the talk; what was not acknowledged does not count.
        let Ok(acknowledged) = peer.hear_ack_or_end(next - 1).await else { return };
        counts.store(acknowledged, Ordering::SeqCst);
    }
}
