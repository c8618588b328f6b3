//! `halctl sessions wait`: until a session is in one of some states.
//!
//! Free of races: the stream is opened first, then the picture is taken, then the stream is followed. What happens
//! in between is in the picture, in the stream, or in both, and counting an event twice leads to the same state.

use std::time::Duration;

use super::fetch;
use super::state::{Change, Watched};
use crate::client::Client;
use crate::feed::{Feed, News};
use crate::print::Screen;
use crate::print::text::span;
use hal_base::exit::{Exit, Failure};
use hal_protocol::session::Status;

/// The event types that can change a session's state.
const KINDS: &str = "session.*,permission.*,question.*,node.*,gap";

/// Waits until the session is in one of the states of `until`. Fails with [`Exit::OtherOutcome`] when it ended or
/// is in error instead, and with [`Exit::TimedOut`] after `timeout`.
pub async fn wait(
    client: &Client,
    screen: &mut Screen,
    id: &str,
    until: &[Status],
    timeout: Option<Duration>,
) -> Result<Status, Failure> {
    let mut last = "unknown".to_owned();
    let following = follow(client, screen, id, until, &mut last);
    let Some(timeout) = timeout else { return following.await };
    match tokio::time::timeout(timeout, following).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let sentence = format!("session {id} is {last} after {}", span(timeout));
            Err(Failure::say(Exit::TimedOut, sentence))
        }
    }
}

async fn follow(
    client: &Client,
    screen: &mut Screen,
    id: &str,
    until: &[Status],
    last: &mut String,
) -> Result<Status, Failure> {
    // By node and not by session, because a node's coming and going concerns no session.
    let node = fetch(client, id).await?.node_id;
    let query = vec![("node_id", node.to_string()), ("type", KINDS.to_owned())];
    let mut feed = Feed::open(client, query).await?;
    let mut watched = Watched::new(&fetch(client, id).await?);
    loop {
        if let Some(outcome) = settled(&watched, id, until) {
            return outcome;
        }
        let now = watched.sentence();
        if *last != now {
            tell(screen, id, &watched);
            *last = now;
        }
        match feed.next().await? {
            News::Event(event) => {
                if watched.hear(&event) == Change::Retake {
                    watched = Watched::new(&fetch(client, id).await?);
                }
            }
            News::Gap => watched = Watched::new(&fetch(client, id).await?),
            News::Lost => screen.say("The connection to the supervisor is lost; retrying."),
            News::Back => screen.say("The supervisor is back."),
            News::Live(_) => {}
        }
    }
}

/// The end of the waiting, if this is it.
fn settled(watched: &Watched, id: &str, until: &[Status]) -> Option<Result<Status, Failure>> {
    let status = watched.status();
    if until.contains(&status) {
        return Some(Ok(status));
    }
    matches!(status, Status::Ended | Status::Error)
        .then(|| Err(Failure::say(Exit::OtherOutcome, format!("session {id} is {}", watched.sentence()))))
}

/// Tells the person what only a person can change.
fn tell(screen: &mut Screen, id: &str, watched: &Watched) {
    let help = match watched.status() {
        Status::Waiting => format!(". Answer with `halctl sessions allow {id}`, `deny` or `answer`"),
        Status::Unreachable => ". Waiting for it to come back".to_owned(),
        Status::Retrying => String::new(),
        _ => return,
    };
    screen.say(&format!("Session {id} is {}{help}.", watched.sentence()));
}

#[cfg(test)]
mod tests;
