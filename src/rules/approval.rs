//! The life of an approval: the first answer counts, an answer that did not arrive can be given again, and every step
//! is on the receipt.

use std::time::Duration;

use sha2::{Digest, Sha256};

use hal_base::clock::Time;
use hal_protocol::approval::{Approval, ApprovalId, ApprovalState, Given, ReceiptLine, Reply, Stage};
use hal_protocol::command::{Command, CommandState};
use hal_protocol::session::{Ask, Session};
use hal_protocol::who::Who;

/// The longest name of a request that is used as it is: a button in a chat has room for a hundred characters.
const MAX_NAME: usize = 64;

/// Lines of a receipt that tell who has seen it; more would tell nothing new.
const MOST_SEEN: usize = 16;

/// Lines of a receipt altogether: an answer that never arrives could be given for ever.
const MOST_STEPS: usize = 64;

/// An answer that has not reached its node after this time is worth an alert.
pub const LATE: Duration = Duration::from_secs(60);

/// What happens when nobody answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApprovalLimits {
    /// How long an approval waits; `None`: for ever.
    pub time_limit: Option<Duration>,
    /// True when it is denied then; else it goes on waiting, and only an event says so.
    pub denies: bool,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerVerdict {
    /// It is the first one.
    First,
    /// It was given before.
    Same(Given),
    /// It comes too late; the sentence says why.
    Late(String),
}

/// What time has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing is due.
    Nothing,
    /// The time limit is over.
    TimeUp,
    /// It was snoozed until now.
    Awake,
}

/// The name of a new approval; `is_taken` by another session's.
pub fn name(ask: &Ask, session: &Session, is_taken: impl Fn(&str) -> bool) -> ApprovalId {
    let plain = match ask.id.len() {
        1..=MAX_NAME => ask.id.clone(),
        _ => hex(&ask.id),
    };
    let own = || format!("{plain}@{}", session.node_id);
    let names = [plain.clone(), own(), hex(&format!("{plain} {} {}", session.node_id, session.id))];
    let free = names.iter().find(|name| name.len() <= MAX_NAME && !is_taken(name));
    ApprovalId::new(free.unwrap_or(&names[2]))
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// An approval for what a session has begun to wait with.
pub fn open(id: ApprovalId, ask: &Ask, session: &Session, limits: ApprovalLimits, at: Time) -> Approval {
    Approval {
        id,
        kind: ask.kind,
        state: ApprovalState::Waiting,
        session_id: session.id.clone(),
        node_id: session.node_id.clone(),
        project: session.project.clone(),
        directory: session.directory.clone(),
        request_id: ask.id.clone(),
        about: ask.about.clone(),
        what: ask.what.clone(),
        asked_at: ask.since,
        deadline: limits.time_limit.map_or(Time::default(), |limit| at.plus(limit)),
        snoozed_until: Time::default(),
        answer: None,
        receipt: vec![step(Stage::Asked, ask.since, session.id.as_str(), "", "")],
    }
}

/// What an answer to it means now.
pub fn judge(approval: &Approval, reply: &Reply) -> AnswerVerdict {
    match &approval.answer {
        Some(given) if given.reply.is_same(reply) => AnswerVerdict::Same(given.clone()),
        Some(given) => AnswerVerdict::Late(format!(
            "already answered by {} at {} over {}: {}",
            given.by,
            given.at,
            given.over,
            given.reply.words()
        )),
        None if approval.state == ApprovalState::Lapsed => {
            AnswerVerdict::Late(format!("session {} no longer waits for this answer", approval.session_id))
        }
        None => AnswerVerdict::First,
    }
}

/// Somebody has answered, and it counts.
pub fn answered(mut approval: Approval, given: Given) -> Approval {
    approval.state = ApprovalState::Answered;
    approval.snoozed_until = Time::default();
    let note = given.reply.words();
    let who = given.who.clone();
    push(
        &mut approval,
        ReceiptLine { who, ..step(Stage::Answered, given.at, &given.by, &given.over, &note) },
    );
    approval.answer = Some(given);
    approval
}

/// What the command that carries the answer has come to; `None`: nothing new.
pub fn followed(mut approval: Approval, command: &Command) -> Option<Approval> {
    let at = command.changed_at;
    let given = approval.answer.clone().filter(|given| given.command_id == command.id && !given.has_ended)?;
    let has_moved_on = approval.state == ApprovalState::Settled;
    let was_reached = approval.receipt.iter().rev().take_while(|step| step.stage != Stage::Answered);
    let was_reached = was_reached.into_iter().any(|step| step.stage == Stage::Reached);
    match command.state {
        CommandState::Queued | CommandState::Sent => return None,
        CommandState::Running if was_reached => return None,
        CommandState::Running => {}
        CommandState::Done => approval.answer = Some(Given { has_ended: true, ..given }),
        CommandState::Failed | CommandState::Expired | CommandState::Unknown => {
            let why = command.error.as_deref().unwrap_or("the node does not say why");
            let note = format!("{}: {why}", given.reply.words());
            push(&mut approval, step(Stage::Undelivered, at, command.node_id.as_str(), "", &note));
            approval.answer = None;
            approval.state = if has_moved_on { ApprovalState::Lapsed } else { ApprovalState::Undelivered };
            return Some(approval);
        }
    }
    if !was_reached {
        push(&mut approval, step(Stage::Reached, at, command.node_id.as_str(), "", ""));
    }
    if !has_moved_on {
        approval.state = ApprovalState::Reached;
    }
    Some(approval)
}

/// The session does not wait with it any more.
pub fn moved_on(mut approval: Approval, why: &str, at: Time) -> Approval {
    let (state, note) = match approval.state {
        ApprovalState::Answered | ApprovalState::Reached => (ApprovalState::Settled, why.to_owned()),
        ApprovalState::Waiting | ApprovalState::Undelivered => {
            (ApprovalState::Lapsed, format!("{why}; no answer from here caused it"))
        }
        ApprovalState::Settled | ApprovalState::Lapsed => return approval,
    };
    approval.state = state;
    let session = approval.session_id.to_string();
    push(&mut approval, step(Stage::MovedOn, at, &session, "", &note));
    approval
}

/// Whoever answered did so at the coding agent itself, and not from here.
pub fn answered_outside(mut approval: Approval, reply: &str, at: Time) -> Approval {
    approval.state = match approval.state {
        // The answer that is on its way from here comes too late.
        ApprovalState::Answered | ApprovalState::Reached => ApprovalState::Settled,
        ApprovalState::Waiting | ApprovalState::Undelivered => ApprovalState::Lapsed,
        ApprovalState::Settled | ApprovalState::Lapsed => return approval,
    };
    let session = approval.session_id.to_string();
    let note = format!(
        "answered outside, at the coding agent itself, not through the supervisor: {reply}; its turn is stopped"
    );
    push(&mut approval, step(Stage::MovedOn, at, &session, "", &note));
    approval
}

/// Somebody was told or has looked; `None`: that is known.
pub fn seen(mut approval: Approval, who: &Who, note: &str, at: Time) -> Option<Approval> {
    let mut sights = approval.receipt.iter().filter(|step| step.stage == Stage::Seen);
    let is_known = sights.clone().any(|step| step.by == who.name && step.over == who.through);
    let is_full = sights.nth(MOST_SEEN - 1).is_some();
    if is_known || is_full || !approval.is_open() {
        return None;
    }
    push(&mut approval, step_of(Stage::Seen, at, who, note));
    Some(approval)
}

/// It is not to be told again before `until`, and its time limit is not over before.
pub fn snoozed(mut approval: Approval, until: Time, who: &Who, at: Time) -> Approval {
    approval.snoozed_until = until;
    if approval.deadline != Time::default() {
        approval.deadline = approval.deadline.max(until);
    }
    push(&mut approval, step_of(Stage::Snoozed, at, who, &format!("until {until}")));
    approval
}

/// What time has done to it.
pub fn due(approval: &Approval, now: Time) -> Due {
    let is_over = |at: Time| at != Time::default() && now >= at;
    if !approval.state.wants_answer() {
        Due::Nothing
    } else if is_over(approval.deadline) {
        Due::TimeUp
    } else if is_over(approval.snoozed_until) {
        Due::Awake
    } else {
        Due::Nothing
    }
}

/// True when its answer should have reached the node by now.
pub fn is_late(approval: &Approval, now: Time) -> bool {
    approval.state == ApprovalState::Answered
        && approval.answer.as_ref().is_some_and(|given| now.since(given.at) >= LATE)
}

fn step(stage: Stage, at: Time, by: &str, over: &str, note: &str) -> ReceiptLine {
    ReceiptLine { stage, at, by: by.to_owned(), over: over.to_owned(), who: None, note: note.to_owned() }
}

/// What somebody has done.
fn step_of(stage: Stage, at: Time, who: &Who, note: &str) -> ReceiptLine {
    ReceiptLine { who: Some(who.clone()), ..step(stage, at, &who.name, &who.through, note) }
}

fn push(approval: &mut Approval, step: ReceiptLine) {
    if approval.receipt.len() >= MOST_STEPS {
        // The first line says when it was asked.
        approval.receipt.remove(1);
    }
    approval.receipt.push(step);
}

#[cfg(test)]
mod tests;
