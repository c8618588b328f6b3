//! Events: every one of them once and in order, in pages, filtered, and as a stream that says what it can promise.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use hal_o_swarm::protocol::frame::ToAgent;

use crate::patience::{PATIENCE, wait_until};
use crate::peer::Peer;
use crate::stream::Stream;
use crate::world::{TOKEN, World};

/// The ticks of a burst, as numbers in the order of their storing.
pub fn ticks(world: &World, session: &str) -> Vec<u64> {
    let events = world.events(&format!("session_id={session}&type=echo.tick"));
    events.iter().map(|event| event["data"]["n"].as_u64().expect("a tick has a number")).collect()
}

#[test]
fn a_burst_is_there_once_and_in_order() {
    const MANY: u64 = 5000;
    let world = World::with_node();
    let id = world.start_session("shop", &format!("burst {MANY}"));
    world.wait_for_session(&id, "idle");
    assert_eq!(world.count_events(&format!("session_id={id}&type=echo.tick")), MANY);
    assert!(ticks(&world, &id).into_iter().eq(1..=MANY), "each tick once, in order");
    let all = world.events("node_id=web-1");
    let numbers: Vec<u64> =
        all.iter().filter_map(|event| event["node_seq"].as_u64()).filter(|seq| *seq > 0).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "the node's numbers have no holes");
    let seqs: Vec<u64> = all.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b));
    let times: Vec<&str> = all.iter().filter_map(|event| event["timestamp"].as_str()).collect();
    assert!(times.is_sorted(), "the time of storing never runs backwards");
    let journal = world.data("/api/v1/nodes/web-1")["journal"].clone();
    assert_eq!(journal["missing"], 0, "{journal}");
    assert_eq!(journal["acknowledged"], numbers.len(), "{journal}");
}

#[test]
fn pages_and_filters_leave_nothing_out() {
    let world = World::with_node();
    let id = world.start_session("shop", "burst 250");
    world.wait_for_session(&id, "idle");
    let whole = world.events(&format!("session_id={id}"));
    let mut newest_first = world.pages(&format!("/api/v1/events?limit=7&session_id={id}"));
    newest_first.reverse();
    assert_eq!(newest_first, whole, "pages in the other direction hold the same");
    let counted = world.count_events(&format!("session_id={id}"));
    assert_eq!(counted, whole.len() as u64, "meta.total counts all that match");

    let idle = world.events(&format!("session_id={id}&type=session.idle"));
    assert_eq!(idle.len(), 1);
    let two = world.count_events(&format!("session_id={id}&type=session.idle,echo.tick"));
    assert_eq!(two, 251);
    assert_eq!(world.count_events(&format!("session_id={id}&type=echo.*")), 250);
    assert_eq!(world.count_events("project=shop&type=echo.tick"), 250);
    assert_eq!(world.count_events("since=2999-01-01T00:00:00Z"), 0);
    let middle = whole[100]["timestamp"].as_str().unwrap();
    let since = world.count_events(&format!("session_id={id}&since={middle}"));
    let expected = whole.iter().filter(|event| event["timestamp"].as_str().unwrap() >= middle).count();
    assert_eq!(since, expected as u64);
    assert_eq!(world.get("/api/v1/events?since=yesterday").status, StatusCode::BAD_REQUEST);

    let listed = world.ctl_says(&["events", "list", "--session", &id, "--type", "echo.tick", "--limit", "0"]);
    assert_eq!(listed.lines().count(), 250);
    assert_eq!(world.ctl_says(&["events", "list", "--since", "1h", "--limit", "3"]).lines().count(), 3);
}

fn stream(world: &World, query: &str) -> Stream {
    world.run(Stream::open(&format!("{}/api/v1/stream?{query}", world.url("http")), TOKEN))
}

/// Ticks until this one, and the cursor of the last.
fn ticks_until(stream: &mut Stream, world: &World, last: u64) -> (Vec<u64>, String) {
    let mut seen = Vec::new();
    loop {
        let said = world.run(stream.next());
        if said.kind == "event" && said.data["type"] == "echo.tick" {
            seen.push(said.data["data"]["n"].as_u64().unwrap());
            if seen.last() == Some(&last) {
                return (seen, said.cursor);
            }
        }
    }
}

#[test]
fn a_stream_goes_on_from_its_cursor_without_loss() {
    let world = World::with_node();
    let mut first = stream(&world, "type=echo.tick");
    let opening = world.run(first.next());
    assert_eq!((opening.kind.as_str(), &opening.data["verdict"]), ("verdict", &json!("ok")));
    world.start_session("shop", "burst 50");
    let (seen, cursor) = ticks_until(&mut first, &world, 50);
    assert!(seen.into_iter().eq(1..=50));
    drop(first);

    let id = world.start_session("shop", "burst 60");
    world.wait_for_session(&id, "idle");
    let mut second = stream(&world, &format!("type=echo.tick&cursor={cursor}"));
    assert_eq!(world.run(second.next()).data["verdict"], "ok");
    let (seen, _) = ticks_until(&mut second, &world, 60);
    assert!(seen.into_iter().eq(1..=60), "what happened in between comes first");
}

#[test]
fn a_stream_says_when_it_cannot_promise() {
    let world = World::with_node();
    let opening = world.run(stream(&world, "cursor=00000000-5").next());
    assert_eq!(opening.kind, "verdict");
    assert_eq!(opening.data["verdict"], "gap", "that is another store's cursor");
    assert!(opening.data["cursor"].as_str().is_some_and(|cursor| !cursor.is_empty()), "{}", opening.data);
    let beginning = world.run(stream(&world, "cursor=-0").next());
    assert_eq!(beginning.data["verdict"], "gap", "that is no store's cursor");
    assert_eq!(world.get("/api/v1/stream?cursor=garbage").status, StatusCode::BAD_REQUEST);
}

#[test]
fn a_stream_of_one_node_passes_on_what_that_node_says() {
    let world = World::supervised();
    world.run(async {
        let (mut other, _) = Peer::join(&world.url("ws"), TOKEN, "other").await;
        let (mut mine, _) = Peer::join(&world.url("ws"), TOKEN, "mine").await;
        let url = format!("{}/api/v1/stream?live=true&node_id=mine", world.url("http"));
        let mut stream = Stream::open(&url, TOKEN).await;
        assert_eq!(stream.next().await.kind, "verdict");
        for (peer, seq) in [(&mut other, 1), (&mut mine, 1)] {
            let live = json!({"version": 1, "type": "live", "timestamp": 1, "payload":
                {"session_id": "s", "type": "message.part.delta", "data": {}}});
            peer.send(tokio_tungstenite::tungstenite::Message::text(live.to_string())).await.unwrap();
            // Answered after the live frame was passed on.
            peer.say_events(seq..=seq).await;
            peer.hear_ack(seq).await;
        }
        let live = loop {
            let said = stream.next().await;
            if said.kind == "live" {
                break said.data;
            }
        };
        assert_eq!(live["node_id"], "mine", "{live}");
    });
}

#[test]
fn what_is_said_twice_is_stored_once() {
    let world = World::supervised();
    world.run(async {
        let (mut peer, welcome) = Peer::join(&world.url("ws"), TOKEN, "parrot").await;
        assert_eq!(welcome.committed_seq, 0);
        peer.say_events(1..=10).await;
        peer.hear_ack(10).await;
        peer.say_events(1..=10).await;
        peer.say_events(5..=15).await;
        peer.hear_ack(15).await;
        drop(peer);
        let (_, welcome) = Peer::join_again(&world.url("ws"), TOKEN, "parrot", 15).await;
        assert_eq!(welcome.committed_seq, 15, "it knows where to go on");
    });
    let seen: Vec<u64> =
        world.events("type=peer.tick").iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
    assert!(seen.iter().copied().eq(1..=15), "{seen:?}");
}

/// Microseconds where milliseconds are meant.
const MICROSECONDS: i64 = 1_795_450_273_123_000;

/// Events that only their grammar makes JSON, as one list.
fn odd_events() -> String {
    let event = |seq: u64, kind: &str, at: i64, data: &str| {
        format!(
            r#"{{"seq":{seq},"id":"odd-{seq}","type":"{kind}","session_id":"odd-1","project":"attic","occurred_at":{at},"data":{data}}}"#
        )
    };
    let info = format!(
        r#"{{"info":{{"id":"odd-1","title":"odd","cost":1e300,"time":{{"created":{MICROSECONDS}}}}}}}"#
    );
    let retry =
        format!(r#"{{"status":{{"type":"retry","attempt":1,"message":"later","next":{MICROSECONDS}}}}}"#);
    let message = r#"{"info":{"id":"m1","role":"assistant","cost":-1,"tokens":{"input":18446744073709551615},"time":{"completed":-9223372036854775808}}}"#;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let events = [
        event(1, "session.created", MICROSECONDS, &info),
        event(2, "session.status", i64::MIN, &retry),
        event(3, "peer.tick", i64::MAX, r#"{"n":1e999}"#),
        event(4, "peer.tick", 1_795_450_273_123, r#"{"half":"\ud800"}"#),
        event(5, "peer.tick", 1_795_450_273_123, &deep),
        event(6, "message.updated", MICROSECONDS, message),
    ];
    events.join(",")
}

/// A node says things that make no sense, after its hello.
async fn say_odd_things(world: &World) {
    let (mut peer, _) = Peer::join(&world.url("ws"), TOKEN, "odd").await;
    let frame = |kind: &str, payload: &str| {
        Message::text(format!(r#"{{"version":1,"type":"{kind}","timestamp":1,"payload":{payload}}}"#))
    };
    let batch = format!(r#"{{"incarnation":"{}","events":[{}]}}"#, peer.incarnation(), odd_events());
    peer.send(frame("events", &batch)).await.unwrap();
    peer.hear_ack(6).await;
    let heartbeat = r#"{"resources":{"cpu_percent":1e39,"memory_used":18446744073709551615},"last_seq":18446744073709551615,"now_ms":9223372036854775807}"#;
    peer.send(frame("heartbeat", heartbeat)).await.unwrap();
    let snapshot = format!(
        r#"{{"as_of_seq":6,"sessions":[{{"id":"odd-2","node_id":"odd","project":"attic","since":{MICROSECONDS},"started_at":{MICROSECONDS},"active_at":{MICROSECONDS},"cost_micros":18446744073709551615,"activity":{{"retry":{{"attempt":1,"message":"x","next":"out of range"}}}}}}]}}"#
    );
    peer.send(frame("snapshot", &snapshot)).await.unwrap();
    let lease = r#"{"lease_id":"odd-lease","project":"attic","lent_micros":18446744073709551615,"used_micros":18446744073709551615,"more":true}"#;
    peer.send(frame("lease_request", lease)).await.unwrap();
    // The answer shows that all before it was taken in.
    loop {
        match peer.hear().await {
            Ok(ToAgent::Lease(_)) => return,
            Ok(_) => {}
            Err(close) => panic!("one bad number ended the link: {close:?}"),
        }
    }
}

#[test]
fn one_bad_number_of_a_node_spoils_no_list() {
    let world = World::with_node();
    let good = world.start_session("shop", "say hello");
    world.wait_for_session(&good, "idle");
    world.run(say_odd_things(&world));
    for list in ["sessions", "nodes", "events"] {
        for output in ["json", "yaml", "csv", "table"] {
            let said = world.ctl_says(&[list, "list", "-o", output]);
            // What an event says may well be that.
            let is_right = list == "events" || !said.contains("out of range");
            assert!(said.contains("odd") && is_right, "{list} {output}: {said}");
        }
    }
    let told = world.events("node_id=odd&session_id=odd-1");
    let tick = |seq: u64| told.iter().find(|event| event["node_seq"] == seq).unwrap().clone();
    for seq in [1, 2, 3, 6] {
        let event = tick(seq);
        assert_eq!(event["occurred_at"], event["timestamp"], "a time that is none is when it came: {event}");
    }
    assert_eq!(tick(4)["occurred_at"], "2026-11-23T16:11:13.123Z");
    for seq in [3, 4, 5] {
        let data = tick(seq)["data"].clone();
        assert!(data["unreadable"].is_string() && data["text"].is_string(), "{data}");
    }
    let odd = world.data("/api/v1/sessions/odd-1");
    let day = |value: &Value| value.as_str().unwrap()[..10].to_owned();
    assert_eq!(day(&odd["active_at"]), day(&told[0]["timestamp"]), "{odd}");
    let node = world.data("/api/v1/nodes/odd");
    assert_eq!(
        (&node["resources"]["cpu_percent"], &node["journal"]["lag"]),
        (&json!(0.0), &json!(0)),
        "{node}"
    );
    assert_eq!(world.get("/metrics").status, StatusCode::OK);
    assert_eq!(world.get("/api/v1/cost/exposure").status, StatusCode::OK);
    world.ctl_says(&["sessions", "logs", "odd-1"]);
}

#[test]
fn a_time_that_no_calendar_holds_is_refused_of_an_operator_and_tolerated_where_it_is_stored() {
    let world = World::with_node();
    let id = world.start_session("shop", "say hello");
    world.wait_for_session(&id, "idle");
    world.until_mirrored();
    let when = "(SELECT occurred_at FROM events ORDER BY seq LIMIT 1)";
    let was = world.sql(&format!("SELECT {when}"));
    world.sql(
        "UPDATE events SET occurred_at = 'ms:9223372036854775807' WHERE seq = (SELECT min(seq) FROM events)",
    );
    world.until_sql(
        "SELECT count(*) FROM audit_log WHERE result != 'done' AND error LIKE '%is not a date%'",
        "1",
    );
    world.until_sql(&format!("SELECT {when}"), &was);
    // As an older version has stored such a time: in a part of the row that nobody looks at.
    world.sql(&format!(
        "UPDATE sessions SET extra = json_set(extra, '$.since', {MICROSECONDS}) WHERE id = '{id}'"
    ));
    wait_until("the session has it", PATIENCE, || {
        let now = world.data(&format!("/api/v1/sessions/{id}"));
        if now["since"] == "0001-01-01T00:00:00Z" { Ok(()) } else { Err(now.to_string()) }
    });
    let list = world.ctl_says(&["sessions", "list", "-o", "json"]);
    assert!(list.contains(&id), "{list}");
}
