//! A far side that takes e-mail: as much of SMTP as a sender says.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::Base;

/// A mail as it came.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Who the envelope says it is from.
    pub from: String,
    /// To whom.
    pub to: Vec<String>,
    /// Headers and text.
    pub text: String,
}

impl Mail {
    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        let line = self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default()
    }
}

/// What is answered to the end of a mail instead of `250`.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This answer; the mail is not taken.
    Answer(&'static str),
    /// The connection is cut before the mail.
    Cut,
}

/// A far side that takes e-mail.
pub struct SmtpStandIn {
    /// Its port on loopback.
    pub port: u16,
    /// What it was told, and what goes wrong.
    pub base: Arc<Base<Mail, Fault>>,
}

impl SmtpStandIn {
    /// Listens.
    pub fn start() -> Self {
        let (base, port) = Base::listen(|stream, base| drop(serve(stream, base)));
        Self { port, base }
    }
}

fn serve(mut stream: TcpStream, base: &Base<Mail, Fault>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let mut mail = Mail { from: String::new(), to: Vec::new(), text: String::new() };
    write!(stream, "220 stand-in\r\n")?;
    while let Some(line) = lines.next().transpose()? {
        let (word, rest) = line.split_at(line.len().min(4));
        match word.to_uppercase().as_str() {
            "EHLO" | "HELO" => write!(stream, "250-stand-in\r\n250 8BITMIME\r\n")?,
            "MAIL" => {
                mail = Mail { from: rest.to_owned(), to: Vec::new(), text: String::new() };
                write!(stream, "250 go on\r\n")?;
            }
            "RCPT" => {
                mail.to.push(rest.to_owned());
                write!(stream, "250 go on\r\n")?;
            }
            "DATA" => {
                let fault = base.next_fault();
                if matches!(fault, Some(Fault::Cut)) {
                    return Ok(());
                }
                write!(stream, "354 speak\r\n")?;
                for line in lines.by_ref() {
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    mail.text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.text.push('\n');
                }
                match fault {
                    Some(Fault::Answer(answer)) => write!(stream, "{answer}\r\n")?,
                    _ => {
                        base.hear(mail.clone());
                        write!(stream, "250 taken\r\n")?;
                    }
                }
            }
            "QUIT" => {
                write!(stream, "221 bye\r\n")?;
                return Ok(());
            }
            _ => write!(stream, "250 fine\r\n")?,
        }
    }
    Ok(())
}
