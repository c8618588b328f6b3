//! The signs of life of a node: noted by the task that holds its connection, read by whoever wants to know. The hub is not
//! asked, so that a fleet that has nothing to say costs it nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hal_base::clock::{Reading, Time, jump};
use hal_protocol::frame::Heartbeat;
use hal_protocol::node::Resources;
use hal_rules::node::{MAX_SEQ, measured};

/// What a node has told of itself: when it last spoke, and what its last heartbeat said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vitals {
    /// When it was last heard of.
    pub heard: Time,
    /// How its machine is.
    pub resources: Resources,
    /// Milliseconds by which its clock is ahead of ours.
    pub clock_ahead_ms: i64,
    /// The last number its journal holds, as far as it said.
    pub held: u64,
}

/// The place where one connection notes them. Every view that knows the connection shares it, so a commit that fails takes
/// nothing of it away; that of a node which is offline is nobody's, and stands still.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    vitals: Vitals,
    /// When this machine began to run, by the clock that `vitals.heard` was read from.
    began: Time,
}

impl Pulse {
    /// One that nobody writes.
    pub fn still(vitals: Vitals) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Noted { vitals, began: Time::default() })))
    }

    /// What was noted last.
    pub fn vitals(&self) -> Vitals {
        self.lock().vitals
    }

    /// The connection begins with this, by the clock of a machine that `began` to run then.
    pub fn begin(&self, vitals: Vitals, began: Time) {
        *self.lock() = Noted { vitals, began };
    }

    /// The node has spoken; with a heartbeat it has said how it is.
    pub fn hear(&self, heartbeat: Option<&Heartbeat>, clock: Reading) {
        let mut noted = self.lock();
        (noted.vitals.heard, noted.began) = (clock.at, clock.began());
        if let Some(heartbeat) = heartbeat {
            noted.vitals.resources = measured(heartbeat.resources);
            let held = Some(heartbeat.last_seq).filter(|seq| *seq < MAX_SEQ).unwrap_or(0);
            noted.vitals.held = noted.vitals.held.max(held);
            noted.vitals.clock_ahead_ms = heartbeat.now_ms.map_or(0, |now| now.saturating_sub(clock.at.0));
        }
    }

    /// The clock was set: this machine has `began` to run at another time. What was noted by the new clock stays.
    pub fn follow(&self, began: Time) {
        let mut noted = self.lock();
        if let Some(by) = jump(noted.began, began) {
            noted.vitals.heard.0 = noted.vitals.heard.0.saturating_add(by);
            noted.began = began;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOUR: i64 = 3_600_000;

    /// The clocks after a machine has run for so many seconds, when the one that can be set is ahead by so much.
    fn clock(up: u64, ahead: i64) -> Reading {
        Reading { at: Time(HOUR * 1_000 + ahead + 1_000 * up.cast_signed()), up: Duration::from_secs(up) }
    }

    #[test]
    fn what_a_heartbeat_says_is_noted_and_no_sense_is_not() {
        let pulse = Pulse::default();
        let at = clock(100, 0).at;
        let resources = Resources { cpu_percent: f32::NAN, disk_free: 7, ..Resources::default() };
        let heartbeat = Heartbeat { resources, last_seq: 9, now_ms: Some(at.0 + 50) };
        pulse.hear(Some(&heartbeat), clock(100, 0));
        let Vitals { heard, resources, clock_ahead_ms, held } = pulse.vitals();
        assert_eq!((heard, resources.disk_free, clock_ahead_ms, held), (at, 7, 50, 9));
        assert!(resources.cpu_percent.is_finite());
        pulse.hear(Some(&Heartbeat { last_seq: u64::MAX, ..heartbeat.clone() }), clock(100, 0));
        pulse.hear(Some(&Heartbeat { last_seq: 3, ..heartbeat }), clock(101, 0));
        pulse.hear(None, clock(102, 0));
        assert_eq!(pulse.vitals().held, 9, "a journal does not become shorter");
        assert_eq!(pulse.vitals().heard, clock(102, 0).at);
        assert_eq!(pulse.vitals().resources.disk_free, 7, "another frame says nothing of the machine");
    }

    #[test]
    fn a_clock_that_is_set_moves_what_was_noted_before_and_nothing_twice() {
        let pulse = Pulse::default();
        for ahead in [HOUR, -HOUR] {
            pulse.hear(None, clock(100, 0));
            pulse.follow(clock(110, 0).began());
            assert_eq!(pulse.vitals().heard, clock(100, 0).at, "nobody has set it");
            for _ in 0..2 {
                pulse.follow(clock(110, ahead).began());
                assert_eq!(pulse.vitals().heard, clock(100, ahead).at, "it is as long ago as before");
            }
            // Set, spoken, and only then noticed.
            pulse.hear(None, clock(120, ahead));
            pulse.follow(clock(121, ahead).began());
            assert_eq!(pulse.vitals().heard, clock(120, ahead).at);
        }
    }

    #[test]
    fn a_small_correction_of_the_clock_moves_nothing() {
        let pulse = Pulse::default();
        pulse.hear(None, clock(100, 0));
        pulse.follow(clock(101, 900).began());
        assert_eq!(pulse.vitals().heard, clock(100, 0).at);
    }
}
