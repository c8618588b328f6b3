//! `channels.email`: e-mail over SMTP.

use std::path::PathBuf;

use lettre::message::Mailbox;

use super::secret;
use hal_base::config::Section;
use hal_base::secret::Secret;

/// How the connection is kept secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// It begins in the clear and is encrypted before anything is said, or not used.
    #[default]
    StartTls,
    /// It is encrypted from the start.
    Tls,
    /// No encryption at all.
    None,
}

/// How e-mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// The SMTP server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept secret.
    pub encryption: Encryption,
    /// Certificates to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Who logs in, and with what.
    pub login: Option<(String, Secret)>,
    /// The sender.
    pub from: Mailbox,
    /// The receivers.
    pub to: Vec<Mailbox>,
}

pub(super) fn read(section: &Section<'_>) -> Option<Email> {
    let encryption = match section.value("encryption").and_then(|it| it.choice(&["starttls", "tls", "none"]))
    {
        Some("tls") => Encryption::Tls,
        Some("none") => Encryption::None,
        _ => Encryption::StartTls,
    };
    let usual = match encryption {
        Encryption::StartTls => 587,
        Encryption::Tls => 465,
        Encryption::None => 25,
    };
    let port = section.whole("port", 1..=u16::MAX).unwrap_or(usual);
    let ca_file = section.path("ca_file");
    let user = section.text("username").filter(|user| !user.is_empty());
    let password = secret(section, "password", "password_file", "smtp_password");
    let from = section.value("from").and_then(|it| mailbox(&it));
    let to: Vec<Mailbox> = section.items("to").iter().filter_map(mailbox).collect();
    let host = section.text("host").filter(|host| !host.is_empty())?;
    section.require("from", "the sender, such as \"HAL <hal@example.org>\"");
    if to.is_empty() {
        section.problem("to", "expected at least one receiver, such as [\"ops@example.org\"]");
    }
    let login = match (user, password) {
        (Some(user), Some(password)) => {
            if encryption == Encryption::None {
                section.warn("encryption", "the password is sent in clear text; use starttls or tls");
            }
            Some((user, password))
        }
        (None, None) => None,
        (Some(_), None) => {
            section.problem("username", "expected password or password_file beside it");
            None
        }
        (None, Some(_)) => {
            section.problem("password", "expected username beside it");
            None
        }
    };
    Some(Email { host, port, encryption, ca_file, login, from: from?, to })
}

fn mailbox(value: &hal_base::config::Value<'_>) -> Option<Mailbox> {
    let text = value.text()?;
    let parsed = text.parse();
    if parsed.is_err() {
        value.problem("expected an address such as \"ops@example.org\" or \"Ops <ops@example.org>\"");
    }
    parsed.ok()
}
