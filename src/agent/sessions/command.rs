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

use super::lease::{LeaseHold, Leases};
use super::prompt_queue::{PromptQueues, PromptSlot};
use super::{OutgoingFrame, SessionState, View};
use super::{action, checkpoint, lease};
use crate::backend::{Action, Backend, BackendError, BackendKind, ReconcileOutcome};
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
pub enum SupervisorRequest {
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
pub struct CommandContext {
    /// Where commands and outcomes are stored.
    pub outbox: Outbox,
    /// Where sessions begin.
    pub projects: Arc<Projects>,
    /// The backends that carry commands out.
    pub backends: Arc<Backends>,
    /// What is stored of sessions.
    pub view: watch::Receiver<View>,
    /// Where answers go.
    pub says: mpsc::Sender<OutgoingFrame>,
    /// The money for turns.
    pub leases: Leases,
}

/// The commands in hand.
#[derive(Debug)]
pub struct Commands {
    context: CommandContext,
    /// Each with what drops it before it begins.
    in_hand: HashMap<CommandId, CancellationToken>,
    queues: PromptQueues,
    jobs: TaskTracker,
}

/// A job that has ended.
#[derive(Debug)]
struct Ended {
    id: CommandId,
    queued_for: Option<SessionId>,
}

impl Commands {
    /// None is in hand yet.
    pub fn new(context: CommandContext) -> Self {
        Self { context, in_hand: HashMap::new(), queues: PromptQueues::default(), jobs: TaskTracker::new() }
    }

    /// Settles what a crash has left open, then takes commands until told to stop; returns when all in hand are
    /// through. What is not through when the process ends is settled at the next start.
    pub async fn run(mut self, mut orders: mpsc::Receiver<SupervisorRequest>, stop: CancellationToken) {
        let (ended_in, mut ended) = mpsc::channel(MAX_IN_HAND);
        self.reconcile_all(&ended_in);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(job) = ended.recv() => self.remove(job),
                order = orders.recv() => match order {
                    Some(SupervisorRequest::Do(frame)) => self.take(frame, &ended_in).await,
                    Some(SupervisorRequest::Drop(id)) => self.cancel(&id),
                    Some(SupervisorRequest::Cover(cover)) => self.context.leases.set_cover(cover).await,
                    Some(SupervisorRequest::Lease(lease)) => self.context.leases.take_answer(&lease).await,
                    None => break,
                },
            }
        }
        // The link must not wait for a queue that nobody empties.
        drop(orders);
        self.jobs.close();
        self.jobs.wait().await;
    }

    fn reconcile_all(&mut self, ended: &mpsc::Sender<Ended>) {
        let open = self.context.outbox.open_commands().unwrap_or_else(|error| {
            tracing::error!("commands of the last run cannot be read: {:#}", anyhow::Error::new(error));
            Vec::new()
        });
        // A halt goes before all that may wait for something.
        let is_halt = |record: &CommandRecord| {
            matches!(Verb::parse(&record.frame.verb), Some(Verb::AbortSession | Verb::KillSession))
        };
        let (halts, others): (Vec<_>, Vec<_>) = open.into_iter().partition(is_halt);
        for record in halts.into_iter().chain(others) {
            let id = record.frame.command_id.clone();
            self.in_hand.insert(id.clone(), CancellationToken::new());
            let (context, ended) = (self.context.clone(), ended.clone());
            self.jobs.spawn(async move {
                reconcile(&context, record).await;
                let _stopping = ended.send(Ended { id, queued_for: None }).await;
            });
        }
    }

    fn remove(&mut self, job: Ended) {
        self.in_hand.remove(&job.id);
        if let Some(session) = job.queued_for {
            self.queues.dequeue(&session);
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
            return self.context.acknowledge(id).await;
        }
        match self.context.outbox.command(&id) {
            Ok(Some(record)) if record.state.is_final() => {
                return self.context.say_result(&record, None).await;
            }
            Ok(Some(_)) => return self.context.acknowledge(id).await,
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
        let session = action::session_of(&frame);
        let slot = match (verb, &session) {
            (Some(Verb::PromptSession), Some(session)) => self.queues.enqueue(session, cancelled),
            (Some(Verb::KillSession), Some(session)) => {
                self.queues.drop_waiting(session);
                PromptSlot::outside(cancelled)
            }
            _ => PromptSlot::outside(cancelled),
        };
        let queued_for = slot.is_queued().then_some(session).flatten();
        let (context, ended) = (self.context.clone(), ended.clone());
        self.jobs.spawn(async move {
            process(&context, frame, verb, slot).await;
            let _stopping = ended.send(Ended { id, queued_for }).await;
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
async fn process(context: &CommandContext, frame: CommandFrame, verb: Option<Verb>, mut slot: PromptSlot) {
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
        context.conclude(record, Outcome::no(CommandState::Expired, "its time to begin was over")).await;
        return slot.give_up().await;
    }
    if context.outbox.write(vec![Change::Command(Box::new(record.clone()))]).await.is_err() {
        return;
    }
    let id = record.frame.command_id.clone();
    context.acknowledge(id).await;
    let outcome = match (verb, slot.wait().await) {
        (None, _) => Outcome::no(CommandState::Failed, action::unknown_verb(&record.frame.verb)),
        (_, Err(why)) => Outcome::no(CommandState::Failed, why),
        (Some(verb), Ok(())) => carry_out(context, &record.frame, verb, &slot).await,
    };
    // The slot is kept until the outcome is stored.
    context.conclude(record, outcome).await;
    slot.give_up().await;
}

async fn carry_out(context: &CommandContext, frame: &CommandFrame, verb: Verb, slot: &PromptSlot) -> Outcome {
    let (kind, backend, action) = match context.prepare(frame, verb) {
        Ok(prepared) => prepared,
        Err(why) => return Outcome::no(CommandState::Failed, why),
    };
    let hold = match context.borrow(&action, slot).await {
        Ok(hold) => hold,
        Err(why) => return Outcome::no(CommandState::Failed, why),
    };
    let before = action::session_of(frame).and_then(|id| context.view.borrow().sessions.get(&id).cloned());
    let directory = before.as_ref().map(|held| held.record.session.directory.clone());
    let stood = match directory.filter(|_| action::steps_in(frame, verb)) {
        Some(directory) => checkpoint::of(&directory).await,
        None => None,
    };
    let creates = matches!(action, Action::Create { .. });
    let outcome = perform(context, frame, (kind, &backend), action, before).await;
    let created = creates && outcome.state == CommandState::Done;
    let session = created.then(|| SessionId::new(&outcome.output));
    context.leases.release(hold, session, &context.view).await;
    Outcome { stood, ..outcome }
}

async fn perform(
    context: &CommandContext,
    frame: &CommandFrame,
    (kind, backend): (BackendKind, &Backend),
    action: Action,
    before: Option<SessionState>,
) -> Outcome {
    match backend.carry_out(&frame.command_id, action.clone()).await {
        Ok(output) => {
            // What was done is on the record before it is said to be done, whatever becomes of this agent.
            let stored = context.backends.stored(kind);
            let _shown_in_time = tokio::time::timeout(RECORD_WAIT, stored).await;
            context.recorded(&action, &output, before.as_ref()).await;
            Outcome::done(output)
        }
        Err(silent @ BackendError::Silent { .. }) => {
            match backend.reconcile(&frame.command_id, &action).await {
                ReconcileOutcome::Done(output) => Outcome::done(output),
                ReconcileOutcome::NotDone => Outcome::no(CommandState::Failed, silent.to_string()),
                ReconcileOutcome::Unknown => Outcome::no(CommandState::Unknown, silent.to_string()),
            }
        }
        Err(error) => Outcome::no(CommandState::Failed, error.to_string()),
    }
}

/// A command that was received before the agent ended and has no result.
async fn reconcile(context: &CommandContext, record: CommandRecord) {
    const UNKNOWN: &str = "the agent ended while this was running, and its outcome cannot be determined";
    let outcome = match Verb::parse(&record.frame.verb) {
        None => Outcome::no(CommandState::Failed, action::unknown_verb(&record.frame.verb)),
        Some(verb) => match context.prepare(&record.frame, verb) {
            Err(why) => Outcome::no(CommandState::Unknown, format!("{UNKNOWN}: {why}")),
            Ok((_, backend, action)) => match backend.reconcile(&record.frame.command_id, &action).await {
                ReconcileOutcome::Done(output) => Outcome::done(output),
                ReconcileOutcome::NotDone => {
                    Outcome::no(CommandState::Failed, "the agent ended before it began; it had no effect")
                }
                ReconcileOutcome::Unknown => Outcome::no(CommandState::Unknown, UNKNOWN),
            },
        },
    };
    context.conclude(record, outcome).await;
}

impl CommandContext {
    fn prepare(&self, frame: &CommandFrame, verb: Verb) -> Result<(BackendKind, Backend, Action), String> {
        let (kind, action) = action::read(frame, verb, &self.projects, &self.view.borrow())?;
        let backend = self
            .backends
            .get(kind)
            .ok_or_else(|| format!("no project of this node uses {} any more", kind.as_str()))?;
        Ok((kind, backend, action))
    }

    /// Waits until there is money for what begins a turn. An answer goes on with one that has it.
    async fn borrow(&self, action: &Action, slot: &PromptSlot) -> Result<LeaseHold, String> {
        let (root, project, first) = match action {
            Action::Create { directory, prompt, model, .. } if !prompt.is_empty() => {
                let project = self.projects.of_directory(directory);
                let project = project.unwrap_or_else(|| ProjectName::new(directory));
                let first = lease::first_of(&self.view.borrow().sessions, None, &project, (model, prompt));
                (None, project, first)
            }
            Action::Prompt { session_id, message, .. } => {
                let view = self.view.borrow();
                let Some(held) = view.sessions.get(session_id) else { return Ok(LeaseHold::none()) };
                let root = lease::root_of(&view.sessions, &held.record.session);
                let project = held.record.session.project.clone();
                let first = lease::first_of(&view.sessions, Some(session_id), &project, ("", message));
                (Some(root), project, first)
            }
            _ => return Ok(LeaseHold::none()),
        };
        self.leases.borrow(root.as_ref(), &project, first, slot.dropped()).await
    }

    /// Waits until the events that show the action are stored, so that whoever looks after the result sees them. A
    /// backend that shows nothing holds the result up for a bounded time only.
    async fn recorded(&self, action: &Action, output: &str, before: Option<&SessionState>) {
        let (begun, over) = before.map_or((0, 0), |held| (held.begun, held.over));
        let was_at_work = before.is_some_and(SessionState::is_at_work);
        let mark = before.and_then(|held| held.record.mark);
        let created = SessionId::new(output);
        let shows = |view: &View| match action {
            Action::Create { prompt, .. } => {
                view.sessions.get(&created).is_some_and(|held| prompt.is_empty() || held.begun > 0)
            }
            // Said to a turn that goes on, it is in the record, and no turn begins.
            Action::Prompt { session_id, .. } => view.sessions.get(session_id).is_some_and(|held| {
                held.begun > begun || (was_at_work && held.is_at_work() && held.record.mark != mark)
            }),
            Action::Abort { session_id } => {
                !was_at_work || view.sessions.get(session_id).is_none_or(|held| held.over > over)
            }
            Action::Kill { session_id } => view.sessions.get(session_id).is_none_or(|held| {
                matches!(held.record.session.activity, Activity::Ended(_)) || held.begun > begun
            }),
            Action::AnswerPermission { .. } | Action::AnswerQuestion { .. } | Action::Look { .. } => true,
        };
        let mut view = self.view.clone();
        if tokio::time::timeout(RECORD_WAIT, view.wait_for(shows)).await.is_err() {
            tracing::debug!(deed = ?action, "its effect did not show up in time");
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
        let _ended = self.says.send(OutgoingFrame { after_seq, frame }).await;
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_OUTPUT {
        text.truncate(text.floor_char_boundary(MAX_OUTPUT));
        text.push('…');
    }
    text
}
