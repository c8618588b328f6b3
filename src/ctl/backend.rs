//! `halctl backends`: which coding agents the nodes have, and what those can tell and do.

use super::cli::project::BackendVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use hal_base::exit::Failure;
use hal_protocol::node::BackendView;

/// Carries out one of the verbs.
pub async fn run(verb: BackendVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let BackendVerb::List { node_id, kind } = verb;
    let query: Query = vec![("node_id", node_id.unwrap_or_default()), ("kind", kind.unwrap_or_default())];
    let found = client.get::<Vec<BackendView>>(&["backends"], &query).await?.data;
    screen.list(&found, "No backends: no agent of this version has connected since the supervisor started.")
}

impl Record for BackendView {
    fn fields(&self) -> Vec<Field> {
        let backend = &self.backend;
        let (status, tone) = match (&backend.fault, backend.path.is_empty() && !backend.tested.is_empty()) {
            (Some(_), true) => ("missing", Tone::Bad),
            (Some(_), false) => ("unfit", Tone::Bad),
            (None, _) => ("ok", Tone::Good),
        };
        let mut fields = vec![
            Field::new("backend", &backend.kind),
            Field::new("node_id", &self.node_id).weight(90),
            Field::new("status", status).tone(tone).weight(95),
            Field::new("version", &backend.version).weight(80),
            Field::new("tested", &backend.tested).weight(50),
            Field::new("login", &backend.login).long().weight(45),
            Field::new("path", &backend.path).long().weight(40),
            Field::new("projects", backend.projects.join(", ")).long().weight(60),
            Field::new("unguarded", backend.unguarded.join(", ")).tone(Tone::Bad).long().weight(55),
            Field::new("unasked", backend.unasked.join(", ")).tone(Tone::Bad).long().weight(54),
            Field::new("fault", backend.fault.as_deref().unwrap_or_default())
                .tone(Tone::Bad)
                .long()
                .weight(85),
            Field::new("abilities", backend.abilities.sentence()).long().wide(),
        ];
        fields.extend(backend.abilities.words().map(|(name, word)| Field::new(name, word).detail()));
        fields
    }

    fn name(&self) -> String {
        format!("{}/{}", self.node_id, self.backend.kind)
    }
}
