//! How much processor time this process uses, as the kernel counts it.

use std::fs;
use std::time::Duration;

use super::clock::Stopwatch;

/// What /proc counts in: the kernel shows every program a hundredth of a second, whatever it counts in itself.
const TICK_MS: u64 = 10;

/// Measures use between two looks.
#[derive(Debug, Default)]
pub struct CpuMeter {
    last: Option<(Stopwatch, Duration)>,
}

impl CpuMeter {
    /// Percent of one core since the last look, so that 250 is two cores and a half. `None`: it is the first look, or the
    /// kernel does not say.
    pub fn percent(&mut self) -> Option<f64> {
        let used = used()?;
        let (since, before) = self.last.replace((Stopwatch::start(), used))?;
        let elapsed = since.elapsed().as_secs_f64();
        (elapsed > 0.0).then(|| used.saturating_sub(before).as_secs_f64() / elapsed * 100.0)
    }
}

/// Processor time of this process so far, in user and kernel mode.
pub fn used() -> Option<Duration> {
    let ticks = ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
    Some(Duration::from_millis(ticks.saturating_mul(TICK_MS)))
}

/// utime and stime of `/proc/PID/stat`. A name may hold spaces and brackets, so fields are counted from its end.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_its_core() {
        assert_eq!(ticks("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 100 23 0 0"), Some(123));
        assert_eq!(ticks("7 (a"), None);
        let mut meter = CpuMeter::default();
        assert_eq!(meter.percent(), None);
        let began = Stopwatch::start();
        while began.elapsed() < Duration::from_millis(300) {}
        assert!(meter.percent().unwrap() > 5.0);
    }
}
