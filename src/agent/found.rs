//! Which coding agents this machine has: asked of their programs, and of nothing that runs.

use futures_util::future::join_all;

use super::backend::BackendKind;
use super::backend::program::FoundProgram;
use super::config::Programs;

/// What was found of each kind, in the order of the list of kinds.
pub type Found = Vec<(BackendKind, FoundProgram)>;

/// Looks for the programs of all kinds at the same time. Those that were asked before and are the same are not asked again.
pub async fn look(programs: &Programs) -> Found {
    let one = async |kind: &BackendKind| {
        let found = match kind.program() {
            Some(spec) => spec.look(programs.get(*kind)).await,
            None => FoundProgram::default(),
        };
        (*kind, found)
    };
    join_all(BackendKind::ALL.iter().map(one)).await
}
