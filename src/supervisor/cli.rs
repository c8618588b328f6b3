//! The supervisor's command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::config::{Config, SAMPLE, read};
use hal_base::clock::Time;
use hal_base::daemon::{Daemon, version};
use hal_base::exit;
use hal_protocol::default;

/// Maintain the store's files while no supervisor runs.
#[derive(Debug, Parser)]
#[command(name = "hal-supervisor", version = version(), after_help = exit::HELP, disable_help_subcommand = true)]
pub struct Offline {
    #[command(subcommand)]
    part: Maintenance,
}

#[derive(Debug, Subcommand)]
enum Maintenance {
    /// Maintain supervisor.redb and supervisor.db while no supervisor runs
    Store(StoreOptions),
    /// The certificate that the supervisor makes for itself (security.tls without paths)
    Tls(TlsOptions),
}

/// What is to be done.
#[derive(Debug)]
pub enum OfflineOrder {
    /// With the store.
    Store(StoreOptions),
    /// With the certificate.
    Tls(TlsOptions),
}

impl Offline {
    /// True for a first word that is one of these.
    pub fn is_asked(word: &std::ffi::OsStr) -> bool {
        word == "store" || word == "tls"
    }

    /// What is to be done, and with which files.
    pub fn order(self) -> OfflineOrder {
        match self.part {
            Maintenance::Store(options) => OfflineOrder::Store(options),
            Maintenance::Tls(options) => OfflineOrder::Tls(options),
        }
    }
}

/// What is to be done with the certificate.
#[derive(Debug, Args)]
pub struct TlsOptions {
    /// The supervisor's configuration file, which names the store that the certificate lies beside
    #[arg(long, global = true, value_name = "PATH", default_value = default::SUPERVISOR_CONFIG)]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub verb: TlsVerb,
}

/// What can be done with the certificate.
#[derive(Debug, Subcommand)]
pub enum TlsVerb {
    /// Make authority and certificate, where the first start has not; what is there stays. Where the store knows others, the
    /// fleet is to know the new ones from the next start on
    Init,
    /// Print the key by which agents and halctl know this supervisor, and where its files are
    Show,
    /// Make the certificate anew, under the same authority; a running supervisor takes it over at once
    Renew {
        /// A further name or address that it is for, beside those of this machine; may be given more than once
        #[arg(long = "name", value_name = "NAME")]
        names: Vec<String>,
    },
    /// Be the supervisor that the fleet knows, on a machine that has its store or a backup: asks for the recovery key
    #[command(after_help = "\
The next start brings the keys back and prints a line about it. Without the recovery key: put the file fleet.key of the
machine before beside the store.

Example:
  sudo hal-supervisor tls recover && sudo systemctl start hal-supervisor")]
    Recover,
    /// Go on with the authority in the folder tls, though the fleet knows another; every agent is to be told of it
    Keep,
}

/// What is to be done, and with which files.
#[derive(Debug, Args)]
pub struct StoreOptions {
    /// The supervisor's configuration file, which names the files
    #[arg(long, global = true, value_name = "PATH", default_value = default::SUPERVISOR_CONFIG)]
    pub config: PathBuf,
    /// Only show what would be done
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: StoreVerb,
}

/// What can be done with the files.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Check every page and row of both files, and whether they agree; exit 1 if something is wrong
    Check,
    /// Rebuild one of the two from the other; the file before is set aside
    Rebuild {
        /// Which one: store (supervisor.redb) or mirror (supervisor.db)
        #[arg(value_enum)]
        which: OneOfTwo,
    },
    /// Export the whole store into a new SQLite file
    Export {
        /// The file; it must not be there yet.
        file: PathBuf,
    },
    /// Import an exported file in place of the store, which is set aside
    Import {
        /// A copy or an export of supervisor.db.
        file: PathBuf,
    },
    /// Restore a backup as supervisor.db; the next start rebuilds the store from it
    Restore {
        /// The backup; by default the newest.
        file: Option<PathBuf>,
    },
    /// Compare a store that was set aside with the present one, by table
    Diff(Which),
    /// Bring back rows that only the store that was set aside has; nothing is duplicated
    #[command(after_help = "\
Examples:
  hal-supervisor store merge --dry-run
  hal-supervisor store merge supervisor.redb.replaced.1795450273 --table events --session ses_1234")]
    Merge(Which),
    /// Return the space of deleted rows to the disk
    Compact,
}

/// Which rows of which store that was set aside.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// Its file name, in the store's folder; by default the newest.
    pub file: Option<String>,
    /// Only these tables: events, sessions, nodes, costs, audit_log or commands
    #[arg(long = "table", value_name = "TABLE", value_delimiter = ',')]
    pub tables: Vec<String>,
    /// Only rows stored at or after this, such as 2026-11-23T16:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Time>,
    /// Only rows stored before this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Time>,
    /// Only rows of this session
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
}

fn moment(text: &str) -> Result<Time, String> {
    Time::parse(text).ok_or_else(|| "expected an RFC 3339 time such as 2026-11-23T16:00:00Z".to_owned())
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OneOfTwo {
    /// supervisor.redb
    Store,
    /// supervisor.db
    Mirror,
}

/// How `hal-supervisor` is called.
pub const DAEMON: Daemon<Config> = Daemon {
    name: "hal-supervisor",
    about: "Watches and steers the coding agents of all nodes; agents and people connect to it. For maintenance of its files while it is stopped: hal-supervisor store --help; for its certificate: hal-supervisor tls --help; to let a machine join: hal-supervisor join-token --help",
    default_config: default::SUPERVISOR_CONFIG,
    sample: SAMPLE,
    read,
};

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    DAEMON.command().subcommands(Offline::command().get_subcommands().cloned())
}
