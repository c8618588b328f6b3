//! Budgets: what is spent of them, what is lent, and who is told.
//!
//! Everything is in the `state` table before it is acted on: a lease is committed before its node hears of it.

use serde_json::json;
use tokio::sync::oneshot;

use super::Work;
use crate::hub::budget_status::BudgetKey;
use crate::hub::effect::Effect;
use crate::hub::input::NotAccepted;
use hal_base::clock::Time;
use hal_protocol::alert::Severity;
use hal_protocol::budget::{Budget, BudgetChange, Scope, dollars};
use hal_protocol::frame::ToAgent;
use hal_protocol::node::NodeId;
use hal_protocol::session::SessionId;
use hal_protocol::who::Who;
use hal_rules::alert::AlertRaised;
use hal_rules::budget;
use hal_rules::command::Refused;
use hal_store::kept::{BUDGET, SPENT};

/// The alert of a budget of which a warning fraction is spent.
const WARNING: &str = "budget.warning";

/// The alert of a budget that is spent.
const REACHED: &str = "budget.reached";

/// Who answers whoever changed a budget.
pub type Reply = oneshot::Sender<Result<Budget, NotAccepted>>;

impl Work {
    /// The list of all budgets may have changed: nodes are told who needs a lease.
    pub(super) fn renew_budgets(&mut self) {
        let all = self.view.list_budgets();
        if *all != *self.view.budgets {
            self.view.budgets = all.into();
            self.tell_covers();
        }
    }

    pub(super) fn tell_covers(&mut self) {
        let online = self.view.every_node().filter(|node| node.link.online && node.link.takes_leases);
        let nodes: Vec<NodeId> = online.map(|node| node.record.id.clone()).collect();
        for node in nodes {
            self.tell_cover(&node);
        }
    }

    /// Tells a node which of its sessions need a lease.
    pub(super) fn tell_cover(&mut self, node: &NodeId) {
        let cover = budget::cover(&self.view.budgets, node.as_str(), self.view.settings.terms.unknown_micros);
        self.effects.push(Effect::Tell(node.clone(), ToAgent::Cover(cover)));
    }

    /// Changes the counters of all budgets that hold for a session.
    pub(super) fn count(
        &mut self,
        node: &str,
        project: &str,
        root: Option<&SessionId>,
        at: Time,
        change: impl Fn(&Budget, &mut budget::Counter),
    ) {
        let budgets = self.view.budgets.clone();
        for budget in budgets.iter().filter(|budget| budget::covers(budget, node, project)) {
            let Some(key) = BudgetKey::of(budget, root) else { continue };
            let mut counter = self.view.counter(budget, &key, at);
            let before = counter.clone();
            change(budget, &mut counter);
            if counter == before {
                continue;
            }
            self.tell_news(budget, &key, &mut counter, at);
            self.put_kept(SPENT, key.as_str(), &counter, at);
        }
    }

    fn tell_news(&mut self, budget: &Budget, key: &BudgetKey, counter: &mut budget::Counter, at: Time) {
        let Some(percent) = counter.news(budget) else { return };
        counter.told = percent;
        let (name, severity) = match percent {
            100 => (REACHED, Severity::High),
            _ => (WARNING, Severity::Medium),
        };
        let text = match percent {
            100 => spent_text(budget, key, counter),
            _ => format!(
                "{percent}% of budget {} are spent: ${} of ${} {}",
                budget.name,
                dollars(counter.spent),
                dollars(counter.limit(budget)),
                when(budget, counter)
            ),
        };
        self.raise(&AlertRaised { name, about: key.as_str(), severity, text: &text, lasting: true }, at);
        if percent == 100 {
            self.resolve(WARNING, key.as_str(), at);
        }
    }

    /// A turn was refused: whoever has acknowledged the alert, or missed it, finds it open.
    pub(super) fn tell_refused(&mut self, name: &str, root: Option<&SessionId>, at: Time) {
        let budgets = self.view.budgets.clone();
        let Some(budget) = budgets.iter().find(|budget| budget.name == name) else { return };
        let Some(key) = BudgetKey::of(budget, root) else { return };
        if self.view.stored.open_alert(REACHED, key.as_str()).is_some() {
            return;
        }
        let counter = self.view.counter(budget, &key, at);
        let text = spent_text(budget, &key, &counter);
        let seen = AlertRaised {
            name: REACHED,
            about: key.as_str(),
            severity: Severity::High,
            text: &text,
            lasting: true,
        };
        self.raise(&seen, at);
    }

    /// Alerts of budgets that have money again are over: raised, or another period.
    pub(super) fn look_after_budgets(&mut self, at: Time) {
        self.renew_budgets();
        let open = self.view.stored.open_alerts.keys();
        let open: Vec<(String, String)> =
            open.filter(|(name, _)| [WARNING, REACHED].contains(&name.as_str())).cloned().collect();
        for (name, about) in open {
            let key = BudgetKey::named(about.clone());
            let budgets = self.view.budgets.clone();
            let counter = budgets
                .iter()
                .find(|budget| budget.name == key.budget())
                .map(|budget| self.view.counter(budget, &key, at));
            let is_told = |counter: &budget::Counter| match name.as_str() {
                REACHED => counter.told == 100,
                _ => (1..100).contains(&counter.told),
            };
            if !counter.is_some_and(|counter| is_told(&counter)) {
                self.resolve(&name, &about, at);
            }
        }
    }

    /// Somebody changes a budget.
    pub(super) fn change_budget(&mut self, change: BudgetChange, who: &Who, reply: Reply, at: Time) {
        let (action, args) = match &change {
            BudgetChange::Set(budget) => ("set budget", json!(budget)),
            BudgetChange::Remove(_) => ("remove budget", json!({})),
            BudgetChange::Raise { by_micros, session, .. } => {
                ("raise budget", json!({"by_micros": by_micros, "session_id": session}))
            }
        };
        let answer = match change {
            BudgetChange::Set(budget) => self.set_budget(budget, at),
            BudgetChange::Remove(name) => self.remove_budget(&name),
            BudgetChange::Raise { name, by_micros, session } => {
                self.raise_budget(&name, by_micros, session, at)
            }
        };
        if let Ok(budget) = &answer {
            self.write_down(who, action, &*budget.name, &args, at);
            self.look_after_budgets(at);
        }
        self.effects.push(Effect::reply(reply, answer.map_err(NotAccepted::Refused)));
    }

    fn set_budget(&mut self, budget: Budget, at: Time) -> Result<Budget, Refused> {
        if let Some(fault) = budget::fault(&budget) {
            return Err(Refused::Invalid(fault));
        }
        self.not_of_config(
            &budget.name,
            "changed there; raise it for this period with halctl budgets raise",
        )?;
        self.put_kept(BUDGET, &budget.name, &budget, at);
        Ok(budget)
    }

    fn remove_budget(&mut self, name: &str) -> Result<Budget, Refused> {
        let budget = self.view.find_budget(name)?;
        self.not_of_config(name, "removed there")?;
        self.delete_kept(BUDGET, name);
        let begin = format!("{name}/");
        let keys =
            self.view.keys_of(SPENT).map(str::to_owned).filter(|key| key == name || key.starts_with(&begin));
        for key in keys.collect::<Vec<_>>() {
            self.delete_kept(SPENT, &key);
        }
        Ok(budget)
    }

    fn not_of_config(&self, name: &str, what: &str) -> Result<(), Refused> {
        if self.view.settings.terms.budgets.iter().all(|budget| budget.name != name) {
            return Ok(());
        }
        Err(Refused::Invalid(format!("budget {name} is set in the configuration and can only be {what}")))
    }

    fn raise_budget(
        &mut self,
        name: &str,
        by: u64,
        session: Option<SessionId>,
        at: Time,
    ) -> Result<Budget, Refused> {
        let budget = self.view.find_budget(name)?;
        if by == 0 {
            return Err(Refused::Invalid("raise it by more than $0".to_owned()));
        }
        if let Some(session) = session.as_ref().filter(|id| !self.view.stored.sessions.contains_key(*id)) {
            return Err(Refused::NoSuch(format!("no session {session}")));
        }
        let Some(key) = BudgetKey::of(&budget, session.as_ref()) else {
            return Err(Refused::Invalid(format!(
                "budget {name} is for each session: name one (--session ID)"
            )));
        };
        let mut counter = self.view.counter(&budget, &key, at);
        counter.raised = counter.raised.saturating_add(by);
        // Whoever raises it knows how it stands.
        counter.told = 0;
        counter.told = counter.news(&budget).unwrap_or(0);
        self.put_kept(SPENT, key.as_str(), &counter, at);
        Ok(budget)
    }
}

fn when(budget: &Budget, counter: &budget::Counter) -> String {
    match (&budget.scope, counter.period.as_str()) {
        (scope, "") => format!("({scope})"),
        (scope, period) => format!("in {period} ({scope})"),
    }
}

/// What a person must know, and how to go on.
fn spent_text(budget: &Budget, key: &BudgetKey, counter: &budget::Counter) -> String {
    use hal_protocol::budget::AtLimit;
    let consequence = match budget.at_limit {
        AtLimit::Notify => "work goes on",
        AtLimit::FinishTurn => "turns that run are finished, and none begins",
        AtLimit::Pause => "turns are interrupted, and none begins",
        AtLimit::Stop => "turns are interrupted and their sessions ended, and none begins",
    };
    let name = &budget.name;
    let of_session = match (&budget.scope, key.session()) {
        (Scope::Session, Some(session)) => format!(" --session {session}"),
        _ => String::new(),
    };
    let which = key.session().unwrap_or("ID");
    let how = match budget.at_limit {
        AtLimit::Notify => String::new(),
        _ => format!(
            ". To go on: halctl budgets raise {name} --by 1.00{of_session}, then halctl sessions resume {which}"
        ),
    };
    format!(
        "budget {name} is spent: ${} of ${} {}; {consequence}{how}",
        dollars(counter.spent),
        dollars(counter.limit(budget)),
        when(budget, counter)
    )
}
