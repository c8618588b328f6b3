//! What a session is doing: a picture of it, kept true by the events that come after. Pure.
//!
//! The events go through the same rules as in the supervisor, so a state that lasts an instant is seen too, which
//! asking again and again would miss.

use hal_base::clock::Time;
use hal_protocol::event::EventView;
use hal_protocol::event::what::What;
use hal_protocol::session::{Activity, HelperAsk, Retry, Session, SessionView, Status};
use hal_rules::session as rules;

/// A session under watch.
#[derive(Debug)]
pub struct Watched {
    session: Session,
    /// What its helpers wait for, as the picture has it.
    helper_asks: Vec<HelperAsk>,
    offline: bool,
}

/// What an event meant for a watched session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It does not concern this session.
    Foreign,
    /// It is counted in.
    Counted,
    /// What was known is not enough any more: take the picture again.
    Retake,
}

impl Watched {
    /// Begins with a picture.
    pub fn new(view: &SessionView) -> Self {
        let (id, node_id, project) = (view.id.clone(), view.node_id.clone(), view.project.clone());
        let mut session = Session::new(id, node_id, project, view.since);
        session.activity = match view.last_known.unwrap_or(view.status) {
            Status::Running | Status::Waiting => Activity::Busy,
            Status::Retrying => Activity::Retry(view.retry.clone().unwrap_or(Retry {
                attempt: 0,
                message: String::new(),
                next: Time::default(),
            })),
            Status::Ended => Activity::Ended(String::new()),
            Status::Idle | Status::Error | Status::Unreachable => Activity::Idle,
        };
        session.asks = view.asks.clone();
        session.error = view.error.clone();
        let helper_asks = view.helper_asks.clone();
        Self { session, helper_asks, offline: view.status == Status::Unreachable }
    }

    /// The session's id.
    pub fn id(&self) -> &str {
        self.session.id.as_str()
    }

    /// Counts an event in.
    pub fn hear(&mut self, event: &EventView) -> Change {
        let of_our_node = event.node_id == self.session.node_id;
        match event.what() {
            What::NodeOffline { .. } if of_our_node => self.offline = true,
            // What happened while the node was away is told by the events that follow; until then it is as it was.
            What::NodeOnline if of_our_node => self.offline = false,
            What::Gap { .. } if of_our_node => return Change::Retake,
            what if event.session_id == self.session.id.as_str() => {
                rules::apply(&mut self.session, &what, event.occurred_at);
            }
            what if of_our_node && self.may_be_of_a_helper(event, &what) => return Change::Retake,
            _ => return Change::Foreign,
        }
        Change::Counted
    }

    /// True when it may tell that a helper of the running turn waits, or does not any more. Only the supervisor knows
    /// whose helper another session is.
    fn may_be_of_a_helper(&self, event: &EventView, what: &What) -> bool {
        if !matches!(self.session.activity, Activity::Busy | Activity::Retry(_)) {
            return false;
        }
        let is_waiting = self.helper_asks.iter().any(|one| one.session_id.as_str() == event.session_id);
        match what {
            What::PermissionAsked(_) | What::QuestionAsked(_) => true,
            _ => is_waiting && !event.kind.starts_with("message."),
        }
    }

    /// Its status word.
    pub fn status(&self) -> Status {
        match self.offline {
            true => Status::Unreachable,
            false => rules::status_with_helpers(&self.session, !self.helper_asks.is_empty()),
        }
    }

    /// The status in a few words: what it waits for, why it failed, when it tries again.
    pub fn sentence(&self) -> String {
        let Session { activity, asks, error, .. } = &self.session;
        match (self.status(), activity) {
            (Status::Waiting, _) => {
                if let Some(ask) = asks.first() {
                    return format!("waiting for an answer ({}: {})", ask.about, ask.what);
                }
                let Some(HelperAsk { session_id, ask }) = self.helper_asks.first() else {
                    return "waiting".into();
                };
                format!("waiting for an answer to its helper {session_id} ({}: {})", ask.about, ask.what)
            }
            (Status::Error, _) => format!("in error: {}", error.as_deref().unwrap_or("unknown")),
            (Status::Retrying, Activity::Retry(retry)) => {
                format!("retrying (attempt {} at {}): {}", retry.attempt, retry.next, retry.message)
            }
            (Status::Ended, Activity::Ended(why)) if !why.is_empty() => format!("ended ({why})"),
            (Status::Unreachable, _) => format!("unreachable: node {} is offline", self.session.node_id),
            (status, _) => status.as_str().to_owned(),
        }
    }
}
