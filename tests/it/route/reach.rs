//! What a webhook cannot reach: this machine, this network, and whatever only the supervisor can see.

use std::net::{IpAddr, TcpListener};
use std::process::Command;

use hal_o_swarm::rules::address;
use serde_json::{Value, json};

use super::{configure, start};
use crate::fault::means::skip;
use crate::stand_in::http::HttpStandIn;
use crate::world::{World, text};

/// Hosts of URLs that must not be reached; `PORT` is not among them, so that each can be given the stand-in's.
const CLOSED: [&str; 66] = [
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "0x7f.1",
    "127.0.1",
    "0",
    "0.0.0.0",
    "0.1.2.3",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "localhost.localdomain",
    "printer.local",
    "metadata.google.internal",
    "router.lan",
    "nas.home.arpa",
    "10.0.0.1",
    "10.255.255.255",
    "012.0.0.1",
    "167772161",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "192.168.255.255",
    "3232235521",
    "100.64.0.1",
    "100.127.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "168.63.129.16",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.254",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:10.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::a00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
];

fn webhooks(scheme: &str, port: u16, more: &Value) -> Value {
    let mut all = json!({});
    for (nth, host) in CLOSED.iter().enumerate() {
        let mut one = more.clone();
        one["webhook_url"] = json!(format!("{scheme}://{host}:{port}/hook"));
        all[format!("hook-{nth}")] = one;
    }
    all
}

#[test]
fn no_address_of_the_list_is_accepted() {
    let far = HttpStandIn::webhook();
    let world = World::empty();
    let path = configure(&world, &json!({"channels": {"webhooks": webhooks("https", far.port, &json!({}))}}));
    let output =
        world.hal(&["supervisor", "--validate", "--config", &path.to_string_lossy()]).output().unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(78), "{said}");
    for (nth, host) in CLOSED.iter().enumerate() {
        let place = format!("channels.webhooks.hook-{nth}.webhook_url: ");
        let line = said.lines().find(|line| line.contains(&place));
        let line = line.unwrap_or_else(|| panic!("{host} was accepted:\n{said}"));
        assert!(line.contains("allow it with \"allow_private\": true"), "{host}: {line}");
    }
    // The same addresses are fine for whoever asks for it, so it was the address that was refused.
    let more = json!({"allow_private": true});
    let path = configure(&world, &json!({"channels": {"webhooks": webhooks("https", far.port, &more)}}));
    let output =
        world.hal(&["supervisor", "--validate", "--config", &path.to_string_lossy()]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(far.base.connections(), 0);
}

#[test]
fn a_name_that_leads_to_a_closed_address_is_not_reached() {
    let far = HttpStandIn::webhook();
    let host = text(&Command::new("hostname").output().expect("this machine has a name").stdout);
    let host = host.trim();
    let resolved =
        std::net::ToSocketAddrs::to_socket_addrs(&(host, far.port)).map(Iterator::collect::<Vec<_>>);
    let is_closed = |list: &Vec<std::net::SocketAddr>| list.iter().any(|one| !address::is_public(one.ip()));
    if !resolved.as_ref().is_ok_and(is_closed) {
        let why = format!("the name of this machine, {host}, has no private address here ({resolved:?})");
        return skip("a name that leads to a closed address", &why);
    }
    let mut world = World::empty();
    let reaching = json!({"webhook_url": format!("https://{host}:{}/hook", far.port)});
    let open = json!({"webhook_url": far.url(), "allow_private": true});
    start(&mut world, &json!({"channels": {"webhooks": {"reaching": reaching, "open": open}}}));
    let (code, said) = world.ctl_fails(&["channels", "test", "reaching"]);
    assert!(code == 1 && said.contains("is not an address of the public internet"), "{code}: {said}");
    assert_eq!(far.base.connections(), 0, "no connection was made");
    assert!(world.ctl_says(&["channels", "test", "open"]).contains("delivered: yes"));
    assert_eq!(far.base.connections(), 1, "the listener counts");
}

#[test]
fn a_redirect_is_not_followed() {
    use crate::stand_in::http::Fault;
    let (far, inner) = (HttpStandIn::webhook(), TcpListener::bind("127.0.0.1:0").unwrap());
    inner.set_nonblocking(true).unwrap();
    let target: &'static str = format!("http://{}/", inner.local_addr().unwrap()).leak();
    far.base.will_fail([Fault::Answer(307, Some(("location", target)))]);
    let mut world = World::empty();
    let open = json!({"webhook_url": far.url(), "allow_private": true});
    start(&mut world, &json!({"channels": {"webhooks": {"open": open}}}));
    let (_, said) = world.ctl_fails(&["channels", "test", "open"]);
    assert!(said.contains("it answered 307"), "{said}");
    assert_eq!(far.base.fired(), 1);
    assert!(inner.accept().is_err(), "nobody went there");
}

#[test]
fn addresses_of_the_public_internet_are_open() {
    for open in
        ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "192.169.0.1", "2606:4700::1111", "2a00:1450::1"]
    {
        assert!(address::is_public(open.parse::<IpAddr>().unwrap()), "{open}");
    }
}
