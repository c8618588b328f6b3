//! `halctl cost exposure`: the most that can still be spent right now, and why.

use crate::client::{Client, Query};
use crate::print::Screen;
use hal_base::exit::Failure;
use hal_protocol::budget::{Exposure, dollars};

/// Prints the sum, each budget, and each lease.
pub async fn run(client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let exposure = client.get::<Exposure>(&["cost", "exposure"], &Query::new()).await?.data;
    let most = match exposure.most_micros {
        Some(most) => format!("At most ${} can still be spent", dollars(most)),
        None => format!(
            "There is no limit: {} sessions run without a budget that stops them",
            exposure.unlimited_sessions
        ),
    };
    screen.say(&format!("{most}; ${} are lent right now.", dollars(exposure.outstanding_micros)));
    screen.list(&exposure.budgets, "No budgets. Make one: halctl budgets set day --limit 20")?;
    if exposure.leases.is_empty() { Ok(()) } else { screen.list(&exposure.leases, "") }
}
