//! `halctl approvals`.

use super::cli::approval::{AnswerArgs, ApprovalVerb};
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::watch::{self, Source};
use hal_base::exit::{Exit, Failure};
use hal_protocol::approval::{
    AnswerRequest, ApprovalState, ApprovalView, ReceiptLine, Reply, SnoozeRequest, Stage,
};

/// Approvals in one page of the list.
const PAGE: usize = 1000;

/// Carries out one of the verbs.
pub async fn run(verb: ApprovalVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        ApprovalVerb::List { status, session, node_id, limit, how } => {
            let query = vec![
                ("status", status),
                ("session_id", session.unwrap_or_default()),
                ("node_id", node_id.unwrap_or_default()),
            ];
            let most = (limit > 0).then_some(limit);
            let source = Source { path: "approvals", query, limit: most, page: PAGE };
            let none = "No open approvals. Past ones: halctl approvals list --status all";
            watch::list::<ApprovalView>(client, screen, &how, none, source).await
        }
        ApprovalVerb::Get { id } => {
            screen.one(&client.get::<ApprovalView>(&["approvals", &id], &Query::new()).await?.data)
        }
        ApprovalVerb::Allow { id, always, wait } => {
            let reply = if always { Reply::Always } else { Reply::Once };
            answer(client, screen, &id, reply, wait).await
        }
        ApprovalVerb::Deny { id, message, wait } => {
            let reply = Reply::Reject { message: message.unwrap_or_default() };
            answer(client, screen, &id, reply, wait).await
        }
        ApprovalVerb::Answer { id, answers, wait } => {
            let answers = answers.into_iter().map(|answer| vec![answer]).collect();
            answer(client, screen, &id, Reply::Answers { answers }, wait).await
        }
        ApprovalVerb::Snooze { id, time } => {
            let body = SnoozeRequest { seconds: time.as_secs() };
            let asleep: ApprovalView = client.put_to(&["approvals", &id, "snooze"], &body, None).await?.data;
            screen.one(&asleep)
        }
    }
}

/// Gives an answer, and says whether it arrived.
async fn answer(
    client: &Client,
    screen: &mut Screen,
    id: &str,
    reply: Reply,
    wait: AnswerArgs,
) -> Result<(), Failure> {
    let body = AnswerRequest { reply, timeout: wait.timeout.map(|timeout| timeout.as_secs().max(1)) };
    let found: ApprovalView = client.put_to(&["approvals", id, "answer"], &body, wait.timeout).await?.data;
    let node = &found.approval.node_id;
    match found.approval.state {
        ApprovalState::Undelivered | ApprovalState::Lapsed => {
            let lost = found.approval.receipt.iter().rfind(|step| step.stage == Stage::Undelivered);
            let why = lost.map(|step| step.note.as_str()).unwrap_or("it is no longer waiting");
            let sentence = format!("the answer did not arrive: {why}. See `halctl approvals get {id}`");
            Err(Failure::say(Exit::Failed, sentence))
        }
        ApprovalState::Answered | ApprovalState::Waiting => {
            let sentence = format!(
                "the answer was sent to node {node}, which has not confirmed it yet. See `halctl approvals get {id}`"
            );
            Err(Failure::say(Exit::TimedOut, sentence))
        }
        ApprovalState::Reached | ApprovalState::Settled => screen.one(&found),
    }
}

impl Record for ApprovalView {
    fn fields(&self) -> Vec<Field> {
        let one = &self.approval;
        let tone = match one.state {
            ApprovalState::Waiting => Tone::Attention,
            ApprovalState::Undelivered => Tone::Bad,
            ApprovalState::Answered | ApprovalState::Reached => Tone::Busy,
            ApprovalState::Settled => Tone::Good,
            ApprovalState::Lapsed => Tone::Quiet,
        };
        let answer = one.answer.as_ref();
        let choices: Vec<String> = self.questions.iter().map(question).collect();
        let receipt: Vec<String> = one.receipt.iter().map(line).collect();
        vec![
            Field::id("id", &one.id),
            Field::new("status", one.state.as_str()).tone(tone).weight(70),
            Field::new("node_id", &one.node_id).weight(40),
            Field::new("project", &one.project).weight(60),
            Field::id("session_id", &one.session_id),
            Field::moment("asked_at", one.asked_at).weight(65),
            Field::new("about", &one.about).weight(75),
            Field::new("what", &one.what).long().weight(90),
            Field::new("questions", choices.join("\n")).detail(),
            Field::new("directory", &one.directory).wide(),
            Field::new("reasoning", &self.reasoning).detail(),
            Field::moment("deadline", one.deadline).detail(),
            Field::moment("snoozed_until", one.snoozed_until).detail(),
            Field::new("answer", answer.map(|given| given.reply.words()).unwrap_or_default()).wide(),
            Field::new("answered_by", answer.map(|given| given.by.clone()).unwrap_or_default()).wide(),
            Field::new("receipt", receipt.join("\n")).detail(),
        ]
    }
}

fn question(one: &hal_protocol::approval::Question) -> String {
    let labels: Vec<&str> = one.options.iter().map(|choice| choice.label.as_str()).collect();
    if labels.is_empty() { one.question.clone() } else { format!("{} ({})", one.question, labels.join(", ")) }
}

/// A line of the receipt.
fn line(step: &ReceiptLine) -> String {
    let mut line = format!("{}  {}", step.at, step.stage.as_str());
    let who = match step.stage {
        Stage::Asked | Stage::MovedOn => "",
        Stage::Reached | Stage::Undelivered => "on",
        Stage::Seen | Stage::Snoozed | Stage::Answered => "by",
    };
    for (word, text) in [(who, &step.by), ("over", &step.over)] {
        if !text.is_empty() && !who.is_empty() {
            line.push_str(&format!(" {word} {text}"));
        }
    }
    if !step.note.is_empty() {
        line.push_str(&format!(": {}", step.note));
    }
    line
}
