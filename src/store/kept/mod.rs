//! Kept state: what the supervisor keeps for itself between starts, in rows of one typed value for each kind.
//!
//! A row is decoded once, when it comes in (at the start, by an operator's edit, by the hub's own write); everybody
//! reads the value. The list of kinds is closed, and each has a version. In the store a row is postcard
//! (`shape`), in `supervisor.db` and in a store that was closed for the release before this one it is JSON
//! (`json`).
//!
//! **A row that cannot be read is never the same as no row.** It stays as it is, it is named in an alert and by
//! `store check`, and until a person has put it right each kind does what harms least: see [`StateKind::holds`].

mod approval;
mod json;
mod shape;

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use self::shape::Shape;
use super::StoreError;
use super::change as table;
use super::reader::Reader;
use super::row::{self, Row};
use super::state::{self, StateRecord};
use super::tables::STATE;
use hal_base::clock::Time;
use hal_protocol::actor::{Actor, Credential};
use hal_protocol::approval::Approval;
use hal_protocol::budget::Budget;
use hal_protocol::fleet_key::FleetKeys;
use hal_protocol::mark::{Attribution, Marks};
use hal_protocol::notice::Queued;
use hal_protocol::provider::{DayBill, Tries};
use hal_protocol::silence::Silence;
use hal_rules::budget::Counter;
use hal_rules::handover::Handover;
use hal_rules::lease::Loan;
use hal_rules::ledger::{LedgerBill, Since};
use hal_rules::notice::SentNotice;
use hal_rules::policy::Memories;
use hal_rules::policy::facts::PolicyFacts;
use hal_rules::route::silence;
use hal_rules::stop::Stopping;

/// The version under which a row of a kind is sealed; before it there was [`StateRecord`].
const SEALED: u8 = 2;

/// The key of a halt of everything: no project has this name.
pub const HALT_ALL: &str = "*";

/// The key of the fleet's keys: there is one row.
pub const OWN_KEYS: &str = "*";

/// When each name was told last on a channel.
pub type Lately = BTreeMap<String, Time>;

/// The completions after which a project was let go, by project.
pub type Completions = BTreeMap<String, String>;

/// A kind of kept state whose value is a `T`. Two kinds may have values of one type.
#[derive(Debug)]
pub struct StateKind<T> {
    /// Its name: the part of a row's name before the slash.
    pub name: &'static str,
    /// What follows while a row of it cannot be read, as the end of a sentence that names the row.
    pub holds: &'static str,
    wrap: fn(Arc<T>) -> Value,
    open: fn(&Value) -> Option<&Arc<T>>,
}

impl<T> Clone for StateKind<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for StateKind<T> {}

/// The closed list: each kind with its value, its name, and what holds while a row of it cannot be read.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $value:ident($type:ty) = $name:literal, $holds:literal;)*) => {
        /// What a row of kept state says.
        #[derive(Clone, Debug)]
        pub enum Value {
            $($(#[$doc])* $value(Arc<$type>),)*
        }

        $($(#[$doc])*
        pub const $kind: StateKind<$type> = StateKind {
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

        /// What a row of a kind says in JSON; or why it cannot be read.
        fn from_json(kind: &str, data: &str) -> Result<Value, String> {
            match kind {
                $($name => json::parse::<$type>(data).map(|value| Value::$value(Arc::new(value))),)*
                _ => Err(format!("{kind:?} is not a kind of state that this version knows")),
            }
        }

        /// What the stored bytes of a row of a kind say; or why they cannot be read.
        fn from_bytes(kind: &str, bytes: &Bytes) -> Result<Value, String> {
            match kind {
                $($name => bytes.read::<$type>().map(|value| Value::$value(Arc::new(value))),)*
                _ => Err(format!("{kind:?} is not a kind of state that this version knows")),
            }
        }

        impl Value {
            fn json(&self) -> String {
                let text = match self {
                    $(Self::$value(known) => serde_json::to_string(&**known),)*
                };
                text.unwrap_or_else(|_| "null".into())
            }

            fn bytes(&self) -> Bytes {
                match self {
                    $(Self::$value(known) => Bytes::of(&**known),)*
                }
            }
        }
    };
}

kinds! {
    /// What is halted: [`HALT_ALL`], or a project's name.
    HALT: Halt(Attribution) = "halt", "the halt holds until it is released: halctl sessions halt --release";
    /// What people have said about a session, by session.
    MARKS: Marks(Marks) = "session.marks", "the session counts as paused until a person resumes it: halctl sessions resume";
    /// What a session's events told beside its own row, by session.
    FACTS: Facts(PolicyFacts) = "policy.facts", "no policy acts on the session until a person resumes it: halctl sessions resume";
    /// What policies remember, by session.
    MEMORY: Memory(Memories) = "policy.memory", "no policy acts on the session until a person resumes it: halctl sessions resume";
    /// Sessions that hand their work over, by session.
    HANDOVER: Handover(Handover) = "session.handover", "the session is not restarted; end it, or start another one in its place";
    /// Sessions whose turn is to stop and was not yet seen to have stopped, by session.
    STOPPING: Stopping(Stopping) = "session.stopping", "the turn is stopped again while its session is halted or paused";
    /// The session that completed a project last, by project.
    COMPLETE: Complete(String) = "project.complete", "the project counts as not completed until a session completes it again";
    /// The completions after which a project that waited for them was let go, by project.
    BEGUN: Begun(Completions) = "project.begun", "the project is not started automatically; start it by hand";
    /// What of a session's messages is in the ledger of costs already, by session.
    LEDGER: Ledger(LedgerBill) = "ledger", "what the session uses from here on is counted, what it used before stays as it was booked";
    /// Since when a project is looked at, by `NODE/PROJECT`, or a node, by its name.
    SINCE: Since(Since) = "ledger.since", "it counts as looked at since the beginning: what a session had used before is booked when it is reported";
    /// A budget that was set by a person, by its name.
    BUDGET: Budget(Budget) = "budget", "nothing new is lent to any session until it is set again: halctl budgets set";
    /// What is spent of a budget in its period: by `NAME`, or by `NAME/SESSION` when it is for each session.
    SPENT: Spent(Counter) = "budget-spent", "the budget counts as spent until it is raised: halctl budgets raise";
    /// Money that is lent to a node, by the lease's name.
    LEASE: Lease(Loan) = "lease", "nothing new is lent until its node has accounted for it";
    /// A day's bill of a provider; its key is [`crate::bill::key`].
    BILL: Bill(DayBill) = "bill", "the day is not shown until it is fetched again: halctl cost update";
    /// How fetching the bills of a provider goes; its key is the provider.
    PROVIDER: Provider(Tries) = "provider", "it is rewritten by the next update: halctl cost update";
    /// A notice in the queue of a channel; its key is `CHANNEL/PLACE`.
    QUEUED: Queued(Queued) = "notice", "this notification is not sent; the others of its channel are";
    /// What a channel was told and may be told the end of; its key is `CHANNEL/SUBJECT`.
    TOLD: Told(SentNotice) = "told", "the channel counts as notified";
    /// What a channel was told lately; its key is the channel.
    LATELY: Lately(Lately) = "lately", "the channel may get a notification a second time";
    /// A silence; its key is its identity.
    SILENCE: Silence(Silence) = "silence", "it silences nothing; end it, and add it again";
    /// An approval of which something may still become, by its identity.
    OPEN: Open(Approval) = "approval", "its session still waits; it is asked again";
    /// An approval that is over, by its identity.
    OVER: Over(Approval) = "approval-over", "it stays over, and is not listed";
    /// The thread of a session in a chat; its key is `CHANNEL/SESSION`.
    THREAD: Thread(String) = "thread", "the next notification of the session begins another thread";
    /// Somebody the supervisor knows, by name.
    ACTOR: Actor(Actor) = "actor", "nobody is let in by that name until it is added again: halctl users create";
    /// What an actor shows to be let in, by the part of the token that names it.
    CREDENTIAL: Credential(Credential) = "credential", "nobody is let in by that token; make another one: halctl tokens create";
    /// The keys by which the fleet knows its supervisor, sealed; its key is [`OWN_KEYS`].
    FLEET_KEYS: FleetKeys(FleetKeys) = "fleet.keys", "the supervisor is known by the files in its folder tls, and starts nowhere else: remove the row to have it written anew";
}

impl<T> StateKind<T> {
    /// The value, should this be of the kind.
    pub fn of<'a>(&self, value: &'a Value) -> Option<&'a Arc<T>> {
        (self.open)(value)
    }
}

/// One row, and what it says.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What it says; or the row as it is, and why it cannot be read.
    pub value: Result<Value, Unread>,
    /// When it last changed.
    pub changed_at: Time,
}

/// A row that cannot be read.
#[derive(Clone, Debug)]
pub struct Unread {
    /// Why, as the end of a sentence that names the row.
    pub why: String,
    /// As it is stored: it is written again as it was.
    raw: Raw,
}

#[derive(Clone, Debug)]
enum Raw {
    Json(String),
    Bytes(Bytes),
}

/// The stored bytes of a value, with the version of its kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bytes {
    version: u8,
    body: Vec<u8>,
}

impl Bytes {
    /// The same reason as in [`row::seal_as`]: no shape of ours is without a length.
    fn of<T: Shape>(value: &T) -> Self {
        let body = postcard::to_allocvec(&value.shape()).expect("rows are writable to memory");
        Self { version: T::VERSION, body }
    }

    fn read<T: Shape>(&self) -> Result<T, String> {
        match self.version {
            version if version == T::VERSION => shape::read::<T::Stored>(&self.body).and_then(T::value),
            version => T::former(version, &self.body)
                .unwrap_or_else(|| Err(format!("its version {version} is not known to this release"))),
        }
    }
}

/// A row in the store.
#[derive(Serialize, Deserialize)]
struct Sealed {
    changed_at: i64,
    bytes: Bytes,
}

impl Row for Sealed {
    const TABLE: &'static str = StateRecord::TABLE;
    const VERSION: u8 = SEALED;
}

impl Kept {
    /// A row as the hub writes it.
    pub fn new<T: Clone>(kind: StateKind<T>, value: &T, at: Time) -> Self {
        Self { value: Ok((kind.wrap)(Arc::new(value.clone()))), changed_at: at }
    }

    /// A row as an operator's database, or the release before this one, has it under a name.
    pub fn read(name: &str, record: StateRecord) -> Self {
        let changed_at = Time(record.changed_at);
        // A row that this release could not read, written down for one that can.
        let bytes = serde_json::from_str::<Waiting>(&record.data).map(|waiting| waiting.unread);
        match bytes {
            Ok(bytes) => Self { value: Self::of_bytes(name, bytes), changed_at },
            Err(_) => {
                let value = within(name, |kind| from_json(kind, &record.data));
                Self { value: value.map_err(|why| Unread { why, raw: Raw::Json(record.data) }), changed_at }
            }
        }
    }

    fn of_bytes(name: &str, bytes: Bytes) -> Result<Value, Unread> {
        let value = within(name, |kind| from_bytes(kind, &bytes));
        value.map_err(|why| Unread { why, raw: Raw::Bytes(bytes) })
    }

    /// Refuses what can be read and still means nothing.
    pub fn check(&self) -> Result<(), String> {
        match &self.value {
            Ok(Value::Silence(silence)) => silence::check(&silence.matches)
                .map_err(|mistake| format!("matches is {:?}: {}", silence.matches, mistake.sentence)),
            Ok(_) => Ok(()),
            Err(unread) => Err(format!("it is not valid: {}", unread.why)),
        }
    }

    /// The row as an operator's database has it.
    pub fn record(&self) -> StateRecord {
        let data = match &self.value {
            Ok(value) => value.json(),
            Err(Unread { raw: Raw::Json(data), .. }) => data.clone(),
            Err(Unread { raw: Raw::Bytes(bytes), .. }) => {
                serde_json::to_string(&Waiting { unread: bytes.clone() }).unwrap_or_default()
            }
        };
        StateRecord { data, changed_at: self.changed_at.0 }
    }

    /// Opens the stored bytes of a row. Fails when they are not those that were written.
    pub(super) fn open(bytes: &[u8], name: &str) -> Result<Self, StoreError> {
        if bytes.first() != Some(&SEALED) {
            return Ok(Self::read(name, row::open::<StateRecord>(bytes, name)?));
        }
        let Sealed { changed_at, bytes } = row::open(bytes, name)?;
        Ok(Self { value: Self::of_bytes(name, bytes), changed_at: Time(changed_at) })
    }

    /// Seals the row for the store.
    pub(super) fn seal(&self, name: &str) -> Vec<u8> {
        let bytes = match &self.value {
            Ok(value) => value.bytes(),
            Err(Unread { raw: Raw::Bytes(bytes), .. }) => bytes.clone(),
            Err(Unread { raw: Raw::Json(_), .. }) => return row::seal(&self.record(), name),
        };
        row::seal(&Sealed { changed_at: self.changed_at.0, bytes }, name)
    }
}

impl Kept {
    /// True for an approval of which nothing can become any more.
    fn is_over(&self) -> bool {
        let approval = self.value.as_ref().ok().and_then(|value| OPEN.of(value));
        approval.is_some_and(|approval| !approval.is_open())
    }
}

impl Reader<'_> {
    /// Everything that is kept.
    pub fn state(&self) -> Result<Vec<(String, Kept)>, StoreError> {
        let table = self.txn().open_table(STATE)?;
        let entries = table.iter()?.map(|entry| {
            let (name, bytes) = entry?;
            Ok((name.value().to_owned(), Kept::open(bytes.value(), name.value())?))
        });
        entries.collect()
    }
}

/// How a row whose bytes nobody here can read waits in JSON for a release that can.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiting {
    unread: Bytes,
}

/// True when a row is sealed as the release before this one cannot open it.
pub(super) fn is_new(bytes: &[u8]) -> bool {
    bytes.first() == Some(&SEALED)
}

/// Why a row that is stored under this name cannot be read, if it cannot.
pub fn fault(name: &str, data: &str) -> Option<String> {
    let record = StateRecord { data: data.to_owned(), changed_at: 0 };
    Kept::read(name, record).value.err().map(|unread| unread.why)
}

/// The kinds that have a table of their own in the mirror. Of approvals there are two: those that may still change, and
/// those that are over.
const TABLES: [(&str, table::RowKind); 5] = [
    (HALT.name, table::RowKind::Halt),
    (BUDGET.name, table::RowKind::Budget),
    (SILENCE.name, table::RowKind::Silence),
    (OPEN.name, table::RowKind::Approval),
    (OVER.name, table::RowKind::Approval),
];

/// The table of a row, and its key there.
pub fn place(name: &str) -> (table::RowKind, &str) {
    let own = name.split_once('/').and_then(|(kind, key)| {
        let (_, table) = TABLES.iter().find(|(one, _)| *one == kind)?;
        Some((*table, key))
    });
    own.unwrap_or((table::RowKind::State, name))
}

/// The names that the row with this key of a table may have.
pub fn names(table: table::RowKind, key: &str) -> Vec<String> {
    let own = TABLES.iter().filter(|(_, one)| *one == table).map(|(kind, _)| state::name(kind, key));
    let names: Vec<String> = own.collect();
    if table == table::RowKind::State { vec![key.to_owned()] } else { names }
}

/// The name of a row that comes from a table of the mirror.
pub fn name_in(table: table::RowKind, key: &str, record: &StateRecord) -> String {
    let mut names = names(table, key).into_iter();
    let first = names.next().unwrap_or_default();
    match names.next() {
        Some(over) if Kept::read(&first, record.clone()).is_over() => over,
        _ => first,
    }
}

/// What holds while the row of this name cannot be read, as the end of a sentence.
pub fn holds(name: &str) -> &'static str {
    let kind = name.split_once('/').map_or(name, |(kind, _)| kind);
    let known = ALL.iter().find(|(one, _)| *one == kind);
    known.map_or("it is left as it is, and nothing is done with it", |(_, holds)| holds)
}

fn within(name: &str, read: impl FnOnce(&str) -> Result<Value, String>) -> Result<Value, String> {
    match name.split_once('/') {
        Some((kind, key)) if !key.is_empty() => read(kind),
        _ => Err("its name is not KIND/KEY".to_owned()),
    }
}

#[cfg(test)]
mod tests;
