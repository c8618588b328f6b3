//! `halctl budgets`.

use reqwest::Method;

use super::cli::budget::BudgetVerb;
use super::client::{Client, Query};
use super::cost::exposure;
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use hal_base::exit::Failure;
use hal_protocol::budget::{AtLimit, Budget, BudgetRequest, BudgetView, LoanView, RaiseRequest, dollars};

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
        BudgetVerb::Remove { name } => {
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

/// An amount of money.
fn amount(key: &'static str, micros: u64) -> Field {
    Field::money(key, dollars(micros), Some(micros))
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
            Field::new("scope", &self.scope).weight(80),
            Field::id("session_id", &self.session_id),
            Field::new("period", self.period.as_str()).weight(60),
            Field::new("current", &self.current).weight(30),
            amount("limit", self.limit_micros).weight(75),
            amount("spent", self.spent_micros).weight(85),
            amount("lent", self.outstanding_micros).weight(45),
            amount("free", self.free_micros).tone(tone).weight(90),
            Field::new("at_limit", self.at_limit.as_str()).weight(40),
            amount("raised", self.raised_micros).wide(),
            amount("forfeited", self.forfeited_micros).wide(),
            Field::new("resets_at", &self.resets_at).wide(),
            Field::new("from", if self.is_config { "configuration" } else { "halctl" }).wide(),
        ]
    }
}

impl Record for LoanView {
    fn fields(&self) -> Vec<Field> {
        let (word, tone) = if self.is_online { ("online", Tone::Good) } else { ("cut off", Tone::Attention) };
        vec![
            Field::id("session_id", &self.session_id),
            Field::new("node_id", &self.node_id).weight(70),
            Field::new("project", &self.project),
            amount("lent", self.lent_micros).weight(80),
            amount("reported", self.reported_micros).weight(60),
            amount("left", self.left_micros).weight(75),
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
            amount("limit", self.limit_micros),
            Field::new("at_limit", self.at_limit.as_str()).tone(tone),
        ]
    }
}
