//! The topic `session`: one session, its helpers, what they wait for, and its commands that have not ended. And the row of a session in a list.

use std::collections::BTreeSet;

use url::form_urlencoded;

use super::{Listing, of_approval, ready, short};
use crate::hub::view::View;
use hal_base::clock::Time;
use hal_protocol::approval::Approval;
use hal_protocol::live::{OpenCommand, SessionRow};
use hal_protocol::session::{Session, SessionId, SessionView, Status};

/// Helpers, and open commands, that are told of.
const MOST_HELPERS: usize = 200;
const MOST_COMMANDS: usize = 20;

/// Approvals that are told of here. Of a fleet where more wait than the topic of approvals tells, these are those that
/// whoever looks at this session came for.
const MOST_APPROVALS: usize = 10;

/// Labels on a row.
const MOST_LABELS: usize = 8;

/// The session of a query: `id=ses_1`.
pub fn named(query: &str) -> Option<SessionId> {
    let (_, id) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "id")?;
    (!id.is_empty()).then(|| SessionId::from(id.into_owned()))
}

/// All of the topic. A session that is not there has no thing `session`.
pub fn look(id: &SessionId, view: &View) -> Listing {
    let mut listing = Listing::default();
    let Some(shown) = view.session(id) else { return listing };
    listing.things.push(ready("session", &shown));
    listing.things.push(ready("commands", &commands(id, view)));
    let mut family = BTreeSet::from([id.clone()]);
    view.stored.each_helper(id, &mut |helper| {
        family.insert(helper.id.clone());
        listing.total += 1;
        if listing.total <= MOST_HELPERS as u64 {
            listing.things.push(ready(&format!("helper/{}", helper.id), &row(view, helper)));
        }
    });
    let its = view.open_approvals().into_iter().filter(|one| family.contains(&one.session_id));
    let thing = |one: Approval| of_approval(format!("approval/{}", one.id), one);
    listing.things.extend(its.take(MOST_APPROVALS).map(thing));
    listing
}

fn commands(id: &SessionId, view: &View) -> Vec<OpenCommand> {
    let its = view.stored.commands.values().filter(|command| command.session_id.as_ref() == Some(id));
    let show = |command: &std::sync::Arc<hal_protocol::command::Command>| OpenCommand {
        command_id: command.id.to_string(),
        verb: command.verb.as_str(),
        state: command.state.as_str(),
        actor: short(&command.actor),
        created_at: command.created_at,
    };
    its.take(MOST_COMMANDS).map(show).collect()
}

/// A session as a row of a list.
pub fn row(view: &View, session: &Session) -> SessionRow {
    let shown = view.show_session(session);
    let done = shown.todo.iter().filter(|todo| matches!(todo.status.as_str(), "completed" | "cancelled"));
    SessionRow {
        id: shown.id.to_string(),
        title: short(&shown.title),
        project: short(shown.project.as_str()),
        node_id: shown.node_id.to_string(),
        status: shown.status.as_str(),
        last_known: shown.last_known.map(Status::as_str),
        since: since(session, &shown),
        why: short(&why(&shown)),
        asks: shown.asks.len() + shown.helper_asks.len(),
        cost_micros: shown.cost_micros,
        context: shown.context,
        todo: (!shown.todo.is_empty()).then(|| (done.count(), shown.todo.len())),
        backend: shown.backend,
        parent_id: shown.parent_id.map(|parent| parent.to_string()),
        paused: shown.marks.paused.is_some(),
        labels: shown.marks.labels.iter().take(MOST_LABELS).map(|label| short(label)).collect(),
    }
}

/// Since when it is what it is: of one that waits, since that waits which waits longest.
fn since(session: &Session, shown: &SessionView) -> Time {
    let waiting = shown.asks.iter().map(|ask| ask.since);
    let below = shown.helper_asks.iter().map(|helper| helper.ask.since);
    waiting.chain(below).min().unwrap_or(session.since)
}

fn why(shown: &SessionView) -> String {
    let asks = shown.asks.iter().chain(shown.helper_asks.iter().map(|helper| &helper.ask));
    if let Some(ask) = asks.min_by_key(|ask| ask.since) {
        return ask.what.clone();
    }
    match (&shown.retry, &shown.error) {
        (Some(retry), _) => retry.message.clone(),
        (None, Some(error)) => error.clone(),
        (None, None) => String::new(),
    }
}
