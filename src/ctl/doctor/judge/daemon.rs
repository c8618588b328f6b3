//! Processes, their units, configurations and memory.

use crate::doctor::facts::{Backup, DaemonFacts, DaemonKind, DoctorFacts};
use crate::doctor::finding::{Finding, Incident, Remedy};
use crate::print::text::bytes;
use hal_protocol::alert::Severity;

/// More restarts than this mean that something is wrong: three happen in an upgrade that goes badly.
const MANY_RESTARTS: u64 = 3;

/// Memory that is too much where nobody has set a limit, of a supervisor and of an agent with all that it runs.
const MUCH: (u64, u64) = (2 << 30, 4 << 30);

/// Lines of a journal shown as evidence.
const FEW: usize = 5;

fn crashed(kind: DaemonKind) -> Incident {
    match kind {
        DaemonKind::Supervisor => Incident::SupervisorCrashed,
        DaemonKind::Agent => Incident::AgentCrashed,
    }
}

fn swollen(kind: DaemonKind) -> Incident {
    match kind {
        DaemonKind::Supervisor => Incident::SupervisorMemory,
        DaemonKind::Agent => Incident::AgentMemory,
    }
}

/// A name such as `agent.down`.
fn name(daemon: &DaemonFacts, what: &str) -> String {
    format!("{}.{what}", daemon.kind.word())
}

fn last(lines: &[String]) -> &[String] {
    &lines[lines.len().saturating_sub(FEW)..]
}

/// How it is started again by hand.
pub fn start(daemon: &DaemonFacts) -> String {
    let program = daemon.kind.program();
    match daemon.unit {
        Some(_) => format!("sudo systemctl restart {program}"),
        None => format!("{program} --config {}", daemon.config.path.display()),
    }
}

/// Daemons that should run and do not.
pub fn down(facts: &DoctorFacts) -> Vec<Finding> {
    facts.daemons.iter().filter(|daemon| !daemon.is_running()).map(|daemon| dead(facts, daemon)).collect()
}

fn dead(facts: &DoctorFacts, daemon: &DaemonFacts) -> Finding {
    let program = daemon.kind.program();
    let worst = if daemon.kind == DaemonKind::Supervisor { Severity::Critical } else { Severity::High };
    let (active, sub) = (daemon.property("ActiveState"), daemon.property("SubState"));
    if (active, sub) == ("activating", "start") {
        return Finding::new(
            name(daemon, "starting"),
            Severity::Low,
            crashed(daemon.kind),
            format!("{program} is starting"),
        )
        .helped([format!("sudo journalctl -u {program} -n 20")]);
    }
    let result = daemon.property("Result");
    let what = match (active, sub, result) {
        ("", ..) => format!("{program} is not running"),
        (_, "auto-restart", _) => {
            format!("{program} keeps crashing, and systemd keeps restarting it")
        }
        (_, _, "start-limit-hit") => format!("{program} crashed so often that systemd stopped restarting it"),
        (_, _, "oom-kill") => format!("{program} was killed: out of memory"),
        (_, _, "watchdog") => format!("{program} hung, and the watchdog killed it"),
        ("failed", ..) => format!("{program} has failed"),
        _ => format!("{program} is stopped"),
    };
    let mut state = Vec::new();
    if daemon.unit.is_some() {
        let status = daemon.property("ExecMainStatus");
        state.push(format!("unit {program}: {active} ({sub}), result {result}, exit code {status}"));
    }
    let logs = daemon.unit.is_some().then(|| format!("sudo journalctl -u {program} -n 50"));
    Finding::new(name(daemon, "down"), worst, crashed(daemon.kind), what)
        .shown(state)
        .shown(last(&daemon.errors))
        .helped([start(daemon)])
        .helped(logs)
        .fixed((daemon.unit.is_some() && would_start(facts, daemon)).then_some(Remedy::Restart(program)))
}

/// Whether a start can be expected to help, once what else can be fixed was fixed.
fn would_start(facts: &DoctorFacts, daemon: &DaemonFacts) -> bool {
    let config = &daemon.config;
    let is_readable = config.exists && (config.problems.is_none() || config.backup == Backup::Good);
    let is_taken = daemon.kind == DaemonKind::Supervisor
        && facts.port.as_ref().is_some_and(|port| port.listener.is_some());
    let is_masked = daemon.property("LoadState") == "masked";
    is_readable && !is_taken && !is_masked
}

/// Configurations that are refused, or that promise what does not happen.
pub fn config(facts: &DoctorFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    for daemon in &facts.daemons {
        let (program, config) = (daemon.kind.program(), &daemon.config);
        let path = config.path.display();
        let validate = format!("{program} --config {path} --validate");
        let is_down = !daemon.is_running();
        let severity = match (is_down, daemon.kind) {
            (true, DaemonKind::Supervisor) => Severity::Critical,
            (true, DaemonKind::Agent) => Severity::High,
            (false, _) => Severity::Medium,
        };
        if let Some(problems) = &config.problems {
            let (missing, then) = (!config.exists, if is_down { "" } else { ": the next start fails" });
            let what = if missing {
                format!("{path} is missing{then}")
            } else {
                format!("{path} is not valid{then}")
            };
            let good = config.backup == Backup::Good;
            let restore = good.then(|| format!("sudo cp {path}.backup {path}"));
            found.push(
                Finding::new(name(daemon, "config"), severity, crashed(daemon.kind), what)
                    .shown(problems)
                    .shown(good.then(|| format!("{path}.backup is valid")))
                    .shown(&config.difference)
                    .helped([validate])
                    .helped(restore)
                    .helped([start(daemon)])
                    // A file that somebody is just editing is theirs, as long as everything runs.
                    .fixed((good && is_down).then(|| Remedy::RestoreConfig(config.path.clone()))),
            );
        } else if !config.warnings.is_empty() {
            let asks_for_bills = config.warnings.iter().any(|warning| warning.contains(" cost."));
            let incident = if asks_for_bills { Incident::Cost } else { Incident::Upkeep };
            let what = format!("{path} is valid; warnings: {}", config.warnings.len());
            let finding = Finding::new(name(daemon, "config_warnings"), Severity::Low, incident, what);
            found.push(finding.shown(&config.warnings).helped([validate]));
        }
    }
    found
}

/// Configurations without a copy to go back to.
pub fn copy(facts: &DoctorFacts) -> Vec<Finding> {
    let without = facts.daemons.iter().filter(|daemon| {
        daemon.config.exists && daemon.config.problems.is_none() && daemon.config.backup != Backup::Good
    });
    without
        .map(|daemon| {
            let path = daemon.config.path.display();
            let what = match daemon.config.backup {
                Backup::Bad => format!("{path}.backup is not valid"),
                _ => format!("{path} has no backup copy"),
            };
            Finding::new(name(daemon, "config_backup"), Severity::Low, crashed(daemon.kind), what)
                .helped([format!("sudo cp -p {path} {path}.backup")])
        })
        .collect()
}

/// Daemons that were started again too often.
pub fn restarts(facts: &DoctorFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    for daemon in &facts.daemons {
        let (program, count) = (daemon.kind.program(), daemon.property("NRestarts"));
        if count.parse::<u64>().is_ok_and(|count| count > MANY_RESTARTS) {
            let what = format!("{program} was restarted {count} times by systemd");
            found.push(
                Finding::new(name(daemon, "restarts"), Severity::Medium, crashed(daemon.kind), what)
                    .shown(last(&daemon.errors))
                    .helped([
                        format!("sudo journalctl -u {program} -p err -n 50"),
                        format!("sudo systemctl reset-failed {program}"),
                    ]),
            );
        }
    }
    found
}

/// Daemons that use too much memory.
pub fn memory(facts: &DoctorFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    for daemon in &facts.daemons {
        let (program, memory) = (daemon.kind.program(), daemon.memory);
        let much = if daemon.kind == DaemonKind::Supervisor { MUCH.0 } else { MUCH.1 };
        let verdict = facts.limits.memory(program, memory.used, memory.limit).or_else(|| {
            let what = format!("{program} uses {} of memory, and nothing limits it", bytes(memory.own));
            (memory.limit == 0 && memory.own > much).then_some((Severity::High, what))
        });
        let Some((severity, what)) = verdict else { continue };
        let help = match daemon.kind {
            DaemonKind::Supervisor => "halctl sessions list | wc -l",
            DaemonKind::Agent => "halctl sessions list --node-id \"$(hostname)\"",
        };
        found.push(
            Finding::new(name(daemon, "memory"), severity, swollen(daemon.kind), what)
                .shown([format!("{} of its own", bytes(memory.own))])
                .helped([
                    help.to_owned(),
                    format!(
                        "sudo systemctl edit {program}   # [Service] MemoryMax={}",
                        bytes(much * 2).replace(".0 GiB", "G")
                    ),
                    format!("sudo systemctl restart {program}"),
                ]),
        );
    }
    found
}

/// Processes that the kernel has ended.
pub fn oom(facts: &DoctorFacts) -> Vec<Finding> {
    if facts.oom.is_empty() {
        return Vec::new();
    }
    let agent = facts.oom.iter().any(|line| line.contains("hal-agent"));
    let incident = if agent { Incident::AgentMemory } else { Incident::SupervisorMemory };
    let what = "the kernel has killed processes of HAL-O-SWARM within the last day: out of memory";
    let finding = Finding::new("oom", Severity::High, incident, what).shown(last(&facts.oom));
    vec![finding.helped(["sudo journalctl -k -g 'oom|Killed process' --since -1d", "free -h"])]
}

/// Daemons that run a file which was replaced since.
pub fn version(facts: &DoctorFacts) -> Vec<Finding> {
    let old = facts.daemons.iter().filter(|daemon| daemon.is_old);
    old.map(|daemon| {
        let what = format!("{} still runs the version before the last installation", daemon.kind.program());
        Finding::new(name(daemon, "old"), Severity::Low, Incident::Upkeep, what).helped([start(daemon)])
    })
    .collect()
}

/// Errors of daemons that run.
pub fn errors(facts: &DoctorFacts) -> Vec<Finding> {
    let noisy = facts.daemons.iter().filter(|daemon| daemon.is_running() && !daemon.errors.is_empty());
    noisy
        .map(|daemon| {
            let program = daemon.kind.program();
            let many = daemon.errors.len();
            let what =
                format!("{program} has logged {many} errors within the last day, 20 at most were read");
            let is_sick =
                daemon.errors.iter().any(|line| line.contains("malformed") || line.contains("damaged"));
            let incident = if is_sick { Incident::Corruption } else { crashed(daemon.kind) };
            Finding::new(name(daemon, "errors"), Severity::Low, incident, what)
                .shown(last(&daemon.errors))
                .helped([format!("sudo journalctl -u {program} -p err -n 20")])
        })
        .collect()
}

/// True for what a program says of a major version that agents understand: `1.18.33`, `v1.18.33`, `opencode v2.0.18`.
fn is_supported(version: &str) -> bool {
    let number = version.split_whitespace().next_back().unwrap_or_default().trim_start_matches('v');
    number.starts_with("1.") || number.starts_with("2.")
}

/// A coding agent that cannot be started.
pub fn opencode(facts: &DoctorFacts) -> Vec<Finding> {
    let Some(opencode) = &facts.opencode else { return Vec::new() };
    let why = match &opencode.version {
        Ok(version) if is_supported(version) => return Vec::new(),
        Ok(version) => {
            format!("{} is version {version}, and only 1.x and 2.x are supported", opencode.program)
        }
        Err(why) => format!("no coding agent can work here: {why}"),
    };
    let finding = Finding::new("agent.opencode", Severity::Medium, Incident::AgentCrashed, why);
    vec![finding.helped(["npm install -g opencode-ai@1.18", "opencode --version"])]
}
