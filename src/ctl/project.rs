//! `halctl projects`: what nodes work in, as they say it.

use serde::Serialize;

use super::cli::project::ProjectVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::watch::{self, Source};
use hal_base::exit::Failure;
use hal_protocol::node::{Node, NodeId, NodeStatus, Project};

/// Nodes in one page of the list.
const PAGE: usize = 1000;

/// A project and where it is.
#[derive(Serialize)]
struct Located {
    #[serde(flatten)]
    project: Project,
    node_id: NodeId,
    node_status: NodeStatus,
}

/// Carries out one of the verbs.
pub async fn run(verb: ProjectVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let ProjectVerb::List { node_id, how } = verb;
    let source = Source { path: "nodes", query: Query::new(), limit: None, page: PAGE };
    let made = |nodes: Vec<Node>| {
        let wanted = |node: &Node| node_id.as_ref().is_none_or(|id| node.id.as_str() == id);
        let located = |Node { id, status, projects, .. }: Node| {
            projects.into_iter().map(move |project| Located {
                project,
                node_id: id.clone(),
                node_status: status,
            })
        };
        let mut all: Vec<Located> = nodes.into_iter().filter(wanted).flat_map(located).collect();
        all.sort_by(|one, other| {
            (one.project.name.as_str(), one.node_id.as_str())
                .cmp(&(other.project.name.as_str(), other.node_id.as_str()))
        });
        all
    };
    let none = "No projects. An agent's configuration names them; `hal up` makes one of the folder it is started in.";
    watch::list_of(client, screen, &how, none, source, made).await
}

impl Record for Located {
    fn fields(&self) -> Vec<Field> {
        let (status, tone) = match (&self.project.error, self.node_status) {
            (Some(_), _) => ("error", Tone::Bad),
            (None, NodeStatus::Offline) => ("unreachable", Tone::Bad),
            (None, NodeStatus::Online) => ("ok", Tone::Good),
        };
        vec![
            Field::new("project", &self.project.name),
            Field::new("node_id", &self.node_id).weight(80),
            Field::new("status", status).tone(tone).weight(95),
            Field::new("backend", &self.project.backend).weight(40),
            Field::new("directory", &self.project.directory).long().weight(60),
            Field::new("error", self.project.error.as_deref().unwrap_or_default())
                .tone(Tone::Bad)
                .long()
                .weight(90),
        ]
    }

    fn name(&self) -> String {
        self.project.name.to_string()
    }
}
