//! Which supervisor to talk to and with which token: flags, environment, then the small files of
//! `protocol::ctl_file`, each value from the first place that has it.
//!
//! One rule protects tokens: a token that was *found* in such a file goes only to the URL of that file, or to a
//! loopback address with the same port. A token that was *given* (flag or environment) goes where the caller says.
//!
//! Another protects the reader: root looks into files that a service may write. Such a file names only what belongs to
//! its own owner, so that no service has root read for it.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::cli::Global;
use hal_base::exit::{Exit, Failure};
use hal_base::file;
use hal_base::secret::Secret;
use hal_base::tls::Pin;
use hal_protocol::ctl_file::{self, CtlFile, MACHINE_FILE, MACHINE_GROUP};
use hal_protocol::default;

/// Bytes read of a token file or a ctl file; both hold a few lines.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag(&'static str),
    /// An environment variable.
    Variable(&'static str),
    /// A file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(out, "the flag {name}"),
            Self::Variable(name) => write!(out, "the environment variable {name}"),
            Self::File(path) => write!(out, "{}", path.display()),
            Self::Default => out.write_str("the default"),
        }
    }
}

/// A supervisor and how to be let in.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its URL; the scheme is `http` or `https` and the path ends in a slash.
    pub url: Url,
    /// Where the URL came from.
    pub url_from: Origin,
    /// The token and where it came from; `None`: none was found.
    pub token: Option<(Secret, Origin)>,
    /// The authority of its certificate and where that was said.
    pub ca_file: Option<(PathBuf, Origin)>,
    /// The key by which it is known and where that was said.
    pub pin: Option<(Pin, Origin)>,
    /// A socket of that supervisor on this machine, where no token is shown; `None`: it is reached by the URL.
    pub socket: Option<LocalSocket>,
    /// What was found and could not be used, as sentences: shown when the supervisor does not let us in.
    pub notes: Vec<String>,
}

/// The supervisor's socket on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSocket {
    /// Where it lies.
    pub path: PathBuf,
    /// Whom root acts for, as sudo says.
    pub login: Option<String>,
}

/// The machine as seen by discovery; tests make their own.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The environment, as far as it concerns halctl.
    pub variables: Vec<(String, OsString)>,
    /// The supervisor's file for operators of its machine.
    pub machine_file: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        const CONCERN_US: [&str; 11] = [
            "HOME",
            "USER",
            "SUDO_USER",
            "HALCTL_INCIDENT_FOLDER",
            "XDG_CONFIG_HOME",
            "XDG_STATE_HOME",
            "HALCTL_SUPERVISOR_URL",
            "HALCTL_TOKEN_FILE",
            "HALCTL_AUTH_TOKEN",
            "HALCTL_CA_FILE",
            "HALCTL_SUPERVISOR_PIN",
        ];
        let variables = CONCERN_US
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?)))
            .collect();
        Self { variables, machine_file: MACHINE_FILE.into() }
    }

    /// An environment variable; an empty one counts as unset.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        let (_, value) = self.variables.iter().find(|(known, value)| known == name && !value.is_empty())?;
        Some(value.clone())
    }

    /// The user's own ctl file.
    pub fn user_file(&self) -> Option<PathBuf> {
        ctl_file::user_file(|name| self.variable(name))
    }
}

/// A ctl file that could be read.
struct FoundCtlFile {
    path: PathBuf,
    file: CtlFile,
    url: Url,
    /// Whose file it is: it names only what its owner may read.
    owner: u32,
}

/// Finds the supervisor. Fails when what was given cannot be used; a missing token is not a failure yet.
pub fn find(global: &Global, around: &Surroundings) -> Result<Target, Failure> {
    let mut notes = Vec::new();
    let given_url = given_url(global, around)?;
    let given_token = given_token(global, around)?;
    let files = read_files(around, given_url.is_some() && given_token.is_some(), &mut notes)?;

    let (url, url_from) = match (given_url, files.iter().find(|found| found.file.url.is_some())) {
        (Some(given), _) => given,
        (None, Some(found)) => (found.url.clone(), Origin::File(found.path.clone())),
        (None, None) => (read_url(default::URL, &Origin::Default)?, Origin::Default),
    };
    let token = match given_token {
        Some(given) => Some(given),
        None => found_token(&files, &url, &mut notes)?,
    };
    let given_ca = match (&global.ca_file, around.variable("HALCTL_CA_FILE")) {
        (Some(path), _) => Some((path.clone(), Origin::Flag("--ca-file"))),
        (None, Some(path)) => Some((path.into(), Origin::Variable("HALCTL_CA_FILE"))),
        (None, None) => None,
    };
    let ca_file = given_ca.or_else(|| {
        let found = files.iter().find(|found| found.file.ca_file.is_some() && may_send(&found.url, &url))?;
        Some((beside(&found.path, found.file.ca_file.as_ref()?), Origin::File(found.path.clone())))
    });
    let pin = pin(global, around, &files, &url)?;
    let login = around.variable("SUDO_USER").and_then(|login| login.into_string().ok());
    // A person's own file says who they want to be.
    let own = around.user_file();
    let programs = files.iter().filter(|found| Some(&found.path) != own.as_ref());
    let socket = socket_of(programs, &url, token.as_ref()).map(|path| LocalSocket { path, login });
    Ok(Target { url, url_from, token, ca_file, pin, socket, notes })
}

/// Reads a URL as people type it: four schemes for two, and a missing one means http.
pub fn read_url(text: &str, from: &Origin) -> Result<Url, Failure> {
    let text = text.trim();
    let wrong = |why: &str| {
        Failure::say(
            Exit::Usage,
            format!(
                "{text:?} from {from} is not a supervisor's URL: {why}. Expected something like {}",
                default::URL
            ),
        )
    };
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "ws" | "http" => "http",
        "wss" | "https" => "https",
        other => return Err(wrong(&format!("{other:?} is not one of ws, wss, http and https"))),
    };
    let mut url = Url::parse(&format!("{scheme}://{rest}")).map_err(|error| wrong(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it must not contain a user name or a password"));
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// True when a token that belongs to `home` may be sent to `target`.
pub fn may_send(home: &Url, target: &Url) -> bool {
    let same_port = home.port_or_known_default() == target.port_or_known_default();
    let same_server = home.scheme() == target.scheme() && home.host() == target.host();
    same_port && (same_server || is_loopback(target))
}

/// True when the URL cannot lead to another machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// The key of the supervisor at this URL: as it is given, else as the first file that is about it says.
fn pin(
    global: &Global,
    around: &Surroundings,
    files: &[FoundCtlFile],
    url: &Url,
) -> Result<Option<(Pin, Origin)>, Failure> {
    if let Some(pin) = global.supervisor_pin {
        return Ok(Some((pin, Origin::Flag("--supervisor-pin"))));
    }
    let (text, from) = match around.variable("HALCTL_SUPERVISOR_PIN") {
        Some(text) => (text.to_string_lossy().into_owned(), Origin::Variable("HALCTL_SUPERVISOR_PIN")),
        None => {
            let is_its = |found: &&FoundCtlFile| found.url.host() == url.host() && found.file.pin.is_some();
            let Some(found) = files.iter().find(is_its) else { return Ok(None) };
            (found.file.pin.clone().unwrap_or_default(), Origin::File(found.path.clone()))
        }
    };
    let read = text.parse::<Pin>();
    read.map(|pin| Some((pin, from.clone()))).map_err(|why| {
        Failure::say(Exit::BadConfig, format!("the supervisor's key from {from} cannot be read: {why}"))
    })
}

fn given_url(global: &Global, around: &Surroundings) -> Result<Option<(Url, Origin)>, Failure> {
    let (text, from) = match (&global.supervisor_url, around.variable("HALCTL_SUPERVISOR_URL")) {
        (Some(text), _) => (text.clone(), Origin::Flag("--supervisor-url")),
        (None, Some(text)) => {
            (text.to_string_lossy().into_owned(), Origin::Variable("HALCTL_SUPERVISOR_URL"))
        }
        (None, None) => return Ok(None),
    };
    Ok(Some((read_url(&text, &from)?, from)))
}

fn given_token(global: &Global, around: &Surroundings) -> Result<Option<(Secret, Origin)>, Failure> {
    if let Some(token) = &global.auth_token {
        return Ok(Some((Secret::new(token.trim()), Origin::Flag("--auth-token"))));
    }
    if let Some(path) = &global.token_file {
        return Ok(Some((read_token(path, File::open(path))?, Origin::Flag("--token-file"))));
    }
    if let Some(path) = around.variable("HALCTL_TOKEN_FILE") {
        let token = read_token(Path::new(&path), File::open(&path))?;
        return Ok(Some((token, Origin::Variable("HALCTL_TOKEN_FILE"))));
    }
    let token = around.variable("HALCTL_AUTH_TOKEN").map(|token| token.to_string_lossy().trim().to_owned());
    Ok(token.map(|token| (Secret::new(token), Origin::Variable("HALCTL_AUTH_TOKEN"))))
}

/// The token of the first file that has one for this URL.
fn found_token(
    files: &[FoundCtlFile],
    url: &Url,
    notes: &mut Vec<String>,
) -> Result<Option<(Secret, Origin)>, Failure> {
    for found in files {
        if found.file.token.is_none() && found.file.token_file.is_none() {
            continue;
        }
        if !may_send(&found.url, url) {
            notes.push(format!(
                "The token of {} was not sent, because it belongs to {}.",
                found.path.display(),
                found.url
            ));
            continue;
        }
        if let Some(token) = &found.file.token {
            return Ok(Some((token.clone(), Origin::File(found.path.clone()))));
        }
        let Some(path) = found.file.token_file.as_ref().map(|path| beside(&found.path, path)) else {
            continue;
        };
        match read_token(&path, file::open_named(&path, found.owner)) {
            Ok(token) => return Ok(Some((token, Origin::File(path)))),
            Err(failure) => notes.push(format!("{failure}, which {} names.", found.path.display())),
        }
    }
    Ok(None)
}

/// The socket of the file that the token was found in: whoever gives a token, or has one of their own, is known by that.
fn socket_of<'a>(
    mut files: impl Iterator<Item = &'a FoundCtlFile>,
    url: &Url,
    token: Option<&(Secret, Origin)>,
) -> Option<PathBuf> {
    let found = files.find(|found| found.file.socket.is_some() && may_send(&found.url, url))?;
    let path = beside(&found.path, found.file.socket.as_ref()?);
    let is_theirs = match token {
        None => true,
        Some((_, Origin::File(from))) => {
            *from == found.path
                || Some(from)
                    == found.file.token_file.as_ref().map(|named| beside(&found.path, named)).as_ref()
        }
        Some(_) => false,
    };
    // It belongs to whoever has written the file, and somebody listens.
    let owner = std::fs::symlink_metadata(&path).ok().filter(|is| is.file_type().is_socket())?.uid();
    (is_theirs && owner == found.owner && UnixStream::connect(&path).is_ok()).then_some(path)
}

/// Reads the three files, in their order. `spare`: nothing is needed from them, so problems do not matter.
fn read_files(
    around: &Surroundings,
    spare: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<FoundCtlFile>, Failure> {
    let mut files = Vec::new();
    if let Some(path) = around.user_file() {
        match read_file(&path, file::open_regular) {
            Ok(found) => files.extend(found),
            Err(failure) if spare => notes.push(failure.to_string()),
            Err(failure) => return Err(failure),
        }
    }
    let others = [ctl_file::up_file(|name| around.variable(name)), Some(around.machine_file.clone())];
    for path in others.into_iter().flatten() {
        // A person may keep his own file elsewhere. These are written by programs, which leave no links.
        match read_file(&path, file::open_here) {
            Ok(found) => files.extend(found.filter(|found| found.file.pid.is_none_or(is_alive))),
            Err(failure) => notes.push(failure.to_string()),
        }
    }
    Ok(files)
}

/// Reads one file; `None` when there is none.
fn read_file(path: &Path, open: fn(&Path) -> std::io::Result<File>) -> Result<Option<FoundCtlFile>, Failure> {
    let bad = |why: String| Failure::say(Exit::BadConfig, format!("{}: {why}", path.display()));
    let opened = open(path).and_then(|file| Ok((file.metadata()?.uid(), read_bounded(file)?)));
    let (owner, text) = match opened {
        Ok(opened) => opened,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let help = format!("add yourself to the group {MACHINE_GROUP} or use sudo");
            return Err(bad(format!("may not be read by you: {help}")));
        }
        Err(error) => return Err(bad(format!("cannot be read: {error}"))),
    };
    let file: CtlFile = serde_json::from_str(&text)
        .map_err(|error| bad(format!("is not a ctl file: {}", without_value(&error))))?;
    let url = file.url.as_deref().unwrap_or(default::URL);
    let url = read_url(url, &Origin::File(path.to_owned()))?;
    Ok(Some(FoundCtlFile { path: path.to_owned(), file, url, owner }))
}

/// The place and kind of a JSON error without the offending value, which may be a token.
fn without_value(error: &serde_json::Error) -> String {
    let what = if error.is_data() { "a value has the wrong type" } else { "the JSON is broken" };
    format!("{what} at line {}, column {}", error.line(), error.column())
}

fn read_token(path: &Path, opened: std::io::Result<File>) -> Result<Secret, Failure> {
    let text = opened.and_then(read_bounded).map_err(|error| {
        Failure::say(Exit::NotAllowed, format!("cannot read the token file {}: {error}", path.display()))
    })?;
    let token = text.trim();
    // A token travels in a header, where a line end would begin another one.
    if token.is_empty() || token.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let sentence = format!("the token file {} must hold one token and nothing else", path.display());
        return Err(Failure::say(Exit::NotAllowed, sentence));
    }
    Ok(Secret::new(token))
}

fn read_bounded(file: File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn beside(file: &Path, named: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("/")).join(named)
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests;
