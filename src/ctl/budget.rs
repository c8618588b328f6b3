//! `halctl budgets`.

use reqwest::Method;

use super::cli::budget::BudgetVerb;
use super::client::{Client, Query};
use super::cost::exposure;
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use crate::base::exit::Failure;
use crate::protocol::budget::{AtLimit, Budget, BudgetRequest, BudgetView, LoanView, RaiseRequest, dollars};

/// Carries out one of the verbs.
pub async fn run(verb: BudgetVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        BudgetVerb::List => {
            let all = client.list::<BudgetView>(&["budgets"], &Query::new()).await?;
            screen.list(&all, "No budgets. Make one: halctl budgets set day --limit 20")
        }
        BudgetVerb::Get { name } => {
            let its = client.list::<BudgetView>(&["budgets", &name], &Query::new()).await?;
            screen.list(&its, "Nothing")
        }
        BudgetVerb::Set { name, limit, scope, period, warn_percent, at_limit } => {
            let body = BudgetRequest {
                scope: scope.to_string(),
                limit_micros: limit,
                period: period.as_str().to_owned(),
                warn_percent,
                at_limit: at_limit.as_str().to_owned(),
            };
            let made = client.change::<Budget>(Method::PUT, &["budgets", &name], &body).await?.data;
            screen.one(&made)
        }
        BudgetVerb::Rm { name } => {
            let gone = client.change::<Budget>(Method::DELETE, &["budgets", &name], &()).await?.data;
            screen.one(&gone)
        }
        BudgetVerb::Raise { name, by, session } => {
            let body = RaiseRequest { by_micros: by, session_id: session.unwrap_or_default() };
            client.change::<Budget>(Method::POST, &["budgets", &name, "raise"], &body).await?;
            let its = client.list::<BudgetView>(&["budgets", &name], &Query::new()).await?;
            screen.list(&its, "Nothing")
        }
        BudgetVerb::Exposure => exposure::run(client, screen).await,
    }
}

impl Record for BudgetView {
    fn fields(&self) -> Vec<Field> {
        let left = self.free_micros + self.outstanding_micros;
        let tone = match left {
            0 => Tone::Bad,
            left if left < self.limit_micros / 5 => Tone::Attention,
            _ => Tone::Good,
        };
        vec![
            Field::new("name", &self.name),
            Field::new("scope", &self.scope),
            Field::new("session_id", &self.session_id),
            Field::new("period", self.period.as_str()),
            Field::new("current", &self.current),
            Field::new("limit", dollars(self.limit_micros)),
            Field::new("spent", dollars(self.spent_micros)),
            Field::new("lent", dollars(self.outstanding_micros)),
            Field::new("free", dollars(self.free_micros)).tone(tone),
            Field::new("at_limit", self.at_limit.as_str()),
            Field::new("raised", dollars(self.raised_micros)).wide(),
            Field::new("forfeited", dollars(self.forfeited_micros)).wide(),
            Field::new("resets_at", &self.resets_at).wide(),
            Field::new("from", if self.is_config { "configuration" } else { "halctl" }).wide(),
        ]
    }
}

impl Record for LoanView {
    fn fields(&self) -> Vec<Field> {
        let (word, tone) = if self.is_online { ("online", Tone::Good) } else { ("cut off", Tone::Attention) };
        vec![
            Field::new("session_id", &self.session_id),
            Field::new("node_id", &self.node_id),
            Field::new("project", &self.project),
            Field::new("lent", dollars(self.lent_micros)),
            Field::new("reported", dollars(self.reported_micros)),
            Field::new("left", dollars(self.left_micros)),
            Field::moment("expires_at", self.expires_at),
            Field::new("node", word).tone(tone),
            Field::new("lease_id", &self.lease_id).wide(),
        ]
    }
}

impl Record for Budget {
    fn fields(&self) -> Vec<Field> {
        let tone = if self.at_limit == AtLimit::Notify { Tone::Attention } else { Tone::Plain };
        vec![
            Field::new("name", &self.name),
            Field::new("scope", &self.scope),
            Field::new("period", self.period.as_str()),
            Field::new("limit", dollars(self.limit_micros)),
            Field::new("at_limit", self.at_limit.as_str()).tone(tone),
        ]
    }
}
