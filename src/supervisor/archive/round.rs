//! Rounds: what is to be looked at again, and what is known to be done.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Archivist, RETENTION};
use crate::hub::Hub;
use crate::hub::input::{RaisedAlert, Severity};
use hal_base::clock::{self, Stopwatch, Time};
use hal_store::change::RowKind;
use hal_store::retain::{Leaving, Retention};
use hal_store::usage::together;

/// All rows are looked at this often: for what operators moved in time or brought back.
const WHOLE: Duration = Duration::from_secs(86_400);

/// Of the bound, what is left free once it is reached: a hundredth, so that not every look finds too much.
const FREED: u64 = 100;

/// A person is told this often that events leave before their time.
const TELL: Duration = Duration::from_secs(86_400);

const MIB: u64 = 1024 * 1024;

/// What has left in one go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Left {
    /// How many rows.
    pub rows: usize,
    /// When the newest of them was stored.
    pub upto: Time,
}

/// What rounds before have done.
#[derive(Debug, Default)]
pub struct Rounds {
    rules: Retention,
    /// How often the store was replaced then.
    replaced: u64,
    /// Since all rows were looked at.
    whole: Option<Stopwatch>,
    /// For an age, the last number that had it and was looked at.
    done: BTreeMap<Duration, u64>,
    told: Option<Stopwatch>,
    has_resumed: bool,
}

impl Rounds {
    /// One round.
    pub fn play(&mut self, archivist: &Archivist, hub: &Hub, rules: &Retention) -> anyhow::Result<()> {
        if !self.has_resumed && *rules != Retention::default() {
            for kind in [RowKind::Event, RowKind::Audit] {
                archivist.resume(hub, kind)?;
            }
            self.has_resumed = true;
        }
        self.aged_events(archivist, hub, rules)?;
        if let Some(keep) = rules.audit {
            let before = clock::now().minus(keep);
            let is_old = |_: &str, at: Time| at < before;
            let leaving =
                Leaving { kind: RowKind::Audit, span: (0, u64::MAX), most: usize::MAX, is_old: &is_old };
            archivist.retire(hub, leaving, rules.archive)?;
        }
        if let Some(most) = rules.max_size {
            self.shed(archivist, hub, rules, most)?;
        }
        Ok(())
    }

    /// Events that are older than their type may be.
    fn aged_events(&mut self, archivist: &Archivist, hub: &Hub, rules: &Retention) -> anyhow::Result<()> {
        let replaced = hub.store().replaced();
        let is_due = self.whole.as_ref().is_none_or(|whole| whole.elapsed() >= WHOLE);
        if is_due || self.rules != *rules || self.replaced != replaced {
            (self.whole, self.replaced) = (None, replaced);
            self.rules = rules.clone();
            self.done.clear();
        }
        let now = clock::now();
        let is_old = |kind: &str, at: Time| rules.of(kind).is_some_and(|keep| at < now.minus(keep));
        let mut crossed = Vec::new();
        for age in rules.ages() {
            let done = self.done.get(&age).copied().unwrap_or(0);
            crossed.push((age, hub.store().read()?.last_before(now.minus(age), done)?));
        }
        let mut spans: Vec<(u64, u64)> = Vec::new();
        match (self.whole.is_none(), crossed.first()) {
            (_, None) => return Ok(()),
            (true, Some(_)) if hub.store().read()?.is_disordered()? => spans.push((0, u64::MAX)),
            (true, Some((_, upto))) => spans.push((0, *upto)),
            (false, _) => spans.extend(
                crossed.iter().map(|(age, upto)| (self.done.get(age).map_or(0, |done| done + 1), *upto)),
            ),
        }
        for span in spans {
            let leaving = Leaving { kind: RowKind::Event, span, most: usize::MAX, is_old: &is_old };
            archivist.retire(hub, leaving, rules.archive)?;
        }
        self.done.extend(crossed);
        self.whole.get_or_insert_with(Stopwatch::start);
        Ok(())
    }

    /// The oldest events leave before their time while there is too much.
    fn shed(&mut self, archivist: &Archivist, hub: &Hub, rules: &Retention, most: u64) -> anyhow::Result<()> {
        let weight = hub.store().read()?.weight()?;
        let (used, per_event) = together(&archivist.mirror.now(), &weight);
        if used <= most || weight.events == 0 {
            return Ok(());
        }
        let goal = most - most / FREED;
        let rows = usize::try_from((used - goal).div_ceil(per_event.max(1))).unwrap_or(usize::MAX);
        let all = |_: &str, _: Time| true;
        let leaving = Leaving { kind: RowKind::Event, span: (0, u64::MAX), most: rows, is_old: &all };
        let left = archivist.retire(hub, leaving, rules.archive)?;
        let (used, most, upto) = (used / MIB, most / MIB, left.upto);
        let text = format!(
            "the store and its mirror hold some {used} MiB, and retention.max_size allows {most} MiB: the oldest {} \
             events, up to {upto}, were moved out before their time",
            left.rows
        );
        if self.told.as_ref().is_none_or(|told| told.elapsed() >= TELL) && left.rows > 0 {
            self.told = Some(Stopwatch::start());
            hub.raise(RaisedAlert { name: "retention.size", severity: Severity::Medium, text });
        } else {
            tracing::warn!(by = RETENTION, "{text}");
        }
        Ok(())
    }
}
