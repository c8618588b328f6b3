//! Snapshots: what opencode itself says its sessions are doing. It is compared with the record after each
//! (re)connect, because some events are neither stored nor sent again.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::Directories;
use super::asks::Asks;
use super::classify::ABORTED;
use super::client::{CALL_LIMIT, Call, Client, NAME};
use super::dialect::Dialect;
use super::tracker::Tracker;
use super::words::{AskInfo, Message, ServerHealth, SessionInfo, StatusInfo};
use crate::backend::BackendError;
use hal_base::clock::{Time, now};
use hal_protocol::node::{NodeId, ProjectName};
use hal_protocol::session::{Activity, Ask, AskKind, Context, Model, Retry, Session, SessionId, Tokens};
use hal_rules::session as rules;

/// Sessions looked at per directory, the latest first; older ones have nothing new to say.
pub const SESSIONS_MAX: usize = 500;

/// Directories that are looked at at the same time.
const AT_ONCE: usize = 8;

/// How long a look at one directory may take: the others wait for it. One that takes longer is asked about beside them.
const PLACE_LIMIT: Duration = Duration::from_secs(20);

/// How long opencode may take to say that it is well: it loads nothing for that.
const HEALTH_LIMIT: Duration = Duration::from_secs(10);

/// Why a session is in error whose turn was cut off by the end of opencode.
pub const CUT_OFF: &str = "the coding agent stopped in mid-turn";

/// What turns run in one directory.
#[derive(Debug, Default)]
pub struct Turns(HashMap<String, StatusInfo>);

impl Turns {
    /// Asks opencode.
    pub async fn of(client: &Client, directory: &str) -> Result<Self, BackendError> {
        if directory.is_empty() {
            return Err(BackendError::Refused("the session's directory is not known".into()));
        }
        let call = Call::new("/session/status", "looking at its sessions").about(directory);
        let statuses: HashMap<String, Box<RawValue>> = client.get(call).await?;
        Ok(Self(statuses.into_iter().map(|(id, status)| (id, StatusInfo::read(&status))).collect()))
    }

    /// True while a turn of that session runs.
    pub fn is_busy(&self, session: &str) -> bool {
        self.0.get(session).is_some_and(StatusInfo::is_busy)
    }

    /// Sessions whose turn runs.
    pub fn busy(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, status)| status.is_busy()).map(|(id, _)| id.as_str())
    }
}

/// What is going on in one directory.
#[derive(Debug, Default)]
pub struct Activities {
    /// `None`: opencode cannot say.
    turns: Option<Turns>,
    permissions: Vec<AskInfo>,
    questions: Vec<AskInfo>,
    /// Why requests of a kind are known from events only.
    unlisted: Vec<(AskKind, String)>,
}

impl Activities {
    /// Asks opencode. What it cannot list is taken from what its events said.
    pub async fn of(client: &Client, asks: &Asks, directory: &str) -> Result<Self, BackendError> {
        let turns = Some(Turns::of(client, directory).await?);
        let mut out = Self { turns, ..Self::default() };
        for kind in [AskKind::Permission, AskKind::Question] {
            out.list(client, asks, directory, kind).await?;
        }
        Ok(out)
    }

    /// The same, when something must be done whatever opencode can say.
    pub async fn at_least(client: &Client, asks: &Asks, directory: &str) -> Result<Self, BackendError> {
        match Self::of(client, asks, directory).await {
            Err(error @ BackendError::Down { .. }) => Err(error),
            Err(error) => {
                let why = error.to_string();
                let kinds = [AskKind::Permission, AskKind::Question];
                let unlisted = kinds.into_iter().map(|kind| (kind, why.clone())).collect();
                let [permissions, questions] = kinds.map(|kind| asks.of(kind));
                Ok(Self { turns: None, permissions, questions, unlisted })
            }
            doings => doings,
        }
    }

    /// Lists the requests of a kind. One that opencode cannot put into words breaks the list of the whole directory.
    async fn list(
        &mut self,
        client: &Client,
        asks: &Asks,
        directory: &str,
        kind: AskKind,
    ) -> Result<(), BackendError> {
        let call = match kind {
            AskKind::Permission => Call::new("/permission", "looking at its permissions"),
            AskKind::Question => Call::new("/question", "looking at its questions"),
        };
        let found = match client.get::<Vec<Box<RawValue>>>(call.about(directory)).await {
            Ok(entries) => entries.iter().filter_map(|entry| AskInfo::read(entry)).collect(),
            Err(error @ (BackendError::Down { .. } | BackendError::Silent { .. })) => return Err(error),
            Err(error) => {
                tracing::debug!("what waits in {directory} is known from events only: {error}");
                self.unlisted.push((kind, error.to_string()));
                asks.of(kind)
            }
        };
        match kind {
            AskKind::Permission => self.permissions = found,
            AskKind::Question => self.questions = found,
        }
        Ok(())
    }

    /// Why requests of this kind cannot be listed, when they cannot.
    pub fn unlisted(&self, kind: AskKind) -> Option<&str> {
        self.unlisted.iter().find(|(other, _)| *other == kind).map(|(_, why)| why.as_str())
    }

    /// True unless it is known that no turn of that session runs.
    fn may_be_busy(&self, session: &str) -> bool {
        self.turns.as_ref().is_none_or(|turns| turns.is_busy(session))
    }

    /// What the session waits for, oldest first. opencode forgets to take back what it asked before an abort, so only
    /// a busy session waits.
    pub fn waiting(&self, session: &str, kind: AskKind) -> Vec<&AskInfo> {
        let all = match kind {
            AskKind::Permission => &self.permissions,
            AskKind::Question => &self.questions,
        };
        let mut out: Vec<_> =
            all.iter().filter(|ask| ask.session_id == session && self.may_be_busy(session)).collect();
        out.sort_by(|one, other| one.id.cmp(&other.id));
        out
    }

    fn activity(&self, session: &str) -> Activity {
        match self.turns.as_ref().and_then(|turns| turns.0.get(session)) {
            Some(status) if status.kind == "retry" => Activity::Retry(Retry {
                attempt: status.attempt,
                message: status.message.clone(),
                next: Time::said(status.next),
            }),
            Some(status) if status.is_busy() => Activity::Busy,
            _ => Activity::Idle,
        }
    }

    fn asks(&self, session: &str) -> Vec<Ask> {
        [AskKind::Permission, AskKind::Question]
            .into_iter()
            .flat_map(|kind| self.waiting(session, kind).into_iter().map(move |ask| (kind, ask)))
            .map(|(kind, ask)| Ask {
                id: ask.id.clone(),
                kind,
                what: ask.what(),
                about: if kind == AskKind::Question { "question".into() } else { ask.permission.clone() },
                since: super::classify_event::time_of(&ask.id, now()),
            })
            .collect()
    }
}

/// What a look has shown.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Sessions as they are there.
    pub sessions: Vec<Session>,
    /// Known sessions that could not be looked at; they may be there.
    pub unseen: HashSet<SessionId>,
    /// Directories that could not be looked at, and why.
    pub failed: Vec<(String, BackendError)>,
}

/// What a look needs.
#[derive(Clone, Copy)]
pub struct SnapshotReader<'a> {
    /// Who is asked.
    pub client: &'a Client,
    /// The projects' directories.
    pub directories: &'a Directories,
    /// What events said of requests.
    pub asks: &'a Asks,
    /// What the stream has told so far.
    pub tracker: &'a Tracker,
}

impl<'a> SnapshotReader<'a> {
    /// Looks at the sessions in `places`, which are directories of projects. What the tracker knows and is neither in
    /// the snapshot nor unseen is no more. The error is one of opencode as a whole.
    pub async fn look_at(self, places: &[String]) -> Result<Snapshot, BackendError> {
        let mut sight = Snapshot::default();
        let look = |place: &String| self.look_at_one(place.clone()).boxed();
        let looks: Vec<BoxFuture<'a, _>> = places.iter().map(look).collect();
        let looks: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        for (place, outcome) in looks {
            match outcome {
                Ok(sessions) => sight.sessions.extend(sessions),
                Err(error @ BackendError::Down { .. }) => return Err(error),
                Err(error) => sight.failed.push((place, error)),
            }
        }
        let is_silent = |(_, error): &(String, BackendError)| matches!(error, BackendError::Silent { .. });
        if let Some(at) = sight.failed.iter().position(is_silent)
            && !is_well(self.client).await
        {
            return Err(sight.failed.swap_remove(at).1);
        }
        self.look_for_others(places, &mut sight).await?;
        for session in &mut sight.sessions {
            if self.tracker.busy.contains(&session.id) && session.activity == Activity::Idle {
                complete(self.client, session).await?;
            }
        }
        Ok(sight)
    }

    async fn look_at_one(self, place: String) -> (String, Result<Vec<Session>, BackendError>) {
        let work = async {
            let infos = sessions(self.client, &place).await?;
            let doings = Activities::of(self.client, self.asks, &place).await?;
            Ok(infos.iter().map(|info| session(info, &doings, self.directories)).collect())
        };
        let seconds = PLACE_LIMIT.as_secs();
        let silent = BackendError::Silent { backend: NAME, seconds, doing: "loading the directory" };
        let outcome = timeout(PLACE_LIMIT, work).await.unwrap_or(Err(silent));
        (place, outcome)
    }

    /// Known sessions that are older than those that are listed, or in a place where nothing can run any more.
    async fn look_for_others(self, places: &[String], sight: &mut Snapshot) -> Result<(), BackendError> {
        let listed: HashSet<SessionId> = sight.sessions.iter().map(|session| session.id.clone()).collect();
        let projects = self.directories.existing();
        let mut doings: HashMap<String, Option<Activities>> = HashMap::new();
        for (id, directory) in self.tracker.directories.iter().filter(|(id, _)| !listed.contains(*id)) {
            let is_of = |place: &String| place == directory;
            let has_failed = sight.failed.iter().any(|(place, _)| place == directory);
            if has_failed || (projects.iter().any(is_of) && !places.iter().any(is_of)) {
                sight.unseen.insert(id.clone());
                continue;
            }
            let info = match find(self.client, id).await {
                Ok(info) => info,
                // It was made by a 2.x, which has a database of its own.
                Err(BackendError::NoSuch(_)) if id.as_str().starts_with("ses_hal") => {
                    sight.unseen.insert(id.clone());
                    continue;
                }
                Err(BackendError::NoSuch(_)) => continue,
                Err(error @ BackendError::Down { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!("session {id} cannot be read: {error}");
                    sight.unseen.insert(id.clone());
                    continue;
                }
            };
            if !doings.contains_key(&info.directory) {
                let found = self.doings_elsewhere(&info.directory).await?;
                doings.insert(info.directory.clone(), found);
            }
            match doings.get(&info.directory).and_then(Option::as_ref) {
                Some(doings) => sight.sessions.push(session(&info, doings, self.directories)),
                None => drop(sight.unseen.insert(id.clone())),
            }
        }
        Ok(())
    }

    /// What goes on in a directory that may be no project's any more; `None` when that cannot be told.
    async fn doings_elsewhere(self, directory: &str) -> Result<Option<Activities>, BackendError> {
        if !Path::new(directory).is_dir() {
            return Ok(Some(Activities { turns: Some(Turns::default()), ..Activities::default() }));
        }
        match timeout(PLACE_LIMIT, Activities::of(self.client, self.asks, directory)).await {
            Ok(Ok(doings)) => Ok(Some(doings)),
            Ok(Err(error @ BackendError::Down { .. })) => Err(error),
            Ok(Err(error)) => {
                tracing::warn!("sessions in {directory} cannot be read: {error}");
                Ok(None)
            }
            Err(_) => {
                tracing::warn!("opencode does not get ready in {directory}");
                Ok(None)
            }
        }
    }
}

/// True when opencode as a whole answers.
pub async fn is_well(client: &Client) -> bool {
    let path = match client.dialect {
        Dialect::One => "/global/health",
        Dialect::Two => "/api/info",
    };
    let call = Call::new(path, "asking for its health").within(HEALTH_LIMIT);
    client.get::<ServerHealth>(call).await.is_ok()
}

/// One session as it is now.
pub async fn one(
    client: &Client,
    id: &SessionId,
    asks: &Asks,
    directories: &Directories,
) -> Result<Session, BackendError> {
    let info = find(client, id).await?;
    let doings = Activities::of(client, asks, &info.directory).await?;
    let mut session = session(&info, &doings, directories);
    if session.activity == Activity::Idle {
        complete(client, &mut session).await?;
    }
    Ok(session)
}

/// What opencode knows of a session.
pub async fn find(client: &Client, id: &SessionId) -> Result<SessionInfo, BackendError> {
    // A name of another form makes opencode stumble instead of saying that there is none.
    let no_such = || BackendError::NoSuch(format!("opencode has no session {id}"));
    if !id.as_str().starts_with("ses_") || !is_plain(id.as_str()) {
        return Err(no_such());
    }
    let path = format!("/session/{id}");
    client.get(Call::new(&path, "looking for the session")).await.map_err(|error| match error {
        BackendError::NoSuch(_) => no_such(),
        other => other,
    })
}

/// True for what may be a name of opencode's.
pub fn is_plain(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What is known of a session to which something must be done, at least its name. One whose record is damaged can be
/// stopped and answered all the same.
pub async fn at_least(client: &Client, id: &SessionId) -> Result<SessionInfo, BackendError> {
    match find(client, id).await {
        Err(BackendError::Refused(why)) => {
            tracing::warn!("only the name of session {id} is known: {why}");
            Ok(SessionInfo { id: id.to_string(), ..SessionInfo::default() })
        }
        found => found,
    }
}

/// The sessions of one directory, the latest first.
pub async fn sessions(client: &Client, directory: &str) -> Result<Vec<SessionInfo>, BackendError> {
    let limit = SESSIONS_MAX.to_string();
    let query = [("limit", limit.as_str())];
    // The first call about a directory makes opencode load it.
    let call =
        Call::new("/session", "listing its sessions").about(directory).with(&query).within(2 * CALL_LIMIT);
    client.list(call).await
}

/// The last message of a session.
pub async fn last_message(client: &Client, id: &SessionId) -> Result<Option<Message>, BackendError> {
    let path = format!("/session/{id}/message");
    let call = Call::new(&path, "looking at the last message").with(&[("limit", "1")]);
    let messages: Vec<Message> = client.get(call.within(Duration::from_secs(10))).await?;
    Ok(messages.into_iter().last())
}

async fn complete(client: &Client, session: &mut Session) -> Result<(), BackendError> {
    let info = match last_message(client, &session.id).await {
        Ok(Some(Message { info })) => info,
        Ok(None) => return Ok(()),
        Err(error @ BackendError::Down { .. }) => return Err(error),
        Err(error) => {
            // That its turn is over is known; only how is not.
            session.error = Some(format!("how its last turn ended cannot be read: {error}"));
            return Ok(());
        }
    };
    // A turn that ended has a complete answer; one that was cut off has none, or only the question.
    if info.role == "user" || info.time.completed.is_none() {
        session.error = Some(CUT_OFF.into());
    } else if let Some(error) = info.error.filter(|error| error.name != ABORTED) {
        session.error = Some(error.text());
    }
    if info.tokens.total > 0 {
        session.context = Some(Context { used: info.tokens.total, limit: None });
    }
    Ok(())
}

fn session(info: &SessionInfo, doings: &Activities, directories: &Directories) -> Session {
    let blank = Session::new(
        SessionId::new(&info.id),
        NodeId::new(""),
        ProjectName::new(""),
        Time::said(info.time.created),
    );
    Session {
        directory: directories.configured(&info.directory),
        parent_id: info.parent_id.as_deref().map(SessionId::new),
        title: info.title.clone(),
        activity: doings.activity(&info.id),
        asks: doings.asks(&info.id),
        model: info
            .model
            .as_ref()
            .map(|model| Model { provider: model.provider_id.clone(), id: model.id.clone() }),
        tokens: Tokens {
            input: info.tokens.input,
            output: info.tokens.output,
            reasoning: info.tokens.reasoning,
            cache_read: info.tokens.cache.read,
            cache_write: info.tokens.cache.write,
        },
        cost_micros: info.cost.and_then(rules::micros),
        active_at: Time::said(info.time.updated),
        ..blank
    }
}
