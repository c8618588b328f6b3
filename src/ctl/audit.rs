//! `halctl audit`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::cli::audit::AuditVerb;
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::watch::{self, Source};
use hal_base::clock;
use hal_base::exit::{Exit, Failure};
use hal_protocol::audit::{Anchor, AuditVerdict, AuditView, ExportEnd, NumberedRecord, VerifyRequest};
use hal_rules::audit::Walk;

/// Records in one page of the list.
const PAGE: usize = 1000;

/// Heads that one walk of the supervisor looks for.
const MOST_HEADS: usize = 20_000;

/// Carries out one of the verbs.
pub async fn run(verb: AuditVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        AuditVerb::List { user, action, target, since, limit, how } => {
            let since = since.map(|moment| moment.at(clock::now()).to_string());
            let query = vec![
                ("actor", user.unwrap_or_default()),
                ("action", action.unwrap_or_default()),
                ("target", target.unwrap_or_default()),
                ("since", since.unwrap_or_default()),
            ];
            let source = Source { path: "audit", query, limit: (limit > 0).then_some(limit), page: PAGE };
            watch::list::<AuditView>(client, screen, &how, "No records", source).await
        }
        AuditVerb::Get { id } => {
            screen.one(&client.get::<AuditView>(&["audit", &id], &Query::new()).await?.data)
        }
        AuditVerb::Verify { file: None, anchors } => {
            let asked = VerifyRequest { anchors: heads(&anchors, screen)? };
            let verdict = client.ask_patiently(&["audit", "verify"], "audit verify", &asked).await?;
            judge(screen, &verdict)
        }
        AuditVerb::Verify { file: Some(file), anchors } => verify_export(screen, &file, &anchors),
        AuditVerb::Export => export(client, screen).await,
    }
}

/// Verifies an export; nobody is asked.
pub fn verify_export(screen: &mut Screen, file: &Path, anchors: &[PathBuf]) -> Result<(), Failure> {
    let mut walk = Walk::with_anchors(heads(anchors, screen)?);
    let (mut count, mut end) = (0, None);
    each_line(file, &mut |nth, line| {
        if end.is_some() {
            return Err(wrong(file, nth, "there is a line behind the last one of an export"));
        }
        if let Ok(last) = serde_json::from_str::<ExportEnd>(line) {
            end = Some(last);
            return Ok(());
        }
        let one: NumberedRecord = serde_json::from_str(line)
            .map_err(|error| wrong(file, nth, &format!("no audit record: {error}")))?;
        count += 1;
        walk.take(one.seq, &one.record);
        Ok(())
    })?;
    let place = file.display();
    let why = match end {
        Some(end) if end.records == count => return judge(screen, &walk.end(Some(&end.head))),
        Some(end) => format!("{place} has {count} records, and its last line says {}", end.records),
        None => format!("{place} has no last line, as an export has: it was cut after {count} records"),
    };
    Err(Failure::say(Exit::Failed, why))
}

async fn export(client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let (mut walk, mut cursor, mut records) = (Walk::default(), String::new(), 0);
    loop {
        let query = vec![("limit", PAGE.to_string()), ("cursor", cursor.clone())];
        let answer = client.get::<Vec<NumberedRecord>>(&["audit", "export"], &query).await?;
        for one in &answer.data {
            walk.take(one.seq, &one.record);
            records += 1;
            screen.write(&line_of(one)?)?;
        }
        let next = answer.meta.and_then(|meta| meta.next_cursor).filter(|next| *next != cursor);
        let Some(next) = next else { break };
        cursor = next;
    }
    let verdict = walk.end(None);
    screen.write(&line_of(&ExportEnd { head: verdict.head, records })?)?;
    match verdict.is_whole {
        true => Ok(()),
        false => Err(Failure::say(
            Exit::Failed,
            "what was exported does not verify: see `halctl audit verify`; where that finds nothing, retention has cut \
             records meanwhile: export again",
        )),
    }
}

fn line_of(what: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(what).context("cannot write a record as JSON")?;
    Ok(text + "\n")
}

/// The heads in files that nodes have kept.
fn heads(files: &[PathBuf], screen: &mut Screen) -> Result<Vec<Anchor>, Failure> {
    let mut heads = BTreeMap::new();
    for file in files {
        let mut unread = Vec::new();
        each_line(file, &mut |nth, line| {
            match serde_json::from_str::<Anchor>(line) {
                Ok(head) => drop(heads.insert((head.link, head.hash.clone()), head)),
                Err(_) => unread.push(nth),
            }
            Ok(())
        })?;
        // A node may have lost its power in the middle of a line.
        if let Some(first) = unread.first() {
            let (place, count) = (file.display(), unread.len());
            screen.say(&format!(
                "{place}:{first}: not a head of an audit record; {count} such lines are left out"
            ));
        }
    }
    // The newest, where there are more than a supervisor looks for.
    let beyond = heads.len().saturating_sub(MOST_HEADS);
    Ok(heads.into_values().skip(beyond).collect())
}

fn each_line(file: &Path, see: &mut dyn FnMut(usize, &str) -> Result<(), Failure>) -> Result<(), Failure> {
    let place = file.display();
    let open = File::open(file).with_context(|| format!("cannot open {place}"))?;
    for (nth, line) in BufReader::new(open).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read line {} of {place}", nth + 1))?;
        see(nth + 1, &line)?;
    }
    Ok(())
}

fn wrong(file: &Path, line: usize, why: &str) -> Failure {
    Failure::say(Exit::Failed, format!("{}:{line}: {why}", file.display()))
}

/// Shows what was found; fails when something was.
fn judge(screen: &mut Screen, verdict: &AuditVerdict) -> Result<(), Failure> {
    if screen.is_structured() {
        screen.structured(verdict)?;
    } else {
        screen.write(&told(verdict))?;
    }
    match verdict.is_whole {
        true => Ok(()),
        false => Err(Failure::say(
            Exit::Failed,
            format!("the audit record is not as it was written: {} findings", verdict.found),
        )),
    }
}

fn told(verdict: &AuditVerdict) -> String {
    let AuditVerdict { records, links, first, head, missing, anchors, replaced_anchors, cut_anchors, .. } =
        verdict;
    let mut text =
        format!("{records} records from number {first} on, {links} links, the last one {}", head.link);
    if *missing > 0 {
        text += &format!("; {missing} links are not here any more");
    }
    if anchors + replaced_anchors + cut_anchors > 0 {
        text += &format!("\n{anchors} heads that nodes have kept are in the chain");
    }
    if *replaced_anchors > 0 {
        text += &format!(", {replaced_anchors} are of a store that was replaced");
    }
    if *cut_anchors > 0 {
        text += &format!(", {cut_anchors} are of links that are not here any more");
    }
    for one in &verdict.explained {
        text += &format!(
            "\naccounted for by record {} at {}: {} by {} {}",
            one.seq, one.at, one.action, one.actor, one.args
        );
    }
    for one in &verdict.findings {
        text += &match one.seq {
            0 => format!("\nFOUND: {}", one.what),
            seq => format!("\nFOUND at record {seq}: {}", one.what),
        };
    }
    let unlisted = verdict.found.saturating_sub(verdict.findings.len() as u64);
    if unlisted > 0 {
        text += &format!("\nand {unlisted} more findings");
    }
    if verdict.is_whole {
        text += match replaced_anchors {
            0 => "\nthe audit record is whole",
            _ => {
                "\nthe audit record is whole, but for what the replaced store had: is it known why it was replaced?"
            }
        };
    }
    text + "\n"
}

impl Record for AuditView {
    fn fields(&self) -> Vec<Field> {
        let tone = match self.result.as_str() {
            "done" => Tone::Good,
            "denied" | "failed" | "expired" | "unknown" => Tone::Bad,
            _ => Tone::Plain,
        };
        vec![
            Field::new("seq", self.seq),
            Field::moment("at", self.at).weight(80),
            Field::new("actor", &self.actor).weight(95),
            Field::new("action", &self.action).weight(90),
            Field::new("target", &self.target).weight(85),
            Field::new("result", &self.result).tone(tone).weight(75),
            Field::new("through", &self.through).weight(50),
            Field::new("from", &self.from).weight(45),
            Field::new("credential", &self.credential).weight(40),
            Field::new("kind", &self.kind).wide(),
            Field::id("id", &self.id).wide(),
            Field::new("error", self.error.clone().unwrap_or_default()).long().weight(60),
            Field::new("args", &self.args).long().wide(),
        ]
    }
}
