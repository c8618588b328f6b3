//! A project that is complete lets those begin that wait for it, once for each time it is completed.

use std::collections::BTreeMap;

use serde_json::json;

use super::Work;
use super::command::object;
use hal_base::clock::Time;
use hal_base::id;
use hal_protocol::alert::Severity;
use hal_protocol::command::{CommandId, CommandRequest, Verb};
use hal_protocol::session::SessionId;
use hal_protocol::who::Who;
use hal_rules::alert::AlertRaised;
use hal_rules::dependency::{Wait, completes};
use hal_store::kept::{BEGUN, COMPLETE};
use hal_store::session::SessionRecord;

/// Who begins what waited.
pub const ACTOR: &str = "dependency";

impl Work {
    /// Looks whether a session has completed its project.
    pub(super) fn note_completion(&mut self, id: &SessionId, at: Time) {
        let Some(record) = self.view.stored.sessions.get(id).cloned() else { return };
        let project = record.session.project.to_string();
        let concerns = |wait: &Wait| wait.after.contains(&project);
        if !completes(&record.session) || !self.view.settings.dependencies.values().any(concerns) {
            return;
        }
        let known = self.view.kept(COMPLETE, &project);
        if known.as_deref() == Some(id.as_str()) {
            return;
        }
        self.put_kept(COMPLETE, &project, &id.to_string(), at);
        self.note_session(&record, "project.completed", &json!({"project": project}), at);
        let waiting: Vec<(String, Wait)> = self
            .view
            .settings
            .dependencies
            .iter()
            .filter(|(_, wait)| concerns(wait))
            .map(|(name, wait)| (name.clone(), wait.clone()))
            .collect();
        for (name, wait) in waiting {
            self.let_begin(&record, &name, &wait, at);
        }
    }

    fn let_begin(&mut self, record: &SessionRecord, project: &str, wait: &Wait, at: Time) {
        let complete: BTreeMap<String, String> =
            wait.after.iter().filter_map(|one| Some((one.clone(), self.view.kept(COMPLETE, one)?))).collect();
        let begun = self.view.kept(BEGUN, project);
        // What cannot be read may say that these completions have let it go already.
        if self.view.is_unreadable(BEGUN, project)
            || complete.len() < wait.after.len()
            || begun.as_ref() == Some(&complete)
        {
            return;
        }
        self.put_kept(BEGUN, project, &complete, at);
        let names = wait.after.join(", ");
        let started = (!wait.prompt.is_empty()).then(|| {
            let by: Vec<&str> = complete.values().map(String::as_str).collect();
            let request = CommandRequest {
                verb: Verb::CreateSession.as_str().to_owned(),
                project: project.to_owned(),
                args: object(json!({"prompt": wait.prompt})),
                idempotency_key: format!("{project}/{}", by.join("+")),
                ..CommandRequest::default()
            };
            self.order(&request, &Who::policy(ACTOR), CommandId::from(id::fresh()), at)
        });
        let (command, trouble) = match started {
            Some(Ok(command)) => (Some(command.id), None),
            Some(Err(why)) => (None, Some(why.to_string())),
            None => (None, None),
        };
        let data = json!({"project": project, "after": complete, "command_id": command, "error": trouble});
        self.note_session(record, "project.ready", &data, at);
        if command.is_none() {
            let because = trouble.map_or_else(String::new, |why| format!("; it could not be started: {why}"));
            let text = format!("project {project} can begin: {names} complete{because}");
            let (name, severity) = ("project.ready", Severity::Low);
            self.raise(&AlertRaised { name, about: project, severity, text: &text, lasting: false }, at);
        }
    }
}
