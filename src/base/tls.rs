//! Trust in a supervisor's certificate: by an authority, or because it is the very one that was named.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long somebody who is spoken to in the wrong language may take to say so.
const ANSWER: Duration = Duration::from_secs(2);

/// How a message of TLS begins that refuses another: the kind `alert`.
const ALERT: u8 = 0x15;

/// A client that trusts these certificates, and what they or the `system`'s authorities have signed.
pub fn client(named: Vec<CertificateDer<'static>>, system: RootCertStore) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = system;
    for certificate in &named {
        roots.add(certificate.clone())?;
    }
    let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let signed = signed.map_err(|error| Error::General(error.to_string()))?;
    let verifier = Named { certificates: named, signed, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(config.with_no_client_auth())
}

/// A certificate that was named by itself is trusted under any name: whoever made it by hand has no authority, and its
/// name may be another than the one by which programs of the same machine reach it. The handshake proves that the other
/// side has its key.
#[derive(Debug)]
struct Named {
    certificates: Vec<CertificateDer<'static>>,
    signed: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.certificates.iter().any(|named| named.as_ref() == end_entity.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        self.signed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
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
