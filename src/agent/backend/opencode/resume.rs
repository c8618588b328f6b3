//! Goes on with an opencode that a holder has kept: of an hal-agent that was started again, or that died.

use std::time::Duration;

use tokio::time::timeout;

use super::Shared;
use super::client::NAME;
use super::memo::Memo;
use super::server::Server;
use super::snapshot::Turns;
use crate::backend::BackendError;
use crate::backend::hold::client::Held;
use crate::backend::hold::{Found, Hold};

/// How long it may take to say whether turns run in a directory.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// How often it is asked.
const LOOKS: u32 = 3;

/// What became of those of before.
#[derive(Debug, Default)]
pub struct TakenUp {
    /// The one to go on with.
    pub server: Option<Server>,
    /// Why one has ended while no agent was there.
    pub ended: Option<String>,
}

/// Takes up the one in which turns run, and ends all others: a new one reads what was changed meanwhile.
pub async fn take_up(shared: &Shared, hold: &Hold, mark: &str) -> TakenUp {
    let mut taken = TakenUp::default();
    for found in hold.find(mark).await {
        let held = match found {
            Found::Held(held) => held,
            Found::Lost { mark, why } => {
                // As after the machine was started again.
                tracing::info!("what held an opencode before ({mark}) is gone: {why}");
                continue;
            }
        };
        if let Some(outcome) = &held.outcome {
            taken.ended = Some(format!("it ended ({outcome})"));
        } else if taken.server.is_none() {
            let mark = held.mark.clone();
            match resume(shared, held).await {
                Ok(server) if is_at_work(shared, &server).await => {
                    tracing::info!("opencode {} was kept, and its turns go on", server.version);
                    taken.server = Some(server);
                    continue;
                }
                Ok(server) => server.end().await,
                Err(why) => taken.ended = Some(why),
            }
            hold.clear(&mark).await;
            continue;
        }
        let mark = held.mark.clone();
        drop(held);
        hold.clear(&mark).await;
    }
    taken
}

async fn resume(shared: &Shared, held: Held) -> Result<Server, String> {
    let memo = held.memo.as_deref().ok_or("its agent died before it listened")?;
    let memo: Memo = serde_json::from_str(memo).map_err(|error| error.to_string())?;
    let gate = shared.gate.anew_after(&memo.passed);
    Server::resume(held, memo, gate).await
}

/// True when a turn runs in one of the projects, or when that cannot be told.
async fn is_at_work(shared: &Shared, server: &Server) -> bool {
    for directory in shared.directories.existing() {
        match turns_of(server, &directory).await {
            Ok(turns) if turns.busy().next().is_none() => {}
            // It may not be asked about this one, and nothing runs in what it may not read.
            Err(BackendError::Refused(_)) => {}
            Ok(_) => return true,
            Err(why) => {
                tracing::warn!("whether turns run in {directory} is not known, and it is kept: {why}");
                return true;
            }
        }
    }
    false
}

/// Asked more than once where it is silent: it may have much to do.
async fn turns_of(server: &Server, directory: &str) -> Result<Turns, BackendError> {
    let mut turns = Err(silent());
    for _ in 0..LOOKS {
        turns =
            timeout(LOOK_LIMIT, Turns::of(&server.client, directory)).await.unwrap_or_else(|_| Err(silent()));
        if !matches!(turns, Err(BackendError::Silent { .. } | BackendError::Down { .. })) {
            break;
        }
    }
    turns
}

fn silent() -> BackendError {
    let doing = "looking whether its turns go on";
    BackendError::Silent { backend: NAME, seconds: LOOK_LIMIT.as_secs(), doing }
}
