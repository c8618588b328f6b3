//! Live events: forwarded while somebody looks, never kept.
//!
//! Agents are told who is watched, so that nothing is sent for nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{broadcast, watch};

use hal_protocol::frame::Watch;
use hal_protocol::node::NodeId;
use hal_protocol::session::SessionId;
use hal_rules::command::local_id;

/// Live events a slow reader may be behind; what is beyond is dropped for that reader alone.
const BEHIND: usize = 1024;

/// Bytes of a live event at most, so that what waits for slow readers is bounded too; nobody was promised more, and
/// what it grows to is stored.
const MAX_BYTES: usize = 64 * 1024;

/// Sessions named to agents at most; beyond that they are told that all are watched.
const MOST_NAMED: usize = 256;

/// A live event on its way to readers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LiveView {
    /// The session concerned.
    pub session_id: SessionId,
    /// Name of the node.
    pub node_id: NodeId,
    /// The event's type, such as `message.part.delta`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The event's data, as JSON text.
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
    /// Passes a live event on to whoever listens. False when it is too large for that.
    pub fn pass(&self, event: LiveView) -> bool {
        let fits = event.data.get().len() + event.kind.len() <= MAX_BYTES;
        if fits {
            let _ = self.events.send(Arc::new(event));
        }
        fits
    }

    /// Listens to one session, or to all.
    pub fn listen(&self, session: Option<&SessionId>, node: Option<&NodeId>) -> Listener {
        let public = session.map_or_else(String::new, SessionId::to_string);
        // Agents know their sessions by their own names.
        let local = match (session, node) {
            (Some(session), Some(node)) => local_id(session, node).to_string(),
            _ => public,
        };
        let mut watched = self.lock();
        *watched.entry(local.clone()).or_default() += 1;
        self.tell(&watched);
        drop(watched);
        Listener { events: self.events.subscribe(), session: local, board: self.clone() }
    }

    /// Who is watched; changes as readers come and go.
    pub fn changes(&self) -> watch::Receiver<Watch> {
        self.changed.subscribe()
    }

    /// Called with the lock held: else an older list could be told after a newer one.
    fn tell(&self, watched: &BTreeMap<String, usize>) {
        let names: Vec<String> = watched.keys().cloned().collect();
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
        let mut watched = self.board.lock();
        if let Some(count) = watched.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                watched.remove(&self.session);
            }
        }
        self.board.tell(&watched);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_protocol::event::raw;

    fn event(bytes: usize) -> LiveView {
        let data = raw(&"x".repeat(bytes));
        LiveView { session_id: "s".into(), node_id: "n".into(), kind: "k".into(), data }
    }

    #[tokio::test]
    async fn what_waits_for_a_slow_reader_is_bounded_in_bytes() {
        let board = Switchboard::default();
        let mut reader = board.listen(None, None);
        for bytes in [MAX_BYTES, 9] {
            assert_eq!(board.pass(event(bytes)), bytes < MAX_BYTES);
        }
        let (first, _) = reader.next().await;
        assert_eq!(first.unwrap().data.get().len(), 11, "what is too large is not kept for anybody");
    }

    #[test]
    fn whoever_still_listens_is_never_forgotten() {
        let board = Switchboard::default();
        let mut kept = Vec::new();
        for round in 0..200 {
            let id = SessionId::from(format!("s{round}"));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| drop(board.listen(Some(&"other".into()), None)));
                }
                kept.push(scope.spawn(|| board.listen(Some(&id), None)).join().unwrap());
            });
            assert!(board.changes().borrow().session_ids.contains(&id), "round {round}");
        }
    }
}
