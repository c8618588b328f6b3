//! What the fake model has billed, by session.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;

/// Prices in tenths of a millionth of a US dollar per token: 3, 15 and 0.3 US dollars for a million.
const INPUT_PRICE: u64 = 30;
const OUTPUT_PRICE: u64 = 150;
const CACHED_PRICE: u64 = 3;

/// Tokens of one call, by kind; no token is in two kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read, without what came from the cache.
    pub input: u64,
    /// Written, without reasoning.
    pub output: u64,
    /// Read from the cache.
    pub cached: u64,
    /// Reasoned.
    pub reasoning: u64,
}

/// What one session was billed. Calls for a title are counted apart, as opencode does not count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// Answers that were sent to their end.
    pub calls: u64,
    /// Tokens read, without cached ones.
    pub input: u64,
    /// Tokens written, without reasoning.
    pub output: u64,
    /// Tokens read from the cache.
    pub cached: u64,
    /// Tokens reasoned.
    pub reasoning: u64,
    /// The price of it all in millionths of a US dollar.
    pub cost_micros: u64,
    /// Calls for a title.
    pub title_calls: u64,
    /// The price of those, not in `cost_micros`.
    pub title_cost_micros: u64,
}

/// The ledger. Clones share it.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    bills: BTreeMap<String, Bill>,
    failures: HashMap<(String, String), u32>,
    file: Option<File>,
}

/// Where one call is billed when it has been answered.
pub struct Account {
    ledger: Ledger,
    session: String,
    title: bool,
    size: u64,
    is_charged: bool,
}

impl Ledger {
    /// All bills by session.
    pub fn read(&self) -> BTreeMap<String, Bill> {
        self.books().bills.clone()
    }

    /// A ledger that also writes a line for every call into a file, as JSON: whose it was, what was used, and the price
    /// in tenths of a millionth of a US dollar. A call that was cut off has a line too; nobody paid for it here.
    pub fn kept_in(file: File) -> Self {
        let ledger = Self::default();
        ledger.books().file = Some(file);
        ledger
    }

    /// The account of a call whose request has about so many tokens.
    pub fn account(&self, session: &str, title: bool, size: u64) -> Account {
        Account { ledger: self.clone(), session: session.into(), title, size, is_charged: false }
    }

    /// Counts a failure of this line in this session; true while it is one of the first `times`.
    pub fn fails(&self, session: &str, line: &str, times: u32) -> bool {
        let mut books = self.books();
        let count = books.failures.entry((session.into(), line.into())).or_default();
        *count = count.saturating_add(1);
        *count <= times
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Bills the call. To be called before the usage is sent, so that whoever has seen it finds it in the ledger.
    pub fn charge(&mut self, usage: Usage) {
        self.is_charged = true;
        let mut books = self.ledger.books();
        books.note(self, usage);
        let bill = books.bills.entry(self.session.clone()).or_default();
        if self.title {
            bill.title_calls += 1;
            bill.title_cost_micros += tenths(usage) / 10;
            return;
        }
        bill.calls += 1;
        bill.input += usage.input;
        bill.output += usage.output;
        bill.cached += usage.cached;
        bill.reasoning += usage.reasoning;
        let whole =
            Usage { input: bill.input, output: bill.output, cached: bill.cached, reasoning: bill.reasoning };
        bill.cost_micros = (tenths(whole) + 5) / 10;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.is_charged {
            self.ledger.books().note(self, Usage { input: self.size, ..Usage::default() });
        }
    }
}

impl Books {
    fn note(&mut self, account: &Account, usage: Usage) {
        let line = json!({"session": account.session, "title": account.title, "cut": !account.is_charged,
            "tokens": [usage.input, usage.output, usage.reasoning, usage.cached], "tenths": tenths(usage)});
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}").expect("the fake model keeps its book");
        }
    }
}

fn tenths(usage: Usage) -> u64 {
    usage.input * INPUT_PRICE + (usage.output + usage.reasoning) * OUTPUT_PRICE + usage.cached * CACHED_PRICE
}
