//! Discord: cards with buttons, commands, rights, limits, outages, reconnects.

use std::time::{Duration, Instant};

use hal_o_swarm::base::clock::Time;
use hal_o_swarm::protocol::event::Event;
use hal_o_swarm::protocol::frame::{Events, FromAgent};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{begin, start};
use crate::fault::report::asked;
use crate::patience::{PATIENCE, wait_until};
use crate::peer::Peer;
use crate::stand_in::discord::{ALERTS, Discord, Post, Reaction};
use crate::whole::Whole;
use crate::world::{TOKEN, World};

const ADA: (&str, &str) = ("1", "ada");
const BOB: (&str, &str) = ("2", "bob");

/// Everything that a message says, as one text.
fn words(post: &Post) -> String {
    post.body.to_string()
}

fn wait_for_post(discord: &Discord, what: &str, is_it: impl Fn(&Post) -> bool) -> Post {
    wait_until(what, PATIENCE, || {
        let known = discord.known();
        let found = known.posts.iter().find(|post| is_it(post)).cloned();
        found.ok_or_else(|| format!("{:?}", known.posts))
    })
}

/// The card of what a session asks.
pub fn wait_for_card(discord: &Discord, what: &str) -> Post {
    wait_for_post(discord, "the card is there", |post| {
        words(post).contains(what) && !post.body["components"][0].is_null()
    })
}

pub fn button(post: &Post, word: &str) -> String {
    let all = post.body["components"][0]["components"].as_array().unwrap();
    let mut ids = all.iter().map(|button| button["custom_id"].as_str().unwrap());
    ids.find(|id| id.starts_with(word)).unwrap().to_owned()
}

fn wait_for_reaction(discord: &Discord, token: &str, is_so: impl Fn(&Reaction) -> bool) -> Reaction {
    wait_until("the press is answered", PATIENCE, || {
        let known = discord.known();
        let reaction = &known.reactions[token];
        if is_so(reaction) { Ok(reaction.clone()) } else { Err(format!("{reaction:?}")) }
    })
}

fn wait_for_bot(discord: &Discord) {
    wait_until("the bot is there and its commands", PATIENCE, || {
        let known = discord.known();
        if known.is_connected() && known.commands.is_array() { Ok(()) } else { Err("not yet".to_owned()) }
    });
}

/// How often the bot said who it is, and went on where it was.
fn counts(discord: &Discord) -> (usize, usize) {
    let known = discord.known();
    (known.identified, known.resumed)
}

fn says(value: Option<&Value>) -> String {
    value.map(|value| value["content"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

#[test]
fn a_press_in_discord_lets_a_true_session_go_on_and_the_receipt_tells_when() {
    let discord = Discord::start();
    let mut world = World::empty();
    start(&mut world, &json!({"discord": discord.config()}));
    let whole = Whole::begin_in(world, json!({"bash": "ask"}));
    wait_for_bot(&discord);
    let session = whole.start("bash echo kettle > made.txt");
    let card = wait_for_card(&discord, "echo kettle > made.txt");
    assert_ne!(card.channel, ALERTS, "it stands in the session's thread");
    assert!(discord.known().threads[&card.channel].contains(&session), "{:?}", discord.known().threads);
    assert!(words(&card).contains("projects/shop"), "the folder is told: {}", words(&card));
    let id = button(&card, "approve:").split_once(':').unwrap().1.to_owned();
    let token = discord.press(&card, &button(&card, "approve:"), ADA, &[]);
    whole.wait(&session, "idle");
    let done = wait_for_reaction(&discord, &token, |reaction| reaction.original.is_some());
    assert_eq!(done.callbacks[0]["type"], 6, "it is said at once that it was heard");
    wait_until("the card shows what came of it", PATIENCE, || {
        let known = discord.known();
        let now = known.posts.iter().find(|post| post.id == card.id).unwrap();
        let is_so = now.body["components"] == json!([])
            && words(now).contains("allowed")
            && words(now).contains("moved on");
        if is_so { Ok(()) } else { Err(words(now)) }
    });
    let receipt = whole.world.ctl_says(&["approvals", "get", &id, "-o", "table"]);
    for step in [
        "asked",
        "seen by discord over discord: delivered",
        "answered by discord:ada over discord: allowed",
        "reached the node on web-1",
        "the session moved on",
    ] {
        assert!(receipt.contains(step), "{step:?} is missing:\n{receipt}");
    }
    whole.world.until_sql("SELECT actor FROM audit_log WHERE action = 'answer_permission'", "discord:ada");
    println!("{receipt}");
}

#[test]
fn whoever_has_no_right_is_told_so_and_nothing_is_done() {
    let discord = Discord::start();
    let world = begin(&json!({"discord": discord.config()}));
    wait_for_bot(&discord);
    let session = world.start_session("shop", "ask rm -rf build");
    let card = wait_for_card(&discord, "rm -rf build");
    for (user, roles) in [(BOB, &["88"][..]), (BOB, &[]), (("3", "eve"), &["99"])] {
        let token = discord.press(&card, &button(&card, "approve:"), user, roles);
        let told = wait_for_reaction(&discord, &token, |reaction| !reaction.followups.is_empty());
        assert!(says(told.followups.first()).contains("You may not do this"), "{told:?}");
        assert_eq!(told.followups[0]["flags"], 64, "only they see it");
    }
    assert_eq!(world.data(&format!("/api/v1/sessions/{session}"))["status"], "waiting");
    world.until_sql("SELECT count(*) FROM audit_log WHERE action = 'denied' AND actor = 'discord:bob'", "2");
    let token = discord.press(&card, &button(&card, "deny:"), BOB, &["77"]);
    wait_for_reaction(&discord, &token, |reaction| reaction.original.is_some());
    world.wait_for_session(&session, "idle");
    assert_eq!(
        world.events(&format!("session_id={session}&type=permission.replied"))[0]["data"]["reply"],
        "reject"
    );
    let late = discord.press(&card, &button(&card, "approve:"), ADA, &[]);
    let told = wait_for_reaction(&discord, &late, |reaction| !reaction.followups.is_empty());
    assert!(says(told.followups.first()).contains("already answered by discord:bob at 20"), "{told:?}");
}

#[test]
fn every_command_is_registered_and_answered() {
    let discord = Discord::start();
    let world = begin(&json!({"discord": discord.config()}));
    wait_for_bot(&discord);
    let names: Vec<String> = discord
        .known()
        .commands
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    for name in [
        "status", "sessions", "resume", "inject", "restart", "kill", "start", "cost", "nodes", "logs",
        "approve",
    ] {
        assert!(names.contains(&name.to_owned()), "{name}");
    }
    let typed = |name: &str, options: &[(&str, &str)]| {
        let token = discord.typed(name, options, ADA, &[]);
        says(wait_for_reaction(&discord, &token, |reaction| reaction.original.is_some()).original.as_ref())
    };
    let begun = typed("start", &[("project", "shop"), ("prompt", "say good morning; ask rm -rf build")]);
    let id = begun.split('`').nth(1).unwrap_or_else(|| panic!("{begun}")).to_owned();
    world.wait_for_session(&id, "waiting");
    assert!(typed("status", &[]).contains("Nodes: 1 of 1 connected"));
    assert!(typed("sessions", &[]).contains("rm -rf build"));
    assert!(typed("nodes", &[]).contains("web-1 online"));
    assert!(typed("cost", &[]).contains("shop: $"));
    assert!(typed("logs", &[("session", &id)]).contains("good morning"));
    assert!(typed("approve", &[("id", &id)]).contains("allowed"));
    world.wait_for_session(&id, "idle");
    assert!(typed("inject", &[("session", &id), ("text", "say from afar")]).contains("Prompt delivered"));
    assert!(typed("resume", &[("session", &id), ("text", "run 600")]).contains("Prompt delivered"));
    world.wait_for_session(&id, "running");
    assert!(typed("kill", &[("session", &id)]).contains("was killed"));
    world.wait_for_session(&id, "ended");
    assert!(typed("logs", &[("session", "ses_none")]).contains("no session"));
    assert!(typed("kill", &[("session", "ses_none")]).contains("no session"));
    let look = discord.typed("sessions", &[], BOB, &["88"]);
    assert_eq!(
        wait_for_reaction(&discord, &look, |reaction| reaction.original.is_some()).callbacks[0],
        json!({"type": 5, "data": {"flags": 64}})
    );
}

#[test]
fn a_press_whose_token_is_over_counts_and_is_answered_in_the_channel() {
    let discord = Discord::start();
    let world = begin(&json!({"discord": discord.config()}));
    wait_for_bot(&discord);
    let session = world.start_session("shop", "ask rm -rf build");
    let card = wait_for_card(&discord, "rm -rf build");
    // The next interaction's token: the first answer finds it over.
    let next = {
        let known = discord.known();
        let last: u64 = card.id.parse().unwrap();
        let most = known.posts.iter().map(|post| post.id.parse::<u64>().unwrap()).max().unwrap().max(last);
        format!("tok-{}", most + 1)
    };
    discord.known().too_late.insert(next.clone());
    let token = discord.press(&card, &button(&card, "approve:"), ADA, &[]);
    assert_eq!(token, next, "the fault is for this press");
    world.wait_for_session(&session, "idle");
    let post =
        wait_for_post(&discord, "the answer is in the channel", |post| words(post).contains("ada: Session"));
    assert!(words(&post).contains("allowed") && post.channel == card.channel, "{post:?}");
    assert_eq!(discord.known().reactions[&token].callbacks.len(), 0, "the fault has fired");
}

#[test]
fn a_bot_that_is_cut_off_goes_on_where_it_was_and_hears_what_it_missed() {
    let discord = Discord::start();
    let world = begin(&json!({"discord": discord.config()}));
    wait_for_bot(&discord);
    wait_until("it gives signs of life", PATIENCE, || {
        if discord.known().beats > 1 { Ok(()) } else { Err("none".into()) }
    });
    let session = world.start_session("shop", "ask rm -rf build");
    let card = wait_for_card(&discord, "rm -rf build");
    discord.cut_before_next();
    discord.press(&card, &button(&card, "approve:"), ADA, &[]);
    world.wait_for_session(&session, "idle");
    assert_eq!(counts(&discord), (1, 1), "it went on where it was");
    discord.ask_to_reconnect();
    wait_until("it has connected again", PATIENCE, || match counts(&discord) {
        (1, 2) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    discord.known().shuts_out = true;
    discord.close(4009);
    wait_until("it is an alert that nobody is let in", PATIENCE, || {
        let alerts = world.data("/api/v1/alerts?name=channel.shut_out");
        if alerts[0]["text"].as_str().is_some_and(|text| text.contains("4004")) {
            Ok(())
        } else {
            Err(alerts.to_string())
        }
    });
}

/// So many alerts, each about a node of its own.
const ALERTS_OF_OUTAGE: usize = 50;

/// Raises alerts: nodes say that they may have missed events.
fn raise(world: &World, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let node = format!("far-{number:02}");
        world.run(async {
            let (mut peer, _) = Peer::join(&world.url("ws"), TOKEN, &node).await;
            let event = Event {
                seq: 1,
                id: format!("{node}-1"),
                kind: "gap".to_owned(),
                session_id: None,
                project: None,
                occurred_at: Time(1_795_451_095_000),
                data: RawValue::from_string(format!(r#"{{"reason":"fault {number}"}}"#)).unwrap(),
            };
            let batch = Events { incarnation: peer.incarnation().to_owned(), events: vec![event] };
            peer.say(&FromAgent::Events(batch)).await.unwrap();
            peer.hear_ack(1).await;
        });
    }
}

fn text_of(number: usize) -> String {
    format!("node far-{number:02} may have missed events: fault {number}")
}

#[test]
fn after_an_outage_fifty_alerts_come_once_each_in_order_within_the_limit_whoever_was_killed() {
    let discord = Discord::start();
    let channels = json!({"discord": discord.config()});
    let mut world = begin(&channels);
    wait_for_bot(&discord);
    discord.known().is_down = true;
    // As short as it can be, unless HAL_SOAK=outage=600 asks for ten minutes: the pauses between tries grow to five.
    let (lasts, begun) = (Duration::from_secs(asked("outage").unwrap_or(0)), Instant::now());
    raise(&world, 0..ALERTS_OF_OUTAGE / 2);
    wait_until("it is noticed that Discord is down", PATIENCE, || {
        let found = discord.known().found_down;
        if found >= 2 { Ok(()) } else { Err(found.to_string()) }
    });
    world.kill_supervisor();
    start(&mut world, &channels);
    world.wait_for_node("web-1", "online");
    raise(&world, ALERTS_OF_OUTAGE / 2..ALERTS_OF_OUTAGE);
    wait_until("the outage has lasted", lasts + PATIENCE, || {
        if begun.elapsed() >= lasts { Ok(()) } else { Err(format!("{:?}", begun.elapsed())) }
    });
    println!("Discord was down for {:?}, {} tries", begun.elapsed(), discord.known().found_down);
    assert!(discord.known().posts.is_empty(), "nothing got through: {:?}", discord.known().posts);
    discord.known().is_down = false;
    discord.limit_all(Duration::from_secs(2));
    let told = |discord: &Discord| -> Vec<String> {
        let known = discord.known();
        known
            .posts
            .iter()
            .filter_map(|post| Some(post.body["embeds"][0]["description"].as_str()?.to_owned()))
            .collect()
    };
    // Once more in the middle of it.
    wait_until("some are told", PATIENCE * 3 + lasts, || {
        let count = told(&discord).len();
        if count >= 10 { Ok(()) } else { Err(count.to_string()) }
    });
    world.kill_supervisor();
    start(&mut world, &channels);
    let all = wait_until("all are told", PATIENCE * 4, || {
        let all = told(&discord);
        if all.len() >= ALERTS_OF_OUTAGE { Ok(all) } else { Err(format!("{} are told", all.len())) }
    });
    let wanted: Vec<String> = (0..ALERTS_OF_OUTAGE).map(text_of).collect();
    assert_eq!(all, wanted, "each once, in order");
    let known = discord.known();
    assert!(known.limited > 0, "the limit was reached");
    assert_eq!(known.impatient, 0, "nobody asked again before the time that Discord had named");
}
