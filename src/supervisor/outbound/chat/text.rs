//! Text and cards of a chat, in plain shape: each chat renders them as its own.

use super::ChatReply;
use crate::hub::Hub;
use crate::hub::view::View;
use hal_protocol::alert::Severity;
use hal_protocol::approval::{ApprovalState, ApprovalView, Stage};
use hal_protocol::command::{Command, CommandState};
use hal_protocol::event::EventView;
use hal_protocol::event::part::{Content, ToolState};
use hal_protocol::event::what::What;
use hal_protocol::notice::{Notice, NoticeKind};
use hal_protocol::session::{Activity, AskKind, Session, Status};
use hal_store::StoreError;
use hal_store::event::{EventFilter, EventOrder, EventQuery, KindFilter};

/// Lines of a list: what a person reads on a telephone.
const MOST_LINES: usize = 15;

/// Characters of a text in a line.
const MOST_OF_LINE: usize = 100;

/// Events that a log looks through for its lines.
const EVENTS: usize = 200;

/// Answers that are offered as buttons: a row of Discord holds five, and one is for turning it down.
const MOST_CHOICES: usize = 4;

/// Something to be shown, with buttons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// A title of a few words.
    pub title: String,
    /// What it is about, as plain text.
    pub text: String,
    /// True when the text is a command, to be shown letter by letter.
    pub is_code: bool,
    /// More about it: a name and a value each.
    pub fields: Vec<(String, String)>,
    /// How much it matters; `None`: it is over.
    pub severity: Option<Severity>,
    /// What can be done: what the button carries, its words, and how it looks.
    pub buttons: Vec<(String, String, ButtonStyle)>,
}

/// How a button looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ButtonStyle {
    /// The way on.
    Good,
    /// The way to refuse.
    Bad,
    /// Neither good nor bad.
    Plain,
}

/// The card of a notice; with the approval that it is about, if it is.
pub fn card(notice: &Notice, approval: Option<&ApprovalView>) -> Card {
    match approval {
        Some(approval) => of_approval(approval),
        None => of_alert(notice),
    }
}

fn of_approval(view: &ApprovalView) -> Card {
    let one = &view.approval;
    let word = match one.kind {
        AskKind::Permission => format!("asks for permission: {}", one.about),
        AskKind::Question => "asks a question".to_owned(),
    };
    let mut fields = vec![
        ("Session".to_owned(), one.session_id.to_string()),
        ("Node".to_owned(), one.node_id.to_string()),
        ("Folder".to_owned(), one.directory.clone()),
    ];
    if !view.reasoning.is_empty() {
        fields.push(("Why".to_owned(), view.reasoning.clone()));
    }
    let (severity, buttons) = match one.state {
        ApprovalState::Waiting | ApprovalState::Undelivered => (Some(Severity::Medium), buttons(view)),
        _ => (None, Vec::new()),
    };
    if let Some(outcome) = outcome_of(view) {
        fields.push(("Outcome".to_owned(), outcome));
    }
    Card {
        title: format!("{} on {} {word}", one.project, one.node_id),
        text: one.what.clone(),
        is_code: one.kind == AskKind::Permission,
        fields,
        severity,
        buttons,
    }
}

fn buttons(view: &ApprovalView) -> Vec<(String, String, ButtonStyle)> {
    let id = &view.approval.id;
    let button = |word: &str, label: &str, look| (format!("{word}:{id}"), label.to_owned(), look);
    let mut found = match view.approval.kind {
        AskKind::Permission => {
            vec![
                button("approve", "Approve", ButtonStyle::Good),
                button("always", "Always allow", ButtonStyle::Plain),
            ]
        }
        AskKind::Question => {
            let only = view.questions.first().filter(|_| view.questions.len() == 1);
            let options = only.map(|question| question.options.as_slice()).unwrap_or_default();
            let each = options.iter().take(MOST_CHOICES - 1).enumerate();
            each.map(|(at, choice)| {
                button(&format!("choose:{at}"), &cut(&choice.label, 60), ButtonStyle::Good)
            })
            .collect()
        }
    };
    found.push(button("deny", "Deny", ButtonStyle::Bad));
    found.push(button("snooze", "Snooze", ButtonStyle::Plain));
    found
}

/// What became of it, with the times of its receipt; `None`: it waits.
fn outcome_of(view: &ApprovalView) -> Option<String> {
    let told = [Stage::Answered, Stage::Reached, Stage::Undelivered, Stage::MovedOn];
    let steps = view.approval.receipt.iter().filter(|step| told.contains(&step.stage));
    let lines: Vec<String> = steps
        .map(|step| {
            let clock = step.at.to_string();
            let clock = clock.get(11..19).unwrap_or(&clock).to_owned();
            let by = if step.by.is_empty() || step.stage == Stage::MovedOn {
                String::new()
            } else {
                format!(" {}", step.by)
            };
            let over = if step.over.is_empty() { String::new() } else { format!(" over {}", step.over) };
            let note = if step.note.is_empty() { String::new() } else { format!(": {}", step.note) };
            format!("{clock} {}{by}{over}{note}", step.stage.as_str())
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn of_alert(notice: &Notice) -> Card {
    let mut fields = Vec::new();
    for (name, value) in
        [("Node", &notice.node), ("Session", &notice.session), ("Acknowledged by", &notice.by)]
    {
        if !value.is_empty() {
            fields.push((name.to_owned(), value.clone()));
        }
    }
    if notice.count > 1 {
        fields.push(("Times".to_owned(), notice.count.to_string()));
    }
    let is_over = matches!(notice.kind, NoticeKind::Resolved | NoticeKind::Answered);
    let ack = notice.alert.filter(|_| notice.kind == NoticeKind::Raised);
    let word = match notice.kind {
        NoticeKind::Acknowledged => " (acknowledged)",
        NoticeKind::Resolved => " (resolved)",
        _ => "",
    };
    Card {
        title: format!("{}{word}", if notice.title.is_empty() { &notice.name } else { &notice.title }),
        text: notice.text.clone(),
        is_code: false,
        fields,
        severity: (!is_over).then_some(notice.severity),
        buttons: ack
            .map(|number| (format!("ack:{number}"), "Acknowledge".to_owned(), ButtonStyle::Plain))
            .into_iter()
            .collect(),
    }
}

/// How things stand, in a few lines.
pub fn status(view: &View) -> String {
    let online = view.every_node().filter(|node| node.link.online).count();
    let count = |status: Status| {
        view.stored.sessions.values().filter(|one| view.status_of(&one.session).0 == status).count()
    };
    let states: Vec<String> = Status::ALL
        .into_iter()
        .map(|status| (status, count(status)))
        .filter(|(_, count)| *count > 0)
        .map(|(status, count)| format!("{count} {}", status.as_str()))
        .collect();
    let wanted = view.open_approvals().iter().filter(|one| one.state.wants_answer()).count();
    let alerts = view.stored.alerts.values().filter(|alert| alert.is_open()).count();
    let sessions = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
    format!(
        "Nodes: {online} of {} connected.\nSessions: {sessions}.\nWaiting for an answer: {wanted}. Open alerts: {alerts}.",
        view.stored.nodes.len()
    )
}

/// Sessions that are not over, those that wait for a person first.
pub fn sessions(view: &View) -> String {
    let is_over = |session: &Session| matches!(session.activity, Activity::Ended(_));
    let records = view.stored.by_age.iter().filter_map(|(_, id)| view.stored.sessions.get(id));
    let mut found: Vec<_> = records.filter(|record| !is_over(&record.session)).collect();
    found.sort_by_key(|record| {
        record.session.asks.is_empty() && !view.stored.is_kept_waiting(&record.session)
    });
    let line = |session: &Session| {
        let status = view.status_of(session).0.as_str();
        let of_helpers = view.helper_asks(session);
        let mut asks = session.asks.iter().chain(of_helpers.iter().map(|one| &one.ask));
        let what = asks.next().map_or(session.title.as_str(), |ask| ask.what.as_str());
        format!("{} {status} {} on {}: {}", session.id, session.project, session.node_id, one_line(what))
    };
    list(found.iter().map(|record| line(&record.session)), found.len(), "No sessions.")
}

/// Every node in a line.
pub fn nodes(view: &View) -> String {
    let line = |node: hal_protocol::node::Node| {
        format!(
            "{} {} with {} sessions, heard at {}",
            node.id,
            node.status.as_str(),
            node.sessions,
            node.last_heartbeat
        )
    };
    let all = view.all_nodes();
    let count = all.len();
    list(all.into_iter().map(line), count, "No nodes.")
}

/// What the sessions have cost, by project, as far as that is known.
pub fn cost(view: &View) -> String {
    let mut sums = std::collections::BTreeMap::<String, (u64, usize)>::new();
    for record in view.stored.sessions.values() {
        let sum = sums.entry(record.session.project.to_string()).or_default();
        match record.session.cost_micros {
            Some(micros) => sum.0 = sum.0.saturating_add(micros),
            None => sum.1 += 1,
        }
    }
    let dollars = |micros: u64| format!("${:.4}", micros as f64 / 1e6);
    let unknown = |count: usize| {
        if count == 0 { String::new() } else { format!(", and {count} sessions of unknown cost") }
    };
    let total = sums.values().fold((0_u64, 0), |all, one| (all.0.saturating_add(one.0), all.1 + one.1));
    let count = sums.len();
    let lines = sums
        .into_iter()
        .map(|(project, (micros, missing))| format!("{project}: {}{}", dollars(micros), unknown(missing)));
    let each = list(lines, count, "No sessions.");
    format!("All sessions that are kept: {}{}.\n{each}", dollars(total.0), unknown(total.1))
}

/// The last events of a session that a person wants to read, newest first.
pub fn last_events(hub: &Hub, session: (String, u32)) -> Result<Vec<EventView>, StoreError> {
    let kinds = ["message.part.updated", "session.*", "permission.*", "question.*", "approval.*"];
    let query = EventQuery {
        filter: EventFilter {
            session: Some(session),
            kinds: kinds.map(KindFilter::parse).to_vec(),
            ..EventFilter::default()
        },
        order: EventOrder::Descending,
        after: None,
        limit: EVENTS,
        count: false,
    };
    let view = hub.view();
    Ok(hub.store().read()?.events(&query, &view.stored.tail)?.events)
}

/// Those events as lines, oldest first.
pub fn log(events: &[EventView]) -> String {
    let mut lines: Vec<String> = events.iter().filter_map(line_of).take(MOST_LINES).collect();
    lines.reverse();
    if lines.is_empty() { "Nothing yet.".to_owned() } else { lines.join("\n") }
}

fn line_of(event: &EventView) -> Option<String> {
    let first = |texts: Option<&str>| one_line(texts.unwrap_or_default());
    let words = match event.what() {
        What::Part(part) => match &part.content {
            Content::Text(said) => one_line(&said.text),
            Content::Tool(tool) if tool.state != ToolState::Pending => {
                let (name, command) = (one_line(&tool.tool), one_line(tool.input.command()));
                format!("[{name}] {} {command}", tool.state.as_str())
            }
            _ => return None,
        },
        What::Failed(failure) => {
            format!("error: {}", first(failure.as_ref().map(|failure| failure.message.as_str())))
        }
        What::Idle => "idle".to_owned(),
        What::PermissionAsked(asked) => format!("asks: {}", first(asked.command.as_deref())),
        What::QuestionAsked(asked) => {
            format!("asks: {}", first(asked.questions.first().map(|one| one.question.as_str())))
        }
        What::ApprovalAnswered { answer, by } => format!("{} by {}", one_line(&answer), one_line(&by)),
        What::Ended { reason } => format!("ended: {}", one_line(&reason)),
        _ => return None,
    };
    let clock = event.occurred_at.to_string();
    Some(format!("{} {words}", clock.get(11..19)?))
}

/// What a command has come to that is not done.
pub fn outcome(command: &Command) -> ChatReply {
    let (verb, node) = (command.verb.as_str(), &command.node_id);
    let why = command.error.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    match command.state {
        CommandState::Done => ChatReply { text: format!("{verb} is done."), went_well: true },
        CommandState::Queued | CommandState::Sent | CommandState::Running => ChatReply {
            text: format!(
                "{verb} is under way: {} on node {node}. `halctl commands get {}`",
                command.state.as_str(),
                command.id
            ),
            went_well: true,
        },
        CommandState::Failed | CommandState::Expired | CommandState::Unknown => ChatReply {
            text: format!("{verb} on node {node} {}{why}.", command.state.as_str()),
            went_well: false,
        },
    }
}

fn list(lines: impl Iterator<Item = String>, count: usize, none: &str) -> String {
    let mut shown: Vec<String> = lines.take(MOST_LINES).collect();
    if shown.is_empty() {
        return none.to_owned();
    }
    if count > shown.len() {
        shown.push(format!("and {} more", count - shown.len()));
    }
    shown.join("\n")
}

fn one_line(text: &str) -> String {
    cut(&text.split_whitespace().collect::<Vec<_>>().join(" "), MOST_OF_LINE)
}

/// At most so many characters of a text.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => {
            let start: String = text.chars().take(most.saturating_sub(1)).collect();
            format!("{start}…")
        }
    }
}
