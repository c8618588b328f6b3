//! How an approval is stored, and how earlier releases have stored one: that is read for ever.

use serde::{Deserialize, Serialize};

use super::shape::{self, Shape, shapes};
use hal_base::clock::Time;
use hal_protocol::approval::{Approval, ApprovalId, ApprovalState, Given, ReceiptLine, Reply, Stage};
use hal_protocol::command::CommandId;
use hal_protocol::node::{NodeId, ProjectName};
use hal_protocol::session::{AskKind, SessionId};
use hal_protocol::who::Who;

shapes! {
    StoredApproval of Approval version 2 after former {
        id: ApprovalId,
        kind: AskKind,
        state: ApprovalState,
        session_id: SessionId,
        node_id: NodeId,
        project: ProjectName,
        directory: String,
        request_id: String,
        about: String,
        what: String,
        asked_at: Time,
        deadline: Time,
        snoozed_until: Time,
        answer: Option<Given>,
        receipt: Vec<ReceiptLine>,
    }
    StoredGiven of Given {
        reply: Reply,
        by: String,
        over: String,
        who: Option<Who>,
        at: Time,
        command_id: CommandId,
        has_ended: bool,
    }
    StoredStep of ReceiptLine { stage: Stage, at: Time, by: String, over: String, who: Option<Who>, note: String }
}

/// What is answered: its word in JSON is a field of the answer around it.
#[derive(Serialize, Deserialize)]
pub(super) enum StoredReply {
    Once,
    Always,
    Reject(String),
    Answers(Vec<Vec<String>>),
}

impl Shape for Reply {
    type Stored = StoredReply;

    fn shape(&self) -> StoredReply {
        match self {
            Self::Once => StoredReply::Once,
            Self::Always => StoredReply::Always,
            Self::Reject { message } => StoredReply::Reject(message.clone()),
            Self::Answers { answers } => StoredReply::Answers(answers.clone()),
        }
    }

    fn value(stored: StoredReply) -> Result<Self, String> {
        Ok(match stored {
            StoredReply::Once => Self::Once,
            StoredReply::Always => Self::Always,
            StoredReply::Reject(message) => Self::Reject { message },
            StoredReply::Answers(answers) => Self::Answers { answers },
        })
    }
}

/// Version 1 of an approval: of who did something it had the name and the way alone.
#[derive(Deserialize)]
struct Approval1 {
    id: ApprovalId,
    kind: AskKind,
    state: ApprovalState,
    session_id: SessionId,
    node_id: NodeId,
    project: ProjectName,
    directory: String,
    request_id: String,
    about: String,
    what: String,
    asked_at: Time,
    deadline: Time,
    snoozed_until: Time,
    answer: Option<Given1>,
    receipt: Vec<(Stage, Time, String, String, String)>,
}

#[derive(Deserialize)]
struct Given1 {
    reply: StoredReply,
    by: String,
    over: String,
    at: Time,
    command_id: CommandId,
    has_ended: bool,
}

/// An approval of an earlier version.
fn former(version: u8, body: &[u8]) -> Option<Result<Approval, String>> {
    (version == 1).then(|| shape::read::<Approval1>(body).and_then(of_approval1))
}

fn of_approval1(old: Approval1) -> Result<Approval, String> {
    let answer = old.answer.map(|Given1 { reply, by, over, at, command_id, has_ended }| {
        Ok::<_, String>(Given { reply: Reply::value(reply)?, by, over, who: None, at, command_id, has_ended })
    });
    let line = |(stage, at, by, over, note)| ReceiptLine { stage, at, by, over, who: None, note };
    Ok(Approval {
        id: old.id,
        kind: old.kind,
        state: old.state,
        session_id: old.session_id,
        node_id: old.node_id,
        project: old.project,
        directory: old.directory,
        request_id: old.request_id,
        about: old.about,
        what: old.what,
        asked_at: old.asked_at,
        deadline: old.deadline,
        snoozed_until: old.snoozed_until,
        answer: answer.transpose()?,
        receipt: old.receipt.into_iter().map(line).collect(),
    })
}
