//! `halctl cost`.

pub mod exposure;
mod reconcile;
mod status;

use super::cli::cost::CostVerb;
use super::client::Client;
use super::print::Screen;
use crate::base::exit::Failure;

/// Carries out one of the verbs.
pub async fn run(verb: CostVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        CostVerb::Status => status::run(client, screen).await,
        CostVerb::Exposure => exposure::run(client, screen).await,
        CostVerb::Update => status::update(client, screen).await,
        CostVerb::Reconcile { from, to, provider } => {
            reconcile::run(reconcile::Asked { from, to, provider }, client, screen).await
        }
    }
}
