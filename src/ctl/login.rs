//! `halctl login` and `halctl logout`: which supervisor this user has, and whose token.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use reqwest::Method;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use super::cli::{Global, Remembered};
use super::client::{Client, Query, tls};
use super::config;
use super::discover::{self, Origin, Surroundings, Target};
use super::print::Screen;
use hal_base::exit::{Exit, Failure};
use hal_base::file;
use hal_base::secret::Secret;
use hal_base::tls::Pin;
use hal_protocol::actor::{TokenView, WhoAmI, token_id};

/// What Ctrl-C types.
const INTERRUPT: u8 = 3;

/// Only this user reads it.
const OWN: u32 = 0o600;

/// Reads a token, asks the supervisor whose it is, and remembers both.
pub async fn login(global: &Global, around: &Surroundings, screen: &mut Screen) -> Result<(), Failure> {
    // The token is to be tried, and not who asks.
    let mut target = Target { socket: None, ..discover::find(global, around)? };
    let path = token_file(around)?;
    let pin = known(&mut target, screen)?;
    let token = read_token(target.url.as_ref(), screen)?;
    let url = target.url.to_string();
    target.token = Some((token.clone(), Origin::Default));
    let who = Client::new(target)?.get::<WhoAmI>(&["whoami"], &Query::new()).await?.data;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| cannot("make", folder.into(), error))?;
    }
    file::replace(&path, token.reveal().as_bytes(), OWN).map_err(|error| {
        Failure::new(
            Exit::Failed,
            anyhow::Error::new(error).context(format!("cannot write {}", path.display())),
        )
    })?;
    let global = Global { token_file: Some(path), supervisor_pin: pin, ..global.clone() };
    config::set(&url, &global, around, screen)?;
    screen.one(&who)
}

/// The key by which the supervisor is to be known from now on, when nobody vouches for it. A token is said to it only then.
fn known(target: &mut Target, screen: &mut Screen) -> Result<Option<Pin>, Failure> {
    if target.pin.is_some() || target.ca_file.is_some() {
        return Ok(target.pin.as_ref().map(|(pin, _)| *pin));
    }
    let place = tls::tried_first(target.clone()).url;
    if place.scheme() != "https" {
        return Ok(None);
    }
    let Some(shown) = tls::shown(&place).filter(|shown| shown.doubt.is_some()) else { return Ok(None) };
    let pin = shown.anchor.unwrap_or(shown.leaf);
    let what = format!(
        "Nobody vouches for the certificate of the supervisor at {place}. It is known by its key {pin}"
    );
    let input = std::io::stdin();
    if !input.is_terminal() {
        let help =
            "if that is what `hal-supervisor tls show` prints on its machine, give it with --supervisor-pin";
        return Err(Failure::say(Exit::NotAllowed, format!("{what}; {help}")));
    }
    screen.say(&format!("{what}\nIs that what `hal-supervisor tls show` prints on its machine? [y/N]"));
    let mut answer = String::new();
    let read = input.lock().read_line(&mut answer);
    if read.is_err() || !["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Err(Failure::say(Exit::NotAllowed, "nothing was said to it, and nothing remembered"));
    }
    target.pin = Some((pin, Origin::Default));
    Ok(Some(pin))
}

/// Revokes the token that was remembered, and forgets it and the supervisor.
pub async fn logout(global: &Global, around: &Surroundings, screen: &mut Screen) -> Result<(), Failure> {
    let path = token_file(around)?;
    match std::fs::read_to_string(&path) {
        Ok(token) => {
            if let Some(id) = token_id(token.trim()) {
                revoke(id, global, around, screen).await;
            }
            std::fs::remove_file(&path).map_err(|error| cannot("remove", path, error))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot("read", path, error)),
    }
    config::unset(&[Remembered::Url], around, screen)
}

/// Best effort: whoever logs out does so even while the supervisor is away, and is told that the token still is good.
async fn revoke(id: &str, global: &Global, around: &Surroundings, screen: &mut Screen) {
    let gone = async {
        let client = Client::new(discover::find(global, around)?)?;
        client.change::<TokenView>(Method::DELETE, &["tokens", id], &()).await
    };
    match gone.await {
        Ok(_) => screen.say(&format!("Revoked token {id}.")),
        Err(failure) => screen.say(&format!(
            "Token {id} was not revoked, and stays good until an administrator does that (halctl tokens revoke {id}): {:#}",
            failure.error
        )),
    }
}

fn token_file(around: &Surroundings) -> Result<PathBuf, Failure> {
    let user_file = around.user_file().ok_or_else(|| {
        Failure::say(Exit::BadConfig, "neither HOME nor XDG_CONFIG_HOME names a folder to remember it in")
    })?;
    Ok(user_file.with_file_name("token"))
}

fn cannot(what: &str, path: PathBuf, error: std::io::Error) -> Failure {
    let doing = format!("cannot {what} {}", path.display());
    Failure::new(Exit::Failed, anyhow::Error::new(error).context(doing))
}

/// From standard input; on a terminal nobody sees it being typed.
fn read_token(url: &str, screen: &mut Screen) -> Result<Secret, Failure> {
    let input = std::io::stdin();
    let quiet = input.is_terminal().then(Quiet::begin);
    if quiet.is_some() {
        screen.say(&format!("Token for {url} (it is not shown):"));
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    drop(quiet);
    if line.contains(char::from(INTERRUPT)) {
        return Err(Failure::say(Exit::Failed, "interrupted: nothing was remembered"));
    }
    let token = line.trim();
    if let Err(error) = read {
        return Err(cannot("read", "the token from standard input".into(), error));
    }
    if token.is_empty() {
        let sentence =
            "no token was given on standard input; an administrator makes one: halctl tokens create NAME";
        return Err(Failure::say(Exit::Usage, sentence));
    }
    Ok(Secret::new(token))
}

/// While it lives the terminal shows nothing of what is typed.
struct Quiet(Option<Termios>);

impl Quiet {
    fn begin() -> Self {
        let input = std::io::stdin();
        let Ok(before) = tcgetattr(&input) else { return Self(None) };
        let mut quiet = before.clone();
        // An interrupt ends the line and not the process, which would leave the terminal as it is.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        Self(tcsetattr(&input, OptionalActions::Flush, &quiet).is_ok().then_some(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing more can be done about a terminal that is gone.
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}
