//! What was measured, as one table for people and one file for programs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

/// What came of a goal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Better than was dreamt of.
    Dream,
    /// Good enough.
    Goal,
    /// Not good enough.
    Missed,
    /// Not measured here.
    Skipped,
    /// Somebody else's: it has no goal.
    Beside,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Dream => "dream",
            Self::Goal => "goal",
            Self::Missed => "MISSED",
            Self::Skipped => "skipped",
            Self::Beside => "-",
        }
    }

    /// From whether the dream and whether the goal is reached.
    pub fn of(dream: bool, goal: bool) -> Self {
        match (dream, goal) {
            (true, true) => Self::Dream,
            (_, true) => Self::Goal,
            (_, false) => Self::Missed,
        }
    }
}

/// A line of the table.
pub struct Line {
    /// As in the goals: `P1`.
    pub number: &'static str,
    /// What was measured.
    pub what: String,
    /// What is good enough.
    pub goal: String,
    /// What is dreamt of.
    pub dream: String,
    /// What was found, with its unit and spread.
    pub measured: String,
    /// Beside the yardstick of the same run.
    pub ratio: String,
    /// What came of it.
    pub verdict: Verdict,
    /// The same as numbers, for programs.
    pub numbers: Value,
}

impl Line {
    /// A number that this run does not measure, and why.
    pub fn skipped(number: &'static str, what: &str, why: &str) -> Self {
        Self {
            number,
            what: what.to_owned(),
            goal: "-".to_owned(),
            dream: "-".to_owned(),
            measured: why.to_owned(),
            ratio: "-".to_owned(),
            verdict: Verdict::Skipped,
            numbers: Value::Null,
        }
    }
}

/// Prints the run and its lines, and writes them to a file.
pub fn print(lines: &[Line], file: &Path) {
    let run = run();
    println!(
        "\ncommit {}, kernel {}, {} cores, load {}\n",
        text(&run, "commit"),
        text(&run, "kernel"),
        run["cores"],
        text(&run, "load")
    );
    let head = ["number", "what", "goal", "dream", "measured", "ratio", "verdict"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head)
        .chain(lines.iter().map(|line| {
            let verdict = line.verdict.word().to_owned();
            [
                line.number.to_owned(),
                line.what.clone(),
                line.goal.clone(),
                line.dream.clone(),
                line.measured.clone(),
                line.ratio.clone(),
                verdict,
            ]
        }))
        .collect();
    let widths: Vec<usize> =
        (0..7).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("| {} |", cells.join(" | "));
    }
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({"number": line.number, "what": line.what, "measured": line.measured, "ratio": line.ratio,
            "verdict": line.verdict.word(), "numbers": line.numbers})
        })
        .collect();
    let all = serde_json::to_string_pretty(&json!({"run": run, "lines": lines})).expect("these are JSON");
    match std::fs::write(file, all) {
        Ok(()) => println!("\nalso in {}", file.display()),
        Err(error) => println!("\n{} could not be written: {error}", file.display()),
    }
}

fn run() -> Value {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success());
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    json!({
        "commit": format!("{commit}{}", if changed { " with changes" } else { "" }),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "load": read("/proc/loadavg"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
    })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("unknown")
}

/// The middle value.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The smallest and the largest value.
pub fn spread(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, 0.0), |(low, high), value| (low.min(*value), high.max(*value)))
}

/// A time in milliseconds.
pub fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
