//! `halctl archive`.

use super::cli::archive::ArchiveVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record};
use super::print::text::bytes;
use hal_base::exit::Failure;
use hal_protocol::archive::{Archive, ArchivedRow};

/// Carries out one of the verbs.
pub async fn run(verb: ArchiveVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        ArchiveVerb::List => {
            let all = client.list::<Archive>(&["archives"], &Query::new()).await?;
            screen.list(&all, "No archives. Nothing was too old yet, or `retention` is not configured.")
        }
        ArchiveVerb::Search { text, limit } => {
            let query = vec![("text", text), ("limit", limit.to_string())];
            let found = client.list::<ArchivedRow>(&["archives", "search"], &query).await?;
            screen.list(&found, "No archived row contains this.")
        }
        ArchiveVerb::Restore { name } => screen.one(
            &client.post_patiently::<Archive>(&["archives", &name, "restore"], "archive restore").await?.data,
        ),
    }
}

impl Record for Archive {
    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("name", &self.name),
            Field::new("table", &self.table).weight(40),
            Field::moment("from", self.from),
            Field::moment("to", self.to),
            Field::new("size", bytes(self.bytes)),
            Field::new("restored", if self.restored { "yes" } else { "" }).weight(60),
            Field::new("rows", self.rows.map(|rows| rows.to_string()).unwrap_or_default()).detail(),
        ]
    }
}

impl Record for ArchivedRow {
    fn fields(&self) -> Vec<Field> {
        let said = |key: &str| match self.row.get(key) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        vec![
            Field::new("seq", said("seq")),
            Field::new("timestamp", said("timestamp")).weight(60),
            Field::new("what", said(if self.row.contains_key("type") { "type" } else { "action" }))
                .weight(95),
            Field::id("session_id", said("session_id")),
            Field::new("data", said(if self.row.contains_key("data") { "data" } else { "args" }))
                .long()
                .weight(80),
            Field::new("archive", &self.archive).wide(),
        ]
    }
}
