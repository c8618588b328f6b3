//! What hal-agent and the holder of a process say to each other: small frames over a Unix socket, with a version.
//!
//! ```text
//!   hal-agent                                   holder
//!     Hello {version, agent, key}        ->
//!                                        <-     Welcome {version, process, kept record, writes so far, ..} or Refused {why}
//!     Read {from, upto}                  ->
//!                                        <-     data (offset, channel, bytes) .., Exit {outcome} after the last of them
//!     Ack {upto}                         ->     what lies before is dropped
//!     write (number, note, bytes)        ->     the note is put into the record, the bytes go to the process, once
//!                                        <-     Written {number, error}
//!     Keep, CloseInput, Terminate, Ping, Forget
//! ```
//! A frame is its length (4 bytes, big-endian), a letter, and the rest: `J` JSON, `D` what the process said, `W` what is
//! said to it. Fields and kinds that are not known are let pass, so that both sides may be of different releases; what
//! changes the meaning of what is there needs another [`VERSION`], and the one before must still be spoken.

use std::{fmt, io};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The version spoken here.
pub const VERSION: u32 = 1;

/// The oldest one that is still understood.
pub const OLDEST: u32 = 1;

/// Bytes of a frame: a write may hold a long prompt.
const FRAME_MAX: usize = 80 * 1024 * 1024;

/// Text that goes over this socket and nowhere else: it never prints itself.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Private(pub String);

impl fmt::Debug for Private {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<private>")
    }
}

/// Who has said a part of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// hal-agent: a note that came with a write.
    Note,
    /// The process, on its standard output.
    Output,
    /// The process, on its standard error.
    Error,
}

impl Channel {
    /// As a byte of a frame or of the record.
    pub fn byte(self) -> u8 {
        match self {
            Self::Note => 0,
            Self::Output => 1,
            Self::Error => 2,
        }
    }

    /// Of such a byte.
    pub fn of(byte: u8) -> Option<Self> {
        [Self::Note, Self::Output, Self::Error].into_iter().find(|channel| channel.byte() == byte)
    }
}

/// What stops the work of the process, for when nobody is there who knows its language.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interrupt {
    /// There is nothing but to end it.
    #[default]
    Nothing,
    /// These words on its standard input.
    Input {
        /// The words.
        text: Private,
    },
    /// These words to a port on loopback where it listens.
    Port {
        /// The port.
        port: u16,
        /// The words.
        text: Private,
    },
}

impl Interrupt {
    /// These words to this port on loopback.
    pub fn port(port: u16, text: String) -> Self {
        Self::Port { port, text: Private(text) }
    }

    /// These words on its standard input.
    pub fn input(text: String) -> Self {
        Self::Input { text: Private(text) }
    }
}

/// From hal-agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToHolder {
    /// The first word.
    Hello {
        /// The newest version that is spoken.
        version: u32,
        /// The oldest one.
        oldest: u32,
        /// By what the agent is known: the mark of its data folder.
        agent: String,
        /// What only that agent knows.
        key: Private,
    },
    /// Say the record from here on (the first time), and no further than that, until more is asked for.
    Read {
        /// An offset of the record.
        from: u64,
        /// Another one: what is on its way is bounded by it.
        upto: u64,
    },
    /// What lies before is not needed any more.
    Ack {
        /// An offset of the record.
        upto: u64,
    },
    /// Keep this for whoever attaches next, and for when nobody does. What is absent stays as it is.
    Keep {
        /// What the next one needs to know; it may hold passwords, and is never written to a disk.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memo: Option<Private>,
        /// How the work is stopped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interrupt: Option<Interrupt>,
        /// Milliseconds from now after which nothing runs unattended; 0: no such bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease_ms: Option<u64>,
    },
    /// Nothing more is said to the process.
    CloseInput,
    /// Ask the process to end.
    Terminate,
    /// Its end is known: the holder may go, and leaves nothing behind.
    Forget,
    /// The agent is there.
    Ping,
}

/// From the holder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromHolder {
    /// It is yours.
    Welcome(Box<Welcome>),
    /// It is not.
    Refused {
        /// One sentence.
        why: String,
    },
    /// A write is through.
    Written {
        /// Its number.
        number: u64,
        /// Why it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The process has ended, and all that it said was given.
    Exit {
        /// How, in words.
        outcome: String,
    },
}

/// How things stand when an agent attaches.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Welcome {
    /// The version that is spoken from here on.
    pub version: u32,
    /// The process that is held.
    pub process: i32,
    /// Where the record begins.
    pub first: u64,
    /// Where it ends.
    pub end: u64,
    /// The number of the last write that was taken.
    pub written: u64,
    /// What the last agent had kept for this one.
    pub memo: Option<Private>,
    /// How the process ended, when it has.
    pub outcome: Option<String>,
}

/// A frame as it was read.
#[derive(Debug)]
pub enum Frame<J> {
    /// Words.
    Words(J),
    /// A part of the record, and the offset after it.
    Data(u64, Channel, Vec<u8>),
    /// Something to be said to the process: its number, the note for the record, and the bytes.
    Write(u64, Vec<u8>, Vec<u8>),
}

/// Words as a frame.
pub fn words(words: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(framed(b'J', &[&serde_json::to_vec(words)?]))
}

/// A part of the record as a frame; `next` is the offset after it.
pub fn data(next: u64, channel: Channel, bytes: &[u8]) -> Vec<u8> {
    framed(b'D', &[&next.to_be_bytes(), &[channel.byte()], bytes])
}

/// A write as a frame.
pub fn write(number: u64, note: &[u8], bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(note.len()).unwrap_or(u32::MAX);
    framed(b'W', &[&number.to_be_bytes(), &length.to_be_bytes(), note, bytes])
}

fn framed(letter: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = Vec::with_capacity(4 + length);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    out.push(letter);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// The next frame; `None` at the end. Not to be dropped before it is done.
pub async fn read<J: for<'d> Deserialize<'d>>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<Frame<J>>> {
    loop {
        let mut length = [0; 4];
        match from.read_exact(&mut length).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => drop(read?),
        }
        let length = u32::from_be_bytes(length) as usize;
        if length == 0 || length > FRAME_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).await?;
        if let Some(frame) = parse(body)? {
            return Ok(Some(frame));
        }
    }
}

/// A frame without its length; `None`: it is of a kind that a later release has.
fn parse<J: for<'d> Deserialize<'d>>(mut body: Vec<u8>) -> io::Result<Option<Frame<J>>> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "a frame that is too short");
    let number = |body: &[u8]| {
        let bytes = body.get(1..9).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_be_bytes).ok_or_else(short)
    };
    Ok(match body.first() {
        Some(b'J') => match serde_json::from_slice(&body[1..]) {
            Ok(words) => Some(Frame::Words(words)),
            // Words that a later release has.
            Err(_) if serde_json::from_slice::<IgnoredAny>(&body[1..]).is_ok() => None,
            Err(error) => return Err(error.into()),
        },
        Some(b'D') => {
            let next = number(&body)?;
            let channel = Channel::of(*body.get(9).ok_or_else(short)?);
            body.drain(..10);
            channel.map(|channel| Frame::Data(next, channel, body))
        }
        Some(b'W') => {
            let written = number(&body)?;
            let length = body.get(9..13).and_then(|bytes| bytes.try_into().ok()).ok_or_else(short)?;
            let end = 13_usize.saturating_add(u32::from_be_bytes(length) as usize);
            let bytes = body.get(end..).ok_or_else(short)?.to_vec();
            body.truncate(end);
            body.drain(..13);
            Some(Frame::Write(written, body, bytes))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frames(bytes: &[u8]) -> Vec<String> {
        let (mut from, mut out) = (bytes, Vec::new());
        loop {
            match read::<ToHolder>(&mut from).await {
                Ok(Some(frame)) => out.push(format!("{frame:?}")),
                Ok(None) => return out,
                Err(error) => {
                    out.push(error.to_string());
                    return out;
                }
            }
        }
    }

    #[tokio::test]
    async fn frames_come_out_as_they_went_in_and_later_kinds_are_let_pass() {
        let mut bytes = words(&ToHolder::Ack { upto: 7 }).unwrap();
        bytes.extend(framed(b'Z', &[b"of a later release"]));
        bytes.extend(words(&serde_json::json!({"dance": {"how": 1}})).unwrap());
        bytes.extend(data(9, Channel::Error, b"no"));
        bytes.extend(write(3, b"note", b"hello\n"));
        let read = frames(&bytes).await;
        let expected = [
            "Words(Ack { upto: 7 })".to_owned(),
            format!("{:?}", Frame::<ToHolder>::Data(9, Channel::Error, b"no".to_vec())),
            format!("{:?}", Frame::<ToHolder>::Write(3, b"note".to_vec(), b"hello\n".to_vec())),
        ];
        assert_eq!(read, expected);
    }

    #[tokio::test]
    async fn nonsense_is_an_error_and_not_a_panic() {
        for nonsense in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 0], &[0, 0, 0, 2, b'W', 1], &[0, 0, 0, 1, b'D']]
        {
            assert_eq!(frames(nonsense).await.len(), 1, "{nonsense:?}");
        }
    }

    #[test]
    fn what_the_first_release_says_is_understood() {
        let said = [
            r#"{"hello":{"version":1,"oldest":1,"agent":"a","key":"k"}}"#,
            r#"{"read":{"from":0,"upto":9}}"#,
            r#"{"keep":{"memo":"m","interrupt":{"port":{"port":80,"text":"x"}},"lease_ms":5}}"#,
            r#"{"keep":{"interrupt":{"input":{"text":"x"}}}}"#,
            r#""close_input""#,
            r#""forget""#,
        ];
        for words in said {
            assert!(serde_json::from_str::<ToHolder>(words).is_ok(), "{words}");
        }
        let welcome = r#"{"welcome":{"version":1,"process":5,"first":0,"end":3,"written":2,"memo":"m"}}"#;
        assert!(matches!(serde_json::from_str(welcome), Ok(FromHolder::Welcome(told)) if told.process == 5));
    }
}
