//! Reaching the supervisor: its address, TLS, the handshake.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::failure::{DialError, last_words};
use super::prove::{Means, Socket, Unproved, prove};
use super::{Target, pins};
use hal_base::proof::MachineKey;
use hal_base::tls::{self, Pin, Shown, Trust};
use hal_protocol::actor::token_id;
use hal_protocol::frame::MAX_FRAME_BYTES;
use hal_protocol::node::NodeId;
use hal_protocol::proof::{PROOF_HEADER, Proved};

/// How long connecting and the handshakes may take together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long agreeing upon keys may take of that.
const AGREE_TIMEOUT: Duration = Duration::from_secs(5);

/// A supervisor that speaks no TLS is asked again after this, or when it could not be reached.
const PLAIN_FOR: Duration = Duration::from_secs(600);

/// How long connecting to one address may take of that: a network that was healed is to be noticed soon, and TCP tries ever less often.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// What was said and not taken for this long is lost with its link. Without it the kernel would try again after twice
/// the time that a network was cut.
const UNTAKEN_MS: u32 = 10_000;

/// Bytes of each of the socket's buffers; small, since an idle agent is to be small.
const BUFFER_BYTES: usize = 16 * 1024;

/// The path of the agents' door.
const DOOR: &str = "/ws/agent";

/// Whom to reach, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    pub target: Target,
    pub node_id: NodeId,
    /// A supervisor that was found to speak no TLS is not asked again before this.
    pub plain_until: Option<Instant>,
}

/// What is known of whom is to be reached, before anything is said to it.
struct Known {
    pin: Option<Pin>,
    /// True for one that is not talked to without TLS.
    speaks_tls: bool,
    /// Where that is known from.
    by: String,
    key: Option<MachineKey>,
    /// True where the first key that is shown is taken, when it is proved: nothing was said of whom to trust.
    is_lenient: bool,
    address: String,
}

impl Dial {
    /// Whom to reach for the first time.
    pub(super) fn new(target: Target, node_id: NodeId) -> Self {
        Self { target, node_id, plain_until: None }
    }

    fn url(&self) -> String {
        self.target.url.clone()
    }

    /// Connects and shakes hands. Where nothing else was said, TLS is tried first with everybody on another machine, so
    /// that nothing secret goes there in plain text.
    pub(super) async fn connect(&mut self) -> Result<Socket, DialError> {
        let url = address(&self.target.url).map_err(|why| DialError::Address { url: self.url(), why })?;
        let known = self.known(&url)?;
        let is_tried = self.plain_until.is_some_and(|until| until > Instant::now());
        if let Some(secure) = encrypted(&url).filter(|_| !is_tried) {
            match self.open(&secure, &known).await {
                Err(error) if error.may_be_plain() => self.speaks_plain(&url, &known, error).await?,
                opened => return opened,
            }
            self.plain_until = Some(Instant::now() + PLAIN_FOR);
        }
        let opened = self.open(&url, &known).await;
        if opened.is_err() {
            // It may have been given a certificate meanwhile.
            self.plain_until = None;
        }
        opened
    }

    /// Whether one with whom TLS could not be agreed upon really knows none: it answers a plain question that holds nothing,
    /// and was never seen otherwise.
    async fn speaks_plain(&self, url: &str, known: &Known, error: DialError) -> Result<(), DialError> {
        if known.pin.is_some() || known.speaks_tls {
            return Err(DialError::NoKey { url: self.url(), known: known.by.clone() });
        }
        let uri: Uri = url.parse().unwrap_or_default();
        let is_plain = self.target.ca_file.is_none()
            && match reach(&uri).await {
                Ok(stream) => tls::answers_plainly(stream, uri.host().unwrap_or_default()).await,
                Err(_) => false,
            };
        if is_plain { Ok(()) } else { Err(error) }
    }

    fn known(&self, url: &str) -> Result<Known, DialError> {
        let target = &self.target;
        let uri: Uri = url.parse().unwrap_or_default();
        let address = format!("{}:{}", uri.host().unwrap_or_default(), port_of(&uri));
        let broken = |path: &Path, why: String| DialError::File { path: path.to_owned(), why };
        let key = target.key_file.as_ref().map(|path| {
            let missing = || "there is no such file: let this machine join again (hal-agent join)".to_owned();
            let read = MachineKey::read(path).map_err(|error| broken(path, error.to_string()))?;
            read.ok_or_else(|| broken(path, missing()))
        });
        let key = key.transpose()?;
        let kept = pins::read(&target.pins, &address).map_err(|why| broken(&target.pins, why))?;
        let by = match target.pin {
            Some(_) => "supervisor_pin".to_owned(),
            None => format!("the line of {address} in {}", target.pins.display()),
        };
        let kept_pin = match kept {
            Some(pins::Known::Key(pin)) => Some(pin),
            Some(pins::Known::SpeaksTls) | None => None,
        };
        let pin = target.pin.or(kept_pin);
        // With a key there is no token that both could prove; where the address asked for TLS, somebody has to vouch.
        let is_asked =
            target.url.trim_start().starts_with("ws:") || target.url.trim_start().starts_with("http:");
        let is_lenient = pin.is_none() && target.ca_file.is_none() && (key.is_none() || is_asked);
        let speaks_tls = kept.is_some() && kept_pin.is_none();
        Ok(Known { pin, speaks_tls, by, key, is_lenient, address })
    }

    /// Opens a link at this very address, and proves what is to be proved.
    async fn open(&self, url: &str, known: &Known) -> Result<Socket, DialError> {
        let late = |_| DialError::Timeout { url: self.url() };
        let shaken = tokio::time::timeout(DIAL_TIMEOUT, self.shake_hands(url, known)).await.map_err(late)?;
        let (mut socket, shown) = shaken?;
        let doubt = shown.as_ref().and_then(|shown| shown.doubt.as_deref());
        let Some(means) = self.means(known, doubt)? else {
            shown.map_or(Ok(()), |_| self.keep(known, pins::Known::SpeaksTls))?;
            return Ok(socket);
        };
        let seen = shown.as_ref().map(|shown| shown.leaf.to_string()).unwrap_or_default();
        let proved = prove(&mut socket, &means, &self.node_id, seen).await;
        let proved = proved.map_err(|unproved| self.unproved(unproved, doubt))?;
        match (&shown, doubt) {
            (Some(shown), Some(_)) => self.believe(known, shown, &proved)?,
            (Some(_), None) => self.keep(known, pins::Known::SpeaksTls)?,
            (None, _) => {}
        }
        Ok(socket)
    }

    /// Nobody has vouched for the certificate that was shown: it counts when the supervisor says that it is its own.
    fn believe(&self, known: &Known, shown: &Shown, proved: &Proved) -> Result<(), DialError> {
        let pin = proved.pin.parse::<Pin>().ok().filter(|pin| shown.has(*pin));
        let Some(pin) = pin else { return Err(DialError::Impostor { url: self.url() }) };
        if !proved.is_lasting {
            return self.keep(known, pins::Known::SpeaksTls);
        }
        self.keep(known, pins::Known::Key(pin))?;
        let url = &self.target.url;
        tracing::info!(
            "the supervisor at {url} has proved itself; it is known by its key from now on: {pin}"
        );
        Ok(())
    }

    fn keep(&self, known: &Known, what: pins::Known) -> Result<(), DialError> {
        if what == pins::Known::SpeaksTls && (known.speaks_tls || known.pin.is_some()) {
            return Ok(());
        }
        let pins = &self.target.pins;
        pins::keep(pins, &known.address, what).map_err(|why| DialError::File { path: pins.clone(), why })
    }

    /// By what this node proves who it is; `None`: it shows its token.
    fn means<'a>(&'a self, known: &'a Known, doubt: Option<&str>) -> Result<Option<Means<'a>>, DialError> {
        match (&known.key, doubt) {
            (Some(key), _) => Ok(Some(Means::Key(key))),
            // Of a token of the node's own the supervisor has a hash alone, and cannot prove that it knows it.
            (None, Some(doubt)) if token_id(self.target.token.reveal()).is_some() => {
                Err(DialError::Unknown { url: self.url(), why: last_words(doubt) })
            }
            (None, Some(_)) => Ok(Some(Means::Token(&self.target.token))),
            (None, None) => Ok(None),
        }
    }

    /// Connects, with TLS where the address says so, and asks for a WebSocket.
    async fn shake_hands(&self, url: &str, known: &Known) -> Result<(Socket, Option<Shown>), DialError> {
        let mut request = url.into_client_request().map_err(|error| self.failed(error))?;
        let uri = request.uri().clone();
        let stream = reach(&uri).await.map_err(|error| self.failed(WsError::Io(error)))?;
        let (stream, shown) = if url.starts_with("wss:") {
            let (stream, shown) = self.encrypt(stream, &uri, known).await?;
            (MaybeTlsStream::Rustls(stream), Some(shown))
        } else {
            (MaybeTlsStream::Plain(stream), None)
        };
        let doubt = shown.as_ref().and_then(|shown| shown.doubt.clone());
        self.introduce(&mut request, self.means(known, doubt.as_deref())?.as_ref())?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES))
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES);
        let dialled = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        match dialled {
            Ok((socket, _)) => Ok((socket, shown)),
            Err(WsError::Protocol(ProtocolError::HttparseError(_))) if self.speaks_tls(&uri).await => {
                Err(DialError::SpeaksTls { url: self.target.url.clone() })
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Says who this is: by the token, unless something is to be proved.
    fn introduce(&self, request: &mut Request, means: Option<&Means<'_>>) -> Result<(), DialError> {
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.target.token.reveal()));
        let node = HeaderValue::try_from(self.node_id.as_str());
        let (Ok(mut bearer), Ok(node)) = (bearer, node) else {
            let why = "auth_token or node_id holds characters that cannot be sent".to_owned();
            return Err(DialError::Other { url: self.target.url.clone(), why });
        };
        bearer.set_sensitive(true);
        let headers = request.headers_mut();
        match means {
            Some(means) => headers.insert(PROOF_HEADER, HeaderValue::from_static(means.by().as_str())),
            None => headers.insert(header::AUTHORIZATION, bearer),
        };
        headers.insert("X-Node-ID", node);
        Ok(())
    }

    fn unproved(&self, unproved: Unproved, doubt: Option<&str>) -> DialError {
        let url = self.target.url.clone();
        match (unproved, doubt) {
            (Unproved::NotAsked, Some(doubt)) => DialError::Untrusted { url, why: last_words(doubt) },
            (Unproved::NotAsked, None) => DialError::KeyUnknown { url },
            (Unproved::Refused(why), _) => DialError::NotAdmitted { url, why },
            (Unproved::Impostor, _) => DialError::Impostor { url },
            (Unproved::Broken(why), _) => DialError::Other { url, why },
        }
    }

    fn failed(&self, error: WsError) -> DialError {
        let url = self.target.url.clone();
        match error {
            WsError::Io(error) if error.kind() == ErrorKind::ConnectionRefused => DialError::Refused { url },
            WsError::Io(error) if error.kind() == ErrorKind::TimedOut => DialError::Timeout { url },
            WsError::Http(answer) if matches!(answer.status().as_u16(), 401 | 403) => {
                DialError::Token { url }
            }
            WsError::Http(answer) => {
                let (status, headers) = (answer.status(), answer.headers());
                let said = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
                // A supervisor answers a request for no WebSocket itself; one of an earlier version greets it.
                let is_greeting =
                    answer.body().as_ref().is_some_and(|body| body.starts_with(b"hal-o-swarm "));
                match said(header::LOCATION).filter(|_| status.is_redirection()) {
                    Some(to) => DialError::Elsewhere { url, to },
                    None if status.as_u16() == 426 || is_greeting => {
                        DialError::NoUpgrade { url, between: between(headers) }
                    }
                    None => DialError::Answer { url, status: status.to_string() },
                }
            }
            other => match other.to_string() {
                why if why.contains("InvalidContentType") => DialError::SpeaksPlain { url },
                why if why.contains("invalid peer certificate") => {
                    DialError::Untrusted { url, why: last_words(&why) }
                }
                why => DialError::Other { url, why },
            },
        }
    }

    async fn speaks_tls(&self, uri: &Uri) -> bool {
        match reach(uri).await {
            Ok(stream) => tls::is_spoken(stream).await,
            Err(_) => false,
        }
    }

    /// Agrees upon keys. What nobody vouches for is let through only where the token will prove it.
    async fn encrypt(
        &self,
        stream: TcpStream,
        uri: &Uri,
        known: &Known,
    ) -> Result<(TlsStream<TcpStream>, Shown), DialError> {
        let target = &self.target;
        let mut system = RootCertStore::empty();
        // Where the key is known, an authority that has signed another for that name says nothing.
        if known.pin.is_none() {
            system.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let mut named = Vec::new();
        if let Some(path) = &target.ca_file {
            let failed = |why: String| DialError::CaFile { path: path.clone(), why };
            let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            named = all.map_err(|error| failed(error.to_string()))?;
        }
        let trust = Trust { named, system, pin: known.pin, is_lenient: known.is_lenient };
        let judging = tls::judging(trust);
        let (config, judged) = judging.map_err(|error| self.failed(WsError::Io(io::Error::other(error))))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host)
            .map_err(|error| DialError::Address { url: target.url.clone(), why: error.to_string() })?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let late = |_| DialError::NotAgreed { url: self.url(), why: "timeout".to_owned() };
        let stream = tokio::time::timeout(AGREE_TIMEOUT, connecting).await.map_err(late)?;
        let stream = stream.map_err(|error| match self.failed(WsError::Io(error)) {
            DialError::Untrusted { url, .. } if known.pin.is_some() => {
                DialError::OtherKey { url, known: known.by.clone() }
            }
            DialError::Other { url, why } => DialError::NotAgreed { url, why },
            other => other,
        })?;
        let nothing =
            || DialError::Other { url: target.url.clone(), why: "it has shown no certificate".to_owned() };
        Ok((stream, judged.shown().ok_or_else(nothing)?))
    }
}

/// What an answer that came by way of others tells of them. A supervisor sends neither header.
fn between(headers: &HeaderMap) -> String {
    let named = [header::VIA, header::SERVER].map(|name| headers.get(name)?.to_str().ok());
    named.into_iter().flatten().next().map(|name| format!(" (it calls itself {name:?})")).unwrap_or_default()
}

fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("wss") { 443 } else { 80 })
}

/// The same place with TLS, where it is said without and on another machine.
fn encrypted(url: &str) -> Option<String> {
    let rest = url.strip_prefix("ws:").filter(|_| !is_loopback(url))?;
    let uri: Uri = url.parse().ok()?;
    if uri.port_u16().is_some() {
        return Some(format!("wss:{rest}"));
    }
    // Without a port the schemes mean different ones, and whoever is at the other was not meant.
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some(format!("wss://{}:{}{path}", uri.host()?, port_of(&uri)))
}

/// True for an address that never leaves this machine.
fn is_loopback(url: &str) -> bool {
    let uri: Uri = url.parse().unwrap_or_default();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// A connection to the host of an address.
async fn reach(uri: &Uri) -> io::Result<TcpStream> {
    let port = port_of(uri);
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        // An address that does not answer must not keep the next one from its turn.
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|late| Err(late.into())) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                rustix::net::sockopt::set_tcp_user_timeout(&stream, UNTAKEN_MS)?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The configured address as a WebSocket's, with the agents' door when it names no path.
fn address(url: &str) -> Result<String, String> {
    let uri: Uri = url.trim().parse().map_err(|error| format!("{error}"))?;
    let scheme = match uri.scheme_str() {
        Some("ws" | "http") => "ws",
        Some("wss" | "https") => "wss",
        _ => return Err("it must begin with ws://, wss://, http:// or https://".to_owned()),
    };
    let authority = uri.authority().ok_or("it names no host")?;
    let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
        "/" => DOOR,
        path => path,
    };
    Ok(format!("{scheme}://{authority}{path}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn dial(url: &str) -> Dial {
        let (token, fingerprint) = (hal_base::secret::Secret::new("t"), String::new());
        let pins = PathBuf::from("/nowhere");
        let url = url.to_owned();
        let target = Target { url, token, ca_file: None, key_file: None, pin: None, pins, fingerprint };
        Dial::new(target, NodeId::from("n"))
    }

    fn answered(head: &str, body: &str) -> String {
        let mut parts = head.split(' ');
        let mut answer = tokio_tungstenite::tungstenite::http::Response::builder();
        answer = answer.status(parts.next().unwrap().parse::<u16>().unwrap());
        for header in parts {
            let (name, value) = header.split_once('=').unwrap();
            answer = answer.header(name, value);
        }
        let answer = answer.body(Some(body.as_bytes().to_vec())).unwrap();
        dial("ws://hub").failed(WsError::Http(answer.into())).to_string()
    }

    #[test]
    fn whoever_is_in_between_is_named() {
        let said = answered("426 server=nginx/1.27", "");
        assert!(said.contains("drops the header Upgrade (it calls itself \"nginx/1.27\")"), "{said}");
        let said = answered("200", "hal-o-swarm 0.1.0: agents connect here");
        assert!(said.contains("drops the header Upgrade: it must pass"), "{said}");
        let said = answered("308 location=https://hub/", "");
        assert!(said.contains("redirects to https://hub/"), "{said}");
        assert!(answered("502", "").contains("502 Bad Gateway"));
    }

    #[test]
    fn tls_is_tried_at_the_very_port_that_was_meant() {
        let tried = |url: &str| encrypted(&address(url).unwrap());
        assert_eq!(tried("ws://hub:8420").as_deref(), Some("wss://hub:8420/ws/agent"));
        assert_eq!(tried("http://hub").as_deref(), Some("wss://hub:80/ws/agent"));
        assert_eq!(tried("ws://[fd00::1]/x").as_deref(), Some("wss://[fd00::1]:80/x"));
        for url in [
            "wss://hub",
            "ws://localhost:8420",
            "ws://127.0.0.1",
            "ws://[::1]:1",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert_eq!(tried(url), None, "{url}");
        }
    }

    #[test]
    fn four_schemes_mean_two_and_the_door_is_the_default() {
        assert_eq!(address("ws://hub:8420").unwrap(), "ws://hub:8420/ws/agent");
        assert_eq!(address("https://hub/").unwrap(), "wss://hub/ws/agent");
        assert_eq!(address("http://[::1]:8420/other").unwrap(), "ws://[::1]:8420/other");
        assert!(address("hub:8420").unwrap_err().contains("ws://"));
        assert!(address("ftp://hub").is_err());
    }
}
