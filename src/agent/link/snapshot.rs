//! Snapshot of a node's sessions as they are now, in one frame; and which frames are small enough.

use tokio_tungstenite::tungstenite::Message;

use crate::sessions::View;
use hal_base::clock;
use hal_protocol::backend::NodeBackend;
use hal_protocol::frame::{FromAgent, MAX_FRAME_BYTES, Snapshot};
use hal_protocol::node::Project;
use hal_protocol::session::{Activity, Session};

/// The sessions that have not ended.
pub(super) fn open_sessions(view: &View) -> Vec<Session> {
    let all = view.sessions.values().map(|held| &held.record.session);
    all.filter(|session| !matches!(session.activity, Activity::Ended(_))).cloned().collect()
}

/// The snapshot; when it is too large for a frame, of the sessions heard of last.
pub(super) fn message(
    as_of_seq: u64,
    projects: Vec<Project>,
    backends: Vec<NodeBackend>,
    mut sessions: Vec<Session>,
) -> Message {
    sessions.sort_by_key(|session| std::cmp::Reverse(session.active_at));
    let mut snapshot = Snapshot { as_of_seq, projects, backends, sessions };
    loop {
        let count = snapshot.sessions.len();
        let frame = FromAgent::Snapshot(snapshot);
        if let Some(message) = fitting(&frame) {
            return message;
        }
        let FromAgent::Snapshot(whole) = frame else { unreachable!("it was made one line above") };
        snapshot = whole;
        snapshot.sessions.truncate(count / 2);
        if count == 0 {
            snapshot.projects.clear();
            snapshot.backends.clear();
        }
    }
}

/// A message of at most [`MAX_FRAME_BYTES`].
pub(super) fn fitting(frame: &FromAgent) -> Option<Message> {
    let text = frame.encode(clock::now());
    if text.len() <= MAX_FRAME_BYTES {
        return Some(Message::text(text));
    }
    tracing::warn!(bytes = text.len(), "a frame is larger than a frame may be and was not sent");
    None
}
