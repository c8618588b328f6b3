//! Who did it: one value wherever somebody has done something, and it outlives kills and rebuilt stores.

use serde_json::{Value, json};

use hal_o_swarm::protocol::actor::Role;

use crate::actor::{admit, ctl_as};
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

#[test]
fn who_did_it_is_one_value_on_commands_receipts_alerts_and_incidents() {
    let mut world = World::with_node();
    let bob = admit(&world, "bob", Role::Operator);
    let session = world.start_session("shop", "ask rm -rf build; say done");
    world.wait_for_session(&session, "waiting");
    assert_eq!(ctl_as(&world, &bob, &["sessions", "allow", &session]).0, 0);
    world.wait_for_session(&session, "idle");
    // Nobody chooses what is said of the way by which they came.
    let other = world.start_session("shop", "ask make; say done");
    world.wait_for_session(&other, "waiting");
    world.done(&json!({"type": "answer_permission", "session_id": other,
        "args": {"reply": "once", "over": "discord"}}));
    let (code, said) = ctl_as(&world, &bob, &["incident", "open", "--severity", "high", "web-1 is slow"]);
    assert_eq!(code, 0, "{said}");
    let alert = world.data("/api/v1/alerts?name=incident.open")[0]["id"].to_string();
    assert_eq!(ctl_as(&world, &bob, &["alerts", "ack", &alert]).0, 0);
    let is_bob = |who: &Value| {
        let token = who["credential"].as_str().is_some_and(|shown| shown.starts_with("token "));
        token
            && (&who["kind"], &who["name"], &who["through"])
                == (&json!("person"), &json!("bob"), &json!("halctl"))
            && who["from"].as_str().is_some_and(|from| from.starts_with("127.0.0.1"))
    };
    let check = |world: &World| {
        let all = world.data("/api/v1/approvals?status=all");
        let of =
            |id: &str| all.as_array().unwrap().iter().find(|one| one["session_id"] == id).unwrap().clone();
        let (one, two) = (of(&session), of(&other));
        let lines = one["receipt"].as_array().unwrap();
        let line = lines.iter().find(|line| line["stage"] == "answered").unwrap();
        assert!(is_bob(&one["answer"]["who"]) && is_bob(&line["who"]), "{one}");
        assert_eq!((&one["answer"]["by"], &one["answer"]["over"]), (&json!("bob"), &json!("halctl")));
        assert_eq!(
            (&two["answer"]["over"], &two["answer"]["who"]["through"]),
            (&json!("api"), &json!("api"))
        );
        let id = one["answer"]["command_id"].as_str().unwrap();
        let command = world.data(&format!("/api/v1/commands/{id}"));
        assert!(is_bob(&command["who"]) && command["actor"] == "bob", "{command}");
        let alert = world.data(&format!("/api/v1/alerts/{alert}"));
        assert!(is_bob(&alert["acknowledged"]) && is_bob(&alert["reported"]), "{alert}");
    };
    check(&world);
    // The same after a kill, and in a store that is rebuilt from supervisor.db.
    world.kill_supervisor();
    world.start_supervisor();
    check(&world);
    world.until_mirrored();
    world.end_supervisor();
    std::fs::remove_file(world.store()).unwrap();
    world.start_supervisor();
    check(&world);
    world.sql(&format!("UPDATE alerts SET acknowledged_by = 'eve' WHERE id = {alert}"));
    wait_until("another name has none of bob's particulars", PATIENCE, || {
        let alert = world.data(&format!("/api/v1/alerts/{alert}"));
        let is_so = alert["acknowledged_by"] == "eve" && alert["acknowledged"].is_null();
        if is_so { Ok(()) } else { Err(alert.to_string()) }
    });
}
