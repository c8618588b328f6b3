//! `halctl alerts`.

use super::cli::tell::{AlertVerb, SilenceVerb};
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use crate::base::exit::Failure;
use crate::protocol::alert::{Alert, AlertState, Severity};
use crate::protocol::silence::{Silence, SilenceRequest};

/// Alerts in one page of the list.
const PAGE: usize = 1000;

/// Carries out one of the verbs.
pub async fn run(verb: AlertVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        AlertVerb::List { status, severity, name, limit } => {
            let query = vec![
                ("status", status),
                ("severity", severity.map(Severity::as_str).unwrap_or_default().to_owned()),
                ("name", name.unwrap_or_default()),
            ];
            let most = (limit > 0).then_some(limit);
            let alerts: Vec<Alert> = client.pages("alerts", query, most, PAGE).all().await?;
            screen.list(&alerts, "No alerts. The ones that are over: halctl alerts list --status all")
        }
        AlertVerb::Get { id } => {
            screen.one(&client.get::<Alert>(&["alerts", &id], &Query::new()).await?.data)
        }
        AlertVerb::Ack { ids } => {
            for id in ids {
                let alert = client.post::<Alert>(&["alerts", &id, "ack"]).await?.data;
                screen.next(&alert)?;
            }
            Ok(())
        }
        AlertVerb::Silence { verb } => silence(verb.unwrap_or(SilenceVerb::List), client, screen).await,
    }
}

async fn silence(verb: SilenceVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        SilenceVerb::List => {
            let all = client.list::<Silence>(&["silences"], &Query::new()).await?;
            screen.list(&all, "No silences. Begin one with: halctl alerts silence add NAME --for 1h")
        }
        SilenceVerb::Add { matches, span, reason } => {
            let asked = SilenceRequest { matches, seconds: span.as_secs(), reason };
            screen.one(&client.post_with::<Silence>(&["silences"], &asked).await?.data)
        }
        SilenceVerb::Expire { id } => {
            screen.one(&client.post::<Silence>(&["silences", &id, "expire"]).await?.data)
        }
    }
}

impl Record for Silence {
    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("id", &self.id),
            Field::new("matches", &self.matches),
            Field::moment("until", self.until),
            Field::new("by", &self.by),
            Field::moment("created_at", self.created_at).wide(),
            Field::new("reason", &self.reason).long(),
        ]
    }
}

impl Record for Alert {
    fn fields(&self) -> Vec<Field> {
        let urgency = if self.severity >= Severity::High { Tone::Bad } else { Tone::Attention };
        let (tone, loud) = match self.status {
            AlertState::Firing => (urgency, urgency),
            AlertState::Acknowledged => (Tone::Busy, Tone::Plain),
            AlertState::Resolved => (Tone::Good, Tone::Quiet),
        };
        vec![
            Field::new("id", self.id),
            Field::new("severity", self.severity.as_str()).tone(loud),
            Field::new("status", self.status.as_str()).tone(tone),
            Field::new("name", &self.name),
            Field::new("about", &self.about),
            Field::moment("started_at", self.started_at),
            Field::moment("changed_at", self.changed_at).wide(),
            Field::new("count", self.count).wide(),
            Field::new("acknowledged_by", &self.acknowledged_by).wide(),
            Field::new("text", &self.text).long(),
        ]
    }
}
