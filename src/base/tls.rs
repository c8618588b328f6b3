//! Trust in a supervisor's certificate: by an authority, because it is the very one that was named, or by its key.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::hex;

/// How long somebody who is spoken to in the wrong language may take to say so.
const ANSWER: Duration = Duration::from_secs(2);

/// Bytes of an answer that tell what it is.
const MOST_HEAD: u64 = 1024;

/// Certificates of ours begin to be good in 1975; a machine without a clock starts before that.
const FIRST_DAY: Duration = Duration::from_secs(6 * 365 * 86_400);

/// How a message of TLS begins that refuses another: the kind `alert`.
const ALERT: u8 = 0x15;

/// How the text of a pin begins.
const PIN: &str = "sha256:";

/// A key by which a supervisor is known: SHA-256 of a certificate's public key (its SubjectPublicKeyInfo). That of the
/// authority which has signed the supervisor's certificate does as well as its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// That of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        Ok(Self::of_key(&ParsedCertificate::try_from(certificate)?.subject_public_key_info()))
    }

    /// That of a public key, in the form in which a certificate holds it.
    pub fn of_key(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PIN}{}", hex::write(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim().strip_prefix(PIN).filter(|digits| digits.len() == 64);
        let bytes = digits.and_then(hex::read).and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| format!("expected {PIN} and 64 hexadecimal digits, as `tls show` prints it"))
    }
}

/// What a certificate is judged by.
#[derive(Debug)]
pub struct Trust {
    /// Certificates that are trusted as they are, with what they have signed.
    pub named: Vec<CertificateDer<'static>>,
    /// Authorities that are trusted besides.
    pub system: RootCertStore,
    /// A key that is.
    pub pin: Option<Pin>,
    /// True: what nobody vouches for is let through, and [`Judged`] says so. Whoever sets it proves the other side by
    /// something else before a secret is said.
    pub is_lenient: bool,
}

/// A certificate that was shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The key that the other side has used.
    pub leaf: Pin,
    /// That of the authority which came with it and has signed it, when there is one.
    pub anchor: Option<Pin>,
    /// Why nobody vouches for it; `None`: it is trusted.
    pub doubt: Option<String>,
}

impl Shown {
    /// True for a key that the other side has proved to be its own, or its authority's.
    pub fn has(&self, pin: Pin) -> bool {
        pin == self.leaf || Some(pin) == self.anchor
    }
}

/// What came of judging a certificate, for whoever has opened the connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Judged(Arc<Mutex<Option<Shown>>>);

impl Judged {
    /// The certificate that was shown last; `None`: none was.
    pub fn shown(&self) -> Option<Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A client that trusts these certificates, and what they or the `system`'s authorities have signed.
pub fn client(named: Vec<CertificateDer<'static>>, system: RootCertStore) -> Result<ClientConfig, Error> {
    Ok(judging(Trust { named, system, pin: None, is_lenient: false })?.0)
}

/// A client that trusts what `trust` says, and tells what was shown.
pub fn judging(trust: Trust) -> Result<(ClientConfig, Judged), Error> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = trust.system;
    for certificate in &trust.named {
        roots.add(certificate.clone())?;
    }
    // Without any authority there is nobody who could have signed it.
    let signed = if roots.is_empty() {
        None
    } else {
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        Some(built.map_err(|error| Error::General(error.to_string()))?)
    };
    let judged = Judged::default();
    let verifier = Judge {
        named: trust.named,
        signed,
        pin: trust.pin,
        is_lenient: trust.is_lenient,
        judged: judged.clone(),
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok((config.with_no_client_auth(), judged))
}

/// A certificate that was named by itself, or whose key is known, is trusted under any name: whoever made it by hand has
/// no authority, and its name may be another than the one by which programs of the same machine reach it. The handshake
/// proves that the other side has its key.
#[derive(Debug)]
struct Judge {
    named: Vec<CertificateDer<'static>>,
    signed: Option<Arc<WebPkiServerVerifier>>,
    pin: Option<Pin>,
    is_lenient: bool,
    judged: Judged,
    provider: Arc<CryptoProvider>,
}

impl Judge {
    /// True when this certificate of those that were shown has signed the first one.
    fn has_signed(
        &self,
        anchor: &CertificateDer<'_>,
        leaf: &ParsedCertificate<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> bool {
        let now = now.max(UnixTime::since_unix_epoch(FIRST_DAY));
        let mut roots = RootCertStore::empty();
        let algorithms = self.provider.signature_verification_algorithms.all;
        roots.add(anchor.clone().into_owned()).is_ok()
            && verify_server_cert_signed_by_trust_anchor(leaf, &roots, others, now, algorithms).is_ok()
    }

    /// Why a certificate is not trusted.
    fn doubt(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        keys: &Shown,
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Option<Error> {
        let is_named = self.named.iter().any(|named| named.as_ref() == shown.as_ref());
        let is_pinned = self.pin.is_some_and(|pin| keys.has(pin));
        if is_named || is_pinned {
            return None;
        }
        match &self.signed {
            Some(signed) => signed.verify_server_cert(shown, others, name, ocsp, now).err(),
            None => Some(Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)),
        }
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let leaf = Pin::of(end_entity)?;
        let signer = intermediates.last().filter(|last| self.has_signed(last, &parsed, intermediates, now));
        let anchor = signer.map(Pin::of).transpose()?;
        let mut shown = Shown { leaf, anchor, doubt: None };
        let doubt = self.doubt(end_entity, intermediates, &shown, server_name, ocsp_response, now);
        shown.doubt = doubt.as_ref().map(Error::to_string);
        *self.judged.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        match doubt {
            Some(error) if !self.is_lenient => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// True when the other side of a new connection answers a plain question that holds nothing, and does not send elsewhere
/// for TLS.
pub async fn answers_plainly(mut stream: TcpStream, host: &str) -> bool {
    let asked = async {
        let question = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(question.as_bytes()).await?;
        let mut head = Vec::new();
        stream.take(MOST_HEAD).read_to_end(&mut head).await?;
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        Ok::<_, io::Error>(text.starts_with("http/") && !text.contains("location: https://"))
    };
    matches!(timeout(ANSWER, asked).await, Ok(Ok(true)))
}

/// True when the other side of a new connection answers plain text in TLS.
pub async fn is_spoken(mut stream: TcpStream) -> bool {
    let asked = async {
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut first = [0];
        stream.read_exact(&mut first).await?;
        Ok::<_, io::Error>(first[0] == ALERT)
    };
    matches!(timeout(ANSWER, asked).await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_it_is_written() {
        let pin = Pin([0xa7; 32]);
        assert_eq!(pin.to_string().parse::<Pin>().unwrap(), pin);
        for text in ["", "sha256:", "a7", "sha256:a7", &format!("sha1:{}", "a7".repeat(32)), &"g".repeat(71)]
        {
            assert!(text.parse::<Pin>().unwrap_err().contains("64 hexadecimal digits"), "{text}");
        }
    }
}
