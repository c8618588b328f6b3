//! Does what is safe, one remedy after the other, and looks whether it helped.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, IsTerminal};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::facts::{DaemonKind, DoctorFacts};
use super::finding::{Finding, Remedy};
use super::gather::{DoctorContext, database, gather, operator_target};
use super::is_for_people;
use super::judge::judge;
use crate::client::Client;
use crate::print::Screen;
use crate::tool::{PATIENT, QUICK};
use hal_base::clock::Stopwatch;
use hal_base::exit::Failure;
use hal_base::file;
use hal_protocol::backup::Backup;

/// How long it may take until a remedy shows. `systemctl restart` itself waits until a service is ready.
const UNTIL_WELL: Duration = Duration::from_secs(20);

/// How often it is checked whether a fix has helped.
const LOOK: Duration = Duration::from_millis(500);

/// The bits of a file's mode that say who may do what.
const ALL_MODES: u32 = 0o777;

/// What was done about something.
#[derive(Clone, Debug, Serialize)]
pub struct Fixed {
    /// The fix, in a few words.
    pub what: String,
    /// `helped`, `did not help`, `not done`, or why it failed.
    pub outcome: String,
}

impl Fixed {
    /// True when it was tried and things are as they were.
    pub fn is_vain(&self) -> bool {
        !["helped", "not done"].contains(&self.outcome.as_str())
    }
}

/// Does what the findings ask for; gives what was done, and how things stand then.
pub async fn fix(
    place: &DoctorContext<'_>,
    facts: DoctorFacts,
    findings: Vec<Finding>,
    yes: bool,
    screen: &mut Screen,
) -> (Vec<Fixed>, DoctorFacts, Vec<Finding>) {
    let remedies: BTreeSet<Remedy> = findings.iter().filter_map(|finding| finding.fix.clone()).collect();
    let mut done = Vec::new();
    let mut tried = BTreeSet::new();
    for remedy in remedies {
        let what = remedy.sentence();
        // People have it on the page before this.
        if let Remedy::RestoreConfig(path) = &remedy
            && !is_for_people(screen)
        {
            let of_it = facts.daemons.iter().filter(|daemon| daemon.config.path == *path);
            of_it.flat_map(|daemon| &daemon.config.difference).for_each(|line| screen.say(line));
        }
        if !yes && !is_wanted(&what, screen) {
            done.push(Fixed { what, outcome: "not done".into() });
            continue;
        }
        screen.say(&format!("Now: {what}."));
        let outcome = match carry_out(place, &facts, &remedy).await {
            Ok(()) => {
                tried.insert(remedy);
                String::new()
            }
            Err(error) => place.scrub.text(&format!("failed: {error:#}")),
        };
        done.push(Fixed { what, outcome });
    }
    if tried.is_empty() {
        return (done, facts, findings);
    }
    let (facts, left) = until_well(place, &tried).await;
    for fixed in done.iter_mut().filter(|fixed| fixed.outcome.is_empty()) {
        let is_left =
            left.iter().any(|finding| finding.fix.as_ref().is_some_and(|fix| fix.sentence() == fixed.what));
        fixed.outcome = if is_left { "did not help" } else { "helped" }.into();
    }
    (done, facts, left)
}

/// Looks again and again until nothing asks for these remedies any more.
async fn until_well(place: &DoctorContext<'_>, tried: &BTreeSet<Remedy>) -> (DoctorFacts, Vec<Finding>) {
    let begun = Stopwatch::start();
    loop {
        let facts = gather(place).await;
        let left = judge(&facts);
        // One that still starts is not well yet, though there is nothing more to do about it.
        let starts = left.iter().any(|finding| {
            let is_mirror_made = finding.name == "supervisor.sick" && finding.about == "mirror";
            let is_made_anew = finding.name == "store.damaged" && finding.fix.is_none();
            let is_starting = finding.name.ends_with(".starting") || finding.name == "port.silent";
            is_starting || is_mirror_made || is_made_anew
        });
        let is_well = !left.iter().filter_map(|finding| finding.fix.as_ref()).any(|fix| tried.contains(fix));
        if (is_well && !starts) || begun.elapsed() > UNTIL_WELL {
            return (facts, left);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks the person. Without a terminal nobody can say yes.
fn is_wanted(what: &str, screen: &mut Screen) -> bool {
    if !std::io::stdin().is_terminal() {
        screen.say(&format!("Not done, as there is no terminal to ask on (give --yes): {what}."));
        return false;
    }
    screen.say(&format!("Shall halctl {what}? [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

/// Gives a file to its folder's owner; the folder of the log with all that lies in it. A running supervisor may have done
/// with the file meanwhile.
fn own(path: &Path, (user, group): (u32, u32)) -> std::io::Result<()> {
    if path.is_dir() && !path.is_symlink() {
        return file::give_to_owner_of(path.parent().unwrap_or(Path::new("/")), path);
    }
    file::unless_gone(file::give(path, user, group))
}

async fn carry_out(place: &DoctorContext<'_>, facts: &DoctorFacts, remedy: &Remedy) -> anyhow::Result<()> {
    match remedy {
        Remedy::Own(path, owner) => {
            own(path, *owner).with_context(|| format!("cannot change the owner of {}", path.display()))
        }
        Remedy::RestoreConfig(path) => restore_config(path),
        Remedy::RestoreStore(config) => restore_store(place, facts, config).await,
        Remedy::BackUp => {
            let config = facts.daemons.iter().find(|daemon| daemon.kind == DaemonKind::Supervisor);
            let target = operator_target(place, config.map(|daemon| &daemon.config));
            let client = target.and_then(Client::new).map_err(|failure: Failure| failure.error)?;
            let made = client.post_patiently::<Backup>(&["backups"], "backing up").await;
            made.map(drop).map_err(|failure| failure.error)
        }
        Remedy::Restart(unit) => {
            // Only one that has failed can be reset, and a start needs it only then.
            let _ = place.tools.run(&["systemctl", "reset-failed", unit], QUICK).await;
            must(place, &["systemctl", "restart", unit]).await
        }
    }
}

async fn must(place: &DoctorContext<'_>, line: &[&str]) -> anyhow::Result<()> {
    let said = place.tools.run(line, PATIENT).await.map_err(anyhow::Error::msg)?;
    anyhow::ensure!(said.is_well(), "{}: {}", line.join(" "), said.words());
    Ok(())
}

/// Puts the copy in place of a configuration; what was there stays beside it. Nobody may read it who could not before.
fn restore_config(path: &Path) -> anyhow::Result<()> {
    let mut copy = path.as_os_str().to_owned();
    copy.push(".backup");
    let copy = Path::new(&copy);
    let doing = || format!("cannot copy {} over {}", copy.display(), path.display());
    let owner = fs::metadata(path).or_else(|_| fs::metadata(copy)).with_context(doing)?;
    let content = fs::read(copy).with_context(doing)?;
    if path.exists() {
        file::set_aside(path, "refused").with_context(doing)?;
    }
    file::replace(path, &content, owner.mode() & ALL_MODES).with_context(doing)?;
    // Whoever may not give it away owns it, as before.
    let _ = chown(path, Some(owner.uid()), Some(owner.gid()));
    Ok(())
}

async fn restore_store(place: &DoctorContext<'_>, facts: &DoctorFacts, config: &Path) -> anyhow::Result<()> {
    let supervisor = facts.daemons.iter().find(|daemon| daemon.kind == DaemonKind::Supervisor);
    let daemon = supervisor.context("no supervisor is installed here")?;
    if daemon.unit.is_some() {
        must(place, &["systemctl", "stop", daemon.kind.program()]).await?;
    }
    let line = ["store", "restore", "--config", &config.to_string_lossy()];
    let said = place.tools.hal("hal-supervisor", &line, PATIENT).await.map_err(anyhow::Error::msg)?;
    anyhow::ensure!(said.is_well(), "{}", said.words());
    let mirror = database(&daemon.config);
    let folder = mirror.parent().map(fs::metadata).transpose()?.context("the database has no folder")?;
    // What root writes the service could not.
    file::give(&mirror, folder.uid(), folder.gid()).context("cannot change the owner of supervisor.db")
}
