//! `halctl nodes`.

use reqwest::Method;

use super::cli::node::NodeVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::print::text::bytes;
use super::watch::{self, Source};
use hal_base::exit::Failure;
use hal_protocol::actor::ActorView;
use hal_protocol::node::{CameIn, Node, NodeStatus};

/// Nodes in one page of the list.
const PAGE: usize = 1000;

/// Carries out one of the verbs.
pub async fn run(verb: NodeVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        NodeVerb::List { status, how } => {
            let query = vec![("status", status.map(NodeStatus::as_str).unwrap_or_default().to_owned())];
            let none = "No nodes. Start hal-agent on a machine, or `hal up` in a project's folder.";
            let source = Source { path: "nodes", query, limit: None, page: PAGE };
            watch::list::<Node>(client, screen, &how, none, source).await
        }
        NodeVerb::Remove { id } => {
            let gone = client.change::<Node>(Method::DELETE, &["nodes", &id], &()).await?.data;
            match screen.is_structured() {
                true => screen.one(&gone),
                false => {
                    let heard = gone.last_heartbeat;
                    screen.say(&format!(
                        "Node {id}, last seen at {heard}, is removed. Its sessions: halctl sessions list --all --node-id {id}"
                    ));
                    Ok(())
                }
            }
        }
        NodeVerb::Revoke { id } => {
            let node = client.post::<ActorView>(&["nodes", &id, "revoke"]).await?.data;
            if screen.is_structured() {
                return screen.one(&node);
            }
            screen.say(&format!(
                "Node {id} is let in no more. It may join again: halctl join-token create --once. Its history: halctl nodes \
                 get {id}; to end it: halctl nodes remove {id}"
            ));
            Ok(())
        }
        NodeVerb::ForgetEpoch { id } => {
            let node = client.post::<Node>(&["nodes", &id, "forget-epoch"]).await?.data;
            if screen.is_structured() {
                return screen.one(&node);
            }
            screen.say(&format!("The next agent that connects as node {id} becomes the node."));
            Ok(())
        }
        NodeVerb::Get { id } => screen.one(&client.get::<Node>(&["nodes", &id], &Query::new()).await?.data),
    }
}

/// By what and over what an agent came in; empty: it has not since the supervisor started.
fn came_in(said: Option<&CameIn>) -> String {
    said.map(|said| format!("{} over {}", said.by, said.over)).unwrap_or_default()
}

impl Record for Node {
    fn fields(&self) -> Vec<Field> {
        let used = &self.resources;
        let names: Vec<_> = self.projects.iter().map(|project| project.name.to_string()).collect();
        let tone = if self.status == NodeStatus::Online { Tone::Good } else { Tone::Bad };
        let journal = &self.journal;
        vec![
            Field::new("id", &self.id),
            Field::new("hostname", &self.hostname).weight(20),
            Field::new("status", self.status.as_str()).tone(tone).weight(95),
            Field::moment("last_heartbeat", self.last_heartbeat).weight(70),
            Field::moment("connected_at", self.connected_at).wide(),
            Field::new("sessions", self.sessions).weight(60),
            Field::new("projects", names.join(", ")).long().weight(80),
            Field::new("cpu", format!("{:.0}%", used.cpu_percent)).weight(30),
            Field::new("memory", format!("{} of {}", bytes(used.memory_used), bytes(used.memory_total)))
                .brief(share(used.memory_used, used.memory_total))
                .weight(40),
            Field::new("disk_free", bytes(used.disk_free)).weight(35),
            Field::new("agent_memory", bytes(used.agent_rss)).wide(),
            Field::new("clock_ahead", format!("{:.1} s", self.clock_ahead_ms as f64 / 1e3)).detail(),
            Field::new("version", &self.version).wide(),
            Field::new("address", &self.address).wide(),
            Field::new("came_in", came_in(self.came_in.as_ref())).wide(),
            Field::new("epoch", self.epoch).detail(),
            Field::new(
                "journal",
                format!("{} of {} events, {} missing", journal.acknowledged, journal.held, journal.missing),
            )
            .tone(if journal.missing > 0 { Tone::Bad } else { Tone::Plain })
            .wide(),
            Field::new("held", journal.held).detail(),
            Field::new("acknowledged", journal.acknowledged).detail(),
            Field::new("missing", journal.missing).detail(),
            Field::new("given_up", journal.given_up).detail(),
            Field::new("lag", format!("{} events", journal.lag)).detail(),
            Field::new("project_details", projects(self)).detail(),
            Field::new("backend_details", backends(self)).detail(),
        ]
    }
}

/// A line for each project.
fn projects(node: &Node) -> String {
    let lines = node.projects.iter().map(|project| {
        let state = project.error.as_deref().unwrap_or("ok");
        format!("{} ({}, {}): {state}", project.name, project.backend, project.directory)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A line for each kind of coding agent.
fn backends(node: &Node) -> String {
    let lines = node.backends.iter().map(|backend| {
        let state = backend.fault.clone().unwrap_or_else(|| backend.abilities.sentence());
        format!("{}: {state}", format!("{} {}", backend.kind, backend.version).trim_end())
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn share(part: u64, whole: u64) -> String {
    // Before the first heartbeat nothing is known.
    part.saturating_mul(100)
        .checked_div(whole)
        .map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"))
}
