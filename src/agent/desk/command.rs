//! The life of a command on this node: stored, acknowledged, carried out, its outcome stored, and only then said.
//!
//! A command that is seen again is answered from what is stored; it is never carried out twice. Prompts of one
//! session keep their order; what stops or answers goes at once, and a kill drops the prompts that still wait. A
//! command that is cancelled is dropped when it has not begun.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lease::{Hold, Leases};
use super::line::{Lines, Place};
use super::{Held, Say, View};
use super::{deed, lease, stand};
use crate::backend::{Backend, BackendError, Deed, Settled};
use crate::backends::Backends;
use crate::outbox::Outbox;
use crate::project::Projects;
use hal_base::clock;
use hal_protocol::command::{CommandId, CommandState, Verb};
use hal_protocol::frame::{Checkpoint, CommandAck, CommandFrame, CommandResult, FromAgent};
use hal_protocol::lease::{Cover, Lease};
use hal_protocol::node::ProjectName;
use hal_protocol::session::{Activity, SessionId};
use hal_store::journal::{Change, CommandRecord};

/// Commands in hand at the same time. More are refused with a sentence: something floods this node.
const MAX_IN_HAND: usize = 1024;

/// How long a command that began a turn waits to see the turn in the record, and one that ended a turn its end.
const RECORD_WAIT: Duration = Duration::from_secs(5);

/// Bytes of an outcome that are kept.
const MAX_OUTPUT: usize = 256 * 1024;

/// What the supervisor wants.
#[derive(Debug)]
pub enum Order {
    /// That this is carried out.
    Do(CommandFrame),
    /// That this is dropped, when it has not begun.
    Drop(CommandId),
    /// Which sessions need a lease.
    Cover(Cover),
    /// The answer to a request for money.
    Lease(Lease),
}

/// What commands are carried out with.
#[derive(Clone, Debug)]
pub struct Means {
    /// Where commands and outcomes are stored.
    pub outbox: Outbox,
    /// Where sessions begin.
    pub projects: Arc<Projects>,
    /// The backends that carry commands out.
    pub backends: Arc<Backends>,
    /// What is stored of sessions.
    pub view: watch::Receiver<View>,
    /// Where answers go.
    pub says: mpsc::Sender<Say>,
    /// The money for turns.
    pub leases: Leases,
}

/// The commands in hand.
#[derive(Debug)]
pub struct Commands {
    means: Means,
    /// Each with what drops it before it begins.
    in_hand: HashMap<CommandId, CancellationToken>,
    lines: Lines,
    jobs: TaskTracker,
}

/// A job that has ended.
#[derive(Debug)]
struct Ended {
    id: CommandId,
    in_line: Option<SessionId>,
}

impl Commands {
    /// None is in hand yet.
    pub fn new(means: Means) -> Self {
        Self { means, in_hand: HashMap::new(), lines: Lines::default(), jobs: TaskTracker::new() }
    }

    /// Settles what a crash has left open, then takes commands until told to stop; returns when all in hand are
    /// through. What is not through when the process ends is settled at the next start.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>, stop: CancellationToken) {
        let (ended_in, mut ended) = mpsc::channel(MAX_IN_HAND);
        self.settle_all(&ended_in);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(job) = ended.recv() => self.forget(job),
                order = orders.recv() => match order {
                    Some(Order::Do(frame)) => self.take(frame, &ended_in).await,
                    Some(Order::Drop(id)) => self.cancel(&id),
                    Some(Order::Cover(cover)) => self.means.leases.heed_cover(cover).await,
                    Some(Order::Lease(lease)) => self.means.leases.heed(&lease).await,
                    None => break,
                },
            }
        }
        // The link must not wait for a queue that nobody empties.
        drop(orders);
        self.jobs.close();
        self.jobs.wait().await;
    }

    fn settle_all(&mut self, ended: &mpsc::Sender<Ended>) {
        let open = self.means.outbox.open_commands().unwrap_or_else(|error| {
            tracing::error!("commands of the last run cannot be read: {:#}", anyhow::Error::new(error));
            Vec::new()
        });
        for record in open {
            let id = record.frame.command_id.clone();
            self.in_hand.insert(id.clone(), CancellationToken::new());
            let (means, ended) = (self.means.clone(), ended.clone());
            self.jobs.spawn(async move {
                settle(&means, record).await;
                let _stopping = ended.send(Ended { id, in_line: None }).await;
            });
        }
    }

    fn forget(&mut self, job: Ended) {
        self.in_hand.remove(&job.id);
        if let Some(session) = job.in_line {
            self.lines.leave(&session);
        }
    }

    /// One that is not in hand has its result, or never came.
    fn cancel(&self, id: &CommandId) {
        if let Some(cancelled) = self.in_hand.get(id) {
            cancelled.cancel();
        }
    }

    async fn take(&mut self, frame: CommandFrame, ended: &mpsc::Sender<Ended>) {
        let id = frame.command_id.clone();
        if let Some(cancelled) = self.in_hand.get(&id) {
            if frame.ttl_ms == 0 {
                cancelled.cancel();
            }
            return self.means.acknowledge(id).await;
        }
        match self.means.outbox.command(&id) {
            Ok(Some(record)) if record.state.is_final() => return self.means.say_result(&record, None).await,
            Ok(Some(_)) => return self.means.acknowledge(id).await,
            Ok(None) => {}
            Err(error) => {
                // Without knowing whether it was done it must not be done; the supervisor will ask again.
                let error = anyhow::Error::new(error);
                return tracing::error!("command {id} is left alone, as it cannot be looked up: {error:#}");
            }
        }
        if self.in_hand.len() >= MAX_IN_HAND {
            return tracing::error!("command {id} is left alone: {MAX_IN_HAND} are in hand already");
        }
        let cancelled = CancellationToken::new();
        self.in_hand.insert(id.clone(), cancelled.clone());
        let verb = Verb::parse(&frame.verb);
        let session = deed::session_of(&frame);
        let place = match (verb, &session) {
            (Some(Verb::PromptSession), Some(session)) => self.lines.stand(session, cancelled),
            (Some(Verb::KillSession), Some(session)) => {
                self.lines.drop_waiting(session);
                Place::nowhere(cancelled)
            }
            _ => Place::nowhere(cancelled),
        };
        let in_line = place.is_in_line().then_some(session).flatten();
        let (means, ended) = (self.means.clone(), ended.clone());
        self.jobs.spawn(async move {
            live(&means, frame, verb, place).await;
            let _stopping = ended.send(Ended { id, in_line }).await;
        });
    }
}

/// What came of a command.
struct Outcome {
    state: CommandState,
    output: String,
    error: Option<String>,
    stood: Option<Checkpoint>,
}

impl Outcome {
    fn done(output: String) -> Self {
        Self { state: CommandState::Done, output, error: None, stood: None }
    }

    fn no(state: CommandState, why: impl Into<String>) -> Self {
        Self { state, output: String::new(), error: Some(why.into()), stood: None }
    }
}

/// A new command from its receipt to its result.
async fn live(means: &Means, frame: CommandFrame, verb: Option<Verb>, mut place: Place) {
    let now = clock::now();
    let lapsed = frame.ttl_ms == 0;
    let record = CommandRecord {
        frame,
        received_at: now,
        changed_at: now,
        state: CommandState::Running,
        output: String::new(),
        error: None,
    };
    if lapsed {
        // Stored although nothing is done, so that a frame that comes late cannot begin it.
        means.conclude(record, Outcome::no(CommandState::Expired, "its time to begin was over")).await;
        return place.leave().await;
    }
    if means.outbox.write(vec![Change::Command(Box::new(record.clone()))]).await.is_err() {
        return;
    }
    let id = record.frame.command_id.clone();
    means.acknowledge(id).await;
    let outcome = match (verb, place.wait().await) {
        (None, _) => Outcome::no(CommandState::Failed, deed::unknown_verb(&record.frame.verb)),
        (_, Err(why)) => Outcome::no(CommandState::Failed, why),
        (Some(verb), Ok(())) => carry_out(means, &record.frame, verb, &place).await,
    };
    // The place is kept until the outcome is stored.
    means.conclude(record, outcome).await;
    place.leave().await;
}

async fn carry_out(means: &Means, frame: &CommandFrame, verb: Verb, place: &Place) -> Outcome {
    let (backend, deed) = match means.prepare(frame, verb) {
        Ok(prepared) => prepared,
        Err(why) => return Outcome::no(CommandState::Failed, why),
    };
    let hold = match means.borrow(&deed, place).await {
        Ok(hold) => hold,
        Err(why) => return Outcome::no(CommandState::Failed, why),
    };
    let before = deed::session_of(frame).and_then(|id| means.view.borrow().sessions.get(&id).cloned());
    let directory = before.as_ref().map(|held| held.record.session.directory.clone());
    let stood = match directory.filter(|_| deed::steps_in(frame, verb)) {
        Some(directory) => stand::of(&directory).await,
        None => None,
    };
    let creates = matches!(deed, Deed::Create { .. });
    let outcome = act(means, frame, &backend, deed, before).await;
    let created = creates && outcome.state == CommandState::Done;
    let session = created.then(|| SessionId::new(&outcome.output));
    means.leases.release(hold, session, &means.view).await;
    Outcome { stood, ..outcome }
}

async fn act(
    means: &Means,
    frame: &CommandFrame,
    backend: &Backend,
    deed: Deed,
    before: Option<Held>,
) -> Outcome {
    match backend.carry_out(&frame.command_id, deed.clone()).await {
        Ok(output) => {
            means.recorded(&deed, &output, before.as_ref()).await;
            Outcome::done(output)
        }
        Err(silent @ BackendError::Silent { .. }) => match backend.settle(&frame.command_id, &deed).await {
            Settled::Done(output) => Outcome::done(output),
            Settled::NotDone => Outcome::no(CommandState::Failed, silent.to_string()),
            Settled::Unknown => Outcome::no(CommandState::Unknown, silent.to_string()),
        },
        Err(error) => Outcome::no(CommandState::Failed, error.to_string()),
    }
}

/// A command that was received before the agent ended and has no result.
async fn settle(means: &Means, record: CommandRecord) {
    const UNKNOWN: &str = "the agent ended while this was running, and its outcome cannot be determined";
    let outcome = match Verb::parse(&record.frame.verb) {
        None => Outcome::no(CommandState::Failed, deed::unknown_verb(&record.frame.verb)),
        Some(verb) => match means.prepare(&record.frame, verb) {
            Err(why) => Outcome::no(CommandState::Unknown, format!("{UNKNOWN}: {why}")),
            Ok((backend, deed)) => match backend.settle(&record.frame.command_id, &deed).await {
                Settled::Done(output) => Outcome::done(output),
                Settled::NotDone => {
                    Outcome::no(CommandState::Failed, "the agent ended before it began; it had no effect")
                }
                Settled::Unknown => Outcome::no(CommandState::Unknown, UNKNOWN),
            },
        },
    };
    means.conclude(record, outcome).await;
}

impl Means {
    fn prepare(&self, frame: &CommandFrame, verb: Verb) -> Result<(Backend, Deed), String> {
        let (kind, deed) = deed::read(frame, verb, &self.projects, &self.view.borrow())?;
        let backend = self
            .backends
            .get(kind)
            .ok_or_else(|| format!("no project of this node uses {} any more", kind.as_str()))?;
        Ok((backend, deed))
    }

    /// Waits until there is money for what begins a turn. An answer goes on with one that has it.
    async fn borrow(&self, deed: &Deed, place: &Place) -> Result<Hold, String> {
        let (root, project, first) = match deed {
            Deed::Create { directory, prompt, model, .. } if !prompt.is_empty() => {
                let project = self.projects.of_directory(directory);
                let project = project.unwrap_or_else(|| ProjectName::new(directory));
                let first = lease::first_of(&self.view.borrow().sessions, None, &project, (model, prompt));
                (None, project, first)
            }
            Deed::Prompt { session_id, message, .. } => {
                let view = self.view.borrow();
                let Some(held) = view.sessions.get(session_id) else { return Ok(Hold::none()) };
                let root = lease::root_of(&view.sessions, &held.record.session);
                let project = held.record.session.project.clone();
                let first = lease::first_of(&view.sessions, Some(session_id), &project, ("", message));
                (Some(root), project, first)
            }
            _ => return Ok(Hold::none()),
        };
        self.leases.borrow(root.as_ref(), &project, first, place.dropped()).await
    }

    /// Waits until the events that show the deed are stored, so that whoever looks after the result sees them. A
    /// backend that shows nothing holds the result up for a bounded time only.
    async fn recorded(&self, deed: &Deed, output: &str, before: Option<&Held>) {
        let (begun, over) = before.map_or((0, 0), |held| (held.begun, held.over));
        let was_at_work = before.is_some_and(Held::is_at_work);
        let mark = before.and_then(|held| held.record.mark);
        let created = SessionId::new(output);
        let shows = |view: &View| match deed {
            Deed::Create { prompt, .. } => {
                view.sessions.get(&created).is_some_and(|held| prompt.is_empty() || held.begun > 0)
            }
            // Said to a turn that goes on, it is in the record, and no turn begins.
            Deed::Prompt { session_id, .. } => view.sessions.get(session_id).is_some_and(|held| {
                held.begun > begun || (was_at_work && held.is_at_work() && held.record.mark != mark)
            }),
            Deed::Abort { session_id } => {
                !was_at_work || view.sessions.get(session_id).is_none_or(|held| held.over > over)
            }
            Deed::Kill { session_id } => view.sessions.get(session_id).is_none_or(|held| {
                matches!(held.record.session.activity, Activity::Ended(_)) || held.begun > begun
            }),
            Deed::AnswerPermission { .. } | Deed::AnswerQuestion { .. } | Deed::Look { .. } => true,
        };
        let mut view = self.view.clone();
        if tokio::time::timeout(RECORD_WAIT, view.wait_for(shows)).await.is_err() {
            tracing::debug!(?deed, "its effect did not show up in time");
        }
    }

    /// Stores the outcome, then says it.
    async fn conclude(&self, mut record: CommandRecord, outcome: Outcome) {
        record.changed_at = clock::now();
        record.state = outcome.state;
        record.output = bounded(outcome.output);
        record.error = outcome.error.map(bounded);
        if self.outbox.write(vec![Change::Command(Box::new(record.clone()))]).await.is_ok() {
            self.say_result(&record, outcome.stood).await;
        }
    }

    async fn acknowledge(&self, command_id: CommandId) {
        self.say(0, FromAgent::CommandAck(CommandAck { command_id })).await;
    }

    async fn say_result(&self, record: &CommandRecord, stood: Option<Checkpoint>) {
        let is_done = record.state == CommandState::Done;
        let result = CommandResult {
            command_id: Some(record.frame.command_id.clone()),
            status: if is_done { "success" } else { "failure" }.to_owned(),
            state: Some(record.state),
            output: record.output.clone(),
            error: record.error.clone(),
            stood,
        };
        let after_seq = *self.outbox.last().borrow();
        self.say(after_seq, FromAgent::CommandResult(result)).await;
    }

    async fn say(&self, after_seq: u64, frame: FromAgent) {
        // The link is gone only when the agent ends; the supervisor asks again then.
        let _ended = self.says.send(Say { after_seq, frame }).await;
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_OUTPUT {
        text.truncate(text.floor_char_boundary(MAX_OUTPUT));
        text.push('…');
    }
    text
}
