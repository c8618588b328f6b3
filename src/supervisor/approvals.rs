//! Approvals as people read them: with the whole of what is asked and what the session thought, looked up in its events.

use super::hub::Hub;
use super::hub::view::View;
use hal_protocol::approval::{Approval, ApprovalView};
use hal_protocol::event::EventView;
use hal_protocol::event::kind::Kind;
use hal_protocol::event::part::{Content, MessagePart};
use hal_protocol::event::what::{PermissionAsked, What};
use hal_store::StoreError;
use hal_store::event::{EventFilter, EventOrder, EventQuery, KindFilter};

/// Events read at once, and how often, in search of the one that asked: it is among the last ones while it waits.
const PAGE: usize = 200;
const PAGES: usize = 5;

/// Characters of what is asked, and of what was thought, that are shown.
const MAX_WHAT: usize = 64 * 1024;
const MAX_THOUGHT: usize = 4_000;

/// The approval with what its session's events tell. Reads the store, so on a thread that may block.
pub fn whole(hub: &Hub, approval: Approval) -> Result<ApprovalView, StoreError> {
    let mut found =
        ApprovalView { approval, reasoning: String::new(), questions: Vec::new(), is_partial: true };
    let view = hub.view();
    let Some(record) = view.stored.sessions.get(&found.approval.session_id) else { return Ok(found) };
    let session = Some((record.session.id.to_string(), record.no));
    // Whatever came after it, however much: what is to be allowed is found first, and then what was thought before.
    let asks = [Kind::PermissionAsked, Kind::QuestionAsked];
    let mut asked = None;
    let at = search(hub, &view, &session, &asks, None, |event| {
        read_asking(&mut found, &mut asked, event);
        asked.is_some()
    })?;
    found.is_partial = asked.is_none();
    if let Some(message) = asked {
        search(hub, &view, &session, &[Kind::PartUpdated], at, |event| match event.what() {
            What::Part(part) => read_part(&mut found, &message, &part),
            _ => false,
        })?;
    }
    Ok(found)
}

/// Goes through a session's events of some kinds, newest first, from before one on, until `is_enough`; gives where that was.
fn search(
    hub: &Hub,
    view: &View,
    session: &Option<(String, u32)>,
    kinds: &[Kind],
    before: Option<u64>,
    mut is_enough: impl FnMut(&EventView) -> bool,
) -> Result<Option<u64>, StoreError> {
    let mut query = EventQuery {
        filter: EventFilter {
            session: session.clone(),
            kinds: kinds.iter().map(|kind| KindFilter::parse(kind.as_str())).collect(),
            ..EventFilter::default()
        },
        order: EventOrder::Descending,
        after: before,
        limit: PAGE,
        count: false,
    };
    for _ in 0..PAGES {
        let page = look(hub, &query, view)?;
        if let Some(event) = page.iter().find(|event| is_enough(event)) {
            return Ok(Some(event.seq));
        }
        match page.last() {
            Some(last) if page.len() == PAGE => query.after = Some(last.seq),
            _ => break,
        }
    }
    Ok(None)
}

fn look(hub: &Hub, query: &EventQuery, view: &View) -> Result<Vec<EventView>, StoreError> {
    Ok(hub.store().read()?.events(query, &view.stored.tail)?.events)
}

/// Takes from the event that asked what it tells: what is asked, and `asked`, the message that did.
fn read_asking(found: &mut ApprovalView, asked: &mut Option<String>, event: &EventView) {
    match event.what() {
        What::PermissionAsked(one) if one.id == found.approval.request_id => {
            if let Some(what) = what_of(&one) {
                found.approval.what = cut(&what, MAX_WHAT);
            }
            *asked = Some(one.message_id);
        }
        What::QuestionAsked(one) if one.id == found.approval.request_id => {
            found.questions = one.questions;
            *asked = Some(one.message_id);
        }
        _ => {}
    }
}

/// True when nothing more is wanted.
fn read_part(found: &mut ApprovalView, message: &str, part: &MessagePart) -> bool {
    let (words, is_thought) = match &part.content {
        Content::Thought(words) => (words.text.trim(), !words.text.trim().is_empty()),
        Content::Text(words) => (words.text.trim(), false),
        _ => ("", false),
    };
    let is_of_asking = part.message_id == message;
    let is_said = matches!(part.content, Content::Text(_)) && is_of_asking;
    let has_said = !found.reasoning.is_empty();
    // What the asking message says itself is nearer than what was thought for an earlier one.
    if (is_thought && (is_of_asking || !has_said)) || (is_said && !has_said) {
        found.reasoning = cut(words, MAX_THOUGHT);
    }
    is_thought || (has_said && !is_of_asking)
}

fn what_of(asked: &PermissionAsked) -> Option<String> {
    match (&asked.command, &asked.file, &asked.diff) {
        (Some(command), _, _) => Some(command.clone()),
        (None, Some(path), Some(diff)) => Some(format!("{path}\n{diff}")),
        (None, Some(path), None) => Some(path.clone()),
        // Of several files, each is named in the change.
        (None, None, Some(diff)) if !asked.patterns.is_empty() => {
            Some(format!("{}\n{diff}", asked.patterns.join(" ")))
        }
        (None, None, None) if !asked.patterns.is_empty() => Some(asked.patterns.join(" ")),
        _ => None,
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
