//! The one test binary: scenes played with the true programs, a module for each noun.
//!
//! - `world`: starts the true programs on free ports; `program`, `peer`, `stream`, `patience` are its parts.
//! - `approval`: what a session waits with for a person, and whether the answer arrived.
//! - `chat`: what people are told in Discord and Slack, press and type there; `stand_in` plays those services.
//! - `node`, `session`, `event`, `command`: what people do and see. `survive`: the same while things are killed.
//! - `fault`: killed at random and at every sync, with a ledger outside that says what must be left.
//! - `agent`: a true agent alone with a stand-in supervisor: cut links, restarts, damage.
//! - `fault`: what networks, disks, clocks and bad peers do to all of it.
//! - `budget`: a dollar, many sessions, and what they may spend together, whatever fails.
//! - `gate`, `strangers`: who may come in, and what happens to those who misbehave. `up`: the first thing a newcomer runs.
//! - `backend`: which coding agents nodes have, and what is said of one that cannot be used.
//! - `opencode`, `claude`, `codex`, `acp`: the true coding agents, driven offline against `fake_model`; `opencode_home`,
//!   `claude_home`, `codex_home` are their places, `play` is what their stages share, `tool` installs them.
//! - `opencode2`: OpenCode 2, played by a stand-in, and by a true one where there is one.
//! - `conformance`: what every kind of coding agent must pass, played with each.
//! - `who`: who did it, on commands, receipts, alerts and incidents.
//! - `hold`: coding agents that outlive hal-agent.
//! - `whole`: all of it together, with an operator who types halctl.
//! - `provider`: what providers bill, fetched from the stand-ins of `stand_in`, and reconciled.
//! - `config`, `ctl`: broken files and their exact answers; halctl against a stand-in.
//! - `doctor`, `incident`: a machine with faults made on purpose, and what halctl finds, mends and collects there.
//! - `cost`: what sessions use, to the millionth of a dollar; the oracle is the fake model's own book.
//! - `dashboard`: browsers: how one is logged in and out, what it may, and what it follows. `tests/ui` plays in true ones.
//! - `policy`, `lifecycle`: what steps in by itself; a session that hands its work over, a halt, projects that wait.
//! - `documents`: the operator's documents say what the program does.
//! - `mirror`: `supervisor.db`, what operators do with `sqlite3`, `cp` and `mv`.
//! - `frames`, `session_rules`: the words, held to the files under `tests/fixtures`.
//! - `everything`: what `tests/run` says when something fails or is skipped.
//! - `fuzz`: a little of what the fuzzers under `tests/fuzz` do without end.
//! - `metrics`: what Prometheus and Grafana are given, and whether they like it.
//! - `escalation`: until somebody answers, and who tells that the supervisor itself is gone.
//! - `silence`: what does not run, is not let in, does not answer or is not asked is an alert.
//! - `route`: who is told what, through channels of `stand_in`.
//! - `service`: a daemon as systemd sees it.
//! - `tidy`: the house keeps its own rules.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod acp;
mod actor;
mod agent;
mod alert;
mod approval;
mod backend;
mod budget;
mod calls;
mod chat;
mod claude;
mod claude_home;
mod closed;
mod codex;
mod codex_home;
mod command;
mod config;
mod conformance;
mod cost;
mod ctl;
mod dashboard;
mod doctor;
mod documents;
mod escalation;
mod event;
mod everything;
#[path = "../fake_model/model/mod.rs"]
mod fake_model;
mod fault;
mod fixture;
mod fleet_keys;
mod frames;
mod fuzz;
mod gate;
mod hold;
mod incident;
mod lifecycle;
mod metrics;
mod mirror;
mod names;
mod networks;
mod node;
mod opencode;
mod opencode2;
mod opencode_home;
mod patience;
mod peer;
mod play;
mod policy;
mod program;
mod provider;
mod recording;
mod rehearsal;
mod route;
mod secure;
mod service;
mod session;
mod session_rules;
mod silence;
mod source;
mod stand_in;
mod strangers;
mod stream;
mod survive;
mod thrift;
mod tidy;
mod tool;
mod up;
mod who;
mod whole;
mod world;
