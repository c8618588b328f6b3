//! What a session's events add to the ledger of costs: each call of a model once, on the day on which it was answered.
//!
//! A backend tells of a call with its answer (an assistant's message), again and again while it grows, and once more
//! after anything that went wrong in between. So what was counted of a message is remembered, and only the difference
//! is added. What a backend tells of its session's sum beyond its messages is counted too, on the day it was told; but
//! a sum that is heard for the first time is no increment where the session is older than our looking at it, or a copy.

use serde::{Deserialize, Serialize};

use super::price::{MICRO, Prices, micros, picos};
use hal_base::clock::Time;
use hal_protocol::event::former::is_untitled;
use hal_protocol::event::what::{MessageTold, Role, SessionTold, What};
use hal_protocol::session::{Activity, Session, Tokens};
use hal_protocol::worth::UsageCost;

/// Messages of a session that may still change or come late. Older ones count as told: a message that was not among
/// the last so many has long been answered.
pub const RECENT: usize = 8;

/// Days on which something beyond the messages was told that a late message may yet explain.
const RESTS: usize = 4;

/// Characters kept of a name that a backend gives; a longer one is no name.
const MAX_NAME: usize = 200;

/// What was used, as it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Tokens: input, output, reasoning, read from and written to the cache.
    pub tokens: [u64; 5],
    /// Money that the backend told, as `rules::price` counts it; 0 where it told none.
    pub told: u64,
    /// Calls of which it told nothing at all: they were cut off, or no usage came with the answer.
    pub unreported: u64,
}

impl Used {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            tokens: std::array::from_fn(|kind| self.tokens[kind].saturating_add(other.tokens[kind])),
            told: self.told.saturating_add(other.told),
            unreported: self.unreported.saturating_add(other.unreported),
        }
    }

    fn minus(&self, other: &Self) -> Self {
        Self {
            tokens: std::array::from_fn(|kind| self.tokens[kind].saturating_sub(other.tokens[kind])),
            told: self.told.saturating_sub(other.told),
            unreported: self.unreported.saturating_sub(other.unreported),
        }
    }

    fn least(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }

    fn most(&self, other: &Self) -> Self {
        Self {
            tokens: std::array::from_fn(|kind| self.tokens[kind].max(other.tokens[kind])),
            told: self.told.max(other.told),
            unreported: self.unreported.max(other.unreported),
        }
    }
}

/// Where it belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerKey {
    /// The day in UTC, `YYYY-MM-DD`.
    pub day: String,
    /// Who served the model.
    pub provider: String,
    /// What it is called there.
    pub model: String,
}

/// A message, or the rest of a day, as it was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// The message; empty for a rest.
    pub id: String,
    /// When it was answered, in milliseconds.
    pub at: i64,
    /// On which day, and whose model it was.
    pub place: LedgerKey,
    /// Money that the backend told.
    pub told: u64,
    /// What it came to then: prices may change before the next word about it.
    pub worth: UsageCost,
}

/// What is remembered of a session between its events: bounded, whatever it does. Its fields are
/// open to whoever stores it; nobody else changes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerBill {
    /// The last messages, in the order in which they were first told.
    pub recent: Vec<Counted>,
    /// Those that are no longer among them were answered by then.
    pub floor: i64,
    /// All messages together.
    pub messages: Used,
    /// The most that the backend said its session has used.
    pub told: Used,
    /// What of that no message has told, by the day it was told on.
    pub rests: Vec<Counted>,
    /// What all of it came to.
    pub sum: UsageCost,
    /// True until the backend has told a sum.
    #[serde(skip_serializing_if = "is_false")]
    pub is_new: bool,
    /// What was remembered was lost: whatever the next sum says is booked already.
    #[serde(skip_serializing_if = "is_false")]
    pub is_anew: bool,
    /// What the session had used before we looked, or before it was forked from another: in no day and in no budget.
    #[serde(skip_serializing_if = "Used::is_nothing")]
    pub before: Used,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// Since when a node's project, or a node, is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// That moment.
    pub at: Time,
}

/// What usage comes to at these prices. A backend that tells no money, or none for tokens it has used, does not
/// know the price; whoever knows that a model is free says so in `cost.model_rates`.
fn worth_of(used: &Used, place: &LedgerKey, prices: &Prices) -> UsageCost {
    let [input, output, reasoning, cache_read, cache_write] = used.tokens;
    let tokens = Tokens { input, output, reasoning, cache_read, cache_write };
    let blank = UsageCost { tokens: used.tokens, unreported: used.unreported, ..UsageCost::default() };
    let total = tokens.total();
    if total == 0 && used.told == 0 {
        return blank;
    }
    let price = || prices.find(&place.provider, &place.model, &place.day).map(|price| price.of(&tokens));
    let known = (used.told > 0).then_some(used.told);
    if prices.is_subscribed(&place.provider) {
        return match known.or_else(price) {
            Some(equivalent) => UsageCost { equivalent, is_known: true, ..blank },
            None => UsageCost { unpriced: total, is_known: true, ..blank },
        };
    }
    match (known, known.is_none().then(price).flatten()) {
        (Some(picos), _) => UsageCost { picos, is_known: true, ..blank },
        (None, Some(picos)) => UsageCost { picos, estimated: picos, is_known: true, ..blank },
        (None, None) => UsageCost { unpriced: total, ..blank },
    }
}

/// What an event changes: at this place, this is gone and that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The session, project and node it counts for.
    pub place: LedgerKey,
    /// What is not so any more.
    pub gone: UsageCost,
    /// What is so now.
    pub now: UsageCost,
}

/// An event as the ledger sees it.
#[derive(Clone, Copy, Debug)]
pub struct LedgerEvent<'a> {
    /// What it tells.
    pub what: &'a What,
    /// When it happened, as its node says.
    pub occurred: Time,
    /// When it came to us: nothing that was used is younger.
    pub received: Time,
    /// What its session was before.
    pub before: Before,
    /// Since when its project is looked at, the beginning of time where nobody knows: what was used before is nobody's
    /// spending here.
    pub since: Time,
}

/// What of a session must be known from before an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before {
    used: Used,
    is_untitled: bool,
    was_busy: bool,
}

impl Before {
    /// What a session is now, before an event is added to it.
    pub fn of(session: &Session) -> Self {
        Self {
            used: Used {
                tokens: kinds(session.tokens),
                told: session.cost_micros.unwrap_or(0).saturating_mul(MICRO),
                unreported: 0,
            },
            is_untitled: is_untitled(&session.title),
            was_busy: session.activity != Activity::Idle,
        }
    }
}

impl LedgerEvent<'_> {
    /// True for the types of which the ledger wants to know.
    pub fn matters(&self) -> bool {
        match self.what {
            What::Message(_) | What::SessionCreated(_) | What::SessionUpdated(_) => true,
            What::Interrupted { .. } => self.before.was_busy,
            _ => false,
        }
    }
}

impl LedgerBill {
    /// The bill of a session of which nothing is remembered: what it had used before is in the ledger already, as its
    /// sum was counted once.
    pub fn begin(before: &Before) -> Self {
        let used = before.used;
        let sum = UsageCost {
            tokens: used.tokens,
            picos: used.told,
            is_known: used.told > 0,
            ..UsageCost::default()
        };
        Self { messages: used, told: used, sum, is_new: used.is_nothing(), ..Self::default() }
    }

    /// The bill of a session of which what was remembered cannot be read: what it used before stays as it was booked.
    pub fn begin_anew(before: &Before) -> Self {
        Self { is_new: false, is_anew: true, ..Self::begin(before) }
    }

    /// The bill of a session that was there before anybody here had heard of it.
    pub fn of_stranger(before: &Before) -> Self {
        let used = before.used;
        Self { messages: used, told: used, before: used, is_new: used.is_nothing(), ..Self::default() }
    }

    /// Money that was used before our time, as `rules::price` counts it.
    pub fn before(&self) -> u64 {
        self.before.told
    }

    /// What the session is shown with: what is in the ledger, and nothing else. Nothing known is not nothing used.
    pub fn show(&self, session: &mut Session) {
        let [input, output, reasoning, cache_read, cache_write] = self.sum.tokens;
        session.tokens = Tokens { input, output, reasoning, cache_read, cache_write };
        session.cost_micros = match session.cost_micros {
            _ if self.sum.is_known => Some(micros(self.sum.picos)),
            _ if self.sum.unpriced > 0 || self.sum.unreported > 0 => None,
            told => told.map(|_| 0),
        };
    }

    /// Adds an event to the bill of a session that is as it says already. Gives what changes in the ledger.
    pub fn take(&mut self, session: &Session, heard: &LedgerEvent<'_>, prices: &Prices) -> Vec<LedgerEntry> {
        let mut entries = Vec::new();
        match heard.what {
            What::Message(told) => self.message(session, told, heard, prices, &mut entries),
            What::Interrupted { .. } if heard.before.was_busy => {
                let id = format!("cut {}", heard.occurred.0);
                let used = Used { unreported: 1, ..Used::default() };
                self.count(id, heard.occurred.0, place_of(session, day(heard)), used, prices, &mut entries);
            }
            What::SessionCreated(told) => self.session(session, told, true, heard, prices, &mut entries),
            What::SessionUpdated(told) => self.session(session, told, false, heard, prices, &mut entries),
            _ => {}
        }
        self.settle(session, heard, prices, &mut entries);
        for LedgerEntry { gone, now, .. } in &entries {
            self.sum = self.sum.plus(now).minus(gone);
        }
        entries
    }

    /// What is told of the session as a whole; `is_made` by the event that made it.
    fn session(
        &mut self,
        session: &Session,
        told: &SessionTold,
        is_made: bool,
        heard: &LedgerEvent<'_>,
        prices: &Prices,
        entries: &mut Vec<LedgerEntry>,
    ) {
        if heard.before.is_untitled && !is_untitled(&session.title) {
            // A model found the title, and no backend tells what that has cost.
            let used = Used { unreported: 1, ..Used::default() };
            let place = place_of(session, day(heard));
            self.count("title".into(), heard.occurred.0, place, used, prices, entries);
        }
        let tokens = told.tokens.map(kinds).unwrap_or_default();
        let said = Used { tokens, told: money(told.cost), unreported: 0 };
        let is_told = told.cost.is_some() || told.tokens.is_some();
        if is_told && (self.is_new || self.is_anew) {
            // A session that is just made has used nothing: what it says is that of the one it was copied from.
            let is_just_made = is_made && !told.is_repaired;
            let beyond = said.minus(&self.messages);
            if self.is_anew {
                self.messages = self.messages.plus(&beyond);
            } else if is_just_made || session.started_at < heard.since {
                self.before = beyond;
                self.messages = self.messages.plus(&beyond);
            }
            (self.is_new, self.is_anew) = (false, false);
        }
        self.told = self.told.most(&said);
    }

    fn message(
        &mut self,
        session: &Session,
        told: &MessageTold,
        heard: &LedgerEvent<'_>,
        prices: &Prices,
        entries: &mut Vec<LedgerEntry>,
    ) {
        let id = name(&told.id);
        if told.role != Role::Assistant || id.is_empty() {
            return;
        }
        let completed = told.completed.filter(|at| at.is_in_calendar()).map(|at| at.0);
        // Not later than it was heard of: whatever comes after it would be taken for older, and billed to nobody.
        let at = completed.unwrap_or(heard.occurred.0).min(heard.received.0);
        let used = Used { tokens: kinds(told.tokens), told: money(told.cost), unreported: unreported(told) };
        // The copy of a message that another session was billed for: this one was forked from that. Or one that was
        // answered before our time, and told again.
        let is_before = |then: Time| completed.is_some_and(|at| at < then.0);
        let is_copy = !session.directory.is_empty() && is_before(session.started_at);
        let is_old = !self.before.is_nothing() && is_before(heard.since);
        if (is_copy || is_old) && !self.recent.iter().any(|one| one.id == id) {
            let used = Used { unreported: 0, ..used };
            // What it came with may have been told already.
            let known = self.before.least(&used);
            self.messages = self.messages.plus(&used.minus(&known));
            self.remember(Counted { id: id.into(), at, ..Counted::default() });
            return;
        }
        let place = LedgerKey {
            day: day_of(Time(at)),
            provider: name(&told.provider).to_owned(),
            model: name(&told.model).to_owned(),
        };
        self.count(id.to_owned(), at, place, used, prices, entries);
    }

    /// Counts a message, or what has changed of it.
    fn count(
        &mut self,
        id: String,
        at: i64,
        place: LedgerKey,
        used: Used,
        prices: &Prices,
        entries: &mut Vec<LedgerEntry>,
    ) {
        let known = self.recent.iter().position(|one| one.id == id);
        match known {
            Some(known) if self.recent[known].used() == used => {}
            // A copy stays one.
            Some(known) if self.recent[known].place == LedgerKey::default() => {}
            Some(known) => {
                let worth = worth_of(&used, &place, prices);
                let old = &mut self.recent[known];
                entries.push(LedgerEntry {
                    place: old.place.clone(),
                    gone: old.worth,
                    now: UsageCost::default(),
                });
                entries.push(LedgerEntry { place: place.clone(), gone: UsageCost::default(), now: worth });
                self.messages = self.messages.minus(&old.used()).plus(&used);
                (old.place, old.told, old.worth, old.at) = (place, used.told, worth, at);
            }
            None if used.is_nothing() || at <= self.floor => {}
            None => {
                let worth = worth_of(&used, &place, prices);
                entries.push(LedgerEntry { place: place.clone(), gone: UsageCost::default(), now: worth });
                self.messages = self.messages.plus(&used);
                self.remember(Counted { id, at, place, told: used.told, worth });
            }
        }
    }

    fn remember(&mut self, counted: Counted) {
        self.recent.push(counted);
        if self.recent.len() > RECENT {
            self.floor = self.floor.max(self.recent.remove(0).at);
        }
    }

    /// Counts what the backend told beyond its messages, and takes back what a late message has explained.
    fn settle(
        &mut self,
        session: &Session,
        heard: &LedgerEvent<'_>,
        prices: &Prices,
        entries: &mut Vec<LedgerEntry>,
    ) {
        let counted = self.rests.iter().fold(Used::default(), |sum, rest| sum.plus(&rest.used()));
        let beyond = Used { unreported: 0, ..self.told.minus(&self.messages) };
        let more = beyond.minus(&counted);
        let mut less = counted.minus(&beyond);
        for rest in self.rests.iter_mut().rev() {
            if less.is_nothing() {
                break;
            }
            let used = rest.used();
            rest.put(used.minus(&less), prices, entries);
            less = less.minus(&used);
        }
        if !more.is_nothing() {
            let place = place_of(session, day(heard));
            if self.rests.last().is_none_or(|last| last.place != place) {
                self.rests.push(Counted { place, ..Counted::default() });
            }
            if let Some(rest) = self.rests.last_mut() {
                let used = rest.used().plus(&more);
                rest.put(used, prices, entries);
            }
        }
        self.rests.retain(|rest| !rest.used().is_nothing());
        if self.rests.len() > RESTS {
            // No message will explain it any more: it counts as one that was told.
            let old = self.rests.remove(0);
            self.messages = self.messages.plus(&old.used());
        }
    }
}

impl Counted {
    fn used(&self) -> Used {
        Used { tokens: self.worth.tokens, told: self.told, unreported: self.worth.unreported }
    }

    fn put(&mut self, used: Used, prices: &Prices, entries: &mut Vec<LedgerEntry>) {
        let worth = worth_of(&used, &self.place, prices);
        entries.push(LedgerEntry { place: self.place.clone(), gone: self.worth, now: worth });
        (self.told, self.worth) = (used.told, worth);
    }
}

/// 1 when the answer came without usage, though a model has worked for it. A provider that refuses bills nothing.
fn unreported(told: &MessageTold) -> u64 {
    let status = told.failure.as_ref().and_then(|failure| failure.http_status);
    let is_refused = status.is_some_and(|code| code >= 400);
    let is_blank = told.tokens.total() == 0 && money(told.cost) == 0;
    u64::from(is_blank && told.has_ended && !is_refused)
}

fn place_of(session: &Session, day: String) -> LedgerKey {
    let model = session.model.clone().unwrap_or_default();
    LedgerKey { day, provider: model.provider, model: model.id }
}

impl LedgerEntry {
    /// What it adds or takes away, as `worth` sees it.
    pub fn change(&self, worth: impl Fn(&UsageCost) -> u64) -> i64 {
        difference(worth(&self.now), worth(&self.gone))
    }
}

/// By how much a number has grown, or shrunk.
pub fn difference(now: u64, before: u64) -> i64 {
    i64::try_from(i128::from(now) - i128::from(before)).unwrap_or(i64::MAX)
}

fn day(heard: &LedgerEvent<'_>) -> String {
    day_of(heard.occurred.min(heard.received))
}

/// The day in UTC.
pub fn day_of(at: Time) -> String {
    at.to_string().split('T').next().unwrap_or_default().to_owned()
}

fn money(dollars: Option<f64>) -> u64 {
    dollars.and_then(picos).unwrap_or(0)
}

fn kinds(tokens: Tokens) -> [u64; 5] {
    let Tokens { input, output, reasoning, cache_read, cache_write } = tokens;
    [input, output, reasoning, cache_read, cache_write]
}

/// A name that a backend gives; empty where it is too long to be one.
fn name(text: &str) -> &str {
    if text.len() <= MAX_NAME { text } else { "" }
}

#[cfg(test)]
mod tests;
