//! A desk for scenes: takes every report of a backend and keeps what it adds up to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hal_o_swarm::agent::backend::{KnownSession, KnownSessions, REPORT_QUEUE, Report, Reports};
use hal_o_swarm::protocol::event::{form, raw};
use hal_o_swarm::protocol::node::{NodeId, ProjectName};
use hal_o_swarm::protocol::session::{Session, SessionId, Status};
use hal_o_swarm::rules::session as rules;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};

/// How long anything may take here: the machine may be busy with other scenes.
const PATIENCE: Duration = Duration::from_secs(90);

/// A kept event.
#[derive(Clone, Debug)]
pub struct Kept {
    pub id: Option<String>,
    pub kind: String,
    pub session: Option<String>,
    pub directory: Option<String>,
    pub data: Value,
    pub mark: Option<u64>,
}

/// Everything that was reported.
#[derive(Default)]
pub struct Record {
    pub events: Vec<Kept>,
    pub sessions: HashMap<SessionId, Session>,
    pub pictures: Vec<Vec<Session>>,
    pub health: Vec<Option<String>>,
    pub live: Vec<(String, Value)>,
    /// What could not be looked at in the last picture that was not whole.
    pub unseen: HashSet<SessionId>,
    /// Why a directory cannot be worked in, or that it can, as it was said last.
    pub places: HashMap<String, Option<String>>,
    marks: HashMap<SessionId, u64>,
}

impl Record {
    /// The status word of a session; `None` before it was heard of.
    pub fn status(&self, session: &str) -> Option<Status> {
        self.sessions.get(session).map(rules::status)
    }

    /// Events of one session and type.
    pub fn of(&self, session: &str, kind: &str) -> Vec<&Kept> {
        let is_it = |event: &&Kept| event.session.as_deref() == Some(session) && event.kind == kind;
        self.events.iter().filter(is_it).collect()
    }

    /// What a backend would be given by a desk that has this record.
    pub fn memory(&self) -> KnownSessions {
        let known = |(id, session): (&SessionId, &Session)| {
            (id.clone(), KnownSession { session: session.clone(), mark: self.marks.get(id).copied() })
        };
        self.sessions.iter().map(known).collect()
    }

    fn take(&mut self, heard: Report) {
        match heard {
            Report::Event(event) => {
                if let Some(id) = &event.session_id {
                    let session = self.sessions.entry(id.clone()).or_insert_with(|| {
                        let directory = event.directory.clone().unwrap_or_default();
                        let blank = Session::new(
                            id.clone(),
                            NodeId::new("n"),
                            ProjectName::new("p"),
                            event.occurred_at,
                        );
                        Session { directory, ..blank }
                    });
                    rules::apply(session, &form::read(&event.kind, &event.data), event.occurred_at);
                    if let Some(mark) = event.mark {
                        self.marks.insert(id.clone(), mark);
                    }
                }
                self.events.push(Kept {
                    id: event.id,
                    kind: event.kind,
                    session: event.session_id.map(|id| id.to_string()),
                    directory: event.directory,
                    data: serde_json::from_str(event.data.get()).unwrap(),
                    mark: event.mark,
                });
            }
            Report::Live { kind, data, .. } => {
                self.live.push((kind, serde_json::from_str(data.get()).unwrap()))
            }
            Report::Snapshot(sessions) => self.take_picture(sessions),
            Report::PartialSnapshot { seen, unseen } => {
                self.unseen = unseen;
                self.take_picture(seen);
            }
            Report::Directory { directory, error } => drop(self.places.insert(directory, error)),
            Report::Health(health) => self.health.push(health),
            Report::Barrier(done) => drop(done.send(())),
        }
    }

    fn take_picture(&mut self, sessions: Vec<Session>) {
        for seen in &sessions {
            let repairs = rules::repairs(self.sessions.get(&seen.id), seen);
            let session = self.sessions.entry(seen.id.clone()).or_insert_with(|| seen.clone());
            for (kind, data) in repairs {
                rules::apply(session, &form::read(kind, &data), seen.active_at);
                self.events.push(Kept {
                    id: None,
                    kind: kind.into(),
                    session: Some(seen.id.to_string()),
                    directory: None,
                    data: serde_json::from_str(raw(&json!(*data)).get()).unwrap(),
                    mark: None,
                });
            }
        }
        self.pictures.push(sessions);
    }
}

/// A running desk. Clones share the record.
#[derive(Clone)]
pub struct Desk {
    record: Arc<Mutex<Record>>,
    news: Arc<Notify>,
}

impl Desk {
    /// Starts it with an empty record.
    pub fn start() -> (Self, Reports) {
        let (reports, heard) = mpsc::channel(REPORT_QUEUE);
        let desk = Self { record: Arc::default(), news: Arc::default() };
        desk.attend(heard);
        (desk, reports)
    }

    /// Reports for another backend that go into the same record.
    pub fn more_reports(&self) -> Reports {
        let (reports, heard) = mpsc::channel(REPORT_QUEUE);
        self.attend(heard);
        reports
    }

    fn attend(&self, mut heard: mpsc::Receiver<Report>) {
        let (record, news) = (self.record.clone(), self.news.clone());
        tokio::spawn(async move {
            while let Some(one) = heard.recv().await {
                record.lock().unwrap().take(one);
                news.notify_waiters();
            }
        });
    }

    /// Looks into the record.
    pub fn look<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.record.lock().unwrap())
    }

    /// Waits until `find` finds something in the record.
    pub async fn wait<T>(&self, what: &str, mut find: impl FnMut(&Record) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(found) = self.look(&mut find) {
                return found;
            }
            if timeout_at(deadline, news).await.is_err() {
                let tail = self.look(|record| {
                    let last =
                        record.events.iter().rev().take(15).map(|one| format!("{} {}", one.kind, one.data));
                    (last.collect::<Vec<_>>().join("\n"), record.health.clone())
                });
                panic!(
                    "waited in vain for {what}; health {:?}; last events, newest first:\n{}",
                    tail.1, tail.0
                );
            }
        }
    }

    /// Waits until a session has this status.
    pub async fn wait_status(&self, session: &str, status: Status) {
        let what = format!("{session} to be {}", status.as_str());
        self.wait(&what, |record| (record.status(session) == Some(status)).then_some(())).await;
    }

    /// Waits for the first event of one session and type.
    pub async fn wait_event(&self, session: &str, kind: &str) -> Kept {
        let what = format!("{kind} of {session}");
        self.wait(&what, |record| record.of(session, kind).first().map(|event| (*event).clone())).await
    }
}
