//! `hal-supervisor secure`: closes a supervisor that was set up open, and says before whom that would cut off.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::cli::secure::Secure;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::text::ago;
use hal_base::clock::now;
use hal_base::config::edit::{NewValue, edited, replace};
use hal_base::config::{load, loose};
use hal_base::exit::{Exit, Failure};
use hal_protocol::audit::AuditView;
use hal_protocol::node::{CameIn, Node, NodeStatus};

/// Whoever was not here for longer is not missed.
const LATELY: Duration = Duration::from_secs(7 * 86_400);

/// Nodes and records in a page.
const PAGE: usize = 1000;

/// Records that are looked through.
const MOST_RECORDS: usize = 100_000;

/// Looks, and changes the configuration unless it was only asked.
pub async fn run(asked: Secure, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let (text, changes) = changes(&asked.config)?;
    if changes.is_empty() {
        screen.say("This supervisor is closed already: it speaks TLS, and the shared token opens the agents' door alone.");
        return Ok(());
    }
    let nodes: Vec<Node> = client.pages("nodes", Query::new(), None, PAGE).all().await?;
    let lately =
        |node: &&Node| node.status == NodeStatus::Online || now().since(node.last_heartbeat) < LATELY;
    let mut cut_off = Vec::new();
    for node in nodes.iter().filter(lately) {
        match judge(node) {
            Ok(how) => screen.write(&format!("stays    node {}: {how}\n", node.id))?,
            Err(why) => cut_off.push(format!("node {}: {why}", node.id)),
        }
    }
    cut_off.extend(others(client).await?);
    for one in &cut_off {
        screen.write(&format!("CUT OFF  {one}\n"))?;
    }
    for (key, value) in &changes {
        screen.write(&format!("change   {}: {}\n", key.join("."), shown(value)))?;
    }
    if asked.dry_run {
        return Ok(());
    }
    if !cut_off.is_empty() && !asked.yes {
        let sentence =
            "nothing was changed: some would be cut off, see above; put that right first, or give --yes";
        return Err(Failure::say(Exit::Failed, sentence));
    }
    let place = asked.config.display();
    let changed = edited(&text, &changes).ok_or_else(|| form(&asked.config))?;
    replace(&asked.config, &changed)
        .map_err(|error| Failure::say(Exit::Failed, format!("{place} cannot be written: {error}")))?;
    screen.say(&format!(
        "{place} says so now. Next: sudo hal-supervisor --validate && sudo systemctl restart hal-supervisor"
    ));
    Ok(())
}

fn form(config: &Path) -> Failure {
    let place = config.display();
    let sentence =
        format!("{place} has not the form of a configuration: hal-supervisor --config {place} --validate");
    Failure::say(Exit::BadConfig, sentence)
}

type Changes = Vec<(&'static [&'static str], NewValue)>;

/// What is to be changed in the file, which is read as the supervisor reads it.
fn changes(config: &Path) -> Result<(String, Changes), Failure> {
    let place = config.display();
    let (bytes, _) = load(config).map_err(|why| Failure::say(Exit::BadConfig, format!("{place} {why}")))?;
    let text = String::from_utf8(bytes).map_err(|_| form(config))?;
    let values = loose(&text).ok_or_else(|| form(config))?;
    let tls = &values["security"]["tls"];
    let mut changes: Changes = Vec::new();
    if tls["enabled"] != Value::Bool(true) {
        changes.push((&["security", "tls", "enabled"], NewValue::Flag(true)));
        // What a sample has named and nobody has made is no certificate of one's own.
        for (key, name) in [
            (&["security", "tls", "cert_path"] as &[&str], "cert_path"),
            (&["security", "tls", "key_path"], "key_path"),
        ] {
            let path = tls[name].as_str().map(Path::new);
            if path.is_some_and(|path| !path.exists()) {
                changes.push((key, NewValue::Gone));
            }
        }
    }
    if values["server"]["auth_token_opens"] != "agents" {
        changes.push((&["server", "auth_token_opens"], NewValue::Text("agents".into())));
    }
    Ok((text, changes))
}

fn shown(value: &NewValue) -> String {
    match value {
        NewValue::Text(text) => text.clone(),
        NewValue::Flag(flag) => flag.to_string(),
        NewValue::Gone => "(removed: there is no such file, and the supervisor makes its own)".into(),
    }
}

/// Whether a node finds its way afterwards, and how; or why it does not.
fn judge(node: &Node) -> Result<String, String> {
    let Some(CameIn { by, over, proves }) = &node.came_in else {
        let since = ago(node.last_heartbeat, now());
        return Err(format!(
            "not seen since this supervisor started (last {since}): nobody knows how it comes in"
        ));
    };
    match (over.as_str(), *proves, by.as_str()) {
        ("tls", ..) => Ok("it speaks TLS".into()),
        ("local", ..) => Ok("it is on this machine".into()),
        (_, true, "token") => Err(format!(
            "it has a token of its own, which it says to nobody unknown: give it supervisor_pin first, or let it join \
             (halctl join-token create); version {}",
            node.version
        )),
        (_, true, _) => Ok("it finds TLS by itself".into()),
        (_, false, _) => Err(format!(
            "its agent is of an earlier release and speaks no TLS: upgrade it, or give it wss:// and ca_file; version {}",
            node.version
        )),
    }
}

/// Who has used the shared token from another machine lately for something that is on the record.
async fn others(client: &Client) -> Result<Vec<String>, Failure> {
    let since = now().minus(LATELY).to_string();
    let query = vec![("actor", "token".to_owned()), ("since", since)];
    let records: Vec<AuditView> = client.pages("audit", query, Some(MOST_RECORDS), PAGE).all().await?;
    let is_far =
        |from: &&str| from.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.to_canonical().is_loopback());
    let places: BTreeSet<&str> = records.iter().map(|record| record.from.as_str()).filter(is_far).collect();
    let sentence = |from: &&str| {
        format!(
            "somebody at {from}, who uses the shared token: make them a user and a token (halctl users create, halctl \
             tokens create)"
        )
    };
    Ok(places.iter().map(sentence).collect())
}
