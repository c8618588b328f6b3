//! When `hal up` may say that it is ready: its coding agent works. Until then it says why not, and goes on when it does.

use std::time::Duration;

use tokio::sync::watch;

use crate::agent::Health;
use crate::agent::backend::BackendKind;
use crate::base::signals::Signals;

/// A coding agent says within this whether it works; else that is said.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Says `line` once the coding agent works, and until then what stands in the way. Waits for the signal to stop, and then
/// for the end of all work or another signal.
pub async fn say_until_told(
    signals: &mut Signals,
    (backend, mut health): (BackendKind, watch::Receiver<Health>),
    line: impl Fn() -> anyhow::Result<()>,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    // A terminal that is closed sends SIGHUP; nobody could stop what went on after it.
    tokio::select! {
        () = until_well(backend, &mut health) => {
            line()?;
            let _stop_or_hangup = signals.next().await;
        }
        _stop_or_hangup = signals.next() => {}
    }
    eprintln!("stopping: coding agents end their work (Ctrl-C again ends at once)");
    tokio::select! {
        () = end => {}
        () = signals.urgent() => eprintln!("stopped at once; what was running is cut off"),
    }
    Ok(())
}

/// Waits until a backend works, and says whenever it is said why it does not.
async fn until_well(backend: BackendKind, health: &mut watch::Receiver<Health>) {
    let mut patience = START_LIMIT;
    let word = backend.as_str();
    loop {
        let known = health.borrow_and_update().get(&backend).cloned();
        match known {
            Some(None) => return,
            Some(Some(why)) => {
                eprintln!(
                    "not ready: {word} does not run: {why}\n{word} is tried again by itself; Ctrl-C ends this"
                );
                patience = Duration::MAX;
            }
            None => {}
        }
        match tokio::time::timeout(patience, health.changed()).await {
            Ok(Ok(())) => {}
            // The agent has ended, and said why in the log.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => {
                eprintln!(
                    "not ready: {word} has not started within {} s; see --log-level info",
                    START_LIMIT.as_secs()
                );
                patience = Duration::MAX;
            }
        }
    }
}
