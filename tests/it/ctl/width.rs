//! Every table of halctl on terminals of five widths: one line for each record, headers that are read from left to
//! right, and what a person needs most still there.

use serde_json::{Map, Value};

use super::stand::{Stand, TOKEN};
use super::{Outcome, halctl, halctl_on};

/// The widths that terminals have.
const WIDTHS: [usize; 5] = [60, 80, 100, 120, 200];

/// Every list, and the columns that a person must have at 80 and at 60 cells.
const LISTS: [(&str, &[&str], &[&str]); 21] = [
    ("sessions list", &["ID", "STATUS", "TITLE", "DETAIL"], &["ID", "STATUS", "TITLE"]),
    ("nodes list", &["ID", "STATUS"], &["ID", "STATUS"]),
    ("approvals list", &["ID", "ABOUT", "WHAT"], &["ID", "WHAT"]),
    ("commands list", &["ID", "TYPE", "STATUS", "ERROR"], &["ID", "TYPE", "STATUS"]),
    ("policies list", &["POLICY", "STATUS", "ACT"], &["POLICY", "STATUS", "ACT"]),
    ("events list", &["TIMESTAMP", "TYPE", "DATA"], &["TIMESTAMP", "TYPE"]),
    ("alerts list", &["ID", "NAME", "TEXT"], &["ID", "NAME", "TEXT"]),
    ("alerts silence list", &["ID", "MATCHES", "UNTIL"], &["ID", "MATCHES"]),
    ("budgets list", &["NAME", "SPENT", "FREE"], &["NAME", "SPENT", "FREE"]),
    ("channels list", &["NAME", "WAITING", "TROUBLE"], &["NAME", "TROUBLE"]),
    ("channels queue on-call-pagerduty", &["STATUS", "NAME", "WHY"], &["STATUS", "NAME"]),
    ("routes list", &["NAME", "CHANNELS", "MATCH"], &["NAME", "CHANNELS"]),
    ("archive list", &["NAME"], &["NAME"]),
    ("backup list", &["NAME", "PROBLEM"], &["NAME"]),
    ("cost exposure", &["SESSION_ID", "FREE"], &["SESSION_ID"]),
    ("cost prices", &["MODEL", "OUTPUT"], &["MODEL"]),
    ("cost status", &["PROVIDER", "STATUS", "ERROR"], &["PROVIDER", "STATUS", "ERROR"]),
    ("cost reconcile", &["DATE", "VERDICT", "DIFFERENCE"], &["DATE", "VERDICT"]),
    ("cost week", &["MODEL", "COST_USD"], &["COST_USD"]),
    ("cost week --by session", &["SESSION_ID", "COST_USD", "TOKENS"], &["SESSION_ID", "COST_USD"]),
    ("cost week --by node", &["NODE_ID", "COST_USD"], &["NODE_ID", "COST_USD"]),
];

/// What shows more than one table.
const SEVERAL: [&str; 2] = ["cost week", "cost exposure"];

async fn stand() -> Stand {
    let stand = Stand::start().await;
    let all: Map<String, Value> = serde_json::from_str(include_str!("../../fixtures/lists.json")).unwrap();
    let mut facts = stand.facts();
    facts.sessions = serde_json::from_value(all["sessions"].clone()).unwrap();
    facts.events = serde_json::from_value(all["events"].clone()).unwrap();
    facts.canned = all;
    drop(facts);
    stand
}

async fn on(stand: &Stand, room: usize, line: &str) -> Outcome {
    let around = [("HALCTL_SUPERVISOR_URL", stand.url.as_str()), ("HALCTL_AUTH_TOKEN", TOKEN)];
    halctl_on(Some(room), &around, &line.split(' ').collect::<Vec<_>>()).await
}

/// Cells of a terminal: the samples hold ASCII, Latin, and East Asian words of two cells.
fn cells(line: &str) -> usize {
    line.chars().map(|c| if ('\u{2e80}'..'\u{ff00}').contains(&c) { 2 } else { 1 }).sum()
}

/// What is wrong with what a list shows at a width.
fn faults(text: &str, room: usize, needed: &[&str]) -> Vec<String> {
    let is_header = |line: &&str| line.chars().any(char::is_alphabetic) && **line == line.to_uppercase();
    let headers: Vec<&str> = text.lines().filter(is_header).flat_map(str::split_whitespace).collect();
    let long = text.lines().filter(|line| cells(line) > room).map(|line| format!("too long: {line}"));
    let lacking =
        needed.iter().filter(|column| !headers.contains(column)).map(|column| format!("no {column}"));
    let empty = text.is_empty().then(|| "nothing is shown".to_owned());
    long.chain(lacking).chain(empty).collect()
}

#[tokio::test]
async fn every_table_fits_terminals_of_five_widths_with_what_matters_on_it() {
    let stand = stand().await;
    let mut wrong = Vec::new();
    for (line, at_80, at_60) in LISTS {
        for room in WIDTHS {
            let shown = on(&stand, room, line).await;
            println!("$ halctl {line}   # {room} columns\n{}{}", shown.out, shown.sentence);
            let needed = if room < 80 { at_60 } else { at_80 };
            wrong.extend(
                faults(&shown.out, room, needed).into_iter().map(|why| format!("{line} at {room}: {why}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_list_has_one_line_for_its_header_and_one_for_each_record() {
    let stand = stand().await;
    let mut wrong = Vec::new();
    for (line, _, _) in LISTS {
        let piped: Vec<&str> = line.split(' ').collect();
        if SEVERAL.iter().any(|other| line.starts_with(other)) {
            continue;
        }
        let records = halctl(&stand, &piped).await.out.lines().count();
        for room in WIDTHS {
            let text = on(&stand, room, line).await.out;
            if records == 0 || text.lines().count() != records + 1 {
                wrong.push(format!("{line} at {room}, {records} records:\n{text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_a_session_is_about_and_waits_for_is_read_at_eighty_columns() {
    let stand = stand().await;
    let text = on(&stand, 80, "sessions list").await.out;
    for words in ["Let the checko", "bash: git push", "waiting"] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    let wide = on(&stand, 200, "sessions list").await.out;
    assert!(wide.contains("NODE_ID") && wide.contains("$1.24"), "{wide}");
}

#[tokio::test]
async fn a_terminal_shows_short_names_and_a_pipe_whole_ones() {
    let stand = stand().await;
    let whole = "ses_4f1a9c2e0ffe8Xq2ZpLm0Rt7Yw";
    let table = on(&stand, 200, "sessions list").await.out;
    println!("{table}");
    assert!(table.contains("ses_4f1a9c2e0 ") && !table.contains(whole), "{table}");
    assert!(on(&stand, 200, "sessions list -o wide").await.out.contains(whole));
    let piped = halctl(&stand, &["sessions", "list"]).await.out;
    assert!(
        piped.starts_with(&format!("id: {whole}  node_id: builder-0.eu-central.example.org  ")),
        "{piped}"
    );
    let piped = halctl(&stand, &["sessions", "list", "-o", "table"]).await.out;
    assert!(piped.contains(whole), "{piped}");
    let commands = on(&stand, 200, "commands list").await.out;
    assert!(commands.contains("019ac1d0-6b00 ") && !commands.contains("019ac1d0-6b00-"), "{commands}");
}

#[tokio::test]
async fn data_is_cut_into_a_pipe_only_when_that_is_asked_for() {
    let stand = stand().await;
    let whole = halctl(&stand, &["events", "list"]).await.out;
    assert_eq!(whole.matches("word ").count(), 400, "{whole}");
    let short = halctl(&stand, &["events", "list", "--short"]).await.out;
    assert!(short.lines().all(|line| line.ends_with('…') && line.len() < 800), "{short}");
    let json = halctl(&stand, &["events", "list", "--short", "-o", "json"]).await.out;
    assert_eq!(json.matches("word ").count(), 400);
}

#[tokio::test]
async fn money_is_money_for_people_and_a_number_for_programs() {
    let stand = stand().await;
    let table = on(&stand, 120, "budgets list").await.out;
    for words in ["$5.00", "$1.24", "$0.05", "$3.71"] {
        assert!(table.contains(words), "no {words} in\n{table}");
    }
    let piped = halctl(&stand, &["budgets", "list"]).await.out;
    assert!(piped.contains("  limit: 5.00  spent: 1.237891  lent: 0.05  free: 3.712109"), "{piped}");
    let sheet = on(&stand, 120, "sessions get ses_4f1a9c2e0ffe8Xq2ZpLm0Rt7Yw").await.out;
    assert!(sheet.contains("  $1.24\n"), "{sheet}");
}
