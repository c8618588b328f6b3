//! Starts other programs without what systemd and people have meant for us alone.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

/// What systemd tells a service of itself: who is watched, where its credentials and folders are. A program that we
/// start must neither speak in our name nor be shown where our token lies.
const OF_THE_SERVICE: [&str; 21] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "FDSTORE",
    "CREDENTIALS_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "CACHE_DIRECTORY",
    "LOGS_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "MAINPID",
    "MANAGERPID",
    "SYSTEMD_EXEC_PID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
];

/// How our own begin: `HALCTL_AUTH_TOKEN` is one of them.
const OURS: [&str; 2] = ["HAL_", "HALCTL_"];

/// True for a variable that no program we start may inherit.
pub fn is_for_us_alone(name: &OsStr) -> bool {
    let is_ours = |start: &&str| name.as_bytes().starts_with(start.as_bytes());
    OF_THE_SERVICE.iter().any(|one| name == *one) || OURS.iter().any(is_ours)
}

/// Takes from a command's environment what is for us alone. What is set afterwards is passed on.
pub fn keep_for_us(command: &mut Command) {
    leave_out(command, is_for_us_alone);
}

/// Takes from a command's environment the variables of ours for which this is true.
pub fn leave_out(command: &mut Command, is_left_out: impl Fn(&OsStr) -> bool) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_left_out(name)) {
        command.env_remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_words_of_the_service_stay_here_and_what_tools_need_goes_on() {
        let kept = ["CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "HALCTL_AUTH_TOKEN", "HALCTL_URL", "HAL_X"];
        assert!(kept.iter().all(|name| is_for_us_alone(OsStr::new(name))));
        let passed = ["PATH", "HOME", "SSH_AUTH_SOCK", "ANTHROPIC_API_KEY", "HALT", "LANG", "JAVA_HOME"];
        assert!(passed.iter().all(|name| !is_for_us_alone(OsStr::new(name))));
    }
}
