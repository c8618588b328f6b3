//! The source of a request: the other end of its connection, and, where that is a proxy that may say so, whoever is behind it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::Response;

use super::caller::LocalPeer;
use super::shared::Shared;
use hal_rules::network::MayFrom;

/// What a proxy says of whom it speaks for; each adds one at the end.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// From where a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The other end of the connection.
    pub connection: SocketAddr,
    /// Whoever asks: the same, or whom a proxy of `server.networks` names. Its port is the connection's.
    pub client: SocketAddr,
}

impl Source {
    /// The address of whoever asks.
    pub fn ip(&self) -> IpAddr {
        self.client.ip()
    }
}

/// Finds out, before anybody asks.
pub async fn note(
    State(shared): State<Shared>,
    ConnectInfo(connection): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    // By the local socket nobody comes for somebody else.
    let is_local = request.extensions().get::<LocalPeer>().is_some();
    let networks = &shared.doors.load().networks;
    let ip = if is_local || !networks.may(connection.ip(), MayFrom::Proxy) {
        connection.ip()
    } else {
        networks.behind(connection.ip(), &hops(request.headers()))
    };
    let client = SocketAddr::new(ip, connection.port());
    request.extensions_mut().insert(Source { connection, client });
    next.run(request).await
}

fn hops(headers: &HeaderMap) -> Vec<&str> {
    let said = headers.get_all(FORWARDED_FOR).iter();
    said.flat_map(|value| value.to_str().unwrap_or_default().split(',')).collect()
}
