//! The daemon's life: start, reload, stop.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, interval, interval_at};

use super::config::{self, Config};
use super::leave::{Leave, is_restarted};
use super::{Agent, Reload};
use hal_base::daemon::{Start, reread};
use hal_base::exit::Failure;
use hal_base::signals::{Signal, Signals};
use hal_base::task::Tasks;
use hal_base::{notify, os, starts};

/// How often the loop turns for nothing when systemd does not ask for it.
const RARELY: Duration = Duration::from_secs(24 * 3600);

/// From its start on, and then this often, what is not needed any more of its code is given up: most of what is resident of
/// an agent that has nothing to do.
const GIVE_UP: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// Runs until told to stop. A second request to stop ends at once.
pub async fn run(start: Start<Config>) -> Result<(), Failure> {
    let Start { mut config, path } = start;
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    notify::status("opening the journal");
    let mut agent = Agent::open(config.clone())?;
    agent.count_start();
    let starts = agent.starts_file();
    tracing::info!(node = %config.node_id, supervisor = config.supervisor_url, "ready");
    let (door, leave, tasks) = (agent.reload(), agent.leave(), Tasks::new());
    notify::status("connecting to the supervisor");
    let mut running = tokio::spawn(agent.run(tasks.clone()));
    // From here on the link says how it is, in the line for `systemctl status`.
    notify::ready_still();
    // All of an agent but its journal is one thread: while this loop turns, it does. Without a watchdog it is idle.
    let mut beats = interval(notify::watchdog().unwrap_or(RARELY));
    let mut rests = interval_at(Instant::now() + GIVE_UP.0, GIVE_UP.1);
    loop {
        tokio::select! {
            _ = beats.tick() => notify::alive_still(),
            _ = rests.tick() => give_up_code(),
            ended = &mut running => return Ok(ended.context("the agent broke off")??),
            signal = signals.next() => match signal {
                Signal::Reload => {
                    notify::reloading();
                    reload(&mut config, &door, &path).await;
                    notify::ready_still();
                }
                Signal::Stop => {
                    starts::note_end_of(&starts);
                    let word = stop_word(&leave).await;
                    notify::stopping(word);
                    tracing::info!("stopping: {word}");
                    tasks.stop();
                }
                Signal::StopNow => {
                    tracing::warn!("stopped at once; what was running is cut off");
                    return Ok(());
                }
            }
        }
    }
}

/// What becomes of coding agents when this agent stops now.
async fn stop_word(leave: &Leave) -> &'static str {
    if !is_restarted().await {
        return "coding agents end their work";
    }
    leave.let_go_on();
    "coding agents that are held go on without it"
}

fn give_up_code() {
    if let Err(error) = os::give_up_code() {
        tracing::debug!(%error, "cannot give up code that is not needed");
    }
}

/// Reads the file again. A file that is no good changes nothing.
async fn reload(config: &mut Config, door: &Reload, path: &Path) {
    let Some(new) = reread(path, config::read) else { return };
    let change = config::reload(config, &new);
    door.take(change.config.clone()).await;
    change.log();
    *config = change.config;
}
