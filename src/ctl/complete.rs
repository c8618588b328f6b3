//! What a shell offers behind what was typed: the words of the command line, and names that the supervisor is asked for.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::Command;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::cli::{self, Global};
use super::client::Client;
use super::discover::{self, Surroundings};
use super::name::{self, LAST, NamedKind};
use hal_base::exit::{Exit, Failure};
use hal_protocol::name::NameKind;

/// The variable by which a shell asks.
pub const VARIABLE: &str = "HALCTL_COMPLETE";

/// A shell that waits longer seems to hang.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers a shell, when it is one that asks: false when it is not. `args` are all words of this process.
pub fn answer(args: &[OsString]) -> Result<bool, Failure> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(false);
    }
    let typed = typed(args);
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(move || command(&typed))
        .var(VARIABLE)
        .bin("halctl")
        .completer("halctl")
        .try_complete(args.iter().cloned(), here.as_deref())
        .map_err(|error| Failure::say(Exit::Failed, error))
}

/// The command line that knows who to ask about each word.
pub fn command(global: &Global) -> Command {
    let mut command = cli::command();
    let nouns: Vec<String> = command.get_subcommands().map(|noun| noun.get_name().to_owned()).collect();
    for noun in nouns {
        let global = global.clone();
        let inside = noun.clone();
        command = command.mut_subcommand(&noun, move |below| ask_below(below, &inside, &global));
    }
    command
}

fn ask_below(command: Command, noun: &str, global: &Global) -> Command {
    let (for_args, for_verbs) = (global.clone(), global.clone());
    let verb = command.get_name().to_owned();
    command
        .mut_args(|arg| match kind(noun, &verb, arg.get_id().as_str()) {
            Some(kind) => {
                let global = for_args.clone();
                arg.add(ArgValueCompleter::new(move |current: &OsStr| offered(kind, current, &global)))
            }
            None => arg,
        })
        .mut_subcommands(|below| ask_below(below, noun, &for_verbs))
}

/// What a word of a verb names.
pub fn kind(noun: &str, verb: &str, arg: &str) -> Option<NamedKind> {
    let of = match (noun, verb, arg) {
        (_, _, "node_id") => NameKind::Node,
        (_, _, "session") => NameKind::Session,
        (_, _, "project") => NameKind::Project,
        ("nodes", _, "id") => NameKind::Node,
        ("sessions" | "policies", _, "id") => NameKind::Session,
        ("commands", _, "id") => NameKind::Command,
        ("approvals", _, "id") => NameKind::Approval,
        ("alerts", "expire", "id") => NameKind::Silence,
        ("alerts", _, "id" | "ids") => NameKind::Alert,
        ("budgets", _, "name") => NameKind::Budget,
        ("channels", _, "name") => NameKind::Channel,
        ("archive", _, "name") => return Some(NamedKind::Archive),
        ("backup", _, "name") => return Some(NamedKind::Backup),
        _ => return None,
    };
    Some(NamedKind::Of(of))
}

/// The names that begin as what was typed. A supervisor that cannot be asked offers none, and says nothing.
fn offered(kind: NamedKind, current: &OsStr, global: &Global) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    if current.starts_with('@') {
        return vec![CompletionCandidate::new(LAST)];
    }
    let asked = async {
        let client = Client::new(discover::find(global, &Surroundings::of_process()).ok()?).ok()?;
        tokio::time::timeout(PATIENCE, name::named(kind, &current, &client)).await.ok()?.ok()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let named = runtime.ok().and_then(|runtime| runtime.block_on(asked)).unwrap_or_default();
    let candidate = |(at, named): (usize, hal_protocol::name::Named)| {
        let about = super::print::text::one_line(&named.about);
        let help = (!about.is_empty()).then(|| about.into());
        CompletionCandidate::new(named.name).help(help).display_order(Some(at))
    };
    named.into_iter().enumerate().map(candidate).collect()
}

/// The supervisor that is named in what was typed so far. Whatever else stands there is still being typed.
fn typed(args: &[OsString]) -> Global {
    let mut global = Global::default();
    let mut words = args.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word.into_owned(), None),
        };
        let mut value = || value.clone().or_else(|| words.next().map(|word| word.into_owned()));
        match flag.as_str() {
            "--supervisor-url" => global.supervisor_url = value(),
            "--token-file" => global.token_file = value().map(Into::into),
            "--ca-file" => global.ca_file = value().map(Into::into),
            _ => {}
        }
    }
    global
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_is_a_name_is_completed_as_one() {
        let session = Some(NamedKind::Of(NameKind::Session));
        assert_eq!(kind("sessions", "kill", "id"), session);
        assert_eq!(kind("policies", "test", "session"), session);
        assert_eq!(kind("events", "tail", "node_id"), Some(NamedKind::Of(NameKind::Node)));
        assert_eq!(kind("alerts", "expire", "id"), Some(NamedKind::Of(NameKind::Silence)));
        assert_eq!(kind("incident", "note", "id"), None, "incidents are files of this machine");
        command(&Global::default()).debug_assert();
    }

    #[test]
    fn the_supervisor_of_the_command_line_is_asked() {
        let words = [
            "halctl",
            "--",
            "halctl",
            "--supervisor-url=ws://h:1",
            "--token-file",
            "/t",
            "sessions",
            "get",
            "",
        ];
        let global = typed(&words.map(OsString::from));
        assert_eq!(global.supervisor_url.as_deref(), Some("ws://h:1"));
        assert_eq!(global.token_file, Some("/t".into()));
    }
}
