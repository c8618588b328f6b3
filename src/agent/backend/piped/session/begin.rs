//! The start of a session's process, during which somebody may want the session stopped.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{DROPPED, Session};
use crate::backend::BackendError;
use crate::backend::piped::host::Ask;
use crate::backend::piped::tongue::Tongue;

/// How long a process may take to begin, all its steps together: less than whoever has said something waits.
const START_LIMIT: Duration = Duration::from_secs(50);

impl<T: Tongue> Session<T> {
    /// Starts a process. Whoever wants the session stopped meanwhile is heard: what is asked beside that waits.
    pub(super) async fn begin(&mut self) -> Result<(), BackendError> {
        let title = self.host.spec.title;
        let deadline = Instant::now() + START_LIMIT;
        let start = self.tongue.start();
        tokio::pin!(start);
        let mut is_open = true;
        loop {
            tokio::select! {
                started = &mut start => {
                    self.process = Some(started?);
                    return Ok(());
                }
                asked = self.asks.recv(), if is_open => match asked {
                    None => is_open = false,
                    Some(Ask::Abort(reply)) => {
                        let _gone = reply.send(Ok("what was said was dropped before its turn began".into()));
                        break;
                    }
                    Some(ask @ (Ask::Kill(_) | Ask::Stop(_))) => {
                        self.deferred.push_front(ask);
                        break;
                    }
                    Some(ask) => self.deferred.push_back(ask),
                },
                () = sleep_until(deadline) => {
                    let why = format!("{title} has not begun within {} s", START_LIMIT.as_secs());
                    return Err(BackendError::Refused(why));
                }
            }
        }
        // What was said before a stop is not worked on after it.
        let (prompts, others): (VecDeque<Ask>, VecDeque<Ask>) =
            std::mem::take(&mut self.deferred).into_iter().partition(|ask| matches!(ask, Ask::Prompt(..)));
        self.deferred = others;
        for ask in prompts {
            if let Ask::Prompt(.., reply) = ask {
                let _gone = reply.send(Err(BackendError::Refused(DROPPED.to_owned())));
            }
        }
        Err(BackendError::Refused(DROPPED.to_owned()))
    }
}
