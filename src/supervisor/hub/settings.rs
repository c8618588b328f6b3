//! What the configuration says to the hub: one value, which is taken over whole or not at all.

use std::collections::BTreeSet;
use std::time::Duration;

use hal_rules::approval::ApprovalLimits;
use hal_rules::budget::Terms;
use hal_rules::dependency::Dependencies;
use hal_rules::escalation::EscalationStep;
use hal_rules::node::Liveness;
use hal_rules::policy::settings::Policies;
use hal_rules::price::Prices;
use hal_rules::route::Routing;

/// Heartbeats where nobody says otherwise: five may be missed, one each 30 s.
const LIVENESS: Liveness = Liveness { interval: Duration::from_secs(30), missed: 5 };

/// The configuration's part of the present state. It is kept nowhere else, so it holds whatever becomes of the store.
#[derive(Debug)]
pub struct Settings {
    /// When a node counts as gone.
    pub liveness: Liveness,
    /// What is said of budgets and leases.
    pub terms: Terms,
    /// What tokens cost.
    pub prices: Prices,
    /// Who is told what.
    pub routing: Routing,
    /// Who is told next of an alert that nobody acknowledges.
    pub escalation: Vec<EscalationStep>,
    /// How long approvals wait.
    pub approvals: ApprovalLimits,
    /// The policies in force.
    pub policies: Policies,
    /// Projects that wait for others.
    pub dependencies: Dependencies,
    /// Projects that any node may work on that has them.
    pub shared_projects: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            liveness: LIVENESS,
            terms: Terms::default(),
            prices: Prices::new(Vec::new(), Vec::new()),
            routing: Routing::default(),
            escalation: Vec::new(),
            approvals: ApprovalLimits::default(),
            policies: Policies::default(),
            dependencies: Dependencies::default(),
            shared_projects: BTreeSet::new(),
        }
    }
}
