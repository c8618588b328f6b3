//! The numbers: what the goals promise, measured with release binaries, true processes and true disks, each beside a
//! yardstick taken in the same run and the same folder. `cargo bench --bench numbers [-- [--full] [P1 P2 ..]]`.
//!
//! - `yardstick`: F and E. `fleet`, `crowd`: agents that are not there, busy and idle. `kernel`: memory and processor
//!   time. `report`: the table.
//! - `ingest` P1, `journey` P2 and P3, `many` P4 and P9, `idle` P5, `cold` P6 to P8, `queries` P10, `stuck` P11, `rules` P12, `single` P16,
//!   `mirror` M1 to M4.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod cold;
mod crowd;
mod delete;
mod fleet;
mod idle;
mod ingest;
mod journey;
mod kernel;
mod many;
mod mirror;
#[path = "../it/patience.rs"]
mod patience;
#[path = "../it/peer.rs"]
#[expect(dead_code, reason = "shared with the tests, which need all of it")]
mod peer;
mod peers;
#[path = "../it/program.rs"]
#[expect(dead_code, reason = "shared with the tests, which need all of it")]
mod program;
mod queries;
mod report;
mod rules;
mod single;
#[path = "../it/stream.rs"]
#[expect(dead_code, reason = "shared with the tests, which need all of it")]
mod stream;
mod stuck;
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "shared with the tests, which need all of it")]
mod world;
mod yardstick;

use std::path::{Path, PathBuf};

use report::Line;

/// Measures a number, and gives its lines of the table.
type Measure = fn(&Plan) -> Vec<Line>;

/// What this run is to do.
pub struct Plan {
    /// 10 million events instead of one.
    pub full: bool,
    /// Only these; all when empty.
    only: Vec<String>,
    /// Where everything is written: on the disk of the repository, which a temporary folder may not be.
    pub folder: PathBuf,
}

impl Plan {
    fn wants(&self, number: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.eq_ignore_ascii_case(number))
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if !words.iter().any(|word| word == "--bench") {
        println!("numbers are measured by `cargo bench --bench numbers`");
        return;
    }
    if cfg!(debug_assertions) {
        println!("a debug build proves nothing: use `cargo bench --bench numbers`");
        return;
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let plan = Plan {
        full: words.iter().any(|word| word == "--full"),
        only: words.into_iter().filter(|word| !word.starts_with('-')).collect(),
        folder: target.join("bench"),
    };
    std::fs::create_dir_all(&plan.folder).expect("target can be written to");
    let mut lines = Vec::new();
    let parts: [(&[&str], Measure); 13] = [
        (&["P1"], ingest::measure),
        (&["P2"], journey::measure_events),
        (&["P3"], journey::measure_commands),
        (&["P4", "P9"], many::measure),
        (&["P5"], idle::measure),
        (&["P6", "P8"], cold::measure_starts),
        (&["P7"], cold::measure_size),
        (&["P10"], queries::measure),
        (&["P11"], stuck::measure),
        (&["P12"], rules::measure),
        (&["P16"], single::measure),
        (&["M1", "M2", "M3", "M4"], mirror::measure),
        (&["M5"], delete::measure),
    ];
    for (numbers, measure) in parts {
        if numbers.iter().any(|number| plan.wants(number)) {
            println!("measuring {} ..", numbers.join(", "));
            lines.extend(measure(&plan));
        } else {
            lines.extend(numbers.iter().map(|number| Line::skipped(number, "-", "not asked for")));
        }
    }
    let place =
        |line: &Line| (line.number.starts_with('M'), line.number[1..].parse::<u32>().unwrap_or(u32::MAX));
    lines.sort_by_key(place);
    report::print(&lines, &target.join("bench.json"));
}
