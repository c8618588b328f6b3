//! `halctl policies`: what is set, what each says of a session, and what they would have done.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde::Serialize;

use super::cli::policy::PolicyVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use hal_base::clock::now;
use hal_base::config::{Purpose, Source, loose, parse};
use hal_base::exit::{Exit, Failure};
use hal_protocol::event::EventView;
use hal_protocol::event::what::What;
use hal_protocol::policy::{Explanation, PolicyFinding};
use hal_protocol::session::{SessionId, SessionView};
use hal_rules::policy::replay::{Replay, Would};
use hal_rules::policy::settings::{self, Limits, Policies, Rule, Scope};

/// Records in one page.
const PAGE: usize = 1000;

/// Carries out one of the verbs.
pub async fn run(verb: PolicyVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        PolicyVerb::List => screen.list(&in_force(client).await?.rules, "No policies."),
        PolicyVerb::Explain { id } => {
            let path = ["sessions", id.as_str(), "policies"];
            let told: Explanation = client.get(&path, &Query::new()).await?.data;
            if screen.is_structured() {
                return screen.structured(&told);
            }
            for (name, value) in told.facts.as_object().into_iter().flatten() {
                screen.write(&format!("{name}: {value}\n"))?;
            }
            screen.list(&told.policies, "No policies.")
        }
        PolicyVerb::Test { since, config, session } => {
            let policies = match config {
                Some(file) => from_file(&file)?,
                None => in_force(client).await?,
            };
            let from = since.at(now());
            let query =
                vec![("since", from.to_string()), ("order", "asc".to_owned()), ("session_id", String::new())];
            test(client, screen, &policies, query, session.as_deref()).await
        }
    }
}

async fn in_force(client: &Client) -> Result<Policies, Failure> {
    Ok(client.get(&["policies"], &Query::new()).await?.data)
}

/// Replays history, and says of each decision whether it was made then too.
async fn test(
    client: &Client,
    screen: &mut Screen,
    policies: &Policies,
    query: Query,
    session: Option<&str>,
) -> Result<(), Failure> {
    let sessions: Vec<SessionView> =
        client.pages("sessions", vec![("all", "true".to_owned())], None, PAGE).all().await?;
    let labels: HashMap<SessionId, Vec<String>> =
        sessions.into_iter().map(|one| (one.id, one.marks.labels)).collect();
    let mut replay = Replay::new(policies, labels);
    let mut decided = BTreeSet::new();
    let mut pages = client.pages::<EventView>("events", query, None, PAGE);
    while let Some(page) = pages.next().await? {
        for event in &page {
            decided.extend(decision(event));
            replay.take(event);
        }
    }
    let mut found: Vec<ReplayedDecision> = Vec::new();
    for would in replay.end(now()) {
        let key = (would.session_id.to_string(), would.policy.as_str().to_owned(), would.situation.clone());
        let was = decided.remove(&key);
        found.push(ReplayedDecision { was, would });
    }
    found.retain(|one| session.is_none_or(|id| one.would.session_id.as_str() == id));
    screen.list(&found, "These policies would have done nothing in that time.")?;
    let left: Vec<_> =
        decided.iter().filter(|(id, _, _)| session.is_none_or(|session| session == id)).collect();
    for (id, policy, situation) in left {
        screen.say(&format!("{policy} acted on session {id} ({situation}) then, and would not now."));
    }
    Ok(())
}

/// A recorded decision: session, policy, situation.
fn decision(event: &EventView) -> Option<(String, String, String)> {
    let What::PolicyDecided(told) = event.what() else { return None };
    Some((event.session_id.clone(), told.policy?, told.situation?))
}

/// The policies of a supervisor's configuration, or of a file that holds only that section.
fn from_file(file: &Path) -> Result<Policies, Failure> {
    let cannot = |why: String| Failure::say(Exit::BadConfig, format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| cannot(format!("cannot be read: {error}")))?;
    let whole =
        loose(&text).ok_or_else(|| cannot("is not JSON; `hal-supervisor --validate` says where".into()))?;
    let section = whole.get("policies").cloned().unwrap_or_else(|| serde_json::json!({}));
    let alone = serde_json::json!({ "policies": section }).to_string();
    let source = Source { path: file, bytes: alone.as_bytes(), is_open_to_all: false };
    match parse(&source, Purpose::Run, settings::read) {
        Ok((policies, _)) => Ok(policies),
        Err(report) => Err(cannot(report.to_string())),
    }
}

/// What would have been done, and whether it was.
#[derive(Serialize)]
struct ReplayedDecision {
    #[serde(flatten)]
    would: Would,
    /// The same was decided then.
    was: bool,
}

impl Record for ReplayedDecision {
    fn fields(&self) -> Vec<Field> {
        let would = &self.would;
        let tone = if self.was { Tone::Good } else { Tone::Attention };
        vec![
            Field::moment("at", would.at),
            Field::id("session_id", &would.session_id).weight(80),
            Field::new("policy", would.policy.as_str()).weight(90),
            Field::new("act", would.act.unwrap_or("notify a person")).weight(85),
            Field::new("then", if self.was { "the same" } else { "nothing" }).tone(tone).weight(70),
            Field::new("situation", &would.situation).wide(),
            Field::new("why", &would.why).long().weight(75),
        ]
    }
}

impl Record for PolicyFinding {
    fn fields(&self) -> Vec<Field> {
        let tone = if self.decision == "none" { Tone::Quiet } else { Tone::Attention };
        vec![
            Field::new("policy", &self.policy),
            Field::new("decision", &self.decision).tone(tone).weight(90),
            Field::new("next", self.next.clone().unwrap_or_default()).weight(70),
            Field::new("acted_at", self.acted_at.clone().unwrap_or_default()).wide(),
            Field::new("acted_on", &self.acted_on).wide(),
            Field::new("count", self.count).wide(),
            Field::new("why", &self.why).long().weight(85),
        ]
    }
}

impl Record for Rule {
    fn fields(&self) -> Vec<Field> {
        let state = match (self.enabled, self.dry_run) {
            (false, _) => "off",
            (true, true) => "dry run",
            (true, false) => "on",
        };
        vec![
            Field::new("policy", self.name.as_str()),
            Field::new("status", state).tone(if self.enabled { Tone::Good } else { Tone::Quiet }).weight(90),
            Field::new("act", self.act.as_str()).weight(85),
            Field::new("limits", limits(&self.limits)).long().weight(70),
            Field::new("scope", scope(&self.scope)).long().weight(60),
            Field::new("max_retries", self.max_retries).weight(40),
            Field::new("retry_reset_seconds", self.retry_reset_seconds).wide(),
            Field::new("cooldown_seconds", self.cooldown_seconds).wide(),
            Field::new("message", &self.message).wide().long(),
        ]
    }
}

fn limits(limits: &Limits) -> String {
    let value = serde_json::to_value(limits).unwrap_or_default();
    let is_set =
        |value: &serde_json::Value| *value != serde_json::json!(0) && *value != serde_json::json!(false);
    let set = value.as_object().into_iter().flatten().filter(|(_, value)| is_set(value));
    set.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

fn scope(scope: &Scope) -> String {
    let lists = [("node", &scope.nodes), ("project", &scope.projects), ("label", &scope.labels)];
    let words: Vec<String> = lists
        .iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(word, list)| format!("{word}={}", list.join(",")))
        .collect();
    if words.is_empty() { "all".to_owned() } else { words.join(" ") }
}
