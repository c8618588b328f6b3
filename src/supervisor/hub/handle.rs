//! What the edges ask of the hub without waiting for it.

use std::sync::Arc;

use tokio::sync::watch;

use super::input::{From, INPUT_QUEUE, Input, RaisedAlert, Timed};
use super::memory_budget::ConnectionBudget;
use super::pulse::Pulse;
use super::view::View;
use super::{Hub, HubHealth, Stopped, Waiting};
use hal_base::clock;
use hal_protocol::frame::Heartbeat;
use hal_protocol::node::NodeId;
use hal_store::audit::AuditRecord;
use hal_store::hub::Store;

impl Hub {
    /// Raises an alert. One that finds the queue full is only logged: there are worse troubles then.
    pub fn raise(&self, alert: RaisedAlert) {
        let text = alert.text.clone();
        let timed = Timed { clock: clock::read(), input: Input::Alert(alert) };
        if self.inputs.try_send(Waiting { timed, room: None }).is_err() {
            tracing::error!("{text}");
        }
    }

    /// Raises an alert about a node, in the same way.
    pub fn raise_about(&self, node: NodeId, alert: RaisedAlert) {
        let text = alert.text.clone();
        let timed = Timed { clock: clock::read(), input: Input::NodeAlert(node, alert) };
        if self.inputs.try_send(Waiting { timed, room: None }).is_err() {
            tracing::error!("{text}");
        }
    }

    /// Writes down who did what. Where the queue is full it is only logged: whoever is denied must not hold up others.
    pub fn audit(&self, record: AuditRecord) {
        let AuditRecord { actor, action, target, .. } = record.clone();
        let timed = Timed { clock: clock::read(), input: Input::Audit(Box::new(record)) };
        if self.inputs.try_send(Waiting { timed, room: None }).is_err() {
            tracing::warn!(actor, action, target, "not written to the audit log: the queue is full");
        }
    }

    /// Takes note of a frame that says how its node is, or nothing but that it lives. The hub hears of one only while it
    /// does not know that the agent has stored its epoch.
    pub async fn hear(
        &self,
        from: &From,
        pulse: &Pulse,
        heartbeat: Option<&Heartbeat>,
    ) -> Result<(), Stopped> {
        pulse.hear(heartbeat, clock::read());
        let view = self.view.load();
        let node = view.find_node(from.node.as_str()).filter(|node| node.record.epoch == from.epoch);
        let is_first = node.is_some_and(|node| !node.is_confirmed());
        drop(view);
        if is_first { self.send(Input::FirstWord { from: from.clone() }).await } else { Ok(()) }
    }

    /// The room for what a new connection says.
    pub fn share_of_room(&self) -> ConnectionBudget {
        self.room.for_connection()
    }

    /// The state after the last transaction; cheap to get and never changes.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The last committed event; changes with every commit that holds events.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }

    /// Changes whenever there is something to be sent to people.
    pub fn queued(&self) -> watch::Receiver<u64> {
        self.queued.clone()
    }

    /// How the hub is.
    pub fn health(&self) -> HubHealth {
        self.health.borrow().clone()
    }

    /// How full the input queue is: 0 empty, 1 full.
    pub fn pressure(&self) -> f64 {
        1.0 - self.inputs.capacity() as f64 / INPUT_QUEUE as f64
    }

    /// The store, for reading.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Tells the hub to merge, commit and end. What is sent afterwards is refused.
    pub async fn stop(&self) {
        let _ = self.send(Input::Stop).await;
    }
}
