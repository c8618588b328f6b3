//! A backend of a node: which coding agent it is, which version, and what it can tell and do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a backend tells what its sessions use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageTold {
    /// For each call of a model, or each turn.
    PerTurn,
    /// As a sum of the session, that grows.
    Cumulative,
    /// Not at all, or in a way that this supervisor does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl UsageTold {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PerTurn => "per_turn",
            Self::Cumulative => "cumulative",
            Self::Unknown => "unknown",
        }
    }
}

/// What a backend can tell and do. What it lacks is unknown, which is never zero and never "no".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Abilities {
    /// It tells what a session costs.
    pub cost: bool,
    /// How it tells the tokens that a session uses.
    pub tokens: UsageTold,
    /// It tells how full the model's context is.
    pub context: bool,
    /// It tells when a conversation was compacted.
    pub compaction: bool,
    /// It tells the session's list of things to do.
    pub todo: bool,
    /// Its permissions can be answered.
    pub permission: bool,
    /// Its questions can be answered.
    pub question: bool,
    /// What is said to a running turn is heard by that turn; else it waits for the next one.
    pub steer: bool,
    /// Its sessions are listed and gone on with after a restart.
    pub resume: bool,
    /// A running turn survives the restart of hal-agent.
    pub survives: bool,
}

impl Abilities {
    /// Each ability by its name, with what there is of it.
    pub fn words(&self) -> [(&'static str, &'static str); 10] {
        let word = |is_there: bool| if is_there { "yes" } else { "no" };
        [
            ("cost", word(self.cost)),
            ("tokens", self.tokens.as_str()),
            ("context", word(self.context)),
            ("compaction", word(self.compaction)),
            ("todo", word(self.todo)),
            ("permission", word(self.permission)),
            ("question", word(self.question)),
            ("steer", word(self.steer)),
            ("resume", word(self.resume)),
            ("survives", word(self.survives)),
        ]
    }

    /// What it can, and what it cannot, in a line.
    pub fn sentence(&self) -> String {
        let (mut can, mut lacks) = (Vec::new(), Vec::new());
        for (name, word) in self.words() {
            match word {
                "no" | "unknown" => lacks.push(name.to_owned()),
                "yes" => can.push(name.to_owned()),
                how => can.push(format!("{name} ({how})")),
            }
        }
        match lacks.is_empty() {
            true => can.join(", "),
            false => format!("{}; not: {}", can.join(", "), lacks.join(", ")),
        }
    }
}

/// A backend as a node tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct NodeBackend {
    /// Which kind, as the configuration calls it.
    pub kind: String,
    /// What its program says of itself; empty: nothing could be learned, or it has no program.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Its program; empty: none was found, or it needs none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The versions that this agent is tested with; empty: it has no program.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tested: String,
    /// `as NAME` or `by WHAT` it is logged in, where that could be told without reading a secret; else `unknown`; empty: it
    /// has no program, or its agent does not tell.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub login: String,
    /// Why it cannot be used, in a sentence with the way out; absent: it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// What it can tell and do.
    pub abilities: Abilities,
    /// The projects that use it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<String>,
    /// Those of them in which it asks nobody for permission, or nothing holds its commands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unguarded: Vec<String>,
    /// Those in which it runs what the checkout says, as it did before anybody was asked, and nobody has allowed that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_newer_agent_is_unknown_and_what_is_not_told_is_not_there() {
        let told: NodeBackend =
            serde_json::from_str(r#"{"kind": "x", "abilities": {"cost": true, "tokens": "by_moon"}}"#)
                .unwrap();
        assert_eq!((told.abilities.cost, told.abilities.tokens), (true, UsageTold::Unknown));
        let said = told.abilities.sentence();
        assert!(said.starts_with("cost; not: tokens, context"), "{said}");
    }
}
