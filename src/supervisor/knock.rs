//! Knocking at the supervisor's own listeners, as anybody may: whether they answer, and how long that takes.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use hal_base::clock::Stopwatch;

/// Any bytes do, as any answer does: with TLS it is a complaint.
const KNOCK: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knocked {
    /// It answered within this.
    Answered(Duration),
    /// A connection was made and nobody answered on it in time.
    Silent,
    /// No connection could be made. That tells nothing of the listener: a firewall may stand between, or this process has
    /// no descriptor to spare.
    NoWay,
}

/// Connects, asks, and waits for an answer.
pub async fn knock(listener: SocketAddr, patience: Duration) -> Knocked {
    let began = Stopwatch::start();
    let connected = timeout(patience, TcpStream::connect(from_here(listener))).await;
    let Ok(Ok(mut stream)) = connected else { return Knocked::NoWay };
    let answered = async {
        stream.write_all(KNOCK).await?;
        stream.read(&mut [0]).await
    };
    match timeout(patience, answered).await {
        Ok(Ok(_)) => Knocked::Answered(began.elapsed()),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => Knocked::Answered(began.elapsed()),
        Ok(Err(_)) | Err(_) => Knocked::Silent,
    }
}

/// The address by which this machine reaches its own listener.
fn from_here(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(300);
    /// For what does come, however busy the machine is.
    const LATE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn only_silence_on_a_connection_is_held_against_a_listener() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let silent = knock(address, SOON).await;
        assert_eq!(silent, Knocked::Silent, "the kernel made the connection, and nobody takes it");
        let taking = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        assert!(matches!(knock(address, LATE).await, Knocked::Answered(_)));
        taking.abort();
        assert!(taking.await.unwrap_err().is_cancelled());
        assert_eq!(knock(address, LATE).await, Knocked::NoWay, "nobody listens there, as behind a firewall");
    }

    #[tokio::test]
    async fn the_time_until_the_answer_counts() {
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (begin, mut begun) = tokio::sync::mpsc::channel::<()>(1);
        let slow = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            begin.send(()).await.unwrap();
            let late = Stopwatch::start();
            while late.elapsed() < SOON {
                tokio::task::yield_now().await;
            }
            stream.write_all(b"well").await.unwrap();
        });
        let Knocked::Answered(took) = knock(address, LATE).await else { panic!("it answers") };
        assert!(begun.recv().await.is_some() && took >= SOON, "{took:?}");
        slow.await.unwrap();
    }
}
