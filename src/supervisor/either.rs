//! One port for connections that speak TLS and for those that do not: the first byte tells which.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::RustlsConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// How a connection that speaks TLS begins: the kind `handshake` (RFC 8446, 5.1). No method of HTTP begins with it.
const HANDSHAKE: u8 = 0x16;

/// Whoever comes says something within this time.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// And both sides agree upon keys within this.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Lets both in.
#[derive(Clone, Debug)]
pub struct EitherAcceptor {
    tls: RustlsConfig,
}

impl EitherAcceptor {
    /// With this certificate for those that speak TLS.
    pub fn new(config: RustlsConfig) -> Self {
        Self { tls: config }
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for EitherAcceptor {
    type Stream = Either<TlsStream<TcpStream>, TcpStream>;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        // As it is now: a certificate may have been renewed since the connection before.
        let tls = TlsAcceptor::from(self.tls.get_inner());
        Box::pin(async move {
            let mut first = [0];
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "nothing was said within 10 s");
            timeout(FIRST_BYTE, stream.peek(&mut first)).await.map_err(late)??;
            let (stream, service) = NoDelayAcceptor::new().accept(stream, service).await?;
            if first != [HANDSHAKE] {
                return Ok((Either::Right(stream), service));
            }
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "TLS was not agreed upon within 10 s");
            let stream = timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await.map_err(late)??;
            Ok((Either::Left(stream), service))
        })
    }
}

/// A connection that tells whether nobody can read along.
pub trait Encrypted {
    /// True when it speaks TLS.
    fn is_encrypted(&self) -> bool;
}

impl Encrypted for TcpStream {
    fn is_encrypted(&self) -> bool {
        false
    }
}

impl<T> Encrypted for Either<T, TcpStream> {
    fn is_encrypted(&self) -> bool {
        matches!(self, Self::Left(_))
    }
}
