//! Text that never prints itself: tokens, keys, passwords.

use std::fmt;

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::hex;

/// A secret. `Debug` shows nothing and there is no `Display` and no `Serialize`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True when there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is kept to compare others with.
    pub fn digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<secret>")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input).map(Secret)
    }
}

/// SHA-256 of a secret. Machine tokens hold 256 random bits, so a plain hash is enough.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// True when both are of one secret.
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// A text that is another one when the secret is, and tells nothing of it.
    pub fn seal(&self) -> String {
        hash_of(&hex::write(&self.0))
    }

    /// Compares in constant time; the length of `offered` shows nothing either, as hashes are compared.
    pub fn matches(&self, offered: &str) -> bool {
        let offered: [u8; 32] = Sha256::digest(offered.as_bytes()).into();
        self.0.ct_eq(&offered).into()
    }
}

/// The hash of a secret as 64 hexadecimal digits, as it is stored.
pub fn hash_of(secret: &str) -> String {
    hash_of_bytes(secret.as_bytes())
}

/// SHA-256 of bytes as 64 hexadecimal digits.
pub fn hash_of_bytes(bytes: &[u8]) -> String {
    hex::write(&Sha256::digest(bytes))
}

/// True when two hashes are the same; compared in constant time.
pub fn is_same_hash(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// True when `hash` is that of what is offered; compared in constant time.
pub fn is_hash_of(hash: &str, offered: &str) -> bool {
    is_same_hash(hash, &hash_of(offered))
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<digest>")
    }
}
