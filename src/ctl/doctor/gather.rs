//! Looks at the machine: reads files, asks systemd and the supervisor, and judges nothing.
//!
//! - `machine`: processes, sockets, disks, as /proc and the file system show them.
//! - `unit`: what systemd and the journal say.
//! - `files`: the supervisor's files.
//! - `firewall`: rules that turn away what goes to a port.
//! - `way`: the way to a supervisor, step by step, and what it says.

mod difference;
mod files;
mod firewall;
pub mod machine;
mod unit;
mod way;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::facts::{Backup, Config, DaemonFacts, DaemonKind, Disk, DoctorFacts, Opencode, Port};
use crate::cli::Global;
use crate::cli::doctor::Machine;
use crate::discover::Surroundings;
use crate::scrub::Scrubber;
use crate::tool::{QUICK, Tools};
use hal_base::clock;
use hal_base::config::loose;
use hal_base::secret::Secret;
use hal_protocol::actor::token_id;
use hal_protocol::default;
use hal_rules::watch::WatchLimits;
use unit::Systemd;

pub use way::{agent_target, operator_target};

/// Where to look and by what means.
pub struct DoctorContext<'a> {
    /// The flags of halctl.
    pub global: &'a Global,
    /// Its environment.
    pub around: &'a Surroundings,
    /// The configuration files that were named.
    pub machine: &'a Machine,
    /// Whether all nodes are asked for.
    pub is_fleet: bool,
    /// How other programs are run.
    pub tools: &'a Tools,
    /// What takes secrets out of evidence.
    pub scrub: &'a Scrubber,
}

/// Looks at everything.
pub async fn gather(place: &DoctorContext<'_>) -> DoctorFacts {
    let mut facts = DoctorFacts { now: clock::now(), is_fleet: place.is_fleet, ..DoctorFacts::default() };
    let systemd = Systemd::find(place.tools, &mut facts.notes).await;
    for (kind, path) in paths(place.machine) {
        let unit = systemd.unit(place.tools, kind.program()).await;
        if path.exists() || unit.is_some() {
            facts.daemons.push(daemon(place, &systemd, kind, path, unit, &mut facts.notes).await);
        }
    }
    leave_out(&mut facts);
    facts.oom = systemd.oom(place, &mut facts.notes).await;
    supervisor(place, &mut facts).await;
    agent(place, &mut facts).await;
    facts.tokens_match = tokens_match(&facts.daemons);
    way::go(place, &mut facts).await;
    let mut notes = Vec::new();
    facts.barriers = firewall::barriers(place.tools, &facts, &mut notes).await;
    facts.notes.append(&mut notes);
    let mut known = BTreeSet::new();
    facts.notes.retain(|note| known.insert(note.clone()));
    facts
}

/// The configuration of each daemon on this machine.
pub fn paths(machine: &Machine) -> [(DaemonKind, &Path); 2] {
    [(DaemonKind::Supervisor, &machine.supervisor_config), (DaemonKind::Agent, &machine.agent_config)]
}

/// A package brings both daemons; the one that is switched off beside the other does not belong here.
fn leave_out(facts: &mut DoctorFacts) {
    let is_off = |daemon: &DaemonFacts| {
        daemon.property("UnitFileState") == "disabled" && daemon.property("ActiveState") == "inactive"
    };
    if facts.daemons.iter().all(is_off) {
        return;
    }
    for daemon in facts.daemons.iter().filter(|daemon| is_off(daemon)) {
        let program = daemon.kind.program();
        facts
            .notes
            .push(format!("{program} is disabled here; if it should run: systemctl enable --now {program}"));
    }
    facts.daemons.retain(|daemon| !is_off(daemon));
}

async fn daemon(
    place: &DoctorContext<'_>,
    systemd: &Systemd,
    kind: DaemonKind,
    path: &Path,
    unit: Option<std::collections::BTreeMap<String, String>>,
    notes: &mut Vec<String>,
) -> DaemonFacts {
    let main = unit.as_ref().and_then(|unit| unit.get("MainPID")?.parse().ok()).filter(|pid| *pid != 0);
    let pids = main.map_or_else(|| machine::processes(kind, path), |pid| vec![pid]);
    let pid = pids.first().copied();
    let config = config(place, kind, path, unit.is_some(), notes).await;
    let errors = match &unit {
        Some(_) => systemd.errors(place, kind.program(), notes).await,
        None => Vec::new(),
    };
    DaemonFacts {
        kind,
        memory: unit::memory(pid, unit.as_ref()),
        is_old: pid.is_some_and(machine::is_replaced),
        up: pid.and_then(|pid| machine::up(pid, clock::now())),
        unit,
        pids,
        config,
        errors,
    }
}

/// Looks at a configuration: what the daemon itself says of it, and of its copy.
async fn config(
    place: &DoctorContext<'_>,
    kind: DaemonKind,
    path: &Path,
    is_service: bool,
    notes: &mut Vec<String>,
) -> Config {
    let mut config = Config { path: path.to_owned(), exists: path.exists(), ..Config::default() };
    if machine::is_closed(path) {
        notes.push(format!("{} may not be read by you: use sudo", path.display()));
        return Config { exists: false, ..config };
    }
    config.credential = place.tools.credential(kind.program()).await;
    config.values =
        [path, &config.backup_path()].into_iter().find_map(|path| values(path).ok()).unwrap_or_default();
    // A service's folders are not this user's, and a check that fails for that reason says nothing.
    if is_service && !rustix::process::geteuid().is_root() {
        notes.push(format!("{} was not validated: that takes root", path.display()));
        return Config { exists: false, ..config };
    }
    match validate(place, kind, path).await {
        Ok((true, lines)) => config.warnings = lines,
        Ok((false, lines)) => config.problems = Some(lines),
        Err(why) => notes.push(format!("{} was not validated: {why}", path.display())),
    }
    let copy = config.backup_path();
    if copy.exists() {
        let is_good = validate(place, kind, &copy).await.is_ok_and(|(is_good, _)| is_good);
        config.backup = if is_good { Backup::Good } else { Backup::Bad };
        if is_good && config.problems.is_some() {
            config.difference = difference::difference(place.scrub, path, &copy);
        }
    }
    config
}

/// Whether a daemon takes a configuration, and what it says of it.
async fn validate(
    place: &DoctorContext<'_>,
    kind: DaemonKind,
    path: &Path,
) -> Result<(bool, Vec<String>), String> {
    let shown = path.to_string_lossy();
    let said = place.tools.hal(kind.program(), &["--config", &shown, "--validate"], QUICK).await?;
    let is_about_it = |line: &&str| line.contains(&*shown) || line.contains(": error:");
    let lines = said.err.lines().filter(is_about_it).map(|line| place.scrub.text(line.trim())).collect();
    match said.code {
        Some(0) => Ok((true, lines)),
        Some(78) => Ok((false, lines)),
        _ => Err(place.scrub.text(said.words())),
    }
}

/// What stands in a configuration.
pub fn values(path: &Path) -> Result<Value, String> {
    let text = machine::read(path)?;
    loose(&text).ok_or_else(|| format!("{} is not JSON", path.display()))
}

async fn supervisor(place: &DoctorContext<'_>, facts: &mut DoctorFacts) {
    let Some(daemon) = facts.daemons.iter().find(|daemon| daemon.kind == DaemonKind::Supervisor) else {
        return;
    };
    let values = &daemon.config.values;
    let number = values["server"]["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let number = number.unwrap_or(default::PORT);
    facts.limits = limits(&values["alerts"]);
    // A port of 0 is a different one each time.
    if number != 0 {
        facts.port = Some(Port { number, listener: machine::listener(number) });
    }
    let mirror = database(&daemon.config);
    facts.disks.extend(mirror.parent().and_then(machine::disk));
    let is_running = daemon.is_running() || facts.port.as_ref().is_some_and(|port| port.listener.is_some());
    facts.files = Some(files::look(place, &daemon.config, mirror, is_running, &mut facts.notes).await);
}

/// The path of `supervisor.db`.
pub fn database(config: &Config) -> PathBuf {
    let path = config.values["database"]["path"].as_str().unwrap_or(default::DATABASE);
    config.path.parent().unwrap_or(Path::new("/")).join(path)
}

/// The limits of the configuration, as far as they can be read.
fn limits(alerts: &Value) -> WatchLimits {
    let default = WatchLimits::default();
    let whole = |key: &str, otherwise| alerts[key].as_u64().unwrap_or(otherwise);
    let long = |key: &str, otherwise| {
        alerts[key].as_str().and_then(|text| crate::cli::duration(text).ok()).unwrap_or(otherwise)
    };
    WatchLimits {
        node_offline: long("node_offline", default.node_offline),
        memory_percent: whole("memory_percent", default.memory_percent),
        disk_free_percent: whole("disk_free_percent", default.disk_free_percent),
        response: long("response", default.response),
        clock_skew: long("clock_skew", default.clock_skew),
        mirror_lag: long("mirror_lag", default.mirror_lag),
        ..default
    }
}

async fn agent(place: &DoctorContext<'_>, facts: &mut DoctorFacts) {
    let Some(daemon) = facts.daemons.iter().find(|daemon| daemon.kind == DaemonKind::Agent) else { return };
    let values = &daemon.config.values;
    let folder = PathBuf::from(values["data_dir"].as_str().unwrap_or(default::DATA_DIR));
    let disk = machine::disk(&folder);
    let known = |disk: &Disk| facts.disks.iter().any(|other| other.folder == disk.folder);
    let new = disk.filter(|disk| !known(disk));
    let mut projects = values["projects"].as_array().into_iter().flatten();
    if projects.any(|project| project["backend"].as_str().unwrap_or("opencode") == "opencode") {
        facts.opencode = Some(opencode(place, daemon).await);
    }
    facts.disks.extend(new);
}

/// The coding agent, as the agent would find it: on its PATH when it runs, else on ours.
async fn opencode(place: &DoctorContext<'_>, daemon: &DaemonFacts) -> Opencode {
    let named = daemon.config.values["tool_paths"]["opencode"].as_str().filter(|path| !path.is_empty());
    let path = daemon.pids.first().and_then(|pid| machine::variable(*pid, "PATH"));
    let found = path.and_then(|path| machine::on_path(&path, "opencode"));
    let program = named.map(str::to_owned).or(found).unwrap_or_else(|| "opencode".to_owned());
    let version = match place.tools.run(&[&program, "--version"], QUICK).await {
        Ok(said) if said.is_well() => Ok(said.out.trim().to_owned()),
        Ok(said) => Err(format!("{program} --version failed: {}", place.scrub.text(said.words()))),
        Err(why) => Err(why),
    };
    Opencode { program, version }
}

/// The token of a configuration, wherever it keeps it.
pub fn token(config: &Config) -> Option<Secret> {
    let section = if config.values["server"].is_object() { &config.values["server"] } else { &config.values };
    if let Some(token) = section["auth_token"].as_str() {
        return Some(Secret::new(token));
    }
    let named = section["auth_token_file"].as_str().and_then(|file| Some(config.path.parent()?.join(file)));
    let file = named.or_else(|| config.credential.clone())?;
    machine::read_named(&file, &config.path).ok().map(|text| Secret::new(text.trim()))
}

/// Whether an agent that belongs to this machine's supervisor shows its token.
fn tokens_match(daemons: &[DaemonFacts]) -> Option<bool> {
    let of = |kind: DaemonKind| daemons.iter().find(|daemon| daemon.kind == kind);
    let (supervisor, agent) = (of(DaemonKind::Supervisor)?, of(DaemonKind::Agent)?);
    let url = agent.config.values["supervisor_url"].as_str()?;
    let url = crate::discover::read_url(url, &crate::discover::Origin::Default).ok()?;
    let port = supervisor.config.values["server"]["port"].as_u64().unwrap_or(u64::from(default::PORT));
    let is_ours =
        crate::discover::is_loopback(&url) && url.port_or_known_default().map(u64::from) == Some(port);
    let (ours, shown) = (token(&supervisor.config)?, token(&agent.config)?);
    // One of the node's own is another by design; whether it is valid the supervisor says.
    let is_shared = token_id(shown.reveal()).is_none();
    (is_ours && is_shared).then(|| ours.digest().matches(shown.reveal()))
}
