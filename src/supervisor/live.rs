//! Live events: forwarded while somebody looks, never kept.
//!
//! Agents are told who is watched, so that nothing is sent for nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{broadcast, watch};

use crate::protocol::frame::Watch;
use crate::protocol::node::NodeId;
use crate::protocol::session::SessionId;
use crate::rules::command::local_id;

/// Live events a slow reader may be behind; what is beyond is dropped for that reader alone.
const BEHIND: usize = 1024;

/// Sessions named to agents at most; beyond that they are told that all are watched.
const MOST_NAMED: usize = 256;

/// A live event on its way to readers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LiveView {
    /// The session concerned.
    pub session_id: SessionId,
    /// Where.
    pub node_id: NodeId,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// The rest.
    pub data: Box<RawValue>,
}

/// The switchboard between agents and readers. Clones share it.
#[derive(Clone, Debug)]
pub struct Switchboard {
    events: broadcast::Sender<Arc<LiveView>>,
    watched: Arc<Mutex<BTreeMap<String, usize>>>,
    changed: Arc<watch::Sender<Watch>>,
}

/// A reader's place; gives it up when dropped.
#[derive(Debug)]
pub struct Listener {
    events: broadcast::Receiver<Arc<LiveView>>,
    session: String,
    board: Switchboard,
}

impl Default for Switchboard {
    fn default() -> Self {
        Self {
            events: broadcast::channel(BEHIND).0,
            watched: Arc::default(),
            changed: Arc::new(watch::channel(Watch::default()).0),
        }
    }
}

impl Switchboard {
    /// Passes a live event on to whoever listens.
    pub fn pass(&self, event: LiveView) {
        let _ = self.events.send(Arc::new(event));
    }

    /// Listens to one session, or to all.
    pub fn listen(&self, session: Option<&SessionId>, node: Option<&NodeId>) -> Listener {
        let public = session.map_or_else(String::new, SessionId::to_string);
        // Agents know their sessions by their own names.
        let local = match (session, node) {
            (Some(session), Some(node)) => local_id(session, node).to_string(),
            _ => public,
        };
        *self.lock().entry(local.clone()).or_default() += 1;
        self.tell();
        Listener { events: self.events.subscribe(), session: local, board: self.clone() }
    }

    /// Who is watched; changes as readers come and go.
    pub fn changes(&self) -> watch::Receiver<Watch> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        let names: Vec<String> = self.lock().keys().cloned().collect();
        let all = names.len() > MOST_NAMED || names.iter().any(String::is_empty);
        let session_ids = if all { Vec::new() } else { names.into_iter().map(SessionId::from).collect() };
        self.changed.send_if_modified(|watch| {
            let new = Watch { all, session_ids };
            std::mem::replace(watch, new.clone()) != new
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.watched.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Listener {
    /// The next live event, and how many were dropped before it. Pends for ever when the board is gone.
    pub async fn next(&mut self) -> (Option<Arc<LiveView>>, u64) {
        match self.events.recv().await {
            Ok(event) => (Some(event), 0),
            Err(broadcast::error::RecvError::Lagged(dropped)) => (None, dropped),
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        {
            let mut watched = self.board.lock();
            if let Some(count) = watched.get_mut(&self.session) {
                *count -= 1;
                if *count == 0 {
                    watched.remove(&self.session);
                }
            }
        }
        self.board.tell();
    }
}
