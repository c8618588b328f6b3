//! The daemon's life: start, leave a note for halctl, reload, stop.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Supervisor;
use super::config::{self, Config, TlsConfig};
use super::own_certificate;
use hal_base::config::machine::folder_of;
use hal_base::daemon::{Start, reread};
use hal_base::exit::Failure;
use hal_base::signals::{Signal, Signals};
use hal_base::{descriptors, file, notify, starts};
use hal_protocol::ctl_file::CtlFile;

/// Permissions of the files for halctl: the supervisor's user writes, its group reads.
const GROUP_READS: u32 = 0o640;

/// Runs until told to stop. A second request to stop ends at once.
pub async fn run(start: Start<Config>) -> Result<(), Failure> {
    descriptors::raise_limit();
    descriptors::leave_no_core();
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    notify::status("opening the store");
    let mut supervisor = Supervisor::start(start.config)?;
    supervisor.count_start();
    supervisor.listen_locally();
    let starts = supervisor.starts_file();
    let note =
        leave_note(&supervisor).context("cannot write the file by which halctl finds this supervisor")?;
    tracing::info!(
        url = supervisor.local_url(),
        listens = %supervisor.address(),
        store = %supervisor.config().store_path().display(),
        halctl = %note.display(),
        "ready"
    );
    notify::ready(&supervisor.status());
    loop {
        match signals.next().await {
            Signal::Reload => {
                notify::reloading();
                reload(&mut supervisor, &start.path).await;
                notify::ready(&supervisor.status());
            }
            Signal::Stop => break,
            Signal::StopNow => {
                starts::note_end_of(&starts);
                return Ok(());
            }
        }
    }
    // Whatever comes of the end, it was asked for.
    starts::note_end_of(&starts);
    tracing::info!("stopping");
    notify::stopping("finishing requests");
    tokio::select! {
        () = supervisor.stop() => {}
        () = signals.urgent() => tracing::warn!("stopped at once; what was running is cut off"),
    }
    Ok(())
}

/// Reads the file again. A file that is no good changes nothing.
async fn reload(supervisor: &mut Supervisor, path: &Path) {
    let Some(new) = reread(path, config::read) else { return };
    let change = config::reload(supervisor.config(), &new);
    match supervisor.reload(change.config.clone()).await {
        Ok(()) => {
            change.log();
            if let Err(error) = leave_note(supervisor) {
                tracing::warn!(error = format!("{error:#}"), "cannot write the file for halctl");
            }
        }
        Err(error) => tracing::error!(error = format!("{error:#}"), "reload: nothing changed"),
    }
}

/// What vouches for the certificate on this machine: the authority where it is our own, which outlives it.
fn trusted(config: &Config, tls: &TlsConfig) -> PathBuf {
    if tls.is_own { own_certificate::authority(&folder_of(&config.database)) } else { tls.cert_path.clone() }
}

/// Writes `ctl.json` and the token beside the store, so that halctl works on this machine as it stands.
fn leave_note(supervisor: &Supervisor) -> anyhow::Result<PathBuf> {
    let config = supervisor.config();
    let folder = config.database.parent().unwrap_or(Path::new("."));
    let token = folder.join("ctl.token");
    file::replace(&token, supervisor.ctl_token().reveal().as_bytes(), GROUP_READS)
        .with_context(|| token.display().to_string())?;
    let note = CtlFile {
        url: Some(supervisor.local_url()),
        socket: supervisor.socket().filter(|path| path.exists()),
        token_file: Some("ctl.token".into()),
        ca_file: config.tls.as_ref().map(|tls| trusted(config, tls)),
        pid: Some(std::process::id()),
        ..CtlFile::default()
    };
    let path = folder.join("ctl.json");
    file::replace(&path, &serde_json::to_vec_pretty(&note)?, GROUP_READS)
        .with_context(|| path.display().to_string())?;
    Ok(path)
}
