//! The daemon's life: start, reload, stop.

use std::path::Path;

use anyhow::Context;

use super::config::{self, Config};
use super::{Agent, Reload};
use crate::base::daemon::{Start, reread};
use crate::base::exit::Failure;
use crate::base::signals::{Signal, Signals};
use crate::base::task::Tasks;

/// Runs until told to stop. A second request to stop ends at once.
pub async fn run(start: Start<Config>) -> Result<(), Failure> {
    let Start { mut config, path } = start;
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let agent = Agent::open(config.clone())?;
    tracing::info!(node = %config.node_id, supervisor = config.supervisor_url, "ready");
    let (door, tasks) = (agent.reload(), Tasks::new());
    let mut running = tokio::spawn(agent.run(tasks.clone()));
    loop {
        tokio::select! {
            ended = &mut running => return Ok(ended.context("the agent broke off")??),
            signal = signals.next() => match signal {
                Signal::Reload => reload(&mut config, &door, &path).await,
                Signal::Stop => {
                    tracing::info!("stopping: coding agents end their work");
                    tasks.stop();
                }
                Signal::StopNow => {
                    tracing::warn!("stopped at once; what was under way is cut off");
                    return Ok(());
                }
            }
        }
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
