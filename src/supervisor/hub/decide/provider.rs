//! What a provider bills: a day's bill takes the place of an earlier one, and a failure is an alert until it is over.

use super::Work;
use crate::hub::billed::Billed;
use crate::hub::effect::Effect;
use hal_base::clock::Time;
use hal_protocol::provider::{DayBill, Provider};
use hal_rules::alert::AlertRaised;
use hal_rules::provider::{UPDATE_FAILED, replaced};
use hal_store::bill;
use hal_store::kept::{BILL, PROVIDER};

impl Work {
    /// Somebody has asked a provider what it bills.
    pub(super) fn billed(&mut self, Billed { provider, outcome, reply }: Billed, at: Time) {
        let name = provider.as_str();
        let mut tries = self.view.kept(PROVIDER, name).unwrap_or_default();
        tries.last_try = at;
        match outcome {
            Ok(bills) => {
                tries.last_success = at;
                tries.failures = 0;
                tries.error.clear();
                for (date, bill) in &bills {
                    self.keep_bill(provider, date, bill, at);
                }
                self.drop_old_bills(provider);
                self.resolve(UPDATE_FAILED, name, at);
            }
            Err((severity, text)) => {
                tries.failures = tries.failures.saturating_add(1);
                let sentence =
                    format!("the bills of {name} cannot be fetched: {text}; see: halctl cost status");
                let seen = AlertRaised {
                    name: UPDATE_FAILED,
                    about: name,
                    severity,
                    text: &sentence,
                    lasting: true,
                };
                self.raise(&seen, at);
                tries.error = text;
            }
        }
        self.put_kept(PROVIDER, name, &tries, at);
        self.effects.push(Effect::reply(reply, Ok(())));
    }

    fn keep_bill(&mut self, provider: Provider, date: &str, new: &DayBill, at: Time) {
        let key = bill::key(provider.as_str(), date);
        let old = self.view.kept(BILL, &key);
        if let Some(bill) = replaced(old.as_ref(), new) {
            self.put_kept(BILL, &key, &bill, at);
        }
    }

    fn drop_old_bills(&mut self, provider: Provider) {
        let begin = bill::key(provider.as_str(), "");
        let keys = self.view.keys_of(BILL).map(str::to_owned);
        let own: Vec<String> = keys.filter(|key| key.starts_with(&begin)).collect();
        for key in own.iter().take(own.len().saturating_sub(bill::KEPT_DAYS)) {
            self.delete_kept(BILL, key);
        }
    }
}
