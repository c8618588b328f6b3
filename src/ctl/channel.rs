//! `halctl channels`.

use super::cli::channel::ChannelVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use hal_base::exit::{Exit, Failure};
use hal_protocol::channel::{Channel, Trial};
use hal_protocol::notice::{NoticeState, Queued};

/// Carries out one of the verbs.
pub async fn run(verb: ChannelVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        ChannelVerb::List => {
            let all = client.list::<Channel>(&["channels"], &Query::new()).await?;
            screen.list(&all, "No notification channels. Alerts are only in halctl alerts list; see channels in the configuration")
        }
        ChannelVerb::Test { name } => {
            let trial = client.post_slow::<Trial>(&["channels", &name, "test"]).await?.data;
            screen.one(&trial)?;
            match trial.delivered {
                true => Ok(()),
                false => Err(Failure::say(
                    Exit::Failed,
                    format!("channel {name} did not deliver it: {}", trial.problem),
                )),
            }
        }
        ChannelVerb::Queue { name } => {
            let rows = client.list::<Queued>(&["channels", &name, "queue"], &Query::new()).await?;
            screen.list(&rows, "The queue is empty: everything was delivered")
        }
        ChannelVerb::Retry { name } => {
            screen.one(&client.post::<Channel>(&["channels", &name, "retry"]).await?.data)
        }
    }
}

impl Record for Channel {
    fn fields(&self) -> Vec<Field> {
        let lost = if self.undelivered > 0 { Tone::Bad } else { Tone::Plain };
        let bad = if self.trouble.is_empty() { Tone::Plain } else { Tone::Attention };
        vec![
            Field::new("name", &self.name),
            Field::new("kind", &self.kind),
            Field::new("waiting", self.waiting).tone(bad),
            Field::new("undelivered", self.undelivered).tone(lost),
            Field::moment("waiting_since", self.waiting_since).weight(40),
            Field::new("trouble", &self.trouble).tone(bad).long().weight(70),
        ]
    }
}

impl Record for Trial {
    fn fields(&self) -> Vec<Field> {
        let (word, tone) = if self.delivered { ("yes", Tone::Good) } else { ("no", Tone::Bad) };
        vec![
            Field::new("channel", &self.channel),
            Field::new("delivered", word).tone(tone),
            Field::new("took", format!("{} ms", self.took_ms)),
            Field::new("problem", &self.problem).long().weight(90),
        ]
    }
}

impl Record for Queued {
    fn fields(&self) -> Vec<Field> {
        let (word, tone) = match self.state {
            NoticeState::Waiting => ("waiting", Tone::Busy),
            NoticeState::Undelivered => ("undelivered", Tone::Bad),
        };
        vec![
            Field::new("status", word).tone(tone),
            Field::new("kind", self.notice.kind.as_str()).weight(40),
            Field::new("severity", self.notice.severity.as_str()),
            Field::new("name", &self.notice.name).weight(90),
            Field::new("about", &self.notice.about).weight(70),
            Field::new("count", self.notice.count).weight(20),
            Field::moment("created_at", self.notice.created_at),
            Field::moment("not_before", self.not_before).weight(45),
            Field::new("tries", self.tries).weight(30),
            Field::new("id", &self.notice.id).wide(),
            Field::new("why", &self.why).long().weight(80),
        ]
    }
}
