//! `halctl doctor`: the diagnosis of the runbook as code. Looking (`gather`) and judging (`judge`) are apart: what was
//! seen is plain `facts`, and from them come `finding`s. `fix` does what is safe.

pub mod facts;
pub mod finding;
mod fix;
pub mod gather;
mod judge;

use std::fmt::Write;

use serde::Serialize;

use super::cli::doctor::{Doctor, Machine};
use super::cli::{Global, Output};
use super::discover::Surroundings;
use super::print::Screen;
use super::print::record::{Tone, painted};
use super::print::text::{clean, one_line};
use super::scrub::{Scrubber, is_telling};
use super::tool::Tools;
use facts::DoctorFacts;
use finding::{Finding, tone};
use fix::Fixed;
use gather::{DoctorContext, database, gather, machine, paths, token, values};
use hal_base::exit::{Exit, Failure};
use hal_protocol::alert::Severity;

/// Everything that doctor has to say.
#[derive(Debug, Serialize)]
pub struct DoctorReport {
    /// True when nothing above low was found.
    pub healthy: bool,
    /// What belongs on this machine: `supervisor`, `agent`.
    pub machine: Vec<&'static str>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// What was done about it.
    pub fixes: Vec<Fixed>,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
    /// What was looked at.
    pub checked: Vec<&'static str>,
}

impl DoctorReport {
    fn of(facts: DoctorFacts, findings: Vec<Finding>, fixes: Vec<Fixed>) -> Self {
        Self {
            healthy: findings.iter().all(|finding| finding.severity == Severity::Low),
            machine: facts.daemons.iter().map(|daemon| daemon.kind.word()).collect(),
            findings,
            fixes,
            notes: facts.notes,
            checked: judge::questions(),
        }
    }

    /// As a page for people, with the summary as its last line.
    pub fn page(&self, color: bool) -> String {
        let tone = if self.healthy { Tone::Good } else { Tone::Bad };
        let summary = self.summary();
        let summary = if color { painted(&summary, tone) } else { summary };
        format!("{}{summary}\n", self.findings_page(color))
    }

    /// The same without the summary.
    fn findings_page(&self, color: bool) -> String {
        let paint = |text: &str, tone: Tone| if color { painted(text, tone) } else { text.to_owned() };
        let mut page = String::new();
        let mut write = |line: String| {
            // A String takes everything.
            let _ = writeln!(page, "{}", line.trim_end());
        };
        let mut heading = None;
        for finding in &self.findings {
            let group = (finding.severity, finding.incident);
            if heading != Some(group) {
                let word = finding.severity.as_str().to_uppercase();
                write(format!("{}  {}", paint(&word, tone(finding.severity)), finding.incident.title()));
                heading = Some(group);
            }
            write(format!("  {}  ({})", one_line(&finding.what), finding.name));
            finding
                .evidence
                .iter()
                .for_each(|line| write(format!("      {}", paint(&clean(line), Tone::Quiet))));
            finding.commands.iter().for_each(|line| write(format!("    $ {}", clean(line))));
            if let Some(fix) = &finding.fix {
                write(format!("    --fix can {}", fix.sentence()));
            }
            write(String::new());
        }
        self.notes.iter().for_each(|note| write(format!("note: {}", one_line(note))));
        self.fixes
            .iter()
            .for_each(|fixed| write(format!("fix: {}: {}", fixed.what, one_line(&fixed.outcome))));
        page
    }

    /// The result in one sentence: how many findings, and the worst severity.
    pub fn summary(&self) -> String {
        let place = if self.machine.is_empty() {
            "neither daemon is installed here".into()
        } else {
            self.machine.join(" and ")
        };
        match self.findings.first() {
            None => format!("Healthy: {} checks, no findings ({place}).", self.checked.len()),
            Some(worst) => {
                let (many, s) = (self.findings.len(), if self.findings.len() == 1 { "" } else { "s" });
                format!("{many} finding{s}, the worst {} ({place}).", worst.severity.as_str())
            }
        }
    }
}

/// Carries out a command line.
pub async fn run(
    asked: &Doctor,
    global: &Global,
    around: &Surroundings,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let (tools, scrub) = (Tools::of_process(), scrubber(&asked.machine));
    let machine = &asked.machine;
    let place =
        DoctorContext { global, around, machine, is_fleet: asked.fleet, tools: &tools, scrub: &scrub };
    let (mut facts, mut findings, mut fixes) = look(&place).await;
    if asked.fix {
        if findings.iter().any(|finding| finding.fix.is_some()) && is_for_people(screen) {
            let before = DoctorReport::of(facts.clone(), findings.clone(), Vec::new());
            // The summary comes once, of how things stand in the end.
            screen.write(&before.findings_page(screen.color()))?;
            screen.flush()?;
        }
        (fixes, facts, findings) = fix::fix(&place, facts, findings, asked.yes, screen).await;
    }
    let report = DoctorReport::of(facts, findings, fixes);
    show(&report, screen)?;
    let vain = report.fixes.iter().find(|fixed| fixed.is_vain());
    match vain {
        Some(fixed) => Err(Failure::say(Exit::Failed, format!("{}: {}", fixed.what, fixed.outcome))),
        None if report.healthy => Ok(()),
        // The page for people ends with the summary.
        None if is_for_people(screen) => Err(Failure::was_said(Exit::Unwell)),
        None => Err(Failure::say(Exit::Unwell, report.summary())),
    }
}

/// Looks and judges, for others.
pub async fn examine(place: &DoctorContext<'_>) -> (DoctorFacts, DoctorReport) {
    let (facts, findings, fixes) = look(place).await;
    (facts.clone(), DoctorReport::of(facts, findings, fixes))
}

async fn look(place: &DoctorContext<'_>) -> (DoctorFacts, Vec<Finding>, Vec<Fixed>) {
    let facts = gather(place).await;
    let findings = judge::judge(&facts);
    (facts, findings, Vec::new())
}

fn is_for_people(screen: &Screen) -> bool {
    matches!(screen.output(), Output::Table | Output::Wide)
}

fn show(report: &DoctorReport, screen: &mut Screen) -> Result<(), Failure> {
    match screen.output() {
        Output::Table | Output::Wide => screen.write(&report.page(screen.color())),
        Output::Json | Output::Yaml => screen.structured(report),
        Output::Lines | Output::Name | Output::Csv => {
            report.notes.iter().for_each(|note| screen.say(&format!("note: {note}")));
            for fixed in &report.fixes {
                screen.say(&format!("fix: {}: {}", fixed.what, fixed.outcome));
            }
            screen.list(&report.findings, "")
        }
    }
}

/// Knows the secrets of this machine's configurations, word for word, and those in the environments of its programs.
pub fn scrubber(asked: &Machine) -> Scrubber {
    let mut scrub = Scrubber::default();
    for (name, value) in std::env::vars_os() {
        if is_telling(&name.to_string_lossy()) {
            scrub.learn(&value.to_string_lossy());
        }
    }
    for (kind, path) in paths(asked) {
        let mut config = facts::Config { path: path.to_owned(), ..facts::Config::default() };
        for file in [path.to_owned(), config.backup_path()] {
            let Ok(values) = values(&file) else { continue };
            scrub.learn_from(&values);
            config.values = values;
            scrub.learn(token(&config).unwrap_or_default().reveal());
            let beside = database(&config).with_file_name("ctl.token");
            scrub.learn(&machine::read(&beside).unwrap_or_default());
        }
        for (name, value) in machine::processes(kind, path).into_iter().flat_map(machine::environment) {
            if is_telling(&name) {
                scrub.learn(&value);
            }
        }
    }
    scrub
}
