//! What the mirror needs from the hub: how things stand now, and a way for operators' edits.

use std::path::PathBuf;

use tokio::sync::oneshot;

use super::hub::Hub;
use super::hub::input::{Input, RaisedAlert, Severity};
use super::hub::live::NodeRef;
use hal_base::clock::Time;
use hal_protocol::node::NodeStatus;
use hal_store::mirror::{MirrorHost, ShownNode};
use hal_store::node::NodeRecord;
use hal_store::session::SessionRecord;
use hal_store::sqlite::edit::{Edit, Edits};

/// The hub, seen from the mirror's thread.
#[derive(Debug)]
pub struct OfHub(pub Hub);

impl MirrorHost for OfHub {
    fn node(&self, node: &NodeRecord) -> (&'static str, Time) {
        match self.0.view().find_node(node.id.as_str()) {
            Some(state) => (word(state.link.online), state.link.vitals().heard),
            None => (word(false), node.last_heard),
        }
    }

    fn session(&self, record: &SessionRecord) -> (&'static str, &'static str) {
        let (shown, known) = self.0.view().status_of(&record.session);
        (known.unwrap_or(shown).as_str(), shown.as_str())
    }

    fn nodes(&self, new: &dyn Fn(&str, &'static str, Time) -> bool) -> Vec<ShownNode> {
        let of_node = |node: NodeRef<'_>| {
            let (id, word, heard) = (&node.record.id, word(node.link.online), node.link.vitals().heard);
            new(id.as_str(), word, heard).then(|| (id.to_string(), word, heard))
        };
        self.0.view().every_node().filter_map(of_node).collect()
    }

    fn comings(&self) -> u64 {
        self.0.view().live.comings
    }

    fn take(&self, edits: Edits) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        self.0.send_blocking(Input::Edits { edits, reply }).map_err(|stopped| stopped.to_string())?;
        answer.blocking_recv().unwrap_or_else(|_| Err("the supervisor is stopping".into()))
    }

    fn put(&self, list: Vec<Edit>) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let moved = Input::Move { by: "scrub", list, reply };
        self.0.send_blocking(moved).map_err(|stopped| stopped.to_string())?;
        answer.blocking_recv().unwrap_or_else(|_| Err("the supervisor is stopping".into()))
    }

    fn alert(&self, name: &'static str, text: String) {
        self.0.raise(RaisedAlert { name, severity: Severity::High, text });
    }

    fn suspect(&self, why: String) {
        // A hub that has stopped suspects nothing any more.
        let _ = self.0.send_blocking(Input::Suspect(why));
    }

    fn replace(&self, fresh: PathBuf) -> Result<String, String> {
        let (reply, answer) = oneshot::channel();
        self.0.send_blocking(Input::Replace { fresh, reply }).map_err(|stopped| stopped.to_string())?;
        let replaced = answer.blocking_recv();
        replaced.unwrap_or_else(|_| Err("the supervisor is stopping".into()))?;
        Ok(self.0.view().stored.store_id.to_string())
    }
}

fn word(is_online: bool) -> &'static str {
    if is_online { NodeStatus::Online.as_str() } else { NodeStatus::Offline.as_str() }
}
