//! What a holder knows, shared by the tasks that read, write, wait and talk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::order::Order;
use super::record::Record;
use super::wire::{FromHolder, Interrupt, Private, Welcome};
use crate::backend::processes::Process;
use hal_base::secret::{Secret, SecretDigest};

/// A holder that nobody was ever attached to waits for so long at least: whoever has started it is about to.
const FIRST: Duration = Duration::from_secs(30);

/// Something to be said to the process.
#[derive(Debug)]
pub enum Said {
    /// These bytes, under this number; 0: nobody waits for the outcome.
    Bytes(u64, Vec<u8>),
    /// Nothing more.
    Close,
}

/// An agent that is attached.
#[derive(Debug)]
pub struct Attached {
    /// Its process.
    pub process: Process,
    /// Tells connections of one agent apart.
    pub connection: u64,
    /// Where it is told something.
    pub words: mpsc::Sender<FromHolder>,
}

/// What changes.
#[derive(Debug)]
pub struct State {
    /// What was said.
    pub record: Record,
    /// The number of the last write that was taken.
    pub written: u64,
    /// What the next agent needs to know.
    pub memo: Option<Private>,
    /// How the work is stopped.
    pub interrupt: Interrupt,
    /// How the process ended, once it has.
    pub outcome: Option<String>,
    /// Why it is being ended, when nobody was there.
    pub ending: Option<String>,
    /// Who is attached.
    pub attached: Option<Attached>,
    /// An agent knows of the end, and wants nothing more.
    pub is_forgotten: bool,
    /// When an agent was heard of last.
    pub heard_at: Instant,
    /// After this nothing runs unattended.
    pub lease_end: Option<Instant>,
    /// How many have attached.
    pub connections: u64,
    alone: Duration,
}

/// What all tasks of a holder share.
#[derive(Debug)]
pub struct Shared {
    /// Of the process and all that it has started.
    pub mark: String,
    /// By what the agent is known.
    pub agent: String,
    /// Where something is said to the process.
    pub writes: mpsc::Sender<Said>,
    key: SecretDigest,
    process: i32,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

impl Shared {
    /// Of a process that has just been started.
    pub fn new(order: &Order, process: i32, writes: mpsc::Sender<Said>) -> Arc<Self> {
        let state = State {
            record: Record::new(order.folder.as_ref()),
            written: 0,
            memo: None,
            interrupt: Interrupt::Nothing,
            outcome: None,
            ending: None,
            attached: None,
            is_forgotten: false,
            heard_at: Instant::now(),
            lease_end: None,
            connections: 0,
            alone: Duration::from_millis(order.alone_ms),
        };
        Arc::new(Self {
            mark: order.mark.clone(),
            agent: order.agent.clone(),
            writes,
            key: Secret::new(order.key.0.as_str()).digest(),
            process,
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
        })
    }

    /// Changes something, and wakes whoever waits for that.
    pub fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let done = self.change_quietly(work);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        done
    }

    /// Looks, or changes what nobody waits for. Held for a few lines, never across an await.
    pub fn change_quietly<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What changes when anything does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// True for the agent that this is held for.
    pub fn is_its(&self, agent: &str, key: &Private) -> bool {
        self.key.matches(&key.0) && self.agent == agent
    }

    /// Tells whoever is attached that a write is through.
    pub fn tell_written(&self, number: u64, error: Option<String>) {
        self.change_quietly(|state| {
            if let Some(attached) = state.attached.as_ref().filter(|_| number > 0) {
                // One that has gone meanwhile learns from the next welcome that it was taken.
                let _gone = attached.words.try_send(FromHolder::Written { number, error });
            }
        });
    }

    /// Asks the process to end.
    pub fn terminate(&self) {
        let has_ended = self.change_quietly(|state| state.outcome.is_some());
        if let Some(pid) = Pid::from_raw(self.process).filter(|_| !has_ended) {
            // It may just have ended, and that is what is wanted.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// How things stand.
    pub fn welcome(&self, version: u32) -> Welcome {
        self.change_quietly(|state| Welcome {
            version,
            process: self.process,
            first: state.record.first(),
            end: state.record.end(),
            written: state.written,
            memo: state.memo.clone(),
            outcome: state.outcome.clone(),
        })
    }
}

impl State {
    /// When the process is ended unless an agent is heard of.
    pub fn deadline(&self) -> Instant {
        let patience = if self.connections == 0 { self.alone.max(FIRST) } else { self.alone };
        let alone = self.heard_at + patience;
        match (self.lease_end, &self.attached) {
            (Some(lease), None) => alone.min(lease),
            _ => alone,
        }
    }

    /// Why it was ended when that has passed.
    pub fn alone_sentence(&self) -> String {
        let seconds = self.heard_at.elapsed().as_secs();
        match &self.attached {
            Some(_) => {
                format!("hal-agent said nothing for {seconds} s; its work was interrupted and it was ended")
            }
            None => {
                format!("no hal-agent was there for {seconds} s; its work was interrupted and it was ended")
            }
        }
    }
}
