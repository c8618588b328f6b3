//! Budget status, for anybody to look at: what is spent, lent and free, and the most that can still be spent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::view::View;
use hal_base::clock::Time;
use hal_base::nearest::no_such;
use hal_protocol::budget::{AtLimit, Budget, BudgetView, Exposure, LoanView, Scope};
use hal_protocol::session::{Session, SessionId, Status};
use hal_rules as rules;
use hal_rules::budget::{Counter, covers, next_period, period_of};
use hal_rules::command::Refused;
use hal_rules::lease::{BudgetRoom, Loan};
use hal_store::kept::{BUDGET, LEASE, SPENT};

/// How far up helpers of helpers are followed; further is a loop.
const MAX_DEPTH: usize = 16;

/// What is counted by itself: a budget, or a budget and a session. Written `NAME` or `NAME/SESSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetKey(String);

impl BudgetKey {
    /// The one that a session counts for; `None` when the budget is for each and the session is not known yet.
    pub fn of(budget: &Budget, root: Option<&SessionId>) -> Option<Self> {
        match budget.scope {
            Scope::Session => root.map(|root| Self(format!("{}/{root}", budget.name))),
            _ => Some(Self(budget.name.clone())),
        }
    }

    /// As it is written.
    pub fn named(text: String) -> Self {
        Self(text)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The budget's name.
    pub fn budget(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(budget, _)| budget)
    }

    /// The session, when it is for each.
    pub fn session(&self) -> Option<&str> {
        self.0.split_once('/').map(|(_, session)| session)
    }
}

/// What stands for a budget whose row cannot be read: nobody knows its limit, so there is none left.
fn unreadable_budget(name: &str) -> Budget {
    Budget { name: name.to_owned(), scope: Scope::Fleet, at_limit: AtLimit::FinishTurn, ..Budget::default() }
}

impl View {
    /// Every budget: of the configuration, and set by people, where the configuration has none of that name.
    pub fn list_budgets(&self) -> Vec<Budget> {
        let of_config = &self.settings.terms.budgets;
        let own = self.all_kept(BUDGET).map(|(_, budget)| Budget::clone(budget));
        let own = own.chain(self.unreadable_of(BUDGET).map(unreadable_budget));
        let own = own.filter(|budget| of_config.iter().all(|other| other.name != budget.name));
        of_config.iter().cloned().chain(own).collect()
    }

    /// The session that a person began, of which this one is a helper; else itself.
    pub fn root_of(&self, session: &Session) -> SessionId {
        let (mut root, mut parent) = (session.id.clone(), session.parent_id.clone());
        for _ in 0..MAX_DEPTH {
            let Some(next) = parent else { break };
            parent = self.stored.sessions.get(&next).and_then(|record| record.session.parent_id.clone());
            root = next;
        }
        root
    }

    /// What is spent in the period of this moment.
    pub fn counter(&self, budget: &Budget, key: &BudgetKey, at: Time) -> Counter {
        if self.is_unreadable(SPENT, key.as_str()) {
            let period = period_of(budget.period, at);
            return Counter { period, spent: budget.limit_micros, ..Counter::default() };
        }
        let kept = self.kept(SPENT, key.as_str()).unwrap_or_default();
        kept.in_period(&period_of(budget.period, at))
    }

    /// The budget of this name.
    pub fn find_budget(&self, name: &str) -> Result<Budget, Refused> {
        let found = self.budgets.iter().find(|budget| budget.name == name).cloned();
        let names = || self.budgets.iter().map(|budget| budget.name.as_str());
        found.ok_or_else(|| Refused::NoSuch(no_such("budget", name, names())))
    }

    /// What counts as spent for a key though nobody has accounted for it.
    pub fn outstanding(&self, budget: &Budget, key: &BudgetKey) -> u64 {
        let counts = |loan: &&Arc<Loan>| {
            covers(budget, loan.node.as_str(), loan.project.as_str())
                && BudgetKey::of(budget, loan.session.as_ref()).as_ref() == Some(key)
        };
        self.stored.loans.values().filter(counts).map(|loan| loan.outstanding()).fold(0, u64::saturating_add)
    }

    /// How all budgets stand that hold for a loan.
    pub fn rooms(&self, loan: &Loan, at: Time) -> Vec<BudgetRoom> {
        let holds = self.budgets.iter().filter(|one| covers(one, loan.node.as_str(), loan.project.as_str()));
        // How much of it is lent by a lease that cannot be read is not known: all of it may be.
        let is_known = self.unreadable_of(LEASE).all(|id| id == loan.id);
        let room = |budget: &Budget| {
            let (unspent, outstanding) = match BudgetKey::of(budget, loan.session.as_ref()) {
                Some(key) => (self.counter(budget, &key, at).left(budget), self.outstanding(budget, &key)),
                None => (budget.limit_micros, 0),
            };
            BudgetRoom {
                name: budget.name.clone(),
                // What it has itself comes free for others, never for it.
                left: unspent.saturating_sub(loan.outstanding()),
                free: if is_known { unspent.saturating_sub(outstanding) } else { 0 },
                at_limit: budget.at_limit,
            }
        };
        holds.map(room).collect()
    }

    /// How each budget stands; of one for each session, for each that has used something.
    pub fn all_budgets(&self, at: Time) -> Vec<BudgetView> {
        let show = |budget: &Budget| match budget.scope {
            Scope::Session => {
                let keys = self.counted_keys(budget);
                let each: Vec<_> = keys.iter().map(|key| self.show_budget(budget, Some(key), at)).collect();
                if each.is_empty() { vec![self.show_budget(budget, None, at)] } else { each }
            }
            _ => vec![self.show_budget(budget, BudgetKey::of(budget, None).as_ref(), at)],
        };
        self.budgets.iter().flat_map(show).collect()
    }

    fn counted_keys(&self, budget: &Budget) -> Vec<BudgetKey> {
        let counted = self.keys_of(SPENT).map(|key| BudgetKey::named(key.to_owned()));
        let counted = counted.filter(|key| key.budget() == budget.name);
        let lent = self.stored.loans.values().filter_map(|loan| BudgetKey::of(budget, loan.session.as_ref()));
        let all: BTreeMap<String, BudgetKey> =
            counted.chain(lent).map(|key| (key.as_str().to_owned(), key)).collect();
        all.into_values().collect()
    }

    fn show_budget(&self, budget: &Budget, key: Option<&BudgetKey>, at: Time) -> BudgetView {
        let current = period_of(budget.period, at);
        let counter = match key {
            Some(key) => self.counter(budget, key, at),
            None => Counter::default().in_period(&current),
        };
        let outstanding_micros = key.map_or(0, |key| self.outstanding(budget, key));
        BudgetView {
            name: budget.name.clone(),
            scope: budget.scope.clone(),
            session_id: key.and_then(BudgetKey::session).unwrap_or_default().to_owned(),
            period: budget.period,
            current,
            resets_at: next_period(budget.period, at).map(|time| time.to_string()).unwrap_or_default(),
            at_limit: budget.at_limit,
            warn_percent: budget.warn_percent.clone(),
            limit_micros: counter.limit(budget),
            raised_micros: counter.raised,
            spent_micros: counter.spent,
            forfeited_micros: counter.forfeited,
            outstanding_micros,
            free_micros: counter.left(budget).saturating_sub(outstanding_micros),
            is_config: self.settings.terms.budgets.iter().any(|one| one.name == budget.name),
        }
    }

    /// The most that can still be spent, and why.
    pub fn exposure(&self, at: Time) -> Exposure {
        let budgets = self.all_budgets(at);
        let leases: Vec<LoanView> = self.stored.loans.values().map(|loan| self.show_loan(loan)).collect();
        let running = self.stored.sessions.values().map(|record| &record.session).filter(|session| {
            matches!(rules::session::status(session), Status::Running | Status::Waiting | Status::Retrying)
        });
        let tightest: Vec<Option<(String, u64)>> =
            running.map(|session| self.tightest(&self.root_of(session), session, at)).collect();
        let unlimited = tightest.iter().filter(|tight| tight.is_none()).count() as u64;
        let of_fleet = self
            .budgets
            .iter()
            .filter(|budget| budget.scope == Scope::Fleet && budget.at_limit != AtLimit::Notify);
        let of_fleet = of_fleet
            .filter_map(|budget| Some(self.counter(budget, &BudgetKey::of(budget, None)?, at).left(budget)));
        let each: BTreeMap<String, u64> = tightest.into_iter().flatten().collect();
        let sum = each.values().fold(0_u64, |sum, left| sum.saturating_add(*left));
        let most_micros = of_fleet.min().or((unlimited == 0).then_some(sum));
        let outstanding_micros = leases.iter().map(|lease| lease.left_micros).fold(0, u64::saturating_add);
        Exposure { most_micros, outstanding_micros, unlimited_sessions: unlimited, budgets, leases }
    }

    /// What is left of the budget that stops a session first; `None`: none does.
    fn tightest(&self, root: &SessionId, session: &Session, at: Time) -> Option<(String, u64)> {
        let holds = self.budgets.iter().filter(|budget| {
            budget.at_limit != AtLimit::Notify
                && covers(budget, session.node_id.as_str(), session.project.as_str())
        });
        let left = holds.filter_map(|budget| {
            let key = BudgetKey::of(budget, Some(root))?;
            Some((key.as_str().to_owned(), self.counter(budget, &key, at).left(budget)))
        });
        left.min_by_key(|(_, left)| *left)
    }

    fn show_loan(&self, loan: &Loan) -> LoanView {
        LoanView {
            lease_id: loan.id.clone(),
            session_id: loan.session.as_ref().map(SessionId::to_string).unwrap_or_default(),
            node_id: loan.node.clone(),
            project: loan.project.to_string(),
            lent_micros: loan.lent,
            reported_micros: loan.reported,
            left_micros: loan.outstanding(),
            expires_at: loan.expires,
            is_online: self.is_online(&loan.node),
        }
    }
}
