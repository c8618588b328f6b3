//! Which coding agent `hal up` takes: the one that is said, else the one that is there, else it asks.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::agent::backend::BackendKind;
use crate::agent::backend::program::FoundProgram;
use crate::agent::config::Programs;
use crate::agent::found::{self, Found};
use crate::base::exit::{Exit, Failure};

/// What is taken.
pub struct Chosen {
    /// Which kind.
    pub kind: BackendKind,
    /// What it is called, for people: with its version and where it is.
    pub label: String,
}

/// The backend for these projects. Nothing is started but each program once, to say its version.
pub async fn backend(said: Option<BackendKind>, named: &[(String, PathBuf)]) -> Result<Chosen, Failure> {
    let found = found::look(&Programs::default(), BackendKind::ALL).await;
    if let Some(kind) = said {
        return chosen(&found, kind);
    }
    let here = named.first().map(|(_, folder)| folder.clone()).or_else(|| std::env::current_dir().ok());
    let usable = found::usable(&found);
    if let Some(kind) = found::choose(&found, here.as_deref().unwrap_or(Path::new("."))) {
        return chosen(&found, kind);
    }
    if usable.is_empty() {
        // One that is there and cannot be used is wanted, and what it lacks is worth more than a play.
        let unfit = found.iter().find(|(_, found)| found.path.is_some() && found.fault.is_some());
        return match unfit {
            Some((kind, _)) => chosen(&found, *kind),
            None => Ok(play(&found)),
        };
    }
    chosen(&found, ask(&usable)?)
}

fn of(found: &Found, kind: BackendKind) -> FoundProgram {
    found.iter().find(|(other, _)| *other == kind).map(|(_, found)| found.clone()).unwrap_or_default()
}

fn chosen(found: &Found, kind: BackendKind) -> Result<Chosen, Failure> {
    let program = of(found, kind);
    if let Some(why) = program.fault {
        let sentence = format!("{why}; or try hal without a coding agent: hal up --backend echo");
        return Err(Failure::say(Exit::Failed, sentence));
    }
    let label = match (program.version, program.path) {
        (Some(version), Some(path)) => format!("{} {version} ({})", kind.as_str(), path.display()),
        _ => kind.as_str().to_owned(),
    };
    Ok(Chosen { kind, label })
}

/// The one that follows words, with a sentence on how to get the real thing.
fn play(found: &Found) -> Chosen {
    let specs = found.iter().filter_map(|(kind, _)| kind.program());
    let ways: Vec<String> = specs.map(|spec| format!("{}: {}", spec.name, spec.install)).collect();
    eprintln!(
        "No coding agent is on PATH; run `hal up` again when there is one. {}.\n\
         Meanwhile the echo backend plays the coding agent; it follows words such as `say hello`.",
        ways.join("; ")
    );
    Chosen { kind: BackendKind::Echo, label: BackendKind::Echo.as_str().to_owned() }
}

/// Asks on a terminal which of several is meant.
fn ask(usable: &[BackendKind]) -> Result<BackendKind, Failure> {
    let words: Vec<&str> = usable.iter().map(|kind| kind.as_str()).collect();
    let several = format!("{} are installed", words.join(" and "));
    let sentence = format!("{several}: say which one with --backend, such as: hal up --backend {}", words[0]);
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() {
        return Err(Failure::say(Exit::Usage, sentence));
    }
    let _shown = write!(stderr, "{several}. Which one? [{}] ", words[0]);
    let mut line = String::new();
    // The end of the input is no answer, and no yes.
    if matches!(stdin.lock().read_line(&mut line), Ok(0) | Err(_)) {
        return Err(Failure::say(Exit::Usage, sentence));
    }
    let word = if line.trim().is_empty() { words[0] } else { line.trim() };
    let meant = usable.iter().copied().find(|kind| kind.as_str() == word);
    meant.ok_or_else(|| Failure::say(Exit::Usage, sentence))
}
