//! When what the supervisor sees of itself and of its nodes is worth an alert.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use hal_protocol::alert::Severity;

/// A disk with so little of it free will be full before anybody looks.
const NEARLY_FULL_PERCENT: u64 = 3;

/// Memory beyond this part of the limit: the kernel will end the process soon.
const NEARLY_OUT_PERCENT: u64 = 95;

/// From where on things are worth an alert; the sample of the configuration explains each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// Whether anything is.
    pub is_on: bool,
    /// A node is offline for longer.
    pub node_offline: Duration,
    /// More of a memory limit is used, in percent.
    pub memory_percent: u64,
    /// Less of a disk is free, in percent.
    pub disk_free_percent: u64,
    /// So much of the disk, or of `retention.max_size`, is used, in percent.
    pub disk_used_percent: u64,
    /// One of them is full within this at the present rate.
    pub full_within: Duration,
    /// The supervisor takes longer to answer.
    pub response: Duration,
    /// A node's clock differs by more.
    pub clock_skew: Duration,
    /// More connections are refused in a minute.
    pub refused_per_minute: u64,
    /// The mirror is further behind.
    pub mirror_lag: Duration,
    /// Nothing was said of an open incident for so long: it is said again.
    pub reminder: Duration,
    /// Nodes of the configuration, and whether each should be there; any other should since it was first seen.
    pub nodes: BTreeMap<String, bool>,
    /// A coding agent does not run for longer.
    pub backend_down: Duration,
    /// A command takes longer.
    pub command: Duration,
    /// A command that starts a coding agent takes longer.
    pub command_start: Duration,
    /// A daemon uses more of one core, in percent,
    pub cpu_percent: u64,
    /// for longer than this.
    pub cpu_for: Duration,
    /// Prometheus has not asked for longer, since it first did; zero: nobody minds.
    pub metrics_unscraped: Duration,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            is_on: true,
            node_offline: Duration::from_secs(120),
            memory_percent: 80,
            disk_free_percent: 10,
            disk_used_percent: 80,
            full_within: Duration::from_secs(7 * 86_400),
            response: Duration::from_secs(5),
            clock_skew: Duration::from_secs(5),
            refused_per_minute: 30,
            mirror_lag: Duration::from_secs(60),
            reminder: Duration::from_secs(900),
            nodes: BTreeMap::new(),
            backend_down: Duration::from_secs(10),
            command: Duration::from_secs(10),
            command_start: Duration::from_secs(60),
            cpu_percent: 90,
            cpu_for: Duration::from_secs(300),
            metrics_unscraped: Duration::from_secs(900),
        }
    }
}

/// What is wrong: how much it matters, and a sentence.
pub type WatchFinding = Option<(Severity, String)>;

impl WatchLimits {
    /// Memory in use, of a limit; 0: there is none.
    pub fn memory(&self, whose: impl Display, used: u64, limit: u64) -> WatchFinding {
        let percent = used.saturating_mul(100).checked_div(limit)?;
        let severity = if percent >= NEARLY_OUT_PERCENT { Severity::Critical } else { Severity::High };
        (percent > self.memory_percent).then(|| {
            let mib = |bytes: u64| bytes / (1024 * 1024);
            let text = format!(
                "{whose} uses {} MiB of memory, {percent} % of its limit of {} MiB: raise MemoryMax, or find the cause",
                mib(used),
                mib(limit)
            );
            (severity, text)
        })
    }

    /// Room on a disk; a size of 0 is not known.
    pub fn disk(&self, whose: impl Display, free: u64, size: u64) -> WatchFinding {
        let percent = free.saturating_mul(100).checked_div(size)?;
        let severity = if percent < NEARLY_FULL_PERCENT { Severity::Critical } else { Severity::High };
        (percent < self.disk_free_percent).then(|| {
            let mib = free / (1024 * 1024);
            (severity, format!("the disk of {whose} has {mib} MiB free, {percent} % of it: free some space"))
        })
    }

    /// How long the supervisor took to answer itself.
    pub fn slow(&self, took: Duration) -> WatchFinding {
        (took > self.response).then(|| {
            let seconds = took.as_secs_f64();
            (
                Severity::High,
                format!("the supervisor took {seconds:.1} s to answer: check its load and its disk"),
            )
        })
    }

    /// How long a daemon has used more than its part of a core, and how much it uses now.
    pub fn cpu(&self, whose: impl Display, percent: f64, since: Duration) -> WatchFinding {
        (since > self.cpu_for).then(|| {
            let minutes = since.as_secs_f64() / 60.0;
            let text = format!(
                "{whose} uses {percent:.0} % of a core, and has used more than {} % for {minutes:.1} minutes: see `top`, its \
                 log, and how many sessions and events there are; if it stays so, restart it and report it",
                self.cpu_percent
            );
            (Severity::Medium, text)
        })
    }

    /// For how long Prometheus has not asked, though it did before.
    pub fn unscraped(&self, since: Option<Duration>) -> WatchFinding {
        let since =
            since.filter(|since| !self.metrics_unscraped.is_zero() && *since > self.metrics_unscraped)?;
        let minutes = since.as_secs_f64() / 60.0;
        let text = format!(
            "Prometheus has not asked for /metrics for {minutes:.1} minutes, and did before: check its job and its token; if \
             it is not to come again, set alerts.metrics_unscraped to 0s"
        );
        Some((Severity::Low, text))
    }

    /// How far a node's clock is from the supervisor's, in milliseconds.
    pub fn skew(&self, node: &str, by_ms: i64) -> WatchFinding {
        (u128::from(by_ms.unsigned_abs()) > self.clock_skew.as_millis()).then(|| {
            let word = if by_ms > 0 { "ahead" } else { "behind" };
            let seconds = by_ms.unsigned_abs() as f64 / 1e3;
            let text = format!("the clock of node {node} is {seconds:.1} s {word}: synchronise it with NTP");
            (Severity::Medium, text)
        })
    }

    /// How many connections were turned away within a minute.
    pub fn refused(&self, count: u64) -> WatchFinding {
        (count > self.refused_per_minute).then(|| {
            let text = format!(
                "{count} connections were refused within a minute, most for a wrong token: the log names their \
                 addresses"
            );
            (Severity::High, text)
        })
    }

    /// How far the mirror is behind, and why.
    pub fn mirror(&self, lag: Duration, trouble: Option<&str>) -> WatchFinding {
        (lag > self.mirror_lag).then(|| {
            let why = trouble.unwrap_or("it cannot keep up");
            (Severity::Medium, format!("supervisor.db is {} s behind the store: {why}", lag.as_secs()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_given_beyond_the_limit_and_not_at_it() {
        let limits = WatchLimits::default();
        let severity = |verdict: WatchFinding| verdict.map(|(severity, _)| severity);
        let seconds = Duration::from_secs;
        assert_eq!(severity(limits.cpu("it", 99.0, seconds(300))), None);
        assert_eq!(severity(limits.cpu("it", 99.0, seconds(301))), Some(Severity::Medium));
        assert_eq!(severity(limits.unscraped(None)), None, "nobody ever asked");
        assert_eq!(severity(limits.unscraped(Some(seconds(901)))), Some(Severity::Low));
        let off = WatchLimits { metrics_unscraped: Duration::ZERO, ..WatchLimits::default() };
        assert_eq!(severity(off.unscraped(Some(seconds(901)))), None);
        assert_eq!(severity(limits.memory("it", 80, 100)), None);
        assert_eq!(severity(limits.memory("it", 81, 100)), Some(Severity::High));
        assert_eq!(severity(limits.memory("it", 99, 100)), Some(Severity::Critical));
        assert_eq!(severity(limits.memory("it", 99, 0)), None, "without a limit");
        assert_eq!(severity(limits.disk("it", 10, 100)), None);
        assert_eq!(severity(limits.disk("it", 9, 100)), Some(Severity::High));
        assert_eq!(severity(limits.disk("it", 0, 100)), Some(Severity::Critical));
        assert_eq!(severity(limits.disk("it", 0, 0)), None, "not known");
        assert_eq!(severity(limits.skew("n", -5_001)), Some(Severity::Medium));
        assert_eq!(severity(limits.skew("n", 5_000)), None);
        assert_eq!(severity(limits.skew("n", i64::MIN)), Some(Severity::Medium));
        assert_eq!(severity(limits.slow(seconds(5))), None);
        assert_eq!(severity(limits.refused(31)), Some(Severity::High));
        assert_eq!(severity(limits.mirror(seconds(61), None)), Some(Severity::Medium));
    }
}
