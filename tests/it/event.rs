//! Events: every one of them once and in order, in pages, filtered, and as a stream that says what it can promise.

use std::collections::VecDeque;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::patience::PATIENCE;
use crate::peer::Peer;
use crate::world::{TOKEN, World};

/// The ticks of a burst, as numbers in the order of their storing.
pub fn ticks(world: &World, session: &str) -> Vec<u64> {
    let events = world.events(&format!("session_id={session}&type=echo.tick"));
    events.iter().map(|event| event["data"]["n"].as_u64().expect("a tick has a number")).collect()
}

/// A reader of the live stream.
struct Stream {
    response: reqwest::Response,
    text: String,
    ready: VecDeque<(String, String, Value)>,
}

impl Stream {
    fn open(world: &World, query: &str) -> Self {
        let url = format!("{}/api/v1/stream?{query}", world.url("http"));
        let request = reqwest::Client::new().get(url).bearer_auth(TOKEN);
        let response = world.run(request.send()).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Self { response, text: String::new(), ready: VecDeque::new() }
    }

    /// The next thing it says: its kind, its cursor, its data.
    fn next(&mut self, world: &World) -> (String, String, Value) {
        loop {
            if let Some(said) = self.ready.pop_front() {
                return said;
            }
            let chunk =
                world.run(timeout(PATIENCE, self.response.chunk())).expect("the stream says something");
            let chunk = chunk.unwrap().expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned()
                };
                if let Ok(data) = serde_json::from_str(&field("data:")) {
                    self.ready.push_back((field("event:"), field("id:"), data));
                }
                self.text = rest.to_owned();
            }
        }
    }

    /// Ticks until this one, and the cursor of the last.
    fn ticks_until(&mut self, world: &World, last: u64) -> (Vec<u64>, String) {
        let mut seen = Vec::new();
        loop {
            let (kind, cursor, data) = self.next(world);
            if kind == "event" && data["type"] == "echo.tick" {
                seen.push(data["data"]["n"].as_u64().unwrap());
                if seen.last() == Some(&last) {
                    return (seen, cursor);
                }
            }
        }
    }
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

#[test]
fn a_stream_goes_on_from_its_cursor_without_loss() {
    let world = World::with_node();
    let mut stream = Stream::open(&world, "type=echo.tick");
    let (kind, _, verdict) = stream.next(&world);
    assert_eq!((kind.as_str(), &verdict["verdict"]), ("verdict", &json!("ok")));
    world.start_session("shop", "burst 50");
    let (seen, cursor) = stream.ticks_until(&world, 50);
    assert!(seen.into_iter().eq(1..=50));
    drop(stream);

    let id = world.start_session("shop", "burst 60");
    world.wait_for_session(&id, "idle");
    let mut stream = Stream::open(&world, &format!("type=echo.tick&cursor={cursor}"));
    assert_eq!(stream.next(&world).2["verdict"], "ok");
    assert!(stream.ticks_until(&world, 60).0.into_iter().eq(1..=60), "what happened in between comes first");
}

#[test]
fn a_stream_says_when_it_cannot_promise() {
    let world = World::with_node();
    let mut stream = Stream::open(&world, "cursor=00000000-5");
    let (kind, _, verdict) = stream.next(&world);
    assert_eq!(
        (kind.as_str(), &verdict["verdict"]),
        ("verdict", &json!("gap")),
        "that is another store's cursor"
    );
    assert!(verdict["cursor"].as_str().is_some_and(|cursor| !cursor.is_empty()), "{verdict}");
    assert_eq!(world.get("/api/v1/stream?cursor=garbage").status, StatusCode::BAD_REQUEST);
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
        let (_, welcome) = Peer::join(&world.url("ws"), TOKEN, "parrot").await;
        assert_eq!(welcome.committed_seq, 15, "it knows where to go on");
    });
    let seen: Vec<u64> =
        world.events("type=peer.tick").iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
    assert!(seen.iter().copied().eq(1..=15), "{seen:?}");
}
