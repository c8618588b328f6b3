//! The picture: what opencode itself says its sessions are doing. It is compared with the record after each
//! (re)connect, because some events are neither stored nor sent again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Directories;
use super::client::{CALL_LIMIT, Call, Client};
use super::words::{AskInfo, Message, SessionInfo, StatusInfo};
use crate::agent::backend::BackendError;
use crate::base::clock::{Time, now};
use crate::protocol::node::{NodeId, ProjectName};
use crate::protocol::session::{Activity, Ask, AskKind, Context, Model, Retry, Session, SessionId, Tokens};
use crate::rules::session as rules;

/// Sessions looked at per directory, the latest first; older ones have nothing new to say.
pub const SESSIONS_MAX: usize = 500;

/// Why a session is in error whose turn was cut off by the end of opencode.
pub const CUT_OFF: &str = "the coding agent stopped in mid-turn";

/// What is going on in one directory.
#[derive(Debug, Default)]
pub struct Doings {
    statuses: HashMap<String, StatusInfo>,
    permissions: Vec<AskInfo>,
    questions: Vec<AskInfo>,
}

impl Doings {
    /// Asks opencode.
    pub async fn of(client: &Client, directory: &str) -> Result<Self, BackendError> {
        let call = |path, doing| Call::new(path, doing).about(directory);
        Ok(Self {
            statuses: client.get(call("/session/status", "looking at its sessions")).await?,
            permissions: client.get(call("/permission", "looking at its permissions")).await?,
            questions: client.get(call("/question", "looking at its questions")).await?,
        })
    }

    /// True while a turn of that session runs.
    pub fn is_busy(&self, session: &str) -> bool {
        self.statuses.get(session).is_some_and(StatusInfo::is_busy)
    }

    /// Sessions whose turn runs.
    pub fn busy(&self) -> impl Iterator<Item = &str> {
        self.statuses.iter().filter(|(_, status)| status.is_busy()).map(|(id, _)| id.as_str())
    }

    /// What the session waits for, oldest first. opencode forgets to take back what it asked before an abort, so only
    /// a busy session waits.
    pub fn waiting(&self, session: &str, kind: AskKind) -> Vec<&AskInfo> {
        let all = match kind {
            AskKind::Permission => &self.permissions,
            AskKind::Question => &self.questions,
        };
        let mut out: Vec<_> =
            all.iter().filter(|ask| ask.session_id == session && self.is_busy(session)).collect();
        out.sort_by(|one, other| one.id.cmp(&other.id));
        out
    }

    fn activity(&self, session: &str) -> Activity {
        match self.statuses.get(session) {
            Some(status) if status.kind == "retry" => Activity::Retry(Retry {
                attempt: status.attempt,
                message: status.message.clone(),
                next: Time(status.next),
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
                since: super::hear::time_of(&ask.id, now()),
            })
            .collect()
    }
}

/// What a look at everything has found.
#[derive(Debug, Default)]
pub struct Picture {
    /// The sessions of all projects.
    pub sessions: Vec<Session>,
    /// Sessions that were known and are no more, with the directory each was in.
    pub gone: Vec<(SessionId, String)>,
}

/// Looks at all projects. `believed` are the sessions a turn was last heard of; for them the last message tells
/// whether it came to its end. `known` are those there were, with their directories.
pub async fn picture(
    client: &Client,
    directories: &Directories,
    believed: &HashSet<SessionId>,
    known: &HashMap<SessionId, String>,
) -> Result<Picture, BackendError> {
    let mut out = Picture::default();
    for directory in directories.existing() {
        let infos = sessions(client, &directory).await?;
        let doings = Doings::of(client, &directory).await?;
        if infos.len() < SESSIONS_MAX {
            let there: HashSet<&str> = infos.iter().map(|info| info.id.as_str()).collect();
            let gone = known.iter().filter(|(id, own)| **own == directory && !there.contains(id.as_str()));
            out.gone.extend(gone.map(|(id, own)| (id.clone(), own.clone())));
        }
        for info in &infos {
            let mut session = session(info, &doings, directories);
            if believed.contains(&session.id) && session.activity == Activity::Idle {
                complete(client, &mut session).await?;
            }
            out.sessions.push(session);
        }
    }
    Ok(out)
}

/// One session as it is now.
pub async fn one(
    client: &Client,
    id: &SessionId,
    directories: &Directories,
) -> Result<Session, BackendError> {
    let info = find(client, id).await?;
    let doings = Doings::of(client, &info.directory).await?;
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
    let is_plain = id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !id.as_str().starts_with("ses_") || !is_plain {
        return Err(no_such());
    }
    let path = format!("/session/{id}");
    client.get(Call::new(&path, "looking for the session")).await.map_err(|error| match error {
        BackendError::NoSuch(_) => no_such(),
        other => other,
    })
}

/// The sessions of one directory, the latest first.
pub async fn sessions(client: &Client, directory: &str) -> Result<Vec<SessionInfo>, BackendError> {
    let limit = SESSIONS_MAX.to_string();
    let query = [("limit", limit.as_str())];
    // The first call about a directory makes opencode load it.
    let call =
        Call::new("/session", "listing its sessions").about(directory).with(&query).within(2 * CALL_LIMIT);
    client.get(call).await
}

/// The last message of a session.
pub async fn last_message(client: &Client, id: &SessionId) -> Result<Option<Message>, BackendError> {
    let path = format!("/session/{id}/message");
    let call = Call::new(&path, "looking at the last message").with(&[("limit", "1")]);
    let messages: Vec<Message> = client.get(call.within(Duration::from_secs(10))).await?;
    Ok(messages.into_iter().last())
}

async fn complete(client: &Client, session: &mut Session) -> Result<(), BackendError> {
    let Some(Message { info }) = last_message(client, &session.id).await? else { return Ok(()) };
    // A turn that ended has a complete answer; one that was cut off has none, or only the question.
    if info.role == "user" || info.time.completed.is_none() {
        session.error = Some(CUT_OFF.into());
    } else if let Some(error) = info.error.filter(|error| error.name != "MessageAbortedError") {
        session.error = Some(error.text());
    }
    if info.tokens.total > 0 {
        session.context = Some(Context { used: info.tokens.total, limit: None });
    }
    Ok(())
}

fn session(info: &SessionInfo, doings: &Doings, directories: &Directories) -> Session {
    let blank = Session::new(
        SessionId::new(&info.id),
        NodeId::new(""),
        ProjectName::new(""),
        Time(info.time.created),
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
        active_at: Time(info.time.updated),
        ..blank
    }
}
