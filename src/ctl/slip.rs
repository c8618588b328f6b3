//! What halctl says of a command line that cannot be read: the word that was meant, and never one that was not.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::cli::{Cli, TEXT};
use hal_base::daemon::typed_or;
use hal_base::exit::Failure;
use hal_base::nearest::nearest;

/// Words that other programs have for what is called otherwise here, and what to type.
const MEANT: [(&str, &str); 10] = [
    ("status", "halctl nodes list, halctl sessions list or halctl doctor"),
    ("env", "halctl config get"),
    ("context", "halctl config get"),
    ("logs", "halctl sessions logs ID"),
    ("start", "halctl sessions start --project NAME PROMPT"),
    ("run", "halctl sessions start --project NAME --wait PROMPT"),
    ("kill", "halctl sessions kill ID"),
    ("attach", "halctl sessions attach ID"),
    ("watch", "halctl sessions watch ID, or halctl events tail"),
    ("permissions", "halctl approvals list"),
];

/// Reads the command line; what cannot be read is explained.
pub fn read(called: &str, args: Vec<OsString>) -> Result<Cli, Result<String, Failure>> {
    let words: Vec<String> = args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let args = if words.iter().any(|word| word == "answer") { with_texts(args) } else { args };
    typed_or(called, args, |command, error| explain(called, command, &words, error))
}

/// Marks what can only be text: no option has a blank in its name, or begins with a number or a sign.
fn with_texts(args: Vec<OsString>) -> Vec<OsString> {
    let is_text = |word: &str| {
        let name = word.split('=').next().unwrap_or_default();
        let begin = word.trim_start_matches('-').chars().next();
        word.len() > 1
            && word.starts_with('-')
            && word != "--"
            && (name.contains(char::is_whitespace) || begin.is_none_or(|c| !c.is_alphabetic()))
    };
    let mark = |word: OsString| match word.to_str() {
        Some(text) if is_text(text) => format!("{TEXT}{text}").into(),
        _ => word,
    };
    args.into_iter().map(mark).collect()
}

fn explain(called: &str, command: &Command, words: &[String], error: &clap::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::InvalidSubcommand => no_command(called, command, words, error),
        ErrorKind::UnknownArgument => no_option(called, command, words, error),
        _ => None,
    }
}

/// The command that the words before a slip name, and how it is typed.
fn place<'a>(called: &str, command: &'a Command, words: &[String], slip: &str) -> (&'a Command, String) {
    let (mut place, mut path) = (command, called.to_owned());
    for word in words.iter().take_while(|word| *word != slip) {
        if let Some(below) = place.find_subcommand(word) {
            path = format!("{path} {}", below.get_name());
            place = below;
        }
    }
    (place, path)
}

fn no_option(called: &str, command: &Command, words: &[String], error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(slip)) = error.get(ContextKind::InvalidArg) else { return None };
    let (place, path) = place(called, command, words, slip);
    if !slip.starts_with('-') {
        return Some(format!("{path} takes no {slip:?}; quote text that contains spaces\nSee {path} --help"));
    }
    let names: Vec<String> = place
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .flat_map(|arg| arg.get_long_and_visible_aliases().unwrap_or_default())
        .map(|long| format!("--{long}"))
        .collect();
    let help = match nearest(slip, names.iter().map(String::as_str)) {
        Some(option) => format!("; did you mean {option}?"),
        None if place.get_positionals().next().is_some() => {
            format!("; if it is no option, put it last, behind --: {path} .. -- {slip}")
        }
        None => String::new(),
    };
    Some(format!("{path} has no option {slip}{help}\nSee {path} --help"))
}

fn no_command(called: &str, command: &Command, words: &[String], error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(slip)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let (place, path) = place(called, command, words, slip);
    let is_top = place.get_name() == command.get_name();
    let meant = MEANT.iter().find(|(word, _)| is_top && word == slip).map(|(_, meant)| *meant);
    let names = place.get_subcommands().filter(|below| !below.is_hide_set());
    let names = names.flat_map(|below| std::iter::once(below.get_name()).chain(below.get_visible_aliases()));
    let help = match (meant, nearest(slip, names)) {
        (Some(meant), _) => format!("; type {meant}"),
        (None, Some(word)) => format!("; did you mean {path} {word}?"),
        (None, None) => String::new(),
    };
    Some(format!("{path} has no command {slip:?}{help}\nSee {path} --help"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        match read("halctl", line.split_whitespace().map(OsString::from).collect()) {
            Err(Err(failure)) => failure.to_string(),
            Err(Ok(text)) => text,
            Ok(cli) => format!("{cli:?}"),
        }
    }

    #[test]
    fn a_word_that_is_none_is_answered_with_what_was_meant_or_with_nothing() {
        for (line, words) in [
            ("status", "nodes list"),
            ("env", "config get"),
            ("sesions list", "did you mean halctl sessions?"),
            ("-o json sessions atach ses_1", "did you mean halctl sessions attach?"),
            ("approvals aprove", "see halctl approvals --help"),
        ] {
            let told = said(line);
            assert!(told.to_lowercase().contains(&words.to_lowercase()), "{line}: {told}");
        }
        for (line, wrong) in [("status", "store"), ("env", "events"), ("xyzzy", "mean")] {
            assert!(!said(line).contains(wrong), "{line}: {}", said(line));
        }
    }

    #[test]
    fn a_text_may_begin_with_a_dash_wherever_a_text_stands() {
        let session = |line: &[&str]| {
            let words = ["sessions"].iter().chain(line).map(OsString::from).collect();
            let cli = read("halctl", words).unwrap_or_else(|told| panic!("{line:?}: {told:?}"));
            format!("{:?}", cli.noun)
        };
        for text in ["- first\n- second", "-1", "--- a/file", "-", "--wait is broken", "- [ ] a box"] {
            let quoted = format!("{text:?}");
            for line in [
                &["prompt", "s1", "--wait", text][..],
                &["prompt", "s1", text, "--wait"],
                &["resume", "s1", text],
                &["restart", "s1", text],
                &["start", "-p", "shop", "--title", text, text],
                &["deny", "s1", "--message", text, "--timeout", "5s"],
                &["deny", "s1", "-m", text],
            ] {
                assert!(session(line).contains(&quoted), "{line:?}: {}", session(line));
            }
        }
        let told = session(&["answer", "s1", "- Red", "-5", "Blue", "--timeout", "5s"]);
        assert!(told.contains("[\"- Red\", \"-5\", \"Blue\"]") && told.contains("Some(5s)"), "{told}");
        for line in [
            "incident open --severity,high,- x",
            "incident note,- x",
            "incident close,- x",
            "approvals answer a1,- x",
            "approvals deny,a1,-m,- x",
            "alerts silence add n,--reason,- x",
            "archive search,- x",
        ] {
            let words = line
                .split(',')
                .flat_map(|part| if part.starts_with("- ") { vec![part] } else { part.split(' ').collect() });
            let cli = read("halctl", words.map(OsString::from).collect());
            assert!(format!("{cli:?}").contains("\"- x\""), "{line}: {cli:?}");
        }
    }

    #[test]
    fn an_option_that_is_none_gets_a_hint_that_helps() {
        for (line, words) in [
            ("sessions list --statsu idle", "did you mean --status?"),
            ("sessions answer s1 -x", "put it last, behind --: halctl sessions answer .. -- -x"),
            ("sessions prompt s1 make it so", "quote text"),
            ("nodes list --frob", "halctl nodes list has no option --frob\n"),
        ] {
            let told = said(line);
            assert!(told.contains(words) && !told.contains("tip:"), "{line}: {told}");
        }
    }

    #[test]
    fn a_noun_alone_shows_its_help_and_no_error() {
        for line in ["", "nodes", "sessions", "help", "help sessions start", "cost"] {
            let told = said(line);
            assert!(told.contains("Usage: halctl") && !told.contains("error:"), "{line:?}: {told}");
        }
        assert!(said("--version").starts_with("halctl "));
    }

    #[test]
    fn words_that_were_used_before_still_mean_the_same() {
        for (before, now) in [
            ("approvals approve a1", "approvals allow a1"),
            ("budgets rm day", "budgets remove day"),
            ("incident show", "incident get"),
            ("config show", "config get"),
            ("commands list --state done", "commands list --status done"),
            ("sessions show s1", "sessions get s1"),
        ] {
            assert_eq!(said(before), said(now), "{before}");
            assert!(!said(now).contains("no command"), "{}", said(now));
        }
        let help = said("approvals --help");
        assert!(help.contains("allow") && !help.contains("approve"), "{help}");
    }
}
