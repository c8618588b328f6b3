//! The house keeps its own rules: this reads the sources and tells, in one line each, where and which rule.
//! It is there to tell, not to bully: when the house should change, change the map and this file together.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{self, Source};

/// Crates that only some places of a floor may know, by how their paths begin.
const FENCES: [(&str, &[&str]); 2] =
    [("tokio_tungstenite", &["src/agent/link", "src/supervisor/outbound/"]), ("clap", &COMMAND_LINES)];

/// Files that say what may be typed.
const COMMAND_LINES: [&str; 9] = [
    "src/main.rs",
    "src/role.rs",
    "src/up",
    "src/manual.rs",
    "src/ctl/",
    "src/agent/cli.rs",
    "src/supervisor/cli.rs",
    "src/base/daemon.rs",
    "src/base/log.rs",
];

/// Files that may read the clock.
const CLOCKS: [&str; 1] = ["src/base/clock.rs"];

/// Tests' files that may let time pass. The fake model is slow when it is told to be; nothing waits there.
const SLEEPERS: [&str; 1] = ["tests/fake_model/model/answer.rs"];

const MOST_LINES_OF_A_FILE: usize = 500;
const MOST_LINES_OF_A_FUNCTION: usize = 70;

fn nothing(rule: &str, told: Vec<String>) {
    assert!(told.is_empty(), "{rule}:\n  {}", told.join("\n  "));
}

#[test]
fn modules_form_no_cycle() {
    let files = source::below("src");
    let known: BTreeSet<Vec<String>> = files.iter().map(|file| file.module.clone()).collect();
    // For each folder: which of its members needs which other, through any file below them.
    let mut needs: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (file, path) in files.iter().flat_map(|file| file.imports.iter().map(move |(_, path)| (file, path))) {
        let Some(to) = longest_known(path, &known) else { continue };
        let common = file.module.iter().zip(&to).take_while(|(a, b)| a == b).count();
        if let (Some(from), Some(to)) = (file.module.get(common), to.get(common)) {
            let folder = needs.entry(file.module[..common].to_vec()).or_default();
            folder.entry(from.clone()).or_default().insert(to.clone());
        }
    }
    let told = needs.iter().filter_map(|(folder, members)| {
        let ring = ring(members)?;
        Some(format!("src/{}: {}", folder.join("/"), ring.join(" -> ")))
    });
    nothing("the modules of a folder need one another in one direction only", told.collect());
}

fn longest_known(path: &[String], known: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    (1..=path.len()).rev().map(|end| path[..end].to_vec()).find(|prefix| known.contains(prefix))
}

/// A way from a member back to itself, if there is one.
fn ring(members: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    members.keys().find_map(|start| {
        let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            for next in members.get(at).into_iter().flatten() {
                if next == start {
                    let mut way = vec![start.clone(), at.clone()];
                    while way.last() != Some(start) {
                        way.push(came_from[way.last().expect("it began with two")].clone());
                    }
                    way.reverse();
                    return Some(way);
                }
                if !came_from.contains_key(next) {
                    came_from.insert(next, at);
                    open.push(next);
                }
            }
        }
        None
    })
}

#[test]
fn each_fence_holds() {
    let mut told = Vec::new();
    for file in source::below("src") {
        for (name, places) in FENCES {
            if places.iter().any(|place| file.path.starts_with(place)) {
                continue;
            }
            if let Some(line) = file.line_naming(name) {
                told.push(format!("{}:{line}: `{name}` belongs in {}", file.path, places.join(", ")));
            }
        }
    }
    nothing("some crates are known in one place only", told);
}

#[test]
fn the_clock_is_read_in_one_place() {
    let mut told = Vec::new();
    for file in source::below("src").iter().filter(|file| !CLOCKS.contains(&file.path.as_str())) {
        let std_instant =
            file.imports.iter().any(|(_, path)| path.join("::").ends_with("std::time::Instant"))
                || file.code.contains("std::time::Instant");
        for (at, line) in file.code.lines().enumerate() {
            let reads =
                ["SystemTime::now", "Timestamp::now", "Zoned::now"].iter().any(|call| line.contains(call))
                    || (std_instant && line.contains("Instant::now"));
            if reads {
                told.push(format!(
                    "{}:{}: ask base::clock, or tokio::time for a deadline",
                    file.path,
                    at + 1
                ));
            }
        }
    }
    nothing("only base/clock.rs reads the clock", told);
}

#[test]
fn every_file_says_what_it_is_for() {
    let files = source::below("src").into_iter().chain(source::below("tests"));
    let told = files
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| format!("{}:1: begin with `//! ` and one sentence", file.path));
    nothing("the first line of a file says what it is for", told.collect());
}

#[test]
fn nothing_is_too_long() {
    let mut told = Vec::new();
    for file in source::below("src").iter().chain(&source::below("tests")) {
        let lines = file.code.trim_end().lines().count();
        if lines > MOST_LINES_OF_A_FILE {
            told.push(format!("{}: {lines} lines, at most {MOST_LINES_OF_A_FILE} without tests", file.path));
        }
        for long in file.functions().iter().filter(|function| function.length > MOST_LINES_OF_A_FUNCTION) {
            told.push(format!(
                "{}:{}: a function of {} lines, at most {MOST_LINES_OF_A_FUNCTION}",
                file.path, long.line, long.length
            ));
        }
    }
    nothing("short enough to be read at once", told);
}

/// What the dashboard is built from, beside what is below `src` and `public`.
const LOOSE: [&str; 5] =
    ["index.html", "package-lock.json", "package.json", "tsconfig.json", "vite.config.ts"];

#[test]
fn the_dashboard_is_built_from_what_is_there() {
    let root = source::root().join("assets/dashboard");
    let mut names: Vec<String> = LOOSE.map(str::to_owned).into();
    for folder in ["src", "public"] {
        names.extend(source::files_below(&root.join(folder)).iter().map(|path| {
            path.strip_prefix(&root).expect("the walk began there").to_string_lossy().into_owned()
        }));
    }
    names.sort();
    let hash = |bytes: &[u8]| hal_o_swarm::base::secret::hash_of_bytes(bytes);
    let lines = names.iter().map(|name| {
        let bytes = std::fs::read(root.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        format!("{name} {}\n", hash(&bytes))
    });
    let built = std::fs::read_to_string(root.join("dist/SOURCE")).expect("it was built");
    assert_eq!(
        built.trim(),
        hash(lines.collect::<String>().as_bytes()),
        "assets/dashboard/dist is of other sources: build it again (cd assets/dashboard && npm ci && npm run build)"
    );
}

#[test]
fn no_enum_takes_a_number_for_one_of_its_words() {
    // Told by its tag, it is read from a number too: the place in the list.
    let told = source::below("src").into_iter().flat_map(|file| {
        let lines = file.text.lines().enumerate();
        let is_such = |line: &str| line.contains("serde(tag = ") && !line.contains("try_from");
        lines
            .filter(|(_, line)| is_such(line))
            .map(|(at, _)| format!("{}:{}: read the tag as an enum of its own (try_from)", file.path, at + 1))
            .collect::<Vec<String>>()
    });
    nothing("a tag is a word", told.collect());
}

/// Words that opencode says, and who may know them: its backend, and the frozen reader of former events.
const FOREIGN_WORDS: [&str; 13] = [
    "MessageAbortedError",
    "ContextOverflowError",
    "ProviderAuthError",
    "MessageOutputLengthError",
    "ContentFilterError",
    "The user rejected",
    "Tool execution aborted",
    "New session - ",
    "Child session - ",
    "todowrite",
    "apply_patch",
    "notebookedit",
    "multiedit",
];
const WHO_MAY_SAY_THEM: [&str; 2] = ["src/agent/backend/opencode/", "src/protocol/event/former.rs"];

/// Ways into an event's data, and who may go them: its backend, and the one definition of the stored form.
const WAYS_INTO_EVENTS: [&str; 15] = [
    "providerID",
    "modelID",
    "parentID",
    "messageID",
    "partID",
    "callID",
    "sessionID",
    "contextLimit",
    "filePath",
    r#"["part"]"#,
    r#"["info"]"#,
    r#"["state"]"#,
    r#"["todos"]"#,
    r#"["questions"]"#,
    "error/data/message",
];
const WHO_MAY_GO_THEM: [&str; 2] = ["src/agent/backend/opencode/", "src/protocol/event/"];

/// Where a file says what only others may say.
fn foreign(path: &str, lines: &[&str]) -> Vec<String> {
    let rules: [(&[&str], &[&str]); 2] =
        [(&FOREIGN_WORDS, &WHO_MAY_SAY_THEM), (&WAYS_INTO_EVENTS, &WHO_MAY_GO_THEM)];
    let mut told = Vec::new();
    for (words, places) in rules {
        if places.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let said = words.iter().filter(|word| line.contains(*word));
            told.extend(
                said.map(|word| format!("{path}:{}: `{word}` belongs in {}", at + 1, places.join(" and "))),
            );
        }
    }
    told
}

#[test]
fn events_are_read_in_one_place_and_opencode_s_words_stay_with_it() {
    let told = source::below("src").into_iter().filter(|file| !file.path.contains("/tests/"));
    let told = told.flat_map(|file| {
        let lines: Vec<&str> = file.text.lines().take(file.code.lines().count()).collect();
        foreign(&file.path, &lines)
    });
    nothing("what an event tells is asked of `protocol::event`", told.collect());
}

#[test]
fn a_foreign_word_is_found_where_it_does_not_belong() {
    let lines = ["// providerID", r#"let part = &data["part"];"#, r#"name == "MessageAbortedError""#];
    let found = foreign("src/rules/session.rs", &lines);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|one| one.starts_with("src/rules/session.rs:2: `[\"part\"]`")), "{found:?}");
    assert!(found.iter().any(|one| one.starts_with("src/rules/session.rs:3: `MessageAborted")), "{found:?}");
    assert_eq!(foreign("src/protocol/event/form.rs", &lines).len(), 1, "a word of opencode's");
    assert!(foreign("src/agent/backend/opencode/classify_event.rs", &lines).is_empty());
}

#[test]
fn tests_wait_for_things_not_for_time() {
    let told = source::below("tests").into_iter().filter(|file| !SLEEPERS.contains(&file.path.as_str()));
    let told =
        told.flat_map(|file| lines_with(&file, &file.code, "sleep(", "wait for the thing with World::until"));
    nothing("no sleeps in tests", told.collect());
}

#[test]
fn nothing_is_left_for_later() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let files: Vec<Source> = source::below("src").into_iter().chain(source::below("tests")).collect();
    let told = files.iter().flat_map(|file| {
        words.iter().flat_map(move |word| lines_with(file, &file.text, word, "do it now, or file an issue"))
    });
    nothing("nothing is left for later", told.collect());
}

fn lines_with(file: &Source, text: &str, word: &str, advice: &str) -> Vec<String> {
    let hits = text.lines().enumerate().filter(|(_, line)| line.contains(word));
    hits.map(|(at, _)| format!("{}:{}: {advice}", file.path, at + 1)).collect()
}
