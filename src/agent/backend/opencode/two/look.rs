//! Looks at what OpenCode 2 itself says: its sessions, what runs, and what waits for a person.

use std::collections::{HashMap, HashSet};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::client::{CALL_LIMIT, Call, Client};
use super::super::snapshot::CUT_OFF;
use super::super::tracker::Tracker;
use super::super::{Directories, Shared};
use super::asks::OpenAsk;
use super::is_ours;
use super::state::Fold;
use super::wire::{Data, InboxItem, Page, SessionRecord, ShellRecord, of_info, text};
use crate::backend::BackendError;
use hal_base::clock::{Time, now};
use hal_protocol::event::what::What;
use hal_protocol::node::{NodeId, ProjectName};
use hal_protocol::session::{Activity, Ask, Model, Session, SessionId};
use hal_rules::session as rules;

/// Sessions looked at in each directory, the latest first; older ones have nothing new to say.
const SESSIONS_MAX: usize = 500;

/// Sessions of a page.
const PAGE: &str = "100";

/// What a look has shown.
#[derive(Debug, Default)]
pub struct Sight {
    /// Sessions as they are there.
    pub seen: Vec<Session>,
    /// Their records.
    pub records: Vec<SessionRecord>,
    /// Known sessions that could not be looked at; they may be there.
    pub unseen: HashSet<SessionId>,
    /// Directories that could not be looked at, and why.
    pub failed: Vec<(String, BackendError)>,
}

/// Looks at the sessions in `places`, which are directories of projects, and takes into the fold what runs and waits.
pub async fn look_at(
    shared: &Shared,
    client: &Client,
    tracker: &Tracker,
    places: &[String],
) -> Result<Sight, BackendError> {
    let mut sight = Sight::default();
    let active = active(client).await?;
    let mut asks = Vec::new();
    let mut shells = Vec::new();
    for place in places {
        match one_place(client, place, &active).await {
            Ok((records, waiting, running)) => {
                sight.records.extend(records);
                asks.extend(waiting);
                shells.extend(running);
            }
            Err(error @ BackendError::Down { .. }) => return Err(error),
            Err(error) => sight.failed.push((place.clone(), error)),
        }
    }
    let others = others(client, tracker, places, &mut sight).await?;
    let mut fold = shared.two.lock().await;
    for record in &sight.records {
        let id = SessionId::new(&record.id);
        let known = fold.known(&id);
        known.directory.clone_from(&record.location.directory);
        known.parent = record.parent_id.as_deref().map(SessionId::new);
        known.is_executing = active.contains(&record.id);
    }
    fold.shells.extend(shells);
    fold.asks.extend(asks.into_iter().map(|ask: OpenAsk| (ask.id.clone(), ask)));
    for record in &sight.records {
        let session = session_of(record, &fold, &shared.directories);
        fold.known(&session.id).is_busy = session.activity == Activity::Busy;
        sight.seen.push(session);
    }
    drop(fold);
    for (session, record) in sight.seen.iter_mut().zip(&sight.records) {
        if session.activity == Activity::Idle && tracker.busy.contains(&session.id) {
            session.error = how_it_ended(client, record).await?;
        }
    }
    sight.seen.extend(others);
    Ok(sight)
}

type PlaceSight = (Vec<SessionRecord>, Vec<OpenAsk>, Vec<(String, SessionId)>);

async fn one_place(
    client: &Client,
    place: &str,
    active: &HashSet<String>,
) -> Result<PlaceSight, BackendError> {
    let records = sessions(client, place).await?;
    let mut asks = forms(client, place).await?;
    for record in records.iter().filter(|record| active.contains(&record.id)) {
        asks.extend(permissions(client, &record.id).await?);
    }
    let shells = shells(client, place).await?;
    let owned = |shell: ShellRecord| {
        let is_its = shell.status == "running" && !shell.metadata.session_id.is_empty();
        is_its.then(|| (shell.id, SessionId::new(shell.metadata.session_id)))
    };
    Ok((records, asks, shells.into_iter().filter_map(owned).collect()))
}

/// Known sessions that are not listed: older ones, and those of another major version, which stay as they are recorded
/// unless they were believed to run.
async fn others(
    client: &Client,
    tracker: &Tracker,
    places: &[String],
    sight: &mut Sight,
) -> Result<Vec<Session>, BackendError> {
    let listed: HashSet<String> = sight.records.iter().map(|record| record.id.clone()).collect();
    let mut cut = Vec::new();
    for (id, directory) in tracker.directories.iter().filter(|(id, _)| !listed.contains(id.as_str())) {
        let has_failed = sight.failed.iter().any(|(place, _)| place == directory);
        if has_failed || !places.iter().any(|place| place == directory) {
            sight.unseen.insert(id.clone());
            continue;
        }
        match find(client, id).await {
            Ok(record) => sight.records.push(record),
            Err(error @ BackendError::Down { .. }) => return Err(error),
            Err(BackendError::NoSuch(_)) if is_ours(id.as_str()) => {}
            Err(BackendError::NoSuch(_)) if tracker.busy.contains(id) => {
                let blank = Session::new(id.clone(), NodeId::new(""), ProjectName::new(""), now());
                let error = Some(CUT_OFF.to_owned());
                cut.push(Session { directory: directory.clone(), error, ..blank });
            }
            Err(_) => drop(sight.unseen.insert(id.clone())),
        }
    }
    Ok(cut)
}

/// One session as it is now.
pub async fn one(shared: &Shared, client: &Client, id: &SessionId) -> Result<Session, BackendError> {
    let record = find(client, id).await?;
    let is_active = active(client).await?.contains(&record.id);
    let session = {
        let mut fold = shared.two.lock().await;
        fold.known(id).is_executing |= is_active;
        session_of(&record, &fold, &shared.directories)
    };
    let error = match session.activity {
        Activity::Idle => how_it_ended(client, &record).await?,
        _ => None,
    };
    Ok(Session { error, ..session })
}

/// A session's record.
pub async fn find(client: &Client, id: &SessionId) -> Result<SessionRecord, BackendError> {
    let no_such = || {
        BackendError::NoSuch(format!(
            "opencode 2 has no session {id}; those that 1.x has made stay with 1.x, in a database of its own"
        ))
    };
    let is_plain = id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !id.as_str().starts_with("ses_") || !is_plain {
        return Err(no_such());
    }
    let path = format!("/api/session/{id}");
    let found = client.get::<Data<SessionRecord>>(Call::new(&path, "looking for the session")).await;
    found.map(|found| found.data).map_err(|error| match error {
        BackendError::NoSuch(_) => no_such(),
        other => other,
    })
}

/// The sessions of one directory, the latest first.
pub async fn sessions(client: &Client, place: &str) -> Result<Vec<SessionRecord>, BackendError> {
    // The first call about a directory may have to load it.
    client.pass(place)?;
    let mut out: Vec<SessionRecord> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let query = match &cursor {
            Some(cursor) => vec![("cursor", cursor.as_str())],
            None => vec![("directory", place), ("limit", PAGE), ("order", "desc")],
        };
        let call = Call::new("/api/session", "listing its sessions").with(&query).within(2 * CALL_LIMIT);
        let page: Page<SessionRecord> = client.get(call).await?;
        let is_last = page.data.is_empty();
        out.extend(page.data);
        cursor = page.cursor.next;
        if is_last || cursor.is_none() || out.len() >= SESSIONS_MAX {
            return Ok(out);
        }
    }
}

/// A session's helpers.
pub async fn children(client: &Client, id: &str) -> Result<Vec<SessionRecord>, BackendError> {
    let query = [("parentID", id), ("limit", PAGE)];
    let call = Call::new("/api/session", "looking for its helpers").with(&query);
    Ok(client.get::<Page<SessionRecord>>(call).await?.data)
}

/// The sessions whose execution runs.
pub async fn active(client: &Client) -> Result<HashSet<String>, BackendError> {
    let call = Call::new("/api/session/active", "looking at what runs");
    let active: Data<HashMap<String, Value>> = client.get(call).await?;
    Ok(active.data.into_keys().collect())
}

/// Background commands of one directory.
pub async fn shells(client: &Client, place: &str) -> Result<Vec<ShellRecord>, BackendError> {
    or_none(client.get(Call::new("/api/shell", "looking at its background commands").about(place)).await)
}

/// What waits to be taken in by a session.
pub async fn inbox(client: &Client, id: &str) -> Result<Vec<InboxItem>, BackendError> {
    let path = format!("/api/session/{id}/inbox");
    or_none(client.get(Call::new(&path, "looking at what waits")).await)
}

async fn permissions(client: &Client, id: &str) -> Result<Vec<OpenAsk>, BackendError> {
    let path = format!("/api/session/{id}/permission");
    let found = or_none(client.get(Call::new(&path, "looking at its permissions")).await)?;
    Ok(found.iter().filter_map(OpenAsk::permission).map(|(ask, _): (OpenAsk, What)| ask).collect())
}

async fn forms(client: &Client, place: &str) -> Result<Vec<OpenAsk>, BackendError> {
    let found = or_none(client.get(Call::new("/api/form", "looking at its questions").about(place)).await)?;
    Ok(found.iter().filter_map(OpenAsk::form).map(|(ask, _): (OpenAsk, What)| ask).collect())
}

/// A list that an older server does not have is empty; what its events say is known all the same.
fn or_none<T: DeserializeOwned>(found: Result<Data<Vec<T>>, BackendError>) -> Result<Vec<T>, BackendError> {
    match found {
        Ok(found) => Ok(found.data),
        Err(BackendError::NoSuch(why) | BackendError::Refused(why)) => {
            tracing::debug!("taken from its events only: {why}");
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Why the last turn of a session failed, or was cut off; `None`: it ended well, or there was none.
async fn how_it_ended(client: &Client, record: &SessionRecord) -> Result<Option<String>, BackendError> {
    if record.outcome.as_deref() == Some("succeeded") {
        return Ok(None);
    }
    let path = format!("/api/session/{}/message", record.id);
    let call = Call::new(&path, "looking at the last messages").with(&[("limit", "5")]);
    let messages: Vec<Value> = match client.get::<Page<Value>>(call).await {
        Ok(page) => page.data,
        Err(error @ BackendError::Down { .. }) => return Err(error),
        Err(error) => return Ok(Some(format!("how its last turn ended cannot be read: {error}"))),
    };
    let last = messages.iter().find(|message| matches!(text(message, "type"), "user" | "assistant"));
    Ok(last.and_then(|last| match text(last, "type") {
        "user" => Some(CUT_OFF.to_owned()),
        _ if !last["error"].is_null() => {
            let failure = super::failure::failure(&last["error"]);
            (!failure.is_abort()).then(|| failure.sentence())
        }
        _ if last["time"]["completed"].is_null() => Some(CUT_OFF.to_owned()),
        _ => None,
    }))
}

/// A session as it is there: its record, and what is known to run and to wait.
fn session_of(record: &SessionRecord, fold: &Fold, directories: &Directories) -> Session {
    let id = SessionId::new(&record.id);
    let blank =
        Session::new(id.clone(), NodeId::new(""), ProjectName::new(""), Time::said(record.time.created));
    let is_busy = !fold.is_quiet(&id);
    let asks = fold.asks.values().filter(|ask| ask.session == id && is_busy).map(|ask| Ask {
        id: ask.id.clone(),
        kind: ask.kind,
        what: ask.what.clone(),
        about: ask.about.clone(),
        since: now(),
    });
    Session {
        directory: directories.configured(&record.location.directory),
        parent_id: record.parent_id.as_deref().map(SessionId::new),
        title: record.title.clone().unwrap_or_default(),
        activity: if is_busy { Activity::Busy } else { Activity::Idle },
        asks: asks.collect(),
        model: record
            .model
            .as_ref()
            .map(|model| Model { provider: model.provider_id.clone(), id: model.id.clone() }),
        tokens: of_info(&record.tokens),
        cost_micros: record.cost.and_then(rules::micros),
        active_at: Time::said(record.time.updated),
        ..blank
    }
}
