//! Answers that nobody here gave: a node says of a reply that it was given at the coding agent itself.

use serde_json::{Value, json};

use super::Work;
use crate::base::clock::Time;
use crate::protocol::alert::Severity;
use crate::protocol::approval::ApprovalState;
use crate::protocol::event::Event;
use crate::protocol::node::NodeId;
use crate::rules::alert::Seen;
use crate::rules::approval;

/// The alert of such an answer.
const OUTSIDE: &str = "approval.outside";

impl Work {
    /// Looks whether the reply that a node tells of came from outside: an alert, and a line on the receipt.
    pub(super) fn heed_outside(&mut self, node: &NodeId, event: &Event, at: Time) {
        let Some(local) = &event.session_id else { return };
        let told: Value = serde_json::from_str(event.data.get()).unwrap_or_default();
        if told["outside"] != true {
            return;
        }
        let request = told["requestID"].as_str().unwrap_or_default();
        let session = self.public_id(local, node);
        let reply = match event.kind.as_str() {
            "permission.replied" => told["reply"].as_str().unwrap_or("without a word"),
            "question.rejected" => "rejected",
            _ => "answered",
        };
        let mut known = self.view.approvals_of(&session).into_iter();
        let known = known.find(|one| one.request_id == request);
        let what = known.as_ref().map_or(request, |one| one.what.as_str());
        let text = format!(
            "what session {session} on node {node} asked for ({what}) was answered outside, at the coding agent itself, \
             not through the supervisor: {reply}. Its turn is stopped; a tool of it may know the agent's password. See \
             what it did: halctl sessions logs {session}"
        );
        let about = known.as_ref().map_or(request, |one| one.id.as_str()).to_owned();
        self.see(
            &Seen { name: OUTSIDE, about: &about, severity: Severity::High, text: &text, lasting: false },
            at,
        );
        let Some(known) = known else { return };
        let now = approval::answered_outside(known.clone(), reply, at);
        if now == known {
            return;
        }
        self.put_approval(&now, at);
        let kind = if now.state == ApprovalState::Settled { "approval.settled" } else { "approval.lapsed" };
        self.tell_approval(kind, &now, &json!({"outside": true, "reply": reply}), at);
    }
}
