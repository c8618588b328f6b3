//! What came of asking a provider what it bills.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use hal_protocol::alert::Severity;
use hal_protocol::provider::{DayBill, Provider};

/// What came of asking a provider.
#[derive(Debug)]
pub struct Billed {
    /// The provider whose bills they are.
    pub provider: Provider,
    /// Its bills by day; or what went wrong, and how much that matters.
    pub outcome: Result<BTreeMap<String, DayBill>, (Severity, String)>,
    /// Told when it is stored, or why it is not.
    pub reply: oneshot::Sender<Result<(), String>>,
}
