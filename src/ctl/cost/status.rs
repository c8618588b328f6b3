//! `halctl cost status`: how fetching the bills of each provider goes.

use crate::client::{Client, Query};
use crate::print::Screen;
use crate::print::record::{Field, Record, Tone};
use hal_base::config::unit::write_duration;
use hal_base::exit::Failure;
use hal_protocol::provider::{ProviderStatus, Standing};

/// Shows it.
pub async fn run(client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let statuses = client.list::<ProviderStatus>(&["cost", "status"], &Query::new()).await?;
    show(&statuses, screen)
}

/// Has the bills fetched now, and shows how it went.
pub async fn update(client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let statuses = client.post::<Vec<ProviderStatus>>(&["cost", "update"]).await?.data;
    show(&statuses, screen)
}

fn show(statuses: &[ProviderStatus], screen: &mut Screen) -> Result<(), Failure> {
    screen.list(statuses, "No provider is known.")
}

impl Record for ProviderStatus {
    fn fields(&self) -> Vec<Field> {
        let tone = match self.status {
            Standing::Off => Tone::Plain,
            Standing::Waiting => Tone::Busy,
            Standing::Ok => Tone::Good,
            Standing::Failing => Tone::Bad,
        };
        let lag = self.lag_seconds.map(|lag| write_duration(std::time::Duration::from_secs(lag)));
        vec![
            Field::new("provider", self.provider.as_str()),
            Field::new("status", self.status.as_str()).tone(tone).weight(95),
            Field::moment("last_success", self.tries.last_success).weight(80),
            Field::new("lag", lag.unwrap_or_default()).weight(70),
            Field::moment("last_try", self.tries.last_try).wide(),
            Field::new("failures", self.tries.failures).wide(),
            Field::new("newest_day", &self.newest_day),
            Field::new("days", self.days).weight(20),
            Field::new("error", &self.tries.error).long().weight(90),
        ]
    }
}
