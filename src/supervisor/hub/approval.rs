//! What the view knows of approvals.

use super::view::View;
use crate::protocol::approval::Approval;
use crate::protocol::session::SessionId;

/// What is kept of approvals of which something may still become.
pub(super) const OPEN: &str = "approval";

/// What is kept of those that are over.
pub(super) const OVER: &str = "approval-over";

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

    fn sorted(&self, kind: &str) -> Vec<Approval> {
        let mut found: Vec<Approval> = self.all_kept(kind).map(|(_, approval)| approval).collect();
        found.sort_by(|one, other| (one.asked_at, &one.id).cmp(&(other.asked_at, &other.id)));
        found
    }
}
