//! Sealing: bytes that may lie anywhere, since nobody reads or changes them without the key (AES-256-GCM).

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::secret::{Secret, hash_of};
use crate::{file, hex};

/// Bytes of a key.
const LENGTH: usize = 32;

/// Permissions of the file of a key: nobody else's business.
const OWNERS_ALONE: u32 = 0o600;

/// Bytes of such a file; ours have 65.
const MOST_FILE: u64 = 1024;

/// How a recovery key begins: whoever finds one on paper knows what it is.
const PREFIX: &str = "hal-recovery";

/// Its digits: 128 random bits, more than anybody tries.
const DIGITS: usize = 32;

/// Digits of a group, and of the last one, by which a slip is noticed.
const GROUP: usize = 4;

/// A key that seals. It never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; LENGTH]);

impl fmt::Debug for SealKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<key>")
    }
}

impl SealKey {
    /// One that nobody has.
    pub fn fresh() -> io::Result<Self> {
        random().map(Self)
    }

    /// The key in a file, as [`SealKey::write`] has left it. `None`: there is no such file.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let mut text = String::new();
        match file::open_regular(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?.take(MOST_FILE).read_to_string(&mut text)?,
        };
        let bytes = hex::read(text.trim()).and_then(|bytes| bytes.try_into().ok());
        bytes.map(|bytes| Some(Self(bytes))).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it holds no key: expected 64 hexadecimal digits")
        })
    }

    /// Writes it to a file that only its owner reads.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        file::replace(path, format!("{}\n", hex::write(&self.0)).as_bytes(), OWNERS_ALONE)
    }

    /// Seals bytes: digits that only this key opens, and only as what they are said to be.
    pub fn seal(&self, what: &str, plain: &[u8]) -> io::Result<String> {
        let nonce = random::<NONCE_LEN>()?;
        let mut bytes = plain.to_vec();
        let sealed = self.cipher().seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(what.as_bytes()),
            &mut bytes,
        );
        sealed.map_err(|_| io::Error::other("it is too long to be sealed"))?;
        Ok(hex::write(&nonce) + &hex::write(&bytes))
    }

    /// What was sealed; `None`: by another key, as something else, or it was changed.
    pub fn open(&self, what: &str, sealed: &str) -> Option<Vec<u8>> {
        let mut bytes = hex::read(sealed)?;
        let (nonce, bytes) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.cipher().open_in_place(nonce, Aad::from(what.as_bytes()), bytes);
        plain.ok().map(|plain| plain.to_vec())
    }

    /// Seals a key under this one.
    pub fn seal_key(&self, what: &str, key: &Self) -> io::Result<String> {
        self.seal(what, &key.0)
    }

    /// The key that was sealed.
    pub fn open_key(&self, what: &str, sealed: &str) -> Option<Self> {
        self.open(what, sealed)?.try_into().ok().map(Self)
    }

    fn cipher(&self) -> LessSafeKey {
        // The length is the cipher's.
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.0).expect("a key of 32 bytes"))
    }
}

/// A key that a person keeps on paper.
#[derive(Clone)]
pub struct RecoveryKey(Secret);

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<recovery key>")
    }
}

impl RecoveryKey {
    /// One that nobody has.
    pub fn fresh() -> io::Result<Self> {
        random::<{ DIGITS / 2 }>().map(|bytes| Self(Secret::new(hex::write(&bytes))))
    }

    /// Reads what a person has typed, whatever the case, spaces and dashes; or says what is wrong with it.
    pub fn parse(typed: &str) -> Result<Self, String> {
        let small = typed.trim().to_ascii_lowercase();
        let rest = small.strip_prefix(PREFIX).unwrap_or(&small);
        let digits: String = rest.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        if digits.len() != DIGITS + GROUP || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(format!(
                "this is no recovery key: expected {PREFIX} and {} groups of {GROUP} digits (0 to 9, a to f)",
                DIGITS / GROUP + 1
            ));
        }
        let (digits, check) = digits.split_at(DIGITS);
        if check != check_of(digits) {
            return Err("a digit of the recovery key is wrong: its last group does not fit the others".into());
        }
        Ok(Self(Secret::new(digits)))
    }

    /// As it is shown, once.
    pub fn reveal(&self) -> Secret {
        let digits = self.0.reveal().to_owned() + &check_of(self.0.reveal());
        let group = |at: usize| format!("-{}", &digits[at..at + GROUP]);
        Secret::new(PREFIX.to_owned() + &(0..digits.len()).step_by(GROUP).map(group).collect::<String>())
    }

    /// The key that it seals with.
    pub fn key(&self) -> SealKey {
        let from = Salt::new(HKDF_SHA256, PREFIX.as_bytes()).extract(self.0.reveal().as_bytes());
        let mut key = [0; LENGTH];
        // Fails only for lengths that the hash cannot give.
        let expanded = from.expand(&[b"seal"], HKDF_SHA256).and_then(|made| made.fill(&mut key));
        expanded.expect("32 bytes of SHA-256");
        SealKey(key)
    }
}

fn check_of(digits: &str) -> String {
    hash_of(digits)[..GROUP].to_owned()
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_its_key_as_what_it_is_and_unchanged() {
        let (key, other) = (SealKey::fresh().unwrap(), SealKey::fresh().unwrap());
        let sealed = key.seal("letter", b"hello").unwrap();
        assert_eq!(key.open("letter", &sealed).unwrap(), b"hello");
        assert!(key.open("parcel", &sealed).is_none() && other.open("letter", &sealed).is_none());
        for at in 0..sealed.len() {
            let digit = if sealed.as_bytes()[at] == b'0' { "1" } else { "0" };
            let mut changed = sealed.clone();
            changed.replace_range(at..=at, digit);
            assert!(key.open("letter", &changed).is_none(), "digit {at}");
        }
        for short in [0, 2, 24, sealed.len() - 2] {
            assert!(key.open("letter", &sealed[..short]).is_none(), "{short} digits");
        }
        assert_ne!(sealed, key.seal("letter", b"hello").unwrap(), "no two are the same");
        assert!(!format!("{key:?}").contains(|c: char| c.is_ascii_digit()));
    }

    #[test]
    fn a_key_is_read_from_its_file_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.key");
        assert!(SealKey::read(&path).unwrap().is_none());
        let key = SealKey::fresh().unwrap();
        key.write(&path).unwrap();
        assert!(SealKey::read(&path).unwrap() == Some(key));
        std::fs::write(&path, "abc").unwrap();
        assert!(SealKey::read(&path).unwrap_err().to_string().contains("64 hexadecimal digits"));
    }

    #[test]
    fn a_recovery_key_is_read_as_people_type_it_and_a_slip_is_noticed() {
        let made = RecoveryKey::fresh().unwrap();
        let shown = made.reveal().reveal().to_owned();
        assert_eq!(shown.len(), PREFIX.len() + 9 * (GROUP + 1), "{shown}");
        let spoken = shown.replace('-', " ").to_uppercase().replace("HAL RECOVERY", "hal-recovery");
        for typed in [&shown, &format!(" {shown}\n"), &spoken, &shown[PREFIX.len()..].to_owned()] {
            assert!(RecoveryKey::parse(typed).unwrap().key() == made.key(), "{typed}");
        }
        let at = shown.len() - 1;
        let digit = if shown.ends_with('0') { "1" } else { "0" };
        let slip = shown[..at].to_owned() + digit;
        assert!(RecoveryKey::parse(&slip).unwrap_err().contains("a digit of the recovery key is wrong"));
        assert!(RecoveryKey::parse("hal-recovery-12").unwrap_err().contains("9 groups of 4 digits"));
    }
}
