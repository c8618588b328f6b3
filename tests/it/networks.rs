//! Networks: what may be done from where, and who is behind a proxy.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fault::network::{SUPERVISOR, on_a_wire};
use crate::patience::{PATIENCE, wait_until};
use crate::world::{TOKEN, World};

fn config(world: &World, more: impl Fn(&mut Value)) -> String {
    let mut config = world.supervisor_config(world.port());
    more(&mut config);
    world.write("supervisor.json", &config.to_string()).to_string_lossy().into_owned()
}

fn start(world: &mut World, more: impl Fn(&mut Value)) {
    let file = config(world, more);
    world.start_supervisor_by(world.hal(&["supervisor", "--config", &file]));
    world.wait_for_supervisor();
}

/// The answer to a GET without TLS, whole.
fn get(there: &str, port: u16, path: &str, more: &str) -> String {
    get_as("localhost", there, port, path, more)
}

fn get_as(host: &str, there: &str, port: u16, path: &str, more: &str) -> String {
    let mut stream = TcpStream::connect((there, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _cut = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn plain_connections_and_metrics_are_for_the_networks_that_are_listed() {
    on_a_wire("plain connections and metrics", |wire| {
        let mut world = World::empty();
        world.bind = "0.0.0.0".to_owned();
        let of = |may: Value| {
            move |config: &mut Value| {
                config["security"]["tls"] = json!({"enabled": true});
                config["server"]["networks"] = json!([{"cidr": "10.99.0.0/24", "may": may}]);
            }
        };
        start(&mut world, of(json!(["plain", "metrics"])));
        let port = world.port();
        let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
        let asks = |path: &str, more: &str| wire.at_the_agent(|| get(SUPERVISOR, port, path, more));
        assert!(asks("/metrics", "").contains("hal_o_swarm_"), "no token is needed");
        assert_eq!(status(&asks("/api/v1/nodes", "")), "401", "for metrics alone");
        assert_eq!(status(&asks("/api/v1/nodes", &bearer)), "200");
        assert_eq!(
            status(&asks("/metrics", "Authorization: Bearer wrong\r\n")),
            "401",
            "what is shown counts"
        );
        // Somebody else's words, passed on from there; and a name that was made to lead here.
        for passed_on in
            ["X-Forwarded-For: 192.0.2.1\r\n", "Via: 1.1 proxy\r\n", "Forwarded: for=192.0.2.1\r\n"]
        {
            assert_eq!(status(&asks("/metrics", passed_on)), "401", "{passed_on}");
        }
        let named = |host: &str| wire.at_the_agent(|| get_as(host, SUPERVISOR, port, "/metrics", ""));
        assert_eq!(status(&named("evil.example:8420")), "401");
        assert_eq!(status(&named(&format!("{SUPERVISOR}:{port}"))), "200");
        // A reload takes it over, in both directions.
        config(&world, of(json!(["metrics"])));
        world.supervisor().signal(Signal::HUP);
        wait_until("plain connections are turned away", PATIENCE, || match status(&asks("/metrics", "")) {
            "308" => Ok(()),
            other => Err(other.to_owned()),
        });
        assert_eq!(status(&get("127.0.0.1", port, "/metrics", "")), "401", "another network");
    });
}

#[test]
fn whoever_is_behind_a_listed_proxy_stands_on_the_record_and_nobody_else_is_believed() {
    let mut world = World::empty();
    start(&mut world, |_| {});
    let port = world.port();
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let said = "X-Forwarded-For: 198.51.100.7, 203.0.113.9\r\n";
    let who = |more: &str| {
        let answer = get("127.0.0.1", port, "/api/v1/whoami", &(bearer.clone() + more));
        assert_eq!(status(&answer), "200", "{answer}");
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        body["data"]["from"].as_str().unwrap().to_owned()
    };
    assert_eq!(who(said), "127.0.0.1", "it is not listed");
    config(&world, |config| {
        config["server"]["networks"] = json!([{"cidr": "127.0.0.1", "may": ["proxy"]}]);
    });
    world.supervisor().signal(Signal::HUP);
    wait_until("the proxy is believed", PATIENCE, || match who(said).as_str() {
        "203.0.113.9" => Ok(()),
        other => Err(other.to_owned()),
    });
    assert_eq!(who(""), "127.0.0.1");
    assert_eq!(who("X-Forwarded-For: nonsense\r\n"), "127.0.0.1");
    // Whoever guesses behind it slows down nobody else there.
    let guess = |from: &str| {
        let more = format!("Authorization: Bearer wrong\r\nX-Forwarded-For: {from}\r\n");
        assert_eq!(status(&get("127.0.0.1", port, "/api/v1/nodes", &more)), "401");
    };
    (0..10).for_each(|_| guess("203.0.113.66"));
    guess("203.0.113.67");
    wait_until("the guesses are on the record", PATIENCE, || {
        let record = world.ctl_says(&["audit", "list", "-o", "json"]);
        if record.contains("203.0.113.66") { Ok(()) } else { Err(record) }
    });
}
