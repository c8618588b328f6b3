//! What the view knows of approvals.

use super::view::View;
use hal_protocol::approval::Approval;
use hal_protocol::session::SessionId;
use hal_store::kept::{OPEN, OVER, StateKind};

impl View {
    /// An approval, open or over.
    pub fn approval(&self, id: &str) -> Option<Approval> {
        self.kept(OPEN, id).or_else(|| self.kept(OVER, id))
    }

    /// Approvals of which something may still become, oldest first.
    pub fn open_approvals(&self) -> Vec<Approval> {
        self.sorted(OPEN)
    }

    /// Approvals that are over, oldest first.
    pub fn past_approvals(&self) -> Vec<Approval> {
        self.sorted(OVER)
    }

    /// The open ones of a session, oldest first.
    pub fn approvals_of(&self, session: &SessionId) -> Vec<Approval> {
        let mut found = self.open_approvals();
        found.retain(|one| one.session_id == *session);
        found
    }

    fn sorted(&self, kind: StateKind<Approval>) -> Vec<Approval> {
        let mut found: Vec<Approval> =
            self.all_kept(kind).map(|(_, approval)| Approval::clone(approval)).collect();
        found.sort_by(|one, other| (one.asked_at, &one.id).cmp(&(other.asked_at, &other.id)));
        found
    }
}
