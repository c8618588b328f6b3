//! Auth failures: writes to the audit log who showed a wrong token, bounded whoever knocks however often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::hub::Hub;
use hal_base::clock::{self, Time};
use hal_protocol::actor::Credential;
use hal_protocol::who::Who;
use hal_store::audit::AuditRecord;

/// Refusals of one address are told together this often.
const TOGETHER: Duration = Duration::from_secs(60);

/// Addresses that are told by themselves in that time; the rest together. At the worst some twenty records a minute, 4 MB
/// a day.
const ADDRESSES: usize = 8;

/// Refusals that are not written down yet.
#[derive(Debug, Default)]
pub struct AuthFailures(Mutex<Counts>);

/// Refusals of one address that are not written down yet.
#[derive(Debug, Default)]
struct Counted {
    more: u64,
    /// A token that was good once, if one of them was.
    was_of: Option<Credential>,
}

#[derive(Debug, Default)]
struct Counts {
    by: HashMap<(&'static str, IpAddr), Counted>,
    others: u64,
}

impl AuthFailures {
    /// Counts one. The first of an address is to be written down at once. `was_of`: a token that is good no more, when all
    /// of it was shown.
    pub fn note(
        &self,
        door: &'static str,
        source: IpAddr,
        was_of: Option<&Credential>,
        at: Time,
    ) -> Option<AuditRecord> {
        let source = source.to_canonical();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = counts.by.get_mut(&(door, source)) {
            counted.more += 1;
            counted.was_of = was_of.cloned().or(counted.was_of.take());
            return None;
        }
        if counts.by.len() >= ADDRESSES {
            counts.others += 1;
            return None;
        }
        counts.by.insert((door, source), Counted::default());
        Some(record(door, source.to_string(), was_of, 1, at))
    }

    /// What was counted since. Whoever still knocks is known from before, and gets one record each time.
    fn take(&self, at: Time) -> Vec<AuditRecord> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.by.retain(|_, counted| counted.more > 0);
        let mut records: Vec<AuditRecord> = Vec::new();
        for ((door, source), counted) in &mut counts.by {
            let Counted { more, was_of } = std::mem::take(counted);
            records.push(record(door, source.to_string(), was_of.as_ref(), more, at));
        }
        let others = std::mem::take(&mut counts.others);
        if others > 0 {
            records.push(record("any", String::new(), None, others, at));
        }
        records
    }

    /// Writes down what was counted.
    pub fn flush(&self, hub: &Hub) {
        for record in self.take(clock::now()) {
            hub.audit(record);
        }
    }
}

fn record(door: &str, ip: String, was_of: Option<&Credential>, count: u64, at: Time) -> AuditRecord {
    let (mut who, args) = (Who::unknown(ip), json!({ "count": count }));
    let mut why = "a wrong token";
    if let Some(credential) = was_of {
        (who.name, who.credential) = (credential.actor.clone(), format!("token {}", credential.id));
        why = "a token that is good no more";
    }
    AuditRecord {
        result: "denied".to_owned(),
        error: Some(why.to_owned()),
        ..AuditRecord::new(&who, "log in", format!("{door} door"), &args, at)
    }
}

/// Writes it down again and again.
pub async fn keep_count(failures: Arc<AuthFailures>, hub: Hub) {
    loop {
        tokio::time::sleep(TOGETHER).await;
        failures.flush(&hub);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn told(failures: &AuthFailures) -> Vec<(String, String)> {
        let mut told: Vec<_> = failures.take(Time(1)).into_iter().map(|one| (one.ip, one.args)).collect();
        told.sort();
        told
    }

    #[test]
    fn an_address_is_told_at_once_and_then_counted_and_many_are_told_together() {
        let failures = AuthFailures::default();
        let from = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let first = failures.note("api", from(1), None, Time(1)).unwrap();
        assert_eq!((first.ip.as_str(), first.args.as_str()), ("10.0.0.1", r#"{"count":1}"#));
        assert!((0..5).all(|_| failures.note("api", from(1), None, Time(1)).is_none()));
        let written =
            (2..=200).filter(|last| failures.note("api", from(*last), None, Time(1)).is_some()).count();
        assert_eq!(written, ADDRESSES - 1);
        let expected = [("", r#"{"count":192}"#), ("10.0.0.1", r#"{"count":5}"#)];
        assert_eq!(told(&failures), expected.map(|(ip, args)| (ip.to_owned(), args.to_owned())));
        assert!(failures.note("api", from(1), None, Time(1)).is_none(), "it knocks on");
        assert_eq!(told(&failures).len(), 1);
        assert!(told(&failures).is_empty() && failures.note("api", from(1), None, Time(1)).is_some());
    }
}
