//! `hal-agent join`: this machine becomes a node, by a key that it makes for itself and that never leaves it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use reqwest::{StatusCode, Url};
use rustls::RootCertStore;
use serde_json::Value;

use super::cli::Join;
use super::config::{host_name, parse};
use hal_base::config::edit::{NewValue, edited, replace};
use hal_base::config::{Purpose, Source, load, loose};
use hal_base::exit::{Exit, Failure};
use hal_base::file;
use hal_base::proof::MachineKey;
use hal_base::tls::{self, Pin, Trust};
use hal_protocol::api::{Answer, Refusal};
use hal_protocol::default;
use hal_protocol::join::{JoinRequest, Joined};
use hal_protocol::node::NodeId;
use hal_protocol::proof::said_to_join;

/// The file of the key, in the folder of the journal.
const KEY: &str = "node.key";

/// A supervisor that does not answer in this time is not there.
const LIMIT: Duration = Duration::from_secs(30);

/// What of the present configuration counts.
struct Present {
    text: String,
    data: PathBuf,
    node: NodeId,
}

/// Joins, and changes the configuration to that. What it ends in is for the person who typed it.
pub async fn run(asked: Join) -> Result<String, Failure> {
    let present = read(&asked.config)?;
    let url = address(&asked.url)?;
    if url.scheme() == "http" && asked.pin.is_some() {
        let sentence = "the line names the supervisor's key (--pin): its address begins with https://, so that the token goes to \
                        nobody else";
        return Err(Failure::say(Exit::Usage, sentence));
    }
    let node = asked.node_id.clone().map_or(present.node, NodeId::new);
    let key_file = present.data.join(KEY);
    let key = key(&present.data, &key_file)?;
    let request = JoinRequest {
        node_id: node.to_string(),
        key: key.public(),
        signature: key.sign(&said_to_join(&node, &key.public())),
    };
    let there = url.as_str().trim_end_matches('/');
    // Before anything is asked: whoever has joined and cannot write it down has lost a token that is good once.
    let mut changes = vec![
        (&["supervisor_url"] as &[&str], NewValue::Text(there.to_owned())),
        (&["key_file"], NewValue::Text(key_file.display().to_string())),
        (&["auth_token"], NewValue::Gone),
        (&["auth_token_file"], NewValue::Gone),
    ];
    // The key belongs to this name, whatever the machine is called later.
    changes.push((&["node_id"], NewValue::Text(node.to_string())));
    let pin = asked.pin.map_or(NewValue::Gone, |pin| NewValue::Text(pin.to_string()));
    changes.push((&["supervisor_pin"], pin));
    let place = asked.config.display();
    let text = edited(&present.text, &changes).ok_or_else(|| {
        Failure::say(
            Exit::BadConfig,
            format!("{place} has not the form of a configuration: hal-agent --config {place} --validate"),
        )
    })?;
    // What the agent would not start with is found now, and not when the token has been used up.
    let file = Source { path: &asked.config, bytes: text.as_bytes(), is_open_to_all: false };
    parse(&file, Purpose::Run).map_err(|report| {
        Failure::say(Exit::BadConfig, format!("nothing was asked yet:\n{}", report.text().trim_end()))
    })?;
    let joined = ask(&url, &asked, &request).await?;
    replace(&asked.config, &text).with_context(|| {
        format!(
            "this machine has joined as {}, but {place} cannot be written; the same line can be given again",
            joined.node_id
        )
    })?;
    Ok(format!(
        "This machine has joined {there} as node {}, known by the key {}.\n{place} says so now. Next: sudo systemctl restart \
         hal-agent\n",
        joined.node_id,
        key_file.display()
    ))
}

fn read(config: &Path) -> Result<Present, Failure> {
    let place = config.display();
    let wrong = |why: String| Failure::say(Exit::BadConfig, format!("{place} {why}"));
    let (bytes, _) = load(config)
        .map_err(|why| wrong(format!("{why}; make one first: hal-agent --print-sample-config > {place}")))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is no text".into()))?;
    let form =
        || wrong(format!("has not the form of a configuration: hal-agent --config {place} --validate"));
    let values = loose(&text).ok_or_else(form)?;
    let said = |key: &str| values.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    // As the agent reads it: from the folder of the file.
    let folder = std::path::absolute(config).ok().and_then(|path| Some(path.parent()?.to_owned()));
    let data = folder.unwrap_or_default().join(said("data_dir").unwrap_or(default::DATA_DIR));
    let node = said("node_id").map_or_else(host_name, NodeId::new);
    Ok(Present { text, data, node })
}

/// The address of the API at a supervisor; the agents' scheme means the same.
fn address(text: &str) -> Result<Url, Failure> {
    let text = text.trim();
    let text = match text.split_once("://") {
        Some(("ws", rest)) => format!("http://{rest}"),
        Some(("wss", rest)) => format!("https://{rest}"),
        Some(_) => text.to_owned(),
        None => format!("https://{text}"),
    };
    let wrong = || {
        Failure::say(
            Exit::Usage,
            format!("{text:?} is no address of a supervisor: expected https://HOST:8420"),
        )
    };
    let url = Url::parse(&text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    url.filter(Url::has_host).ok_or_else(wrong)
}

/// The key that is there, or a new one. What root makes is the service's, whose folder it is.
fn key(data: &Path, path: &Path) -> Result<MachineKey, Failure> {
    let place = || format!("cannot use the key {}", path.display());
    if let Some(key) = MachineKey::read(path).with_context(place)? {
        return Ok(key);
    }
    make_folder(data).with_context(place)?;
    let key = MachineKey::make(path).with_context(place)?;
    file::give_to_owner(data, KEY).with_context(place)?;
    Ok(key)
}

/// The agent's data folder, where there is none yet. It belongs to whoever has the folder around it; systemd gives its own to the
/// service at the start.
fn make_folder(data: &Path) -> std::io::Result<()> {
    if data.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(data)?;
    match data.parent() {
        Some(around) if rustix::process::geteuid().is_root() => {
            let owner = std::fs::metadata(around)?;
            std::os::unix::fs::lchown(data, Some(owner.uid()), Some(owner.gid()))
        }
        _ => Ok(()),
    }
}

async fn ask(url: &Url, asked: &Join, request: &JoinRequest) -> Result<Joined, Failure> {
    let there = url.join("api/v1/join").map_err(anyhow::Error::new)?;
    let client = client(url, asked.pin)?;
    let sent = client.post(there).bearer_auth(asked.token.reveal()).json(request).send().await;
    let answer = sent.map_err(|error| unreachable(url, &error))?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(|error| unreachable(url, &error))?;
    if status == StatusCode::OK {
        let said = serde_json::from_slice::<Answer<Joined>>(&body);
        return Ok(said.with_context(|| format!("{url} answered what no supervisor does"))?.data);
    }
    let said = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error);
    let why = said.unwrap_or_else(|_| format!("it answered {status}; is it a supervisor of this release?"));
    let exit = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::NotAllowed,
        _ => Exit::Failed,
    };
    Err(Failure::say(exit, format!("{url} does not let this machine join: {why}")))
}

fn client(url: &Url, pin: Option<Pin>) -> Result<reqwest::Client, Failure> {
    let mut system = RootCertStore::empty();
    system.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let (config, _) = tls::judging(Trust { named: Vec::new(), system, pin, is_lenient: false })
        .context("cannot prepare TLS")?;
    let builder = reqwest::Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none());
    let builder = if url.scheme() == "https" { builder.tls_backend_preconfigured(config) } else { builder };
    Ok(builder.build().context("cannot prepare the connection")?)
}

fn unreachable(url: &Url, error: &reqwest::Error) -> Failure {
    let why = hal_base::cause::chain(error);
    let hint = if why.contains("invalid peer certificate") {
        ": its key is not the one of this line (--pin), and no authority of this system has signed it; make another line \
         there: halctl join-token create"
    } else {
        ""
    };
    Failure::say(Exit::Unreachable, format!("cannot reach the supervisor at {url}: {why}{hint}"))
}
