//! What a page and its supervisor say to one another on `GET /api/v1/live`, in the order a conversation happens.
//!
//! ```text
//!   page        hello (what it has, which topics it wants)
//!   supervisor  verdict: ok | gap
//!   supervisor  picture of each topic after a gap, else change of each topic that is another one than the page has
//!   supervisor  change, at most four a second for each topic: the latest of each thing, however often it changed
//!   supervisor  ping, and the page pong
//!   page        topics, visible: whenever it wants others
//! ```
//!
//! The topics: `chrome` (one thing, see [`Chrome`]), `approvals` (those that are open, and the last ones that are over, as
//! `GET /api/v1/approvals/{id}` shows them), `halt` (a [`NodeTurns`] for each node), `fleet?QUERY` (a window of the sessions
//! that match: a [`FleetHead`], [`FleetNames`], a [`SessionRow`] for each) and `session?id=ID` (that session, its helpers,
//! what they wait for, and its commands that have not ended). A page follows one query of a topic at a time.
//!
//! Beside them a page may `watch` one session: it gets what is written there as it is written, see [`LiveWords`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use hal_base::clock::Time;

use super::conversation::Entry;
use super::policy::Halt;
use super::session::Context;

/// The subprotocol of the WebSocket.
pub const SUBPROTOCOL: &str = "hal.live.1";

/// What a page has of a topic: the version of each thing by its id.
pub type Versions = BTreeMap<String, String>;

/// What a page says. It may be of another release: what is not known is nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FromPage {
    /// The first words.
    pub hello: Option<PageHello>,
    /// Which topics it wants from now on.
    pub topics: Option<Vec<String>>,
    /// Whether anybody can see it; one that nobody sees gets the topic `chrome` only.
    pub visible: Option<bool>,
    /// The session of which it wants to see what is being written; empty: none.
    pub watch: Option<String>,
}

/// The first words of a page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PageHello {
    /// The cursor of the last frame that it took in; empty: it has nothing yet.
    pub cursor: String,
    /// Which topics it wants.
    pub topics: Vec<String>,
    /// What it has of each.
    pub have: BTreeMap<String, Versions>,
    /// Whether anybody can see it.
    pub visible: Option<bool>,
    /// The session of which it wants to see what is being written; empty: none.
    pub watch: Option<String>,
}

/// What a supervisor says first.
#[derive(Debug, Serialize)]
pub struct LiveOpening {
    /// `ok`: what the page has is brought up to now. `gap`: it is of another store, and is to be forgotten.
    pub verdict: &'static str,
    /// The place that is begun at.
    pub cursor: String,
    /// Which supervisor this is.
    pub server: ServerInfo,
}

/// Which supervisor this is.
#[derive(Debug, Serialize)]
pub struct ServerInfo {
    /// Its release.
    pub version: &'static str,
    /// Which build of the page it has: an open page of another one says so.
    pub build: &'static str,
    /// Its clock (RFC 3339): a page counts all ages from it.
    #[serde(with = "super::api::rfc3339")]
    pub now: Time,
}

/// One thing of a topic.
#[derive(Debug, Serialize)]
pub struct LiveItem {
    /// Its id within the topic.
    pub id: String,
    /// Another one whenever anything of it is.
    pub v: String,
    /// The thing itself.
    pub view: Box<RawValue>,
}

/// All of a topic, in place of what a page had of it.
#[derive(Debug, Serialize)]
pub struct Picture<'a> {
    /// The topic.
    pub picture: &'a str,
    /// The place that it is of.
    pub as_of: String,
    /// What is in it.
    pub items: Vec<LiveItem>,
    /// How many there are, also those beyond the bound of the topic.
    pub total: u64,
}

/// What has changed of a topic.
#[derive(Debug, Serialize)]
pub struct Change<'a> {
    /// The topic.
    pub change: &'a str,
    /// The place up to which it is told.
    pub cursor: String,
    /// What is new or another.
    pub upsert: Vec<LiveItem>,
    /// What is gone.
    pub gone: Vec<String>,
    /// How many there are.
    pub total: u64,
}

/// A sign of life.
#[derive(Debug, Serialize)]
pub struct Ping {
    /// The supervisor's clock (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    pub ping: Time,
}

/// The one thing of the topic `chrome`: what every page shows at its head.
#[derive(Debug, Serialize)]
pub struct Chrome {
    /// Permissions and questions that wait for a person.
    pub needs_you: u64,
    /// Sessions that are not put away, by status.
    pub sessions: BTreeMap<&'static str, u64>,
    /// Nodes that are connected, and all.
    pub nodes_online: u64,
    /// All nodes.
    pub nodes: u64,
    /// Alerts that nobody has acknowledged.
    pub alerts: u64,
    /// What is halted.
    pub halts: Vec<Halt>,
    /// Why the supervisor cannot work as it should; absent when it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// One thing of the topic `halt`: a node, and the turns that run there.
#[derive(Debug, Serialize)]
pub struct NodeTurns {
    /// The node.
    pub node_id: String,
    /// Whether it is connected: what runs on one that is not, nobody knows.
    pub online: bool,
    /// Its projects.
    pub projects: Vec<String>,
    /// How many turns run, by project: all of them, also those that are not named.
    pub turns: BTreeMap<String, u64>,
    /// Turns that run, oldest first; a bounded number.
    pub running: Vec<RunningTurn>,
}

/// A turn that runs.
#[derive(Debug, Serialize)]
pub struct RunningTurn {
    /// Its session.
    pub session_id: String,
    /// The session's title.
    pub title: String,
    /// Its project.
    pub project: String,
    /// Since when it runs (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    pub since: Time,
    /// That it is to stop; absent: nobody wants that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping: Option<StoppingTurn>,
}

/// A turn that is to stop and goes on.
#[derive(Debug, Serialize)]
pub struct StoppingTurn {
    /// Since when it is to.
    #[serde(with = "super::api::rfc3339")]
    pub since: Time,
    /// Whether killing it has come to nothing.
    pub gave_up: bool,
    /// What the last attempt said; empty: it is under way.
    pub why: String,
}

/// A session in a list.
#[derive(Debug, Serialize)]
pub struct SessionRow {
    /// The session.
    pub id: String,
    /// Its title; like every text here, its beginning.
    pub title: String,
    /// Its project.
    pub project: String,
    /// Its node.
    pub node_id: String,
    /// What it is doing.
    pub status: &'static str,
    /// What it was doing when its node was last connected; only with `unreachable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_known: Option<&'static str>,
    /// Since when; of one that waits, since when that has waited which waits longest.
    #[serde(with = "super::api::rfc3339")]
    pub since: Time,
    /// What it waits for, why it failed, what its provider said; empty: nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// How many permissions and questions wait, its helpers' included.
    pub asks: usize,
    /// Its cost in millionths of a dollar, its helpers' included; absent: unknown.
    pub cost_micros: Option<u64>,
    /// How full the context is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// Things on its list that are done, and all; absent: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub todo: Option<(usize, usize)>,
    /// Which backend runs it.
    pub backend: String,
    /// The session whose helper it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// That policies leave it alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Its labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// What a window of the topic `fleet` is of.
#[derive(Debug, Serialize)]
pub struct FleetHead<'a> {
    /// The query, as it was asked for.
    pub query: &'a str,
    /// The place of its first row among all that match.
    pub from: usize,
    /// How many match, by state: also those of the states that are not asked for.
    pub counts: BTreeMap<&'static str, u64>,
    /// The sessions of the window in their order.
    pub order: Vec<String>,
}

/// What sessions can be filtered by.
#[derive(Debug, Serialize)]
pub struct FleetNames {
    /// Projects, a bounded number.
    pub projects: Vec<String>,
    /// Nodes, a bounded number.
    pub nodes: Vec<String>,
}

/// A command that has not ended, of the topic `session`.
#[derive(Debug, Serialize)]
pub struct OpenCommand {
    /// The command.
    pub command_id: String,
    /// What it asks.
    pub verb: &'static str,
    /// Where it is in its life.
    pub state: &'static str,
    /// Who asked.
    pub actor: String,
    /// When (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    pub created_at: Time,
}

/// What is being written in a session that a page watches.
#[derive(Debug, Serialize)]
pub struct LiveWords<'a> {
    /// The session.
    pub live: &'a str,
    /// Words that go on where those before ended.
    pub words: Vec<GrowingPart>,
    /// What is told as a whole, such as a tool that runs.
    pub entries: Vec<Entry>,
    /// How many live events were dropped before this: what they told comes with the stored ones.
    pub dropped: u64,
}

/// Words that go on.
#[derive(Debug, Default, Serialize)]
pub struct GrowingPart {
    /// The piece of the message.
    pub part: String,
    /// The message.
    pub message: String,
    /// What comes behind what was there.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_release_is_understood_as_far_as_it_can_be() {
        let read = |text: &str| serde_json::from_str::<FromPage>(text).unwrap();
        let hello = read(r#"{"hello": {"topics": ["chrome", "tomorrow"], "new": 1}}"#).hello.unwrap();
        assert_eq!((hello.topics.len(), hello.cursor.as_str(), hello.visible), (2, "", None));
        assert_eq!(read(r#"{"visible": false}"#).visible, Some(false));
        assert!(read(r#"{"tomorrow": {}}"#).topics.is_none());
    }
}
