//! Watchdog: tells systemd that the supervisor lives, but only after the hub has gone once round its
//! loop, commit included, and every listener has taken a connection and answered on it.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::hub::Hub;
use super::hub::input::Input;
use super::shared::Shared;
use hal_base::notify;
use hal_protocol::command::CommandId;

/// Any bytes do, as any answer does: with TLS it is a complaint.
const KNOCK: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Tells systemd, if it wants to know, for as long as the supervisor runs.
pub async fn keep_alive(shared: Shared, listeners: Vec<SocketAddr>) {
    let Some(every) = notify::watchdog() else { return };
    let mut beats = interval(every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        // A hub that hangs keeps this from going on, which is the point.
        if !has_turned(&shared.hub).await {
            return;
        }
        let mut all_move = true;
        for listener in &listeners {
            all_move &= moves(from_here(*listener), every).await || shared.accepting.trouble().is_some();
        }
        if all_move {
            notify::alive(&status(&shared));
        } else {
            tracing::error!("a listener does not answer; systemd will restart the supervisor if it stays so");
        }
    }
}

/// How the supervisor is, in a line.
pub fn status(shared: &Shared) -> String {
    if let Some(why) = shared.hub.health().store {
        return format!("The store takes no writes: {why}");
    }
    let view = shared.hub.view();
    let online = view.every_node().filter(|node| node.link.online).count();
    format!("{online} of {} nodes online, {} sessions", view.stored.nodes.len(), view.stored.sessions.len())
}

/// Waiting for a command that nobody knows ends with the hub's next turn. False: the hub has ended.
async fn has_turned(hub: &Hub) -> bool {
    let (reply, turned) = oneshot::channel();
    let sent = hub.send(Input::Await { id: CommandId::new("watchdog"), reply }).await;
    let _nobody = turned.await;
    sent.is_ok()
}

/// False only when a connection was made and nobody answers on it. One that cannot be made tells nothing of the
/// listener: a firewall may stand between, or this process has no descriptor to spare.
async fn moves(listener: SocketAddr, patience: Duration) -> bool {
    let Ok(Ok(mut stream)) = timeout(patience, TcpStream::connect(listener)).await else { return true };
    let answered = async {
        stream.write_all(KNOCK).await?;
        stream.read(&mut [0]).await
    };
    match timeout(patience, answered).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == ErrorKind::ConnectionReset,
        Err(_) => false,
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
        assert!(!moves(address, SOON).await, "the kernel made the connection, and nobody takes it");
        let taking = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        assert!(moves(address, LATE).await);
        taking.abort();
        assert!(taking.await.unwrap_err().is_cancelled());
        assert!(moves(address, LATE).await, "nobody listens there, as behind a firewall");
    }
}
