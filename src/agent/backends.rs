//! Which backends run on this node: each is opened when the first project needs it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::Poll;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::backend::hold::Hold;
use super::backend::{Backend, BackendKind, KnownSessions, Opening, Place, REPORT_QUEUE, Report, Reports};
use super::config::{Config, ProjectConfig};
use hal_base::task::Tasks;
use hal_store::journal::SessionRecord;

/// The backends that were opened.
#[derive(Debug)]
pub struct Backends {
    config: Config,
    /// Stopped by [`Backends::stop`] only: backends end after the commands in hand, not with them.
    tasks: Tasks,
    /// Who holds what goes on without this agent.
    hold: Option<Hold>,
    /// One of each kind, when it is open.
    each: Vec<(BackendKind, OnceLock<Backend>)>,
    /// Where each reports to. The session manager does not go on for these.
    reports: Mutex<HashMap<BackendKind, mpsc::WeakSender<Report>>>,
}

/// What the backends report, each on a queue of its own: one that is busy holds up nobody but itself.
#[derive(Debug)]
pub struct ReportReceivers(Vec<(BackendKind, mpsc::Receiver<Report>)>);

/// The other ends of [`ReportReceivers`], kept as long as a backend may still be opened.
#[derive(Clone, Debug)]
pub struct ReportSenders(HashMap<BackendKind, Reports>);

/// Makes the queues between backends and session manager.
pub fn queues(kinds: &[BackendKind]) -> (ReportSenders, ReportReceivers) {
    let queue = |kind: &BackendKind| (*kind, mpsc::channel(REPORT_QUEUE));
    let split = |(kind, (sender, receiver))| ((kind, sender), (kind, receiver));
    let (senders, receivers) = kinds.iter().map(queue).map(split).unzip();
    (ReportSenders(senders), ReportReceivers(receivers))
}

impl ReportReceivers {
    /// Waits for reports and takes those of one backend, at most so many, and of each in its turn. `None` when no
    /// backend can report any more. What is dropped before it is done has taken nothing.
    pub async fn recv(&mut self, reports: &mut Vec<Report>, most: usize) -> Option<BackendKind> {
        poll_fn(|context| {
            let mut at = 0;
            while let Some((kind, receiver)) = self.0.get_mut(at) {
                let kind = *kind;
                match receiver.poll_recv_many(context, reports, most) {
                    Poll::Pending => at += 1,
                    Poll::Ready(0) => drop(self.0.remove(at)),
                    Poll::Ready(_) => {
                        // The others come first the next time.
                        self.0[at..].rotate_left(1);
                        return Poll::Ready(Some(kind));
                    }
                }
            }
            if self.0.is_empty() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }
}

impl Backends {
    /// None is open yet.
    pub fn new(config: &Config, first_lease_end: watch::Receiver<Option<Instant>>) -> Self {
        let open = |alone| Hold::open(&config.data_dir, alone, first_lease_end);
        let hold = config.alone.map(open).transpose().unwrap_or_else(|error| {
            tracing::warn!("coding agents end with this agent, as there is no place to hold them: {error}");
            None
        });
        let each = config.programs.kinds().into_iter().map(|kind| (kind, OnceLock::new())).collect();
        Self { config: config.clone(), tasks: Tasks::new(), hold, each, reports: Mutex::default() }
    }

    /// Opens what `projects` need and is not open yet. `sessions` is what the journal remembers.
    pub fn open(&self, projects: &[ProjectConfig], sessions: &[SessionRecord], senders: &ReportSenders) {
        for (kind, slot) in &self.each {
            let places = places_of(projects, *kind);
            if places.is_empty() {
                // What was allowed in a project holds no longer than the project.
                slot.get().into_iter().for_each(|backend| backend.work_in(&[]));
            }
            let Some(reports) = senders.0.get(kind).filter(|_| !places.is_empty()) else { continue };
            let opening = || Opening {
                program: self.config.programs.get(*kind).map(Path::to_owned),
                launch: self.config.programs.launch(*kind),
                port: self.config.opencode_port,
                data_dir: self.config.data_dir.clone(),
                places: places.clone(),
                memory: memory_of(sessions, *kind),
                reports: reports.clone(),
                tasks: self.tasks.clone(),
                hold: self.hold.clone(),
            };
            slot.get_or_init(|| Backend::open(*kind, opening())).work_in(&places);
            let mut known = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(*kind, reports.downgrade());
        }
    }

    /// The kinds that projects name and that were not configured when this agent was started.
    pub fn lacked(&self, projects: &[ProjectConfig]) -> Vec<BackendKind> {
        let is_here = |kind: BackendKind| self.each.iter().any(|(other, _)| *other == kind);
        projects.iter().map(|project| project.backend).filter(|kind| !is_here(*kind)).collect()
    }

    /// The one of this kind, when it is open.
    pub fn get(&self, kind: BackendKind) -> Option<Backend> {
        self.each.iter().find(|(other, _)| *other == kind).and_then(|(_, slot)| slot.get().cloned())
    }

    /// Waits until everything that a backend has reported so far is stored.
    pub async fn stored(&self, kind: BackendKind) {
        let reports = {
            let known = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&kind).and_then(mpsc::WeakSender::upgrade)
        };
        let Some(reports) = reports else { return };
        barrier(&reports).await;
    }

    /// Ends all of them, at the same time; or lets go on what can go on without this agent.
    pub async fn end(&self, leaves: bool) {
        let open = self.each.iter().filter_map(|(_, slot)| slot.get());
        join_all(open.map(async |backend| if leaves { backend.leave().await } else { backend.stop().await }))
            .await;
    }
}

/// Waits until everything that went into this queue before is stored, or nobody takes it any more.
async fn barrier(reports: &Reports) {
    let (done, is_done) = oneshot::channel();
    if reports.send(Report::Barrier(done)).await.is_ok() {
        let _ended = is_done.await;
    }
}

fn memory_of(sessions: &[SessionRecord], kind: BackendKind) -> KnownSessions {
    let of_kind = sessions.iter().filter(|record| record.session.backend == kind.as_str());
    of_kind.map(|record| (record.session.id.clone(), record.clone().into())).collect()
}

fn places_of(projects: &[ProjectConfig], kind: BackendKind) -> Vec<Place> {
    let its = projects.iter().filter(|project| project.backend == kind);
    let place = |project: &ProjectConfig| Place {
        directory: project.directory.clone(),
        permission_mode: project.permission_mode.clone(),
        sandbox: project.sandbox.clone(),
        trusted: project.trust.word(),
    };
    its.map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_barrier_is_passed_when_what_was_reported_before_is_stored_and_not_before() {
        let (sender, mut receiver) = mpsc::channel(REPORT_QUEUE);
        sender.send(Report::Health(None)).await.unwrap();
        let mut waits = std::pin::pin!(barrier(&sender));
        assert!(futures_util::poll!(&mut waits).is_pending());
        let mut reports = Vec::new();
        assert_eq!(receiver.recv_many(&mut reports, 8).await, 2);
        assert!(futures_util::poll!(&mut waits).is_pending(), "it was taken, and is not stored yet");
        let Some(Report::Barrier(done)) = reports.pop() else { panic!("{reports:?}") };
        done.send(()).unwrap();
        waits.await;
        drop(receiver);
        barrier(&sender).await;
    }

    #[tokio::test]
    async fn each_backend_is_heard_in_its_turn_until_the_last_one_is_gone() {
        let (senders, mut receivers) = queues(BackendKind::ALL);
        for sender in senders.0.values() {
            for _ in 0..3 {
                sender.send(Report::Health(None)).await.unwrap();
            }
        }
        let mut heard = Vec::new();
        for _ in 0..BackendKind::ALL.len() * 3 {
            let mut reports = Vec::new();
            heard.push(receivers.recv(&mut reports, 1).await.unwrap());
            assert_eq!(reports.len(), 1);
        }
        for kind in BackendKind::ALL {
            assert_eq!(heard.iter().filter(|other| *other == kind).count(), 3);
        }
        drop(senders);
        assert_eq!(receivers.recv(&mut Vec::new(), 1).await, None);
    }
}
