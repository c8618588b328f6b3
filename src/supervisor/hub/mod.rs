//! The hub: the one thread that changes state. It takes a batch of inputs, decides, commits one transaction,
//! publishes the new view, and only then does what follows.
//!
//! ```text
//!   inputs --> decide (pure) --> commit (one sync) --> publish view --> effects: ack, tell, answer
//!                                     |
//!                                     '-- failed: the view stays, waiting links close, askers are told
//! ```

pub mod actor;
pub mod approval;
pub mod billed;
pub mod budget_status;
mod credential;
pub mod decide;
pub mod effect;
mod escalation;
pub mod facts;
mod family;
mod handle;
pub mod input;
mod kept;
pub mod live;
pub mod memory_budget;
mod nodes;
pub mod notice;
mod outage;
pub mod pulse;
mod recovery;
mod replace;
mod returned;
pub mod session_index;
pub mod settings;
pub mod stored;
pub mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use self::decide::Work;
use self::effect::Effect;
use self::input::{Greeted, INPUT_QUEUE, Input, Link, NotAccepted, SubmittedCommand, Timed};
use self::memory_budget::{MemoryBudget, Permit};
use self::nodes::Silent;
use self::recovery::{StoreHealth, refuse, turn_away};
use self::view::View;
use hal_base::backoff::Backoff;
use hal_base::cause::chain;
use hal_base::clock::{self, Time};
use hal_base::sabotage;
use hal_protocol::command::{Command, CommandId};
use hal_protocol::frame::{CommandFrame, ToAgent, Watch, Welcome};
use hal_protocol::node::NodeId;
use hal_store::StoreError;
use hal_store::command::{KeyRecord, scoped_key};
use hal_store::hub::{Batch, Store};

/// Inputs taken into one transaction at most. What they hold is bounded by the room there is for it.
const MOST_INPUTS: usize = 512;

/// Under load, what comes within this time goes into one commit: five at 5,000 events a second. Alone, nothing waits.
const GATHER: Duration = Duration::from_millis(1);

/// So many inputs that came during a commit are load: one more or less is chance.
const LOADED: usize = 2;

/// So many that wait already are enough for one commit.
const GATHERED: usize = 64;

/// Events taken into one transaction at most (and then the rest of the input that went beyond).
const MOST_EVENTS: usize = 16_384;

/// How long a store that failed is left alone before it is opened again, at first and at most.
const REOPEN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What the hub shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubHealth {
    /// Why the store does not take writes at present.
    pub store: Option<String>,
}

/// What the hub counts, for metrics.
pub trait Tally: Send + 'static {
    /// A transaction was committed.
    fn committed(&self, took: Duration, batch: &Batch);
    /// A transaction failed.
    fn failed(&self);
    /// A command has ended.
    fn ended(&self, command: &Command);
}

/// An input on its way, and the room it takes until it is stored.
#[derive(Debug)]
struct Waiting {
    timed: Timed,
    room: Option<Permit>,
}

/// The way to the hub, for everybody. Clones share it.
#[derive(Clone, Debug)]
pub struct Hub {
    inputs: mpsc::Sender<Waiting>,
    room: MemoryBudget,
    view: Arc<ArcSwap<View>>,
    committed: watch::Receiver<u64>,
    queued: watch::Receiver<u64>,
    health: watch::Receiver<HubHealth>,
    store: Arc<Store>,
}

/// The hub has ended; nothing is taken in any more.
#[derive(Debug, thiserror::Error)]
#[error("the supervisor is stopping")]
pub struct Stopped;

impl Hub {
    /// Starts the hub's thread. It ends after [`Hub::stop`]; the handle tells when it has.
    pub fn start(
        store: Store,
        view: View,
        tally: impl Tally,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (hub, owner) = Self::with_owner(store, view, tally);
        let thread = std::thread::Builder::new().name("hub".into()).spawn(move || owner.run())?;
        Ok((hub, thread))
    }

    fn with_owner<T: Tally>(store: Store, view: View, tally: T) -> (Self, Owner<T>) {
        let (inputs, queue) = mpsc::channel(INPUT_QUEUE);
        let (committed, committed_seen) = watch::channel(view.stored.last_seq);
        let (queued, queued_seen) = watch::channel(0);
        let (health, health_seen) = watch::channel(HubHealth::default());
        let published = Arc::new(ArcSwap::from_pointee(view));
        let store = Arc::new(store);
        let owner = Owner {
            queue,
            store: store.clone(),
            view: published.clone(),
            committed,
            queued,
            health,
            is_unsettled: false,
            links: HashMap::new(),
            waiters: HashMap::new(),
            silent: Vec::new(),
            refused: Vec::new(),
            watching: Watch::default(),
            condition: StoreHealth::Well,
            backoff: Backoff::new(REOPEN.0, REOPEN.1),
            steady: clock::Stopwatch::start(),
            tally,
        };
        let hub = Self {
            inputs,
            room: MemoryBudget::default(),
            view: published,
            committed: committed_seen,
            queued: queued_seen,
            health: health_seen,
            store,
        };
        (hub, owner)
    }

    /// Hands an input to the hub, waiting while its queue is full.
    pub async fn send(&self, input: Input) -> Result<(), Stopped> {
        self.hand_over(input, None).await
    }

    /// Hands an input to the hub from a thread of its own.
    pub fn send_blocking(&self, input: Input) -> Result<(), Stopped> {
        let timed = Timed { clock: clock::read(), input };
        self.inputs.blocking_send(Waiting { timed, room: None }).map_err(|_| Stopped)
    }

    /// Hands over what an agent said, with the room it takes.
    pub async fn send_said(&self, input: Input, room: Permit) -> Result<(), Stopped> {
        self.hand_over(input, Some(room)).await
    }

    async fn hand_over(&self, input: Input, room: Option<Permit>) -> Result<(), Stopped> {
        let timed = Timed { clock: clock::read(), input };
        self.inputs.send(Waiting { timed, room }).await.map_err(|_| Stopped)
    }
}

/// The thread's own state.
struct Owner<T> {
    queue: mpsc::Receiver<Waiting>,
    store: Arc<Store>,
    view: Arc<ArcSwap<View>>,
    committed: watch::Sender<u64>,
    queued: watch::Sender<u64>,
    health: watch::Sender<HubHealth>,
    /// What the configuration says has changed, and the commit that would have told nodes of it failed.
    is_unsettled: bool,
    links: HashMap<NodeId, Link>,
    waiters: HashMap<CommandId, Vec<oneshot::Sender<Command>>>,
    /// Nodes that fell silent while the store took no writes.
    silent: Vec<Silent>,
    /// New commands of the commit that failed: whoever asked was told that they will not be done.
    refused: Vec<CommandId>,
    watching: Watch,
    condition: StoreHealth,
    backoff: Backoff,
    /// What welcomes and commands are stamped with, so that an agent knows how long they were on their way.
    steady: clock::Stopwatch,
    tally: T,
}

impl<T: Tally> Owner<T> {
    fn run(mut self) {
        let mut is_loaded = false;
        while let Some(first) = self.queue.blocking_recv() {
            if is_loaded && self.queue.len() < GATHERED {
                std::thread::park_timeout(GATHER);
            }
            let stopping = self.turn(first);
            // What came while the last commit was on its way would have waited anyway.
            is_loaded = self.queue.len() >= LOADED;
            if stopping {
                break;
            }
        }
        for link in self.links.values() {
            link.close.close("the supervisor is stopping");
        }
    }

    /// One batch. True when it was told to stop.
    fn turn(&mut self, first: Waiting) -> bool {
        let at = first.timed.clock.at;
        let usable = self.recover(at);
        let mut work = Work::on(&self.view.load());
        if self.is_unsettled {
            work.settle(work.view.settings.clone());
        }
        // Given back only when all of the batch is stored and forgotten.
        let mut rooms = Vec::new();
        let mut next = Some(first);
        let mut stopping = false;
        for _ in 0..MOST_INPUTS {
            let Some(Waiting { timed, room }) = next.take().or_else(|| self.queue.try_recv().ok()) else {
                break;
            };
            stopping = matches!(timed.input, Input::Stop);
            rooms.extend(room);
            if self.condition == StoreHealth::Full && matches!(timed.input, Input::Tick) {
                work.pass_time(timed.clock);
            } else if self.condition == StoreHealth::Full && !timed.input.is_small() {
                turn_away(timed.input);
            } else {
                self.take(&mut work, timed);
            }
            if stopping || work.batch.events.len() >= MOST_EVENTS {
                break;
            }
        }
        work.merge_tail_when_long();
        if sabotage::ACK_BEFORE_COMMIT {
            self.acknowledge_early(&work);
        }
        match usable.and_then(|()| self.commit(&work)) {
            Ok(()) => self.publish(work),
            Err(error) => self.undo(work, &error, stopping, at),
        }
        stopping
    }

    /// What [`sabotage::ACK_BEFORE_COMMIT`] does.
    fn acknowledge_early(&self, work: &Work) {
        for effect in &work.effects {
            if let Effect::Tell(node, frame @ ToAgent::Ack(_)) = effect {
                self.tell(node, frame.clone());
            }
        }
    }

    fn take(&self, work: &mut Work, mut next: Timed) {
        if let Err(error) = self.look_up(work, &mut next.input) {
            return refuse(next.input, &chain(&error));
        }
        if let Input::Command(asked) = &mut next.input {
            match self.recall(asked) {
                Ok(earlier) => asked.earlier = earlier,
                Err(error) => {
                    let Input::Command(asked) = next.input else { return };
                    let refused = NotAccepted::NotTaken(chain(&error));
                    return work.effects.push(Effect::Answer(asked.reply, Err(refused)));
                }
            }
        }
        work.take(next);
    }

    /// What the key of a request stands for in the store. Only this thread writes, so nothing comes in between.
    fn recall(&self, asked: &SubmittedCommand) -> Result<Option<(KeyRecord, Option<Command>)>, StoreError> {
        if asked.request.idempotency_key.is_empty() {
            return Ok(None);
        }
        let scoped = scoped_key(&asked.who.name, &asked.request.idempotency_key);
        let Some(key) = self.store.key_now(&scoped)? else { return Ok(None) };
        let command = self.store.command_now(&CommandId::new(&key.command))?;
        Ok(Some((key, command)))
    }

    fn commit(&mut self, work: &Work) -> Result<(), StoreError> {
        if work.batch.is_empty() && !self.store.has_failed() {
            return Ok(());
        }
        let begun = clock::Stopwatch::start();
        if let Err(error) = self.store.commit(&work.batch) {
            let known = &self.view.load().stored.commands;
            let new = work.batch.commands.values().filter(|one| !known.contains_key(&one.id));
            self.refused.extend(new.map(|command| command.id.clone()));
            return Err(error);
        }
        self.backoff.reset();
        self.tally.committed(begun.elapsed(), &work.batch);
        Ok(())
    }

    fn publish(&mut self, work: Work) {
        self.is_unsettled = false;
        self.show(work.view);
        for effect in work.effects {
            self.carry_out(effect);
        }
    }

    fn show(&self, view: View) {
        let last_seq = view.stored.last_seq;
        self.view.store(Arc::new(view));
        self.committed.send_if_modified(|seq| std::mem::replace(seq, last_seq) != last_seq);
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Attach { node, link, reply, greeted, replaced } => {
                self.attach(node, link, (reply, greeted), replaced);
            }
            Effect::Answer(reply, answer) => drop(reply.send(answer)),
            Effect::Reply(reply) => reply.send(Ok(())),
            Effect::Alert(text) => tracing::error!("{text}"),
            Effect::Queued => self.queued.send_modify(|count| *count += 1),
            Effect::Tell(node, frame) => self.tell(&node, frame),
            Effect::Close(node, reason) => {
                if let Some(link) = self.links.get(&node) {
                    link.close.close(reason);
                }
            }
            Effect::Detach(node) => {
                self.links.remove(&node);
            }
            // One that is not open has ended, and the store knows by now: dropping the reply sends the asker there.
            Effect::Wait(id, _) if !self.view.load().stored.commands.contains_key(&id) => {}
            Effect::Wait(id, reply) => {
                let waiters = self.waiters.entry(id).or_default();
                waiters.retain(|one| !one.is_closed());
                waiters.push(reply);
            }
            Effect::Ended(command) => {
                self.tally.ended(&command);
                for waiter in self.waiters.remove(&command.id).unwrap_or_default() {
                    let _ = waiter.send(command.clone());
                }
            }
            Effect::Replace(fresh, reply) => {
                let _ = reply.send(self.replace(&fresh).map_err(|error| chain(&error)));
            }
            Effect::Suspect(why) => self.suspect(why),
            Effect::Watch(watch) => {
                for link in self.links.values() {
                    let _ = link.frames.try_send(ToAgent::Watch(watch.clone()));
                }
                self.watching = watch;
            }
        }
    }

    fn attach(
        &mut self,
        node: NodeId,
        link: Link,
        (reply, greeted): (oneshot::Sender<Greeted>, Greeted),
        replaced: String,
    ) {
        if let Ok(welcome) = &greeted {
            let _ = link.frames.try_send(self.stamped(ToAgent::Welcome(welcome.clone())));
        }
        if self.watching != Watch::default() {
            let _ = link.frames.try_send(ToAgent::Watch(self.watching.clone()));
        }
        let _ = reply.send(greeted);
        if let Some(old) = self.links.insert(node, link) {
            tracing::warn!("{replaced}");
            old.close.close(replaced);
        }
    }

    fn tell(&self, node: &NodeId, frame: ToAgent) {
        let Some(link) = self.links.get(node) else { return };
        if link.frames.try_send(self.stamped(frame)).is_err() {
            link.close.close("this agent does not read what it is sent");
        }
    }

    fn stamped(&self, mut frame: ToAgent) -> ToAgent {
        if let ToAgent::Welcome(Welcome { steady_ms, .. })
        | ToAgent::Command(CommandFrame { steady_ms, .. }) = &mut frame
        {
            *steady_ms = u64::try_from(self.steady.elapsed().as_millis()).ok();
        }
        frame
    }

    /// The commit failed: nothing of the batch happened. Agents send again, people are told.
    fn undo(&mut self, work: Work, error: &StoreError, stopping: bool, at: Time) {
        self.tally.failed();
        let mut view = View::clone(&self.view.load());
        if !Arc::ptr_eq(&view.settings, &work.view.settings) {
            // Not kept in the store, so it holds whatever became of the rest.
            view.take_settings(work.view.settings.clone());
            self.is_unsettled = true;
        }
        self.silent.extend(view.pass_time(at));
        self.show(view);
        let why = chain(error);
        tracing::error!(error = %why, "cannot write to the store; nothing was acknowledged");
        self.fail(error, &why);
        for effect in work.effects {
            match effect {
                Effect::Answer(reply, Ok(command)) => {
                    let _ = reply.send(self.as_stored(&work.batch, command, &why));
                }
                Effect::Answer(..) | Effect::Wait(..) | Effect::Watch(_) => self.carry_out(effect),
                other => other.not_stored(&why),
            }
        }
        for node in work.waiting {
            if let Some(link) = self.links.get(&node) {
                link.close.close("the supervisor cannot write to its store; send again later");
            }
        }
        if stopping {
            return;
        }
        // The thread has nothing better to do: without the store there is no progress.
        std::thread::park_timeout(self.backoff.next_delay());
    }

    /// The answer to a request when its batch `lost` was not stored: an earlier command of the same key is as it was.
    fn as_stored(&self, lost: &Batch, command: Command, why: &str) -> Result<Command, NotAccepted> {
        match self.view.load().stored.commands.get(&command.id) {
            Some(earlier) => Ok(Command::clone(earlier)),
            None if !lost.commands.contains_key(command.id.as_str()) => Ok(command),
            None => Err(NotAccepted::NotStored(why.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
