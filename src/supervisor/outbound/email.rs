//! E-mail over SMTP. What belongs together is one conversation in the reader's program.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{AsyncTransport, Tokio1Executor};

use crate::config::channels::{self, Encryption};
use crate::hub::notice::{AttemptOutcome, Delivery};
use hal_base::cause::chain;
use hal_protocol::notice::{Notice, NoticeKind};

/// The server answers each command within this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where the identities of our messages are from.
const ORIGIN: &str = "hal-o-swarm.invalid";

/// The way to an SMTP server.
#[derive(Debug)]
pub struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Email {
    /// Makes the channel from its configuration; `Err` says why it cannot be used.
    pub fn new(config: &channels::Email) -> Result<Self, String> {
        let mut tls = TlsParameters::builder(config.host.clone());
        if let Some(file) = &config.ca_file {
            let pem =
                std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            let certificate = Certificate::from_pem(&pem)
                .map_err(|error| format!("{} holds no certificate: {error}", file.display()))?;
            tls = tls.add_root_certificate(certificate);
        }
        let tls = tls.build().map_err(|error| chain(&error))?;
        let tls = match config.encryption {
            Encryption::StartTls => Tls::Required(tls),
            Encryption::Tls => Tls::Wrapper(tls),
            Encryption::None => Tls::None,
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        if let Some((user, password)) = &config.login {
            transport = transport.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
        }
        Ok(Self { transport: transport.build(), from: config.from.clone(), to: config.to.clone() })
    }

    /// Tries to deliver a notice, once.
    pub async fn deliver(&self, delivery: &Delivery) -> AttemptOutcome {
        let message = match self.message(delivery) {
            Ok(message) => message,
            Err(error) => return AttemptOutcome::Refused { why: chain(&error) },
        };
        match self.transport.send(message).await {
            Ok(_) => AttemptOutcome::Delivered { reference: message_id(&delivery.notice) },
            Err(error) => not_delivered(&error),
        }
    }

    fn message(&self, delivery: &Delivery) -> Result<Message, lettre::error::Error> {
        let notice = &delivery.notice;
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(subject(notice))
            .message_id(Some(message_id(notice)))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            message = message.to(to.clone());
        }
        if let Some(earlier) = delivery.earlier.as_ref().filter(|earlier| !earlier.is_empty()) {
            message = message.in_reply_to(earlier.clone()).references(earlier.clone());
        }
        message.body(text(notice))
    }
}

fn message_id(notice: &Notice) -> String {
    format!("<{}@{ORIGIN}>", notice.id)
}

fn subject(notice: &Notice) -> String {
    let state = match notice.kind {
        NoticeKind::Raised => notice.severity.as_str(),
        NoticeKind::Asked => "waiting",
        other => other.as_str(),
    };
    let line = format!("[{state}] {}", notice.title);
    line.chars().filter(|c| !c.is_control()).collect()
}

fn text(notice: &Notice) -> String {
    let mut text = format!("{}\n\n", notice.text);
    let number = notice.alert.map(|id| id.to_string()).unwrap_or_default();
    let lines = [
        ("severity", notice.severity.as_str()),
        ("node", &notice.node),
        ("session", &notice.session),
        ("project", &notice.project),
        ("by", &notice.by),
        ("alert", &number),
    ];
    for (key, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("{key}: {value}\n"));
    }
    if notice.kind == NoticeKind::Raised && !number.is_empty() {
        text.push_str(&format!("\nAcknowledge: halctl alerts ack {number}\n"));
    }
    text
}

/// What the server said for good is not tried again; all else, and a login that fails for the moment, is.
fn not_delivered(error: &Error) -> AttemptOutcome {
    let why = chain(error);
    if error.is_permanent() {
        AttemptOutcome::Refused { why }
    } else {
        AttemptOutcome::Later { after: None, why }
    }
}
