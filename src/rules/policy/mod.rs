//! Rules that step in by themselves: what is set, the facts, and the time give a decision. No clock, no I/O: a test of a
//! changed policy on recorded history decides by the very same functions.
//!
//! ```text
//!   events --> facts --\
//!   settings -----------> judge --> is this a situation? --> gates, memory, limits --> act, or why not
//!   marks, node, halt -/
//! ```
//! A situation has a name, such as `idle@1795451095000`; a policy acts once on each. One file for each policy.

mod error_loop;
pub mod facts;
mod kill_on_cost;
mod rate_limited;
pub mod replay;
mod restart_on_compaction;
mod resume_on_idle;
mod session_timeout;
pub mod settings;
mod stuck;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::facts::{Doing, PolicyFacts};
use self::settings::{Act, Policies, Rule};
use hal_base::clock::Time;
use hal_protocol::session::{Activity, Session};

/// A node that came back is left alone so long: what it has journalled meanwhile is still on its way.
pub const SETTLE: Duration = Duration::from_secs(10);

/// What a policy did shows within this, or another one may look again.
const QUIET: Duration = Duration::from_secs(60);

/// The policies, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// Ends what costs too much.
    KillOnCost,
    /// Ends what is idle or old.
    SessionTimeout,
    /// Stops what fails again and again.
    ErrorLoop,
    /// Begins anew what has grown too long.
    RestartOnCompaction,
    /// Turns around what gets nowhere.
    Stuck,
    /// Goes on when the provider takes requests again.
    RateLimited,
    /// Goes on with what stands still.
    ResumeOnIdle,
}

impl Name {
    /// Every policy, in the order of evaluation.
    pub const ALL: [Self; 7] = [
        Self::KillOnCost,
        Self::SessionTimeout,
        Self::ErrorLoop,
        Self::RestartOnCompaction,
        Self::Stuck,
        Self::RateLimited,
        Self::ResumeOnIdle,
    ];

    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KillOnCost => "kill_on_cost",
            Self::SessionTimeout => "session_timeout",
            Self::ErrorLoop => "error_loop",
            Self::RestartOnCompaction => "restart_on_compaction",
            Self::Stuck => "stuck",
            Self::RateLimited => "rate_limited",
            Self::ResumeOnIdle => "resume_on_idle",
        }
    }
}

/// What is known beside the session's own events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    /// Since when its node is connected; `None`: it is not.
    pub online: Option<Time>,
    /// True while its node has events that are not delivered yet.
    pub is_behind: bool,
    /// Its labels.
    pub labels: &'a [String],
    /// What its helpers cost.
    pub helpers_micros: u64,
    /// True while one of its helpers waits for a person.
    pub helper_waits: bool,
    /// Who halted it, or its project, or everything.
    pub halted: Option<&'a str>,
}

/// A session as a policy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The session as it is now.
    pub session: &'a Session,
    /// What else its events told.
    pub facts: &'a PolicyFacts,
    /// What is known beside them.
    pub beside: Beside<'a>,
}

/// What a policy remembers of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyMemory {
    /// The last situation that it acted on.
    pub situation: String,
    /// When it acted on it.
    pub at: Time,
    /// How often it acted since the count began.
    pub count: u32,
    /// True when what it asked for came to nothing.
    pub failed: bool,
    /// True when a person was told that it may not act any more.
    pub told: bool,
}

/// What all policies remember of a session.
pub type Memories = BTreeMap<Name, PolicyMemory>;

/// What a policy sees in a session.
enum Judged {
    /// A situation, by its name, and why.
    Is(String, String),
    /// None, why, and from when on it could be one without any event.
    Not(String, Option<Time>),
}

/// What a policy decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It steps in.
    Act(PolicyAction),
    /// It would, but has done so as often as it may.
    Exhausted {
        /// The situation it leaves to a person.
        situation: String,
        /// Why it would.
        why: String,
        /// When the count begins again.
        until: Time,
    },
    /// It does nothing.
    None {
        /// Why it does nothing, in a sentence.
        why: String,
        /// From when on that can be otherwise without any event.
        next: Option<Time>,
    },
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyAction {
    /// Of which policy.
    pub policy: Name,
    /// What is done.
    pub act: Act,
    /// What is said.
    pub message: String,
    /// The situation it is for.
    pub situation: String,
    /// Why, in a sentence for people.
    pub why: String,
    /// Which act since the count began, from 1.
    pub attempt: u32,
    /// Nothing is done in truth.
    pub dry_run: bool,
}

/// What one look at a session has come to.
#[derive(Clone, Debug, Default)]
pub struct PolicyDecisions {
    /// What is to be done, and what to be told: dry runs, at most one that is none, and what is exhausted.
    pub decisions: Vec<(Name, Decision)>,
    /// When to look again if no event comes.
    pub next: Option<Time>,
}

/// Asks every policy about a session.
pub fn look(policies: &Policies, subject: &Subject<'_>, memories: &Memories, now: Time) -> PolicyDecisions {
    let mut look = PolicyDecisions::default();
    for rule in &policies.rules {
        let memory = memories.get(&rule.name);
        let decision = decide(rule, subject, memory, now);
        let sooner = match &decision {
            Decision::None { next, .. } => *next,
            Decision::Exhausted { until, .. } => Some(*until),
            Decision::Act(_) => None,
        };
        look.next = look.next.into_iter().chain(sooner).min();
        let is_told = memory.is_some_and(|memory| memory.told);
        let acts = matches!(&decision, Decision::Act(step) if !step.dry_run);
        match decision {
            Decision::Act(_) => look.decisions.push((rule.name, decision)),
            Decision::Exhausted { .. } if !is_told => look.decisions.push((rule.name, decision)),
            _ => {}
        }
        if acts {
            break;
        }
    }
    look
}

/// Asks one policy about a session.
pub fn decide(rule: &Rule, subject: &Subject<'_>, memory: Option<&PolicyMemory>, now: Time) -> Decision {
    let none = |why: &str, next| Decision::None { why: why.to_owned(), next };
    if !rule.enabled {
        return none("it is off", None);
    }
    if !rule.scope.holds(subject.session, subject.beside.labels) {
        return none("the session is not in its scope", None);
    }
    if let Some((why, next)) = gate(subject, now) {
        return Decision::None { why, next };
    }
    let (situation, why) = match judge(rule, subject, now) {
        Judged::Is(situation, why) => (situation, why),
        Judged::Not(why, next) => return Decision::None { why, next },
    };
    let Some(memory) = memory else { return act(rule, situation, why, 1) };
    if memory.situation == situation && !memory.failed {
        return none(&format!("it has acted on this ({situation}) at {} already", memory.at), None);
    }
    let again = memory.at.plus(Duration::from_secs(rule.cooldown_seconds));
    if now < again {
        return none(&format!("{why}; it acted at {} and cools down", memory.at), Some(again));
    }
    let until = memory.at.plus(Duration::from_secs(rule.retry_reset_seconds));
    let count = if now >= until { 0 } else { memory.count };
    if rule.max_retries > 0 && count >= rule.max_retries {
        return Decision::Exhausted { situation, why, until };
    }
    act(rule, situation, why, count + 1)
}

/// What a policy remembers after an act.
pub fn remember(step: &PolicyAction, now: Time) -> PolicyMemory {
    PolicyMemory {
        situation: step.situation.clone(),
        at: now,
        count: step.attempt,
        failed: false,
        told: false,
    }
}

fn act(rule: &Rule, situation: String, why: String, attempt: u32) -> Decision {
    let (policy, act, dry_run) = (rule.name, rule.act, rule.dry_run);
    Decision::Act(PolicyAction {
        policy,
        act,
        message: rule.message.clone(),
        situation,
        why,
        attempt,
        dry_run,
    })
}

/// Why no policy may touch a session now, and until when if that is known.
fn gate(subject: &Subject<'_>, now: Time) -> Option<(String, Option<Time>)> {
    let Subject { session, facts, beside } = subject;
    let say = |why: &str| Some((why.to_owned(), None));
    if facts.doing == Doing::Ended || matches!(session.activity, Activity::Ended(_)) {
        return say("the session has ended");
    }
    if !facts.agree(session) {
        return say("its state is not known yet");
    }
    if let Some(by) = &facts.paused {
        return say(&format!("{by} has paused the session"));
    }
    if let Some(by) = beside.halted {
        return say(&format!("{by} has halted it"));
    }
    if facts.hands_over {
        return say("the session is being handed over");
    }
    if let Some(parent) = &session.parent_id {
        return say(&format!("it is a helper of {parent}"));
    }
    if let Some(ask) = session.asks.first() {
        return say(&format!("the session waits for a person ({})", ask.about));
    }
    if beside.helper_waits {
        return say("one of its helpers waits for a person");
    }
    let Some(online) = beside.online else { return say("its node is not connected") };
    let settled = online.plus(SETTLE);
    if now < settled {
        return Some(("its node has just reconnected".into(), Some(settled)));
    }
    if beside.is_behind {
        return Some(("its node has events that are not delivered yet".into(), Some(now.plus(SETTLE))));
    }
    let quiet = facts.acted.map(|at| at.plus(QUIET)).filter(|quiet| now < *quiet)?;
    Some(("a policy has just acted on it".into(), Some(quiet)))
}

fn judge(rule: &Rule, subject: &Subject<'_>, now: Time) -> Judged {
    let Subject { session, facts, beside } = subject;
    let limits = &rule.limits;
    match rule.name {
        Name::KillOnCost => kill_on_cost::judge(limits, session, beside.helpers_micros),
        Name::SessionTimeout => session_timeout::judge(limits, facts, now),
        Name::ErrorLoop => error_loop::judge(limits, session, facts),
        Name::RestartOnCompaction => restart_on_compaction::judge(limits, session),
        Name::Stuck => stuck::judge(limits, session, facts, now),
        Name::RateLimited => rate_limited::judge(limits, facts, now),
        Name::ResumeOnIdle => resume_on_idle::judge(limits, session, facts, now),
    }
}

/// The time when something that began is so many seconds old.
fn later(since: Time, seconds: u64) -> Time {
    since.plus(Duration::from_secs(seconds))
}

fn not(why: impl Into<String>) -> Judged {
    Judged::Not(why.into(), None)
}

#[cfg(test)]
mod tests;
