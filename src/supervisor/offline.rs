//! `hal-supervisor store`: work on the two files while no supervisor runs. `tls`: the certificate beside them.

mod quarantine;
mod tls;

use std::path::{Path, PathBuf};

use super::cli::{Offline, OfflineOrder, OneOfTwo, StoreOptions, StoreVerb};
use super::config;
use hal_base::cause::chain;
use hal_base::clock::Time;
use hal_base::config::Purpose;
use hal_base::exit::{Exit, Failure};
use hal_base::log;
use hal_base::progress::{Progress, Teller};
use hal_protocol::node::NodeStatus;
use hal_rules as rules;
use hal_store::StoreError;
use hal_store::mirror::backup::verify;
use hal_store::mirror::offline::Files;
use hal_store::mirror::{MirrorHost, ShownNode};
use hal_store::node::NodeRecord;
use hal_store::session::SessionRecord;
use hal_store::sqlite::edit::{Edit, Edits};

/// Carries out a command line; gives what to print.
pub fn run(line: Offline) -> Result<String, Failure> {
    match line.order() {
        OfflineOrder::Store(options) => store(options),
        OfflineOrder::Tls(options) => tls::run(options),
    }
}

fn store(options: StoreOptions) -> Result<String, Failure> {
    let _only_the_first_counts = log::start(log::Format::default(), "warn");
    let (config, _) = config::read(&options.config, Purpose::Run)
        .map_err(|report| Failure::say(Exit::BadConfig, report.text().trim_end()))?;
    let files = Files { store: config.store_path(), mirror: config.database, progress: Progress::default() };
    let done = match options.dry_run {
        true => would(&files, &options.verb),
        false => carry_out(&files, &options.verb).and_then(|said| files.give_to_owner().map(|()| said)),
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
        StoreVerb::Check | StoreVerb::Diff(_) => return carry_out(files, verb),
        StoreVerb::Merge(which) => quarantine::merge(files, which, true)?,
        StoreVerb::Rebuild { which: OneOfTwo::Mirror } => {
            files.must_be_free()?;
            format!("{mirror} would be set aside, and rebuilt from {store}\n")
        }
        StoreVerb::Rebuild { which: OneOfTwo::Store } => would_replace(files, &files.mirror)?,
        StoreVerb::Import { file } => would_replace(files, file)?,
        StoreVerb::Export { file } => {
            files.must_be_free()?;
            format!("everything in {store} would be written to {}\n", file.display())
        }
        StoreVerb::Restore { file } => {
            files.must_be_free()?;
            let from = backup(files, file.as_ref())?;
            let (events, last) = (verify(&from)?.events(), verify(&from)?.last.1);
            format!(
                "{mirror} would be set aside, and {} put in its place: {events} events, the last of {last}; \
                 the next start rebuilds {store} from it\n",
                from.display()
            )
        }
        StoreVerb::Compact => {
            files.must_be_free()?;
            format!(
                "{store} has {} bytes on the disk; free space in it would be returned\n",
                size(&files.store)
            )
        }
    })
}

fn would_replace(files: &Files, from: &Path) -> Result<String, StoreError> {
    files.must_be_free()?;
    let events = verify(from)?.events();
    Ok(format!(
        "{} would be set aside, and rebuilt from {}: {events} events\n",
        files.store.display(),
        from.display()
    ))
}

fn carry_out(files: &Files, verb: &StoreVerb) -> Result<String, StoreError> {
    let (store, mirror) = (files.store.display(), files.mirror.display());
    Ok(match verb {
        StoreVerb::Check => {
            let checked = while_saying(files, "checking", || files.check())?;
            if !checked.problems.is_empty() {
                let all = checked.found.into_iter().chain(checked.problems).collect::<Vec<_>>();
                return Err(StoreError::Refused(all.join("\n")));
            }
            checked.found.join("\n") + "\n"
        }
        StoreVerb::Rebuild { which: OneOfTwo::Mirror } => {
            let aside = while_saying(files, "rebuilding supervisor.db", || files.rebuild_mirror(&AsStored))?;
            format!("{mirror} is rebuilt from {store}\n{}", set_aside(aside))
        }
        StoreVerb::Rebuild { which: OneOfTwo::Store } => import(files, &files.mirror.clone())?,
        StoreVerb::Import { file } => import(files, file)?,
        StoreVerb::Export { file } => {
            let rows = while_saying(files, "exporting", || files.export(file, &AsStored))?;
            format!("{}: {rows} rows\n", file.display())
        }
        StoreVerb::Restore { file } => {
            let from = backup(files, file.as_ref())?;
            let aside = while_saying(files, "restoring", || files.restore(&from))?;
            let from = from.display();
            format!("{mirror} is {from} now; the next start rebuilds {store} from it\n{}", set_aside(aside))
        }
        StoreVerb::Diff(which) => while_saying(files, "comparing", || quarantine::diff(files, which))?,
        StoreVerb::Merge(which) => while_saying(files, "merging", || quarantine::merge(files, which, false))?,
        StoreVerb::Compact => {
            let before = size(&files.store);
            while_saying(files, "compacting", || files.compact())?;
            format!("{store}: {before} bytes before, {} now\n", size(&files.store))
        }
    })
}

fn import(files: &Files, from: &Path) -> Result<String, StoreError> {
    let (events, aside) =
        while_saying(files, "rebuilding supervisor.redb", || files.import(from, &AsStored))?;
    let store = files.store.display();
    Ok(format!("{store} is rebuilt from {}: {events} events\n{}", from.display(), set_aside(aside)))
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

/// Does the work, and says on standard error how far it is when it takes long.
fn while_saying<T>(files: &Files, what: &'static str, work: impl FnOnce() -> T) -> T {
    let _until_it_is_done = Teller::start(what, files.progress.clone());
    work()
}

/// How things stand when nobody is connected.
struct AsStored;

impl MirrorHost for AsStored {
    fn node(&self, node: &NodeRecord) -> (&'static str, Time) {
        (NodeStatus::Offline.as_str(), node.last_heard)
    }

    fn session(&self, record: &SessionRecord) -> (&'static str, &'static str) {
        let known = rules::session::status(&record.session).as_str();
        (known, if known == "ended" { known } else { "unreachable" })
    }

    fn nodes(&self, _: &dyn Fn(&str, &'static str, Time) -> bool) -> Vec<ShownNode> {
        Vec::new()
    }

    fn comings(&self) -> u64 {
        0
    }

    fn take(&self, _: Edits) -> Result<(), String> {
        Err("no supervisor is running".into())
    }

    fn put(&self, _: Vec<Edit>) -> Result<(), String> {
        Err("no supervisor is running".into())
    }

    fn alert(&self, name: &'static str, text: String) {
        tracing::error!("{name}: {text}");
    }

    fn suspect(&self, why: String) {
        tracing::error!("{why}");
    }

    fn replace(&self, _: PathBuf) -> Result<String, String> {
        Err("no supervisor is running".into())
    }
}
