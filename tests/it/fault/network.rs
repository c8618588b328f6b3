//! Partitions: supervisor and agent in two network namespaces, and the wire between them cut.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;

use super::means::{attempt, can, during, in_the_middle, is_whole, must, skip, soak, stored, tool};
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// Where the two are, on a wire that nobody else can see.
pub const SUPERVISOR: &str = "10.99.0.1";
const AGENT: &str = "10.99.0.2";

/// Events in a second.
const PACE: u64 = 1_000;

/// How long all may take to be there again after the wire was healed: on a machine that has nothing else to do, as
/// when these scenes take their full length. Else it is known only that it does come back.
const HEALED: Duration = Duration::from_secs(10);

/// Events in a second that a debug build catches up with at least.
const DEBUG_PACE: u64 = 1_500;

/// How a wire is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    /// Nothing passes, and both ends see it.
    Both,
    /// What the supervisor says is lost without a sign.
    ToAgent,
    /// What the agent says is lost without a sign.
    ToSupervisor,
}

/// Two namespaces and a wire. They are gone when this is.
pub struct Wire {
    supervisor: String,
    agent: String,
}

impl Wire {
    /// Lays it, and tries all that the scenes do in it; or says which of it cannot be done here.
    fn lay() -> Result<Self, String> {
        sweep()?;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hal-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let wire = Self { supervisor: format!("{name}-s"), agent: format!("{name}-a") };
        let (s, a) = (wire.supervisor.as_str(), wire.agent.as_str());
        for namespace in [s, a] {
            attempt(&["ip", "netns", "add", namespace])?;
            attempt(&["ip", "-n", namespace, "link", "set", "lo", "up"])?;
            // It mounts /sys again, which a container or a chroot may forbid where namespaces are allowed.
            attempt(&["ip", "netns", "exec", namespace, "true"])?;
        }
        attempt(&[
            "ip", "link", "add", "wire", "netns", s, "type", "veth", "peer", "name", "wire", "netns", a,
        ])?;
        for (namespace, address) in [(s, SUPERVISOR), (a, AGENT)] {
            attempt(&["ip", "-n", namespace, "addr", "add", &format!("{address}/30"), "dev", "wire"])?;
            attempt(&["ip", "-n", namespace, "link", "set", "wire", "up"])?;
        }
        Ok(wire)
    }

    fn cut(&self, cut: Cut) {
        match cut {
            Cut::Both => must(&["ip", "-n", &self.agent, "link", "set", "wire", "down"]),
            Cut::ToAgent => must(&["ip", "-n", &self.supervisor, "route", "add", "blackhole", AGENT]),
            Cut::ToSupervisor => must(&["ip", "-n", &self.agent, "route", "add", "blackhole", SUPERVISOR]),
        };
    }

    fn heal(&self, cut: Cut) {
        match cut {
            Cut::Both => must(&["ip", "-n", &self.agent, "link", "set", "wire", "up"]),
            Cut::ToAgent => must(&["ip", "-n", &self.supervisor, "route", "del", "blackhole", AGENT]),
            Cut::ToSupervisor => must(&["ip", "-n", &self.agent, "route", "del", "blackhole", SUPERVISOR]),
        };
    }

    /// Goes into the supervisor's namespace, with all that this thread starts.
    fn enter(&self) {
        enter(&self.supervisor);
    }

    /// Does something at the agent's end.
    pub fn at_the_agent<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        // The thread stays in the namespace for good, so it is one of its own.
        let elsewhere = || {
            enter(&self.agent);
            work()
        };
        std::thread::scope(|scope| scope.spawn(elsewhere).join().expect("it does not panic"))
    }

    /// What starts a program at the agent's end.
    pub fn under(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.agent].map(str::to_owned).to_vec()
    }
}

fn enter(namespace: &str) {
    let place = File::open(format!("/run/netns/{namespace}")).expect("ip made it");
    let entered = move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network));
    entered.expect("root may enter it");
}

impl Drop for Wire {
    fn drop(&mut self) {
        for namespace in [&self.supervisor, &self.agent] {
            tool(&["ip", "netns", "delete", namespace]);
        }
    }
}

/// Takes away what tests have left that were killed themselves.
fn sweep() -> Result<(), String> {
    for name in attempt(&["ip", "netns", "list"])?.lines().filter_map(|line| line.split(' ').next()) {
        let pid = name.strip_prefix("hal-").and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            tool(&["ip", "netns", "delete", name]);
        }
    }
    Ok(())
}

/// A supervisor at one end of the wire and the node `web-1` at the other.
fn stand(wire: &Wire) -> World {
    let mut world = World::empty();
    world.bind = SUPERVISOR.to_owned();
    world.start_supervisor();
    let mut config = world.agent_config("web-1", "shop");
    config["supervisor_url"] = json!(world.url("ws"));
    std::fs::create_dir_all(world.path().join("web-1/shop")).expect("the folder is ours");
    world.under = wire.under();
    world.start_agent_with("web-1", &config);
    world.under.clear();
    world.wait_for_node("web-1", "online");
    world
}

/// Cuts the wire under load for a while; afterwards everything is there, and every command has done what it may.
fn partition(scene: &str, cut: Cut, length: Duration) {
    on_a_wire(scene, |wire| play(wire, cut, length));
}

/// Plays a scene within the supervisor's namespace.
pub fn on_a_wire(scene: &str, play: impl Fn(&Wire) + Sync) {
    if !can(scene, &["ip"]) {
        return;
    }
    let wire = match Wire::lay() {
        Ok(wire) => wire,
        Err(why) => return skip(scene, &why),
    };
    let played = std::thread::scope(|scope| {
        // The thread stays in the namespace for good, so it is one of its own.
        let thread = scope.spawn(|| {
            wire.enter();
            play(&wire);
        });
        thread.join()
    });
    if let Err(panic) = played {
        drop(wire);
        std::panic::resume_unwind(panic);
    }
}

fn play(wire: &Wire, cut: Cut, length: Duration) {
    let world = stand(wire);
    let count = PACE * (length.as_secs() + 6);
    let id = world.start_session("shop", &format!("pace {count} {PACE}"));
    in_the_middle(&world, &id, count);
    wire.cut(cut);
    let begun = Instant::now();
    // Asked before anybody has noticed: it waits in the network.
    let early = ask(&world, "burst 1", 2);
    world.wait_for_node("web-1", "offline");
    let late = ask(&world, "burst 2", 1);
    let lasting = ask(&world, "burst 3", 300);
    assert_eq!(outcome(&world, &late), "expired", "before there is a way to the node again");
    let silent = settled(&world, &id);
    during(length.saturating_sub(begun.elapsed()), || {});
    assert_eq!(stored(&world, &id), silent, "the cut did not hold: something came through");
    wire.heal(cut);
    let healed = Instant::now();
    world.wait_for_node("web-1", "online");
    let back = healed.elapsed();
    let allowed = if soak() { HEALED } else { PATIENCE };
    assert!(back < allowed, "it was back {back:?} after the healing of a {cut:?} of {length:?}");
    let expected = (begun.elapsed().as_secs() * PACE).min(count);
    wait_until("what happened meanwhile is there", HEALED * 6, || {
        let there = stored(&world, &id);
        if there >= expected { Ok(()) } else { Err(format!("{there} of {expected}")) }
    });
    let took = healed.elapsed();
    // A program that was not built for speed takes its time to catch up.
    let debts = if cfg!(debug_assertions) { expected.saturating_sub(silent) } else { 0 };
    let allowed = allowed + Duration::from_secs(debts / DEBUG_PACE);
    println!(
        "{cut:?} for {length:?}: {silent} events before, back {back:?} after healing, {expected} there after {took:?}"
    );
    assert!(took < allowed, "it took {took:?} after the healing of a {cut:?} of {length:?}");
    assert_eq!(outcome(&world, &lasting), "done");
    // One way only, it was there at once; what nobody heard of was its outcome.
    let arrived = cut == Cut::ToSupervisor;
    assert_eq!(outcome(&world, &early), if arrived { "done" } else { "expired" });
    is_whole(&world, "web-1", &id, count);
    let mut ran = begun_by(&world, "burst");
    ran.sort();
    let expected: &[&str] = if arrived { &["burst 1", "burst 3"] } else { &["burst 3"] };
    assert_eq!(ran, expected, "what was past its time never ran, and the others once");
}

/// Asks for a session and does not wait: the command.
fn ask(world: &World, prompt: &str, expires: u64) -> String {
    let command = json!({"type": "create_session", "project": "shop", "args": {"prompt": prompt}, "timeout": 0,
        "expires": expires});
    let reply = world.ask(&command);
    reply.body["data"]["command_id"].as_str().unwrap_or_else(|| panic!("{}", reply.body)).to_owned()
}

/// The prompts that began sessions, of those that begin so.
fn begun_by(world: &World, words: &str) -> Vec<String> {
    let created = world.events("type=session.created");
    let titles = created.iter().filter_map(|event| event["data"]["info"]["title"].as_str());
    titles.filter(|title| title.starts_with(words)).map(str::to_owned).collect()
}

/// How many ticks are there once those that were on their way have come in.
fn settled(world: &World, id: &str) -> u64 {
    let mut last = stored(world, id);
    wait_until("no more of it comes in", PATIENCE, || {
        during(Duration::from_millis(500), || {});
        let before = std::mem::replace(&mut last, stored(world, id));
        if before == last { Ok(last) } else { Err(format!("{before}, then {last}")) }
    })
}

/// The state a command ends in.
fn outcome(world: &World, id: &str) -> String {
    wait_until("the command has ended", PATIENCE, || {
        let command = world.data(&format!("/api/v1/commands/{id}"));
        let state = command["state"].as_str().unwrap_or_default();
        if ["done", "failed", "expired", "unknown"].contains(&state) {
            Ok(state.to_owned())
        } else {
            Err(command.to_string())
        }
    })
}

#[test]
fn a_cut_wire_loses_nothing_and_does_nothing_twice() {
    partition("a cut wire", Cut::Both, Duration::from_secs(if soak() { 60 } else { 7 }));
}

#[test]
fn a_wire_that_loses_one_direction_without_a_sign_is_noticed() {
    partition("a one-way wire, to the agent", Cut::ToAgent, Duration::from_secs(if soak() { 60 } else { 7 }));
}

#[test]
fn a_wire_that_loses_the_other_direction_is_noticed() {
    let length = Duration::from_secs(if soak() { 60 } else { 7 });
    partition("a one-way wire, to the supervisor", Cut::ToSupervisor, length);
}

#[test]
fn what_waited_in_the_network_past_its_time_never_runs() {
    on_a_wire("a command that waits in the network", |wire| {
        let world = stand(wire);
        wire.cut(Cut::ToAgent);
        let short = ask(&world, "burst 1", 1);
        let long = ask(&world, "burst 2", 300);
        wait_until("it is sent, since nobody has noticed anything", PATIENCE, || {
            let state = world.data(&format!("/api/v1/commands/{short}"))["state"].clone();
            if state == "sent" { Ok(()) } else { Err(state.to_string()) }
        });
        during(Duration::from_secs(3), || {});
        assert_eq!(begun_by(&world, "burst"), Vec::<String>::new(), "the cut did not hold");
        wire.heal(Cut::ToAgent);
        assert_eq!([outcome(&world, &short), outcome(&world, &long)], ["expired", "done"]);
        assert_eq!(begun_by(&world, "burst"), ["burst 2"]);
        assert_eq!(world.count_events("type=node.offline"), 0, "over the same connection");
    });
}

#[test]
fn cuts_of_awkward_lengths_heal_as_fast() {
    if !soak() {
        return skip("cuts of awkward lengths", "it takes minutes: set HAL_SOAK=1");
    }
    for seconds in [10, 14, 20, 33] {
        for cut in [Cut::Both, Cut::ToAgent, Cut::ToSupervisor] {
            partition("cuts of awkward lengths", cut, Duration::from_secs(seconds));
        }
    }
}
