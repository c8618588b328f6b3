//! Stopping a turn: it is aborted, killed when it goes on after a while, and named when it goes on after that.
//!
//! ```text
//!   wanted --> abort --(it runs on for a while)--> kill --(it runs on)--> it did not stop, tried again now and then
//!                '---------------(no turn runs)------'----> over
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use hal_base::clock::Time;
use hal_protocol::command::CommandId;
use hal_protocol::session::SessionId;

/// A turn that goes on for so long after it was first to be aborted is killed.
const KILL_AFTER: Duration = Duration::from_secs(10);

/// How soon an abort that came to nothing is tried again.
const ABORT_AGAIN: Duration = Duration::from_secs(2);

/// A kill that has no outcome after so long counts as one that came to nothing. Longer than a node needs to find out.
const KILL_LIMIT: Duration = Duration::from_secs(30);

/// How soon a kill that came to nothing is tried again.
const KILL_AGAIN: Duration = Duration::from_secs(60);

/// Why a turn is to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Its project, or everything, is halted.
    #[default]
    Halt,
    /// This session is paused: itself, or the one that it helps.
    Pause(SessionId),
    /// Its node interrupts it, as this lease has no money left.
    Lease(String),
}

impl Cause {
    /// True when it holds for more sessions, or sooner.
    pub fn is_stronger_than(&self, other: &Cause) -> bool {
        let rank = |cause: &Cause| match cause {
            Cause::Lease(_) => 0,
            Cause::Pause(_) => 1,
            Cause::Halt => 2,
        };
        rank(self) > rank(other)
    }
}

/// A turn that is to stop and was not yet seen to have stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stopping {
    /// What stops it: a halt, a pause or a budget.
    pub cause: Cause,
    /// From when on; a node that stops it by itself is given time.
    pub since: Time,
    /// The command that is to stop it, while that is open.
    pub part: Option<CommandId>,
    /// When that command was ordered.
    pub asked_at: Time,
    /// Whether it was a kill.
    pub is_kill: bool,
    /// A kill has come to nothing.
    pub gave_up: bool,
    /// People were told that it runs on.
    pub told: bool,
    /// What the last command that came to nothing said.
    pub why: String,
}

/// What is to be done about it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: what was done may still have its effect.
    Wait,
    /// The turn is aborted.
    Abort,
    /// The turn is killed.
    Kill,
    /// The kill has no outcome: whoever waits is told so.
    GiveUp,
}

impl Stopping {
    /// To be stopped from `since` on.
    pub fn new(cause: Cause, since: Time) -> Self {
        Self { cause, since, ..Self::default() }
    }

    /// What is to be done about a turn that runs on.
    pub fn next(&self, at: Time) -> Next {
        let is_past = |from: Time, limit: Duration| at >= from.plus(limit);
        if at < self.since {
            return Next::Wait;
        }
        let was_asked = self.asked_at != Time::default();
        match (self.is_kill, self.part.is_some()) {
            (true, true) if !self.gave_up && is_past(self.asked_at, KILL_LIMIT) => Next::GiveUp,
            (true, true) => Next::Wait,
            (true, false) if is_past(self.asked_at, KILL_AGAIN) => Next::Kill,
            (true, false) => Next::Wait,
            (false, _) if !was_asked => Next::Abort,
            (false, _) if is_past(self.since, KILL_AFTER) => Next::Kill,
            (false, true) => Next::Wait,
            (false, false) if is_past(self.asked_at, ABORT_AGAIN) => Next::Abort,
            (false, false) => Next::Wait,
        }
    }

    /// A command to stop it was ordered.
    pub fn ordered(&mut self, part: CommandId, is_kill: bool, at: Time) {
        if self.asked_at == Time::default() {
            self.since = self.since.max(at);
        }
        (self.part, self.is_kill, self.asked_at) = (Some(part), is_kill, at);
    }

    /// It begins anew: its node was away, or somebody wants it once more.
    pub fn again(&self, at: Time) -> Self {
        Self { part: self.part.clone(), told: self.told, ..Self::new(self.cause.clone(), at) }
    }

    /// That command has ended, and the turn runs. `error`: why it came to nothing, as far as that is known.
    pub fn part_ended(&mut self, error: String) {
        self.part = None;
        self.why = error;
        self.gave_up |= self.is_kill;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000;

    /// What is done at each whole second, when every command ends after `takes` seconds and nothing helps.
    fn play(mut stopping: Stopping, takes: i64, seconds: i64) -> Vec<(i64, Next)> {
        let begin = stopping.since.0;
        let mut out = Vec::new();
        for second in 0..seconds {
            let at = Time(begin + second * SECOND);
            if stopping.part.is_some() && at.0 - stopping.asked_at.0 >= takes * SECOND {
                stopping.part_ended("it does not listen".into());
            }
            let next = stopping.next(at);
            match next {
                Next::Abort | Next::Kill => stopping.ordered("c".into(), next == Next::Kill, at),
                Next::GiveUp => stopping.gave_up = true,
                Next::Wait => continue,
            }
            out.push((second, next));
        }
        out
    }

    #[test]
    fn a_turn_is_aborted_then_killed_then_given_up_and_killed_again_now_and_then() {
        let stopping = Stopping::new(Cause::Halt, Time(SECOND));
        let aborts = (0..10).step_by(2).map(|second| (second, Next::Abort));
        let told: Vec<_> = aborts.chain([(10, Next::Kill), (70, Next::Kill)]).collect();
        assert_eq!(play(stopping.clone(), 1, 80), told);
        let slow = play(stopping, 1_000, 80);
        assert_eq!(slow, [(0, Next::Abort), (10, Next::Kill), (40, Next::GiveUp)]);
    }

    #[test]
    fn a_node_that_stops_it_by_itself_is_given_time() {
        let stopping = Stopping::new(Cause::Lease("l".into()), Time(20 * SECOND));
        assert_eq!(stopping.next(Time(19 * SECOND)), Next::Wait);
        assert_eq!(stopping.next(Time(20 * SECOND)), Next::Abort);
        let late = Time(90 * SECOND);
        assert_eq!(stopping.next(late), Next::Abort, "one that was never aborted is not killed at once");
        let mut stopping = stopping;
        stopping.ordered("a".into(), false, late);
        assert_eq!(stopping.next(late.plus(Duration::from_secs(1))), Next::Wait, "nor a moment later");
    }

    #[test]
    fn a_kill_that_came_to_nothing_is_one_that_did() {
        let mut stopping = Stopping::new(Cause::Halt, Time(SECOND));
        stopping.ordered("a".into(), false, Time(SECOND));
        stopping.part_ended("no".into());
        assert!(!stopping.gave_up);
        stopping.ordered("k".into(), true, Time(2 * SECOND));
        stopping.part_ended("never".into());
        assert!(stopping.gave_up && stopping.why == "never");
    }
}
