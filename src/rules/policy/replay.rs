//! Policies on recorded history: the same rules on the same facts, event by event, and in between whenever the time
//! alone could make a difference.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::facts::{Doing, PolicyFacts};
use super::settings::Policies;
use super::{
    Beside, Decision, Memories, Name, PolicyAction, PolicyDecisions, PolicyMemory, Subject, look, remember,
};
use crate::ledger::{Before, LedgerBill, LedgerEvent};
use crate::price::Prices;
use hal_base::clock::Time;
use hal_protocol::event::EventView;
use hal_protocol::event::what::What;
use hal_protocol::session::{Session, SessionId, Status};

/// What a policy would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Would {
    /// When it would have acted.
    pub at: Time,
    /// To which session.
    pub session_id: SessionId,
    /// Which policy.
    pub policy: Name,
    /// What; `None`: it would have told a person that it may not act any more.
    pub act: Option<&'static str>,
    /// In which situation.
    pub situation: String,
    /// Why, in a sentence for people.
    pub why: String,
    /// The facts it would have seen.
    pub facts: Value,
}

/// History as it is replayed.
#[derive(Debug)]
pub struct Replay<'a> {
    policies: &'a Policies,
    labels: HashMap<SessionId, Vec<String>>,
    sessions: HashMap<SessionId, Known>,
    nodes: HashMap<String, Time>,
    halts: HashMap<String, String>,
    due: BTreeSet<(Time, SessionId)>,
    /// Sessions of the events that came with the last ones, all at this time.
    told: (Time, BTreeSet<SessionId>),
    found: Vec<Would>,
    prices: Prices,
}

#[derive(Debug)]
struct Known {
    session: Session,
    facts: PolicyFacts,
    memories: Memories,
    due: Option<Time>,
    bill: Option<LedgerBill>,
}

impl Known {
    /// Adds an event to what is known of a session, and what it has used to its bill: it shows what the ledger holds.
    fn take(&mut self, event: &EventView, what: &What, prices: &Prices) {
        let session = &mut self.session;
        let before = Before::of(session);
        let parent = session.parent_id.take();
        crate::session::apply(session, what, event.occurred_at);
        session.parent_id = session.parent_id.take().or(parent);
        // One that was found by a look had used that before; one whose beginning is not in this history had not.
        let since = if matches!(what, What::SessionCreated(_)) { Time(i64::MAX) } else { Time::default() };
        let (occurred, received) = (event.occurred_at, event.timestamp);
        let heard = LedgerEvent { what, occurred, received, before, since };
        if heard.matters() {
            let bill = self.bill.get_or_insert_with(|| LedgerBill::begin(&before));
            bill.take(session, &heard, prices);
            bill.show(session);
        }
    }
}

impl<'a> Replay<'a> {
    /// Nothing has happened yet. Labels are as they are now: history does not tell.
    pub fn new(policies: &'a Policies, labels: HashMap<SessionId, Vec<String>>) -> Self {
        Self {
            policies,
            labels,
            sessions: HashMap::new(),
            nodes: HashMap::new(),
            halts: HashMap::new(),
            due: BTreeSet::new(),
            told: (Time::default(), BTreeSet::new()),
            found: Vec::new(),
            prices: Prices::new(Vec::new(), Vec::new()),
        }
    }

    /// Takes the next event, in the order of the store.
    pub fn take(&mut self, event: &EventView) {
        let (at, what) = (event.timestamp, event.what());
        // What a node says at once is looked at as a whole; what the supervisor says itself comes after the look.
        if event.node_seq == 0 || at != self.told.0 {
            self.look_at_told();
            if what != What::NodeOnline || self.was_alive(event) {
                self.pass_to(at);
            }
        }
        match &what {
            What::NodeOnline => drop(self.nodes.insert(event.node_id.to_string(), at)),
            What::NodeOffline { .. } => drop(self.nodes.remove(event.node_id.as_str())),
            What::HaltSet { project, by } => {
                self.halts.insert(project.clone(), by.clone());
                self.look_at_all(at);
            }
            What::HaltReleased { project } => {
                self.halts.remove(project);
                self.look_at_all(at);
            }
            What::ClockJumped { by_ms } => self.jump(*by_ms),
            _ => {}
        }
        if !event.session_id.is_empty() {
            self.fold(event, &what);
        }
    }

    /// Ends at a time, and gives what would have been done.
    pub fn end(mut self, at: Time) -> Vec<Would> {
        self.look_at_told();
        self.pass_to(at);
        self.found
    }

    /// A node that comes without having gone: the supervisor was down, and nobody looked meanwhile.
    fn was_alive(&self, event: &EventView) -> bool {
        !self.nodes.contains_key(event.node_id.as_str())
    }

    fn fold(&mut self, event: &EventView, what: &What) {
        let id = SessionId::new(&event.session_id);
        let at = event.timestamp;
        let known = self.sessions.entry(id.clone()).or_insert_with(|| Known {
            session: Session::new(id.clone(), event.node_id.clone(), event.project.as_str().into(), at),
            facts: PolicyFacts::default(),
            memories: Memories::default(),
            due: None,
            bill: None,
        });
        if event.node_seq > 0 {
            known.take(event, what, &self.prices);
        } else if let What::PolicyFailed(told) = what {
            let same =
                |memory: &&mut PolicyMemory| told.situation.as_deref() == Some(memory.situation.as_str());
            known.memories.values_mut().filter(same).for_each(|memory| memory.failed = true);
        }
        known.facts.fold(&known.session, what, at);
        if known.facts.doing == Doing::Ended {
            known.facts = PolicyFacts::of_ended();
        }
        self.told.0 = at;
        self.told.1.insert(id);
    }

    fn look_at_told(&mut self) {
        let (at, told) = std::mem::take(&mut self.told);
        for id in told {
            self.look_at(&id, at);
        }
    }

    /// Looks at what falls due until then.
    fn pass_to(&mut self, until: Time) {
        while let Some((at, id)) = self.due.first().cloned().filter(|(at, _)| *at <= until) {
            self.due.pop_first();
            if let Some(known) = self.sessions.get_mut(&id) {
                known.due = None;
            }
            self.look_at(&id, at);
        }
    }

    fn look_at(&mut self, id: &SessionId, now: Time) {
        // An act shows in the facts, so whoever comes next is asked once more.
        for _ in 0..=Name::ALL.len() {
            let Some(PolicyDecisions { decisions, next }) = self.ask(id, now) else { return };
            let acts = decisions.iter().any(|(_, one)| matches!(one, Decision::Act(step) if !step.dry_run));
            for (name, decision) in decisions {
                self.note(id, name, decision, now);
            }
            if !acts {
                return self.set_due(id, next.filter(|next| *next > now));
            }
        }
    }

    fn ask(&self, id: &SessionId, now: Time) -> Option<PolicyDecisions> {
        let known = self.sessions.get(id)?;
        let session = &known.session;
        let helpers = self.sessions.values().filter(|one| one.session.parent_id.as_ref() == Some(id));
        let beside = Beside {
            online: self.nodes.get(session.node_id.as_str()).copied(),
            is_behind: false,
            labels: self.labels.get(id).map_or(&[], Vec::as_slice),
            helpers_micros: helpers
                .clone()
                .filter_map(|one| one.session.cost_micros)
                .fold(0, u64::saturating_add),
            helper_waits: helpers.clone().any(|one| crate::session::status(&one.session) == Status::Waiting),
            halted: ["", session.project.as_str()]
                .into_iter()
                .find_map(|key| self.halts.get(key).map(String::as_str)),
        };
        Some(look(self.policies, &Subject { session, facts: &known.facts, beside }, &known.memories, now))
    }

    fn note(&mut self, id: &SessionId, policy: Name, decision: Decision, at: Time) {
        let Some(known) = self.sessions.get_mut(id) else { return };
        let facts = known.facts.table(&known.session);
        let (act, situation, why) = match decision {
            Decision::Act(step) => {
                let PolicyAction { act, situation, why, dry_run, .. } = step.clone();
                known.memories.insert(policy, remember(&step, at));
                if !dry_run {
                    known.facts.acted(at);
                }
                (Some(act.as_str()), situation, why)
            }
            Decision::Exhausted { situation, why, .. } => {
                known.memories.entry(policy).or_default().told = true;
                (None, situation, why)
            }
            Decision::None { .. } => return,
        };
        self.found.push(Would { at, session_id: id.clone(), policy, act, situation, why, facts });
    }

    fn set_due(&mut self, id: &SessionId, next: Option<Time>) {
        let Some(known) = self.sessions.get_mut(id) else { return };
        if let Some(due) = known.due.take() {
            self.due.remove(&(due, id.clone()));
        }
        known.due = next;
        self.due.extend(next.map(|next| (next, id.clone())));
    }

    fn look_at_all(&mut self, at: Time) {
        let all: Vec<SessionId> = self.sessions.keys().cloned().collect();
        all.iter().for_each(|id| self.look_at(id, at));
    }

    fn jump(&mut self, by_ms: i64) {
        for known in self.sessions.values_mut() {
            known.facts.move_by(by_ms);
            known.memories.values_mut().for_each(|memory| memory.at.0 = memory.at.0.saturating_add(by_ms));
        }
    }
}
