//! What of a node's coding agents does not run, from what the node says of its projects: a coding agent is told once,
//! however many projects it works in, and a project that has trouble of its own by itself.

use std::collections::BTreeMap;

use super::watch::WatchFinding;
use hal_protocol::alert::Severity;
use hal_protocol::node::Project;

/// What does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stalled {
    /// A coding agent of the node.
    Backend,
    /// A project alone.
    Project,
}

/// What is said of each coding agent and each project of a node that does not work, by its name.
pub fn stalled(node: &str, projects: &[Project]) -> BTreeMap<(Stalled, String), WatchFinding> {
    let mut found: BTreeMap<(Stalled, String), (Vec<&str>, &str)> = BTreeMap::new();
    for project in projects {
        let Some(error) = &project.error else { continue };
        // An agent says so of all projects of one that does not run.
        let is_backend =
            error.strip_prefix(&project.backend).is_some_and(|rest| rest.starts_with(" does not run"));
        let which = match is_backend {
            true => (Stalled::Backend, project.backend.clone()),
            false => (Stalled::Project, project.name.to_string()),
        };
        found.entry(which).or_insert((Vec::new(), error)).0.push(project.name.as_str());
    }
    let say = |((kind, name), (names, error)): ((Stalled, String), (Vec<&str>, &str))| {
        let (first, rest) = error.split_once('\n').unwrap_or((error, ""));
        let rest = if rest.trim().is_empty() { String::new() } else { format!("\n{}", rest.trim_end()) };
        let finding = match kind {
            Stalled::Backend => {
                let text = format!(
                    "on node {node} {first}: nothing can be started or driven there in {}. The agent goes on trying; start \
                     {name} there by hand to see what it says, and see `journalctl -u hal-agent` on that node{rest}",
                    names.join(", ")
                );
                (Severity::High, text)
            }
            Stalled::Project => {
                let text = format!(
                    "nothing can be started in project {name} on node {node}: {first}; see `halctl nodes get {node}`{rest}"
                );
                (Severity::Medium, text)
            }
        };
        ((kind, name), Some(finding))
    };
    found.into_iter().map(say).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str, error: Option<&str>) -> Project {
        Project {
            name: name.into(),
            directory: format!("/{name}"),
            backend: "opencode".to_owned(),
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn a_coding_agent_is_told_once_for_all_its_projects_with_its_last_lines() {
        let why = "opencode does not run: it ended at once (exit status: 3)\nError: no such model";
        let projects = [
            project("shop", Some(why)),
            project("blog", Some(why)),
            project("lab", Some("/lab is not a directory")),
        ];
        let found = stalled("web-1", &projects);
        assert_eq!(found.len(), 2);
        let (severity, text) = found[&(Stalled::Backend, "opencode".to_owned())].clone().unwrap();
        assert!(severity == Severity::High && text.contains("in shop, blog."), "{text}");
        assert!(text.ends_with("\nError: no such model"), "{text}");
        let (_, text) = found[&(Stalled::Project, "lab".to_owned())].clone().unwrap();
        assert!(text.contains("project lab on node web-1: /lab is not a directory"), "{text}");
        assert!(stalled("web-1", &[project("shop", None)]).is_empty());
    }
}
