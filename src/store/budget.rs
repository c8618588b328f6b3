//! Under which kinds the state table keeps budgets, what is spent of them, and what is lent.

/// A budget that was set by a person, by its name.
pub const BUDGET: &str = "budget";

/// What is spent of a budget in its period: by `NAME`, or by `NAME/SESSION` when it is for each session.
pub const SPENT: &str = "budget-spent";

/// Money that is lent to a node, by the lease's name.
pub const LEASE: &str = "lease";
