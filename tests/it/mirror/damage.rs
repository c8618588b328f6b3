//! Random damage to either file: each is noticed or touches nothing, each is healed from the other, and none changes a
//! word of what is shown.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::Value;

use super::agree::full;
use super::stage::dump;
use super::steady::Steady;
use crate::fault::dice::Dice;
use crate::fault::report::asked;
use crate::patience::wait_until;
use crate::program::Program;
use crate::world::{TOKEN, World};

/// Damages to each file, unless `HAL_SOAK` names more: `HAL_SOAK=damages=100`.
const DAMAGES: u64 = 8;

/// After every so many damages to one, both are damaged at once.
const BOTH: u64 = 8;

const PAGE: u64 = 4096;

/// What the API reads from the disk for the picture. Of events there are fewer than two pages: the first and the last
/// one are all.
const FROM_DISK: [&str; 3] = [
    "/api/v1/events?limit=1000&order=asc",
    "/api/v1/events?limit=1000&order=desc",
    "/api/v1/commands?limit=100",
];

/// How long the comparison of both may take, which heals what nothing has read.
const LONG: Duration = Duration::from_secs(60);

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Bit,
    Cut,
    Zeros,
    Garbage,
}

const HARMS: [Harm; 4] = [Harm::Bit, Harm::Cut, Harm::Zeros, Harm::Garbage];

impl Harm {
    /// Does it somewhere; says where.
    fn to(self, path: &Path, dice: &mut Dice) -> u64 {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let size = file.metadata().unwrap().len();
        let page = dice.below(size / PAGE) * PAGE;
        match self {
            Self::Bit => {
                let at = dice.below(size);
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ (1 << dice.below(8))], at).unwrap();
                return at;
            }
            Self::Cut => file.set_len(dice.below(size)).unwrap(),
            Self::Zeros => file.write_all_at(&[0; PAGE as usize], page).unwrap(),
            Self::Garbage => {
                let garbage: Vec<u8> = (0..PAGE).map(|_| dice.below(256) as u8).collect();
                file.write_all_at(&garbage, page).unwrap();
            }
        }
        page
    }
}

/// A stopped supervisor's files, and what its API and its mirror said.
struct Pristine {
    world: World,
    kept: PathBuf,
    picture: Vec<Vec<Value>>,
    rows: String,
}

impl Pristine {
    fn new() -> Self {
        let mut world = full();
        drop(world.take_agent("web-1").end_with(Signal::TERM));
        world.wait_for_node("web-1", "offline");
        let steady = Steady::begin_and_say(&world, 600);
        steady.until(600);
        steady.end();
        world.wait_for_node(super::steady::STEADY, "offline");
        // Rows come and go, so that there are free pages too.
        world.sql("DELETE FROM events WHERE type = 'peer.tick' AND seq % 4 = 0");
        world.until_sql("SELECT count(*) FROM _hal_oplog", "0");
        world.until_mirrored();
        world.ctl_says(&["backup", "now"]);
        let kept = world.path().join("kept");
        let mut pristine = Self { world, kept, picture: Vec::new(), rows: String::new() };
        pristine.picture = pristine.picture_in_the_end();
        pristine.world.end_supervisor();
        pristine.rows = dump(&pristine.world.mirror());
        copy(&pristine.world.path().join("supervisor"), &pristine.kept);
        pristine
    }

    /// Puts the files back as they were.
    fn again(&self) {
        let folder = self.world.path().join("supervisor");
        fs::remove_dir_all(&folder).unwrap();
        copy(&self.kept, &folder);
    }

    /// Events as the index of sessions finds them.
    fn add_by_session(&self, picture: &mut Vec<Vec<Value>>) {
        let ids = picture[1].iter().filter_map(|session| session["id"].as_str());
        let found = ids
            .flat_map(|id| self.world.events(&format!("session_id={id}")))
            .map(|mut event| event["seq"].take());
        picture.push(found.collect());
    }

    fn picture_now(&self) -> Vec<Vec<Value>> {
        let mut now = self.world.whole_picture();
        now[3].retain(|event| event["type"] != "alert.raised");
        now
    }

    /// The same, and what the index of sessions leads to. A bit turned over in that shows only when it was looked through.
    fn picture_in_the_end(&self) -> Vec<Vec<Value>> {
        let mut now = self.picture_now();
        self.add_by_session(&mut now);
        now
    }

    /// Starts on damaged files and compares, in the API and afterwards in both files. True when it was noticed.
    fn is_healed(&mut self) -> Result<bool, String> {
        let mut log = self.start();
        wait_until("all is shown as it was", LONG, || {
            log.push_str(&self.start_again_if_it_ended());
            // A row that cannot be read is an error until it is healed.
            let whole = |path: &str| {
                let reply = self.world.try_request(Method::GET, path, Some(TOKEN), &[], None);
                reply.is_ok_and(|reply| reply.status.is_success())
            };
            if FROM_DISK.iter().all(|path| whole(path)) {
                Ok(())
            } else {
                Err(self.world.supervisor().said())
            }
        });
        let early = self.picture_now();
        log.push_str(&self.until_compared());
        log.push_str(&self.world.supervisor().said());
        let noticed =
            ["malformed", "is damaged", ".healed", "was lost", "is empty", "has lost rows", "rebuilt from"]
                .iter()
                .any(|word| log.contains(word));
        let lists = early.len();
        for (when, shown) in [("at once", early), ("in the end", self.picture_in_the_end())] {
            if shown[..] != self.picture[..if when == "at once" { lists } else { lists + 1 }] {
                return Err(format!(
                    "{when} something else is shown: {}\n{log}",
                    first_other(&shown, &self.picture)
                ));
            }
        }
        self.world.end_supervisor();
        let mut noticed = noticed;
        let (code, _) = self.world.store_does(&["check"]);
        if code != 0 {
            // In a page that nobody has read, or in a part of one that holds nothing: the next start heals what a check
            // has found.
            noticed = true;
            self.start();
            self.until_compared();
            self.world.end_supervisor();
        }
        let (code, said) = self.world.store_does(&["check"]);
        if code != 0 || !said.contains("both agree") {
            return Err(format!("not healed: {said}\n{log}"));
        }
        let (rows, expected) = (without_alerts(&dump(&self.world.mirror())), without_alerts(&self.rows));
        match rows.lines().zip(expected.lines()).find(|(now, before)| now != before) {
            None if rows.len() == expected.len() => Ok(noticed),
            other => Err(format!("the mirror has other rows, first {other:?}\n{log}")),
        }
    }

    /// A page in which the library finds no sense ends the supervisor, so that its next start looks at all of them. Here we
    /// are who starts it again.
    fn start_again_if_it_ended(&mut self) -> String {
        if self.world.supervisor_mut().ended().is_none() {
            return String::new();
        }
        let said = self.world.supervisor().said();
        said + &self.start()
    }

    /// Starts the supervisor; once more when the library finds no sense in a page while it starts.
    fn start(&mut self) -> String {
        self.world.start_supervisor_by(self.world.supervisor_command());
        let ended = wait_until("it is ready, or has ended", LONG, || {
            match (self.world.supervisor_mut().ended(), self.world.supervisor_is_ready()) {
                (Some(_), _) => Ok(true),
                (None, ready) => ready.map(|()| false),
            }
        });
        let said = self.world.supervisor().said();
        if ended {
            self.world.start_supervisor();
        }
        said
    }

    /// Waits until both were compared, row by row, once.
    fn until_compared(&mut self) -> String {
        let mut log = String::new();
        wait_until("both are compared", LONG, || {
            log.push_str(&self.start_again_if_it_ended());
            let metrics = self.world.try_request(Method::GET, "/metrics", Some(TOKEN), &[], None);
            let text = metrics.map(|reply| reply.body.as_str().unwrap_or_default().to_owned());
            let done = text
                .unwrap_or_default()
                .lines()
                .find_map(|line| line.strip_prefix("hal_o_swarm_mirror_comparisons ")?.parse::<f64>().ok());
            if done >= Some(1.0) { Ok(()) } else { Err(self.world.supervisor().said()) }
        });
        log
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn first_other(shown: &[Vec<Value>], expected: &[Vec<Value>]) -> String {
    let pairs = shown.iter().zip(expected);
    pairs
        .enumerate()
        .find_map(|(list, (shown, expected))| {
            let at = (0..shown.len().max(expected.len())).find(|at| shown.get(*at) != expected.get(*at))?;
            Some(format!(
                "list {list}, {} and {}: {:?} {:?}",
                shown.len(),
                expected.len(),
                shown.get(at),
                expected.get(at)
            ))
        })
        .unwrap_or_default()
}

/// Alerts, and what is written down of their making, are new.
fn without_alerts(rows: &str) -> String {
    rows.lines()
        .filter(|row| {
            !row.contains("alert.raised") && !row.starts_with("audit_log") && !row.starts_with("alerts|")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn random_damages_to_the_mirror() {
    play("supervisor.db", World::mirror);
}

#[test]
fn random_damages_to_the_store() {
    play("supervisor.redb", World::store);
}

fn play(name: &str, file: fn(&World) -> PathBuf) {
    let damages = asked("damages").unwrap_or(DAMAGES);
    let mut pristine = Pristine::new();
    let mut dice = Dice::new(asked("seed").unwrap_or(1));
    let (mut noticed, mut harmless, mut both, mut bad) = (0, 0, 0, Vec::new());
    for number in 0..damages {
        pristine.again();
        let harm = HARMS[number as usize % HARMS.len()];
        let at = harm.to(&file(&pristine.world), &mut dice);
        match pristine.is_healed() {
            Ok(true) => noticed += 1,
            Ok(false) => harmless += 1,
            Err(why) => bad.push(format!("{number}: {harm:?} at {at} of {name}: {why}")),
        }
        if number % BOTH == 0 {
            both_at_once(&mut pristine, &mut dice);
            both += 1;
        }
    }
    println!(
        "damages to {name}: {damages}, {noticed} noticed and healed, {harmless} touched nothing, {} silent or not healed; \
         both at once: {both}, each with the command that restores",
        bad.len()
    );
    assert!(noticed > 0, "nothing was damaged");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Neither can be used: the error names the newest backup and the command, and that command brings all back.
fn both_at_once(pristine: &mut Pristine, dice: &mut Dice) {
    pristine.again();
    for file in [pristine.world.mirror(), pristine.world.store()] {
        Harm::Cut.to(&file, dice);
        let file = OpenOptions::new().write(true).open(&file).unwrap();
        file.write_all_at(&[0xA5; 8192], 0).unwrap();
    }
    let (status, said) = Program::start("supervisor", pristine.world.supervisor_command()).end();
    assert!(!status.success(), "{said}");
    let command = said.split("restore the newest backup: ").nth(1).unwrap_or_else(|| panic!("{said}"));
    let command = command.split(" (or").next().unwrap();
    let backup = pristine.world.mirror().with_added_extension("backup");
    assert!(command.starts_with(&format!("cp {}", backup.display())), "{command}");
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
    pristine.world.start_supervisor();
    assert_eq!(pristine.picture_in_the_end(), pristine.picture, "{command}");
    pristine.world.end_supervisor();
}
