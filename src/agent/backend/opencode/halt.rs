//! Stopping a turn, and stopping it with every process of it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::client::{Call, Client, NAME};
use super::prompt::hear_of;
use super::snapshot::{self, Turns};
use super::tools::{sweep_tools, tools};
use super::words::SessionInfo;
use super::{Note, Shared, Up};
use crate::backend::{BackendError, BackendEvent, Report};
use hal_base::clock::now;
use hal_protocol::event::raw;
use hal_protocol::session::SessionId;

/// How long an abort may take, and then the turn to end.
const ABORT_LIMIT: Duration = Duration::from_secs(10);
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// The same when it is a kill: what does not end by then is ended by force.
const KILL_ABORT_LIMIT: Duration = Duration::from_secs(2);
const KILL_IDLE_LIMIT: Duration = Duration::from_secs(5);

/// How often it is looked whether the turn has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Stops the running turn, if there is one. That needs nothing but the session's name.
pub async fn abort(shared: &Shared, client: &Client, id: &SessionId) -> Result<String, BackendError> {
    let info = snapshot::at_least(client, id).await?;
    let was_busy = Turns::of(client, &info.directory).await.map(|turns| turns.is_busy(&info.id));
    let mut notes = shared.notes.subscribe();
    // opencode says of every session that is stopped that it is idle, even of one that was.
    shared.stopped().insert(id.clone());
    let path = format!("/session/{id}/abort");
    client.tell(Call::new(&path, "stopping the turn").within(ABORT_LIMIT), &json!({})).await?;
    let family = family(client, &info).await;
    if !is_over_within(client, &mut notes, &family, &info.directory, IDLE_LIMIT).await {
        return Err(BackendError::Silent {
            backend: NAME,
            seconds: IDLE_LIMIT.as_secs(),
            doing: "stopping the turn; kill the session to end it by force",
        });
    }
    Ok(match was_busy {
        Ok(true) => "the turn was stopped",
        Ok(false) => "no turn was running",
        Err(_) => "no turn is running any more",
    }
    .into())
}

/// Stops the turn and ends its processes; the conversation is kept. Tells what was done.
pub async fn kill(shared: &Shared, up: &Up, id: &SessionId) -> Result<String, BackendError> {
    let client = &up.client;
    let info = snapshot::at_least(client, id).await?;
    let directory = PathBuf::from(&info.directory);
    let family = family(client, &info).await;
    // Seen while their parents still live: a process that hides its mark is found by its descent.
    let (mark, pid, place) = (up.mark.clone(), up.pid, directory.clone());
    let seen = tokio::task::spawn_blocking(move || tools(&mark, pid, &place)).await.unwrap_or_default();
    let (mut notes, mut over) = (shared.notes.subscribe(), shared.notes.subscribe());
    let path = format!("/session/{id}/abort");
    let call = Call::new(&path, "stopping the turn").within(KILL_ABORT_LIMIT);
    let mut said = Vec::new();
    shared.stopped().insert(id.clone());
    let aborted = client.tell(call, &json!({})).await.is_ok();
    if !is_over_within(client, &mut over, &family, &info.directory, KILL_IDLE_LIMIT).await {
        let call =
            Call::new("/instance/dispose", "ending everything in the directory").about(&info.directory);
        client.tell(call, &json!({})).await?;
        said.push("everything in its directory was stopped, as the turn would not".to_owned());
        if !is_over_within(client, &mut over, &family, &info.directory, KILL_IDLE_LIMIT).await {
            return Err(BackendError::Refused(format!("opencode cannot stop the turn of session {id}")));
        }
    }
    // An abort always says that the session is idle, so what follows here comes after all that the turn still says.
    if aborted {
        let is_it = |note: &Note| matches!(note, Note::Idle(idle) if idle == id);
        let _ = timeout(KILL_IDLE_LIMIT, hear_of(&mut notes, is_it)).await;
    }
    let others = Turns::of(client, &info.directory).await;
    let other =
        |turns: &Turns| turns.busy().find(|one| !family.iter().any(|own| own == one)).map(str::to_owned);
    match others.as_ref().map(other) {
        _ if info.directory.is_empty() => {
            said.push("processes it may have left were not ended, as its directory is not known".into());
        }
        Err(error) => said.push(format!(
            "processes it may have left were not ended, as it is not known who else works there: {error}"
        )),
        Ok(Some(other)) => said
            .push(format!("processes it may have left were not ended, as session {other} works there too")),
        Ok(None) => {
            let ended = sweep_tools(up, directory, seen).await;
            said.push(format!("{ended} processes were ended"));
        }
    }
    report_killed(shared, &info).await;
    Ok(said.join("; "))
}

/// Says that a session was killed, since opencode has no word for it.
pub async fn report_killed(shared: &Shared, info: &SessionInfo) {
    let event = BackendEvent {
        id: None,
        kind: "session.ended".into(),
        session_id: Some(SessionId::new(&info.id)),
        directory: Some(shared.directories.configured(&info.directory)),
        occurred_at: now(),
        data: raw(&json!({"sessionID": info.id, "reason": "killed"})),
        mark: None,
    };
    // Without a session manager there is nobody to tell.
    let _ = shared.reports.send(Report::Event(event)).await;
}

/// A session and its helpers.
pub async fn family(client: &Client, info: &SessionInfo) -> Vec<String> {
    let mut out = vec![info.id.clone()];
    let mut at = 0;
    while let Some(id) = out.get(at).cloned() {
        let path = format!("/session/{id}/children");
        let children: Vec<SessionInfo> =
            client.get(Call::new(&path, "looking for its helpers")).await.unwrap_or_default();
        out.extend(children.into_iter().map(|child| child.id));
        at += 1;
    }
    out
}

/// Waits until no turn of a family runs: opencode says so, or where it cannot, its events do.
async fn is_over_within(
    client: &Client,
    notes: &mut Receiver<Note>,
    family: &[String],
    directory: &str,
    limit: Duration,
) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        match Turns::of(client, directory).await {
            Ok(turns) if !family.iter().any(|id| turns.is_busy(id)) => return true,
            Ok(_) | Err(BackendError::Silent { .. }) => {}
            Err(_) => {
                let is_it = |note: &Note| match note {
                    Note::Idle(idle) => family.first().is_some_and(|own| own == idle.as_str()),
                    _ => false,
                };
                return matches!(timeout_at(deadline, hear_of(notes, is_it)).await, Ok(Some(_)));
            }
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK_EVERY).await;
    }
}
