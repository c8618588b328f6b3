//! `tests/run` itself: it goes on after what fails, and says at the end what failed and what was skipped.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::source::root;
use crate::world::text;

/// Plays cargo: every check is good but that of the format, one test of eleven fails, and one of the others says that
/// it was not played.
const CARGO: &str = r#"#!/bin/sh
[ "$1" != fmt ] || exit "$BROKEN"
[ "$1" = test ] || exit 0
printf 'fault::wire\ta cut wire\tip may not mount here\n-\ta part\tit takes a shell\n' >>"$HAL_SKIPPED"
echo 'test result: ok. 6 passed; 0 failed; 0 ignored'
[ "$BROKEN" = 0 ] || echo 'test cost::sums ... FAILED'
echo "test result: ok. $((5 - BROKEN)) passed; $BROKEN failed; 0 ignored"
exit "$BROKEN"
"#;

const RUNBOOK: &str = "#!/bin/sh\necho 'skipped: the runbook is not executed, since no machine can be started here: only root can'\n";

fn program(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs it with that cargo: how it ends, and the lines of its end.
fn played(broken: &str) -> (bool, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let script = std::fs::read_to_string(root().join("tests/run")).unwrap();
    program(&folder.path().join("tests/run"), &script);
    program(&folder.path().join("tests/tools/npm.sh"), "exit 0\n");
    program(&folder.path().join("tests/host/runbook"), RUNBOOK);
    program(&folder.path().join("tests/ui/run"), "#!/bin/sh\nexit 0\n");
    program(&folder.path().join("bin/cargo"), CARGO);
    let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").unwrap());
    let run = Command::new(folder.path().join("tests/run")).env("PATH", path).env("BROKEN", broken).output();
    let run = run.unwrap();
    let said = text(&run.stdout);
    let (_, end) =
        said.split_once("== in the end\n").unwrap_or_else(|| panic!("{said}{}", text(&run.stderr)));
    (run.status.success(), end.lines().map(str::to_owned).collect())
}

const SKIPPED: [&str; 3] = [
    "skipped: a part: it takes a shell",
    "skipped: the runbook: no machine can be started here: only root can",
    "skipped: fault::wire, a cut wire: ip may not mount here",
];

#[test]
fn what_fails_keeps_nothing_else_from_being_run_and_is_named_at_the_end() {
    let (is_well, end) = played("1");
    assert!(!is_well);
    let failed = ["failed: cost::sums", "tests: 9 passed, 1 skipped", "failed: format", "failed: tests"];
    assert_eq!(end, [&SKIPPED[..], &failed].concat());
}

#[test]
fn what_was_skipped_is_named_with_its_reason_and_does_not_count_as_passed() {
    let (is_well, end) = played("0");
    assert!(is_well);
    assert_eq!(end, [&SKIPPED[..], &["tests: 10 passed, 1 skipped", "nothing failed"]].concat());
}
