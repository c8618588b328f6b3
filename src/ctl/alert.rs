//! `halctl alerts`.

use super::cli::alert::{AlertVerb, SilenceVerb};
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::watch::{self, Source};
use hal_base::clock::Time;
use hal_base::exit::Failure;
use hal_protocol::alert::{Alert, AlertState, AlertTold, AlertView, Severity};
use hal_protocol::silence::{Silence, SilenceRequest};

/// Alerts in one page of the list.
const PAGE: usize = 1000;

/// Carries out one of the verbs.
pub async fn run(verb: AlertVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        AlertVerb::List { status, severity, name, limit, how } => {
            let query = vec![
                ("status", status),
                ("severity", severity.map(Severity::as_str).unwrap_or_default().to_owned()),
                ("name", name.unwrap_or_default()),
            ];
            let most = (limit > 0).then_some(limit);
            let source = Source { path: "alerts", query, limit: most, page: PAGE };
            let none = "No open alerts. Resolved ones: halctl alerts list --status all";
            watch::list::<Alert>(client, screen, &how, none, source).await
        }
        AlertVerb::Get { id } => {
            screen.one(&client.get::<AlertView>(&["alerts", &id], &Query::new()).await?.data)
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
            screen.list(&all, "No silences. Add one with: halctl alerts silence add NAME --for 1h")
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
            Field::id("id", &self.id),
            Field::new("matches", &self.matches).long().weight(90),
            Field::moment("until", self.until).weight(70),
            Field::new("by", &self.by).weight(40),
            Field::moment("created_at", self.created_at).wide(),
            Field::new("reason", &self.reason).long(),
        ]
    }
}

impl Record for AlertView {
    fn fields(&self) -> Vec<Field> {
        let mut fields = self.alert.fields();
        let told = |one: &AlertTold| {
            let step = one.step.map(|step| format!("step {step}: ")).unwrap_or_default();
            let at = if one.at == Time::default() { String::new() } else { format!(" at {}", one.at) };
            let why = if one.why.is_empty() { String::new() } else { format!(" ({})", one.why) };
            format!("{step}{}{at}{why}", one.channel)
        };
        let told: Vec<String> = self.told.iter().map(told).collect();
        fields.push(Field::new("told", told.join("; ")).long());
        if let Some(next) = &self.next {
            let text = format!("step {}: {} at {}", next.step, next.channels.join(", "), next.at);
            fields.push(Field::new("next", text).long());
        }
        fields
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
            Field::new("severity", self.severity.as_str()).tone(loud).weight(80),
            Field::new("status", self.status.as_str()).tone(tone).weight(60),
            Field::new("name", &self.name).weight(90),
            Field::new("about", &self.about).weight(70),
            Field::moment("started_at", self.started_at),
            Field::moment("changed_at", self.changed_at).wide(),
            Field::new("count", self.count).wide(),
            Field::new("acknowledged_by", &self.acknowledged_by).wide(),
            Field::new("text", &self.text).long().weight(85),
        ]
    }
}
