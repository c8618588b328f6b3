//! What the watcher remembers from look to look: since when something has been so, and what was counted before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hal_base::clock::{Stopwatch, Time};
use hal_base::cpu::CpuMeter;

/// What is counted as a rate is counted over this.
const MINUTE: Duration = Duration::from_secs(60);

/// A condition, and what it is about.
type Condition = (&'static str, String);

/// What is remembered.
#[derive(Debug)]
pub struct Memory {
    /// When this began: before that nobody could be heard.
    pub began: Time,
    /// How long ago that is.
    pub running: Stopwatch,
    /// The supervisor's own use of the processors.
    pub cpu: CpuMeter,
    since: BTreeMap<Condition, Stopwatch>,
    still: BTreeSet<Condition>,
    refused: VecDeque<(Stopwatch, u64)>,
    killed: BTreeMap<String, u64>,
}

impl Memory {
    /// Nothing was seen yet.
    pub fn begin(now: Time) -> Self {
        Self {
            began: now,
            running: Stopwatch::start(),
            cpu: CpuMeter::default(),
            since: BTreeMap::new(),
            still: BTreeSet::new(),
            refused: VecDeque::from([(Stopwatch::start(), 0)]),
            killed: BTreeMap::new(),
        }
    }

    /// It is so now: for how long it has been, from look to look.
    pub fn lasts(&mut self, name: &'static str, about: &str) -> Duration {
        let condition = (name, about.to_owned());
        self.still.insert(condition.clone());
        self.since.entry(condition).or_insert_with(Stopwatch::start).elapsed()
    }

    /// A look is over: what was not so in it begins anew.
    pub fn end_of_look(&mut self) {
        let still = std::mem::take(&mut self.still);
        self.since.retain(|condition, _| still.contains(condition));
    }

    /// How many there were in the last minute, from a count that only grows.
    pub fn in_a_minute(&mut self, now: u64) -> u64 {
        let counts = &mut self.refused;
        counts.push_back((Stopwatch::start(), now));
        while counts.len() > 1 && counts.front().is_some_and(|(at, _)| at.elapsed() > MINUTE) {
            counts.pop_front();
        }
        counts.front().map_or(0, |(_, then)| now.saturating_sub(*then))
    }

    /// How many more processes the kernel has ended than at the last look. What was so before the first is over, and a
    /// group that was made anew counts from the beginning.
    pub fn more_killed(&mut self, whose: &str, now: u64) -> u64 {
        let before = self.killed.insert(whose.to_owned(), now);
        before.map_or(0, |before| now.saturating_sub(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ceases_for_a_look_begins_anew() {
        let mut memory = Memory::begin(Time(0));
        memory.lasts("cpu.high", "a");
        memory.end_of_look();
        let began = Stopwatch::start();
        while began.elapsed() < Duration::from_millis(20) {}
        assert!(memory.lasts("cpu.high", "a") >= Duration::from_millis(20));
        memory.end_of_look();
        memory.end_of_look();
        assert!(memory.lasts("cpu.high", "a") < Duration::from_millis(20));
    }

    #[test]
    fn what_the_kernel_ends_is_told_once_and_what_was_before_is_not() {
        let mut memory = Memory::begin(Time(0));
        let seen = [3, 3, 5, 0, 1].map(|count| memory.more_killed("web-1", count));
        assert_eq!(seen, [0, 0, 2, 0, 1]);
    }
}
