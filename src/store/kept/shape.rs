//! How the value of a kept row is stored: its fields in a fixed order, in postcard.
//!
//! Most values are stored as they are. Words that leave fields out in JSON have a shape of their own here. A released
//! shape never changes: when one has to, `VERSION` of the value goes up, and the former shape is kept beside the new
//! one; `tests/fixtures/rows/supervisor-kept.KIND.VERSION` must load for ever.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use hal_base::clock::Time;
use hal_base::money::Money;
use hal_protocol::actor::{Actor, Credential};
use hal_protocol::alert::Severity;
use hal_protocol::approval::{ApprovalId, ApprovalState, Stage};
use hal_protocol::budget::Budget;
use hal_protocol::command::CommandId;
use hal_protocol::fleet_key::FleetKeys;
use hal_protocol::mark::{Attribution, Marks};
use hal_protocol::node::{NodeId, ProjectName};
use hal_protocol::notice::{Notice, NoticeKind, NoticePart, NoticeState, Queued};
use hal_protocol::provider::{BillLine, DayBill, Metered, Tries};
use hal_protocol::session::{AskKind, SessionId};
use hal_protocol::silence::Silence;
use hal_protocol::who::Who;
use hal_protocol::worth::UsageCost;
use hal_rules::budget::Counter;
use hal_rules::handover::Handover;
use hal_rules::lease::Loan;
use hal_rules::ledger::{Counted, LedgerBill, LedgerKey, Since, Used};
use hal_rules::notice::SentNotice;
use hal_rules::policy::Memories;
use hal_rules::policy::facts::PolicyFacts;
use hal_rules::stop::Stopping;

/// A value that is stored.
pub(super) trait Shape: Sized {
    /// The number of the shape.
    const VERSION: u8 = 1;

    /// Its fields as they are stored.
    type Stored: Serialize + DeserializeOwned;

    /// What is stored of it.
    fn shape(&self) -> Self::Stored;

    /// The value of what was stored; or why there is none.
    fn value(stored: Self::Stored) -> Result<Self, String>;

    /// The value of what an earlier version has stored; `None`: there was none of this number.
    fn former(version: u8, body: &[u8]) -> Option<Result<Self, String>> {
        let _ = (version, body);
        None
    }
}

/// Reads all of some bytes.
pub(super) fn read<S: DeserializeOwned>(bytes: &[u8]) -> Result<S, String> {
    match postcard::take_from_bytes::<S>(bytes) {
        Ok((stored, [])) => Ok(stored),
        Ok((_, rest)) => Err(format!("{} bytes follow what belongs to it", rest.len())),
        Err(error) => Err(format!("its bytes have another shape: {error}")),
    }
}

/// Values whose JSON leaves nothing out.
macro_rules! as_they_are {
    ($($value:ty),* $(,)?) => {$(
        impl Shape for $value {
            type Stored = Self;

            fn shape(&self) -> Self {
                self.clone()
            }

            fn value(stored: Self) -> Result<Self, String> {
                Ok(stored)
            }
        }
    )*};
}

as_they_are!(
    // Whole values.
    Actor,
    Credential,
    BTreeMap<String, String>,
    BTreeMap<String, Time>,
    Budget,
    Counter,
    FleetKeys,
    PolicyFacts,
    Handover,
    Loan,
    Memories,
    Attribution,
    Silence,
    Since,
    Stopping,
    String,
    SentNotice,
    Tries,
    // Parts of them.
    ApprovalId,
    ApprovalState,
    AskKind,
    CommandId,
    Metered,
    Money,
    NodeId,
    NoticeKind,
    NoticeState,
    LedgerKey,
    ProjectName,
    SessionId,
    Severity,
    Stage,
    Time,
    Used,
    Who,
    [u64; 5],
    bool,
    i64,
    u32,
    u64,
);

impl<T: Shape> Shape for Option<T> {
    type Stored = Option<T::Stored>;

    fn shape(&self) -> Self::Stored {
        self.as_ref().map(T::shape)
    }

    fn value(stored: Self::Stored) -> Result<Self, String> {
        stored.map(T::value).transpose()
    }
}

impl<T: Shape> Shape for Vec<T> {
    type Stored = Vec<T::Stored>;

    fn shape(&self) -> Self::Stored {
        self.iter().map(T::shape).collect()
    }

    fn value(stored: Self::Stored) -> Result<Self, String> {
        stored.into_iter().map(T::value).collect()
    }
}

/// Declares a shape with the fields of a value, and both ways between them.
macro_rules! shapes {
    ($($shape:ident of $value:ident $(version $version:literal after $former:path)? { $($field:ident: $type:ty),* $(,)? })*) => {$(
        #[derive(Serialize, Deserialize)]
        pub(super) struct $shape {
            $($field: <$type as Shape>::Stored,)*
        }

        impl Shape for $value {
            $(const VERSION: u8 = $version;)?
            type Stored = $shape;

            $(fn former(version: u8, body: &[u8]) -> Option<Result<Self, String>> {
                $former(version, body)
            })?

            fn shape(&self) -> $shape {
                let Self { $($field),* } = self;
                $shape { $($field: Shape::shape($field)),* }
            }

            fn value($shape { $($field),* }: $shape) -> Result<Self, String> {
                Ok(Self { $($field: Shape::value($field)?),* })
            }
        }
    )*};
}

shapes! {
    StoredMarks of Marks {
        paused: Option<Attribution>,
        archived: Option<Attribution>,
        halted: Option<Attribution>,
        labels: Vec<String>,
        continues: Option<String>,
        continued_by: Option<String>,
    }
    StoredNotice of Notice {
        id: String,
        kind: NoticeKind,
        name: String,
        severity: Severity,
        title: String,
        text: String,
        about: String,
        node: String,
        session: String,
        project: String,
        subject: String,
        alert: Option<u64>,
        question: Option<String>,
        by: String,
        count: u64,
        created_at: Time,
    }
    StoredPart of NoticePart { subject: String, alert: Option<u64>, about: String, title: String, text: String }
    StoredQueued of Queued {
        no: u64,
        channel: String,
        notice: Notice,
        state: NoticeState,
        parts: Vec<NoticePart>,
        not_before: Time,
        why: String,
        tries: u32,
    }
    StoredLine of BillLine {
        model: String,
        item: String,
        workspace: String,
        project: String,
        key: String,
        usd: Option<Money>,
        tokens: Option<Metered>,
    }
    StoredDay of DayBill { lines: Vec<BillLine>, is_partial: bool, fetched_at: Time, corrections: u32 }
    StoredWorth of UsageCost {
        tokens: [u64; 5],
        picos: u64,
        is_known: bool,
        estimated: u64,
        equivalent: u64,
        unpriced: u64,
        unreported: u64,
    }
    StoredCounted of Counted { id: String, at: i64, place: LedgerKey, told: u64, worth: UsageCost }
    StoredBill of LedgerBill {
        recent: Vec<Counted>,
        floor: i64,
        messages: Used,
        told: Used,
        rests: Vec<Counted>,
        sum: UsageCost,
        is_new: bool,
        is_anew: bool,
        before: Used,
    }
}

pub(super) use shapes;
