//! Which nodes should be there, and what is said of those that are not: each by itself, or all of them at once.

use std::time::Duration;

use super::watch::{WatchFinding, WatchLimits};
use hal_protocol::alert::Severity;

/// How much longer one node is waited for than another that fell silent with it: heartbeats do not come at one time.
const TOGETHER: Duration = Duration::from_secs(60);

/// Names that are listed in a sentence.
const SHOWN: usize = 8;

/// How a node that was seen, or is configured, stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence<'a> {
    /// The node's name.
    pub node: &'a str,
    /// Whether it is connected.
    pub online: bool,
    /// Whether it ever was.
    pub was_seen: bool,
    /// For how long it was not heard of.
    pub away: Duration,
    /// Sessions on it that have not ended.
    pub sessions: u64,
}

/// What is to be said of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attendance {
    /// It is there, or need not be.
    Well,
    /// It is missed: how much that matters, and a sentence.
    Missed(Severity, String),
    /// It is too early to say, or it is said of all of them together: what was said of it stays.
    Open,
}

impl WatchLimits {
    /// Whether a node should be there: unless the configuration says that it comes and goes.
    pub fn expects(&self, node: &str) -> bool {
        self.nodes.get(node).copied().unwrap_or(true)
    }

    /// Each node in its order, and all of them together.
    pub fn attendance(&self, nodes: &[Presence<'_>]) -> (Vec<Attendance>, WatchFinding) {
        let expected: Vec<&Presence<'_>> = nodes.iter().filter(|one| self.expects(one.node)).collect();
        let all_away = expected.len() > 1 && expected.iter().all(|one| !one.online);
        let last = expected.iter().map(|one| one.away).min().unwrap_or_default();
        let all = if all_away && last > self.node_offline { Some(all_gone(&expected, last)) } else { None };
        // The first of a fleet that falls silent together is not told by itself a moment before the rest.
        let patience = match all_away {
            true => self.node_offline + self.node_offline.min(TOGETHER),
            false => self.node_offline,
        };
        let of = |one: &Presence<'_>| match self.expects(one.node) {
            _ if one.online => Attendance::Well,
            false => Attendance::Well,
            true if all.is_some() || one.away <= patience => Attendance::Open,
            true => {
                let (severity, text) = missed(one);
                Attendance::Missed(severity, text)
            }
        };
        (nodes.iter().map(of).collect(), all)
    }
}

fn missed(one: &Presence<'_>) -> (Severity, String) {
    let node = one.node;
    if !one.was_seen {
        let text = format!(
            "node {node} is in the configuration (nodes) and has never connected: start its hal-agent, and see the \
             alert agent.refused"
        );
        return (Severity::Medium, text);
    }
    let severity = if one.sessions > 0 { Severity::High } else { Severity::Medium };
    let lost = match one.sessions {
        0 => String::new(),
        1 => "; a session on it cannot be reached".to_owned(),
        many => format!("; {many} sessions on it cannot be reached"),
    };
    let minutes = one.away.as_secs_f64() / 60.0;
    (severity, format!("node {node} was last seen {minutes:.1} minutes ago{lost}: check its hal-agent"))
}

fn all_gone(nodes: &[&Presence<'_>], last: Duration) -> (Severity, String) {
    let sessions: u64 = nodes.iter().map(|one| one.sessions).sum();
    let severity = if sessions > 0 { Severity::Critical } else { Severity::High };
    let mut names = nodes.iter().take(SHOWN).map(|one| one.node).collect::<Vec<_>>().join(", ");
    if nodes.len() > SHOWN {
        names.push_str(", ..");
    }
    let (count, minutes) = (nodes.len(), last.as_secs_f64() / 60.0);
    let text = format!(
        "all {count} nodes are offline ({names}), the last one for {minutes:.1} minutes; {sessions} sessions cannot be \
         reached: this is more likely the way to the supervisor (firewall, address, TLS, token) than {count} agents; \
         try `curl ws://THIS-HOST:PORT` on a node"
    );
    (severity, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(node: &str, seconds: u64) -> Presence<'_> {
        let away = Duration::from_secs(seconds);
        Presence { node, was_seen: true, away, ..Presence::default() }
    }

    fn here(node: &str) -> Presence<'_> {
        Presence { online: true, ..away(node, 0) }
    }

    #[test]
    fn one_node_is_missed_beyond_the_limit_and_sessions_make_it_worse() {
        let limits = WatchLimits::default();
        let one = |presence: Presence<'_>| limits.attendance(&[presence, here("b")]).0.remove(0);
        assert_eq!(one(here("a")), Attendance::Well);
        assert_eq!(one(away("a", 120)), Attendance::Open);
        assert!(matches!(one(away("a", 121)), Attendance::Missed(Severity::Medium, _)));
        let busy = Presence { sessions: 3, ..away("a", 121) };
        let Attendance::Missed(Severity::High, text) = one(busy) else { panic!("it is high") };
        assert!(text.contains("3 sessions"), "{text}");
        let never = Presence { was_seen: false, ..away("a", 121) };
        let Attendance::Missed(_, text) = one(never) else { panic!("it is missed") };
        assert!(text.contains("never connected"), "{text}");
    }

    #[test]
    fn who_comes_and_goes_is_not_missed() {
        let nodes = [("laptop".to_owned(), false)].into_iter().collect();
        let limits = WatchLimits { nodes, ..WatchLimits::default() };
        let (each, all) = limits.attendance(&[away("laptop", 9_999), here("a")]);
        assert_eq!((each, all), (vec![Attendance::Well, Attendance::Well], None));
        // Of the others, one is no fleet.
        let (each, all) = limits.attendance(&[away("laptop", 9_999), away("a", 121)]);
        assert!(all.is_none() && matches!(each[1], Attendance::Missed(..)));
    }

    #[test]
    fn all_of_them_at_once_is_one_finding() {
        let limits = WatchLimits::default();
        let both = |a, b| limits.attendance(&[away("a", a), away("b", b)]);
        // The first is beyond the limit, the other not yet: nothing is said of either.
        assert_eq!(both(130, 110), (vec![Attendance::Open, Attendance::Open], None));
        let (each, all) = both(140, 121);
        assert_eq!(each, [Attendance::Open, Attendance::Open]);
        let (severity, text) = all.unwrap();
        assert!(severity == Severity::High && text.contains("all 2 nodes are offline (a, b)"), "{text}");
        // One is back.
        let (each, all) = limits.attendance(&[here("a"), away("b", 500)]);
        assert!(all.is_none() && matches!(each[1], Attendance::Missed(..)));
        // One was away for long, and the other one has just gone.
        assert!(matches!(both(9_999, 3).0[0], Attendance::Missed(..)));
    }
}
