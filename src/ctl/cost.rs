//! `halctl cost`.

pub mod exposure;
mod price;
mod reconcile;
mod report;
mod status;

use super::cli::cost::{Cost, CostVerb};
use super::client::Client;
use super::print::Screen;
use hal_base::exit::Failure;

/// Carries out one of the verbs.
pub async fn run(asked: Cost, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let Some(verb) = asked.verb else { return report::of_days(asked.days, client, screen).await };
    match verb {
        CostVerb::Today { by } => report::named("today", by, client, screen).await,
        CostVerb::Week { by } => report::named("week", by, client, screen).await,
        CostVerb::Month { by } => report::named("month", by, client, screen).await,
        CostVerb::Prices { model } => price::run(model, client, screen).await,
        CostVerb::Status => status::run(client, screen).await,
        CostVerb::Exposure => exposure::run(client, screen).await,
        CostVerb::Update => status::update(client, screen).await,
        CostVerb::Reconcile { from, to, provider } => {
            reconcile::run(reconcile::ReconcileDays { from, to, provider }, client, screen).await
        }
    }
}
