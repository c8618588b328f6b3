//! Who asked for what, from where, and what came of it: as an operator reads it in `audit_log`.

use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::json;

use super::agree::full;
use crate::peer::Peer;
use crate::world::{TOKEN, World};

/// A stranger's requests.
const KNOCKS: usize = 40;

const SHOWN: &str =
    "SELECT action, result, error IS NOT NULL, duration_ms IS NOT NULL, ip_address FROM audit_log";

/// Asks for something of a node that is away; it gives up after two seconds.
fn ask_in_vain(world: &World) -> String {
    let body = json!({"type": "create_session", "project": "shop", "node_id": "web-1", "timeout": 0,
        "expires": 2, "args": {"prompt": "burst 1"}});
    let headers = [("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6")];
    let reply = world.request(Method::POST, "/api/v1/commands", Some(TOKEN), &headers, Some(&body));
    reply.body["data"]["command_id"].as_str().unwrap_or_else(|| panic!("{}", reply.body)).to_owned()
}

#[test]
fn a_record_says_from_where_and_what_came_of_it_also_when_that_was_after_a_restart() {
    let mut world = full();
    let of = |id: &str| format!("{SHOWN} WHERE id = '{id}'");
    let done =
        world.done(&json!({"type": "create_session", "project": "shop", "args": {"prompt": "say hello"}}));
    let id = done["command_id"].as_str().unwrap();
    world.until_sql(&of(id), "create_session|done|0|1|127.0.0.1");

    drop(world.take_agent("web-1").end_with(Signal::TERM));
    world.wait_for_node("web-1", "offline");
    let vain = ask_in_vain(&world);
    world.until_sql(&of(&vain), "create_session|queued|0|0|127.0.0.1");
    world.kill_supervisor();
    world.start_supervisor();
    world.until_sql(&of(&vain), "create_session|expired|1|1|127.0.0.1");
    let took = world.sql(&format!("SELECT duration_ms FROM audit_log WHERE id = '{vain}'"));
    assert!(took.parse::<u64>().unwrap() >= 2_000, "{took}");

    let dropped = ask_in_vain(&world);
    world.request(Method::POST, &format!("/api/v1/commands/{dropped}/cancel"), Some(TOKEN), &[], None);
    world.until_sql(&of(&dropped), "create_session|failed|1|1|127.0.0.1");
    world.until_sql(
        &format!("SELECT result, ip_address FROM audit_log WHERE action = 'cancel_command' AND target = '{dropped}'"),
        "done|127.0.0.1",
    );
    world.ctl_says(&["backup", "now"]);
    world.until_sql(&format!("{SHOWN} WHERE action = 'make_backup'"), "make_backup|done|0|1|127.0.0.1");
    world.until_sql("SELECT count(*) FROM audit_log WHERE ip_address LIKE '6.%'", "0");
}

#[test]
fn a_stranger_who_knocks_often_is_told_of_at_once_and_seldom() {
    let mut world = World::supervised();
    let knock = |token: Option<&str>| {
        let reply = world.request(Method::GET, "/api/v1/nodes", token, &[], None);
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    };
    knock(None);
    (0..KNOCKS).for_each(|_| knock(Some("a-token-that-is-none-of-ours")));
    let told = "SELECT actor, target, result, error, ip_address, args FROM audit_log WHERE action = 'log in'";
    let first = r#"unknown|api door|denied|a wrong token|127.0.0.1|{"count":1}"#;
    world.until_sql(told, first);
    assert!(!world.sql("SELECT * FROM audit_log").contains("none-of-ours"), "the token is nobody's business");
    let refused = world.run(Peer::connect(&world.url("ws"), Some("a-token-that-is-none-of-ours")));
    assert!(refused.is_err(), "the agents' door is closed, too");
    let agents = first.replace("api door", "agent door");
    world.until_sql(told, &format!("{first}\n{agents}"));
    world.end_supervisor();
    let rest = first.replace(":1}", &format!(":{}}}", KNOCKS - 1));
    assert_eq!(world.sql(told), format!("{first}\n{agents}\n{rest}"));
}
