//! A source file as `tidy` reads it: its place in the house, its text without words that are not code, what it
//! imports, how long its functions are. Plain text matching; good enough to tell, not to prove.

use std::path::{Path, PathBuf};

/// One Rust file.
pub struct Source {
    /// Its path from the root of the repository.
    pub path: String,
    /// Its module, floor first: `["store", "session"]`; a `mod.rs` or `lib.rs` is its folder.
    pub module: Vec<String>,
    /// As it lies on the disk.
    pub text: String,
    /// Without its tests, comments and literals, line for line.
    pub code: String,
    /// Paths it names, root first, with the line.
    pub imports: Vec<(usize, Vec<String>)>,
}

/// A function and its length.
pub struct Function {
    /// The line of its `fn`, from 1.
    pub line: usize,
    /// Lines from its `fn` to its closing brace.
    pub length: usize,
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder of the repository, without the unit tests that have a file of their own.
pub fn below(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.retain(|path| !is_of_tests(path));
    paths.sort();
    paths.iter().map(|path| read(folder, path)).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    found.extend(
        files_below(folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs")),
    );
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for path in entries.map(|entry| entry.expect("a folder can be read to its end").path()) {
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// True for `tests.rs` and `hub_tests.rs`: unit tests in a file of their own may know everybody.
fn is_of_tests(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
}

fn read(folder: &str, path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let inside = path.strip_prefix(root().join(folder)).expect("the walk began there");
    let mut module: Vec<String> =
        inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    let code = without_tests(&blank(&text));
    let imports = imports(&code, &module);
    let path = format!("{folder}/{}", inside.display());
    Source { path, module, text, code, imports }
}

/// The code in front of the file's `#[cfg(test)] mod`.
fn without_tests(code: &str) -> String {
    let lines: Vec<&str> = code.lines().collect();
    let end = lines
        .windows(2)
        .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod "))
        .unwrap_or(lines.len());
    lines[..end].join("\n")
}

/// The same text with comments and literals turned into spaces; lines stay where they are.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal_length(rest).unwrap_or(0);
        if length > 0 {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
            continue;
        }
        // A whole word at once, so that the `r` of `for` does not open a raw string.
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let taken = word.max(first.len_utf8());
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// How long the comment or literal is that begins here.
fn literal_length(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(text.find("*/").map_or(text.len(), |end| end + 2));
    }
    let bare = text.strip_prefix('b').unwrap_or(text);
    let prefix = text.len() - bare.len();
    if let Some(raw) = bare.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = &raw[hashes + 1..];
            let end = body.find(&close).map_or(body.len(), |at| at + close.len());
            return Some(prefix + 1 + hashes + 1 + end);
        }
    }
    if let Some(body) = bare.strip_prefix('"') {
        return Some(prefix + 1 + quoted_length(body, '"'));
    }
    let body = bare.strip_prefix('\'')?;
    let mut chars = body.chars();
    let is_char = match chars.next()? {
        '\\' => true,
        _ => chars.next() == Some('\''),
    };
    is_char.then(|| prefix + 1 + quoted_length(body, '\''))
}

fn quoted_length(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    body.len()
}

/// Every path that begins with `crate`, `super`, `self` or a floor's crate, and every path of a `use`.
fn imports(code: &str, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < code.len() {
        let rest = &code[at..];
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (paths, length) = match &rest[..word] {
            "use" => {
                let end = rest.find(';').unwrap_or(rest.len());
                (use_paths(rest[3..end].trim()), end)
            }
            word_of if is_ours(word_of) && rest[word..].starts_with("::") => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
                let end = end.unwrap_or(rest.len());
                (vec![rest[..end].trim_end_matches(':').to_owned()], end)
            }
            _ => (Vec::new(), word.max(rest.chars().next().map_or(1, char::len_utf8))),
        };
        found.extend(paths.iter().map(|path| (line, resolve(path, module))));
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

/// The paths of a `use` tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn use_paths(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        return vec![path.trim_end_matches("::self").to_owned()];
    };
    let stem = &tree[..open];
    let inner = tree[open + 1..].trim_end().trim_end_matches('}');
    let mut depth = 0;
    inner
        .split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        })
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .flat_map(|part| use_paths(&format!("{stem}{part}")))
        .collect()
}

fn is_ours(word: &str) -> bool {
    matches!(word, "crate" | "super" | "self") || floor_of(word).is_some()
}

/// `store` for `hal_store`: the floor whose crate has this name.
fn floor_of(word: &str) -> Option<&str> {
    word.strip_prefix("hal_").filter(|floor| is_floor(floor))
}

fn is_floor(module: &str) -> bool {
    root().join("src").join(module).join("Cargo.toml").exists()
}

/// The path with its floor first; a path of another crate keeps that crate's name, after a `::`.
fn resolve(path: &str, module: &[String]) -> Vec<String> {
    let mut base: Vec<String> = module.to_vec();
    let mut ours = false;
    let mut parts = path.split("::").map(str::trim).peekable();
    while let Some(part) = parts.peek() {
        match *part {
            "crate" => base.truncate(base.first().is_some_and(|first| is_floor(first)).into()),
            "super" => drop(base.pop()),
            "self" => {}
            other => match floor_of(other) {
                Some(floor) => base = vec![floor.to_owned()],
                None => break,
            },
        }
        ours = true;
        parts.next();
    }
    if !ours {
        base = vec!["::".to_owned()];
    }
    base.extend(parts.map(str::to_owned));
    base
}

impl Source {
    /// True when it names this crate in a `use` or a path.
    pub fn line_naming(&self, outside: &str) -> Option<usize> {
        let called = format!("{outside}::");
        self.code
            .lines()
            .position(|line| {
                line.match_indices(&called)
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            })
            .or_else(|| {
                self.imports.iter().find(|(_, path)| is_outside(path, outside)).map(|(line, _)| line - 1)
            })
            .map(|line| line + 1)
    }

    /// Its functions outside of its tests.
    pub fn functions(&self) -> Vec<Function> {
        let lines: Vec<&str> = self.code.lines().collect();
        let starts = lines.iter().enumerate().filter(|(_, line)| opens_function(line));
        starts
            .filter_map(|(at, _)| length_of(&lines[at..]).map(|length| Function { line: at + 1, length }))
            .collect()
    }
}

fn is_outside(path: &[String], name: &str) -> bool {
    path.first().is_some_and(|first| first == "::") && path.get(1).is_some_and(|second| second == name)
}

fn opens_function(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.iter().position(|word| *word == "fn").is_some_and(|at| {
        words[..at].iter().all(|word| word.starts_with("pub") || ["async", "const", "crate)"].contains(word))
    })
}

/// Lines until the braces that open here close again; `None` for a function without a body.
fn length_of(lines: &[&str]) -> Option<usize> {
    let mut depth = 0;
    let mut opened = false;
    for (at, line) in lines.iter().enumerate() {
        for c in line.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ';' if !opened && depth == 0 && line.trim_end().ends_with(';') => return None,
                _ => continue,
            }
            opened = true;
        }
        if opened && depth == 0 {
            return Some(at + 1);
        }
    }
    None
}
