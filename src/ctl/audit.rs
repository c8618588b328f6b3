//! `halctl audit`.

use super::cli::audit::AuditVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::watch::{self, Source};
use hal_base::clock;
use hal_base::exit::Failure;
use hal_protocol::audit::AuditView;

/// Records in one page of the list.
const PAGE: usize = 1000;

/// Carries out one of the verbs.
pub async fn run(verb: AuditVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        AuditVerb::List { user, action, target, since, limit, how } => {
            let since = since.map(|moment| moment.at(clock::now()).to_string());
            let query = vec![
                ("actor", user.unwrap_or_default()),
                ("action", action.unwrap_or_default()),
                ("target", target.unwrap_or_default()),
                ("since", since.unwrap_or_default()),
            ];
            let source = Source { path: "audit", query, limit: (limit > 0).then_some(limit), page: PAGE };
            watch::list::<AuditView>(client, screen, &how, "No records", source).await
        }
        AuditVerb::Get { id } => {
            screen.one(&client.get::<AuditView>(&["audit", &id], &Query::new()).await?.data)
        }
    }
}

impl Record for AuditView {
    fn fields(&self) -> Vec<Field> {
        let tone = match self.result.as_str() {
            "done" => Tone::Good,
            "denied" | "failed" | "expired" | "unknown" => Tone::Bad,
            _ => Tone::Plain,
        };
        vec![
            Field::new("seq", self.seq),
            Field::moment("at", self.at).weight(80),
            Field::new("actor", &self.actor).weight(95),
            Field::new("action", &self.action).weight(90),
            Field::new("target", &self.target).weight(85),
            Field::new("result", &self.result).tone(tone).weight(75),
            Field::new("through", &self.through).weight(50),
            Field::new("from", &self.from).weight(45),
            Field::new("credential", &self.credential).weight(40),
            Field::new("kind", &self.kind).wide(),
            Field::id("id", &self.id).wide(),
            Field::new("error", self.error.clone().unwrap_or_default()).long().weight(60),
            Field::new("args", &self.args).long().wide(),
        ]
    }
}
