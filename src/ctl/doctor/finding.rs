//! A finding: one thing that is wrong, what shows it, and what helps.

use std::path::PathBuf;

use serde::Serialize;

use crate::print::record::{Field, Record, Tone};
use hal_protocol::alert::Severity;

/// The incidents of the runbook, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Incident {
    /// Supervisor Process Crashed
    #[serde(rename = "Supervisor Process Crashed")]
    SupervisorCrashed,
    /// Supervisor High Memory Usage
    #[serde(rename = "Supervisor High Memory Usage")]
    SupervisorMemory,
    /// Supervisor Database Corruption
    #[serde(rename = "Supervisor Database Corruption")]
    Corruption,
    /// Agent Can't Connect to Supervisor
    #[serde(rename = "Agent Can't Connect to Supervisor")]
    AgentConnect,
    /// Agent High Memory Usage
    #[serde(rename = "Agent High Memory Usage")]
    AgentMemory,
    /// Agent Process Crashed
    #[serde(rename = "Agent Process Crashed")]
    AgentCrashed,
    /// Supervisor Unreachable from Agents
    #[serde(rename = "Supervisor Unreachable from Agents")]
    Unreachable,
    /// High Latency / Slow Responses
    #[serde(rename = "High Latency / Slow Responses")]
    Latency,
    /// Lost Session Data
    #[serde(rename = "Lost Session Data")]
    LostData,
    /// Cost Data Discrepancy
    #[serde(rename = "Cost Data Discrepancy")]
    Cost,
    /// Upkeep
    #[serde(rename = "Upkeep")]
    Upkeep,
}

impl Incident {
    /// The heading of its section; `Upkeep` is what belongs to none.
    pub fn title(self) -> &'static str {
        match self {
            Self::SupervisorCrashed => "Supervisor Process Crashed",
            Self::SupervisorMemory => "Supervisor High Memory Usage",
            Self::Corruption => "Supervisor Database Corruption",
            Self::AgentConnect => "Agent Can't Connect to Supervisor",
            Self::AgentMemory => "Agent High Memory Usage",
            Self::AgentCrashed => "Agent Process Crashed",
            Self::Unreachable => "Supervisor Unreachable from Agents",
            Self::Latency => "High Latency / Slow Responses",
            Self::LostData => "Lost Session Data",
            Self::Cost => "Cost Data Discrepancy",
            Self::Upkeep => "Upkeep",
        }
    }
}

/// What `--fix` may do. Each is something that an operator would do without thinking twice; in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// Give a file back to whom its folder belongs.
    Own(PathBuf, (u32, u32)),
    /// Put the copy of a configuration in place of the one that is refused, which is kept.
    RestoreConfig(PathBuf),
    /// Put the newest backup in place of a damaged `supervisor.db`, which is kept. Of the configuration at this path.
    RestoreStore(PathBuf),
    /// Make a backup.
    BackUp,
    /// Start a unit that should run.
    Restart(&'static str),
}

impl Remedy {
    /// What it does, as an order.
    pub fn sentence(&self) -> String {
        match self {
            Self::Own(path, (user, group)) => {
                format!("change the owner of {} to its folder's owner {user}:{group}", path.display())
            }
            Self::RestoreConfig(path) => {
                format!("replace {0} by {0}.backup and keep the old file beside it", path.display())
            }
            Self::RestoreStore(_) => {
                "replace supervisor.db by the newest backup and keep the old file beside it".into()
            }
            Self::BackUp => "make a backup of supervisor.db".into(),
            Self::Restart(unit) => format!("restart {unit}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What kind of thing, such as `supervisor.down`.
    pub name: String,
    /// What it is about: a node, a file; empty: this machine.
    pub about: String,
    /// How much it matters, in the words of the runbook.
    pub severity: Severity,
    /// The incident of the runbook it belongs to.
    pub incident: Incident,
    /// What is wrong, in one sentence.
    pub what: String,
    /// What shows it.
    pub evidence: Vec<String>,
    /// What helps, as it is typed.
    pub commands: Vec<String>,
    /// What `--fix` does about it.
    #[serde(serialize_with = "sentence", skip_serializing_if = "Option::is_none")]
    pub fix: Option<Remedy>,
}

fn sentence<S: serde::Serializer>(remedy: &Option<Remedy>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&remedy.as_ref().map(Remedy::sentence).unwrap_or_default())
}

impl Finding {
    /// A finding with nothing but a sentence.
    pub fn new(
        name: impl Into<String>,
        severity: Severity,
        incident: Incident,
        what: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            about: String::new(),
            severity,
            incident,
            what: what.into(),
            evidence: Vec::new(),
            commands: Vec::new(),
            fix: None,
        }
    }

    /// About this.
    pub fn about(self, about: impl ToString) -> Self {
        Self { about: about.to_string(), ..self }
    }

    /// Shown by this; empty texts show nothing.
    pub fn shown<T: ToString>(mut self, evidence: impl IntoIterator<Item = T>) -> Self {
        let texts = evidence.into_iter().map(|text| text.to_string());
        self.evidence.extend(texts.filter(|text| !text.is_empty()));
        self
    }

    /// Resolved by typing this.
    pub fn helped<T: ToString>(mut self, commands: impl IntoIterator<Item = T>) -> Self {
        self.commands.extend(commands.into_iter().map(|command| command.to_string()));
        self
    }

    /// Fixed by this.
    pub fn fixed(self, fix: impl Into<Option<Remedy>>) -> Self {
        Self { fix: fix.into(), ..self }
    }

    /// What tells it from others.
    pub fn identity(&self) -> (String, String) {
        (self.name.clone(), self.about.clone())
    }
}

/// The colour of a severity.
pub fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Critical | Severity::High => Tone::Bad,
        Severity::Medium => Tone::Attention,
        Severity::Low => Tone::Quiet,
    }
}

impl Record for Finding {
    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("finding", &self.name),
            Field::new("severity", self.severity.as_str()).tone(tone(self.severity)).weight(90),
            Field::new("about", &self.about),
            Field::new("incident", self.incident.title()).weight(30),
            Field::new("what", &self.what).long().weight(85),
            Field::new("evidence", self.evidence.join("\n")).detail(),
            Field::new("commands", self.commands.join("\n")).detail(),
            Field::new("fix", self.fix.as_ref().map(Remedy::sentence).unwrap_or_default()).detail(),
        ]
    }
}
