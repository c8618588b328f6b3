//! `halctl sessions`: list and get; the other verbs have files of their own.

mod act;
mod attach;
mod conversation;
mod life;
mod logs;
mod state;
mod wait;

use super::cli::list::ListArgs;
use super::cli::session::{SessionVerb, Top};
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::print::text::{number, one_line};
use super::watch::{self, Source};
use hal_base::exit::Failure;
use hal_protocol::mark::Attribution;
use hal_protocol::session::{Ask, HelperAsk, SessionView, Status};

/// Sessions in one page of the list.
const PAGE: usize = 1000;

/// Carries out one of the verbs.
pub async fn run(verb: SessionVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        SessionVerb::List { node_id, project, status, label, all, limit, how } => {
            let query = vec![
                ("node_id", node_id.unwrap_or_default()),
                ("project", project.unwrap_or_default()),
                ("status", words(&status)),
                ("label", label.join(",")),
                ("all", if all { "true" } else { "" }.to_owned()),
            ];
            let limit = limit.filter(|limit| *limit > 0);
            let none = "No sessions. Start one with `halctl sessions start --project NAME PROMPT`.";
            let source = Source { path: "sessions", query, limit, page: PAGE };
            watch::list::<SessionView>(client, screen, &how, none, source).await
        }
        SessionVerb::Get { id } => screen.one(&fetch(client, &id).await?),
        SessionVerb::Logs { id, follow, limit } => logs::logs(client, screen, &id, follow, limit).await,
        SessionVerb::Watch { id } => logs::watch(client, screen, &id).await,
        SessionVerb::Attach { id, limit } => logs::attach(client, screen, &id, limit).await,
        SessionVerb::Wait { id, until, timeout } => {
            let status = wait::wait(client, screen, &id, &until, timeout).await?;
            if screen.is_terminal() {
                screen.say(&format!("Session {id} is {}.", status.as_str()));
            }
            Ok(())
        }
        SessionVerb::Act(verb) => act::run(verb, client, screen).await,
        SessionVerb::Life(verb) => life::run(verb, client, screen).await,
    }
}

/// What `halctl top` shows: what is at work or stuck in it.
const AT_WORK: [Status; 4] = [Status::Running, Status::Waiting, Status::Retrying, Status::Error];

/// Carries out `halctl top`.
pub async fn top(asked: Top, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let query = vec![
        ("node_id", asked.node_id.unwrap_or_default()),
        ("project", asked.project.unwrap_or_default()),
        ("status", words(&AT_WORK)),
    ];
    let how = ListArgs { sort: Some(asked.sort), watch: screen.is_terminal() && !asked.once };
    let source = Source { path: "sessions", query, limit: None, page: PAGE };
    watch::list::<SessionView>(client, screen, &how, "No session is running.", source).await
}

fn words(statuses: &[Status]) -> String {
    statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(",")
}

/// One session as it is now.
async fn fetch(client: &Client, id: &str) -> Result<SessionView, Failure> {
    Ok(client.get(&["sessions", id], &Query::new()).await?.data)
}

impl Record for SessionView {
    fn fields(&self) -> Vec<Field> {
        let context = self.context.map(|context| match context.limit {
            Some(limit) if limit > 0 => format!("{}%", context.used.saturating_mul(100) / limit),
            _ => number(context.used),
        });
        let model = self.model.as_ref().map(|model| format!("{}/{}", model.provider, model.id));
        let cost = match self.cost_micros {
            Some(micros) => Field::money("cost", format!("{:.4}", micros as f64 / 1e6), Some(micros)),
            None => Field::money("cost", "unknown", None).tone(Tone::Quiet),
        };
        vec![
            Field::id("id", &self.id),
            Field::new("node_id", &self.node_id).weight(40),
            Field::new("project", &self.project).weight(60),
            Field::new("status", self.status.as_str()).tone(tone(self.status)).weight(95),
            Field::new("detail", detail(self)).long().weight(85),
            Field::new("tokens", self.tokens).brief(number(self.tokens)).weight(20),
            cost.weight(55),
            Field::moment("active_at", self.active_at).weight(50),
            Field::moment("started_at", self.started_at).wide(),
            Field::moment("since", self.since).detail(),
            Field::new("title", &self.title).long().weight(90),
            Field::new("model", model.unwrap_or_default()).wide(),
            Field::new("context", context.unwrap_or_default()).wide(),
            Field::new("backend", &self.backend).wide(),
            Field::new("directory", &self.directory).wide().long(),
            Field::new("parent_id", self.parent_id.as_ref().map(ToString::to_string).unwrap_or_default())
                .detail(),
            Field::new("asks", self.asks.iter().map(asked).collect::<Vec<_>>().join("\n")).detail(),
            Field::new("helper_asks", self.helper_asks.iter().map(asked_by).collect::<Vec<_>>().join("\n"))
                .detail(),
            Field::new("todo", todo(self)).detail(),
            Field::new("labels", self.marks.labels.join(" ")).wide(),
            Field::new("paused", said(self.marks.paused.as_ref())).detail(),
            Field::new("archived", said(self.marks.archived.as_ref())).detail(),
            Field::new("continues", self.marks.continues.clone().unwrap_or_default()).detail(),
            Field::new("continued_by", self.marks.continued_by.clone().unwrap_or_default()).detail(),
            Field::new("unreported_calls", some(self.unreported_calls)).detail(),
            Field::new("unpriced_tokens", some(self.unpriced_tokens)).detail(),
            Field::new("cost_before", before(self.cost_before_micros)).detail(),
            Field::new("compactions", self.compactions).detail(),
            Field::new("events", self.events).detail(),
        ]
    }
}

fn said(said: Option<&Attribution>) -> String {
    said.map_or_else(String::new, |said| format!("by {} at {}", said.by, said.at))
}

/// A number, as long as there is something to be told.
fn some(count: u64) -> String {
    if count == 0 { String::new() } else { count.to_string() }
}

fn before(micros: u64) -> String {
    if micros == 0 { String::new() } else { format!("{:.4}", micros as f64 / 1e6) }
}

/// The one thing to know beyond the status.
fn detail(session: &SessionView) -> String {
    if let Some(halted) = &session.marks.halted {
        return format!("halted {}", said(Some(halted)));
    }
    if let Some(paused) = &session.marks.paused {
        return format!("paused {}", said(Some(paused)));
    }
    match (session.status, &session.retry, &session.last_known) {
        (Status::Waiting, _, _) => {
            let of_helpers = session.helper_asks.iter().map(|one| &one.ask);
            let ask = session.asks.iter().chain(of_helpers).next();
            ask.map(|ask| format!("{}: {}", ask.about, ask.what))
        }
        (Status::Retrying, Some(retry), _) => Some(format!("attempt {}: {}", retry.attempt, retry.message)),
        (Status::Error, _, _) => session.error.clone(),
        (Status::Unreachable, _, Some(last)) => Some(format!("was {}", last.as_str())),
        _ => None,
    }
    .unwrap_or_default()
}

fn asked(ask: &Ask) -> String {
    format!("{} {}: {}", ask.id, ask.about, one_line(&ask.what))
}

fn asked_by(one: &HelperAsk) -> String {
    format!("{} of helper {}", asked(&one.ask), one.session_id)
}

fn todo(session: &SessionView) -> String {
    session.todo.iter().map(|item| todo_line(&item.status, &item.content)).collect::<Vec<_>>().join("\n")
}

/// A line of a to-do list, with a box for its status.
fn todo_line(status: &str, content: &str) -> String {
    let sign = match status {
        "completed" => "[x]",
        "in_progress" => "[>]",
        "cancelled" => "[-]",
        _ => "[ ]",
    };
    format!("{sign} {}", one_line(content))
}

fn tone(status: Status) -> Tone {
    match status {
        Status::Running => Tone::Busy,
        Status::Idle => Tone::Good,
        Status::Waiting | Status::Retrying => Tone::Attention,
        Status::Error | Status::Unreachable => Tone::Bad,
        Status::Ended => Tone::Quiet,
    }
}
