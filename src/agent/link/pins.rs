//! The keys by which supervisors are known that have proved themselves once: a file beside the journal, a line for each
//! address. What is there is not replaced by another key; a person removes the line.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use hal_base::file;
use hal_base::tls::Pin;

/// The file's name, in the folder of the journal.
const FILE: &str = "supervisor.pins";

/// Permissions: whoever could write it could name another supervisor.
const MODE: u32 = 0o600;

/// What stands for one that speaks TLS, by whatever key.
const SPEAKS_TLS: &str = "tls";

/// Bytes that are read of the file; a line has less than 400.
const MAX_FILE: u64 = 1024 * 1024;

/// The file in a data folder.
pub fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// What is known of a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It has shown a certificate that others vouch for: it speaks TLS, and is not talked to without.
    SpeaksTls,
    /// This is its key, or its authority's.
    Key(Pin),
}

/// What is known of the supervisor at an address. `None`: nothing. The error says what of the file cannot be read: then
/// nobody is trusted by it.
pub fn read(path: &Path, address: &str) -> Result<Option<Known>, String> {
    let all = all(path)?;
    let Some(said) = all.get(address) else { return Ok(None) };
    if said == SPEAKS_TLS {
        return Ok(Some(Known::SpeaksTls));
    }
    said.parse().map(|pin| Some(Known::Key(pin))).map_err(|why| format!("{address}: {why}"))
}

/// Keeps what one has proved, beside what is known of others. A key that is known stays.
pub fn keep(path: &Path, address: &str, known: Known) -> Result<(), String> {
    let mut all = all(path)?;
    let text = match known {
        Known::SpeaksTls if all.contains_key(address) => return Ok(()),
        Known::SpeaksTls => SPEAKS_TLS.to_owned(),
        Known::Key(pin) => pin.to_string(),
    };
    all.insert(address.to_owned(), text);
    let text: String = all.iter().map(|(address, said)| format!("{address} {said}\n")).collect();
    file::replace(path, text.as_bytes(), MODE).map_err(|error| error.to_string())
}

fn all(path: &Path) -> Result<BTreeMap<String, String>, String> {
    // Coding agents work as the same user: what lies there may be anything.
    let mut text = String::new();
    match file::open_regular(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        opened => {
            let read = opened.and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
            read.map_err(|error| error.to_string())?;
        }
    }
    let line = |line: &str| {
        let (address, pin) = line.split_once(' ').ok_or_else(|| format!("{line:?} is no line of it"))?;
        Ok((address.to_owned(), pin.to_owned()))
    };
    text.lines().filter(|text| !text.trim().is_empty()).map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pin(digit: &str) -> Known {
        Known::Key(format!("sha256:{}", digit.repeat(64)).parse().unwrap())
    }

    #[test]
    fn each_address_has_its_own_and_a_file_that_cannot_be_read_is_not_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = path(folder.path());
        assert_eq!(read(&file, "hub:8420"), Ok(None));
        keep(&file, "hub:8420", pin("a")).unwrap();
        keep(&file, "other:8420", pin("b")).unwrap();
        assert_eq!(read(&file, "hub:8420"), Ok(Some(pin("a"))));
        assert_eq!(read(&file, "hub:8421"), Ok(None));
        keep(&file, "hub:8420", Known::SpeaksTls).unwrap();
        assert_eq!(read(&file, "hub:8420"), Ok(Some(pin("a"))), "a key says more");
        keep(&file, "hub:8421", Known::SpeaksTls).unwrap();
        assert_eq!(read(&file, "hub:8421"), Ok(Some(Known::SpeaksTls)));
        for text in ["garbage", "hub:8420 sha256:00"] {
            fs::write(&file, text).unwrap();
            assert!(read(&file, "hub:8420").is_err(), "{text}");
        }
        fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(read(&file, "other:8420").is_err() && keep(&file, "other:8420", pin("c")).is_err());
    }
}
