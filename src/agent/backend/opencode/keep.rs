//! Keeps an opencode running: starts it, starts it again when it ends, and ends it in the right order.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::client::{Call, Client};
use super::dialect::Dialect;
use super::resume::{TakenUp, take_up};
use super::server::{Server, StartError, program_of};
use super::stream::{EndOfStream, Listener};
use super::tracker::Tracker;
use super::{FOREIGN, Link, Shared, Up, two};
use crate::backend::hold::unheld;
use crate::backend::program::{self, Print};
use crate::backend::{KnownSessions, Report, processes};
use hal_base::backoff::Backoff;
use hal_base::cause::chain;
use hal_base::id::fresh_secret;

/// Waits between starts: an opencode that cannot start is tried again for ever, but not often.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// An opencode that has run for this long had started well.
const RAN_WELL: Duration = Duration::from_secs(60);

/// How long opencode may take to abort its turns and end their tools.
const DISPOSE_LIMIT: Duration = Duration::from_secs(10);

/// How long its last events may take after that.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a run came to its end.
enum Ending {
    /// We were told to stop, or nobody listens any more.
    Stopped,
    /// The same, and it goes on without us.
    Left,
    /// It is to read again what was mended.
    Renewed,
    /// It ended by itself, or had to be ended; why.
    Lost(String),
}

/// Runs until the group of tasks stops. What it leaves behind is nothing.
pub async fn keep(shared: Arc<Shared>, memory: KnownSessions) {
    let mut keeper = Keeper { tracker: Tracker::new(memory), said: None, shared: &shared };
    tokio::select! {
        () = keeper.run() => {}
        // A run that was interrupted anywhere is cleaned up below; one that had begun to listen ends by itself.
        () = patience_after(&shared) => tracing::warn!("opencode was ended in the middle of stopping"),
    }
    let held = match &shared.config.hold {
        Some(hold) if shared.leaves.load(Ordering::Relaxed) => hold.marks(&shared.mark_begin()),
        Some(hold) => {
            hold.clear(&shared.mark_begin()).await;
            Vec::new()
        }
        None => Vec::new(),
    };
    sweep_but(&shared.mark_prefix(), held).await;
    shared.link.send_replace(Link::Down("the agent is stopping".into()));
    shared.ended.send_replace(true);
}

/// Resolves when stopping has taken too long.
async fn patience_after(shared: &Shared) {
    shared.stop.cancelled().await;
    sleep(DISPOSE_LIMIT + Duration::from_secs(8)).await;
}

struct Keeper<'a> {
    shared: &'a Shared,
    tracker: Tracker,
    /// What was last reported of its health, so that it is reported once.
    said: Option<Option<String>>,
}

impl Keeper<'_> {
    async fn run(&mut self) {
        let mut taken_up = self.take_up().await;
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let mark = format!("{}.{}", self.shared.mark_prefix(), &fresh_secret()[..16]);
            let began = Instant::now();
            let program = program_of(&self.shared.config);
            let before = Print::of(&program);
            let started = match taken_up.take() {
                Some(server) => Ok(server),
                None => tokio::select! {
                    () = self.shared.stop.cancelled() => return,
                    started = Server::start(&self.shared.config, mark.clone(), self.shared.gate.anew()) => started,
                },
            };
            let why = match started {
                Ok(server) => match self.attend(server).await {
                    Ending::Stopped | Ending::Left => return,
                    Ending::Renewed => {
                        sweep(&mark).await;
                        continue;
                    }
                    Ending::Lost(why) => why,
                },
                Err(error @ StartError::Version { .. }) => {
                    // No start will change that, and each would change what the right one needs.
                    self.down(chain(&error)).await;
                    tokio::select! {
                        () = self.shared.stop.cancelled() => return,
                        () = program::replaced(&program, before.as_ref()) => continue,
                    }
                }
                Err(error) => chain(&error),
            };
            // Its tools have outlived it, and what they do leads nowhere any more.
            sweep(&mark).await;
            if began.elapsed() > RAN_WELL {
                backoff.reset();
            }
            self.down(why).await;
            tokio::select! {
                () = self.shared.stop.cancelled() => return,
                () = sleep(backoff.next_delay()) => {}
            }
            self.shared.link.send_if_modified(|link| {
                // Whoever asks now may wait for the start, unless starting is what fails.
                let was_up = backoff.tries() <= 1;
                if was_up {
                    *link = Link::Starting;
                }
                was_up
            });
        }
    }

    /// Goes on with an opencode that was kept while turns run in it. Whatever else an earlier agent has left works on
    /// without anybody who looks, and is ended.
    async fn take_up(&mut self) -> Option<Server> {
        let mut taken = TakenUp::default();
        if let Some(hold) = &self.shared.config.hold {
            taken = take_up(self.shared, hold, &self.shared.mark_begin()).await;
        }
        let kept: Vec<String> = taken.server.iter().map(|server| server.mark.clone()).collect();
        let left = sweep_but(&self.shared.mark_prefix(), kept).await;
        if left > 0 {
            tracing::info!("ended {left} processes that an earlier agent had left");
        }
        if let Some(why) = taken.ended {
            self.down(why).await;
            self.shared.link.send_replace(Link::Starting);
        }
        taken.server
    }

    /// Listens to a running opencode until it ends or we are to stop.
    async fn attend(&mut self, mut server: Server) -> Ending {
        tracing::info!("opencode {} is running", server.version);
        self.shared.asks.clear();
        server.keep();
        *self.shared.taken_up.lock().unwrap_or_else(PoisonError::into_inner) =
            server.is_resumed.then(|| server.mark.clone());
        let client = server.client.clone();
        let mut passed = client.more_passed();
        let up =
            Up { client: client.clone(), mark: server.mark.clone(), pid: server.pid().unwrap_or_default() };
        let shared = self.shared;
        let (ready, mut readiness) = tokio::sync::watch::channel(false);
        let is_ready = || {
            ready.send_replace(true);
            shared.link.send_replace(Link::Up(up.clone()));
        };
        let mut listening = match client.dialect {
            Dialect::One => Listener::new(shared, &client, &mut self.tracker).listen(is_ready).boxed(),
            Dialect::Two => {
                two::listen::Listener::new(shared, &client, &mut self.tracker).listen(is_ready).boxed()
            }
        };
        let said = &mut self.said;
        let ending = loop {
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => break match shared.leaves.load(Ordering::Relaxed) && server.is_held() {
                    true => Ending::Left,
                    false => Ending::Stopped,
                },
                Ok(()) = passed.changed() => server.keep(),
                why = server.ended() => return Ending::Lost(why),
                Ok(()) = readiness.changed() => {
                    let state = client.causes.is_foreign().then(|| FOREIGN.to_owned());
                    if !say(shared, said, state).await {
                        break Ending::Stopped;
                    }
                }
                () = client.causes.turn_foreign(), if !matches!(said, Some(Some(_))) => {
                    if !say(shared, said, Some(FOREIGN.to_owned())).await {
                        break Ending::Stopped;
                    }
                }
                end = &mut listening => break match end {
                    EndOfStream::Broken(why) => Ending::Lost(format!("its event stream cannot be read: {why}")),
                    EndOfStream::Mended => Ending::Renewed,
                    EndOfStream::Disposed | EndOfStream::ManagerGone => Ending::Stopped,
                },
            }
        };
        if matches!(ending, Ending::Left) {
            return ending;
        }
        if matches!(ending, Ending::Stopped) {
            // Its last events are still heard.
            tokio::select! {
                () = dispose(shared, &client) => {}
                _ = &mut listening => {}
            }
        }
        server.end().await;
        ending
    }

    async fn down(&mut self, why: String) {
        tracing::warn!("opencode is not running: {why}");
        self.shared.link.send_replace(Link::Down(why.clone()));
        // Without a session manager there is nobody to tell.
        let _ = say(self.shared, &mut self.said, Some(why)).await;
    }
}

/// Reports its health when that is news. False when nobody takes reports any more.
async fn say(shared: &Shared, said: &mut Option<Option<String>>, state: Option<String>) -> bool {
    let is_news = said.replace(state.clone()) != Some(state.clone());
    !is_news || shared.reports.send(Report::Health(state)).await.is_ok()
}

async fn dispose_one(client: &Client, place: String) {
    let call = Call::new("/instance/dispose", "ending its turns").about(&place).within(DISPOSE_LIMIT);
    if let Err(error) = client.tell(call, &json!({})).await {
        tracing::warn!("opencode did not end its turns in {place}: {error}");
    }
}

/// Has opencode abort its turns and end their tools, which it does not do when it is merely ended.
async fn dispose(shared: &Shared, client: &Client) {
    if client.dialect == Dialect::Two {
        two::kill::interrupt_all(client).await;
        return sleep(LAST_WORDS).await;
    }
    if shared.places.is_any_slow() {
        // What ends all of them waits for each; where one hangs, each is ended by itself.
        let fit = shared.places.fit(&shared.directories.existing());
        join_all(fit.into_iter().map(|place| dispose_one(client, place).boxed())).await;
        return sleep(LAST_WORDS).await;
    }
    let call = Call::new("/global/dispose", "ending its turns").within(DISPOSE_LIMIT);
    if let Err(error) = client.tell(call, &json!({})).await {
        tracing::warn!("opencode did not end its turns: {error}");
    }
    sleep(LAST_WORDS).await;
}

/// Ends everything whose mark begins like this; tells how many processes there were.
async fn sweep(mark: &str) -> usize {
    sweep_but(mark, Vec::new()).await
}

/// The same, but for what is held with these marks.
async fn sweep_but(mark: &str, held: Vec<String>) -> usize {
    let mark = mark.to_owned();
    let (found, left) = processes::end(move || unheld(&mark, &held)).await;
    if left > 0 {
        tracing::warn!("{left} processes of opencode could not be ended");
    }
    found
}
