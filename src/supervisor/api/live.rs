//! `GET /api/v1/live`: one WebSocket for each page of the dashboard. It gets what has changed of the topics that it
//! follows, not the events that changed it.
//!
//! A reader costs what its topics hold, however much happens: what changes twice between two looks is told once, and a
//! slow reader is told the latest when it has taken what was before. Nothing is queued for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

mod words;

use super::reading;
use super::stream::cursor;
use crate::caller::Caller;
use crate::dashboard;
use crate::refusal::ApiError;
use crate::shared::{MOST_PAGES, Shared};
use crate::topics::{Listing, Thing, Topic};
use hal_base::clock;
use hal_protocol::api::Refusal;
use hal_protocol::event::raw;
use hal_protocol::live::{
    Change, FromPage, LiveItem, LiveOpening, PageHello, Picture, Ping, SUBPROTOCOL, ServerInfo, Versions,
};
use hal_protocol::session::SessionId;
use words::Watching;

/// A page says hello within this time.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// Between two changes of a topic.
const PACE: Duration = Duration::from_millis(250);

/// What a commit without events has changed, such as who has seen an approval, is looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two signs of life: a page that hears nothing for longer than two of them knows that the way is dead.
const PING_EVERY: Duration = Duration::from_secs(20);

/// A page that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(65);

/// A frame is taken by the network within this time, else the page is gone.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// Between two frames of what is being written.
const WORDS_PACE: Duration = Duration::from_millis(100);

/// The largest frame of a page, in bytes: what it has of its topics.
const MAX_FRAME: usize = 64 * 1024;

/// Bytes of a connection's read buffer.
const READ_BUFFER: usize = 4 * 1024;

/// Codes of a close: the supervisor ends; the page broke the rules; what it came in by is good no more.
const AWAY: u16 = 1001;
const POLICY: u16 = 1008;
const LOGGED_OUT: u16 = 4401;

/// Follows topics as they change, for the dashboard: a WebSocket with the subprotocol `hal.live.1`. The page says which
/// topics it wants (`chrome`, `approvals`, `halt`, `fleet?..`, `session?id=..`) and what it has; it gets a verdict (`ok` or `gap`), then pictures and
/// changes. It ends when what it was opened with is revoked.
#[utoipa::path(get, path = "/api/v1/live", responses((status = 101, description = "the WebSocket is open"), (status = 401, body = Refusal), (status = 403, body = Refusal), (status = 426, body = Refusal), (status = 503, body = Refusal)))]
pub async fn open(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return (StatusCode::UPGRADE_REQUIRED, "this is a WebSocket: see packaging/docs/API.md\n")
            .into_response();
    };
    let Ok(permit) = shared.pages.clone().try_acquire_owned() else {
        return ApiError::unavailable(format!("{MOST_PAGES} pages are open already; close some"))
            .into_response();
    };
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME);
    upgrade.on_upgrade(move |socket| Page::new(shared, caller, permit).hold(socket))
}

/// A page that follows.
struct Page {
    shared: Shared,
    caller: Caller,
    store_id: String,
    wanted: BTreeSet<Topic>,
    is_visible: bool,
    /// What the page has of each topic.
    told: BTreeMap<&'static str, Told>,
    /// The session of which it sees what is being written.
    watching: Option<Watching>,
    _permit: OwnedSemaphorePermit,
}

/// What a page has of a topic.
#[derive(Debug, Default)]
struct Told {
    versions: HashMap<String, String>,
    total: u64,
}

/// Why a page is told nothing more.
struct End(u16, &'static str);

/// The page is gone, so nobody is told why.
const GONE: End = End(0, "");

impl Page {
    fn new(shared: Shared, caller: Caller, permit: OwnedSemaphorePermit) -> Self {
        let store_id = shared.hub.view().stored.store_id.to_string();
        let (wanted, told) = (BTreeSet::new(), BTreeMap::new());
        Self { shared, caller, store_id, wanted, is_visible: true, told, watching: None, _permit: permit }
    }

    async fn hold(mut self, mut socket: WebSocket) {
        let metrics = self.shared.metrics.clone();
        metrics.streams.inc();
        let Err(End(code, reason)) = self.follow(&mut socket).await;
        metrics.streams.dec();
        if code > 0 {
            let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
            let _gone_already = timeout(WRITE_LIMIT, socket.send(close)).await;
        }
    }

    async fn follow(&mut self, socket: &mut WebSocket) -> Result<std::convert::Infallible, End> {
        let shared = self.shared.clone();
        let hello = match timeout(HELLO_LIMIT, socket.recv()).await {
            Ok(Some(Ok(Message::Text(text)))) => read(&text)?.hello,
            Ok(Some(Ok(_))) => None,
            Ok(_) => return Err(GONE),
            Err(_) => None,
        };
        let hello = hello.ok_or(End(POLICY, "expected hello"))?;
        self.begin(hello, socket).await?;
        let mut committed = shared.hub.committed();
        let pass = self.caller.pass.clone();
        let is_over = pass.is_over(&shared);
        tokio::pin!(is_over);
        let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut next, mut heard, mut is_due) = (Instant::now() + PACE, Instant::now(), false);
        let mut next_words = Instant::now();
        loop {
            tokio::select! {
                () = &mut is_over => return Err(End(LOGGED_OUT, "logged out")),
                changed = committed.changed(), if !is_due => {
                    changed.map_err(|_| End(AWAY, "the supervisor ends"))?;
                    is_due = true;
                }
                () = sleep_until(next), if is_due => {
                    committed.borrow_and_update();
                    is_due = false;
                    self.tell(socket).await?;
                    next = Instant::now() + PACE;
                }
                _ = pings.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Err(GONE);
                    }
                    send(socket, &Ping { ping: clock::now() }).await?;
                }
                () = hear(&mut self.watching) => {}
                () = sleep_until(next_words), if self.watching.as_ref().is_some_and(Watching::has_news) => {
                    if let Some(watching) = &mut self.watching {
                        send(socket, &watching.take()).await?;
                    }
                    next_words = Instant::now() + WORDS_PACE;
                }
                // It costs nothing while nothing has changed.
                _ = looks.tick() => is_due = true,
                message = socket.recv() => {
                    let message = message.and_then(Result::ok).ok_or(GONE)?;
                    heard = Instant::now();
                    if let Message::Text(text) = message {
                        is_due |= self.take(read(&text)?);
                    }
                }
            }
        }
    }

    /// The verdict on what the page has, and then what it lacks.
    async fn begin(&mut self, hello: PageHello, socket: &mut WebSocket) -> Result<(), End> {
        let view = self.shared.hub.view();
        let now = view.stored.last_seq;
        let seq = hello.cursor.rsplit_once('-').and_then(|(_, seq)| seq.parse::<u64>().ok());
        let is_ours = seq.is_some_and(|seq| hello.cursor == cursor(&self.store_id, seq) && seq <= now);
        if is_ours {
            let known = hello.have.into_iter().filter_map(|(word, its)| Some((Topic::parse(&word)?, its)));
            self.told = known.map(|(topic, its)| (topic.as_str(), Told::of(its))).collect();
        }
        let is_ok = is_ours || hello.cursor.is_empty();
        let opening = LiveOpening {
            verdict: if is_ok { "ok" } else { "gap" },
            cursor: cursor(&self.store_id, now),
            server: ServerInfo {
                version: env!("CARGO_PKG_VERSION"),
                build: dashboard::build(),
                now: clock::now(),
            },
        };
        send(socket, &opening).await?;
        self.take(FromPage {
            topics: Some(hello.topics),
            visible: hello.visible,
            watch: hello.watch,
            hello: None,
        });
        self.tell(socket).await
    }

    /// What the page wants from now on. True when that is more than before.
    fn take(&mut self, said: FromPage) -> bool {
        if let Some(topics) = &said.topics {
            let known = topics.iter().filter_map(|word| Topic::parse(word));
            // One query of a topic; the head of the page is told first.
            let by_word: BTreeMap<_, _> = known.map(|topic| (topic.as_str(), topic)).collect();
            let wanted: BTreeSet<Topic> = by_word.into_values().collect();
            let before = std::mem::replace(&mut self.wanted, wanted);
            // Another window of the fleet shares rows with the one before; another session has nothing of it.
            let stays = |topic: &Topic| topic.as_str() != "session" || before.contains(topic);
            let wanted = &self.wanted;
            self.told.retain(|word, _| wanted.iter().any(|topic| topic.as_str() == *word && stays(topic)));
        }
        self.is_visible = said.visible.unwrap_or(self.is_visible);
        if let Some(session) = said.watch {
            let session = SessionId::from(session);
            if self.watching.as_ref().is_none_or(|one| *one.session() != session) {
                self.watching = Watching::begin(&self.shared, &session);
            }
        }
        said.topics.is_some() || said.visible == Some(true)
    }

    /// Tells what the page lacks of its topics.
    async fn tell(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        if !self.caller.is_good(&self.shared) {
            return Err(End(LOGGED_OUT, "logged out"));
        }
        for topic in self.wanted.clone() {
            let word = topic.as_str();
            if !self.is_visible && topic != Topic::Chrome {
                continue;
            }
            let view = self.shared.hub.view();
            if *view.stored.store_id != *self.store_id {
                return Err(End(AWAY, "another store was put in place"));
            }
            let cursor = cursor(&self.store_id, view.stored.last_seq);
            drop(view);
            let listing = list(&self.shared, topic).await?;
            let Some(told) = self.told.get_mut(word) else {
                self.draw(word, &listing, cursor, socket).await?;
                continue;
            };
            let (news, gone) = told.compare(&listing);
            if news.is_empty() && gone.is_empty() && told.total == listing.total {
                continue;
            }
            let is_news = |thing: &&Thing| news.contains(&thing.id);
            let things = listing.things.iter().filter(is_news).cloned().collect();
            let upsert = show(&self.shared, things).await?;
            let total = listing.total;
            told.take(&upsert, &gone, total);
            send(socket, &Change { change: word, cursor, upsert, gone, total }).await?;
        }
        Ok(())
    }

    async fn draw(
        &mut self,
        topic: &'static str,
        listing: &Listing,
        as_of: String,
        socket: &mut WebSocket,
    ) -> Result<(), End> {
        let total = listing.total;
        let items = show(&self.shared, listing.things.clone()).await?;
        let mut told = Told::default();
        told.take(&items, &[], total);
        self.told.insert(topic, told);
        send(socket, &Picture { picture: topic, as_of, items, total }).await
    }
}

impl Told {
    fn of(versions: Versions) -> Self {
        // The total is another one than any, so that it is told.
        Self { versions: versions.into_iter().collect(), total: u64::MAX }
    }

    /// What is new or another, and what is gone.
    fn compare(&self, listing: &Listing) -> (BTreeSet<String>, Vec<String>) {
        let is_news = |thing: &&Thing| self.versions.get(&thing.id) != Some(&thing.version);
        let news = listing.things.iter().filter(is_news).map(|thing| thing.id.clone()).collect();
        let there: BTreeSet<&str> = listing.things.iter().map(|thing| thing.id.as_str()).collect();
        let gone = self.versions.keys().filter(|id| !there.contains(id.as_str())).cloned().collect();
        (news, gone)
    }

    fn take(&mut self, items: &[LiveItem], gone: &[String], total: u64) {
        for id in gone {
            self.versions.remove(id);
        }
        self.versions.extend(items.iter().map(|item| (item.id.clone(), item.v.clone())));
        self.total = total;
    }
}

fn read(text: &str) -> Result<FromPage, End> {
    serde_json::from_str(text).map_err(|_| End(POLICY, "a frame cannot be read"))
}

async fn hear(watching: &mut Option<Watching>) {
    match watching {
        Some(watching) => watching.hear().await,
        None => std::future::pending().await,
    }
}

/// What a topic holds. Many sessions take a moment to sort: on a thread that may block.
async fn list(shared: &Shared, topic: Topic) -> Result<Arc<Listing>, End> {
    if !topic.takes_long() {
        return Ok(shared.listings.of(&topic, &shared.hub));
    }
    let _turn = shared.listings.turn().await.ok_or(GONE)?;
    let listed = reading(shared, move |shared| Ok(shared.listings.of(&topic, &shared.hub)));
    listed.await.map_err(|_| End(AWAY, "the list cannot be made"))
}

async fn show(shared: &Shared, things: Vec<Thing>) -> Result<Vec<LiveItem>, End> {
    let shown = reading(shared, move |shared| {
        things.into_iter().map(|thing| thing.show(&shared.hub)).collect::<Result<Vec<_>, _>>()
    });
    // The log says why; the page comes again.
    shown.await.map_err(|_| End(AWAY, "the store cannot be read"))
}

async fn send(socket: &mut WebSocket, frame: &impl Serialize) -> Result<(), End> {
    let text = Message::text(raw(frame).get());
    match timeout(WRITE_LIMIT, socket.send(text)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(GONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_lacks_is_what_differs_from_what_it_has() {
        let told = Told::of([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "1".to_owned())].into());
        assert_ne!(told.total, 0, "the total is told to whoever comes again");
        let (news, gone) = told.compare(&Listing::default());
        assert!(news.is_empty() && gone.len() == 2);
    }
}
