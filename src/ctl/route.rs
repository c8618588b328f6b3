//! `halctl routes`.

use super::cli::route::RouteVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use hal_base::exit::Failure;
use hal_protocol::channel::RouteView;

/// Carries out one of the verbs.
pub async fn run(verb: RouteVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let none = "No routes, since there is no channel; see channels in the configuration";
    match verb {
        RouteVerb::List => {
            let all = client.list::<RouteView>(&["routes"], &Query::new()).await?;
            screen.list(&all, none)
        }
        RouteVerb::Test { id } => {
            let all = client.post::<Vec<RouteView>>(&["routes", "test", &id]).await?.data;
            screen.list(&all, none)
        }
    }
}

impl Record for RouteView {
    fn fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::new("name", &self.name)];
        if let Some(fits) = self.fits {
            let (word, tone) = if fits { ("yes", Tone::Good) } else { ("no", Tone::Quiet) };
            fields.push(Field::new("fits", word).tone(tone).weight(95));
        }
        fields.extend([
            Field::new("channels", self.channels.join(",")).weight(80),
            Field::new("asked_of", &self.asked_of).weight(40),
            Field::new("severity", &self.severity),
            Field::new("match", &self.matches).long().weight(70),
        ]);
        if self.fits.is_some() {
            fields.push(Field::new("why", &self.why).long().weight(90));
        }
        fields
    }
}
