//! The command line of halctl: what may be typed. What it means is decided by the file of each noun.

pub mod actor;
pub mod alert;
pub mod approval;
pub mod archive;
pub mod audit;
pub mod budget;
pub mod channel;
pub mod cost;
pub mod doctor;
pub mod incident;
pub mod list;
pub mod node;
pub mod policy;
pub mod project;
pub mod recovery_key;
pub mod route;
pub mod secure;
pub mod session;
pub mod store;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use hal_base::clock::Time;
use hal_base::daemon::version;
use hal_base::exit;
use hal_base::tls::Pin;
use hal_protocol::alert::Severity;
use list::ListArgs;

const EXAMPLES: &str = "\
Examples:
  halctl nodes list
  halctl sessions list --status waiting
  halctl sessions start --project shop --wait \"make the tests pass\"
  halctl sessions logs ses_1234 --follow
  halctl sessions allow ses_1234
  halctl sessions logs @last           # the newest; a unique prefix of a name is enough, too
  halctl --supervisor-url wss://supervisor.example:8420 --token-file ~/token sessions list
  halctl sessions list | grep \"node_id: web-1\"";

/// See and steer coding agents on many machines.
#[derive(Debug, Parser)]
#[command(name = "halctl", version = version(), max_term_width = 110, after_help = after_help())]
#[command(propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub noun: Noun,
}

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{}", exit::HELP)
}

/// Flags that may stand before or after the subcommand.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The supervisor's URL; ws, wss, http and https reach the same server [env: HALCTL_SUPERVISOR_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub supervisor_url: Option<String>,
    /// A file that holds the token [env: HALCTL_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A PEM file with the authority (CA) of the supervisor's certificate [env: HALCTL_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The key by which the supervisor is known, as `hal-supervisor tls show` prints it [env: HALCTL_SUPERVISOR_PIN]
    #[arg(long, global = true, value_name = "PIN")]
    pub supervisor_pin: Option<Pin>,
    /// The token itself; other users of this machine can see it.
    #[arg(long, global = true, value_name = "TOKEN", hide = true)]
    pub auth_token: Option<String>,
    /// How to print: table, wide, lines (`key: value  key: value`), csv, json, yaml or name; by default a table on a
    /// terminal and lines into a pipe
    #[arg(short, long, global = true, value_enum, env = "HALCTL_OUTPUT", value_name = "HOW")]
    #[arg(hide_possible_values = true, hide_env_values = true)]
    pub output: Option<Output>,
    /// Print tables without their header
    #[arg(long, global = true)]
    pub no_headers: bool,
    /// When to use colour: auto, always or never
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = true
    )]
    pub color: Color,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns for people.
    Table,
    /// More columns for people.
    Wide,
    /// One line for each record: `key: value  key: value`.
    Lines,
    /// Comma-separated values, with the fields' names in the first line.
    Csv,
    /// What the supervisor answered.
    Json,
    /// The same as YAML.
    Yaml,
    /// Only the names.
    Name,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// Machines with a hal-agent
    #[command(visible_alias = "node", subcommand)]
    Nodes(node::NodeVerb),
    /// Folders that coding agents work in, with their nodes
    #[command(visible_alias = "project", subcommand)]
    Projects(project::ProjectVerb),
    /// Coding agents that nodes have: which version, where, and what each can tell and do
    #[command(visible_alias = "backend", subcommand)]
    Backends(project::BackendVerb),
    /// Sessions of coding agents: list, follow, start and control them
    #[command(visible_alias = "session", subcommand)]
    Sessions(session::SessionVerb),
    /// Show running sessions, the most expensive first; on a terminal, keep refreshing
    #[command(after_help = "\
Examples:
  halctl top
  halctl top --sort -tokens --node-id web-1
  halctl top --once")]
    Top(session::Top),
    /// Automatic policies: list them, explain decisions, test changed ones against recorded history
    #[command(visible_alias = "policy", subcommand)]
    Policies(policy::PolicyVerb),
    /// Events: what happened on nodes and in the supervisor
    #[command(visible_alias = "event", subcommand)]
    Events(EventVerb),
    /// Commands sent to nodes, and their outcomes
    #[command(visible_alias = "command", subcommand)]
    Commands(CommandVerb),
    /// Alerts: what is wrong, since when, and who acknowledged it; silences
    #[command(visible_alias = "alert", subcommand)]
    Alerts(alert::AlertVerb),
    /// Notification channels: Discord, Slack, e-mail, PagerDuty, webhooks; and their queues
    #[command(visible_alias = "channel", subcommand)]
    Channels(channel::ChannelVerb),
    /// Notification routes: which channel is notified of what, and why
    #[command(visible_alias = "route", subcommand)]
    Routes(route::RouteVerb),
    /// Permissions and questions that sessions wait for: list, answer, check that the answer arrived
    #[command(visible_alias = "approval", subcommand)]
    Approvals(approval::ApprovalVerb),
    /// Spending limits: what may be spent, is spent, and is lent
    #[command(visible_alias = "budget", subcommand)]
    Budgets(budget::BudgetVerb),
    /// Archives of events and audit records that retention moved out of the store
    #[command(visible_alias = "archives", subcommand)]
    Archive(archive::ArchiveVerb),
    /// Backups of supervisor.db
    #[command(visible_alias = "backups", subcommand)]
    Backup(archive::BackupVerb),
    /// How large the store is and when the disk is full; bring back rows from a store that was set aside
    #[command(subcommand)]
    Store(store::StoreVerb),
    /// What sessions have used, and what providers bill
    #[command(
        visible_alias = "costs",
        after_help = "\
Examples:
  halctl cost today
  halctl cost month --by project
  halctl cost --from 2026-11-01 --to 2026-11-15 --by model -o csv"
    )]
    Cost(cost::Cost),
    /// Users: people, programs and machines that the supervisor knows, and their roles
    #[command(visible_alias = "user", subcommand)]
    Users(actor::UserVerb),
    /// Tokens of users: make, list, rotate and revoke them
    #[command(visible_alias = "token", subcommand)]
    Tokens(actor::TokenVerb),
    /// Tokens by which new machines join: make the line to paste there, list and revoke them
    #[command(visible_alias = "join-tokens", subcommand)]
    JoinToken(actor::JoinTokenVerb),
    /// Make the recovery key of this fleet, and print it once: with it and a backup, another machine is this supervisor to
    /// every agent
    RecoveryKey(recovery_key::RecoveryKeyArgs),
    /// The audit log: who did what, by which credential, from where, and what came of it
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// Close a supervisor that was set up open, on its own machine: TLS, and a shared token that opens the agents' door alone;
    /// says before who would be cut off
    Secure(secure::Secure),
    /// Print a link that opens the dashboard in a browser, logged in as you; it works once, and for five minutes
    #[command(after_help = "\
What the browser does stands on the record under your name. It stays logged in for 30 days (12 hours where the local
socket was asked), until what you show here ends, or until it is revoked: halctl tokens list, halctl tokens revoke ID.")]
    Dashboard,
    /// Print who the supervisor says you are, and what you may do
    Whoami,
    /// Remember a supervisor and your token for it; the token is read from standard input
    #[command(after_help = "\
Examples:
  halctl login --supervisor-url wss://supervisor.example:8420
  halctl login --supervisor-url wss://supervisor.example:8420 < token")]
    Login,
    /// Revoke the token that halctl login remembered, and forget it
    Logout,
    /// Check this machine as the runbook does: what is wrong, the evidence, the remedy; --fix applies what is safe
    #[command(after_help = doctor::DOCTOR_HELP)]
    Doctor(doctor::Doctor),
    /// Keep the timeline of an incident, and collect diagnostics
    #[command(visible_alias = "incidents", subcommand)]
    Incident(incident::IncidentVerb),
    /// Print the version of halctl
    Version,
    /// Which supervisor halctl talks to, and why
    Config {
        /// What to do with it; by default `get`.
        #[command(subcommand)]
        verb: Option<ConfigVerb>,
    },
    /// Print a script that completes halctl's commands in a shell
    #[command(
        after_help = "Example:\n  halctl completions bash > ~/.local/share/bash-completion/completions/halctl"
    )]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

impl Noun {
    /// True for what is asked of the supervisor, and nothing else.
    pub fn asks(&self) -> bool {
        !matches!(
            self,
            Self::Config { .. }
                | Self::Completions { .. }
                | Self::Version
                | Self::Doctor(_)
                | Self::Incident(_)
                | Self::Login
                | Self::Logout
        )
    }
}

/// What can be done with events.
#[derive(Debug, Subcommand)]
pub enum EventVerb {
    /// List the latest events, oldest first
    #[command(visible_alias = "ls")]
    List {
        /// Which events.
        #[command(flatten)]
        filter: EventFilter,
        /// Only those before this: `5m` ago, or an RFC 3339 time
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        until: Option<Moment>,
        /// How many at most; 0: all of them
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Show events as they happen, until Ctrl-C
    Tail {
        /// Which events.
        #[command(flatten)]
        filter: EventFilter,
    },
}

/// Which events.
#[derive(Clone, Debug, Default, Args)]
pub struct EventFilter {
    /// Only those of this session
    #[arg(long, visible_alias = "session-id", value_name = "ID")]
    pub session: Option<String>,
    /// Only those of this node
    #[arg(long, visible_alias = "node", value_name = "NODE")]
    pub node_id: Option<String>,
    /// Only those of this project
    #[arg(long)]
    pub project: Option<String>,
    /// Only these types, for example `session.idle` or `permission.*`
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', action = ArgAction::Append)]
    pub kinds: Vec<String>,
    /// Only those after this: `5m` ago, or an RFC 3339 time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub since: Option<Moment>,
    /// Show the first 400 characters of an event's data instead of all
    #[arg(long)]
    pub short: bool,
}

/// What can be done with commands.
#[derive(Debug, Subcommand)]
pub enum CommandVerb {
    /// List commands, newest first
    #[command(visible_alias = "ls")]
    List {
        /// Only those that are queued, sent, running, done, failed, expired or unknown
        #[arg(long, alias = "state")]
        status: Option<String>,
        /// Only those for this node
        #[arg(long, visible_alias = "node", value_name = "NODE")]
        node_id: Option<String>,
        /// Only those for this session
        #[arg(long, visible_alias = "session-id", value_name = "ID")]
        session: Option<String>,
        /// How many at most; 0: all of them
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// In which order, once or on and on.
        #[command(flatten)]
        how: ListArgs,
    },
    /// Cancel a command that has not started; one that has started continues
    Cancel {
        /// The command's id.
        id: String,
    },
    /// Show one command and its outcome
    #[command(alias = "show")]
    Get {
        /// The command's id.
        id: String,
    },
}

/// What can be done with halctl's own configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Show which supervisor is used, where its URL and the token come from; never the token
    #[command(alias = "show")]
    Get,
    /// Remember a supervisor for this user
    #[command(
        after_help = "Example:\n  halctl config set --url wss://supervisor.example:8420 --token-file ~/token"
    )]
    Set {
        /// The supervisor's URL
        #[arg(long)]
        url: String,
        // The remembered files are the global `--token-file` and `--ca-file`.
    },
    /// Forget what `config set` has remembered: all of it, or what is named
    #[command(after_help = "Examples:\n  halctl config unset\n  halctl config unset ca-file")]
    Unset {
        /// What to forget; forgetting the URL also forgets its token
        #[arg(value_enum, value_name = "WHAT")]
        what: Vec<Remembered>,
    },
}

/// What `config set` remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Remembered {
    /// The supervisor's URL, and the token with it.
    Url,
    /// The file that holds the token.
    TokenFile,
    /// The file of the authorities whose certificates are trusted.
    CaFile,
}

/// A moment as it may be typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long before now.
    Ago(Duration),
    /// Exactly then.
    At(Time),
}

impl Moment {
    /// The moment itself.
    pub fn at(self, now: Time) -> Time {
        match self {
            Self::Ago(duration) => now.minus(duration),
            Self::At(time) => time,
        }
    }
}

/// Reads `90`, `90s`, `5m`, `1h30m` or `2d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a number of seconds or a time such as 30s, 5m, 1h30m or 2d";
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let span: jiff::Span = text.parse().map_err(|_| EXPECTED.to_owned())?;
    let seconds = span
        .total((jiff::Unit::Second, jiff::SpanRelativeTo::days_are_24_hours()))
        .map_err(|_| EXPECTED.to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| EXPECTED.to_owned())
}

/// Reads a moment: RFC 3339, or a time ago.
pub fn moment(text: &str) -> Result<Moment, String> {
    if let Some(at) = Time::parse(text) {
        return Ok(Moment::At(at));
    }
    duration(text)
        .map(Moment::Ago)
        .map_err(|expected| format!("{expected} ago, or an RFC 3339 time such as 2026-11-23T16:00:00Z"))
}

/// Stands before a text of several that begins with a `-`, from where it was typed to where it is read: such a word
/// would be taken for an option.
pub const TEXT: char = '\u{1}';

fn plain(text: &str) -> Result<String, String> {
    Ok(text.strip_prefix(TEXT).unwrap_or(text).to_owned())
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| "expected low, medium, high or critical".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        command().debug_assert();
    }

    #[test]
    fn durations_and_moments_are_read_as_people_write_them() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        assert!(duration("soon").is_err() && duration("-5m").is_err());
        assert_eq!(moment("5m"), Ok(Moment::Ago(Duration::from_secs(300))));
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Moment::At(Time(1000))));
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn global_flags_stand_before_and_after_the_subcommand() {
        for line in [
            &["halctl", "--supervisor-url", "ws://h:1", "sessions", "ls", "-o", "json"][..],
            &["halctl", "session", "list", "--supervisor-url", "ws://h:1", "--output", "json"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.global.supervisor_url.as_deref(), Some("ws://h:1"));
            assert_eq!(cli.global.output, Some(Output::Json));
        }
    }
}
