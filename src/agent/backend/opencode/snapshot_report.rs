//! Reports snapshots of what there is in the projects' directories, and what is new of those that could not be looked at.

use std::collections::HashSet;
use std::time::Duration;

use super::Link;
use super::places::News;
use super::snapshot::{Snapshot, SnapshotReader};
use super::stream::{EndOfStream, Failure, Listener};
use super::turns::{NO_ANSWER, Turns};
use crate::backend::Report;
use hal_protocol::session::{Activity, SessionId};

/// Nothing is about to begin when no session was heard of for this long.
const QUIET: Duration = Duration::from_secs(3);

impl Listener<'_> {
    /// Reports what sessions do in some of the projects' directories.
    pub(super) async fn look_at(&mut self, places: &[String]) -> Result<(), Failure> {
        let shared = self.shared;
        let (directories, asks) = (&shared.directories, &shared.asks);
        let looker = SnapshotReader { client: self.client, directories, asks, tracker: self.tracker };
        let sight = looker.look_at(places).await.map_err(|error| Failure::Why(error.to_string()))?;
        let Snapshot { sessions: mut seen, unseen, failed } = sight;
        let there: HashSet<&SessionId> = seen.iter().map(|session| &session.id).chain(&unseen).collect();
        self.tracker.keep_only(&there);
        for session in &mut seen {
            self.tracker.has_changed(&session.id, session.active_at.0);
            let was_believed = self.tracker.busy.contains(&session.id);
            let turns = self.tracker.turns.get(&session.id);
            let is_unanswered = session.activity == Activity::Idle && turns.is_some_and(Turns::is_unanswered);
            if was_believed && is_unanswered && session.error.is_none() {
                session.error = Some(NO_ANSWER.into());
            }
            self.tracker.set_busy(&session.id, session.activity != Activity::Idle);
            let directory = super::text(super::real(session.directory.as_ref()));
            self.tracker.directories.insert(session.id.clone(), directory);
        }
        for place in places.iter().filter(|place| !failed.iter().any(|(other, _)| other == *place)) {
            if shared.places.answers(place) {
                self.report_place(place, None).await?;
            }
        }
        for (place, error) in &failed {
            if let Some(why) = shared.places.fails(place, error) {
                self.report_place(place, Some(why)).await?;
            }
        }
        let is_whole = unseen.is_empty() && failed.is_empty();
        self.report(if is_whole { Report::Snapshot(seen) } else { Report::PartialSnapshot { seen, unseen } })
            .await?;
        Ok(())
    }

    async fn report_place(&self, place: &str, error: Option<String>) -> Result<(), EndOfStream> {
        match &error {
            Some(why) => tracing::warn!("{why}"),
            None => tracing::info!("opencode works in {place} again"),
        }
        self.report(Report::Directory { directory: self.shared.directories.configured(place), error }).await
    }

    /// What there is to say of a directory that was asked about again.
    pub(super) async fn take_news(&mut self, news: News) -> Result<Option<String>, EndOfStream> {
        match news {
            News::Answers(place) => {
                self.release(None).await?;
                match self.look_at(&[place]).await {
                    Ok(()) => Ok(None),
                    Err(Failure::End(end)) => Err(end),
                    Err(Failure::Why(why)) => Ok(Some(why)),
                }
            }
            News::Fails(place, Some(why)) => self.report_place(&place, Some(why)).await.map(|()| None),
            News::Fails(_, None) => Ok(None),
            News::Mended => {
                let is_quiet = self.tracker.busy.is_empty() && self.heard_at.elapsed() > QUIET;
                // An action in hand may be about to begin a turn.
                let Ok(_nobody) = self.shared.in_hand.try_write() else { return Ok(None) };
                if !is_quiet {
                    return Ok(None);
                }
                self.shared.link.send_replace(Link::Starting);
                self.shared.places.read_again();
                tracing::info!("opencode is started again, as what it could not read has changed");
                Err(EndOfStream::Mended)
            }
        }
    }
}
