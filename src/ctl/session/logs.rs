//! `halctl sessions logs` and `watch`: a session read as a conversation, once or while it happens.

use tokio::signal::ctrl_c;
use tokio::sync::mpsc::Receiver;

use super::attach;
use super::conversation::Conversation;
use super::fetch;
use super::state::{Change, Watched};
use crate::cli::Output;
use crate::client::{Client, Query};
use crate::event::{after, history};
use crate::feed::{Feed, LiveView, News};
use crate::print::Screen;
use hal_base::clock::now;
use hal_base::exit::Failure;
use hal_protocol::event::EventView;
use hal_protocol::session::Status;

/// Shows what was said, and with `follow` what is said from then on.
pub async fn logs(
    client: &Client,
    screen: &mut Screen,
    id: &str,
    follow: bool,
    limit: Option<usize>,
) -> Result<(), Failure> {
    let session = fetch(client, id).await?;
    let query = vec![("session_id", session.id.to_string())];
    // Opened before the history is read: what happens in between comes twice, and is told once.
    let feed = if follow { Some(Feed::open(client, query.clone()).await?) } else { None };
    let mut teller = Teller::new(screen, query.clone(), follow);
    let mut pages = history(client, &query, limit).await?;
    while let Some(page) = pages.next().await? {
        for event in page {
            teller.event(&event)?;
        }
    }
    let Some(feed) = feed else { return teller.finish() };
    let watched = Watched::new(&fetch(client, id).await?);
    teller.screen.flush()?;
    tokio::select! {
        told = teller.follow(client, feed, watched, None) => told,
        _ = ctrl_c() => teller.finish(),
    }
}

/// Shows what is said from now on, word by word.
pub async fn watch(client: &Client, screen: &mut Screen, id: &str) -> Result<(), Failure> {
    let query = vec![("session_id", fetch(client, id).await?.id.to_string())];
    let live = query.iter().cloned().chain([("live", "true".to_owned())]).collect();
    let feed = Feed::open(client, live).await?;
    let watched = Watched::new(&fetch(client, id).await?);
    let mut teller = Teller::new(screen, query, true);
    teller.status(&watched)?;
    tokio::select! {
        told = teller.follow(client, feed, watched, None) => told,
        _ = ctrl_c() => teller.finish(),
    }
}

/// Shows what was said last and what is said from now on, and says to the session what is typed.
pub async fn attach(client: &Client, screen: &mut Screen, id: &str, limit: usize) -> Result<(), Failure> {
    let id = fetch(client, id).await?.id.to_string();
    let query = vec![("session_id", id.clone())];
    let live = query.iter().cloned().chain([("live", "true".to_owned())]).collect();
    // Opened before the history is read: what happens in between comes twice, and is told once.
    let feed = Feed::open(client, live).await?;
    let mut teller = Teller::new(screen, query.clone(), true);
    let mut pages = history(client, &query, Some(limit.max(1))).await?;
    while let Some(page) = pages.next().await? {
        for event in page {
            teller.event(&event)?;
        }
    }
    let watched = Watched::new(&fetch(client, &id).await?);
    teller.status(&watched)?;
    let remarks = attach::listen(client.clone(), id);
    tokio::select! {
        told = teller.follow(client, feed, watched, Some(remarks)) => told,
        _ = ctrl_c() => teller.finish(),
    }
}

/// What is told of what was typed; `None` when nobody types any more.
async fn remark(remarks: &mut Option<Receiver<String>>) -> Option<String> {
    match remarks {
        Some(remarks) => remarks.recv().await,
        None => std::future::pending().await,
    }
}

/// Tells events in the shape the screen has: as a conversation, or as they are.
struct Teller<'a> {
    screen: &'a mut Screen,
    conversation: Conversation,
    query: Query,
    /// The place of the last event told.
    seq: u64,
    status: Option<Status>,
}

impl<'a> Teller<'a> {
    fn new(screen: &'a mut Screen, query: Query, eager: bool) -> Self {
        let conversation = Conversation::new(screen.color(), eager);
        Self { screen, conversation, query, seq: 0, status: None }
    }

    async fn follow(
        &mut self,
        client: &Client,
        mut feed: Feed,
        mut watched: Watched,
        mut remarks: Option<Receiver<String>>,
    ) -> Result<(), Failure> {
        let id = watched.id().to_owned();
        while watched.status() != Status::Ended {
            let mut retake = false;
            let news = tokio::select! {
                news = feed.next() => news?,
                remark = remark(&mut remarks) => match remark {
                    Some(remark) => {
                        self.screen.say(&remark);
                        continue;
                    }
                    None => break,
                },
            };
            match news {
                News::Event(event) => {
                    self.event(&event)?;
                    retake = watched.hear(&event) == Change::Retake;
                }
                News::Live(live) => self.live(&live)?,
                News::Gap => {
                    for event in after(client, &self.query, self.seq).await? {
                        self.event(&event)?;
                    }
                    retake = true;
                }
                News::Lost => self.screen.say("The connection to the supervisor is lost; retrying."),
                News::Back => self.screen.say("The supervisor is back."),
            }
            if retake {
                watched = Watched::new(&fetch(client, &id).await?);
            }
            if self.status.is_some_and(|known| known != watched.status()) {
                self.status(&watched)?;
            }
            self.screen.flush()?;
        }
        self.finish()
    }

    fn is_raw(&self) -> bool {
        matches!(self.screen.output(), Output::Json | Output::Yaml)
    }

    /// Tells an event that was not told yet.
    fn event(&mut self, event: &EventView) -> Result<(), Failure> {
        if event.seq <= self.seq {
            return Ok(());
        }
        self.seq = event.seq;
        if self.is_raw() {
            return self.screen.next(event);
        }
        let text = self.conversation.hear(event);
        self.screen.write(&text)
    }

    fn live(&mut self, live: &LiveView) -> Result<(), Failure> {
        if self.is_raw() {
            return self.screen.next(live);
        }
        let text = self.conversation.overhear(&live.kind, &live.data, now());
        self.screen.write(&text)
    }

    /// Tells the status; from then on whenever it changes.
    fn status(&mut self, watched: &Watched) -> Result<(), Failure> {
        self.status = Some(watched.status());
        if self.is_raw() {
            return Ok(());
        }
        let text = self.conversation.remark(now(), "status", &watched.sentence());
        self.screen.write(&text)?;
        self.screen.flush()
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let text = self.conversation.finish();
        self.screen.write(&text)?;
        self.screen.flush()
    }
}
