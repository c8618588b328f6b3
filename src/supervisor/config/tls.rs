//! The certificate is tried before anything is started: a setting that cannot be honoured is a problem, never a
//! silent fallback to plain text.

use std::path::{Path, PathBuf};

use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;

use super::TlsConfig;
use hal_base::config::Section;
use hal_base::config::machine::{certificates, pem_sentence};
use hal_base::config::service::{self, Looked};

/// Reads `security.tls`. `None`: TLS is off, or a problem was noted. Without paths the supervisor makes a certificate for
/// itself; they are filled in when it is known where.
pub(super) fn read(section: &Section<'_>) -> Option<TlsConfig> {
    let is_enabled = section.flag("enabled");
    let (cert_path, key_path) = (section.path("cert_path"), section.path("key_path"));
    if !is_enabled {
        return None;
    }
    let is_left_out = |key, path: &Option<PathBuf>| path.is_none() && !section.text_is_empty(key);
    if is_left_out("cert_path", &cert_path) && is_left_out("key_path", &key_path) {
        return Some(TlsConfig { cert_path: PathBuf::new(), key_path: PathBuf::new(), is_own: true });
    }
    for (key, path) in [("cert_path", &cert_path), ("key_path", &key_path)] {
        if path.is_none() && !section.text_is_empty(key) {
            section.require(key, "the path of a PEM file, as the other one is given");
        } else if path.is_none() {
            section
                .problem(key, "is empty: expected the path of a PEM file, or neither of the two for a certificate of its own");
        }
    }
    let tls = TlsConfig { cert_path: cert_path?, key_path: key_path?, is_own: false };
    try_pair(section, &tls);
    Some(tls)
}

fn try_pair(section: &Section<'_>, tls: &TlsConfig) {
    let chain = looked(section, "cert_path", service::look_into(&tls.cert_path, certificates));
    let key = looked(section, "key_path", service::look_into(&tls.key_path, private_key));
    let (Some(chain), Some(key)) = (chain, key) else { return };
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            section.problem("key_path", "is not the key of the certificate in security.tls.cert_path");
        }
        Err(rustls::Error::InvalidCertificate(error)) => {
            section.problem("cert_path", format!("holds a certificate that cannot be used: {error}"));
        }
        Err(error) => section.problem("key_path", format!("holds a key that cannot be used: {error}")),
    }
}

/// What was read of a file; what is to be said of it otherwise is noted.
fn looked<T>(section: &Section<'_>, key: &'static str, looked: Looked<T>) -> Option<T> {
    match looked {
        Looked::Read(found) => return Some(found),
        Looked::Unseen(sentence) => section.warn(key, sentence),
        Looked::Wrong(sentence) => section.problem(key, sentence),
    }
    None
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| pem_sentence(error, "private key", "PRIVATE KEY"))
}
