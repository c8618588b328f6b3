//! Routes and channels: who is told what, by the true program, through stand-ins that fail as the true far sides do.

mod outage;
mod reach;
mod tell;

use std::ops::RangeInclusive;

use hal_o_swarm::base::clock::Time;
use hal_o_swarm::protocol::event::Event;
use hal_o_swarm::protocol::frame::{Events, FromAgent};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::peer::Peer;
use crate::world::{TOKEN, World};

/// The key that webhooks are signed with.
const KEY: &str = "0123456789abcdef0123456789hunter2";

/// Starts the supervisor, or starts it again, with more in its configuration.
fn start(world: &mut World, more: &Value) {
    let path = configure(world, more);
    let command = world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
    world.start_supervisor_by(command);
    world.wait_for_supervisor();
}

/// Writes the configuration.
fn configure(world: &World, more: &Value) -> std::path::PathBuf {
    let mut config = world.supervisor_config(world.port());
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    world.write("supervisor.json", &config.to_string())
}

/// The failure of a session for each number.
fn errors(peer: &Peer, seqs: RangeInclusive<u64>) -> FromAgent {
    let event = |seq: u64| Event {
        seq,
        id: format!("{}-{seq}", peer.incarnation()),
        kind: "session.error".to_owned(),
        session_id: Some(format!("ses_{seq:03}").as_str().into()),
        project: Some("shop".into()),
        occurred_at: Time(1_795_451_095_000),
        data: RawValue::from_string(r#"{"error":{"name":"E","data":{"message":"no credit left"}}}"#.into())
            .unwrap(),
    };
    FromAgent::Events(Events {
        incarnation: peer.incarnation().to_owned(),
        events: seqs.map(event).collect(),
    })
}

/// Lets a node say that these sessions have failed, until that is acknowledged.
fn fail(world: &World, seqs: RangeInclusive<u64>) {
    let (first, last) = (*seqs.start(), *seqs.end());
    world.run(async {
        let url = world.url("ws");
        let (mut peer, _) = Peer::join_again(&url, TOKEN, "web-1", first - 1).await;
        let said = errors(&peer, seqs);
        peer.say(&said).await.unwrap();
        peer.hear_ack(last).await;
    });
}

fn channel(world: &World, name: &str) -> Value {
    let all = world.data("/api/v1/channels");
    all.as_array().unwrap().iter().find(|one| one["name"] == name).cloned().unwrap_or_else(|| panic!("{all}"))
}

fn until_channel(world: &World, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_until(what, PATIENCE * 3, || {
        let now = channel(world, name);
        if is_so(&now) { Ok(now) } else { Err(now.to_string()) }
    })
}

fn webhook(port: u16) -> Value {
    json!({"webhook_url": format!("http://127.0.0.1:{port}/hook"), "secret": KEY, "allow_private": true, "group": "0s"})
}
