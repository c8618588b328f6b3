//! Stopping: a session's turn, or its whole family with every background command and process.
//!
//! A stopped helper wakes the session that began it, so the session is stopped once more after its helpers. What waits to be
//! taken in is taken back first: it would be carried out with the next prompt.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::super::client::{Call, Client, NAME};
use super::super::halt::report_killed;
use super::super::tools::{sweep_tools, tools};
use super::super::words::SessionInfo;
use super::super::{Shared, Up};
use super::look;
use super::state::Fold;
use crate::backend::BackendError;
use hal_protocol::session::SessionId;

/// How long a stopped turn may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// How long an interrupt may take to be taken.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// How often it is looked whether it has ended, and how often it is stopped again meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const AGAIN_EVERY: u32 = 10;

/// How deep helpers of helpers are looked for.
const MAX_FAMILY: usize = 256;

/// Stops the running turn with its helpers; background commands run on.
pub async fn abort(shared: &Shared, client: &Client, id: &SessionId) -> Result<String, BackendError> {
    look::find(client, id).await?;
    let was_busy = !shared.two.lock().await.is_quiet(id);
    shared.stopped().insert(id.clone());
    interrupt(shared, client, id).await?;
    let family = family(shared, client, id).await;
    if !is_over(shared, client, &family).await? {
        let doing = "stopping the turn; kill the session to end it by force";
        return Err(BackendError::Silent { backend: NAME, seconds: END_LIMIT.as_secs(), doing });
    }
    let runs_on = {
        let fold = shared.two.lock().await;
        fold.shells.values().filter(|owner| family.contains(owner)).count()
    };
    Ok(match (was_busy, runs_on) {
        (_, 1..) => format!("the turn was stopped; {runs_on} background commands run on, a kill ends them"),
        (true, 0) => "the turn was stopped".into(),
        (false, 0) => "no turn was running".into(),
    })
}

/// Stops the turns of a family, the helpers first, and takes back what waits.
pub async fn interrupt(shared: &Shared, client: &Client, id: &SessionId) -> Result<(), BackendError> {
    let family = family(shared, client, id).await;
    for one in family.iter().rev() {
        take_back(client, one).await;
        interrupt_one(client, one).await?;
    }
    // A helper that was stopped has woken it.
    if family.len() > 1 {
        take_back(client, id).await;
        interrupt_one(client, id).await?;
    }
    Ok(())
}

/// Stops all turns, before the server is ended.
pub async fn interrupt_all(client: &Client) {
    let active = look::active(client).await.unwrap_or_default();
    let each = active.into_iter().map(SessionId::new);
    join_all(each.map(|id| async move {
        if let Err(error) = interrupt_one(client, &id).await {
            tracing::warn!("opencode did not stop the turn of session {id}: {error}");
        }
    }))
    .await;
}

/// Stops the turn and ends its processes; the conversation is kept. Tells what was done.
pub async fn kill(shared: &Shared, up: &Up, id: &SessionId) -> Result<String, BackendError> {
    let client = &up.client;
    let record = look::find(client, id).await?;
    let directory = PathBuf::from(&record.location.directory);
    let family = family(shared, client, id).await;
    // Seen while their parents still live: a process that hides its mark is found by its descent.
    let (mark, pid, place) = (up.mark.clone(), up.pid, directory.clone());
    let seen = tokio::task::spawn_blocking(move || tools(&mark, pid, &place)).await.unwrap_or_default();
    shared.stopped().insert(id.clone());
    let mut ended_commands = end_commands(client, &record.location.directory, &family).await?;
    interrupt(shared, client, id).await?;
    if !is_over(shared, client, &family).await? {
        return Err(BackendError::Refused(format!("opencode cannot stop the turn of session {id}")));
    }
    // What was begun while it was being stopped.
    ended_commands += end_commands(client, &record.location.directory, &family).await?;
    let other = other_at_work(client, &family, &record.location.directory).await?;
    let mut said = Vec::new();
    if ended_commands > 0 {
        said.push(format!("{ended_commands} background commands were ended"));
    }
    match other {
        Some(other) => said
            .push(format!("processes it may have left were not ended, as session {other} works there too")),
        None => said.push(format!("{} processes were ended", sweep_tools(up, directory, seen).await)),
    }
    let info = SessionInfo {
        id: id.to_string(),
        directory: record.location.directory.clone(),
        ..SessionInfo::default()
    };
    // It is not told idle afterwards, and told to be at work when it is spoken to again.
    shared.two.lock().await.known(id).is_busy = false;
    report_killed(shared, &info).await;
    Ok(said.join("; "))
}

/// Another session that is at work in a directory. Nothing is asked about the directory itself: a kill always goes.
async fn other_at_work(
    client: &Client,
    family: &[SessionId],
    directory: &str,
) -> Result<Option<SessionId>, BackendError> {
    let active = look::active(client).await?.into_iter().map(SessionId::new);
    for id in active.filter(|id| !family.contains(id)) {
        if look::find(client, &id).await.is_ok_and(|record| record.location.directory == directory) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Ends the background commands of a family; tells how many there were.
async fn end_commands(client: &Client, directory: &str, family: &[SessionId]) -> Result<usize, BackendError> {
    let mut count = 0;
    let is_its = |owner: &str| family.iter().any(|own| own.as_str() == owner);
    for shell in look::shells(client, directory).await? {
        if shell.status != "running" || !is_its(&shell.metadata.session_id) {
            continue;
        }
        let path = format!("/api/shell/{}", shell.id);
        match client.delete(Call::new(&path, "ending a background command").within(CALL_LIMIT)).await {
            // It has ended by itself.
            Ok(()) | Err(BackendError::NoSuch(_)) => count += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

async fn interrupt_one(client: &Client, id: &SessionId) -> Result<(), BackendError> {
    let path = format!("/api/session/{id}/interrupt");
    match client.tell(Call::new(&path, "stopping the turn").within(CALL_LIMIT), &json!({})).await {
        Err(BackendError::NoSuch(_)) => Ok(()),
        outcome => outcome,
    }
}

/// What waits to be taken in is not carried out any more. A server that cannot list it has no way to take it back.
async fn take_back(client: &Client, id: &SessionId) {
    let waiting = look::inbox(client, id.as_str()).await.unwrap_or_default();
    for item in waiting {
        let path = format!("/api/session/{id}/inbox/{}", item.id);
        let call = Call::new(&path, "taking back what waits").within(CALL_LIMIT);
        if let Err(error) = client.delete(call).await {
            tracing::debug!("session {id}: {error}");
        }
    }
}

/// A session and its helpers, as the server and the stream know them.
async fn family(shared: &Shared, client: &Client, id: &SessionId) -> Vec<SessionId> {
    let mut out = shared.two.lock().await.family(id);
    let mut at = 0;
    while let Some(one) = out.get(at).cloned().filter(|_| at < MAX_FAMILY) {
        let children = look::children(client, one.as_str()).await.unwrap_or_default();
        for child in children {
            let child = SessionId::new(child.id);
            if !out.contains(&child) {
                out.push(child);
            }
        }
        at += 1;
    }
    out
}

/// Waits until no turn of a family runs, and the stream has told so.
async fn is_over(shared: &Shared, client: &Client, family: &[SessionId]) -> Result<bool, BackendError> {
    let deadline = Instant::now() + END_LIMIT;
    let mut looks = 0;
    loop {
        let active = look::active(client).await?;
        let runs = |fold: &Fold, id: &SessionId| fold.sessions.get(id).is_some_and(|it| it.is_executing);
        let is_told = {
            let fold = shared.two.lock().await;
            !family.iter().any(|id| runs(&fold, id))
        };
        let still: Vec<&SessionId> = family.iter().filter(|id| active.contains(id.as_str())).collect();
        if still.is_empty() && is_told {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        looks += 1;
        if looks % AGAIN_EVERY == 0 {
            for id in still {
                interrupt_one(client, id).await?;
            }
        }
        sleep(LOOK_EVERY).await;
    }
}
