//! Every database line of the incident runbook, word for word, against a supervisor that takes 2,000 events a second:
//! the effect of each is looked for in the API, and in the end no event is lost or there twice.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::desk::{Desk, SERVICE, block, commands};
use super::stage::sqlite;
use super::steady::{Steady, are_whole};
use crate::fault::means::{skip, skip_part, soak};
use crate::patience::{PATIENCE, wait_until};
use crate::world::text;

/// Events that are older than the thirty days of the runbook, and some that are not quite.
const OLD: u64 = 400;

/// The machine's `sqlite3`, and one that can `.recover` where the machine's cannot.
fn shells() -> Vec<PathBuf> {
    let found = Command::new("sh").args(["-c", "command -v sqlite3"]).output().unwrap();
    let mut shells = vec![PathBuf::from(text(&found.stdout).trim())];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/sqlite3.sh");
    let able = Command::new(script).output().unwrap();
    match able.status.success() {
        true => shells.push(PathBuf::from(text(&able.stdout).trim())),
        false => skip_part("`.recover` with a sqlite3 that can", &text(&able.stderr)),
    }
    shells.dedup();
    shells
}

/// True when a `sqlite3` can `.recover`.
fn can_recover(shell: &Path) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.db");
    sqlite(&file, "CREATE TABLE x (y)").unwrap();
    let said = Command::new(shell).arg(&file).arg(".recover").output().unwrap();
    text(&said.stdout).contains("CREATE TABLE x")
}

/// Lines in the runbook's blocks, and commands in its lists of prevention.
const LINES: (usize, usize) = (121, 11);

#[test]
fn the_plays_have_every_line() {
    let plays = std::fs::read_dir(crate::source::root().join("tests/fixtures/runbook")).unwrap().flatten();
    let (mut lines, mut prevention) = (0, 0);
    for play in plays {
        for (part, command) in commands(play.path().file_stem().unwrap().to_str().unwrap()) {
            match part.as_str() {
                "prevention" => prevention += 1,
                _ => lines += command.lines().count(),
            }
        }
    }
    assert_eq!((lines, prevention), LINES);
}

#[test]
fn every_line_as_root() {
    play("the runbook as root", 0, 0);
}

#[test]
fn every_line_as_the_services_own_user() {
    play("the runbook as the service's user", SERVICE, SERVICE);
}

#[test]
fn every_line_as_root_where_the_service_has_a_user_of_its_own() {
    play("the runbook as root, the service as its user", SERVICE, 0);
}

fn play(scene: &str, service: u32, operator: u32) {
    // A node says thousands of events a second meanwhile, which a build for debugging on two busy cores does not follow.
    if !soak() {
        return skip(
            scene,
            "it takes minutes of a release build: just soak-mirror plays it; tests/host/runbook its lines",
        );
    }
    // Without the time for all, the other users have the `sqlite3` that can do more.
    let few = if service == operator && service == 0 || soak() { 0 } else { 1 };
    let shells = shells();
    for shell in &shells[few.min(shells.len() - 1)..] {
        let Some(desk) = Desk::start(scene, service, operator, shell) else { return };
        let mut incident = Incident::begin(desk);
        incident.old_data_is_archived("supervisor-memory");
        incident.costs_do_not_match();
        incident.answers_are_slow();
        incident.prevention();
        for is_damaged in [false, true] {
            incident.the_file_is_recovered(shell, is_damaged);
        }
        incident.a_backup_is_restored("corruption", ".recover");
        incident.sessions_are_lost();
        let lines = incident.lines;
        let said = incident.end();
        println!("{scene}, {}: {lines} lines, {said} events, lost 0, twice 0", shell.display());
    }
}

/// What goes on: the supervisor, a node that talks all the time, and one that works.
struct Incident {
    desk: Desk,
    steady: Steady,
    session: String,
    /// Lines typed.
    lines: usize,
}

impl Incident {
    fn begin(mut desk: Desk) -> Self {
        desk.world.start_agent("web-1", "shop");
        let session = desk.world.start_session("shop", "cost 0.5");
        desk.world.wait_for_session(&session, "idle");
        let steady = Steady::begin(&desk.world);
        steady.until_more(1_000);
        desk.world.until_mirrored_upto_now();
        Self { desk, steady, session, lines: 0 }
    }

    /// Types the lines of a block, but for those with these words; what they have printed.
    fn types(&mut self, name: &str, but: &[&str]) -> Vec<String> {
        let lines = block(name, false).into_iter().filter(|line| !but.iter().any(|word| line.contains(word)));
        self.types_each(lines.collect())
    }

    fn types_each(&mut self, lines: Vec<String>) -> Vec<String> {
        let said: Vec<String> = lines.iter().map(|line| self.desk.types(line)).collect();
        self.lines += said.len();
        // The node was never in the way of any of it, nor it in the node's.
        self.steady.until_more(200);
        said
    }

    /// Old events come in as an operator would bring them back from a copy.
    fn bring_old(&mut self) {
        for (kind, age) in [("old.tick", "-31 days"), ("young.tick", "-29 days")] {
            self.desk.types(&format!(
                "sqlite3 /var/lib/hal-o-swarm/supervisor.db \"INSERT INTO events (type, node_id, session_id, data, \
                 timestamp) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {OLD}) SELECT \
                 '{kind}', 'web-1', '{}', json_object('n', i), datetime('now', '{age}') FROM n;\"",
                self.session
            ));
            self.desk.world.until_events(&format!("type={kind}"), OLD);
        }
    }

    fn only_the_old_are_gone(&self) {
        self.desk.world.until_events("type=old.tick", 0);
        assert_eq!(self.desk.world.count_events("type=young.tick"), OLD, "only what is older");
        self.costs_are_right();
    }

    fn old_data_is_archived(&mut self, name: &str) {
        self.bring_old();
        let said = self.types(name, &[]);
        assert!(said[0].ends_with("/var/lib/hal-o-swarm/supervisor.db"), "{said:?}");
        self.only_the_old_are_gone();
        self.forget_young();
    }

    fn forget_young(&mut self) {
        self.desk.types(
            "sqlite3 /var/lib/hal-o-swarm/supervisor.db \"DELETE FROM events WHERE type = 'young.tick'\"",
        );
        self.desk.world.until_events("type=young.tick", 0);
    }

    fn costs_are_right(&self) {
        let session = self.desk.world.data(&format!("/api/v1/sessions/{}", self.session));
        assert_eq!(session["cost"], 0.5, "{session}");
        self.desk.world.until_sql("SELECT round(sum(cost_usd), 6) FROM costs", "0.5");
    }

    fn costs_do_not_match(&mut self) {
        let said = self.types("costs", &[]);
        let spent = said[0].split('|').filter(|cell| *cell == "0.5").count();
        assert_eq!(spent, 1, "{said:?}");
        self.costs_are_right();
    }

    fn answers_are_slow(&mut self) {
        self.bring_old();
        let said = self.types("latency", &[]);
        // The session of the true node, and the one in which the other talks.
        assert_eq!(said[1], self.desk.world.count_sessions().to_string());
        self.only_the_old_are_gone();
        self.forget_young();
        assert_eq!(
            self.desk.types("sqlite3 /var/lib/hal-o-swarm/supervisor.db \"PRAGMA integrity_check;\""),
            "ok"
        );
    }

    fn prevention(&mut self) {
        let said = self.types_each(block("corruption", true));
        assert_eq!(said[0], "wal");
        let copies: Vec<_> =
            std::fs::read_dir(self.desk.world.path().join("backup")).unwrap().flatten().collect();
        assert_eq!(copies.len(), 1);
        let copy = copies[0].path();
        assert_eq!(sqlite(&copy, "PRAGMA integrity_check").unwrap(), "ok");
        let counted = "SELECT count(*) = (SELECT value FROM _hal_meta WHERE key = 'count_events'), count(*) > 1000, \
                       (SELECT count(*) FROM sessions WHERE cost = 0.5) FROM events";
        assert_eq!(sqlite(&copy, counted).unwrap(), "1|1|1");
    }

    fn the_file_is_recovered(&mut self, shell: &Path, is_damaged: bool) {
        let before = self.steady.acknowledged();
        let lines = block("corruption", false);
        let restore = lines.iter().position(|line| line.contains(".backup")).unwrap();
        for (at, line) in lines.iter().enumerate().filter(|(at, _)| *at != restore) {
            if is_damaged && line.contains("supervisor.db.corrupt") {
                let file = std::fs::OpenOptions::new().write(true).open(self.desk.world.mirror()).unwrap();
                file.write_all_at(&[0xA5; 40_000], 9_000).unwrap();
            }
            let said = self.desk.types(line);
            assert!(at != 0 || said == "ok", "{said}");
        }
        self.lines += lines.len() - 1;
        let world = &self.desk.world;
        let log = world.supervisor().said();
        assert!(!log.contains("was restored"), "nothing older is taken for the truth: {log}");
        assert_eq!(log.contains("is empty"), !can_recover(shell), "{log}");
        self.steady.until(before + 400);
        // Whatever is in the file: all that was acknowledged is still there, before the node has to say it again.
        world.until_mirrored_upto_now();
        wait_until("all of it is there", PATIENCE, || match world.count_events("type=peer.tick") {
            there if there >= before => Ok(()),
            there => Err(format!("{there} of {before}")),
        });
        assert_eq!(world.sql("PRAGMA integrity_check"), "ok");
        self.costs_are_right();
        self.starts_again_as_it_was();
    }

    /// A restart finds nothing to put right any more.
    fn starts_again_as_it_was(&mut self) {
        // What is said from here on is in no file but the new one.
        self.steady.until_more(200);
        self.desk.world.until_mirrored_upto_now();
        self.desk.types("sudo systemctl restart hal-supervisor");
        let log = self.desk.world.supervisor().said();
        assert!(!log.contains("restored") && !log.contains("rebuilt") && !log.contains("malformed"), "{log}");
    }

    fn a_backup_is_restored(&mut self, name: &str, but: &str) {
        let world = &self.desk.world;
        world.ctl_says(&["backup", "now"]);
        let kept = self.steady.acknowledged();
        self.steady.until_more(2_000);
        world.until_mirrored_upto_now();
        let recovered = [but, "supervisor.db.recovered"];
        self.types(name, &recovered);
        self.desk.world.supervisor().line_with("was restored");
        // What the backup lacks comes back by itself.
        self.steady.until(kept + 4_000);
        self.costs_are_right();
        self.starts_again_as_it_was();
    }

    fn sessions_are_lost(&mut self) {
        let world = &self.desk.world;
        world.wait_for_session(&self.session, "idle");
        world.ctl_says(&["backup", "now"]);
        world.sql("DELETE FROM sessions");
        wait_until("the sessions are lost", PATIENCE, || {
            let status = world.get(&format!("/api/v1/sessions/{}", self.session)).status;
            if status == reqwest::StatusCode::NOT_FOUND { Ok(()) } else { Err(status.to_string()) }
        });
        let said = self.types("sessions", &[]);
        assert_eq!(said[0], "ok");
        assert!(said[1].lines().count() >= 3, "the newest backup and its other names: {said:?}");
        let world = &self.desk.world;
        let listed = world.ctl_says(&["sessions", "list"]);
        assert!(listed.contains(&self.session), "{listed}");
        self.costs_are_right();
    }

    /// The end: how many events the node has said. Each is there once and in order, in the API and in the file.
    fn end(self) -> u64 {
        let said = self.steady.end();
        let world = &self.desk.world;
        are_whole(world, said).unwrap_or_else(|wrong| panic!("{wrong}"));
        world.until_mirrored();
        let counted = "SELECT count(*), count(DISTINCT node_seq), min(node_seq), max(node_seq) FROM events WHERE type = \
                       'peer.tick'";
        assert_eq!(world.sql(counted), format!("{said}|{said}|1|{said}"));
        assert_eq!(world.count_events("type=gap"), 0, "nothing was given up");
        world.wait_for_node("web-1", "online");
        let id = world.start_session("shop", "say on");
        world.wait_for_session(&id, "idle");
        said
    }
}
