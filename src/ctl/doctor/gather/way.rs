//! The way to a supervisor, step by step, and what it says when it is reached.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{DoctorContext, database, machine, token};
use crate::client::{Client, Query};
use crate::discover::{self, Origin, Target, read_url};
use crate::doctor::facts::{Config, DaemonKind, DoctorFacts, End, Reach, SupervisorAnswers, Whose};
use hal_base::clock::{Stopwatch, Time, now};
use hal_base::exit::Failure;
use hal_base::tls::{self, Pin};
use hal_protocol::alert::Alert;
use hal_protocol::default;
use hal_protocol::node::Node;

/// How long a name may take to be resolved, and a connection to be made.
const STEP: Duration = Duration::from_secs(5);

/// How long an answer may take: longer than what counts as slow.
const ANSWER: Duration = Duration::from_secs(20);

/// Alerts that are asked for.
const MOST_ALERTS: usize = 100;

/// Goes all ways there are, and asks at the end of the first that leads in.
pub async fn go(place: &DoctorContext<'_>, facts: &mut DoctorFacts) {
    let of = |kind: DaemonKind| {
        facts.daemons.iter().find(|daemon| daemon.kind == kind).map(|daemon| &daemon.config)
    };
    let (supervisor, agent) = (of(DaemonKind::Supervisor), of(DaemonKind::Agent));
    let mut ways = Vec::new();
    if supervisor.is_some() || agent.is_none() {
        ways.push((Whose::Operator, operator_target(place, supervisor)));
    }
    if let Some(config) = agent.filter(|config| config.values["supervisor_url"].is_string()) {
        ways.push((Whose::Agent, agent_target(config)));
    }
    let node = agent.map(node_id);
    let is_agent_only = supervisor.is_none() && !place.is_fleet;
    for (whose, target) in ways {
        let has_key =
            whose == Whose::Agent && agent.is_some_and(|config| config.values["key_file"].is_string());
        let (reach, client, lag) = walk(whose, target, has_key).await;
        if let (None, Some(client)) = (&facts.told, client) {
            match ask(&client, lag).await {
                Ok(mut told) => {
                    if let Some(node) = node.as_ref().filter(|_| is_agent_only) {
                        told.nodes.retain(|one| one.id.as_str() == node);
                        told.alerts.retain(|alert| alert.about == *node);
                    }
                    facts.told = Some(told);
                }
                Err(failure) => {
                    facts.notes.push(format!("the supervisor was not asked about nodes: {failure}"))
                }
            }
        }
        facts.reaches.push(reach);
    }
}

/// The supervisor that the operator of this machine means: the one that is named, else the one that belongs here.
pub fn operator_target(place: &DoctorContext<'_>, config: Option<&Config>) -> Result<Target, Failure> {
    let (global, around) = (place.global, place.around);
    let is_named = global.supervisor_url.is_some() || around.variable("HALCTL_SUPERVISOR_URL").is_some();
    // Doctor goes the way that agents and other machines go.
    let by_network = |target: Target| Target { socket: None, ..target };
    let Some(config) = config.filter(|_| !is_named) else {
        return discover::find(global, around).map(by_network);
    };
    let mut here = around.clone();
    here.machine_file = database(config).parent().unwrap_or(Path::new("/")).join("ctl.json");
    // The user's own files may name another supervisor, and this is about the one here.
    here.variables.retain(|(name, _)| name.starts_with("HALCTL_"));
    let mut target = by_network(discover::find(global, &here)?);
    if target.url_from == Origin::Default {
        let from = Origin::File(config.path.clone());
        let is_tls = config.values["security"]["tls"]["enabled"].as_bool() == Some(true);
        let port = config.values["server"]["port"].as_u64().unwrap_or(default::PORT.into());
        target.url =
            read_url(&format!("{}://localhost:{port}", if is_tls { "https" } else { "http" }), &from)?;
        target.url_from = from.clone();
        target.token = target.token.or_else(|| token(config).map(|token| (token, from)));
    }
    Ok(target)
}

/// The supervisor of an agent, as the agent goes there.
pub fn agent_target(config: &Config) -> Result<Target, Failure> {
    let from = Origin::File(config.path.clone());
    let folder = config.path.parent().unwrap_or(Path::new("/"));
    let ca_file = config.values["ca_file"].as_str().map(|path| (folder.join(path), from.clone()));
    let pin = config.values["supervisor_pin"].as_str().and_then(|text| text.parse().ok());
    let url = read_url(config.values["supervisor_url"].as_str().unwrap_or_default(), &from)?;
    let pin = pin.or_else(|| proved_before(config, &url));
    Ok(Target {
        url,
        pin: pin.map(|pin| (pin, from.clone())),
        url_from: from.clone(),
        token: token(config).map(|token| (token, from)),
        ca_file,
        socket: None,
        notes: Vec::new(),
    })
}

/// The key of a supervisor that has proved itself to the agent, as that has written it down.
fn proved_before(config: &Config, url: &Url) -> Option<Pin> {
    let data = config.values["data_dir"].as_str().unwrap_or(default::DATA_DIR);
    let text = machine::read(&Path::new(data).join("supervisor.pins")).ok()?;
    let address = format!("{}:{}", url.host_str()?, url.port_or_known_default()?);
    text.lines().find_map(|line| line.strip_prefix(&address)?.trim().parse().ok())
}

fn node_id(config: &Config) -> String {
    let named = config.values["node_id"].as_str().map(str::to_owned);
    named.unwrap_or_else(|| {
        machine::read(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default().trim().to_owned()
    })
}

/// How the supervisor is, in its own words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Ready {
    components: std::collections::BTreeMap<String, Component>,
    timestamp: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Component {
    status: String,
    lag_seconds: Option<f64>,
    error: Option<String>,
}

/// Goes one way as far as it leads; gives whom to ask when it leads in, and how far the mirror is behind.
async fn walk(whose: Whose, target: Result<Target, Failure>, has_key: bool) -> (Reach, Option<Client>, f64) {
    let nowhere = |url: &str, end| Reach {
        whose,
        url: url.to_owned(),
        host: String::new(),
        port: 0,
        end,
        skew_ms: None,
        took: Duration::ZERO,
        version: String::new(),
        sick: Vec::new(),
    };
    let target = match target {
        Ok(target) => target,
        Err(failure) => return (nowhere("", End::Unusable(failure.to_string())), None, 0.0),
    };
    let mut reach = nowhere(target.url.as_str(), End::In);
    reach.host = target.url.host_str().unwrap_or_default().to_owned();
    reach.port = target.url.port_or_known_default().unwrap_or_default();
    if let Err(end) = knock(&target.url).await {
        reach.end = end;
        return (reach, None, 0.0);
    }
    let token_from = target.token.as_ref().map(|(_, from)| from.to_string());
    let client = match Client::new(target) {
        Ok(client) => client,
        Err(failure) => {
            reach.end = End::Tls(failure.to_string());
            return (reach, None, 0.0);
        }
    };
    let is_tls = client.url().scheme() == "https";
    let ready = match look(&client, &mut reach).await {
        Ok(ready) => ready,
        Err(why) => {
            reach.end = match why {
                why if is_tls && !why.starts_with("it answered") => End::Tls(why),
                _ if !is_tls && speaks_tls(&reach).await => End::WantsTls,
                why => End::Stranger(why),
            };
            return (reach, None, 0.0);
        }
    };
    if has_key {
        // It is proved to the agents' door alone, and only the agent can.
        return (reach, None, 0.0);
    }
    reach.end = match token_from {
        None => End::NoToken,
        Some(from) => match client.outside("api/v1/health", true, ANSWER).await {
            // A token of the node's own opens the agents' door and nothing else.
            Ok((StatusCode::OK | StatusCode::FORBIDDEN, _)) => End::In,
            Ok((StatusCode::UNAUTHORIZED, _)) => End::WrongToken(from),
            Ok((status, _)) => End::Stranger(format!("it answered {status}")),
            Err(why) => End::Silence(why),
        },
    };
    let lag = ready.components.get("mirror").and_then(|mirror| mirror.lag_seconds).unwrap_or_default();
    let client = (reach.end == End::In).then_some(client);
    (reach, client, lag)
}

/// Resolves the name and connects.
async fn knock(url: &Url) -> Result<(), End> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or_default();
    let addresses: Vec<_> = match timeout(STEP, lookup_host((host.as_str(), port))).await {
        Err(_) => return Err(End::NoName(format!("no answer within {} s", STEP.as_secs()))),
        Ok(Err(error)) => return Err(End::NoName(error.to_string())),
        Ok(Ok(addresses)) => addresses.collect(),
    };
    match timeout(STEP, TcpStream::connect(addresses.as_slice())).await {
        Err(_) => Err(End::Silence(format!("no answer within {} s", STEP.as_secs()))),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Err(End::Refused),
        Ok(Err(error)) => Err(End::Silence(error.to_string())),
        Ok(Ok(_)) => Ok(()),
    }
}

async fn speaks_tls(reach: &Reach) -> bool {
    let host = reach.host.trim_matches(['[', ']']);
    match timeout(STEP, TcpStream::connect((host, reach.port))).await {
        Ok(Ok(stream)) => tls::is_spoken(stream).await,
        _ => false,
    }
}

/// Asks what anybody may ask: how it is, and which version.
async fn look(client: &Client, reach: &mut Reach) -> Result<Ready, String> {
    let (begun, watch) = (now(), Stopwatch::start());
    let (status, body) = client.outside("readyz", false, ANSWER).await?;
    reach.took = watch.elapsed();
    let foreign = || format!("it answered {status} with a body that is not understood");
    let known: Value = serde_json::from_slice(&body).map_err(|_| foreign())?;
    let ready: Ready = serde_json::from_value(known).map_err(|_| foreign())?;
    if ready.components.is_empty() {
        return Err(foreign());
    }
    // It said so somewhere between the question and the answer.
    let there = Time::parse(&ready.timestamp);
    reach.skew_ms = there.map(|there| {
        let back = begun.plus(reach.took);
        (there.0 - back.0).max(0) + (there.0 - begun.0).min(0)
    });
    for (name, component) in &ready.components {
        if component.status != "ok" {
            reach
                .sick
                .push((name.clone(), component.error.clone().unwrap_or_else(|| component.status.clone())));
        }
    }
    if let Ok((_, text)) = client.outside("", false, ANSWER).await {
        let text = String::from_utf8_lossy(&text);
        let version = text.strip_prefix("hal-o-swarm ").and_then(|rest| rest.split(':').next());
        reach.version = version.unwrap_or_default().to_owned();
    }
    Ok(ready)
}

async fn ask(client: &Client, mirror_lag: f64) -> Result<SupervisorAnswers, Failure> {
    let nodes = client.list::<Node>(&["nodes"], &Query::new()).await?;
    let open = vec![("status", "open".to_owned())];
    let alerts: Vec<Alert> = client.pages("alerts", open, Some(MOST_ALERTS), MOST_ALERTS).all().await?;
    let one = vec![("limit", "1".to_owned())];
    let sessions = client.get::<Vec<Value>>(&["sessions"], &one).await?.meta.map(|meta| meta.total);
    Ok(SupervisorAnswers { nodes, sessions, alerts, mirror_lag })
}
