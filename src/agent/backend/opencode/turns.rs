//! Whether what was said to a session was answered: opencode may end a turn without asking the model, and says nothing.

use std::collections::VecDeque;

use super::words::MessageInfo;

/// Messages remembered per session: opencode tells of older ones again when it sums them up.
const REMEMBERED: usize = 16;

/// Why a turn has failed that ended without an answer.
pub const NO_ANSWER: &str = "the turn ended without an answer: opencode did not ask the model. Is the clock behind the \
                             session's last message? Set it right and say it again";

/// What was said to a session in its last turns, and why its turn is not a good one.
#[derive(Debug, Default)]
pub struct Turns {
    /// What was said, in the order it was heard of, and whether it was answered.
    said: VecDeque<(String, bool)>,
    /// True when the turn has said itself why it failed.
    has_failed: bool,
    /// What is wrong with the turn although opencode does not say so.
    verdict: Option<String>,
}

impl Turns {
    /// Takes note of a message.
    pub fn heard(&mut self, message: &MessageInfo) {
        if message.role == "user" {
            if self.said.iter().any(|(id, _)| *id == message.id) {
                return;
            }
            if self.said.len() >= REMEMBERED {
                self.said.pop_front();
            }
            self.said.push_back((message.id.clone(), false));
            self.has_failed = false;
        } else if let Some(parent) = &message.parent_id
            && let Some(at) = self.said.iter().position(|(id, _)| id == parent)
        {
            // What was said while a turn ran is answered together with the last of it.
            self.said.iter_mut().take(at + 1).for_each(|(_, is_answered)| *is_answered = true);
        }
    }

    /// opencode says itself that the turn has failed, or was stopped.
    pub fn failed(&mut self) {
        self.has_failed = true;
    }

    /// Something is wrong with the turn that opencode will not say.
    pub fn condemn(&mut self, why: String) {
        self.verdict = Some(why);
    }

    /// True when something was said that has no answer.
    pub fn is_unanswered(&self) -> bool {
        self.said.back().is_some_and(|(_, is_answered)| !is_answered)
    }

    /// The turn is over: what is wrong with it that opencode does not say. `is_stopped` from here.
    pub fn over(&mut self, is_stopped: bool) -> Option<String> {
        let is_unanswered = self.is_unanswered() && !self.has_failed && !is_stopped;
        let verdict = self.verdict.take().or_else(|| is_unanswered.then(|| NO_ANSWER.to_owned()));
        self.said.iter_mut().for_each(|(_, is_answered)| *is_answered = true);
        self.has_failed = false;
        verdict
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hear(turns: &mut Turns, id: &str, parent: Option<&str>) {
        let role = if parent.is_some() { "assistant" } else { "user" };
        turns.heard(&serde_json::from_value(json!({"id": id, "role": role, "parentID": parent})).unwrap());
    }

    #[test]
    fn a_turn_without_an_answer_is_not_a_good_one() {
        let mut turns = Turns::default();
        assert_eq!(turns.over(false), None, "nothing was said");
        hear(&mut turns, "u1", None);
        hear(&mut turns, "a1", Some("u1"));
        assert_eq!(turns.over(false), None);
        hear(&mut turns, "u1", None);
        assert_eq!(turns.over(false), None, "it is only told again");
        hear(&mut turns, "u2", None);
        hear(&mut turns, "a1", Some("u1"));
        assert_eq!(turns.over(false).as_deref(), Some(NO_ANSWER));
        assert_eq!(turns.over(false), None, "once");
    }

    #[test]
    fn what_is_said_together_is_answered_together() {
        let mut turns = Turns::default();
        for id in ["u1", "u2", "u3"] {
            hear(&mut turns, id, None);
        }
        hear(&mut turns, "a1", Some("u3"));
        assert_eq!(turns.over(false), None);
    }

    #[test]
    fn a_turn_that_says_itself_why_or_was_stopped_needs_no_other_reason() {
        let mut turns = Turns::default();
        hear(&mut turns, "u1", None);
        turns.failed();
        assert_eq!(turns.over(false), None);
        hear(&mut turns, "u2", None);
        assert_eq!(turns.over(true), None);
        turns.failed();
        turns.condemn("answered by a stranger".into());
        assert_eq!(turns.over(false).as_deref(), Some("answered by a stranger"));
    }

    #[test]
    fn not_more_is_remembered_than_is_of_use() {
        let mut turns = Turns::default();
        for number in 0..1_000 {
            hear(&mut turns, &format!("u{number}"), None);
        }
        assert_eq!(turns.said.len(), REMEMBERED);
    }
}
