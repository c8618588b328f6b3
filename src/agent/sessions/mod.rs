//! Session manager, the one owner of what is known of sessions: folds what backends report, stores it, then shows it.
//!
//! ```text
//!   backend --Report--> session manager --events and the sessions they add up to--> outbox (stored) --> View, live
//!                         command --Action--> backend, and what came of it --> outbox (stored) --> OutgoingFrame
//! ```
//! - `command`: the life of a command on this node.
//! - `action`: what a command means for a backend; `prompt_queue`: the order of prompts; `lease`: the money for them.

mod action;
mod checkpoint;
pub mod command;
pub mod lease;
mod prompt_queue;
mod shorten;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot, watch};

use super::backend::{BackendEvent, BackendKind, KnownSession, Report};
use super::backends::ReportReceivers;
use super::outbox::{Closed, Outbox};
use super::project::{Projects, Turned};
use hal_base::clock::{self, Time};
use hal_base::id;
use hal_protocol::event::kind::Kind;
use hal_protocol::event::what::What;
use hal_protocol::event::{form, raw, write};
use hal_protocol::frame::{FromAgent, Live, MAX_EVENT_BYTES, Watch};
use hal_protocol::node::{NodeId, ProjectName};
use hal_protocol::session::{Activity, Session, SessionId};
use hal_rules as rules;
use hal_store::journal::{Change, NewEvent, SessionRecord};
use lease::Leases;
use shorten::shorten;

/// Reports folded and stored together at most.
const BATCH: usize = 256;

/// How long an ended session is remembered, so that a prompt can revive it.
const ENDED_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is stored, for everybody to look at.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// It contains all events up to this number.
    pub as_of_seq: u64,
    /// Every session that is remembered.
    pub sessions: imbl::HashMap<SessionId, SessionState>,
}

/// A session as the session manager holds it.
#[derive(Clone, Debug)]
pub struct SessionState {
    /// The sum of its events, and the backend's mark.
    pub record: SessionRecord,
    /// Turns that were seen to begin (or to fail at once) since the agent started.
    pub begun: u64,
    /// Turns that were seen to end since the agent started.
    pub over: u64,
}

impl From<SessionRecord> for KnownSession {
    fn from(record: SessionRecord) -> Self {
        Self { session: record.session, mark: record.mark }
    }
}

/// A frame for the supervisor. It is not said before the events up to `after_seq`.
#[derive(Clone, Debug)]
pub struct OutgoingFrame {
    /// The last event that must have gone before; 0: none.
    pub after_seq: u64,
    /// What to say.
    pub frame: FromAgent,
}

/// Folds reports into sessions, and stores both. What it works with:
#[derive(Debug)]
pub struct SessionManager {
    /// This node's name.
    pub node_id: NodeId,
    /// Where everything is stored first.
    pub outbox: Outbox,
    /// Which directory is which project.
    pub projects: Arc<Projects>,
    /// Who is watched.
    pub watched: watch::Receiver<Watch>,
    /// Where live things go; what does not fit is dropped.
    pub live: mpsc::Sender<Live>,
    /// Where the present state is shown.
    pub view: watch::Sender<View>,
    /// The money for turns.
    pub leases: Leases,
    /// Whether each backend was last said to work.
    pub health: watch::Sender<Health>,
}

/// Why a backend does not work, `None` when it does; one that has said neither is not in it.
pub type Health = HashMap<BackendKind, Option<String>>;

/// What one batch of reports comes to.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    touched: BTreeSet<SessionId>,
    live: Vec<Live>,
    /// Who waits until this is stored.
    barriers: Vec<oneshot::Sender<()>>,
}

/// The first state: what the journal remembers, without sessions that ended long ago.
pub fn restore(records: Vec<SessionRecord>, now: Time) -> (View, Vec<Change>) {
    let too_old = now.minus(ENDED_KEPT);
    let (old, kept): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| {
        matches!(record.session.activity, Activity::Ended(_)) && record.session.active_at < too_old
    });
    let hold =
        |record: SessionRecord| (record.session.id.clone(), SessionState { record, begun: 0, over: 0 });
    let view = View { as_of_seq: 0, sessions: kept.into_iter().map(hold).collect() };
    (view, old.into_iter().map(|record| Change::ForgetSession(record.session.id)).collect())
}

impl SessionManager {
    /// Works until every sender is gone, so that nothing reported is left behind.
    pub async fn run(
        mut self,
        mut receivers: ReportReceivers,
        mut turned: mpsc::Receiver<Turned>,
    ) -> Result<(), Closed> {
        let mut sessions = self.view.borrow().sessions.clone();
        let (mut reports, mut projects) = (Vec::new(), Vec::new());
        let (mut has_backends, mut has_projects) = (true, true);
        while has_backends || has_projects {
            let mut batch = Batch::default();
            tokio::select! {
                heard = receivers.recv(&mut reports, BATCH), if has_backends => match heard {
                    Some(kind) => self.take_reports(kind, &mut reports, &mut sessions, &mut batch),
                    None => has_backends = false,
                },
                count = turned.recv_many(&mut projects, BATCH), if has_projects => {
                    has_projects = count > 0;
                    batch.changes.extend(projects.drain(..).map(project_event));
                }
            }
            self.store(batch, &sessions).await?;
        }
        Ok(())
    }

    fn take_reports(
        &mut self,
        kind: BackendKind,
        reports: &mut Vec<Report>,
        sessions: &mut imbl::HashMap<SessionId, SessionState>,
        batch: &mut Batch,
    ) {
        for report in reports.drain(..) {
            match report {
                Report::Event(event) => self.take_event(kind, event, sessions, batch),
                Report::Live { session_id, kind, data } => {
                    let watched = self.watched.borrow();
                    if watched.all || watched.session_ids.contains(&session_id) {
                        batch.live.push(Live { session_id, kind, data });
                    }
                }
                Report::Snapshot(seen) => {
                    self.compare(kind, seen, &HashSet::new(), sessions, batch);
                    batch.changes.extend(self.leases.give_back_old(sessions, kind.as_str()));
                }
                Report::PartialSnapshot { seen, unseen } => {
                    self.compare(kind, seen, &unseen, sessions, batch)
                }
                Report::Directory { directory, error } => {
                    let turned = self.projects.note_place(kind, &directory, error.as_deref());
                    batch.changes.extend(turned.into_iter().map(project_event));
                }
                Report::Health(error) => self.health(kind, error, batch),
                Report::Barrier(done) => batch.barriers.push(done),
            }
        }
    }

    fn take_event(
        &self,
        kind: BackendKind,
        event: BackendEvent,
        sessions: &mut imbl::HashMap<SessionId, SessionState>,
        batch: &mut Batch,
    ) {
        let data = shorten(event.data, MAX_EVENT_BYTES);
        let at = event.occurred_at;
        let mut project =
            event.directory.as_deref().and_then(|directory| self.projects.of_directory(directory));
        if let Some(id) = &event.session_id {
            let held = sessions.entry(id.clone()).or_insert_with(|| {
                let directory = event.directory.unwrap_or_default();
                self.hold_new(kind, id, &directory, at)
            });
            let known = &held.record.session;
            let before = (known.events > 0).then_some((known.tokens, known.cost_micros));
            // What was too long to be kept is folded as it is kept: the supervisor knows no more.
            let what = form::read(&event.kind, &data);
            held.fold(&what, at);
            held.record.mark = event.mark.or(held.record.mark);
            project = Some(held.record.session.project.clone());
            if self.leases.is_on() {
                let session = held.record.session.clone();
                self.leases.debit(sessions, &session, &what, before);
            }
            batch.touched.insert(id.clone());
        }
        batch.changes.push(Change::Append(NewEvent {
            id: event.id.unwrap_or_else(id::fresh),
            kind: event.kind,
            session_id: event.session_id,
            project,
            occurred_at: at,
            data,
        }));
    }

    fn hold_new(&self, kind: BackendKind, id: &SessionId, directory: &str, at: Time) -> SessionState {
        let project = self.projects.of_directory(directory).unwrap_or_else(|| ProjectName::new(directory));
        let mut session = Session::new(id.clone(), self.node_id.clone(), project, at);
        session.directory = directory.to_owned();
        session.backend = kind.as_str().to_owned();
        SessionState { record: SessionRecord { session, mark: None }, begun: 0, over: 0 }
    }

    /// Writes what is missing so that the record agrees with a look at the backend.
    fn compare(
        &self,
        kind: BackendKind,
        seen: Vec<Session>,
        unseen: &HashSet<SessionId>,
        sessions: &mut imbl::HashMap<SessionId, SessionState>,
        batch: &mut Batch,
    ) {
        let now = clock::now();
        let present: BTreeSet<SessionId> = seen.iter().map(|session| session.id.clone()).collect();
        for session in seen {
            let known = sessions.get(&session.id).map(|held| &held.record.session);
            for (event, data) in rules::session::repairs(known, &session) {
                let directory = Some(session.directory.clone());
                self.take_event(kind, repaired(&session.id, directory, event, data, now), sessions, batch);
            }
        }
        let gone: Vec<SessionId> = sessions
            .values()
            .map(|held| &held.record.session)
            .filter(|session| session.backend == kind.as_str() && !present.contains(&session.id))
            .filter(|session| !unseen.contains(&session.id))
            .filter(|session| !matches!(session.activity, Activity::Ended(_)))
            .map(|session| session.id.clone())
            .collect();
        for id in gone {
            let data = write::repaired(&What::Ended { reason: "gone".to_owned() });
            let ended = repaired(&id, None, Kind::SessionEnded.as_str(), data, now);
            self.take_event(kind, ended, sessions, batch);
        }
    }

    fn health(&self, kind: BackendKind, error: Option<String>, batch: &mut Batch) {
        if self.health.borrow().get(&kind) == Some(&error) {
            return;
        }
        let event = match &error {
            None => (Kind::BackendStarted, json!({"backend": kind.as_str()})),
            Some(why) => {
                let (reason, output) = why.split_once('\n').unwrap_or((why, ""));
                let data = json!({"backend": kind.as_str(), "reason": reason, "output": output});
                (Kind::BackendStopped, data)
            }
        };
        let data = shorten(raw(&event.1), MAX_EVENT_BYTES);
        batch.changes.push(Change::Append(NewEvent::own(event.0.as_str(), clock::now(), data)));
        let turned = self.projects.note_backend(kind, error.as_deref());
        batch.changes.extend(turned.into_iter().map(project_event));
        self.health.send_modify(|health| drop(health.insert(kind, error)));
    }

    /// Stores, then shows.
    async fn store(
        &self,
        batch: Batch,
        sessions: &imbl::HashMap<SessionId, SessionState>,
    ) -> Result<(), Closed> {
        let mut changes = batch.changes;
        if !changes.is_empty() {
            if self.leases.is_on() {
                changes.extend(self.leases.settle(sessions, batch.touched.iter()));
            }
            let touched = batch.touched.iter().filter_map(|id| sessions.get(id));
            changes.extend(touched.map(|held| Change::Session(Box::new(held.record.clone()))));
            let as_of_seq = self.outbox.write(changes).await?;
            self.view.send_replace(View { as_of_seq, sessions: sessions.clone() });
        }
        for barrier in batch.barriers {
            let _gave_up = barrier.send(());
        }
        for live in batch.live {
            // A full queue means a slow link; live things may be dropped.
            let _dropped = self.live.try_send(live);
        }
        Ok(())
    }
}

impl SessionState {
    fn fold(&mut self, what: &What, at: Time) {
        let was_at_work = self.is_at_work();
        rules::session::apply(&mut self.record.session, what, at);
        match what {
            What::Status(_) if self.is_at_work() => self.begun += 1,
            What::Failed(_) if !was_at_work => self.begun += 1,
            What::Idle | What::Ended { .. } | What::Interrupted { .. } => self.over += 1,
            _ => {}
        }
    }

    /// True while a turn runs.
    pub fn is_at_work(&self) -> bool {
        matches!(self.record.session.activity, Activity::Busy | Activity::Retry(_))
    }
}

fn repaired(
    id: &SessionId,
    directory: Option<String>,
    kind: &str,
    data: Box<RawValue>,
    now: Time,
) -> BackendEvent {
    BackendEvent {
        id: None,
        kind: kind.to_owned(),
        session_id: Some(id.clone()),
        directory,
        occurred_at: now,
        data,
        mark: None,
    }
}

pub(super) fn project_event(turned: Turned) -> Change {
    let (kind, data) = match turned.error {
        Some(error) => (Kind::ProjectError, json!({ "error": error })),
        None => (Kind::ProjectOk, json!({})),
    };
    let mut event = NewEvent::own(kind.as_str(), clock::now(), raw(&data));
    event.project = Some(turned.name);
    Change::Append(event)
}
