//! TLS on the way to a supervisor: whom it trusts, and that nothing secret goes in clear to one that speaks it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use crate::discover::{Origin, Target, is_loopback};
use hal_base::exit::{Exit, Failure};
use hal_base::file;
use hal_base::tls::{self, Shown, Trust};

/// A side that says nothing in this time will not.
const LIMIT: Duration = Duration::from_secs(5);

/// Bytes read of a file of authorities; all that a system trusts are 250 KB.
const MAX_CA_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes of an answer that tell whether it is one of TLS, or sends elsewhere.
const MOST_HEAD: u64 = 1024;

/// How a message of TLS begins that refuses another: the kind `alert`.
const ALERT: u8 = 0x15;

/// The same target by TLS, where it is on another machine, was not told to, and speaks it. Nothing secret is said to find out.
pub fn tried_first(mut target: Target) -> Target {
    let is_asked = target.url.scheme() == "http" && target.socket.is_none() && !is_loopback(&target.url);
    if is_asked && (target.pin.is_some() || speaks_tls(&target.url)) {
        // What has a host can have the scheme https; the port stays, which it names unless it is the usual one.
        let port = target.url.port_or_known_default();
        if target.url.set_scheme("https").is_ok() {
            let _same = target.url.set_port(port);
        }
    }
    target
}

fn speaks_tls(url: &Url) -> bool {
    let Some(mut stream) = connect(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    let said = write!(stream, "GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut head = Vec::new();
    let _cut = stream.take(MOST_HEAD).read_to_end(&mut head);
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    said.is_ok()
        && (head.first() == Some(&ALERT) || (text.contains(" 308 ") && text.contains("location: https://")))
}

fn connect(url: &Url) -> Option<TcpStream> {
    let host = url.host_str()?.trim_matches(['[', ']']);
    let all = (host, url.port_or_known_default()?).to_socket_addrs().ok()?;
    let stream = all.into_iter().find_map(|address| TcpStream::connect_timeout(&address, LIMIT).ok())?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.set_write_timeout(Some(LIMIT)).ok()?;
    Some(stream)
}

/// The certificate that a supervisor shows, whoever vouches for it. `None`: it shows none.
pub fn shown(url: &Url) -> Option<Shown> {
    let mut stream = connect(url)?;
    let trust = Trust { named: Vec::new(), system: system(), pin: None, is_lenient: true };
    let (config, judged) = tls::judging(trust).ok()?;
    let name = ServerName::try_from(url.host_str()?.trim_matches(['[', ']']).to_owned()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut stream = Stream::new(&mut connection, &mut stream);
    let _agreed = stream.write(b"\r\n");
    judged.shown()
}

/// Whom to trust; `None`: whom the system does, or nobody is needed.
pub(super) fn trust(target: &Target) -> Result<Option<ClientConfig>, Failure> {
    let pin = target.pin.as_ref().map(|(pin, _)| *pin);
    let Some((path, from)) = &target.ca_file else {
        let Some(pin) = pin else { return Ok(None) };
        // Where the key is known, an authority that has signed another for that name says nothing.
        let system = RootCertStore::empty();
        let trust = Trust { named: Vec::new(), system, pin: Some(pin), is_lenient: false };
        let judging = tls::judging(trust).map_err(|error| Failure::say(Exit::Failed, error.to_string()))?;
        return Ok(Some(judging.0));
    };
    let failed = |error: anyhow::Error| {
        let place = format!("cannot use the certificate authority {} (from {from})", path.display());
        Failure::new(Exit::BadConfig, error.context(place))
    };
    let pem = authorities(path, from).map_err(|error| failed(error.into()))?;
    let named = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let named = named.map_err(|error| failed(error.into()))?;
    if named.is_empty() {
        return Err(failed(anyhow::anyhow!("there is no certificate in it")));
    }
    let trust = Trust { named, system: RootCertStore::empty(), pin, is_lenient: false };
    Ok(Some(tls::judging(trust).map_err(|error| failed(error.into()))?.0))
}

fn system() -> RootCertStore {
    let mut system = RootCertStore::empty();
    system.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    system
}

/// What is in the file of an authority. A file that a file names may be anything; one that the caller names may be a pipe.
fn authorities(path: &Path, from: &Origin) -> std::io::Result<Vec<u8>> {
    let file = match from {
        Origin::File(_) => file::open_regular(path)?,
        _ => File::open(path)?,
    };
    let mut pem = Vec::new();
    file.take(MAX_CA_BYTES).read_to_end(&mut pem)?;
    Ok(pem)
}
