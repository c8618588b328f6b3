//! Projects that wait for others: the section `dependencies` of the supervisor's configuration, read and checked, and
//! when a session completes its project.

use std::collections::BTreeMap;

use crate::policy::facts::is_done;
use hal_base::config::{Section, Value};
use hal_protocol::session::{Activity, Session};

/// What one project waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// These are complete.
    pub after: Vec<String>,
    /// What a session of it is begun with then; empty: a person is told that it can begin.
    pub prompt: String,
}

/// Every project that waits, by its name.
pub type Dependencies = BTreeMap<String, Wait>;

/// Reads the section: `"web": ["api"]` or `"web": {"after": ["api"], "prompt": "..."}`.
pub fn read(root: &Section<'_>) -> Dependencies {
    let entries = root.value("dependencies").map(|all| all.entries()).unwrap_or_default();
    let mut all = Dependencies::new();
    for (project, value) in &entries {
        let wait = match value.is_list() {
            true => Wait { after: texts(&value.items()), prompt: String::new() },
            false => value.section(|wait| Wait {
                after: texts(&wait.items("after")),
                prompt: wait.text("prompt").unwrap_or_default(),
            }),
        };
        all.insert(project.clone(), wait);
    }
    for (project, value) in &entries {
        if let Some(way) = circle(&all, project) {
            value.problem(format!("waits for itself ({way}); leave one of these out"));
        }
    }
    all
}

fn texts(values: &[Value<'_>]) -> Vec<String> {
    values.iter().filter_map(Value::text).collect()
}

/// The way by which a project waits for itself.
fn circle(all: &Dependencies, project: &str) -> Option<String> {
    let mut ways = vec![vec![project]];
    let mut seen = Vec::new();
    while let Some(way) = ways.pop() {
        for next in all.get(*way.last()?).into_iter().flat_map(|wait| &wait.after) {
            let longer: Vec<&str> = way.iter().copied().chain([next.as_str()]).collect();
            if next == project {
                return Some(longer.join(" -> "));
            }
            if !seen.contains(&next.as_str()) {
                seen.push(next);
                ways.push(longer);
            }
        }
    }
    None
}

/// True when a session has done all that it wanted: its turn is over without an error, and nothing is left on its list.
pub fn completes(session: &Session) -> bool {
    session.activity == Activity::Idle
        && session.error.is_none()
        && session.parent_id.is_none()
        && !session.todo.is_empty()
        && session.todo.iter().all(|one| is_done(&one.status))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use hal_base::config::{Purpose, Reading, Source, parse};

    fn reading(text: &str) -> Reading<Dependencies> {
        let file = Source { path: Path::new("x.json"), bytes: text.as_bytes(), is_open_to_all: false };
        parse(&file, Purpose::Validate, read)
    }

    #[test]
    fn both_shapes_are_read() {
        let text =
            r#"{"dependencies": {"web": ["api"], "docs": {"after": ["web", "api"], "prompt": "write"}}}"#;
        let all = reading(text).unwrap().0;
        assert_eq!(all["web"], Wait { after: vec!["api".into()], prompt: String::new() });
        assert_eq!(all["docs"].prompt, "write");
    }

    #[test]
    fn who_waits_for_itself_is_told_by_which_way() {
        for text in [
            r#"{"dependencies": {"a": ["a"]}}"#,
            r#"{"dependencies": {"a": ["b"], "b": {"after": ["c"]}, "c": ["a"]}}"#,
        ] {
            let said = reading(text).unwrap_err().to_string();
            assert!(said.contains("waits for itself (a ->"), "{said}");
        }
    }
}
