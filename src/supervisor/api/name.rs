//! `GET /api/v1/names`: what there is of a kind, for short names and for shells that complete.

use std::cmp::Reverse;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answered, given, page, reading};
use crate::hub::view::View;
use crate::refusal::ApiError;
use crate::shared::Shared;
use hal_protocol::api::{Answer, Meta, Refusal};
use hal_protocol::name::{NameKind, Named};
use hal_store::command::CommandQuery;

/// Names in an answer when nobody says, and at most: who is shown more has to type more.
const FEW: usize = 20;
const MOST: usize = 200;

/// Commands that are looked through, the newest: nobody types the name of an older one by its beginning.
const COMMANDS: usize = 1000;

/// Which names.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NameQuery {
    /// `session`, `node`, `project`, `command`, `approval`, `alert`, `silence`, `budget` or `channel`.
    kind: String,
    /// Only names that begin with this.
    prefix: Option<String>,
    /// At most so many; default 20, at most 200.
    limit: Option<usize>,
}

/// Names of a kind, the newest first.
#[utoipa::path(get, path = "/api/v1/names", params(NameQuery), responses((status = 200, body = Answer<Vec<Named>>), (status = 400, body = Refusal), (status = 401, body = Refusal)))]
pub async fn list(
    State(shared): State<Shared>,
    query: Result<Query<NameQuery>, QueryRejection>,
) -> Answered<Vec<Named>> {
    let query = query?.0;
    let kind = NameKind::parse(&query.kind).ok_or_else(|| {
        let known = NameKind::ALL.map(NameKind::as_str).join(", ");
        ApiError::validation(format!("kind is {:?}: expected one of {known}", query.kind))
    })?;
    let prefix = given(query.prefix).unwrap_or_default();
    let limit = query.limit.filter(|limit| *limit > 0).unwrap_or(FEW).min(MOST);
    let names = match kind {
        NameKind::Command => commands(&shared, prefix, limit).await?,
        kind => known(&shared, kind, &prefix, limit),
    };
    let total = names.len() as u64;
    page(names, Meta { total, limit: Some(limit as u64), next_cursor: None })
}

async fn commands(shared: &Shared, prefix: String, limit: usize) -> Result<Vec<Named>, ApiError> {
    let query = CommandQuery { node_id: None, session_id: None, state: None, before: None, limit: COMMANDS };
    let (found, _) = reading(shared, move |shared| shared.hub.store().read()?.commands(&query)).await?;
    let named = found.iter().filter(|command| command.id.as_str().starts_with(&prefix));
    Ok(named.take(limit).map(|one| Named::new(&one.id, one.verb.as_str())).collect())
}

/// Those that are in memory.
fn known(shared: &Shared, kind: NameKind, prefix: &str, limit: usize) -> Vec<Named> {
    let view = shared.hub.view();
    let mut names: Vec<Named> = match kind {
        // There may be very many: none is made up that nobody asks for.
        NameKind::Session => return sessions(&view, prefix, limit),
        NameKind::Node => {
            let mut nodes: Vec<_> = view.every_node().collect();
            nodes.sort_by_key(|state| Reverse(state.record.connected_at));
            let status = |online| if online { "online" } else { "offline" };
            nodes.iter().map(|state| Named::new(&state.record.id, status(state.link.online))).collect()
        }
        NameKind::Project => {
            let of_node = view.every_node().flat_map(|state| {
                state.record.projects.iter().map(|project| Named::new(&project.name, &state.record.id))
            });
            let mut projects: Vec<Named> = of_node.collect();
            projects.sort_by(|one, other| one.name.cmp(&other.name));
            projects.dedup_by(|one, other| one.name == other.name);
            projects
        }
        NameKind::Approval => {
            let mut all = view.past_approvals();
            all.extend(view.open_approvals());
            all.sort_by(|one, other| (other.asked_at, &other.id).cmp(&(one.asked_at, &one.id)));
            all.iter().map(|one| Named::new(&one.id, &one.what)).collect()
        }
        NameKind::Alert => {
            view.stored.alerts.values().rev().map(|alert| Named::new(alert.id, &alert.name)).collect()
        }
        NameKind::Silence => super::silence::all(shared)
            .iter()
            .rev()
            .map(|silence| Named::new(&silence.id, &silence.matches))
            .collect(),
        NameKind::Budget => view.budgets.iter().map(|one| Named::new(&one.name, &one.scope)).collect(),
        NameKind::Channel => {
            shared.outbound.kinds().iter().map(|(name, kind)| Named::new(name, kind)).collect()
        }
        NameKind::Command => Vec::new(),
    };
    names.retain(|one| one.name.starts_with(prefix));
    names.truncate(limit);
    names
}

fn sessions(view: &View, prefix: &str, limit: usize) -> Vec<Named> {
    let of_age = view.stored.by_age.iter().filter(|(_, id)| id.as_str().starts_with(prefix));
    let found = of_age.filter_map(|(_, id)| view.stored.sessions.get(id));
    // Who types nothing of a name does not mean a helper that some session has started.
    let found = found.filter(|record| !prefix.is_empty() || record.session.parent_id.is_none());
    found.take(limit).map(|record| Named::new(&record.session.id, &record.session.title)).collect()
}
