//! Chats: what people are told there, press and type, against stand-ins that speak the services' protocols.

mod discord;
mod slack;

use serde_json::{Value, json};

use crate::world::World;

/// A supervisor with these channels, or that again.
fn start(world: &mut World, channels: &Value) {
    let mut config = world.supervisor_config(world.port());
    config["channels"] = channels.clone();
    config["alerts"] = json!({"enabled": false});
    let path = world.write("supervisor.json", &config.to_string());
    let command = world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
    world.start_supervisor_by(command);
    world.wait_for_supervisor();
}

/// A supervisor with these channels, and the node `web-1`.
fn begin(channels: &Value) -> World {
    let mut world = World::empty();
    start(&mut world, channels);
    world.start_agent("web-1", "shop");
    world
}
