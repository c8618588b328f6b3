//! `halctl config`: which supervisor is used and why, and remembering one.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::cli::{ConfigVerb, Global, Remembered};
use super::discover::{self, Origin, Surroundings, may_send, read_url};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use hal_base::exit::{Exit, Failure};
use hal_base::id;

/// Carries out one of the verbs.
pub fn run(
    verb: ConfigVerb,
    global: &Global,
    around: &Surroundings,
    screen: &mut Screen,
) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Get => {
            let target = discover::find(global, around)?;
            let token = target.token.as_ref();
            screen.one(&EffectiveConfig {
                url: target.url.to_string(),
                url_from: target.url_from.to_string(),
                token: if token.is_some() { "found" } else { "none" },
                token_from: token.map(|(_, from)| from.to_string()).unwrap_or_default(),
                ca_file: target.ca_file.as_ref().map(|(path, _)| path.display().to_string()),
                pin: target.pin.as_ref().map(|(pin, _)| pin.to_string()),
                ca_from: target.ca_file.as_ref().map(|(_, from)| from.to_string()).unwrap_or_default(),
                notes: target.notes,
            })
        }
        ConfigVerb::Set { url } => set(&url, global, around, screen),
        ConfigVerb::Unset { what } => unset(&what, around, screen),
    }
}

/// What is used and where it comes from. Holds no secret.
#[derive(Serialize)]
struct EffectiveConfig {
    url: String,
    url_from: String,
    token: &'static str,
    token_from: String,
    ca_file: Option<String>,
    ca_from: String,
    pin: Option<String>,
    notes: Vec<String>,
}

impl Record for EffectiveConfig {
    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("url", &self.url),
            Field::new("url_from", &self.url_from),
            Field::new("token", self.token).tone(if self.token == "none" { Tone::Bad } else { Tone::Good }),
            Field::new("token_from", &self.token_from),
            Field::new("ca_file", self.ca_file.clone().unwrap_or_default()),
            Field::new("ca_from", &self.ca_from),
            Field::new("pin", self.pin.clone().unwrap_or_default()),
            Field::new("notes", self.notes.join("\n")),
        ]
    }
}

/// Writes the user's file, keeping the keys it does not know.
pub fn set(url: &str, global: &Global, around: &Surroundings, screen: &mut Screen) -> Result<(), Failure> {
    let path = user_file(around)?;
    let new = read_url(url, &Origin::Flag("--url"))?;
    // A word alone is more often a slip than a machine that answers at the port of the web.
    if !url.contains("://") && new.port().is_none() {
        let sentence = format!(
            "--url {url:?} names neither a scheme nor a port, and was not remembered; for a supervisor on the machine \
             {0} it is http://{0}:8420 or https://{0}:8420",
            new.host_str().unwrap_or_default()
        );
        return Err(Failure::say(Exit::Usage, sentence));
    }
    let mut keys = read(&path)?;
    let old = keys.get("url").and_then(Value::as_str).and_then(|old| read_url(old, &Origin::Default).ok());
    // The old token belongs to the old supervisor and must not be sent to the new one.
    let forgets = global.token_file.is_some() || !old.is_some_and(|old| may_send(&old, &new));
    if forgets {
        keys.remove("pin");
    }
    let forgot = forgets && (keys.remove("token").is_some() | keys.remove("token_file").is_some());
    keys.insert("url".into(), url.trim().into());
    for (key, file) in [("token_file", &global.token_file), ("ca_file", &global.ca_file)] {
        if let Some(file) = file {
            keys.insert(key.into(), absolute(file)?.to_string_lossy().into());
        }
    }
    if let Some(pin) = global.supervisor_pin {
        keys.insert("pin".into(), pin.to_string().into());
    }
    write(&path, &keys).map_err(|error| cannot_write(&path, error))?;
    screen.say(&format!("Remembered in {}.", path.display()));
    if forgot && global.token_file.is_none() {
        screen.say("The token remembered for the other supervisor was forgotten; name the new one with --token-file.");
    }
    Ok(())
}

/// Takes keys out of the user's file, which goes when nothing is left in it.
pub fn unset(what: &[Remembered], around: &Surroundings, screen: &mut Screen) -> Result<(), Failure> {
    let path = user_file(around)?;
    let mut keys = read(&path)?;
    let names = |one: &Remembered| match one {
        Remembered::Url => vec!["url", "token", "token_file", "pin"],
        Remembered::TokenFile => vec!["token", "token_file"],
        Remembered::CaFile => vec!["ca_file"],
    };
    let all = [Remembered::Url, Remembered::CaFile];
    let what = if what.is_empty() { &all } else { what };
    let gone: Vec<&str> = what.iter().flat_map(names).filter(|name| keys.remove(*name).is_some()).collect();
    if gone.is_empty() {
        screen.say(&format!("Nothing of it is remembered in {}.", path.display()));
        return Ok(());
    }
    let written = if keys.is_empty() { fs::remove_file(&path) } else { write(&path, &keys) };
    written.map_err(|error| cannot_write(&path, error))?;
    screen.say(&format!("Forgotten in {}: {}.", path.display(), gone.join(", ")));
    Ok(())
}

fn user_file(around: &Surroundings) -> Result<PathBuf, Failure> {
    around.user_file().ok_or_else(|| {
        Failure::say(Exit::BadConfig, "neither HOME nor XDG_CONFIG_HOME names a folder to remember it in")
    })
}

fn cannot_write(path: &Path, error: std::io::Error) -> Failure {
    let doing = format!("cannot write {}", path.display());
    Failure::new(Exit::Failed, anyhow::Error::new(error).context(doing))
}

fn read(path: &Path) -> Result<Map<String, Value>, Failure> {
    let bad = |why: String| {
        let sentence = format!("{} {why}; it was left as it is. Repair or remove it first", path.display());
        Failure::say(Exit::BadConfig, sentence)
    };
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| {
            bad(format!("is not a JSON object (line {}, column {})", error.line(), error.column()))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(bad(format!("cannot be read ({error})"))),
    }
}

/// Writes beside the file and moves it there, so that nobody ever reads half a file or one that others may read.
fn write(path: &Path, keys: &Map<String, Value>) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = folder.join(format!(".ctl.json.{}", id::fresh()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let text = serde_json::to_string_pretty(keys).map_err(std::io::Error::other)?;
    let written =
        writeln!(file, "{text}").and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// The file's path from the root; it must be there, since a mistyped name is noticed best right now.
fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(file).map_err(|error| {
        Failure::say(Exit::Usage, format!("the file {} cannot be used: {error}", file.display()))
    })
}
