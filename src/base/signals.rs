//! What the operating system asks of a daemon.

use std::io;

use tokio::signal::unix::{self, SignalKind};

/// What a signal asks the program to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the configuration again.
    Reload,
    /// The first SIGTERM or SIGINT: finish what is begun, with a deadline, and end.
    Stop,
    /// Another one: end at once.
    StopNow,
}

/// The signals sent to this process, in the order they come.
#[derive(Debug)]
pub struct Signals {
    hangup: unix::Signal,
    terminate: unix::Signal,
    interrupt: unix::Signal,
    is_stopping: bool,
}

impl Signals {
    /// Starts listening; from here on these signals no longer end the process by themselves. Needs a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: unix::signal(SignalKind::hangup())?,
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            is_stopping: false,
        })
    }

    /// The next signal. Safe to drop and call again: none is lost.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => return Signal::Reload,
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        let signal = if self.is_stopping { Signal::StopNow } else { Signal::Stop };
        self.is_stopping = true;
        signal
    }

    /// Resolves when it is asked to end at once; what else is asked meanwhile is let pass.
    pub async fn urgent(&mut self) {
        while self.next().await != Signal::StopNow {}
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal as Raw, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn a_second_request_to_stop_is_urgent() {
        let mut signals = Signals::listen().unwrap();
        let mut seen = Vec::new();
        for raw in [Raw::HUP, Raw::TERM, Raw::INT] {
            kill_process(getpid(), raw).unwrap();
            seen.push(signals.next().await);
        }
        assert_eq!(seen, [Signal::Reload, Signal::Stop, Signal::StopNow]);
    }
}
