//! `GET /api/v1/policies`, what they say of a session, and what is halted.

use axum::extract::{Path, State};

use super::session::unknown;
use super::{Answered, one};
use crate::shared::Shared;
use hal_base::clock::{self, Time};
use hal_protocol::api::{Answer, Refusal};
use hal_protocol::policy::{Explanation, Halt, PolicyFinding, moment};
use hal_protocol::session::SessionId;
use hal_rules::policy::settings::{Policies, Rule};
use hal_rules::policy::{Decision, PolicyMemory, Subject, decide};
use hal_store::kept::{HALT_ALL, MEMORY};

/// The policies in force.
#[utoipa::path(get, path = "/api/v1/policies", responses((status = 200, body = Answer<Policies>), (status = 401, body = Refusal)))]
pub async fn list(State(shared): State<Shared>) -> Answered<Policies> {
    one(Policies::clone(&shared.hub.view().settings.policies))
}

/// What policies know of a session, and what each of them would do now, and why.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/policies", params(("id" = String, Path)), responses((status = 200, body = Answer<Explanation>), (status = 404, body = Refusal)))]
pub async fn explain(State(shared): State<Shared>, Path(id): Path<String>) -> Answered<Explanation> {
    let (view, id) = (shared.hub.view(), SessionId::from(id));
    let Some(record) = view.stored.sessions.get(&id) else { return Err(unknown(&view, &id)) };
    let session = &record.session;
    let facts = view.live.watched.get(&id).map(|watched| watched.facts.clone()).unwrap_or_default();
    let marks = view.marks_of(session);
    let memories = view.kept(MEMORY, id.as_str()).unwrap_or_default();
    let subject = Subject { session, facts: &facts, beside: view.beside(session, &marks) };
    let now = clock::now();
    let words =
        view.settings.policies.rules.iter().map(|rule| word(rule, &subject, memories.get(&rule.name), now));
    one(Explanation { session_id: id.to_string(), facts: facts.table(session), policies: words.collect() })
}

fn word(rule: &Rule, subject: &Subject<'_>, memory: Option<&PolicyMemory>, now: Time) -> PolicyFinding {
    let (decision, why, next) = match decide(rule, subject, memory, now) {
        Decision::Act(step) => {
            let dry = if step.dry_run { " (dry run)" } else { "" };
            ("act", format!("{}{dry}: {}", step.act.as_str(), step.why), None)
        }
        Decision::Exhausted { why, until, .. } => ("exhausted", why, Some(until)),
        Decision::None { why, next } => ("none", why, next),
    };
    PolicyFinding {
        policy: rule.name.as_str().to_owned(),
        decision: decision.to_owned(),
        why,
        next: moment(next),
        acted_on: memory.map(|memory| memory.situation.clone()).unwrap_or_default(),
        acted_at: moment(memory.map(|memory| memory.at).filter(|at| *at > Time::default())),
        count: memory.map(|memory| memory.count).unwrap_or_default(),
    }
}

/// Lists the halts: project or everything, by whom, and since when.
#[utoipa::path(get, path = "/api/v1/halts", responses((status = 200, body = Answer<Vec<Halt>>), (status = 401, body = Refusal)))]
pub async fn halts(State(shared): State<Shared>) -> Answered<Vec<Halt>> {
    let view = shared.hub.view();
    let halts = view.halts().map(|(key, said)| {
        let project = if key == HALT_ALL { String::new() } else { key.to_owned() };
        Halt { project, said }
    });
    one(halts.collect())
}
