//! Reaching the supervisor: its address, TLS, the handshake, and why it did not work in words for a log.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::Target;
use hal_base::tls;
use hal_protocol::frame::MAX_FRAME_BYTES;
use hal_protocol::node::NodeId;

/// How long connecting and the handshakes may take together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long connecting to one address may take of that: a network that was healed is to be noticed soon, and TCP tries ever less often.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// What was said and not taken for this long is lost with its link. Without it the kernel would try again after twice
/// the time that a network was cut.
const UNTAKEN_MS: u32 = 10_000;

/// Bytes of each of the socket's buffers; small, since an idle agent is to be small.
const BUFFER_BYTES: usize = 16 * 1024;

/// The path of the agents' door.
const DOOR: &str = "/ws/agent";

/// An open link.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Whom to reach, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    pub target: Target,
    pub node_id: NodeId,
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

impl Dial {
    /// Connects and shakes hands.
    pub(super) async fn connect(&self) -> Result<Socket, DialError> {
        let url = address(&self.target.url)
            .map_err(|why| DialError::Address { url: self.target.url.clone(), why })?;
        let mut request = url.as_str().into_client_request().map_err(|error| self.failed(error))?;
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.target.token.reveal()));
        let node = HeaderValue::try_from(self.node_id.as_str());
        let (Ok(mut bearer), Ok(node)) = (bearer, node) else {
            let why = "auth_token or node_id holds characters that cannot be sent".to_owned();
            return Err(DialError::Other { url: self.target.url.clone(), why });
        };
        bearer.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        request.headers_mut().insert("X-Node-ID", node);
        let connector = if url.starts_with("wss:") { self.tls()? } else { Connector::Plain };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES))
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES);
        let uri = request.uri().clone();
        let dialled = async {
            let stream = reach(&uri).await?;
            tokio_tungstenite::client_async_tls_with_config(request, stream, Some(config), Some(connector))
                .await
        };
        match tokio::time::timeout(DIAL_TIMEOUT, dialled).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(WsError::Protocol(ProtocolError::HttparseError(_)))) if self.speaks_tls(&uri).await => {
                Err(DialError::SpeaksTls { url: self.target.url.clone() })
            }
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) => Err(DialError::Timeout { url: self.target.url.clone() }),
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
                    let why = why.rsplit(": ").next().unwrap_or_default().to_owned();
                    DialError::Untrusted { url, why }
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

    /// The system's certificates and those of `ca_file`.
    fn tls(&self) -> Result<Connector, DialError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut named = Vec::new();
        if let Some(path) = &self.target.ca_file {
            let failed = |why: String| DialError::CaFile { path: path.clone(), why };
            let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            named = all.map_err(|error| failed(error.to_string()))?;
        }
        let config = tls::client(named, roots);
        let config = config.map_err(|error| self.failed(WsError::Io(io::Error::other(error))))?;
        Ok(Connector::Rustls(Arc::new(config)))
    }
}

/// What an answer that came by way of others tells of them. A supervisor sends neither header.
fn between(headers: &HeaderMap) -> String {
    let named = [header::VIA, header::SERVER].map(|name| headers.get(name)?.to_str().ok());
    named.into_iter().flatten().next().map(|name| format!(" (it calls itself {name:?})")).unwrap_or_default()
}

/// A connection to the host of an address.
async fn reach(uri: &Uri) -> io::Result<TcpStream> {
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("wss") { 443 } else { 80 });
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
        let target = Target { url: url.to_owned(), token, ca_file: None, fingerprint };
        Dial { target, node_id: NodeId::from("n") }
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
