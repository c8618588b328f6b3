//! Kept state: what the supervisor keeps for itself between starts, in rows of one typed value for each kind.
//!
//! A row is decoded once, when it comes in (at the start, by an operator's edit, by the hub's own write); everybody
//! reads the value. The list of kinds is closed.
//!
//! **A row that cannot be read is never the same as no row.** It stays where it is, it is named in an alert and by
//! `store check`, and until a person has put it right each kind does what harms least: see [`Kind::holds`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::base::clock::Time;
use crate::protocol::approval::Approval;
use crate::protocol::budget::Budget;
use crate::protocol::mark::{Marks, Said};
use crate::protocol::notice::Queued;
use crate::protocol::provider::{DayBill, Tries};
use crate::protocol::silence::Silence;
use crate::rules::budget::Counter;
use crate::rules::handover::Handover;
use crate::rules::lease::Loan;
use crate::rules::ledger::{Bill, Since};
use crate::rules::notice::Told;
use crate::rules::policy::Memories;
use crate::rules::policy::facts::Facts;
use crate::rules::stop::Stopping;
use crate::store::state::StateRecord;

/// The key of a halt of everything: no project has this name.
pub const HALT_ALL: &str = "*";

/// When each name was told last on a channel.
pub type Lately = BTreeMap<String, Time>;

/// The completions after which a project was let go, by project.
pub type Completions = BTreeMap<String, String>;

/// A kind of kept state whose value is a `T`. Two kinds may have values of one type.
#[derive(Debug)]
pub struct Kind<T> {
    /// Its name: the part of a row's name before the slash.
    pub name: &'static str,
    /// What follows while a row of it cannot be read, as the end of a sentence that names the row.
    pub holds: &'static str,
    wrap: fn(Arc<T>) -> Value,
    open: fn(&Value) -> Option<&Arc<T>>,
}

impl<T> Clone for Kind<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Kind<T> {}

/// The closed list: each kind with its value, its name, and what holds while a row of it cannot be read.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $value:ident($type:ty) = $name:literal, $holds:literal;)*) => {
        /// What a row of kept state says.
        #[derive(Clone, Debug)]
        pub enum Value {
            $($(#[$doc])* $value(Arc<$type>),)*
        }

        $($(#[$doc])*
        pub const $kind: Kind<$type> = Kind {
            name: $name,
            holds: $holds,
            wrap: Value::$value,
            open: |value| match value {
                Value::$value(known) => Some(known),
                _ => None,
            },
        };)*

        /// Every kind by its name, with what holds while a row of it cannot be read.
        const ALL: &[(&str, &str)] = &[$(($name, $holds)),*];

        /// What a row of a kind says; or why it cannot be read.
        fn decode(kind: &str, data: &str) -> Result<Value, String> {
            match kind {
                $($name => parse::<$type>(data).map(|value| Value::$value(Arc::new(value))),)*
                _ => Err(format!("{kind:?} is no kind of state that this version knows")),
            }
        }
    };
}

kinds! {
    /// What is halted: [`HALT_ALL`], or a project's name.
    HALT: Halt(Said) = "halt", "the halt holds until it is released: halctl sessions halt --release";
    /// What people have said about a session, by session.
    MARKS: Marks(Marks) = "session.marks", "the session counts as paused until a person goes on with it: halctl sessions resume";
    /// What a session's events told beside its own row, by session.
    FACTS: Facts(Facts) = "policy.facts", "no policy touches the session until a person goes on with it: halctl sessions resume";
    /// What policies remember, by session.
    MEMORY: Memory(Memories) = "policy.memory", "no policy touches the session until a person goes on with it: halctl sessions resume";
    /// Sessions that hand their work over, by session.
    HANDOVER: Handover(Handover) = "session.handover", "the session is not restarted; end it, or start another one in its place";
    /// Sessions whose turn is to stop and was not yet seen to have stopped, by session.
    STOPPING: Stopping(Stopping) = "session.stopping", "the turn is stopped anew while its session is halted or paused";
    /// The session that completed a project last, by project.
    COMPLETE: Complete(String) = "project.complete", "the project counts as not completed until a session completes it again";
    /// The completions after which a project that waited for them was let go, by project.
    BEGUN: Begun(Completions) = "project.begun", "the project is not begun by itself; start it by hand";
    /// What of a session's messages is in the ledger of costs already, by session.
    LEDGER: Ledger(Bill) = "ledger", "what the session uses from here on is counted, what it used before stays as it was booked";
    /// Since when a project is looked at, by `NODE/PROJECT`, or a node, by its name.
    SINCE: Since(Since) = "ledger.since", "it counts as looked at since the beginning: what a session had used before is booked when it is told";
    /// A budget that was set by a person, by its name.
    BUDGET: Budget(Budget) = "budget", "nothing new is lent to any session until it is set anew: halctl budgets set";
    /// What is spent of a budget in its period: by `NAME`, or by `NAME/SESSION` when it is for each session.
    SPENT: Spent(Counter) = "budget-spent", "the budget counts as spent until it is raised: halctl budgets raise";
    /// Money that is lent to a node, by the lease's name.
    LEASE: Lease(Loan) = "lease", "nothing new is lent until its node has accounted for it";
    /// A day's bill of a provider; its key is [`crate::store::bill::key`].
    BILL: Bill(DayBill) = "bill", "the day is not shown until it is fetched again: halctl cost update";
    /// How fetching the bills of a provider goes; its key is the provider.
    PROVIDER: Provider(Tries) = "provider", "it is written anew by the next update: halctl cost update";
    /// A notice in the queue of a channel; its key is `CHANNEL/PLACE`.
    QUEUED: Queued(Queued) = "notice", "this notification is not sent; the others of its channel are";
    /// What a channel was told and may be told the end of; its key is `CHANNEL/SUBJECT`.
    TOLD: Told(Told) = "told", "the channel counts as told";
    /// What a channel was told lately; its key is the channel.
    LATELY: Lately(Lately) = "lately", "the channel may be told something a second time";
    /// A silence; its key is its identity.
    SILENCE: Silence(Silence) = "silence", "it silences nothing; end it, and ask for it anew";
    /// An approval of which something may still become, by its identity.
    OPEN: Open(Approval) = "approval", "its session still waits; it is asked anew";
    /// An approval that is over, by its identity.
    OVER: Over(Approval) = "approval-over", "it stays over, and is not listed";
    /// The thread of a session in a chat; its key is `CHANNEL/SESSION`.
    THREAD: Thread(String) = "thread", "the next notification of the session begins another thread";
}

impl<T> Kind<T> {
    /// The value, should this be of the kind.
    pub fn of<'a>(&self, value: &'a Value) -> Option<&'a Arc<T>> {
        (self.open)(value)
    }
}

/// One row, and what it says.
#[derive(Clone, Debug)]
pub struct Kept {
    /// As it is stored.
    pub record: StateRecord,
    /// What it says; or why it cannot be read.
    pub value: Result<Value, String>,
}

impl Kept {
    /// A row as the hub writes it.
    pub fn new<T: Clone + Serialize>(kind: Kind<T>, value: &T, at: Time) -> Self {
        Self { record: StateRecord::new(value, at), value: Ok((kind.wrap)(Arc::new(value.clone()))) }
    }

    /// A row as it was stored, under its name.
    pub fn read(name: &str, record: StateRecord) -> Self {
        let value = read(name, &record.data);
        Self { record, value }
    }
}

/// Why a row that is stored under this name cannot be read, if it cannot.
pub fn fault(name: &str, data: &str) -> Option<String> {
    read(name, data).err()
}

/// What holds while the row of this name cannot be read, as the end of a sentence.
pub fn holds(name: &str) -> &'static str {
    let kind = name.split_once('/').map_or(name, |(kind, _)| kind);
    let known = ALL.iter().find(|(one, _)| *one == kind);
    known.map_or("it is left as it is, and nothing is done with it", |(_, holds)| holds)
}

fn read(name: &str, data: &str) -> Result<Value, String> {
    match name.split_once('/') {
        Some((kind, key)) if !key.is_empty() => decode(kind, data),
        _ => Err("its name is not KIND/KEY".to_owned()),
    }
}

/// A value from its JSON. What was left out is not made up: a row has every field that this version would write, and
/// none that it would lose by writing the row again.
fn parse<T: Serialize + DeserializeOwned>(data: &str) -> Result<T, String> {
    let json: Json = serde_json::from_str(data).map_err(|error| format!("it is no JSON: {error}"))?;
    if json.as_object().is_some_and(serde_json::Map::is_empty) {
        return Err("it says nothing at all".to_owned());
    }
    let value: T = serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
    let again = serde_json::to_value(&value).map_err(|error| error.to_string())?;
    match difference(&json, &again, "") {
        Some(difference) => Err(difference),
        None => Ok(value),
    }
}

/// Fields that rows did not have in an earlier release: without one, a row says what the field's default says.
const SINCE_FIRST: &[&str] = &[];

/// The first field that one side has and the other one has not.
fn difference(stored: &Json, again: &Json, place: &str) -> Option<String> {
    match (stored, again) {
        (Json::Object(stored), Json::Object(again)) => {
            if let Some(field) = again
                .keys()
                .find(|field| !stored.contains_key(*field) && !SINCE_FIRST.contains(&field.as_str()))
            {
                return Some(format!("field {place}{field} is missing"));
            }
            stored.iter().find_map(|(field, one)| match again.get(field) {
                // What is nothing and is not written is no loss.
                None if one.is_null() => None,
                None => Some(format!("field {place}{field} is not known to this version")),
                Some(other) => difference(one, other, &format!("{place}{field}.")),
            })
        }
        (Json::Array(stored), Json::Array(again)) => {
            stored.iter().zip(again).find_map(|(one, other)| difference(one, other, place))
        }
        // A list is taken for the fields of a value in their order.
        (Json::Object(_) | Json::Array(_), _) | (_, Json::Object(_) | Json::Array(_)) => {
            let place = if place.is_empty() {
                "it".to_owned()
            } else {
                format!("field {}", place.trim_end_matches('.'))
            };
            Some(format!("{place} is of another shape"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
