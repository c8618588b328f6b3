//! Reaching the supervisor: its address, TLS, the handshake, and why it did not work in words for a log.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
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

use super::prove::{Means, Socket, Unproved, prove};
use super::{Target, pins};
use hal_base::proof::MachineKey;
use hal_base::tls::{self, Pin, Shown, Trust};
use hal_protocol::frame::MAX_FRAME_BYTES;
use hal_protocol::node::NodeId;
use hal_protocol::proof::PROOF_HEADER;

/// How long connecting and the handshakes may take together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("supervisor_url {url:?} is not an address: {why}")]
    Address { url: String, why: String },
    #[error("cannot reach the supervisor at {url}: connection refused; is it running there?")]
    Refused { url: String },
    #[error("cannot reach the supervisor at {url}: timeout")]
    Timeout { url: String },
    #[error(
        "the supervisor at {url} does not accept this agent's token: check auth_token in the configuration of \
         the agent here and server.auth_token in that of the supervisor"
    )]
    Token { url: String },
    #[error("the supervisor at {url} does not let this agent in: {why}")]
    NotAdmitted { url: String, why: String },
    #[error(
        "the supervisor at {url} cannot prove that it has this agent's auth_token: it is another one, or somebody \
         stands in between; nothing was said to it"
    )]
    Impostor { url: String },
    #[error(
        "the supervisor at {url} shows another key than {known}: if it was replaced on purpose, remove that (its files \
         belong to a backup: DEPLOYMENT.md, section TLS); else somebody stands in between"
    )]
    OtherKey { url: String, known: String },
    #[error(
        "the supervisor at {url} has shown a key before (see {known}), and speaks no TLS now: if it was replaced on \
         purpose, remove that; else somebody stands in between"
    )]
    NoKey { url: String, known: String },
    #[error("{} cannot be used: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("the supervisor at {url} knows no keys of machines: it is of an earlier release")]
    KeyUnknown { url: String },
    #[error("the server at {url} is not a supervisor: it answered {status}")]
    Answer { url: String, status: String },
    #[error("{url} redirects to {to}: if the supervisor is there, name it in supervisor_url")]
    Elsewhere { url: String, to: String },
    #[error(
        "something between this agent and the supervisor at {url} drops the header Upgrade{between}: it must pass \
         Upgrade and Connection on (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
         proxy_set_header Connection \"upgrade\";)"
    )]
    NoUpgrade { url: String, between: String },
    #[error("the supervisor at {url} speaks TLS: use wss:// in supervisor_url")]
    SpeaksTls { url: String },
    #[error("the server at {url} does not speak TLS: use ws:// in supervisor_url if that is what it serves")]
    SpeaksPlain { url: String },
    #[error(
        "the certificate of the supervisor at {url} is not trusted ({why}): name the authority that signed it, or \
         the certificate itself, in ca_file"
    )]
    Untrusted { url: String, why: String },
    #[error("certificates of ca_file {} cannot be read: {why}", path.display())]
    CaFile { path: PathBuf, why: String },
    #[error("cannot reach the supervisor at {url}: {why}")]
    Other { url: String, why: String },
}

impl DialError {
    /// True when nothing changes until a person does something.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Token { .. }
                | Self::NotAdmitted { .. }
                | Self::Impostor { .. }
                | Self::OtherKey { .. }
                | Self::NoKey { .. }
        )
    }
}

/// What is known of whom is to be reached, before anything is said to it.
struct Known {
    pin: Option<Pin>,
    /// Where it is known from.
    by: String,
    key: Option<MachineKey>,
    address: String,
}

impl Dial {
    /// Whom to reach for the first time.
    pub(super) fn new(target: Target, node_id: NodeId) -> Self {
        Self { target, node_id, plain_until: None }
    }

    /// Connects and shakes hands. Where nothing else was said, TLS is tried first with everybody on another machine, so
    /// that nothing secret goes there in plain text.
    pub(super) async fn connect(&mut self) -> Result<Socket, DialError> {
        let url = address(&self.target.url)
            .map_err(|why| DialError::Address { url: self.target.url.clone(), why })?;
        let known = self.known(&url)?;
        if let Some(rest) = url.strip_prefix("ws:")
            && !is_loopback(&url)
            && self.plain_until.is_none_or(|until| until <= Instant::now())
        {
            match self.open(&format!("wss:{rest}"), &known).await {
                Err(DialError::SpeaksPlain { .. }) if known.pin.is_none() => {}
                Err(DialError::SpeaksPlain { url }) => return Err(DialError::NoKey { url, known: known.by }),
                opened => return opened,
            }
            self.plain_until = Some(Instant::now() + PLAIN_FOR);
        }
        match self.open(&url, &known).await {
            Err(error) if url.starts_with("ws:") => {
                // It may have been given a certificate meanwhile.
                self.plain_until = None;
                Err(error)
            }
            opened => opened,
        }
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
        let kept = pins::read(&target.pins, &address).map_err(|why| broken(&target.pins, why))?;
        let by = match target.pin {
            Some(_) => "supervisor_pin".to_owned(),
            None => format!("the line of {address} in {}", target.pins.display()),
        };
        Ok(Known { pin: target.pin.or(kept), by, key: key.transpose()?, address })
    }

    /// Opens a link at this very address, and proves what is to be proved.
    async fn open(&self, url: &str, known: &Known) -> Result<Socket, DialError> {
        let late = |_| DialError::Timeout { url: self.target.url.clone() };
        let shaken = tokio::time::timeout(DIAL_TIMEOUT, self.shake_hands(url, known)).await.map_err(late)?;
        let (mut socket, shown) = shaken?;
        let doubt = shown.as_ref().and_then(|shown| shown.doubt.as_deref());
        let Some(means) = self.means(known, doubt) else { return Ok(socket) };
        let seen = shown.as_ref().map(|shown| shown.leaf.to_string()).unwrap_or_default();
        let proved = prove(&mut socket, &means, &self.node_id, seen).await;
        let proved = proved.map_err(|unproved| self.unproved(unproved, doubt))?;
        let pin = proved.pin.parse::<Pin>().ok();
        // It may name no other key than one that it has: the next time it is known by that alone.
        if let (Some(pin), Some(shown), Some(_)) = (pin, &shown, doubt)
            && shown.has(pin)
        {
            pins::keep(&self.target.pins, &known.address, pin)
                .map_err(|why| DialError::File { path: self.target.pins.clone(), why })?;
            let url = &self.target.url;
            tracing::info!(
                "the supervisor at {url} has proved itself; it is known by its key from now on: {pin}"
            );
        }
        Ok(socket)
    }

    /// By what this node proves who it is; `None`: it shows its token.
    fn means<'a>(&'a self, known: &'a Known, doubt: Option<&str>) -> Option<Means<'a>> {
        match &known.key {
            Some(key) => Some(Means::Key(key)),
            None => doubt.map(|_| Means::Token(&self.target.token)),
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
        self.introduce(&mut request, self.means(known, doubt.as_deref()).as_ref())?;
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
            // Whoever knows no TLS answers its first words with a complaint of its own, or goes away.
            WsError::Io(error) if error.to_string().contains("tls handshake eof") => {
                DialError::SpeaksPlain { url }
            }
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
        system.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut named = Vec::new();
        if let Some(path) = &target.ca_file {
            let failed = |why: String| DialError::CaFile { path: path.clone(), why };
            let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            named = all.map_err(|error| failed(error.to_string()))?;
        }
        let is_lenient = known.pin.is_none() && target.ca_file.is_none() && known.key.is_none();
        let judging = tls::judging(Trust { named, system, pin: known.pin, is_lenient });
        let (config, judged) = judging.map_err(|error| self.failed(WsError::Io(io::Error::other(error))))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host)
            .map_err(|error| DialError::Address { url: target.url.clone(), why: error.to_string() })?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let stream = stream.map_err(|error| match self.failed(WsError::Io(error)) {
            DialError::Untrusted { url, .. } if known.pin.is_some() => {
                DialError::OtherKey { url, known: known.by.clone() }
            }
            other => other,
        })?;
        let nothing =
            || DialError::Other { url: target.url.clone(), why: "it has shown no certificate".to_owned() };
        Ok((stream, judged.shown().ok_or_else(nothing)?))
    }
}

/// What was said at the end of a chain of causes.
fn last_words(why: &str) -> String {
    why.rsplit(": ").next().unwrap_or_default().to_owned()
}

/// What an answer that came by way of others tells of them. A supervisor sends neither header.
fn between(headers: &HeaderMap) -> String {
    let named = [header::VIA, header::SERVER].map(|name| headers.get(name)?.to_str().ok());
    named.into_iter().flatten().next().map(|name| format!(" (it calls itself {name:?})")).unwrap_or_default()
}

fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("wss") { 443 } else { 80 })
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
    fn four_schemes_mean_two_and_the_door_is_the_default() {
        assert_eq!(address("ws://hub:8420").unwrap(), "ws://hub:8420/ws/agent");
        assert_eq!(address("https://hub/").unwrap(), "wss://hub/ws/agent");
        assert_eq!(address("http://[::1]:8420/other").unwrap(), "ws://[::1]:8420/other");
        assert!(address("hub:8420").unwrap_err().contains("ws://"));
        assert!(address("ftp://hub").is_err());
    }
}
