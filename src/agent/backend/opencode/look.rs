//! The picture: what opencode itself says its sessions are doing. It is compared with the record after each
//! (re)connect, because some events are neither stored nor sent again.

use std::collections::{HashMap, HashSet};
use std::path::Path;
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

/// Looks at the sessions of all projects, and at those that are `known` beside them, each with its directory; what is
/// not in the picture is no more. `believed` are the sessions a turn was last heard of: for them the last message
/// tells whether it came to its end.
pub async fn picture(
    client: &Client,
    directories: &Directories,
    believed: &HashSet<SessionId>,
    known: &HashMap<SessionId, String>,
) -> Result<Vec<Session>, BackendError> {
    let mut out: Vec<Session> = Vec::new();
    for directory in directories.existing() {
        let infos = sessions(client, &directory).await?;
        let doings = Doings::of(client, &directory).await?;
        out.extend(infos.iter().map(|info| session(info, &doings, directories)));
    }
    let listed: HashSet<SessionId> = out.iter().map(|session| session.id.clone()).collect();
    let quiet = Doings::default();
    for id in known.keys().filter(|id| !listed.contains(*id)) {
        // Older than those that are listed, or in a place where nothing can run any more.
        match find(client, id).await {
            Ok(info) if Path::new(&info.directory).is_dir() => {
                let doings = Doings::of(client, &info.directory).await?;
                out.push(session(&info, &doings, directories));
            }
            Ok(info) => out.push(session(&info, &quiet, directories)),
            Err(BackendError::NoSuch(_)) => {}
            Err(error) => return Err(error),
        }
    }
    for session in &mut out {
        if believed.contains(&session.id) && session.activity == Activity::Idle {
            complete(client, session).await?;
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
