//! Which commands take longer than their kind should. What waits for a person, or for a turn to end, takes as long as that
//! takes.

use std::time::Duration;

use super::watch::{WatchFinding, WatchLimits};
use hal_base::clock::Time;
use hal_protocol::alert::Severity;
use hal_protocol::command::{Command, CommandState, Verb};

/// Commands that are named in a sentence.
const SHOWN: usize = 3;

/// What a session that a command is for does meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meanwhile {
    /// A turn of it runs: a prompt waits for its end.
    pub is_at_work: bool,
    /// It waits for a person.
    pub waits_for_person: bool,
}

impl WatchLimits {
    /// How long a command of this kind may take; `None`: as long as it takes.
    pub fn patience(&self, verb: Verb, meanwhile: Meanwhile) -> Option<Duration> {
        match verb {
            Verb::CreateSession => Some(self.command_start),
            Verb::PromptSession if meanwhile.is_at_work || meanwhile.waits_for_person => None,
            // It may have to start the coding agent anew.
            Verb::PromptSession => Some(self.command_start),
            // A handover is a turn of its own; what is still to be stopped is the alert `halt.incomplete`.
            Verb::RestartSession | Verb::PauseSession | Verb::HaltWork => None,
            Verb::AbortSession
            | Verb::KillSession
            | Verb::AnswerPermission
            | Verb::AnswerQuestion
            | Verb::SessionStatus
            | Verb::ReleaseSession
            | Verb::ArchiveSession
            | Verb::LabelSession => Some(self.command),
        }
    }

    /// How long an open command has taken beyond what it may, when it does. `connected`: since when its node is there.
    pub fn is_slow(
        &self,
        command: &Command,
        connected: Time,
        meanwhile: Meanwhile,
        now: Time,
    ) -> Option<Duration> {
        if !matches!(command.state, CommandState::Sent | CommandState::Running) {
            return None;
        }
        let took = now.since(command.created_at.max(connected));
        self.patience(command.verb, meanwhile).filter(|patience| took > *patience).map(|_| took)
    }

    /// What is said of the slow commands of a node, the slowest first.
    pub fn slow_commands(&self, node: &str, mut slow: Vec<(Duration, &Command)>) -> WatchFinding {
        slow.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
        let shown: Vec<String> =
            slow.iter().take(SHOWN).map(|(took, command)| line(*took, command)).collect();
        let more = slow.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        (!slow.is_empty()).then(|| {
            let text = format!(
                "node {node} takes too long for {}{more}: check its load, its coding agent and the way to it with `halctl \
                 nodes get {node}` and `halctl doctor`",
                shown.join(", ")
            );
            (Severity::Medium, text)
        })
    }
}

fn line(took: Duration, command: &Command) -> String {
    let session = command.session_id.as_ref().map(|id| format!(" of session {id}")).unwrap_or_default();
    format!("{} {}{session} ({} s so far)", command.verb.as_str(), command.id, took.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(verb: Verb, state: CommandState) -> Command {
        Command {
            id: "c1".into(),
            verb,
            node_id: "web-1".into(),
            project: String::new(),
            session_id: Some("s1".into()),
            args: serde_json::Map::new(),
            actor: String::new(),
            who: None,
            idempotency_key: None,
            state,
            output: String::new(),
            error: None,
            created_at: Time(0),
            expires_at: Time(0),
            changed_at: Time(0),
        }
    }

    #[test]
    fn each_kind_has_its_time_and_what_waits_for_a_person_has_none() {
        let limits = WatchLimits::default();
        let slow = |verb, seconds: i64, meanwhile| {
            limits
                .is_slow(&command(verb, CommandState::Sent), Time(0), meanwhile, Time(seconds * 1000))
                .is_some()
        };
        let idle = Meanwhile::default();
        assert!(!slow(Verb::AbortSession, 10, idle) && slow(Verb::AbortSession, 11, idle));
        assert!(!slow(Verb::CreateSession, 60, idle) && slow(Verb::CreateSession, 61, idle));
        assert!(slow(Verb::PromptSession, 61, idle));
        assert!(!slow(Verb::PromptSession, 9_999, Meanwhile { is_at_work: true, ..idle }));
        assert!(!slow(Verb::PromptSession, 9_999, Meanwhile { waits_for_person: true, ..idle }));
        assert!(!slow(Verb::RestartSession, 9_999, idle) && !slow(Verb::HaltWork, 9_999, idle));
    }

    #[test]
    fn what_waited_for_its_node_is_not_slow() {
        let (limits, idle) = (WatchLimits::default(), Meanwhile::default());
        let now = Time(100_000);
        let queued = command(Verb::AbortSession, CommandState::Queued);
        assert_eq!(limits.is_slow(&queued, Time(0), idle, now), None);
        let sent = command(Verb::AbortSession, CommandState::Sent);
        assert_eq!(limits.is_slow(&sent, Time(95_000), idle, now), None, "its node has just come");
        let took = limits.is_slow(&sent, Time(0), idle, now).unwrap();
        let many = vec![(took, &sent); 5];
        let (_, text) = limits.slow_commands("web-1", many).unwrap();
        assert!(
            text.contains("abort_session c1 of session s1 (100 s so far)") && text.contains("2 more"),
            "{text}"
        );
        assert_eq!(limits.slow_commands("web-1", Vec::new()), None);
    }
}
