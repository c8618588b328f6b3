//! `hal-supervisor store`: work on the two files while no supervisor runs.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::cli::{Offline, StoreVerb, Which};
use super::config;
use crate::base::cause::chain;
use crate::base::clock::{Stopwatch, Time};
use crate::base::config::Purpose;
use crate::base::exit::{Exit, Failure};
use crate::base::log;
use crate::protocol::node::NodeStatus;
use crate::rules;
use crate::store::StoreError;
use crate::store::mirror::backup::verify;
use crate::store::mirror::offline::Files;
use crate::store::mirror::{Desk, Shown};
use crate::store::node::NodeRecord;
use crate::store::session::SessionRecord;
use crate::store::sheet::edit::{Edit, Edits};

/// Work that takes longer than this says that it goes on, and again so much later.
const SAY: Duration = Duration::from_secs(1);

/// Into a file or a journal it says so less often.
const SAY_SELDOM: Duration = Duration::from_secs(10);

/// Carries out a command line; gives what to print.
pub fn run(line: Offline) -> Result<String, Failure> {
    let options = line.options();
    let _only_the_first_counts = log::start(log::Format::default(), "warn");
    let (config, _) = config::read(&options.config, Purpose::Run)
        .map_err(|report| Failure::say(Exit::BadConfig, report.text().trim_end()))?;
    let files = Files { store: config.store_path(), mirror: config.database };
    let done = match options.dry_run {
        true => would(&files, &options.verb),
        false => carry_out(&files, &options.verb),
    };
    done.map_err(|error| {
        let exit = if matches!(error, StoreError::InUse(_)) { Exit::InUse } else { Exit::Failed };
        Failure::say(exit, chain(&error))
    })
}

/// What would be done. Only looks.
fn would(files: &Files, verb: &StoreVerb) -> Result<String, StoreError> {
    let (store, mirror) = (files.store.display(), files.mirror.display());
    Ok(match verb {
        StoreVerb::Check => return carry_out(files, verb),
        StoreVerb::Rebuild { which: Which::Mirror } => {
            files.must_be_free()?;
            format!("{mirror} would be set aside, and made anew from {store}\n")
        }
        StoreVerb::Rebuild { which: Which::Store } => would_replace(files, &files.mirror)?,
        StoreVerb::Import { file } => would_replace(files, file)?,
        StoreVerb::Export { file } => {
            files.must_be_free()?;
            format!("what {store} holds would be written to {}\n", file.display())
        }
        StoreVerb::Restore { file } => {
            files.must_be_free()?;
            let from = backup(files, file.as_ref())?;
            let (events, last) = (verify(&from)?.events(), verify(&from)?.last.1);
            format!(
                "{mirror} would be set aside, and {} put in its place: {events} events, the last of {last}; the next \
                 start makes {store} from it\n",
                from.display()
            )
        }
        StoreVerb::Compact => {
            files.must_be_free()?;
            format!(
                "{store} has {} bytes on the disk; what of it is free would be given back\n",
                size(&files.store)
            )
        }
    })
}

fn would_replace(files: &Files, from: &Path) -> Result<String, StoreError> {
    files.must_be_free()?;
    let events = verify(from)?.events();
    Ok(format!(
        "{} would be set aside, and made anew from {}: {events} events\n",
        files.store.display(),
        from.display()
    ))
}

fn carry_out(files: &Files, verb: &StoreVerb) -> Result<String, StoreError> {
    let (store, mirror) = (files.store.display(), files.mirror.display());
    Ok(match verb {
        StoreVerb::Check => {
            let checked = while_saying("checking", || files.check())?;
            if !checked.problems.is_empty() {
                let all = checked.found.into_iter().chain(checked.problems).collect::<Vec<_>>();
                return Err(StoreError::Refused(all.join("\n")));
            }
            checked.found.join("\n") + "\n"
        }
        StoreVerb::Rebuild { which: Which::Mirror } => {
            let aside = while_saying("making supervisor.db", || files.rebuild_mirror(&AsStored))?;
            format!("{mirror} is made anew from {store}\n{}", set_aside(aside))
        }
        StoreVerb::Rebuild { which: Which::Store } => import(files, &files.mirror.clone())?,
        StoreVerb::Import { file } => import(files, file)?,
        StoreVerb::Export { file } => {
            let rows = while_saying("exporting", || files.export(file, &AsStored))?;
            format!("{}: {rows} rows\n", file.display())
        }
        StoreVerb::Restore { file } => {
            let from = backup(files, file.as_ref())?;
            let aside = while_saying("restoring", || files.restore(&from))?;
            let from = from.display();
            format!("{mirror} is {from} now; the next start makes {store} from it\n{}", set_aside(aside))
        }
        StoreVerb::Compact => {
            let before = size(&files.store);
            while_saying("compacting", || files.compact())?;
            format!("{store}: {before} bytes before, {} now\n", size(&files.store))
        }
    })
}

fn import(files: &Files, from: &Path) -> Result<String, StoreError> {
    let (events, aside) = while_saying("making supervisor.redb", || files.import(from, &AsStored))?;
    let store = files.store.display();
    Ok(format!("{store} is made anew from {}: {events} events\n{}", from.display(), set_aside(aside)))
}

fn backup(files: &Files, named: Option<&PathBuf>) -> Result<PathBuf, StoreError> {
    named.map_or_else(|| files.newest_backup(), |file| Ok(file.clone()))
}

fn set_aside(files: impl IntoIterator<Item = PathBuf>) -> String {
    files.into_iter().map(|file| format!("set aside: {}\n", file.display())).collect()
}

/// What a file takes of the disk: a store is sparse.
fn size(file: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).map_or(0, |file| file.blocks() * 512)
}

/// Does the work, and says on standard error that it goes on when it takes long.
fn while_saying<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Stopwatch::start();
    let is_terminal = std::io::stderr().is_terminal();
    std::thread::scope(|scope| {
        // Nothing is sent: the end of the one is seen by the other.
        let (done, over) = sync_channel::<()>(1);
        scope.spawn(move || {
            let pause = if is_terminal { SAY } else { SAY_SELDOM };
            let mut wait = SAY;
            let mut said = false;
            while over.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let (start, end) = if is_terminal { ("\r", "") } else { ("", "\n") };
                let _ = write!(std::io::stderr(), "{start}{what}: {} s{end}", begun.elapsed().as_secs());
                (wait, said) = (pause, true);
            }
            if said && is_terminal {
                let _ = writeln!(std::io::stderr());
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// How things stand when nobody is connected.
struct AsStored;

impl Desk for AsStored {
    fn node(&self, node: &NodeRecord) -> (&'static str, Time) {
        (NodeStatus::Offline.as_str(), node.last_heard)
    }

    fn session(&self, record: &SessionRecord) -> (&'static str, &'static str) {
        let known = rules::session::status(&record.session).as_str();
        (known, if known == "ended" { known } else { "unreachable" })
    }

    fn nodes(&self) -> Vec<Shown> {
        Vec::new()
    }

    fn take(&self, _: Edits) -> Result<(), String> {
        Err("no supervisor runs".into())
    }

    fn put(&self, _: Vec<Edit>) -> Result<(), String> {
        Err("no supervisor runs".into())
    }

    fn alert(&self, name: &'static str, text: String) {
        tracing::error!("{name}: {text}");
    }

    fn replace(&self, _: PathBuf) -> Result<String, String> {
        Err("no supervisor runs".into())
    }
}
