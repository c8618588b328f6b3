//! What would change when the copy of a configuration took its place, line by line, without secrets.

use std::path::Path;

use super::machine;
use crate::scrub::Scrubber;

/// Lines that are shown; the others are counted.
const MOST_SHOWN: usize = 20;

/// Characters of a line that are shown.
const MOST_CHARS: usize = 120;

/// Longer files are compared as far as their beginnings and ends are alike: the rest counts as changed.
const MOST_COMPARED: usize = 1_000;

/// What `copy` says and `path` does not, and the other way round. Nothing where one of them cannot be read.
pub fn difference(scrub: &Scrubber, path: &Path, copy: &Path) -> Vec<String> {
    let (Ok(old), Ok(new)) = (machine::read(path), machine::read(copy)) else { return Vec::new() };
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let changed = changed(&old, &new);
    let shown = changed.iter().take(MOST_SHOWN).map(|(sign, line)| {
        // Nobody knows what stands where in a file that is refused: only names are shown of it.
        let line = if *sign == '-' { Scrubber::broken_json(line) } else { scrub.text(line) };
        let cut: String = line.chars().take(MOST_CHARS).collect();
        let dots = if cut.len() < line.len() { "…" } else { "" };
        format!("{sign} {cut}{dots}")
    });
    let mut shown: Vec<String> = shown.collect();
    let others = changed.len().saturating_sub(MOST_SHOWN);
    shown.extend((others > 0).then(|| format!("and {others} other lines")));
    if !shown.is_empty() {
        let head = "restoring the copy would remove (-) and bring back (+)";
        shown.insert(0, head.to_owned());
    }
    shown
}

/// Lines that go and lines that come, in their order: what is left of both beside their longest common part.
fn changed<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let alike = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[alike..], &new[alike..]);
    let alike = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - alike], &new[..new.len() - alike]);
    if old.len().max(new.len()) > MOST_COMPARED {
        let gone = old.iter().map(|line| ('-', *line));
        return gone.chain(new.iter().map(|line| ('+', *line))).collect();
    }
    // How many lines are common to what begins at these two places.
    let mut common = vec![vec![0_u16; new.len() + 1]; old.len() + 1];
    for (i, gone) in old.iter().enumerate().rev() {
        for (j, come) in new.iter().enumerate().rev() {
            common[i][j] = match gone == come {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            out.push(('-', old[i]));
            i += 1;
        } else {
            out.push(('+', new[j]));
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_differ_are_told() {
        let old = ["{", "  \"port\": 8420,", "  \"bind\": \"::\"", "}"];
        let new = ["{", "  \"port\": 9000,", "  \"more\": 1,", "  \"bind\": \"::\"", "}"];
        let told = changed(&old, &new);
        assert_eq!(told, [('-', old[1]), ('+', new[1]), ('+', new[2])]);
        assert!(changed(&old, &old).is_empty());
        assert_eq!(changed(&[], &["a"]), [('+', "a")]);
        let moved = changed(&["a", "x", "b", "y"], &["a", "y", "b", "x"]);
        assert_eq!(moved.len(), 4, "{moved:?}");
    }

    #[test]
    fn no_secret_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("a.json"), folder.path().join("a.json.backup"));
        std::fs::write(&path, "{\n\"auth_token\": \"hunter2hunter2\nport 8420\n").unwrap();
        std::fs::write(&copy, "{\n\"auth_token\": \"hunter2hunter3\"\n").unwrap();
        let told = difference(&Scrubber::default(), &path, &copy).join("\n");
        assert!(told.contains("\n- ") && told.contains("\n+ \"auth_token\""), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}
