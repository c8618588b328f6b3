//! What systemd is told when it has started us: ready, reloading, stopping, one line for `systemctl status`, and that
//! we live. Without systemd all of this says nothing to nobody.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use sd_notify::NotifyState;

/// The folder below `/run` that systemd has made for this service; `None`: there is none.
pub fn runtime_folder() -> Option<PathBuf> {
    let folders = std::env::var_os("RUNTIME_DIRECTORY")?;
    // There may be several, with colons between them.
    let first = folders.as_bytes().split(|byte| *byte == b':').next()?;
    let first = PathBuf::from(OsStr::from_bytes(first));
    first.is_absolute().then_some(first)
}

/// The folder in which systemd hands credentials to this service; `None`: there is none.
pub fn credentials_folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?);
    folder.is_absolute().then_some(folder)
}

/// Work is taken from now on.
pub fn ready(status: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(_) => say(&[NotifyState::Reloading]),
    }
}

/// The end has begun.
pub fn stopping(status: &str) {
    say(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// What is being done.
pub fn status(status: &str) {
    say(&[NotifyState::Status(status)]);
}

/// Everything that must move has moved since the last time.
pub fn alive(status: &str) {
    say(&[NotifyState::Watchdog, NotifyState::Status(status)]);
}

/// As [`ready`]; the line for `systemctl status` stays.
pub fn ready_still() {
    say(&[NotifyState::Ready]);
}

/// As [`alive`]; the line for `systemctl status` stays.
pub fn alive_still() {
    say(&[NotifyState::Watchdog]);
}

/// How often [`alive`] is to be said: three times before systemd loses patience. `None`: it does not wait for it.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 3)
}

fn say(words: &[NotifyState<'_>]) {
    // Only the log can be told, and the log goes where systemd is.
    if let Err(error) = sd_notify::notify(words) {
        tracing::warn!(%error, "the status of this program cannot be sent to systemd");
    }
}
