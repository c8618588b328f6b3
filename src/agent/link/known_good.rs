//! Marks a configuration that has led to a welcome as known to be good. The agent may not write beside it; it says so where root looks,
//! and root keeps the copy (hal-agent-good.path).

use std::path::PathBuf;

use hal_base::file;

/// Says that the configuration with this SHA-256 is good. Without a file, or without systemd, there is nothing to say.
pub(super) fn mark_known_good(fingerprint: &str) {
    let Some(folder) = std::env::var_os("RUNTIME_DIRECTORY").filter(|_| !fingerprint.is_empty()) else {
        return;
    };
    let path = PathBuf::from(folder).join("vouched");
    // Each change has root look, so what stands there already is not said again.
    if std::fs::read(&path).is_ok_and(|said| said == fingerprint.as_bytes()) {
        return;
    }
    if let Err(error) = file::replace(&path, fingerprint.as_bytes(), 0o600) {
        tracing::warn!(%error, "the configuration is good, but {} cannot be written", path.display());
    }
}
