//! Taking audit records into the chain that were written by a release without one.

use std::ops::ControlFlow;
use std::sync::PoisonError;

use serde_json::json;

use super::{Batch, Store};
use crate::StoreError;
use crate::audit::AuditRecord;
use crate::batch::Chaining;
use crate::schema::SCHEMA;
use crate::tables::{AUDIT_CHAINED, AUDIT_LEFT_AT, AUDIT_LINK, POSITION};
use hal_base::clock::Time;
use hal_protocol::audit::{Head, STORE_REPLACED, TAKEN_IN};
use hal_protocol::who::Who;
use hal_rules::audit::last_link;

/// Records taken in with one commit, and bytes of their particulars: a prompt may be large.
const PORTION: (usize, usize) = (5_000, 8 * 1024 * 1024);

/// Records behind linked ones that are named when they are taken in.
const NAMED: usize = 100;

/// What a look at all records has found.
#[derive(Default)]
struct Survey {
    /// The number of the last record that has a link.
    last_linked: u64,
    /// Whether one of them cannot be read: it may have no link either.
    is_damaged: bool,
}

/// Records that were taken in.
#[derive(Default)]
struct TakenIn {
    rows: u64,
    /// The first and the last.
    span: (u64, u64),
    /// Those that stood among linked ones: a release before the chain has written how their commands ended, or somebody has
    /// put them there.
    among: Vec<u64>,
}

/// Some records without a link.
#[derive(Default)]
struct Unlinked {
    found: Vec<(u64, AuditRecord)>,
    bytes: usize,
    /// From where the next look goes on.
    next: Option<u64>,
}

impl Store {
    /// Takes into the chain what was written without it, and says in records of the chain what is not in it any more: where
    /// this store has taken the place of another one, or where records of the log are lost. Called at a start, before
    /// anything else is written. `before` is the head of the store whose place this one has taken, where that is known.
    /// Gives how many records were taken in.
    pub fn chain_audit(&self, before: Option<Head>, is_lost: bool, at: Time) -> Result<u64, StoreError> {
        let (needs_look, is_made_anew) = {
            let reader = self.read()?;
            let was_left = reader.meta("schema")? != SCHEMA;
            let is_another = was_left && reader.meta(AUDIT_LEFT_AT)? != reader.meta(POSITION)?;
            let chained = reader.meta(AUDIT_CHAINED)?;
            (is_another || chained != 1, chained == 0 && reader.meta(AUDIT_LINK)? > 0)
        };
        if !needs_look && !is_lost && before.is_none() {
            return Ok(0);
        }
        let verdict = self.read()?.audit_verdict(Vec::new())?;
        // A release before the chain ends a command without a word of the link that its record had.
        let missing = verdict.missing.saturating_sub(verdict.accounted);
        let (tip, account) = {
            let known = &mut self.committer().known;
            (known.tip(), known.account().and(missing, known.tip().no))
        };
        let survey = self.survey()?;
        self.commit(&Batch { chained: Some(Chaining { is_done: false, account }), ..Batch::default() })?;
        let chained = Some(Chaining { is_done: !survey.is_damaged, account });
        let mut end = Batch { chained, ..Batch::default() };
        let mut say = |action: &str, target: &str, mut args: serde_json::Value| {
            account.say(&mut args);
            end.audit.push(AuditRecord::new(&Who::itself("supervisor"), action, target, &args, at));
        };
        if is_made_anew || is_lost || before.is_some() {
            let mut args = json!({ "kept_link": tip.no, "kept_hash": tip.head().hash, "links": missing });
            if let Some(before) = before {
                args["lost_link"] = before.link.into();
                args["lost_hash"] = before.hash.into();
            }
            let why = if is_lost { "records of the log are lost" } else { "made from supervisor.db" };
            say(STORE_REPLACED, why, args);
        }
        let TakenIn { rows, span, among } = self.link_all(survey.last_linked)?;
        if rows > 0 || (missing > 0 && !is_made_anew) {
            let args = json!({ "rows": rows, "among": among, "links": missing });
            say(TAKEN_IN, &format!("{} .. {}", span.0, span.1), args);
        }
        self.commit(&end)?;
        Ok(rows)
    }

    /// The last link of the chain.
    pub fn audit_head(&self) -> Head {
        self.tip.lock().unwrap_or_else(PoisonError::into_inner).head()
    }

    fn survey(&self) -> Result<Survey, StoreError> {
        let mut survey = Survey::default();
        self.read()?.audit_records(0, &mut |seq, record| {
            match record {
                Ok(record) if last_link(&record).is_some() => survey.last_linked = seq,
                Ok(_) => {}
                Err(_) => survey.is_damaged = true,
            }
            ControlFlow::Continue(())
        })?;
        Ok(survey)
    }

    /// Links what has no link.
    fn link_all(&self, last_linked: u64) -> Result<TakenIn, StoreError> {
        let (mut all, mut from) = (TakenIn::default(), Some(0));
        while let Some(next) = from {
            let look = self.unlinked_from(next)?;
            if let (Some((first, _)), Some((last, _))) = (look.found.first(), look.found.last()) {
                all.span = (if all.rows == 0 { *first } else { all.span.0 }, *last);
            }
            let among = look.found.iter().map(|(seq, _)| *seq).take_while(|seq| *seq < last_linked);
            all.among.extend(among.take(NAMED - all.among.len()));
            all.rows += look.found.len() as u64;
            from = look.next;
            if !look.found.is_empty() {
                self.commit(&Batch { unlinked: look.found, ..Batch::default() })?;
            }
        }
        Ok(all)
    }

    fn unlinked_from(&self, from: u64) -> Result<Unlinked, StoreError> {
        let mut look = Unlinked::default();
        self.read()?.audit_records(from, &mut |seq, record| {
            // One that is damaged is for the scrub to mend.
            let Some(record) = record.ok().filter(|record| last_link(record).is_none()) else {
                return ControlFlow::Continue(());
            };
            if look.found.len() >= PORTION.0 || look.bytes >= PORTION.1 {
                look.next = Some(seq);
                return ControlFlow::Break(());
            }
            look.bytes += record.args.len();
            look.found.push((seq, record));
            ControlFlow::Continue(())
        })?;
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use redb::ReadableTable;

    use super::*;
    use crate::audit;
    use crate::tables::{AUDIT, AUDIT_HASH, META};

    fn record(nth: u64) -> AuditRecord {
        let who = Who::with_token("halctl", "10.0.0.7");
        AuditRecord::new(&who, "prompt_session", "ses_1", &json!({ "nth": nth }), Time(nth.cast_signed()))
    }

    fn store_with(folder: &std::path::Path, count: u64) -> Store {
        let (store, _) = Store::open(&folder.join("s.redb")).unwrap();
        store.chain_audit(None, false, Time(0)).unwrap();
        for nth in 0..count {
            store.commit(&Batch { audit: vec![record(nth)], ..Batch::default() }).unwrap();
        }
        store
    }

    /// As a release without a chain writes them: sealed rows in the same shape, and no numbers of a chain.
    fn unlink(store: &Store, chained: u64, which: impl Fn(u64) -> bool) {
        drop(store.read().unwrap());
        let rows: Vec<(u64, AuditRecord)> = {
            let (reader, mut rows) = (store.read().unwrap(), Vec::new());
            let table = reader.txn().open_table(AUDIT).unwrap();
            for entry in table.iter().unwrap() {
                let (seq, bytes) = entry.unwrap();
                rows.push((seq.value(), audit::open(bytes.value(), seq.value()).unwrap()));
            }
            rows
        };
        store
            .transaction(|txn| {
                for (seq, row) in rows.iter().filter(|(seq, _)| which(*seq)) {
                    let bytes = audit::seal(&AuditRecord { chain: None, ..row.clone() }, *seq);
                    txn.open_table(AUDIT)?.insert(*seq, bytes.as_slice())?;
                }
                txn.open_table(META)?.insert(AUDIT_CHAINED, chained)?;
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn what_a_release_before_the_chain_has_written_is_taken_in_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_with(folder.path(), 40);
        unlink(&store, 0, |_| true);
        store
            .transaction(|txn| {
                let mut meta = txn.open_table(META)?;
                for key in AUDIT_HASH.iter().chain(&[AUDIT_LINK]) {
                    meta.remove(*key)?;
                }
                Ok(())
            })
            .unwrap();
        store.reopen(false).unwrap();
        assert_eq!(store.chain_audit(None, false, Time(99)).unwrap(), 40);
        let verdict = store.read().unwrap().audit_verdict(Vec::new()).unwrap();
        assert!(verdict.is_whole, "{verdict:?}");
        assert_eq!((verdict.records, verdict.explained.len()), (41, 1));
        assert_eq!(store.chain_audit(None, false, Time(99)).unwrap(), 0, "once");
    }

    #[test]
    fn links_that_a_release_before_the_chain_has_dropped_are_accounted_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_with(folder.path(), 40);
        let anchor = store.audit_head();
        unlink(&store, 2, |seq| seq == 7 || seq > 38);
        store.reopen(false).unwrap();
        assert_eq!(store.chain_audit(None, false, Time(99)).unwrap(), 3);
        let verdict = store.read().unwrap().audit_verdict(Vec::new()).unwrap();
        assert!(verdict.is_whole, "{verdict:?}");
        assert_eq!(verdict.explained.len(), 1, "{verdict:?}");
        assert!(verdict.explained[0].args.contains("\"among\":[7]"), "{verdict:?}");
        assert!(store.audit_head().link > anchor.link);
    }

    #[test]
    fn what_is_changed_in_the_store_itself_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = store_with(folder.path(), 12);
        let change = |seq: u64, change: &dyn Fn(AuditRecord) -> Option<AuditRecord>| {
            let row = store.read().unwrap().audit_record(&seq.to_string()).unwrap().unwrap().1;
            let bytes = change(row).map(|row| audit::seal(&row, seq));
            store
                .transaction(|txn| {
                    let mut table = txn.open_table(AUDIT)?;
                    match &bytes {
                        Some(bytes) => drop(table.insert(seq, bytes.as_slice())?),
                        None => drop(table.remove(seq)?),
                    }
                    Ok(())
                })
                .unwrap();
            store.read().unwrap().audit_verdict(Vec::new()).unwrap()
        };
        for seq in 1..=12 {
            let row = store.read().unwrap().audit_record(&seq.to_string()).unwrap().unwrap().1;
            let edited = change(seq, &|row| Some(AuditRecord { actor: "eve".into(), ..row }));
            assert!(!edited.is_whole, "edited {seq}");
            let removed = change(seq, &|_| None);
            assert!(!removed.is_whole, "removed {seq}");
            let bytes = audit::seal(&row, seq);
            store
                .transaction(|txn| {
                    txn.open_table(AUDIT)?.insert(seq, bytes.as_slice())?;
                    Ok(())
                })
                .unwrap();
            assert!(store.read().unwrap().audit_verdict(Vec::new()).unwrap().is_whole, "as it was");
        }
    }
}
