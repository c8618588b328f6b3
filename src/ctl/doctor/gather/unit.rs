//! What systemd and the journal say.

use std::collections::BTreeMap;

use super::DoctorContext;
use crate::tool::{QUICK, Tools};
use hal_base::memory::{self, Memory};

/// What is asked of a unit.
const PROPERTIES: &str = "LoadState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainCode,MainPID,\
MemoryCurrent,MemoryMax,MemoryHigh,UnitFileState,User,ActiveEnterTimestamp";

/// Lines of the kernel that are looked through for processes it has ended.
const KERNEL_LINES: &str = "2000";

/// Whether there is a systemd to ask.
pub struct Systemd {
    is_there: bool,
}

impl Systemd {
    /// Asks it; that there is none is a note.
    pub async fn find(tools: &Tools, notes: &mut Vec<String>) -> Self {
        let why = match tools.run(&["systemctl", "show", "-p", "Version"], QUICK).await {
            Ok(said) if said.is_well() => return Self { is_there: true },
            Ok(said) => said.words().lines().next().unwrap_or("it does not answer").to_owned(),
            Err(why) => why,
        };
        notes.push(format!("units, restarts and the journal were not checked: no systemd here ({why})"));
        Self { is_there: false }
    }

    /// The properties of a unit that is installed.
    pub async fn unit(&self, tools: &Tools, name: &str) -> Option<BTreeMap<String, String>> {
        if !self.is_there {
            return None;
        }
        let said = tools.run(&["systemctl", "show", name, "-p", PROPERTIES], QUICK).await.ok()?;
        let properties: BTreeMap<String, String> = said
            .out
            .lines()
            .filter_map(|line| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect();
        let is_known =
            properties.get("LoadState").is_some_and(|state| state == "loaded" || state == "masked");
        is_known.then_some(properties)
    }

    /// Errors of a unit within the last day, at most 20, without secrets.
    pub async fn errors(
        &self,
        place: &DoctorContext<'_>,
        unit: &str,
        notes: &mut Vec<String>,
    ) -> Vec<String> {
        let line = [
            "journalctl",
            "-u",
            unit,
            "-p",
            "err",
            "-n",
            "20",
            "--since",
            "-1d",
            "-o",
            "short-iso",
            "--no-pager",
            "-q",
        ];
        self.journal(place, &line, notes).await
    }

    /// What the kernel says of processes of ours that it has ended within the last day.
    pub async fn oom(&self, place: &DoctorContext<'_>, notes: &mut Vec<String>) -> Vec<String> {
        if !self.is_there {
            return Vec::new();
        }
        let line =
            ["journalctl", "-k", "-n", KERNEL_LINES, "--since", "-1d", "-o", "short-iso", "--no-pager", "-q"];
        let mut lines = self.journal(place, &line, notes).await;
        lines.retain(|line| {
            let ended =
                ["Killed process", "oom-kill", "Out of memory"].iter().any(|word| line.contains(word));
            ended && ["hal-", "(hal", "opencode"].iter().any(|name| line.contains(name))
        });
        lines
    }

    async fn journal(
        &self,
        place: &DoctorContext<'_>,
        line: &[&str],
        notes: &mut Vec<String>,
    ) -> Vec<String> {
        match place.tools.run(line, QUICK).await {
            Ok(said) if said.is_well() => said.out.lines().map(|line| place.scrub.text(line)).collect(),
            Ok(said) => {
                notes.push(format!("the journal was not read: {}", said.words()));
                Vec::new()
            }
            Err(why) => {
                notes.push(format!("the journal was not read: {why}"));
                Vec::new()
            }
        }
    }
}

/// The memory of a daemon: by its control group, else as systemd says.
pub fn memory(pid: Option<u32>, unit: Option<&BTreeMap<String, String>>) -> Memory {
    let mut memory = pid.map(memory::measure_of).unwrap_or_default();
    let number =
        |name: &str| unit.and_then(|unit| unit.get(name)?.parse::<u64>().ok()).filter(|n| *n < u64::MAX);
    if let (Some(used), Some(limit)) = (number("MemoryCurrent"), number("MemoryMax"))
        && memory.limit != limit
    {
        memory.used = used;
        memory.limit = limit;
    }
    memory
}
