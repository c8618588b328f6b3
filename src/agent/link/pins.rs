//! The keys by which supervisors are known that have proved themselves once: a file beside the journal, a line for each
//! address. What is there is not replaced by another key; a person removes the line.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use hal_base::file;
use hal_base::tls::Pin;

/// The file's name, in the folder of the journal.
const FILE: &str = "supervisor.pins";

/// Permissions: whoever could write it could name another supervisor.
const MODE: u32 = 0o600;

/// The file in a data folder.
pub fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// The key of the supervisor at an address. `None`: none is known. The error says what of the file cannot be read: then
/// nobody is trusted by it.
pub fn read(path: &Path, address: &str) -> Result<Option<Pin>, String> {
    all(path)?.get(address).map(|pin| pin.parse()).transpose().map_err(|why| format!("{address}: {why}"))
}

/// Keeps the key of one that has proved itself, beside those of others.
pub fn keep(path: &Path, address: &str, pin: Pin) -> Result<(), String> {
    let mut all = all(path)?;
    all.insert(address.to_owned(), pin.to_string());
    let text: String = all.iter().map(|(address, pin)| format!("{address} {pin}\n")).collect();
    file::replace(path, text.as_bytes(), MODE).map_err(|error| error.to_string())
}

fn all(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text.map_err(|error: io::Error| error.to_string())?,
    };
    let line = |line: &str| {
        let (address, pin) = line.split_once(' ').ok_or_else(|| format!("{line:?} is no line of it"))?;
        Ok((address.to_owned(), pin.to_owned()))
    };
    text.lines().filter(|text| !text.trim().is_empty()).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(digit: &str) -> Pin {
        format!("sha256:{}", digit.repeat(64)).parse().unwrap()
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
        for text in ["garbage", "hub:8420 sha256:00"] {
            fs::write(&file, text).unwrap();
            assert!(read(&file, "hub:8420").is_err(), "{text}");
        }
        fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(read(&file, "other:8420").is_err() && keep(&file, "other:8420", pin("c")).is_err());
    }
}
