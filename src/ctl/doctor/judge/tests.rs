//! From facts made by hand to findings.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::doctor::facts::{
    Backup, Config, DaemonFacts, DaemonKind, Disk, End, Files, Port, Reach, SupervisorAnswers, Whose,
};
use crate::doctor::finding::Remedy;
use hal_base::clock::Time;
use hal_base::memory::Memory;
use hal_protocol::alert::{Alert, Severity};
use hal_protocol::node::{Journal, Node, NodeStatus, Resources};

const NOW: Time = Time(1_000_000_000_000);
const MIB: u64 = 1 << 20;

fn daemon(kind: DaemonKind, active: &str) -> DaemonFacts {
    let properties = [("LoadState", "loaded"), ("ActiveState", active)];
    let unit = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    DaemonFacts {
        kind,
        unit: Some(unit.collect::<BTreeMap<_, _>>()),
        pids: if active == "active" { vec![77] } else { Vec::new() },
        is_old: false,
        up: Some(Duration::from_secs(86_400)),
        memory: Memory::default(),
        config: Config {
            path: "/etc/s.json".into(),
            exists: true,
            backup: Backup::Good,
            ..Config::default()
        },
        errors: Vec::new(),
    }
}

/// A machine that is well.
fn well() -> DoctorFacts {
    let reach = Reach {
        whose: Whose::Operator,
        url: "http://localhost:8420/".into(),
        host: "localhost".into(),
        port: 8420,
        end: End::In,
        skew_ms: Some(0),
        took: Duration::from_millis(2),
        version: env!("CARGO_PKG_VERSION").into(),
        sick: Vec::new(),
    };
    let hour = Duration::from_secs(3600);
    DoctorFacts {
        now: NOW,
        daemons: vec![daemon(DaemonKind::Supervisor, "active")],
        files: Some(Files {
            mirror: "/d/supervisor.db".into(),
            backups: vec![("/d/b2".into(), hour, 10 * MIB), ("/d/b1".into(), hour * 25, 9 * MIB)],
            backup_every: Some(hour * 24),
            has_data: true,
            ..Files::default()
        }),
        port: Some(Port { number: 8420, listener: Some((Some(77), "hal".into())) }),
        reaches: vec![reach],
        disks: vec![Disk { folder: "/d".into(), free: 50, size: 100, files_free: 50, files: 100 }],
        told: Some(SupervisorAnswers { nodes: vec![node("a"), node("b")], ..SupervisorAnswers::default() }),
        is_fleet: true,
        ..DoctorFacts::default()
    }
}

fn node(id: &str) -> Node {
    Node {
        id: id.into(),
        hostname: id.into(),
        status: NodeStatus::Online,
        last_heartbeat: NOW,
        connected_at: NOW,
        version: env!("CARGO_PKG_VERSION").into(),
        address: "10.0.0.1".into(),
        epoch: 1,
        projects: Vec::new(),
        backends: Vec::new(),
        came_in: None,
        resources: Resources::default(),
        clock_ahead_ms: 0,
        journal: Journal::default(),
        sessions: 0,
    }
}

/// What is found after this change, as `name severity`.
fn found(change: impl FnOnce(&mut DoctorFacts)) -> Vec<String> {
    let mut facts = well();
    change(&mut facts);
    judge(&facts).iter().map(|finding| format!("{} {}", finding.name, finding.severity.as_str())).collect()
}

fn files(change: impl FnOnce(&mut Files)) -> Vec<String> {
    found(|facts| change(facts.files.as_mut().unwrap()))
}

fn first_node(change: impl FnOnce(&mut Node)) -> Vec<String> {
    found(|facts| change(&mut facts.told.as_mut().unwrap().nodes[0]))
}

#[test]
fn who_lets_a_coding_agent_ask_nobody_is_told_so() {
    let backend = hal_protocol::backend::NodeBackend {
        kind: "claude".into(),
        unguarded: vec!["shop".into()],
        ..Default::default()
    };
    assert_eq!(first_node(|node| node.backends = vec![backend]), ["node.unguarded low"]);
    let backend = hal_protocol::backend::NodeBackend {
        kind: "claude".into(),
        unasked: vec!["shop".into()],
        ..Default::default()
    };
    assert_eq!(first_node(|node| node.backends = vec![backend]), ["node.unasked low"]);
}

#[test]
fn a_machine_that_is_well_gives_no_finding() {
    assert_eq!(found(|_| {}), [""; 0]);
    assert_eq!(judge(&DoctorFacts::default()).len(), 0, "nor does one where nothing belongs");
}

#[test]
fn files_and_backups() {
    assert_eq!(files(|files| files.backups[0].1 = Duration::from_secs(49 * 3600)), ["backup.old medium"]);
    assert_eq!(files(|files| files.backups[0].2 = 4 * MIB), ["backup.size medium"]);
    assert_eq!(files(|files| files.backups[0].2 = 28 * MIB), ["backup.size medium"]);
    assert_eq!(files(|files| files.backups.clear()), ["backup.none medium"]);
    assert_eq!(files(|files| files.backup_every = None), ["backup.off medium"]);
    assert_eq!(
        files(|files| files.problems = vec!["supervisor.redb: torn".into()]),
        ["store.damaged critical"]
    );
    let old = Duration::from_secs(8 * 86_400);
    assert_eq!(files(|files| files.aside = vec![("/d/supervisor.db.corrupt.1".into(), old)]), [""; 0]);
    let fresh = |word: &str| vec![(format!("/d/x.{word}.1").into(), Duration::from_secs(60))];
    assert_eq!(files(|files| files.aside = fresh("corrupt")), ["store.aside.corrupt low"]);
    assert_eq!(files(|files| files.aside = fresh("replaced")), ["store.aside.replaced low"]);
    assert_eq!(found(|facts| facts.disks[0].free = 2), ["disk.low critical"]);
    assert_eq!(found(|facts| facts.disks[0].files_free = 1), ["disk.low high"]);
}

#[test]
fn a_young_supervisor_needs_no_backup_yet() {
    let young = |facts: &mut DoctorFacts| {
        facts.files.as_mut().unwrap().backups.clear();
        facts.daemons[0].up = Some(Duration::from_secs(60));
    };
    assert_eq!(found(young), [""; 0]);
}

#[test]
fn ways_and_clocks() {
    assert_eq!(found(|facts| facts.reaches[0].skew_ms = Some(-6_000)), ["clock.skew medium"]);
    assert_eq!(found(|facts| facts.reaches[0].took = Duration::from_secs(6)), ["supervisor.slow high"]);
    assert_eq!(found(|facts| facts.reaches[0].version = "0.0.9".into()), ["version.differs low"]);
    assert_eq!(found(|facts| facts.reaches[0].end = End::Silence("x".into())), ["reach.silence high"]);
    assert_eq!(found(|facts| facts.reaches[0].end = End::Tls("UnknownIssuer".into())), ["reach.tls high"]);
    assert_eq!(found(|facts| facts.reaches[0].end = End::NoToken), ["reach.no_token low"]);
    let sick = |name: &str| vec![(name.to_owned(), "why".to_owned())];
    assert_eq!(found(|facts| facts.reaches[0].sick = sick("database")), ["supervisor.sick critical"]);
    assert_eq!(found(|facts| facts.reaches[0].sick = sick("mirror")), ["supervisor.sick medium"]);
    assert_eq!(found(|facts| facts.port.as_mut().unwrap().listener = None), ["port.silent critical"]);
}

#[test]
fn nodes_and_alerts() {
    assert_eq!(first_node(|node| node.journal.missing = 1), ["node.missing critical"]);
    assert_eq!(first_node(|node| node.journal.lag = 10_001), ["node.lag medium"]);
    assert_eq!(first_node(|node| node.clock_ahead_ms = 6_000), ["node.clock medium"]);
    assert_eq!(first_node(|node| node.version = "0.0.9 (abc)".into()), ["node.version low"]);
    let full = Resources {
        disk_free: 1,
        disk_total: 100,
        limited_memory: 81,
        memory_limit: 100,
        ..Resources::default()
    };
    assert_eq!(first_node(|node| node.resources = full), ["node.disk critical", "node.memory high"]);
    let away = |node: &mut Node| {
        node.status = NodeStatus::Offline;
        node.last_heartbeat = NOW.minus(Duration::from_secs(121));
    };
    assert_eq!(first_node(away), ["node.offline high"]);
    assert_eq!(
        found(|facts| facts.told.as_mut().unwrap().nodes.iter_mut().for_each(away)),
        ["nodes.offline high"]
    );
    let alert = |name: &str| vec![Alert { name: name.into(), severity: Severity::High, ..Alert::default() }];
    assert_eq!(
        found(|facts| facts.told.as_mut().unwrap().alerts = alert("backup.failed")),
        ["alert.backup.failed high"]
    );
    assert_eq!(
        found(|facts| facts.told.as_mut().unwrap().alerts = alert("node.offline")),
        [""; 0],
        "it is found anyway"
    );
}

#[test]
fn a_restart_is_offered_only_where_it_can_help() {
    let fix = |change: &dyn Fn(&mut DoctorFacts)| {
        let mut facts = well();
        facts.daemons = vec![daemon(DaemonKind::Supervisor, "failed")];
        facts.port.as_mut().unwrap().listener = None;
        change(&mut facts);
        judge(&facts).into_iter().find(|finding| finding.name == "supervisor.down").unwrap().fix
    };
    assert_eq!(fix(&|_| {}), Some(Remedy::Restart("hal-supervisor")));
    let refuse = |facts: &mut DoctorFacts, backup| {
        facts.daemons[0].config.problems = Some(vec!["bad".into()]);
        facts.daemons[0].config.backup = backup;
    };
    assert_eq!(fix(&|facts| refuse(facts, Backup::Bad)), None);
    assert_eq!(fix(&|facts| refuse(facts, Backup::Good)), Some(Remedy::Restart("hal-supervisor")));
    assert_eq!(fix(&|facts| facts.port.as_mut().unwrap().listener = Some((Some(5), "x".into()))), None);
}
