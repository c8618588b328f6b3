//! What a rule of a route can ask about. The fields are those of these types: what is missing here is not known to a rule.

use serde::Serialize;

/// What a rule can ask of a session.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that a rule says")]
pub struct SessionFacts {
    /// Its id or name.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Name of its project.
    pub project: String,
    /// Name of its node.
    pub node: String,
    /// What drives it, such as `opencode`.
    pub backend: String,
    /// What answers it.
    pub model: String,
    /// The word of its state.
    pub status: String,
    /// A turn runs.
    pub running: bool,
    /// Its turn is over.
    pub idle: bool,
    /// It waits for a person.
    pub waiting: bool,
    /// The provider refused for now.
    pub retrying: bool,
    /// Its turn failed.
    pub error: bool,
    /// Its node is away.
    pub unreachable: bool,
    /// Seconds in this state.
    pub since: i64,
    /// Seconds since it did anything.
    pub quiet: i64,
    /// Seconds since it began.
    pub age: i64,
    /// US dollars, with its helpers.
    pub cost: f64,
    /// Tokens, with its helpers.
    pub tokens: i64,
    /// How often its context was compacted.
    pub compactions: i64,
}

/// What a rule can ask of a node.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeFacts {
    /// Its id or name.
    pub id: String,
    /// Its host.
    pub hostname: String,
    /// It is connected.
    pub online: bool,
    /// True when its agent is not connected.
    pub offline: bool,
    /// Seconds since it was heard of.
    pub silent: i64,
    /// Sessions that have not ended.
    pub sessions: i64,
    /// Its agent's version.
    pub version: String,
    /// How much of its disk is free, in percent.
    pub disk_free_percent: i64,
}

/// What a rule can ask of an event.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EventFacts {
    /// The event's type, such as `session.idle`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The session concerned.
    pub session: String,
    /// The node concerned.
    pub node: String,
    /// The project concerned.
    pub project: String,
    /// The rest, as its backend says it.
    pub data: serde_json::Value,
}

/// An alert.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AlertFacts {
    /// The alert's name, such as `node.offline`.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// 1 low, 2 medium, 3 high, 4 critical; a rule says the words.
    pub severity: i64,
    /// Its sentence.
    pub text: String,
}

/// What everything costs, in US dollars.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CostFacts {
    /// Today, in UTC.
    pub daily: f64,
}

/// What is known where a rule is asked; what is `None` has nothing to do with it.
#[derive(Clone, Debug, Default)]
pub struct RouteFacts {
    /// The event that has just happened.
    pub event: Option<EventFacts>,
    /// The alert that was just raised.
    pub alert: Option<AlertFacts>,
    /// The session concerned, if there is one.
    pub session: Option<SessionFacts>,
    /// The node concerned, if there is one.
    pub node: Option<NodeFacts>,
    /// Costs.
    pub cost: Option<CostFacts>,
}
