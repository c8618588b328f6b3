//! Slack: cards with buttons, the command, rights, limits, other sockets, envelopes that come twice.

use serde_json::{Value, json};

use super::{begin, start};
use crate::patience::{PATIENCE, wait_until};
use crate::stand_in::discord::Discord;
use crate::stand_in::slack::{Fault, Post, Slack};
use crate::whole::Whole;
use crate::world::World;

const ADA: (&str, &str) = ("U1", "ada");
const BOB: (&str, &str) = ("U2", "bob");

fn words(post: &Post) -> String {
    post.body.to_string()
}

fn buttons(post: &Post) -> Vec<String> {
    let blocks = post.body["blocks"].as_array().cloned().unwrap_or_default();
    let actions = blocks.into_iter().filter(|block| block["type"] == "actions");
    let all = actions.flat_map(|block| block["elements"].as_array().cloned().unwrap_or_default());
    all.map(|button| button["action_id"].as_str().unwrap().to_owned()).collect()
}

fn wait_for_card(slack: &Slack, what: &str) -> Post {
    wait_until("the card is there", PATIENCE, || {
        let known = slack.known();
        let found = known.posts.iter().find(|post| words(post).contains(what) && !buttons(post).is_empty());
        found.cloned().ok_or_else(|| format!("{:?}", known.posts))
    })
}

fn button(post: &Post, word: &str) -> String {
    buttons(post).into_iter().find(|id| id.starts_with(word)).unwrap()
}

fn wait_for_app(slack: &Slack) {
    wait_until("the app is there", PATIENCE, || match slack.known().sockets {
        0 => Err("no socket".to_owned()),
        _ => Ok(()),
    });
}

fn wait_for_whisper(slack: &Slack, what: &str) -> Value {
    wait_until(&format!("{what:?} is said"), PATIENCE, || {
        let known = slack.known();
        let found = known.whispers.iter().find(|one| one["text"].as_str().unwrap_or_default().contains(what));
        found.cloned().ok_or_else(|| format!("{:?}", known.whispers))
    })
}

#[test]
fn a_press_in_slack_lets_a_true_session_go_on_and_of_three_answers_at_once_one_wins() {
    let (slack, discord) = (Slack::start(), Discord::start());
    let mut world = World::empty();
    start(&mut world, &json!({"slack": slack.config(), "discord": discord.config()}));
    let whole = Whole::begin_in(world, json!({"bash": "ask"}));
    wait_for_app(&slack);
    let session = whole.start("bash echo kettle > made.txt\nbash echo tea > cup.txt");
    let card = wait_for_card(&slack, "echo kettle");
    assert!(card.thread.is_some() && words(&card).contains("projects/shop"), "{card:?}");
    slack.press(&card, &button(&card, "approve:"), ADA);
    let second = wait_for_card(&slack, "echo tea");
    assert_eq!(second.thread, card.thread, "a session has one thread");
    wait_until("the first card shows what came of it", PATIENCE, || {
        let known = slack.known();
        let now = known.posts.iter().find(|post| post.ts == card.ts).unwrap();
        if buttons(now).is_empty() && words(now).contains("moved on") { Ok(()) } else { Err(words(now)) }
    });
    // Slack, Discord and halctl at once, with different answers.
    let in_discord = super::discord::wait_for_card(&discord, "echo tea");
    let id = button(&second, "deny:").split_once(':').unwrap().1.to_owned();
    let refused = std::thread::scope(|scope| {
        let typed =
            scope.spawn(|| !whole.world.ctl(&["approvals", "approve", &id, "--always"]).status.success());
        slack.press(&second, &button(&second, "deny:"), ADA);
        discord.press(&in_discord, &super::discord::button(&in_discord, "approve:"), ("1", "ada"), &[]);
        typed.join().unwrap()
    });
    whole.wait(&session, "idle");
    let over = wait_until("it is settled", PATIENCE, || {
        let now = whole.world.data(&format!("/api/v1/approvals/{id}"));
        if now["state"] == "settled" { Ok(now) } else { Err(now.to_string()) }
    });
    let winner = over["answer"]["over"].as_str().unwrap().to_owned();
    assert_eq!(refused, winner != "halctl", "{over}");
    let answers =
        over["receipt"].as_array().unwrap().iter().filter(|step| step["stage"] == "answered").count();
    assert_eq!(answers, 1, "{over}");
    let told = whole.world.events(&format!("session_id={session}&type=permission.replied"));
    assert_eq!(told.len(), 2, "one for each permission: {told:?}");
    whole.world.until_sql("SELECT count(*) FROM audit_log WHERE action = 'answer_permission'", "2");
    if winner != "slack" {
        wait_for_whisper(&slack, "already answered by");
    }
    println!("{winner} won\n{}", whole.world.ctl_says(&["approvals", "get", &id, "-o", "table"]));
}

#[test]
fn the_command_is_answered_and_an_envelope_that_comes_twice_counts_once() {
    let slack = Slack::start();
    let world = begin(&json!({"slack": slack.config()}));
    wait_for_app(&slack);
    slack.typed("status", BOB, None);
    assert_eq!(wait_for_whisper(&slack, "Nodes: 1 of 1 connected")["response_type"], "ephemeral");
    let first = slack.typed("start shop say good morning", ADA, None);
    wait_for_whisper(&slack, "has started");
    slack.typed("start shop say good morning", ADA, Some(&first));
    wait_until("it is acknowledged again", PATIENCE, || {
        let times = slack.known().acknowledged.iter().filter(|id| **id == first).count();
        if times == 2 { Ok(()) } else { Err(times.to_string()) }
    });
    slack.typed("start shop say no", BOB, None);
    wait_for_whisper(&slack, "You may not do this");
    world.until_sql("SELECT count(*) FROM audit_log WHERE action = 'denied' AND actor = 'slack:bob'", "1");
    slack.refresh();
    wait_until("there is another socket", PATIENCE, || match slack.known().sockets {
        2 => Ok(()),
        count => Err(count.to_string()),
    });
    slack.typed("sessions", ADA, None);
    wait_for_whisper(&slack, "idle shop on web-1");
    assert_eq!(world.data("/api/v1/sessions").as_array().unwrap().len(), 1, "begun once");
}

#[test]
fn what_slack_cannot_take_now_comes_later_once() {
    let slack = Slack::start();
    slack.known().faults.extend([Fault::Limited(2), Fault::Down, Fault::NotOk("internal_error")]);
    let world = begin(&json!({"slack": slack.config()}));
    let session = world.start_session("shop", "ask rm -rf build");
    let card = wait_for_card(&slack, "rm -rf build");
    assert_eq!(slack.known().fired, 3, "every fault has fired");
    assert_eq!(slack.known().posts.len(), 2, "the thread's first message and the card");
    slack.press(&card, &button(&card, "deny:"), ADA);
    world.wait_for_session(&session, "idle");
}
