//! The shared token: `auth_token` in the file, `auth_token_file` beside it, or a credential from systemd.

use std::path::{Path, PathBuf};

use super::Section;
use super::service::{self, Looked};
use crate::secret::Secret;

/// Shorter tokens can be guessed; 32 characters of hexadecimal digits hold 128 random bits.
pub const LEAST_CHARS: usize = 32;

/// Pieces of tokens in samples. Compared in lower case.
const SAMPLE_PIECES: [&str; 7] =
    ["change_me", "change-me", "changeme", "replace", "example", "placeholder", "your_"];

/// Stands for a secret that only the service can read, while a configuration is validated.
const UNSEEN: &str = "(not looked at)";

/// How to make a good one.
const MAKE: &str = "make one with: openssl rand -hex 32";

/// Reads the token of a section. What it ends in is empty only if a problem was noted.
pub fn read(section: &Section<'_>) -> Secret {
    let (inline, file) = (section.secret("auth_token"), section.path("auth_token_file"));
    match (inline, file) {
        (Some(_), Some(_)) => {
            section.problem("auth_token_file", "is given beside auth_token; keep one of the two");
            Secret::default()
        }
        (Some(token), None) => checked(section, "auth_token", token),
        (None, Some(file)) => from_file(section, &file),
        (None, None) => match credential("auth_token") {
            Some(file) => from_file(section, &file),
            None => unseen(section, "auth_token", "auth_token").unwrap_or_else(|| {
                demand(section);
                Secret::default()
            }),
        },
    }
}

/// What stands for a secret that systemd hands to the service under a name, and not to whoever validates its
/// configuration by hand; `None`: it hands over no such thing.
pub fn unseen(section: &Section<'_>, key: &'static str, name: &str) -> Option<Secret> {
    service::is_handed_over(name).then(|| {
        section.warn(
            key,
            format!("is the credential {name} that systemd hands to the service, and was not checked"),
        );
        Secret::new(UNSEEN)
    })
}

/// What systemd hands over: `LoadCredential=NAME:PATH` in the unit.
pub fn credential(name: &str) -> Option<PathBuf> {
    let file = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name);
    file.is_file().then_some(file)
}

fn demand(section: &Section<'_>) {
    let expectation = format!("the token that agents and people show; {MAKE}");
    // Something else than a text was complained of already.
    if section.text_is_empty("auth_token") {
        section.problem("auth_token", format!("is empty: expected {expectation}"));
    } else {
        section.require("auth_token", &expectation);
    }
}

fn from_file(section: &Section<'_>, file: &Path) -> Secret {
    match text_of(section, "auth_token_file", file) {
        Some(token) if token.reveal() == UNSEEN => token,
        Some(token) if !token.is_empty() => checked(section, "auth_token_file", token),
        Some(_) => {
            section.problem("auth_token_file", format!("holds no token; {MAKE}"));
            Secret::default()
        }
        None => Secret::default(),
    }
}

/// The secret that a file holds, which `key` of a section names. What is wrong with it is noted there.
pub fn secret_in(section: &Section<'_>, key: &'static str, file: &Path) -> Option<Secret> {
    let secret = text_of(section, key, file)?;
    if secret.is_empty() {
        section.problem(key, "the file is empty: expected the secret alone in it");
        return None;
    }
    Some(secret)
}

fn text_of(section: &Section<'_>, key: &'static str, file: &Path) -> Option<Secret> {
    match service::look_into(file, super::load) {
        Looked::Wrong(sentence) => {
            section.problem(key, sentence);
            None
        }
        Looked::Unseen(sentence) => {
            section.warn(key, sentence);
            Some(Secret::new(UNSEEN))
        }
        Looked::Read((bytes, mode)) => {
            if mode & super::OTHERS_READ != 0 {
                section.warn(key, super::reader::OPEN_TO_ALL);
            }
            Some(Secret::new(String::from_utf8_lossy(&bytes).trim()))
        }
    }
}

fn checked(section: &Section<'_>, key: &'static str, token: Secret) -> Secret {
    let text = token.reveal();
    let lower = text.to_lowercase();
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        section
            .problem(key, "expected visible ASCII characters without spaces: it is sent in an HTTP header");
    } else if text.starts_with('<') || SAMPLE_PIECES.iter().any(|piece| lower.contains(piece)) {
        section.warn(key, format!("the token looks like the one of a sample; {MAKE}"));
    } else if text.len() < LEAST_CHARS {
        section.warn(key, format!("the token is shorter than {LEAST_CHARS} characters; {MAKE}"));
    }
    token
}
