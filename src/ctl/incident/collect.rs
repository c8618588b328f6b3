//! What goes into a bundle: what the runbook's escalation asks for, and what the supervisor knows of the time around.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::book::Incident;
use super::bundle::Bundle;
use crate::cli::Global;
use crate::cli::doctor::Machine;
use crate::client::{Client, Query};
use crate::discover::Surroundings;
use crate::doctor::facts::{Config, DaemonKind, DoctorFacts};
use crate::doctor::gather::{DoctorContext, agent_target, database, machine, operator_target, paths};
use crate::doctor::{examine, scrubber};
use crate::print::Screen;
use crate::scrub::Scrubber;
use crate::tool::{QUICK, Tools};
use hal_base::clock::now;
use hal_base::config::loose;
use hal_base::daemon::version;
use hal_base::exit::Failure;

/// Lines of a journal, as the runbook takes them.
const LINES: &str = "1000";

/// Records of each kind that are asked of the supervisor.
const RECORDS: usize = 1000;

/// How long the supervisor's metrics may take.
const METRICS: Duration = Duration::from_secs(20);

/// Variables of a daemon whose values say something and are no secret; of others only the name is kept.
const OPEN_VARIABLES: [&str; 9] =
    ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "SHELL", "XDG_STATE_HOME", "INVOCATION_ID"];

/// What the machine is asked.
const MACHINE: [(&str, &[&str]); 7] = [
    ("system/uname.txt", &["uname", "-a"]),
    ("system/df.txt", &["df", "-h"]),
    ("system/df-files.txt", &["df", "-i"]),
    ("system/free.txt", &["free", "-h"]),
    ("system/uptime.txt", &["uptime"]),
    ("system/units.txt", &["systemctl", "list-units", "--all", "--no-pager", "hal-*"]),
    ("system/oom.txt", &["journalctl", "-k", "-n", "200", "-p", "err", "--no-pager", "-o", "short-iso"]),
];

/// What is collected from where.
pub struct CollectScope<'a> {
    /// The configurations of this machine.
    pub machine: &'a Machine,
    /// So long before the incident began.
    pub since: Duration,
    /// The flags of halctl.
    pub global: &'a Global,
    /// Its environment.
    pub around: &'a Surroundings,
}

/// Collects everything that can be had; what cannot is written down.
pub async fn collect(
    asked: &CollectScope<'_>,
    incident: &Incident,
    screen: &mut Screen,
) -> Result<Bundle, Failure> {
    let (tools, scrub) = (Tools::of_process(), scrubber(asked.machine));
    let place = DoctorContext {
        global: asked.global,
        around: asked.around,
        machine: asked.machine,
        is_fleet: true,
        tools: &tools,
        scrub: &scrub,
    };
    let mut bundle = Bundle::new(&incident.id, scrubber(asked.machine));
    screen.say("Collecting from this machine.");
    let (facts, report) = examine(&place).await;
    bundle.add_tree("incident.json", "halctl incident get", tree(incident));
    configs(asked.machine, &mut bundle);
    bundle.add_tree("doctor.json", "halctl doctor --fleet -o json", tree(&report));
    bundle.add("doctor.txt", "halctl doctor --fleet", Ok(report.page(false)));
    bundle.add("system/versions.txt", "halctl --version", Ok(versions(&facts)));
    let release = machine::read(Path::new("/etc/os-release"));
    bundle.add("system/os-release.txt", "/etc/os-release", release);
    for (name, line) in MACHINE {
        told(&mut bundle, &tools, name, line).await;
    }
    for daemon in &facts.daemons {
        unit(&mut bundle, &tools, daemon.kind.program()).await;
        let (name, source) =
            (format!("system/{}.environment.txt", daemon.kind.program()), "/proc/PID/environ");
        bundle.add(&name, source, environment(daemon.pids.first().copied()));
    }
    screen.say("Asking the supervisor.");
    supervisor(asked, &place, &facts, incident, &mut bundle).await;
    audit(&tools, &facts, &mut bundle).await;
    Ok(bundle)
}

fn tree(value: &impl serde::Serialize) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// Both configurations; they come first, so that their secrets are known in all that follows.
fn configs(asked: &Machine, bundle: &mut Bundle) {
    for (kind, path) in paths(asked) {
        let name = format!("config/{}.config.json", kind.word());
        let source = path.display().to_string();
        match machine::read(path).map(|text| loose(&text).ok_or(text)) {
            Ok(Ok(values)) => bundle.add_tree(&name, &source, Ok(values)),
            Ok(Err(broken)) => bundle.add(&name, &source, Ok(Scrubber::broken_json(&broken))),
            Err(why) => bundle.add(&name, &source, Err(why)),
        }
    }
}

fn versions(facts: &DoctorFacts) -> String {
    let mut text = format!("halctl {}\n", version());
    for reach in facts.reaches.iter().filter(|reach| !reach.version.is_empty()) {
        text.push_str(&format!("hal-supervisor {} at {}\n", reach.version, reach.url));
    }
    for node in facts.told.iter().flat_map(|told| &told.nodes) {
        text.push_str(&format!("hal-agent {} on {}\n", node.version, node.id));
    }
    if let Some(opencode) = &facts.opencode {
        text.push_str(&format!("{} {:?}\n", opencode.program, opencode.version));
    }
    text
}

/// What a program says, whether it ends well or not: a `systemctl status` of a dead unit ends with 3.
async fn told(bundle: &mut Bundle, tools: &Tools, name: &str, line: &[&str]) {
    let said = tools.run(line, QUICK).await.and_then(|said| {
        let is_empty = said.out.trim().is_empty();
        if is_empty && !said.is_well() { Err(said.words().to_owned()) } else { Ok(said.out) }
    });
    bundle.add(name, &line.join(" "), said);
}

async fn unit(bundle: &mut Bundle, tools: &Tools, program: &str) {
    let journal = ["journalctl", "-u", program, "-n", LINES, "--no-pager", "-o", "short-iso-precise"];
    told(bundle, tools, &format!("logs/{program}.log"), &journal).await;
    let status = ["systemctl", "status", program, "--no-pager", "-n", "0"];
    told(bundle, tools, &format!("units/{program}.status.txt"), &status).await;
    told(bundle, tools, &format!("units/{program}.unit.txt"), &["systemctl", "cat", program, "--no-pager"])
        .await;
}

/// The environment of a daemon: what is harmless with its value, all else by name.
fn environment(pid: Option<u32>) -> Result<String, String> {
    let all = machine::environment(pid.ok_or("it does not run")?);
    let line = |(name, value): &(String, String)| match OPEN_VARIABLES.contains(&name.as_str()) {
        true => format!("{name}={value}\n"),
        false => format!("{name} is set\n"),
    };
    Ok(all.iter().map(line).collect())
}

/// What the supervisor knows, by whichever way leads in.
async fn supervisor(
    asked: &CollectScope<'_>,
    place: &DoctorContext<'_>,
    facts: &DoctorFacts,
    incident: &Incident,
    bundle: &mut Bundle,
) {
    let config = |kind: DaemonKind| {
        facts.daemons.iter().find(|daemon| daemon.kind == kind).map(|daemon| &daemon.config)
    };
    let operator = operator_target(place, config(DaemonKind::Supervisor));
    let ways = [Some(operator), config(DaemonKind::Agent).map(|config: &Config| agent_target(config))];
    let mut why = String::new();
    for target in ways.into_iter().flatten() {
        let tried = match target.and_then(Client::new) {
            Ok(client) => {
                client.get::<Value>(&["nodes"], &Query::new()).await.map(|nodes| (client, nodes.data))
            }
            Err(failure) => Err(failure),
        };
        match tried {
            Ok((client, nodes)) => {
                bundle.add_tree("supervisor/nodes.json", "GET /api/v1/nodes", Ok(nodes));
                return ask(asked, &client, incident, bundle).await;
            }
            Err(failure) => why = failure.to_string(),
        }
    }
    bundle.add("supervisor/", "the API", Err(why));
}

async fn ask(asked: &CollectScope<'_>, client: &Client, incident: &Incident, bundle: &mut Bundle) {
    let since = incident.opened_at.minus(asked.since);
    let until = if incident.is_open() { now() } else { incident.closed_at };
    let around = vec![("since", since.to_string()), ("until", until.to_string())];
    for (noun, query) in [
        ("events", around),
        ("commands", Query::new()),
        ("sessions", Query::new()),
        ("alerts", vec![("status", "all".to_owned())]),
    ] {
        let all = client.pages::<Value>(noun, query, Some(RECORDS), RECORDS).all().await;
        let all = all.map(Value::from).map_err(|failure| failure.to_string());
        bundle.add_tree(&format!("supervisor/{noun}.json"), &format!("GET /api/v1/{noun}"), all);
    }
    for (name, path) in [("metrics.txt", "metrics"), ("health.json", "api/v1/health")] {
        let answer = client.outside(path, true, METRICS).await;
        let text = answer.map(|(_, text)| String::from_utf8_lossy(&text).into_owned());
        bundle.add(&format!("supervisor/{name}"), &format!("GET /{path}"), text);
    }
    let backups = client.get::<Value>(&["backups"], &Query::new()).await;
    let backups = backups.map(|answer| answer.data).map_err(|failure| failure.to_string());
    bundle.add_tree("supervisor/backups.json", "GET /api/v1/backups", backups);
}

/// The audit log, as the file for operators has it, also while the supervisor is down.
async fn audit(tools: &Tools, facts: &DoctorFacts, bundle: &mut Bundle) {
    let Some(daemon) = facts.daemons.iter().find(|daemon| daemon.kind == DaemonKind::Supervisor) else {
        return;
    };
    let file = database(&daemon.config);
    let statement = format!("SELECT * FROM audit_log ORDER BY seq DESC LIMIT {RECORDS}");
    let line = ["sqlite3", "-readonly", "-json", &file.to_string_lossy(), &statement];
    let rows = match tools.run(&line, QUICK).await {
        Ok(said) if said.is_well() && said.out.trim().is_empty() => Ok(Value::Array(Vec::new())),
        Ok(said) if said.is_well() => serde_json::from_str(&said.out).map_err(|error| error.to_string()),
        Ok(said) => Err(said.words().to_owned()),
        Err(why) => Err(why),
    };
    bundle.add_tree("supervisor/audit.json", "sqlite3 supervisor.db: audit_log", rows);
}
