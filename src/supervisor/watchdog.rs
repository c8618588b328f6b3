//! Watchdog: tells systemd that the supervisor lives, but only after the hub has gone once round its
//! loop, commit included, and every listener has taken a connection and answered on it.

use std::net::SocketAddr;

use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::hub::Hub;
use super::hub::input::Input;
use super::knock::{Knocked, knock};
use super::shared::Shared;
use hal_base::notify;
use hal_protocol::command::CommandId;

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
            let is_silent = knock(*listener, every).await == Knocked::Silent;
            all_move &= !is_silent || shared.accepting.trouble().is_some();
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
