//! `halctl events`: the list, the tail, and the history that other nouns read.

use serde::Serialize;
use tokio::signal::ctrl_c;

use super::cli::{EventFilter, EventVerb};
use super::client::{Client, Pages, Query};
use super::feed::{Feed, LiveView, News};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::print::text::short;
use hal_base::clock::{Time, now};
use hal_base::exit::Failure;
use hal_protocol::event::EventView;
use hal_protocol::event::kind::Kind;

/// Events in one page: their data may be large.
const PAGE: usize = 200;

/// Characters of an event's data that are left when it is to be short; JSON and YAML show all.
const MAX_DATA: usize = 400;

/// Carries out one of the verbs.
pub async fn run(verb: EventVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        EventVerb::List { filter, until, limit } => {
            let mut query = query(&filter);
            query.push(("since", moment(filter.since.map(|since| since.at(now())))));
            query.push(("until", moment(until.map(|until| until.at(now())))));
            let limit = Some(limit).filter(|limit| *limit > 0);
            let events = history(client, &query, limit).await?.all().await?;
            match filter.short {
                true => screen.list(&events.into_iter().map(Short).collect::<Vec<_>>(), "No events."),
                false => screen.list(&events, "No events."),
            }
        }
        EventVerb::Tail { filter } => {
            tokio::select! {
                told = tail(client, screen, &filter) => told,
                _ = ctrl_c() => screen.flush(),
            }
        }
    }
}

/// Events that match, oldest first: the last `limit` of them, or all.
pub async fn history<'a>(
    client: &'a Client,
    query: &Query,
    limit: Option<usize>,
) -> Result<History<'a>, Failure> {
    let Some(limit) = limit else {
        return Ok(History::Forward(client.pages("events", ordered(query, "asc"), None, PAGE)));
    };
    let mut latest = client.pages("events", ordered(query, "desc"), Some(limit), PAGE).all().await?;
    latest.reverse();
    Ok(History::Whole(Some(latest)))
}

/// Events that match and come after `seq`, oldest first.
pub async fn after(client: &Client, query: &Query, seq: u64) -> Result<Vec<EventView>, Failure> {
    let mut pages = client.pages("events", ordered(query, "desc"), None, PAGE);
    let mut events: Vec<EventView> = Vec::new();
    while let Some(page) = pages.next().await? {
        let reached = page.iter().any(|event: &EventView| event.seq <= seq);
        events.extend(page.into_iter().filter(|event| event.seq > seq));
        if reached {
            break;
        }
    }
    events.reverse();
    Ok(events)
}

/// Past events, in pages.
pub enum History<'a> {
    /// Read from the first one on.
    Forward(Pages<'a, EventView>),
    /// Read already.
    Whole(Option<Vec<EventView>>),
}

impl History<'_> {
    /// The next page, oldest first; `None` when there are no more.
    pub async fn next(&mut self) -> Result<Option<Vec<EventView>>, Failure> {
        match self {
            Self::Forward(pages) => pages.next().await,
            Self::Whole(events) => Ok(events.take()),
        }
    }

    /// All pages together.
    async fn all(mut self) -> Result<Vec<EventView>, Failure> {
        let mut events = Vec::new();
        while let Some(page) = self.next().await? {
            events.extend(page);
        }
        Ok(events)
    }
}

/// Events as they happen, after those since a moment when one is given. None comes twice.
async fn tail(client: &Client, screen: &mut Screen, filter: &EventFilter) -> Result<(), Failure> {
    let query = query(filter);
    let mut feed = Feed::open(client, query.clone()).await?;
    let mut last = 0;
    if let Some(since) = filter.since {
        let past = query.iter().cloned().chain([("since", since.at(now()).to_string())]).collect();
        let mut pages = history(client, &past, None).await?;
        while let Some(page) = pages.next().await? {
            for event in page {
                last = last.max(event.seq);
                show(screen, event, filter.short)?;
            }
        }
    }
    loop {
        match feed.next().await? {
            News::Event(event) if event.seq <= last => {}
            News::Event(event) => {
                last = event.seq;
                show(screen, event, filter.short)?;
            }
            // Before the first event there is no place to go back to.
            News::Gap if last == 0 => screen.say("Some events were missed; see `halctl events list`."),
            News::Gap => {
                for event in after(client, &query, last).await? {
                    last = event.seq;
                    show(screen, event, filter.short)?;
                }
            }
            News::Lost => screen.say("The connection to the supervisor is lost; retrying."),
            News::Back => screen.say("The supervisor is back."),
            News::Live(_) => {}
        }
    }
}

fn show(screen: &mut Screen, event: EventView, is_short: bool) -> Result<(), Failure> {
    if is_short { screen.next(&Short(event)) } else { screen.next(&event) }
}

fn query(filter: &EventFilter) -> Query {
    vec![
        ("session_id", filter.session.clone().unwrap_or_default()),
        ("node_id", filter.node_id.clone().unwrap_or_default()),
        ("project", filter.project.clone().unwrap_or_default()),
        ("type", filter.kinds.join(",")),
    ]
}

fn ordered(query: &Query, order: &str) -> Query {
    query.iter().cloned().chain([("order", order.to_owned())]).collect()
}

fn moment(at: Option<Time>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

impl Record for EventView {
    fn fields(&self) -> Vec<Field> {
        let tone = match Kind::parse(&self.kind) {
            Some(
                Kind::SessionError
                | Kind::SessionInterrupted
                | Kind::NodeOffline
                | Kind::Gap
                | Kind::ProjectError,
            ) => Tone::Bad,
            Some(Kind::PermissionAsked | Kind::QuestionAsked) => Tone::Attention,
            Some(Kind::SessionIdle) => Tone::Good,
            _ => Tone::Plain,
        };
        vec![
            Field::new("id", &self.id).wide(),
            Field::moment("timestamp", self.timestamp),
            Field::id("session_id", &self.session_id).weight(70),
            Field::new("node_id", &self.node_id).weight(40),
            Field::new("project", &self.project).weight(45),
            Field::new("type", &self.kind).tone(tone).weight(95),
            Field::new("seq", self.seq).wide(),
            Field::new("node_seq", self.node_seq).wide(),
            Field::moment("occurred_at", self.occurred_at).wide(),
            Field::new("data", self.data.get()).long().weight(80),
        ]
    }
}

/// An event whose data is cut where people read it.
#[derive(Serialize)]
#[serde(transparent)]
struct Short(EventView);

impl Record for Short {
    fn fields(&self) -> Vec<Field> {
        let fields = self.0.fields().into_iter();
        let cut = |field: Field| match field.key {
            "data" => Field::new("data", short(self.0.data.get(), MAX_DATA)).long().weight(field.weight),
            _ => field,
        };
        fields.map(cut).collect()
    }
}

impl Record for LiveView {
    fn fields(&self) -> Vec<Field> {
        vec![
            Field::id("session_id", &self.session_id),
            Field::new("node_id", &self.node_id),
            Field::new("type", &self.kind),
            Field::new("data", self.data.get()).long(),
        ]
    }
}
