//! From what was seen to what is wrong: pure, a function for each question.
//!
//! - `daemon`: processes, their units, configurations and memory.
//! - `store`: the supervisor's files, their backups, disks.
//! - `way`: ports, names, firewalls, tokens, clocks.
//! - `fleet`: what the supervisor tells of itself and its nodes.

mod daemon;
mod fleet;
mod store;
#[cfg(test)]
mod tests;
mod way;

use super::facts::DoctorFacts;
use super::finding::Finding;

/// A question: what is wrong there.
type Check = fn(&DoctorFacts) -> Vec<Finding>;

/// All questions, by the word under which their answers are told apart.
const CHECKS: [(&str, Check); 23] = [
    ("processes run", daemon::down),
    ("configurations are valid", daemon::config),
    ("configurations have a copy", daemon::copy),
    ("restarts are few", daemon::restarts),
    ("memory is within limits", daemon::memory),
    ("the kernel ended nothing", daemon::oom),
    ("the installed version runs", daemon::version),
    ("no errors in the journal", daemon::errors),
    ("opencode is there", daemon::opencode),
    ("files are the service's own", store::owners),
    ("store and mirror are whole", store::damage),
    ("nothing was set aside lately", store::aside),
    ("no session is missing", store::sessions),
    ("backups are fresh", store::backups),
    ("disks have room", store::disks),
    ("the port is the supervisor's", way::port),
    ("tokens match", way::tokens),
    ("no firewall in between", way::firewall),
    ("the supervisor is reached", way::reach),
    ("it answers well", way::answer),
    ("nodes are online", fleet::offline),
    ("nodes are well", fleet::nodes),
    ("no alerts are open", fleet::alerts),
];

/// Everything that is wrong, the worst first.
pub fn judge(facts: &DoctorFacts) -> Vec<Finding> {
    let mut all: Vec<Finding> = CHECKS.iter().flat_map(|(_, check)| check(facts)).collect();
    all.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.incident));
    all
}

/// What was asked, for whoever wants to know what "healthy" means.
pub fn questions() -> Vec<&'static str> {
    CHECKS.iter().map(|(question, _)| *question).collect()
}
