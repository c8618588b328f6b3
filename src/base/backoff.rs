//! How long to wait before trying again: doubling, bounded, with jitter so that a fleet does not march in step.

use std::time::Duration;

use uuid::Uuid;

/// Delays that double from `first` to `most`, each spread by a quarter up or down.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
}

impl Backoff {
    /// Starts at `first` and never exceeds `most` by more than the jitter.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, tries: 0 }
    }

    /// The next delay. Each call counts as one failed attempt.
    pub fn next_delay(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.tries.min(20));
        self.tries = self.tries.saturating_add(1);
        doubled.min(self.most).mul_f64(0.75 + 0.5 * unit_random())
    }

    /// Attempts since the last success.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Call after a success: the next delay is the first again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A random number in 0..1.
fn unit_random() -> f64 {
    let bits = Uuid::new_v4().as_u128() as u32;
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_stay_bounded_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(60));
        let delays: Vec<_> = (0..40).map(|_| backoff.next_delay()).collect();
        assert!(delays[0] >= Duration::from_millis(75) && delays[0] <= Duration::from_millis(125));
        assert!(delays[39] >= Duration::from_secs(45) && delays[39] <= Duration::from_secs(75));
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(125));
    }
}
