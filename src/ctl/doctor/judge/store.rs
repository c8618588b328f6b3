//! The supervisor's files, their backups, and the disks they lie on.

use std::time::Duration;

use crate::doctor::facts::{DaemonKind, DoctorFacts, Files};
use crate::doctor::finding::{Finding, Incident, Remedy};
use crate::print::text::{bytes, span};
use hal_protocol::alert::Severity;

/// What was set aside longer ago than this is known.
const NEWS: Duration = Duration::from_secs(7 * 86_400);

/// A supervisor makes its first backup ten minutes after its start.
const FIRST_BACKUP: Duration = Duration::from_secs(900);

/// Backups smaller than this say nothing by their size.
const SMALL: u64 = 1024 * 1024;

/// Less than this part of the files a disk may have is left, in percent.
const FEW_FILES: u64 = 3;

/// The files, and whether the supervisor that uses them runs.
fn files(facts: &DoctorFacts) -> Option<(&Files, bool)> {
    let runs =
        facts.daemons.iter().any(|daemon| daemon.kind == DaemonKind::Supervisor && daemon.is_running());
    facts.files.as_ref().map(|files| (files, runs))
}

/// Files that the service may not be able to write.
pub fn owners(facts: &DoctorFacts) -> Vec<Finding> {
    let Some((files, runs)) = files(facts) else { return Vec::new() };
    let severity = if runs { Severity::Medium } else { Severity::High };
    let strangers = files.strangers.iter();
    strangers
        .map(|(path, owner, (user, group))| {
            let shown = path.display();
            let what = format!("{shown} belongs to user {owner}, and its folder to user {user}");
            Finding::new("store.owner", severity, Incident::SupervisorCrashed, what)
                .about(&shown)
                .helped([format!("sudo chown {user}:{group} {shown}")])
                .fixed(Remedy::Own(path.clone(), (*user, *group)))
        })
        .collect()
}

/// Store and mirror that are damaged.
pub fn damage(facts: &DoctorFacts) -> Vec<Finding> {
    let Some((files, runs)) = files(facts) else { return Vec::new() };
    let mut evidence: Vec<String> = files.sick_mirror.iter().cloned().collect();
    evidence.extend(files.problems.iter().cloned());
    if evidence.is_empty() {
        return Vec::new();
    }
    let is_of = |ending: &str| evidence.iter().any(|line| line.contains(ending) && !line.contains("differ"));
    let (mirror, store) = (is_of("supervisor.db") || is_of(".db:"), is_of(".redb"));
    let shown = files.mirror.display();
    let stop = "sudo systemctl stop hal-supervisor";
    let start = "sudo systemctl start hal-supervisor";
    let newest = files.backups.first().map(|(path, ..)| path.clone());
    let finding = |severity, what: String| {
        Finding::new("store.damaged", severity, Incident::Corruption, what).about(shown).shown(&evidence)
    };
    let supervisor = facts.daemons.iter().find(|daemon| daemon.kind == DaemonKind::Supervisor);
    let config = supervisor.map(|daemon| daemon.config.path.clone()).unwrap_or_default();
    let config_shown = config.display();
    vec![match (mirror, store) {
        (true, true) => {
            let what = match &newest {
                Some(_) => "both stores are damaged: only a backup helps".to_owned(),
                None => "both stores are damaged, and there is no backup beside them".to_owned(),
            };
            finding(Severity::Critical, what)
                .shown(newest.iter().map(|path| format!("the newest backup is {}", path.display())))
                .helped([
                    stop.to_owned(),
                    format!("sudo hal-supervisor store restore --config {config_shown}"),
                ])
                .helped([start])
                .fixed(newest.filter(|_| !runs).map(|_| Remedy::RestoreStore(config.clone())))
        }
        (true, false) if runs => finding(
            Severity::High,
            "supervisor.db is damaged: the running supervisor rebuilds it from its store".to_owned(),
        )
        .helped(["halctl alerts list", "halctl backup verify"]),
        (true, false) => finding(
            Severity::High,
            "supervisor.db is damaged: the next start rebuilds it from the store, and loses nothing"
                .to_owned(),
        )
        .helped([start]),
        (false, true) => finding(
            Severity::Critical,
            "the store is damaged: the next start rebuilds it from supervisor.db; nodes send what is newer"
                .to_owned(),
        )
        .helped([start]),
        (false, false) => {
            finding(Severity::Low, "the two stores differ: the next start reconciles them".to_owned())
                .helped([format!("sudo hal-supervisor store check --config {config_shown}")])
        }
    }]
}

/// Files that were damaged, or replaced, not long ago.
pub fn aside(facts: &DoctorFacts) -> Vec<Finding> {
    let Some((files, _)) = files(facts) else { return Vec::new() };
    let fresh: Vec<_> = files.aside.iter().filter(|(_, age)| *age < NEWS).collect();
    let mut found = Vec::new();
    for (word, incident) in [(".corrupt.", Incident::Corruption), (".replaced.", Incident::LostData)] {
        let these: Vec<_> = fresh.iter().filter(|(path, _)| path.to_string_lossy().contains(word)).collect();
        if these.is_empty() {
            continue;
        }
        let what = match incident {
            Incident::Corruption => "a damaged file was set aside recently: find out why before the next one",
            _ => "a store was replaced recently: if nobody restored one, data may be missing",
        };
        let lines = these.iter().map(|(path, age)| format!("{}, {} ago", path.display(), span(*age)));
        found.push(
            Finding::new(format!("store.aside{}", word.trim_end_matches('.')), Severity::Low, incident, what)
                .shown(lines)
                .helped(["halctl alerts list --status all", "sudo dmesg | grep -i 'i/o error'"]),
        );
    }
    found
}

/// Sessions that the newest backup holds and the supervisor does not. None of ours removes a session: somebody has.
pub fn sessions(facts: &DoctorFacts) -> Vec<Finding> {
    let Some((files, _)) = files(facts) else { return Vec::new() };
    let known = facts.told.as_ref().and_then(|told| told.sessions);
    let (Some(saved), Some(known)) = (files.backup_sessions, known) else { return Vec::new() };
    if known >= saved {
        return Vec::new();
    }
    let (mirror, newest) = (files.mirror.display(), files.backups.first());
    let newest = newest.map(|(path, ..)| path.display().to_string()).unwrap_or_default();
    let what = format!("the newest backup holds {saved} sessions, and the supervisor knows {known}");
    let finding = Finding::new("sessions.missing", Severity::High, Incident::LostData, what)
        .shown([format!("backup {newest}")])
        .helped([
            // Somebody may have wanted it so: who has done it comes before the remedy.
            format!("sqlite3 {mirror} 'SELECT * FROM audit_log ORDER BY seq DESC LIMIT 20;'"),
            "sudo systemctl stop hal-supervisor".to_owned(),
            format!("sudo cp {newest} {mirror}"),
            "sudo systemctl start hal-supervisor".to_owned(),
        ]);
    vec![finding]
}

/// Backups that are missing, old, or strange.
pub fn backups(facts: &DoctorFacts) -> Vec<Finding> {
    let Some((files, runs)) = files(facts) else { return Vec::new() };
    let medium = |name: &str, what: String| Finding::new(name, Severity::Medium, Incident::LostData, what);
    let now = "halctl backup now";
    let fix = runs.then_some(Remedy::BackUp);
    let Some(every) = files.backup_every else {
        let finding = medium("backup.off", "backups are disabled (backup.enabled)".to_owned());
        return vec![finding.helped([now])];
    };
    let Some((newest, age, size)) = files.backups.first() else {
        let supervisor = facts.daemons.iter().find(|daemon| daemon.kind == DaemonKind::Supervisor);
        let is_young = supervisor.and_then(|daemon| daemon.up).is_some_and(|up| up < FIRST_BACKUP);
        let is_due = files.has_data && !is_young;
        let what = format!("there is no backup of {}", files.mirror.display());
        return if is_due { vec![medium("backup.none", what).helped([now]).fixed(fix)] } else { Vec::new() };
    };
    let mut found = Vec::new();
    if *age > every * 2 {
        let what = format!("the newest backup is {} old, and one is due every {}", span(*age), span(every));
        found.push(medium("backup.old", what).shown([newest.display()]).helped([now]).fixed(fix));
    }
    if let Some((before, _, size_before)) = files.backups.get(1)
        && size.max(size_before) > &SMALL
        && (size * 2 < *size_before || *size > size_before * 3)
    {
        let what = format!("the newest backup has {}, the one before {}", bytes(*size), bytes(*size_before));
        let shown = [newest.display(), before.display()];
        found.push(
            medium("backup.size", what).shown(shown).helped(["halctl backup verify", "halctl backup list"]),
        );
    }
    found
}

/// Disks that are nearly full.
pub fn disks(facts: &DoctorFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    for disk in &facts.disks {
        let shown = disk.folder.display();
        let verdict = facts.limits.disk(&shown, disk.free, disk.size).or_else(|| {
            let few = disk.files_free.saturating_mul(100).checked_div(disk.files)? < FEW_FILES;
            let what = format!("the disk of {shown} can hold only {} more files", disk.files_free);
            few.then_some((Severity::High, what))
        });
        if let Some((severity, what)) = verdict {
            found.push(
                Finding::new("disk.low", severity, Incident::Corruption, what)
                    .about(&shown)
                    .shown([format!("{} of {} are free", bytes(disk.free), bytes(disk.size))])
                    .helped([
                        format!("df -h {shown}"),
                        format!("sudo du -xsh {shown}/*"),
                        "sudo journalctl --vacuum-size=200M".to_owned(),
                        "halctl archive list".to_owned(),
                    ]),
            );
        }
    }
    found
}
