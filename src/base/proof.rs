//! Proving what one has without saying it: a machine's own key by a signature, a shared secret by a hash under it.

use std::io;
use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use ring::{digest, hmac};

use crate::secret::Secret;
use crate::{file, hex};

/// Permissions of the file of a key: nobody else's business.
const OWNERS_ALONE: u32 = 0o600;

/// Bytes of such a file; an Ed25519 key in PKCS#8 has 83.
const MAX_KEY_FILE: u64 = 4096;

/// The key of a machine, which never leaves it (Ed25519).
#[derive(Debug)]
pub struct MachineKey(Ed25519KeyPair);

impl MachineKey {
    /// The key in a file. `None`: there is no such file.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match file::open_regular(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => {
                let mut bytes = Vec::new();
                io::Read::read_to_end(&mut io::Read::take(opened?, MAX_KEY_FILE), &mut bytes)?;
                bytes
            }
        };
        let key = Ed25519KeyPair::from_pkcs8(&bytes);
        key.map(|key| Some(Self(key))).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("it holds no Ed25519 key ({error})"))
        })
    }

    /// Makes one and writes it to a file that only its owner reads.
    pub fn make(path: &Path) -> io::Result<Self> {
        let broken = |_| io::Error::other("the system has no random numbers");
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(broken)?;
        file::replace(path, made.as_ref(), OWNERS_ALONE)?;
        Self::read(path)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The public half, in hexadecimal digits.
    pub fn public(&self) -> String {
        hex::write(self.0.public_key().as_ref())
    }

    /// The signature of a text, in hexadecimal digits.
    pub fn sign(&self, text: &str) -> String {
        hex::write(self.0.sign(text.as_bytes()).as_ref())
    }
}

/// True when a text was signed by the machine whose public half this is.
pub fn is_signed(public: &str, text: &str, signature: &str) -> bool {
    let (Some(public), Some(signature)) = (hex::read(public), hex::read(signature)) else { return false };
    UnparsedPublicKey::new(&ED25519, public).verify(text.as_bytes(), &signature).is_ok()
}

/// True for the public half of a key, as it is written.
pub fn is_public_key(text: &str) -> bool {
    text.len() == 64 && hex::read(text).is_some()
}

/// The hash of a text under a secret (HMAC-SHA256), in hexadecimal digits.
pub fn sealed(secret: &Secret, text: &str) -> String {
    hex::write(hmac::sign(&key_of(secret), text.as_bytes()).as_ref())
}

/// True when somebody has made this hash of a text who has the secret; compared in constant time.
pub fn is_sealed(secret: &Secret, text: &str, seal: &str) -> bool {
    hex::read(seal).is_some_and(|seal| hmac::verify(&key_of(secret), text.as_bytes(), &seal).is_ok())
}

fn key_of(secret: &Secret) -> hmac::Key {
    // A name of its own: what is proved here is good for nothing else that may once be made of the secret.
    let key = digest::digest(&digest::SHA256, format!("hal-o-swarm proof\n{}", secret.reveal()).as_bytes());
    hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_key_that_signed_is_proved_and_only_for_what_it_signed() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        assert!(MachineKey::read(&one).unwrap().is_none());
        let (key, other) = (MachineKey::make(&one).unwrap(), MachineKey::make(&two).unwrap());
        assert_eq!(std::fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o600);
        let again = MachineKey::read(&one).unwrap().unwrap();
        assert_eq!(again.public(), key.public());
        let signature = again.sign("text");
        assert!(is_signed(&key.public(), "text", &signature));
        for (public, text, signature) in [
            (other.public(), "text", signature.clone()),
            (key.public(), "other text", signature.clone()),
            (key.public(), "text", other.sign("text")),
            (key.public(), "text", String::new()),
            ("no key".to_owned(), "text", signature.clone()),
        ] {
            assert!(!is_signed(&public, text, &signature), "{public} {text} {signature}");
        }
        std::fs::write(&one, "garbage").unwrap();
        assert_eq!(MachineKey::read(&one).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_secret_is_proved_by_its_hash_of_a_text() {
        let (secret, other) = (Secret::new("a secret of all"), Secret::new("another one"));
        let seal = sealed(&secret, "text");
        assert!(is_sealed(&secret, "text", &seal));
        assert!(!is_sealed(&other, "text", &seal) && !is_sealed(&secret, "texts", &seal));
        assert!(!is_sealed(&secret, "text", "") && !is_sealed(&secret, "text", "zz"));
        assert!(!seal.contains(secret.reveal()));
    }
}
