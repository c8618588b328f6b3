//! Disks that are full or do not sync: nothing is acknowledged, reading goes on, and work resumes by itself.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hal_o_swarm::base::clock::{Time, now};
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::means::{attempt, can, during, has_said, in_the_middle, is_whole, must, skip, soak, stored, tool};
use crate::patience::{PATIENCE, wait_until};
use crate::peer::Peer;
use crate::program::Program;
use crate::world::{TOKEN, World};

/// Bytes of the small disk.
const SMALL: u64 = 16 * 1024 * 1024;

/// How long it may take to be at work again once there is room.
const AGAIN: Duration = Duration::from_secs(15);

/// Ticks in a turn: more than are stored before the disk is full.
const MANY: u64 = 8_000;

/// A small disk of its own; gone when this is.
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    /// Makes it; where this machine does not let anybody mount one, the scene is skipped.
    pub fn make(scene: &str) -> Option<Self> {
        let dir = TempDir::with_prefix("hal-disk-").expect("there is room");
        let (image, place) = (dir.path().join("image"), dir.path().join("disk"));
        std::fs::create_dir(&place).unwrap();
        File::create(&image).and_then(|file| file.set_len(SMALL)).expect("a sparse file takes no room");
        let (image, place) = (image.to_str().unwrap(), place.to_str().unwrap());
        must(&["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image]);
        match attempt(&["mount", "-o", "loop", image, place]) {
            Ok(_) => Some(Self { dir }),
            Err(why) => {
                skip(scene, &why);
                None
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Fills it to the last byte.
    pub fn fill(&self) -> Ballast {
        let path = self.path().join(format!("something-else-{}", hal_o_swarm::base::id::fresh()));
        let Ok(mut file) = File::create(&path) else { return Ballast(path) };
        let mut size = 1 << 20;
        while size > 0 {
            if file.write_all(&vec![7; size]).and_then(|()| file.sync_data()).is_err() {
                size /= 4;
            }
        }
        Ballast(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        tool(&["umount", "-l", self.path().to_str().unwrap_or_default()]);
    }
}

/// What fills a disk; there is room again when this is gone.
pub struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// Waits until the supervisor says that it cannot store, and which part of it cannot.
fn is_sick(world: &World) {
    wait_until("readyz names what is sick", PATIENCE, || {
        let ready = world.get("/readyz");
        let told = ready.body["components"]["database"]["error"].as_str().is_some();
        let is_so = ready.status == StatusCode::SERVICE_UNAVAILABLE && told;
        if is_so { Ok(()) } else { Err(ready.body.to_string()) }
    });
    assert!(world.metric("hal_o_swarm_commit_failures_total") > 0.0, "a commit failed and was counted");
}

fn is_well(world: &World) {
    wait_until("the supervisor is ready again, by itself", AGAIN, || {
        let ready = world.get("/readyz");
        if ready.status == StatusCode::OK { Ok(()) } else { Err(ready.body.to_string()) }
    });
}

/// Reading does not care.
fn can_be_read(world: &World, id: &str, at_least: u64) {
    for path in ["/api/v1/sessions", "/api/v1/nodes", "/api/v1/events?limit=10", "/api/v1/commands"] {
        let reply = world.get(path);
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
    }
    assert_eq!(world.data(&format!("/api/v1/sessions/{id}"))["id"], id);
    assert!(stored(world, id) >= at_least, "what was stored is still there");
}

/// A peer that has said one thing, which was acknowledged.
fn witness(world: &World) -> Peer {
    world.run(async {
        let (mut peer, _) = Peer::join(&world.url("ws"), TOKEN, "witness").await;
        peer.say_events(1..=1).await;
        peer.hear_ack(1).await;
        peer
    })
}

/// What it says now is not acknowledged: the link is closed, or nobody answers.
fn is_not_acknowledged(world: &World, mut peer: Peer) {
    let acknowledged = world.run(async {
        peer.say_events(2..=2).await;
        let heard = peer.hear_ack_within(2, Duration::from_secs(3)).await;
        heard >= 2
    });
    assert!(!acknowledged, "acknowledged by a supervisor that cannot store");
}

/// It comes back, and what was not acknowledged is said again and taken once.
fn is_acknowledged_now(world: &World) {
    world.run(async {
        let (mut peer, welcome) = Peer::join_again(&world.url("ws"), TOKEN, "witness", 2).await;
        // A sync that failed may have reached the disk nevertheless: then it is there, and known to be.
        if welcome.committed_seq < 2 {
            peer.say_events(2..=2).await;
            peer.hear_ack(2).await;
        }
    });
    assert_eq!(world.count_events("node_id=witness&type=peer.tick"), 2);
}

/// Waits until what the node `web-1` holds is here. Only a heartbeat said from now on tells how much that is.
fn says_no_more(world: &World) {
    let after = now().plus(Duration::from_secs(1));
    wait_until("nothing more comes", PATIENCE, || {
        let node = world.data("/api/v1/nodes/web-1");
        let heard = node["last_heartbeat"].as_str().and_then(Time::parse);
        let is_all = node["journal"]["held"] == node["journal"]["acknowledged"];
        if is_all && heard > Some(after) { Ok(()) } else { Err(node.to_string()) }
    });
}

#[test]
fn a_full_disk_of_the_supervisor_stops_writing_and_nothing_else() {
    const SCENE: &str = "a full disk under the supervisor";
    if !can(SCENE, &["mkfs.ext4", "mount", "umount"]) {
        return;
    }
    let Some(disk) = Disk::make(SCENE) else { return };
    let mut world = World::empty();
    std::os::unix::fs::symlink(disk.path(), world.path().join("supervisor")).unwrap();
    world.start_supervisor();
    world.start_agent("web-1", "shop");
    let peer = witness(&world);
    let id = world.start_session("shop", &format!("pace {MANY} 1000"));
    let before = in_the_middle(&world, &id, MANY);
    let ballast = disk.fill();
    is_sick(&world);
    is_not_acknowledged(&world, peer);
    let refused =
        world.ask(&json!({"type": "create_session", "project": "shop", "args": {"prompt": "burst 1"}}));
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.body);
    let mut looks = 0;
    during(Duration::from_secs(if soak() { 30 } else { 4 }), || {
        can_be_read(&world, &id, before);
        looks += 1;
    });
    let there = stored(&world, &id);
    assert!(there < MANY, "the burst was over before the disk was full");
    drop(ballast);
    is_well(&world);
    is_whole(&world, "web-1", &id, MANY);
    is_acknowledged_now(&world);
    assert_eq!(world.count_events("type=session.created"), 1, "what was refused was not done");
    println!("{there} of {MANY} when it was full, read {looks} times meanwhile");
}

/// The state of a command, whoever carries it out.
fn command_is(world: &World, id: &str, state: &str) {
    wait_until(&format!("command {id} is {state}"), PATIENCE, || {
        let command = world.data(&format!("/api/v1/commands/{id}"));
        if command["state"] == state { Ok(()) } else { Err(command.to_string()) }
    });
}

#[test]
fn what_has_a_limit_ends_in_time_while_the_disk_is_full() {
    const SCENE: &str = "time while the disk is full";
    if !can(SCENE, &["mkfs.ext4", "mount", "umount"]) {
        return;
    }
    let Some(disk) = Disk::make(SCENE) else { return };
    let mut world = World::empty();
    std::os::unix::fs::symlink(disk.path(), world.path().join("supervisor")).unwrap();
    let mut config = world.supervisor_config(0);
    config["approvals"] = json!({"time_limit": "15s"});
    let path = world.write("supervisor.json", &config.to_string());
    let command = world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
    world.start_supervisor_by(command);
    world.wait_for_supervisor();
    world.start_agent("web-2", "site");
    let away = world.start_session("site", "say hello");
    world.take_agent("web-2").kill();
    world.wait_for_node("web-2", "offline");
    world.start_agent("web-1", "shop");
    let asking = world.start_session("shop", "ask rm -rf build");
    world.wait_for_session(&asking, "waiting");
    let queued = world
        .ask(&json!({"type": "prompt_session", "session_id": away, "expires": 15, "timeout": 0,
        "args": {"message": "go on"}}));
    let id = queued.body["data"]["command_id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(queued.body["data"]["state"], "queued", "its node is away: {}", queued.body);
    let ballast = disk.fill();
    // What wants room finds out.
    let much = format!("say {}", "x".repeat(200_000));
    wait_until("a command finds no room", PATIENCE, || {
        let asked =
            json!({"type": "create_session", "project": "shop", "timeout": 0, "args": {"prompt": much}});
        let reply = world.ask(&asked);
        if reply.status == StatusCode::SERVICE_UNAVAILABLE { Ok(()) } else { Err(reply.body.to_string()) }
    });
    is_sick(&world);
    let still = world.data(&format!("/api/v1/commands/{id}"));
    assert_eq!(still["state"], "queued", "the disk is full before its time is over");
    command_is(&world, &id, "expired");
    wait_until("the approval's time is up", PATIENCE, || {
        match world.count_events(&format!("session_id={asking}&type=approval.time_up")) {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    assert_eq!(world.get("/readyz").status, StatusCode::SERVICE_UNAVAILABLE, "the disk is full all the time");
    drop(ballast);
    is_well(&world);
    command_is(&world, &id, "expired");
    world.wait_for_node("web-1", "online");
    world.start_session("shop", "say hello");
}

#[test]
fn a_full_disk_of_the_agent_holds_its_work_back_and_loses_nothing() {
    const SCENE: &str = "a full disk under the agent";
    if !can(SCENE, &["mkfs.ext4", "mount", "umount"]) {
        return;
    }
    let Some(disk) = Disk::make(SCENE) else { return };
    let mut world = World::supervised();
    let mut config = world.agent_config("web-1", "shop");
    config["data_dir"] = json!(disk.path().join("data"));
    std::fs::create_dir_all(disk.path().join("data")).unwrap();
    std::fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    world.start_agent_with("web-1", &config);
    world.start_agent("web-2", "yard");
    world.wait_for_node("web-1", "online");
    let id = world.start_session("shop", &format!("pace {MANY} 1000"));
    in_the_middle(&world, &id, MANY);
    let mut fillers = vec![disk.fill()];
    world.agent("web-1").line_with("nothing can be stored");
    let other = world.start_session("yard", "burst 500");
    is_whole(&world, "web-2", &other, 500);
    // What the agent keeps in reserve, and what it need not keep, gives it room: that is filled too.
    during(Duration::from_secs(if soak() { 30 } else { 3 }), || {
        fillers.push(disk.fill());
        assert_eq!(world.data("/api/v1/nodes/web-1")["status"], "online", "it says how it is all the same");
    });
    let there = stored(&world, &id);
    assert!(there < MANY, "the burst was over before the disk was full");
    drop(fillers);
    world.agent("web-1").line_with("the journal can be written again");
    is_whole(&world, "web-1", &id, MANY);
    println!("{there} of {MANY} when it was full");
}

/// Makes every sync of a program fail until it is told to stop.
struct NoSync {
    strace: Program,
    log: PathBuf,
}

impl NoSync {
    fn of(pid: u32, folder: &Path) -> Self {
        let log = folder.join(format!("syncs-of-{pid}"));
        let mut command = std::process::Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=fdatasync,fsync", "-o"]).arg(&log);
        command.args(["-e", "inject=fdatasync,fsync:error=EIO:when=1+", "-p", &pid.to_string()]);
        Self { strace: Program::start("strace", command), log }
    }

    fn failed(&self) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.contains("INJECTED")).count()
    }

    /// Lets go: how many syncs have failed.
    fn end(self) -> usize {
        let failed = self.failed();
        let _detached = self.strace.end_with(Signal::TERM);
        failed
    }

    fn has_fired(&self) {
        wait_until("a sync has failed", PATIENCE, || match self.failed() {
            0 => Err(self.strace.said()),
            _ => Ok(()),
        });
    }
}

#[test]
fn a_supervisor_whose_syncs_fail_acknowledges_nothing() {
    if !can("syncs of the supervisor that fail", &["strace"]) {
        return;
    }
    let world = World::with_node();
    let peer = witness(&world);
    let id = world.start_session("shop", &format!("pace {MANY} 1000"));
    let before = in_the_middle(&world, &id, MANY);
    let no_sync = NoSync::of(world.supervisor().pid(), world.path());
    no_sync.has_fired();
    is_sick(&world);
    is_not_acknowledged(&world, peer);
    can_be_read(&world, &id, before);
    let failed = no_sync.end();
    is_well(&world);
    is_whole(&world, "web-1", &id, MANY);
    is_acknowledged_now(&world);
    println!("{failed} syncs have failed");
}

#[test]
fn an_agent_whose_syncs_fail_says_nothing_until_they_work() {
    if !can("syncs of an agent that fail", &["strace"]) {
        return;
    }
    let world = World::with_node();
    let id = world.start_session("shop", &format!("pace {MANY} 1000"));
    in_the_middle(&world, &id, MANY);
    let no_sync = NoSync::of(world.agent("web-1").pid(), world.path());
    no_sync.has_fired();
    world.agent("web-1").line_with("nothing can be stored");
    let held = || world.data("/api/v1/nodes/web-1")["journal"]["held"].as_u64().unwrap();
    says_no_more(&world);
    let there = held();
    during(Duration::from_secs(2), || assert_eq!(held(), there, "said before it was synced"));
    let failed = no_sync.end();
    is_whole(&world, "web-1", &id, MANY);
    assert!(has_said(&world.agent("web-1").said(), "the journal can be written again"));
    println!("{failed} syncs have failed, {there} events were held meanwhile");
}
