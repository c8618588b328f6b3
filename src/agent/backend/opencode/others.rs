//! What other opencodes do in the same projects: a person's TUI, an `opencode run`. They write to the same database,
//! and opencode's stream tells nothing of them; so it is looked which sessions have changed without a word of the
//! stream. What is stored of them is reported; whether a turn of theirs runs is not stored.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::client::{Call, Client};
use super::tracker::Tracker;
use super::words::{MessageInfo, SessionInfo};
use crate::backend::BackendError;
use hal_base::clock::Time;
use hal_protocol::session::SessionId;

/// How often it is looked. A look is one question to an index of the database.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Sessions asked for in a look: those that have changed last.
const LIST_MAX: &str = "100";

/// A look goes back behind the one before, as a session's times are written a little after its events are made.
const SLACK_MS: i64 = 60_000;

/// Looks that a session is followed for after its last change or event: more may come.
const FOLLOWED_FOR: u32 = 3;

/// The same in the middle of a turn, of which the list shows only the beginning. What is silent for longer has been
/// ended, or shows when the next turn begins.
const OPEN_FOR: u32 = 120;

/// What the looks have shown.
#[derive(Debug, Default)]
pub struct Others {
    /// Changes that the stream had not told of at the last look. It may have been on its way to do so.
    suspects: HashMap<SessionId, i64>,
    /// Sessions in which another opencode works.
    followed: HashMap<SessionId, Followed>,
    /// When the last look was made.
    looked: Option<Time>,
}

/// A session in which another opencode works.
#[derive(Debug, Default)]
struct Followed {
    /// For how many looks it is followed yet.
    looks: u32,
    /// True in the middle of a turn.
    is_open: bool,
}

impl Others {
    /// Takes note of an event of a session that is followed, with the message that it is about.
    pub fn heard(&mut self, session: &SessionId, message: Option<&MessageInfo>) {
        let Some(known) = self.followed.get_mut(session) else { return };
        if let Some(message) = message {
            let is_cut = message.time.completed.is_none() && message.error.is_none();
            known.is_open = message.role == "user" || is_cut || message.finish == "tool-calls";
        }
        known.looks = if known.is_open { OPEN_FOR } else { FOLLOWED_FOR };
    }

    /// Since when changes are asked for.
    pub fn since(&mut self, now: Time) -> Time {
        // A clock that was set back must hide nothing.
        let since = self.looked.map_or(now, |looked| looked.min(now));
        self.looked = Some(now);
        Time(since.0 - SLACK_MS)
    }

    /// The sessions whose events are to be asked for, now that `changed` were seen to have changed.
    pub fn found(
        &mut self,
        changed: &[SessionInfo],
        directories: &[String],
        tracker: &Tracker,
    ) -> BTreeSet<SessionId> {
        let is_untold = |id: &SessionId, at: i64| {
            tracker.updated.get(id).is_none_or(|told| *told < at) && !tracker.busy.contains(id)
        };
        self.followed.retain(|_, known| {
            known.looks = known.looks.saturating_sub(1);
            known.looks > 0
        });
        let before = std::mem::take(&mut self.suspects);
        for info in changed.iter().filter(|info| directories.contains(&info.directory)) {
            let id = SessionId::new(&info.id);
            if !is_untold(&id, info.time.updated) {
                continue;
            }
            if before.get(&id).is_some_and(|at| is_untold(&id, *at)) {
                let known = self.followed.entry(id.clone()).or_default();
                known.looks = known.looks.max(FOLLOWED_FOR);
            }
            self.suspects.insert(id, info.time.updated);
        }
        self.followed.keys().cloned().collect()
    }
}

/// The sessions that have changed since then, wherever they are.
pub async fn changed(client: Client, since: Time) -> Result<Vec<SessionInfo>, BackendError> {
    let since = since.0.max(1).to_string();
    let query = [("start", since.as_str()), ("limit", LIST_MAX), ("archived", "true")];
    client.get(Call::new("/experimental/session", "looking for what other opencodes do").with(&query)).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(id: &str, directory: &str, updated: i64) -> SessionInfo {
        serde_json::from_value(json!({"id": id, "directory": directory, "time": {"updated": updated}}))
            .unwrap()
    }

    fn found(others: &mut Others, changed: &[SessionInfo], tracker: &Tracker) -> Vec<String> {
        others.found(changed, &["/p".into()], tracker).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_change_that_the_stream_does_not_tell_is_of_another_opencode() {
        let (mut others, mut tracker) = (Others::default(), Tracker::default());
        tracker.has_changed(&"ses_told".into(), 90);
        tracker.has_changed(&"ses_late".into(), 80);
        tracker.set_busy(&"ses_busy".into(), true);
        let changed = [
            info("ses_told", "/p", 90),
            info("ses_late", "/p", 90),
            info("ses_busy", "/p", 90),
            info("ses_new", "/p", 90),
            info("ses_elsewhere", "/q", 90),
        ];
        assert!(found(&mut others, &changed, &tracker).is_empty(), "the stream may be on its way");
        tracker.has_changed(&"ses_late".into(), 90);
        assert_eq!(found(&mut others, &changed, &tracker), ["ses_new"]);
        tracker.has_changed(&"ses_new".into(), 90);
        for _ in 1..FOLLOWED_FOR {
            assert_eq!(found(&mut others, &changed, &tracker), ["ses_new"], "its last events may come later");
        }
        assert!(found(&mut others, &changed, &tracker).is_empty());
    }

    #[test]
    fn a_session_is_followed_to_the_end_of_its_turn() {
        let (mut others, mut tracker) = (Others::default(), Tracker::default());
        let id = SessionId::new("ses_new");
        let message = |of: serde_json::Value| serde_json::from_value::<MessageInfo>(of).unwrap();
        for _ in 0..2 {
            found(&mut others, &[info("ses_new", "/p", 90)], &tracker);
        }
        tracker.has_changed(&id, 90);
        others.heard(&id, Some(&message(json!({"id": "u", "role": "user"}))));
        let step = json!({"id": "a", "role": "assistant", "finish": "tool-calls", "time": {"completed": 1}});
        for _ in 0..3 {
            for _ in 1..OPEN_FOR {
                assert_eq!(found(&mut others, &[], &tracker), ["ses_new"], "it is not listed any more");
            }
            others.heard(&id, Some(&message(step.clone())));
            others.heard(&id, None);
        }
        let last = json!({"id": "b", "role": "assistant", "finish": "stop", "time": {"completed": 1}});
        others.heard(&id, Some(&message(last)));
        for _ in 1..FOLLOWED_FOR {
            assert_eq!(found(&mut others, &[], &tracker), ["ses_new"]);
        }
        assert!(found(&mut others, &[], &tracker).is_empty());
    }

    #[test]
    fn a_look_reaches_behind_the_one_before_whatever_the_clock_does() {
        let mut others = Others::default();
        assert_eq!(others.since(Time(1_000_000)), Time(1_000_000 - SLACK_MS));
        assert_eq!(others.since(Time(1_005_000)), Time(1_000_000 - SLACK_MS));
        assert_eq!(others.since(Time(500_000)), Time(500_000 - SLACK_MS), "it was set back");
    }
}
