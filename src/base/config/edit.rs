//! Changing a configuration file as a person would: the values that are meant, and neither its comments nor its order.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};

use super::parse::dialect;
use crate::file;

/// Permission bits of a file.
const PERMISSIONS: u32 = 0o7777;

/// What some editors begin a file with.
const MARK: char = '\u{feff}';

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewValue {
    /// It says this text.
    Text(String),
    /// It says yes or no.
    Flag(bool),
    /// It is not there any more.
    Gone,
}

/// The text with other values; each key is a path such as `["security", "tls", "enabled"]`, whose sections are made where
/// there are none. `None`: the text has not the form of a configuration.
pub fn edited(text: &str, changes: &[(&[&str], NewValue)]) -> Option<String> {
    let bare = text.strip_prefix(MARK).unwrap_or(text);
    let root = CstRootNode::parse(bare, &dialect()).ok()?;
    for (path, value) in changes {
        change(&root.object_value_or_create()?, path, value)?;
    }
    Some(if bare.len() < text.len() { format!("{MARK}{root}") } else { root.to_string() })
}

fn change(object: &CstObject, path: &[&str], value: &NewValue) -> Option<()> {
    let (key, rest) = path.split_first()?;
    if !rest.is_empty() {
        if *value == NewValue::Gone && object.get(key).is_none() {
            return Some(());
        }
        return change(&object.object_value_or_create(key)?, rest, value);
    }
    let known = object.get(key);
    let input = match value {
        NewValue::Text(text) => CstInputValue::String(text.clone()),
        NewValue::Flag(flag) => CstInputValue::Bool(*flag),
        NewValue::Gone => {
            if let Some(known) = known {
                known.remove();
            }
            return Some(());
        }
    };
    match known {
        Some(known) => known.set_value(input),
        None => {
            object.append(key, input);
        }
    }
    Some(())
}

/// Replaces a file by another text, with its permissions and its owner. One that is named by a link stays where it lies.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = &path.canonicalize()?;
    let of = path.metadata()?;
    let give = |fresh: &File| std::os::unix::fs::fchown(fresh, Some(of.uid()), Some(of.gid()));
    file::replace_as(path, text.as_bytes(), of.mode() & PERMISSIONS, give)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
// Where the supervisor listens.
{
  // Its address.
  \"supervisor_url\": \"ws://localhost:8420\",
  \"auth_token\": \"t\", // shared
  \"projects\": [
    // { \"name\": \"website\" },
  ],
}
";

    #[test]
    fn comments_and_order_stay() {
        let said = edited(
            FILE,
            &[
                (&["supervisor_url"], NewValue::Text("https://hub:8420".into())),
                (&["auth_token"], NewValue::Gone),
                (&["auth_token_file"], NewValue::Gone),
                (&["key_file"], NewValue::Text("/k".into())),
                (&["security", "tls", "enabled"], NewValue::Flag(true)),
                (&["security", "tls", "cert_path"], NewValue::Gone),
            ],
        );
        let said = said.unwrap();
        for kept in ["// Where the supervisor listens.", "// Its address.", "// { \"name\": \"website\" },"] {
            assert!(said.contains(kept), "{kept}\n{said}");
        }
        let value: serde_json::Value = jsonc_parser::parse_to_serde_value(&said, &dialect()).unwrap();
        let expected = serde_json::json!({"supervisor_url": "https://hub:8420", "key_file": "/k", "projects": [],
            "security": {"tls": {"enabled": true}}});
        assert_eq!(value, expected, "{said}");
    }

    #[test]
    fn a_mark_line_ends_and_links_stay() {
        let said = edited("\u{feff}{\r\n  \"a\": 1,\r\n}\r\n", &[(&["b"], NewValue::Flag(true))]).unwrap();
        assert!(said.starts_with("\u{feff}{\r\n  \"a\": 1,\r\n  \"b\": true"), "{said:?}");
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "{}").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, "{ }").unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{ }");
    }

    #[test]
    fn what_is_no_configuration_is_left_alone() {
        for text in ["{", "[]", "{\"a\": 1} x", "{\"security\": 1}"] {
            assert_eq!(edited(text, &[(&["security", "a"], NewValue::Flag(true))]), None, "{text}");
        }
    }
}
