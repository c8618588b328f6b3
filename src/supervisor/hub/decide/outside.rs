//! Answers that nobody here gave: a node says of a reply that it was given at the coding agent itself.

use serde_json::json;

use super::Work;
use hal_base::clock::Time;
use hal_protocol::alert::Severity;
use hal_protocol::approval::ApprovalState;
use hal_protocol::event::what::{Replied, ReplyTold, What};
use hal_protocol::node::NodeId;
use hal_protocol::session::SessionId;
use hal_rules::alert::AlertRaised;
use hal_rules::approval;

/// The alert of such an answer.
const OUTSIDE: &str = "approval.outside";

impl Work {
    /// A reply that a node tells of came from outside: an alert, and a line on the receipt.
    pub(super) fn heed_outside(
        &mut self,
        node: &NodeId,
        local: Option<&SessionId>,
        what: &What,
        replied: &Replied,
        at: Time,
    ) {
        let Some(local) = local else { return };
        let request = replied.request_id.as_str();
        let session = self.public_id(local, node);
        let reply = match what {
            What::PermissionReplied(_) => replied.reply.as_ref().map_or("without a word", ReplyTold::as_str),
            What::QuestionRejected(_) => "rejected",
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
        self.raise(
            &AlertRaised {
                name: OUTSIDE,
                about: &about,
                severity: Severity::High,
                text: &text,
                lasting: false,
            },
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
